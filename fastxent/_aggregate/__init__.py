"""What is built on the losses: many batches, groups, standard errors, two models."""

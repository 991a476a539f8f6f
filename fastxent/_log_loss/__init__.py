"""scikit-learn's log_loss."""

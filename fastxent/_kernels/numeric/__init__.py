"""Functions of numbers: exp, log, sums."""

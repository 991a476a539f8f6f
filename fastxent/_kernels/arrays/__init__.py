"""From arrays to short contiguous runs and back."""

"""Losses of one row of classes per position."""

"""Losses of one number per position."""

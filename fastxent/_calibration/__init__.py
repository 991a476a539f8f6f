"""Calibration: how much of a loss is miscalibration, and the parameters that reduce it."""

from fastxent._calibration.decomposition import decompose

__all__ = ["decompose"]

"""Calibration: how much of a loss is miscalibration, and the parameters that reduce it."""

from fastxent._calibration.decomposition import decompose
from fastxent._calibration.platt import fit_platt
from fastxent._calibration.temperature import fit_temperature

__all__ = ["decompose", "fit_platt", "fit_temperature"]

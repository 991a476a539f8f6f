"""The kernels for the level "baseline": setup.py has its flags."""
include "level.pxi"

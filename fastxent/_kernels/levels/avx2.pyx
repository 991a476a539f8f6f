"""The kernels for the level "avx2": setup.py has its flags."""
include "level.pxi"

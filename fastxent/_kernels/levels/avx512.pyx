"""The kernels for the level "avx512": setup.py has its flags."""
include "level.pxi"

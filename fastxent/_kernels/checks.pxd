# What a full block holds, told by its bits: a float's order is that of its bits, with the sign on top,
# so a difference of bits below zero marks what is out of range, NaN among it. Integers in lanes that are
# or-ed vectorise on every level, and are no load for the units that add and multiply.
#
# A zero with a sign is taken for out of range: the careful road, which is asked then, knows better.

from libc.stdint cimport uint32_t, uint64_t

from fastxent._kernels.job cimport BLOCK, LANES
from fastxent._kernels.load cimport floating
from fastxent._kernels.math cimport narrow_bits, wide_bits


cdef inline bint all_within(const floating* x, floating most, bint absolute) noexcept nogil:
    """Whether 0 <= x <= most, or |x| <= most, for a full block and a finite `most`."""
    cdef uint32_t narrow_wrong[LANES]
    cdef uint64_t wide_wrong[LANES]
    cdef uint32_t narrow, narrow_most = narrow_bits(<float>most)
    cdef uint32_t narrow_mask = 0x7FFFFFFF if absolute else 0xFFFFFFFF
    cdef uint64_t wide, wide_most = wide_bits(<double>most)
    cdef uint64_t wide_mask = 0x7FFFFFFFFFFFFFFF if absolute else 0xFFFFFFFFFFFFFFFF
    cdef Py_ssize_t i, j
    if floating is float:
        for j in range(LANES):
            narrow_wrong[j] = 0
        for i from 0 <= i < BLOCK by LANES:
            for j in range(LANES):
                narrow = narrow_bits(x[i + j]) & narrow_mask
                narrow_wrong[j] |= narrow | (narrow_most - narrow)
        for j in range(16):
            narrow_wrong[j] |= narrow_wrong[j + 16]
        for j in range(1, 16):
            narrow_wrong[0] |= narrow_wrong[j]
        return narrow_wrong[0] >> 31 == 0
    else:
        for j in range(LANES):
            wide_wrong[j] = 0
        for i from 0 <= i < BLOCK by LANES:
            for j in range(LANES):
                wide = wide_bits(x[i + j]) & wide_mask
                wide_wrong[j] |= wide | (wide_most - wide)
        for j in range(16):
            wide_wrong[j] |= wide_wrong[j + 16]
        for j in range(1, 16):
            wide_wrong[0] |= wide_wrong[j]
        return wide_wrong[0] >> 63 == 0


cdef inline floating largest(const floating* tag) noexcept nogil:
    """The largest finite number."""
    if floating is float:
        return 3.4028234663852886e38
    else:
        return 1.7976931348623157e308

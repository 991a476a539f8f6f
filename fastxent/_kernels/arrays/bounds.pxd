# Range checks of full blocks by their bits. Floats of one sign are ordered as their bits are, with
# the sign on top. So a negative difference of bits marks a value out of range, NaN included. Lanes of
# integers combined by OR vectorise on every level, and leave the units that add and multiply free.
#
# -0.0 counts as out of range here: the general path then decides.

from libc.math cimport NAN
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastxent._kernels.arrays.load cimport one_of_half
from fastxent._kernels.job cimport BLOCK, DType, LANES
from fastxent._kernels.types cimport bits_of_f32, bits_of_f64, floating, real

ctypedef fused pattern:
    uint16_t
    uint32_t
    uint64_t


cdef inline bint bits_within(const void* x, pattern maximum, pattern sign) noexcept nogil:
    """Whether the bits of a full block, without those in `sign`, are at most `maximum`."""
    cdef pattern wrong[LANES]
    cdef pattern bits
    cdef const char* place = <const char*>x
    cdef Py_ssize_t i, j
    for j in range(LANES):
        wrong[j] = 0
    for i from 0 <= i < BLOCK by LANES:
        for j in range(LANES):
            memcpy(&bits, place + (i + j) * <Py_ssize_t>sizeof(pattern), sizeof(pattern))
            bits &= ~sign
            wrong[j] |= bits | (maximum - bits)
    for j in range(16):
        wrong[j] |= wrong[j + 16]
    for j in range(8):
        wrong[j] |= wrong[j + 8]
    for j in range(4):
        wrong[j] |= wrong[j + 4]
    for j in range(1, 4):
        wrong[0] |= wrong[j]
    return wrong[0] >> (8 * sizeof(pattern) - 1) == 0


cdef inline bint all_within(const floating* x, floating maximum, bint absolute) noexcept nogil:
    """Whether 0 <= x <= maximum, or |x| <= maximum, for a full block and a finite `maximum`."""
    if floating is float:
        return bits_within(x, bits_of_f32(maximum), <uint32_t>(0x80000000 if absolute else 0))
    else:
        return bits_within(x, bits_of_f64(maximum), <uint64_t>(0x8000000000000000 if absolute else 0))


cdef inline bint halves_within_one(const void* x, DType dtype) noexcept nogil:
    """Whether a full block of half precision is in [0, 1]."""
    return bits_within(x, one_of_half(dtype), <uint16_t>0)


cdef inline floating largest(const floating* tag) noexcept nogil:
    """The largest finite number."""
    if floating is float:
        return 3.4028234663852886e38
    else:
        return 1.7976931348623157e308


cdef inline int outside(const double* x, int n, double low, double high) noexcept nogil:
    """How many of x are outside [low, high], NaN included."""
    cdef Py_ssize_t i
    cdef int found = 0
    for i in range(n):
        found += 0 if low <= x[i] and x[i] <= high else 1
    return found


cdef inline bint is_unit(const real* x, Py_ssize_t n) noexcept nogil:
    """Whether all are from 0 to 1; -0.0 counts as outside."""
    cdef uint32_t wrong_f32 = 0
    cdef uint64_t wrong_f64 = 0
    cdef Py_ssize_t i
    if real is float:
        for i in range(n):
            wrong_f32 |= <uint32_t>0x3F800000 - bits_of_f32(x[i])
        return wrong_f32 >> 31 == 0
    else:
        for i in range(n):
            wrong_f64 |= <uint64_t>0x3FF0000000000000 - bits_of_f64(x[i])
        return wrong_f64 >> 63 == 0


cdef inline void mark_outside_unit(const real* x, Py_ssize_t n, real* terms) noexcept nogil:
    """NaN for each term whose x is not in [0, 1]."""
    cdef real zero = 0, one = 1, nan = NAN
    cdef Py_ssize_t i
    if not is_unit(x, n):
        for i in range(n):
            terms[i] = terms[i] if x[i] >= zero and x[i] <= one else nan

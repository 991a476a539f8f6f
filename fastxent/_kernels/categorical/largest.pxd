# The largest of up to BLOCK classes of a row, and where it is.

from libc.math cimport INFINITY
from libc.stdint cimport int32_t
from libc.string cimport memcpy

from fastxent._kernels.job cimport BLOCK, LANES
from fastxent._kernels.numeric.sums cimport greatest, least, sum_lanes
from fastxent._kernels.types cimport real

cdef struct Lanes:          # up to BLOCK classes of a row, read by LANES
    const void* x
    Py_ssize_t whole        # the classes in full groups of LANES
    Py_ssize_t padded       # and with the tail


cdef inline const real* group(const Lanes* lanes, const real* tail, Py_ssize_t i) noexcept nogil:
    """LANES classes from class i on."""
    return <const real*>lanes.x + i if i < lanes.whole else tail


cdef inline Lanes fill_tail(const real* x, Py_ssize_t m, real filler, real* tail) noexcept nogil:
    """Copy the last m % LANES classes to the tail, and fill it up."""
    cdef Lanes lanes
    cdef Py_ssize_t j
    lanes.x = x
    lanes.whole = m - m % LANES
    lanes.padded = (m + LANES - 1) // LANES * LANES
    for j in range(LANES):
        tail[j] = filler
    memcpy(tail, x + lanes.whole, (m - lanes.whole) * sizeof(real))
    return lanes


cdef inline real largest_class(const Lanes* lanes, const real* tail) noexcept nogil:
    """The largest logit of a block, NaN apart."""
    cdef real most[LANES]
    cdef const real* x
    cdef Py_ssize_t i, j
    for j in range(LANES):
        most[j] = -INFINITY
    for i from 0 <= i < lanes.padded by LANES:
        x = group(lanes, tail, i)
        for j in range(LANES):
            most[j] = x[j] if x[j] > most[j] else most[j]
    return greatest(most)


cdef inline double count_greater(const Lanes* lanes, const real* tail, real limit) noexcept nogil:
    """How many logits of a block are larger than a limit."""
    cdef real counts[LANES]
    cdef double count[LANES]
    cdef real one = 1, zero = 0
    cdef const real* x
    cdef Py_ssize_t i, j
    for j in range(LANES):
        counts[j] = 0
    for i from 0 <= i < lanes.padded by LANES:
        x = group(lanes, tail, i)
        for j in range(LANES):
            counts[j] += one if x[j] > limit else zero
    for j in range(LANES):
        count[j] = <double>counts[j]
    return sum_lanes(count)


cdef inline Py_ssize_t first_equal(
    const Lanes* lanes, const real* tail, real value
) noexcept nogil:
    """The first class of a block with that logit, which is there."""
    # Without a branch, which depends on the numbers: each lane keeps the least of its classes.
    cdef real at[LANES]
    cdef real number, candidate, none = BLOCK
    cdef const real* x
    cdef Py_ssize_t i, j
    for j in range(LANES):
        at[j] = none
    for i from 0 <= i < lanes.padded by LANES:
        x = group(lanes, tail, i)
        number = <real><int32_t>i
        for j in range(LANES):
            candidate = number if x[j] == value else none
            at[j] = candidate if candidate < at[j] else at[j]
    for j in range(LANES):
        at[j] += <real><int32_t>j
    return <Py_ssize_t>least(at)

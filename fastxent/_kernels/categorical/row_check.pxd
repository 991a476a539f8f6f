# A check of rows of probabilities as a whole, where a loss reads one class of each: all classes are in
# [0, 1], and how far from 1 their sums are.

from fastxent._kernels.arrays.bounds cimport is_unit
from fastxent._kernels.arrays.load cimport element_ptr, load_one, view_classes
from fastxent._kernels.arrays.prefetch cimport prefetch_lanes
from fastxent._kernels.categorical.rows cimport row_error
from fastxent._kernels.categorical.softmax cimport load_tile, sum_tile
from fastxent._kernels.job cimport (
    BAD_SCORE, BLOCK, Job, LANES, NAN_SCORE, Partial, ROWS, TILE_CLASSES,
)
from fastxent._kernels.numeric.sums cimport add_run, greatest
from fastxent._kernels.types cimport real


cdef inline bint sum_long_rows(
    const Job* job, Py_ssize_t start, int n, double* total, real* tag
) noexcept nogil:
    """The sums of n rows, SIMD over the classes; False if a class may be out of [0, 1]."""
    cdef real staged[BLOCK]
    cdef double scratch[BLOCK]
    cdef const real* p
    cdef const char* row
    cdef double low
    cdef Py_ssize_t first, i
    cdef int m
    cdef bint within = True
    for i in range(n):
        row = element_ptr(job, &job.scores, start + i)
        low = 0.0
        for first from 0 <= first < job.classes by BLOCK:
            m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
            p = view_classes(&job.scores, row, first, m, scratch, staged)
            within &= is_unit(p, m)
            add_run(p, m, &total[i], &low)
        total[i] += low
    return within


cdef inline bint find_outside(
    const Job* job, Py_ssize_t start, int n, Partial* partial
) noexcept nogil:
    """Record the first class of n rows that is out of [0, 1]; True if there is none: -0.0 is within."""
    cdef const char* row
    cdef double p
    cdef Py_ssize_t i, k
    for i in range(n):
        row = element_ptr(job, &job.scores, start + i)
        for k in range(job.classes):
            p = load_one(&job.scores, row + k * job.scores.class_stride)
            if not 0.0 <= p <= 1.0:
                return row_error(partial, BAD_SCORE if p == p else NAN_SCORE, start + i, k)
    return True


cdef inline bint check_tile_of_rows(
    const Job* job, Py_ssize_t start, int n, Partial* partial, real* tag
) noexcept nogil:
    """`check_rows` of up to ROWS rows."""
    cdef real tile[TILE_CLASSES * ROWS]
    cdef double total[ROWS]
    cdef double deviation
    cdef const char* place
    cdef Py_ssize_t i
    cdef bint within
    for i in range(ROWS):
        total[i] = 0.0
    if job.classes <= TILE_CLASSES:
        # Exact if the rows are contiguous, harmless if not.
        place = job.scores.data + (start + 2 * ROWS) * job.scores.stride[0]
        for i from 0 <= i < job.classes * ROWS by LANES:
            prefetch_lanes(place + i * job.scores.itemsize, job.scores.itemsize)
        load_tile(job, &job.scores, start, n, 0, job.classes, tile)
        within = is_unit(<const real*>tile, job.classes * ROWS)
        sum_tile(<const real*>tile, job.classes, total)
    else:
        within = sum_long_rows(job, start, n, total, tag)
    for i in range(n):
        total[i] = total[i] - 1.0 if total[i] > 1.0 else 1.0 - total[i]
    for i in range(n, ROWS):
        total[i] = 0.0
    for i in range(LANES):
        total[i] = total[i + LANES] if total[i + LANES] > total[i] else total[i]
    deviation = greatest(total)
    partial.deviation = deviation if deviation > partial.deviation else partial.deviation
    return within or find_outside(job, start, n, partial)


cdef inline bint check_rows(
    const Job* job, Py_ssize_t start, Py_ssize_t n, Partial* partial, real* tag
) noexcept nogil:
    """Check n rows and note how far their sums are from 1; False, with the error, if one is wrong."""
    cdef Py_ssize_t i
    for i from 0 <= i < n by ROWS:
        if not check_tile_of_rows(
            job, start + i, <int>min(<Py_ssize_t>ROWS, n - i), partial, tag
        ):
            return False
    return True

# Rows of many logits in Fortran order: the classes of a row lie far apart, the rows of a class side by
# side. Class by class, whole cache lines are read, and a tile is turned into short rows.
#
# The exponentials and the order of the sums are those of `sum_exp_row`, bit for bit.

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastxent._kernels.arrays.load cimport is_real
from fastxent._kernels.arrays.prefetch cimport prefetch_lanes
from fastxent._kernels.arrays.transpose cimport rows_of_tile
from fastxent._kernels.categorical.softmax cimport exp_of_classes
from fastxent._kernels.job cimport BLOCK, Job, LANES, ROWS
from fastxent._kernels.numeric.generic cimport exp_scale_inverse
from fastxent._kernels.numeric.sums cimport add, sum_lanes
from fastxent._kernels.types cimport real

cdef enum:
    COLUMNS_AHEAD = 8   # classes: columns of a power of two in size share a set of the cache


cdef inline bint is_column_major(const Job* job, const real* tag) noexcept nogil:
    """Whether the rows of a class are one run of the kernels' type."""
    return (
        job.ndim == 1
        and is_real(job.scores.dtype, tag)
        and not job.scores.byteswapped
        and job.scores.stride[0] == job.scores.itemsize
        and job.scores.class_stride != job.scores.itemsize
    )


cdef inline void load_columns(
    const Job* job, Py_ssize_t start, int n, Py_ssize_t first, Py_ssize_t m, real* flat
) noexcept nogil:
    """flat[i * m + k] = class first + k of row i, m <= LANES; 0 where there is no row."""
    cdef real tile[LANES * ROWS]
    cdef const char* place = job.scores.data + start * job.scores.itemsize
    cdef Py_ssize_t i, k
    place += first * job.scores.class_stride
    for k in range(m):
        prefetch_lanes(place + COLUMNS_AHEAD * job.scores.class_stride, 2 * sizeof(real))
        memcpy(tile + k * ROWS, place, n * sizeof(real))
        place += job.scores.class_stride
    for k in range(m):
        for i in range(n, ROWS):
            tile[k * ROWS + i] = 0
    rows_of_tile(tile, m, flat)


cdef inline void sum_exp_columns(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, const real* target_logit,
    double* sum_exp
) noexcept nogil:
    """`sum_exp_row` of up to ROWS rows."""
    cdef real flat[LANES * ROWS]
    cdef real exps[LANES]
    cdef double lanes[LANES * ROWS]
    cdef double hi[ROWS]
    cdef double lo[ROWS]
    cdef Py_ssize_t block, first, i, j, m
    for i in range(n):
        hi[i] = 0.0
        lo[i] = 0.0
    for block from 0 <= block < job.classes by BLOCK:
        for i in range(LANES * ROWS):
            lanes[i] = 0.0
        for first from block <= first < min(block + BLOCK, job.classes) by LANES:
            m = min(<Py_ssize_t>LANES, job.classes - first)
            load_columns(job, start, n, first, m, flat)
            for j in range(LANES):
                exps[j] = 0
            for i in range(n):
                exp_of_classes(&job.scores, NULL, flat + i * m, m, target_logit[i], exps)
                if first <= target[i] < first + m:
                    exps[target[i] - first] = 0
                for j in range(LANES):
                    lanes[i * LANES + j] += <double>exps[j]
        for i in range(n):
            add(sum_lanes(lanes + i * LANES), &hi[i], &lo[i])
    for i in range(n):
        sum_exp[i] = (hi[i] + lo[i]) * exp_scale_inverse(exps)
        sum_exp[i] += <double>(target_logit[i] - target_logit[i])

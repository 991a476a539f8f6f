# Rows of logits against labels that are not one class: smoothed class indices, and distributions.
#
# With d_j = x_j - x_r for any class r, and s the sum of e^d_j over the other classes, the loss is
#
#     sum_j q_j (log(1 + s) - d_j) = Q log(1 + s) + sum_j q_j (x_r - x_j),   Q = sum_j q_j.
#
# So the fast path of class indices (softmax.pxd) serves these labels, too: r takes the place of the
# target, and what is left are two more sums over the row. r is the target of a class index, and the
# largest logit for a distribution, where no term is below 0. A row that is out of the ordinary makes
# its loss infinite or NaN: the general path recomputes it.

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t

from fastxent._kernels.arrays.bounds cimport mark_outside_unit
from fastxent._kernels.arrays.prefetch cimport prefetch_lanes
from fastxent._kernels.categorical.rows cimport Rows
from fastxent._kernels.categorical.softmax cimport (
    load_tile, rows_ahead, sum_exp_tiles, sum_tile, target_scores, tile_width,
)
from fastxent._kernels.job cimport (
    CATEGORICAL_LOGITS, is_index, Job, LANES, ROWS, TILE_CLASSES,
)
from fastxent._kernels.types cimport real


cdef inline bint has_soft_path(const Job* job) noexcept nogil:
    """Whether these rows of logits are soft labels that have the fast path."""
    return job.loss == CATEGORICAL_LOGITS and job.class_weight == NULL and not is_index(job)


cdef inline void start_terms(Rows* rows) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(ROWS):
        rows.linear[i] = 0.0
        rows.spread[i] = 0.0
        rows.label_sum[i] = 0.0


cdef inline void finish_terms(
    const Job* job, Rows* rows, Py_ssize_t first, Py_ssize_t stop
) noexcept nogil:
    """Q and the linear term of some rows, which contain the labels' smoothing e.

    Q = (1 - e) sum q + e, and the linear term has e / K of each class.
    """
    cdef double smoothing = job.label_smoothing
    cdef double share = smoothing / <double>job.classes
    cdef Py_ssize_t i
    for i in range(first, stop):
        rows.linear[i] = (1.0 - smoothing) * rows.linear[i]
    if smoothing != 0.0:
        for i in range(first, stop):
            rows.linear[i] += share * rows.spread[i]
    if job.index_labels:
        for i in range(first, stop):
            rows.label_sum[i] = 1.0
    else:
        for i in range(first, stop):
            rows.label_sum[i] = (1.0 - smoothing) * rows.label_sum[i] + smoothing


# ---- few classes: SIMD over the rows ---------------------------------------------------------


cdef inline void largest_of_tiles(
    const real* logits, Py_ssize_t classes, real* maximum, real* argmax
) noexcept nogil:
    """The largest logit of each row, and its class: the first of several."""
    # Each choice has a loop of its own: of two that share a condition gcc makes branches.
    cdef real best[LANES]
    cdef real at[LANES]
    cdef real x[LANES]
    cdef real number
    cdef Py_ssize_t i, j, k
    for i from 0 <= i < ROWS by LANES:      # LANES at a time stay in registers
        for j in range(LANES):
            best[j] = -INFINITY
            at[j] = 0
        for k in range(classes):
            number = <real><int32_t>k
            for j in range(LANES):
                x[j] = logits[k * ROWS + i + j]
            for j in range(LANES):
                at[j] = number if x[j] > best[j] else at[j]
            for j in range(LANES):
                best[j] = x[j] if x[j] > best[j] else best[j]
        for j in range(LANES):
            maximum[i + j] = best[j]
            argmax[i + j] = at[j]


cdef inline real soft_term(real largest, real x, real label) noexcept nogil:
    """label (largest - x), where 0 * inf is 0. A logit that is NaN is left to the exponentials."""
    cdef real zero = 0
    cdef real term = label * (largest - x)
    return term if term > zero else zero


cdef inline void soft_terms_of_tile(
    const Job* job, Py_ssize_t start, Rows* rows, Py_ssize_t first, Py_ssize_t m, const real* base,
    const real* tile
) noexcept nogil:
    """Add q, q (base - x) and base - x of m classes to the sums of their rows."""
    cdef real q[TILE_CLASSES * ROWS]
    cdef real terms[TILE_CLASSES * ROWS]
    cdef int itemsize = job.labels.itemsize
    cdef const char* next_rows = rows_ahead(&job.labels, start, first)
    cdef Py_ssize_t i, j, k
    if job.label_smoothing != 0.0:
        for k in range(m):
            for i in range(ROWS):
                terms[k * ROWS + i] = base[i] - tile[k * ROWS + i]
        sum_tile(<const real*>terms, m, rows.spread)
    if job.index_labels:
        return
    load_tile(job, &job.labels, start, rows.n, first, m, q)
    for k in range(m):
        prefetch_lanes(next_rows + k * ROWS * itemsize, ROWS // LANES * itemsize)
        for i in range(ROWS):
            j = k * ROWS + i
            terms[j] = soft_term(base[i], tile[j], q[j])
    mark_outside_unit(<const real*>q, m * ROWS, terms)
    sum_tile(q, m, rows.label_sum)
    sum_tile(terms, m, rows.linear)


cdef inline void soft_terms_of_tiles(
    const Job* job, Py_ssize_t start, Rows* rows, const real* logits
) noexcept nogil:
    """The terms of rows whose logits are in tiles, one after the other."""
    cdef real base[ROWS]
    cdef real argmax[ROWS]
    cdef Py_ssize_t first, i, width = tile_width(job)
    start_terms(rows)
    if job.index_labels:
        for i in range(ROWS):
            base[i] = logits[rows.target[i] * ROWS + i] if i < rows.n else 0
    else:
        largest_of_tiles(logits, job.classes, base, argmax)
        for i in range(rows.n):
            rows.target[i] = <int64_t>argmax[i]
    for first from 0 <= first < job.classes by width:
        soft_terms_of_tile(
            job, start, rows, first, min(width, job.classes - first), base, logits + first * ROWS
        )
    finish_terms(job, rows, 0, ROWS)


cdef inline void sum_exp_of_tiles(
    const Job* job, Py_ssize_t start, Rows* rows, bint keep, real* exps, double* sum_exp
) noexcept nogil:
    """`sum_exp_tiles`, after the terms of soft labels, for which all logits are loaded, once."""
    cdef bint loaded = has_soft_path(job)
    cdef Py_ssize_t first, width
    if loaded:
        width = tile_width(job)
        for first from 0 <= first < job.classes by width:
            load_tile(
                job, &job.scores, start, rows.n, first, min(width, job.classes - first),
                exps + first * ROWS,
            )
        soft_terms_of_tiles(job, start, rows, <const real*>exps)
    sum_exp_tiles(job, start, rows.n, rows.target, loaded, keep, exps, sum_exp)


# ---- z_loss ----------------------------------------------------------------------------------


cdef inline void set_logsumexp(
    const Job* job, Py_ssize_t start, Rows* rows, const double* loss, real* tag
) noexcept nogil:
    """Set `logsumexp` from what log1p of the sums gives, the losses against `target`."""
    cdef real base[ROWS]
    cdef Py_ssize_t i
    target_scores(job, start, rows.n, rows.target, base)
    for i in range(rows.n):
        rows.logsumexp[i] = loss[i] + <double>base[i]

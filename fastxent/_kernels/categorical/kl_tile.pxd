# The Kullback-Leibler divergence of rows of few logits: SIMD over the rows, in float64.
#
# It is the sum of q log(q/p) - q + p, as in kl_general.pxd. With w = e^(q - maximum) and r = log(p/q)
# that is the sum of w (e^r - 1 - r) over the sum of w. A common error of all r counts only by its
# square, since the sum of p - q is 0. A row with a number that is not finite, or with |r| > FAR, is
# left to it.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastxent._kernels.categorical.gradient_tile cimport store_grad_tile
from fastxent._kernels.categorical.rows cimport Rows
from fastxent._kernels.categorical.softmax cimport load_tile, rows_ahead, sum_exp_tile, sum_tile
from fastxent._kernels.job cimport ABSENT, Job, Operand, ROWS, TILE_CLASSES
from fastxent._kernels.numeric.elementary cimport logn_f64
from fastxent._kernels.numeric.expm1 cimport expm1_less, expm1_moderate
from fastxent._kernels.numeric.generic cimport difference, exp_scale_inverse

cdef enum:
    FAR = 30    # the largest |log(p/q)| of which e^r - 1 - r is taken

cdef struct RowsOfLogits:       # of p or q
    double x[TILE_CLASSES * ROWS]
    double exps[TILE_CLASSES * ROWS]    # e^(x - maximum) over `exp_scale_inverse`
    double maximum[ROWS]
    double sums[ROWS]                   # of e^(x - maximum)


cdef inline void load_logits(
    const Job* job, const Operand* op, Py_ssize_t start, int n, RowsOfLogits* rows
) noexcept nogil:
    """Up to ROWS rows, their maxima and exponentials; a sum is NaN where a logit is not finite."""
    cdef double scale = exp_scale_inverse(rows.x)
    cdef Py_ssize_t i, j, k
    load_tile(job, op, start, n, 0, job.classes, rows.x)
    for i in range(ROWS):
        rows.maximum[i] = -INFINITY
        rows.sums[i] = 0.0
    for k in range(job.classes):
        for i in range(ROWS):
            j = k * ROWS + i
            rows.sums[i] += rows.x[j] - rows.x[j]
            rows.maximum[i] = rows.x[j] if rows.x[j] > rows.maximum[i] else rows.maximum[i]
    memcpy(rows.exps, rows.x, job.classes * ROWS * sizeof(double))
    sum_exp_tile(
        <const double*>rows.maximum, job.classes, rows_ahead(op, start, 0), op.itemsize, rows.exps,
        rows.sums,
    )
    for i in range(ROWS):
        rows.sums[i] *= scale


cdef inline void log_ratios_of_tile(
    const Job* job, const RowsOfLogits* p, const RowsOfLogits* q, double* ratio
) noexcept nogil:
    """log(p/q), from exact differences of the logits; NaN beyond FAR."""
    cdef double shift[ROWS]
    cdef double shift_err[ROWS]
    cdef double log_sums[ROWS]
    cdef double d, err
    cdef Py_ssize_t i, j, k
    for i in range(ROWS):
        shift[i] = difference(p.maximum[i], q.maximum[i], &shift_err[i])
        log_sums[i] = logn_f64(p.sums[i]) - logn_f64(q.sums[i])
    for k in range(job.classes):
        for i in range(ROWS):
            j = k * ROWS + i
            d = difference(p.x[j], q.x[j], &err)
            d = ((d - shift[i]) + (err - shift_err[i])) - log_sums[i]
            ratio[j] = d if d >= -FAR and d <= FAR else NAN


cdef inline void divergences_of_tile(
    const Job* job, Rows* rows, const RowsOfLogits* p, const RowsOfLogits* q, const double* ratio,
    double* terms, uint8_t* done
) noexcept nogil:
    """The divergences of the rows that are done."""
    cdef double sums[ROWS]
    cdef double scale = exp_scale_inverse(terms)
    cdef Py_ssize_t i
    for i in range(job.classes * ROWS):
        terms[i] = q.exps[i] * expm1_less(ratio[i])
    for i in range(ROWS):
        sums[i] = 0.0
    sum_tile(<const double*>terms, job.classes, sums)
    for i in range(ROWS):
        sums[i] = sums[i] * scale / q.sums[i]
    for i in range(rows.n):
        done[i] = rows.valid[i] and sums[i] < INFINITY and p.sums[i] < INFINITY
        if done[i]:
            rows.loss[i] = sums[i]


cdef inline void gradients_of_tile(
    const Job* job, Py_ssize_t start, const Rows* rows, const RowsOfLogits* q, const double* ratio,
    const uint8_t* done, double* grad
) noexcept nogil:
    """Store p - q = q (e^r - 1), times what a row counts, of the rows that are done."""
    cdef double factor[ROWS]
    cdef double scale = exp_scale_inverse(grad) * job.grad_scale
    cdef int all_done = 1
    cdef Py_ssize_t i, j, k
    for i in range(ROWS):
        factor[i] = 0.0
    for i in range(rows.n):
        all_done &= done[i]
        factor[i] = rows.factor[i] * scale / q.sums[i] if done[i] else 0.0
    for k in range(job.classes):
        for i in range(ROWS):
            j = k * ROWS + i
            grad[j] = q.exps[j] * expm1_moderate(ratio[j]) * factor[i]
    store_grad_tile(job, &job.grad, start, rows.n, done, all_done, grad)


cdef inline void kl_of_tile(
    const Job* job, Py_ssize_t start, Rows* rows, uint8_t* done
) noexcept nogil:
    """Divergences of up to ROWS rows, and gradients where wanted; `done` marks who has them."""
    cdef RowsOfLogits p
    cdef RowsOfLogits q
    cdef double ratio[TILE_CLASSES * ROWS]
    load_logits(job, &job.scores, start, rows.n, &p)
    load_logits(job, &job.labels, start, rows.n, &q)
    log_ratios_of_tile(job, &p, &q, ratio)
    # The exponentials of p are no longer needed.
    divergences_of_tile(job, rows, &p, &q, ratio, p.exps, done)
    if job.grad.dtype != ABSENT:
        gradients_of_tile(job, start, rows, &q, ratio, done, p.exps)

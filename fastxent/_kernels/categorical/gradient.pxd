# Derivatives of losses of a row of logits per position. As with the losses, rows of class indices go by
# lanes of the scores' own type, and everything else by float64.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport uint8_t

from fastxent._kernels.arrays.store cimport store_grad_classes, store_grad_classes_f64
from fastxent._kernels.arrays.load cimport element_ptr, view_classes
from fastxent._kernels.categorical.chunk cimport add_log1p_rows, run_rows
from fastxent._kernels.categorical.gradient_tile cimport (
    grad_weights, row_scale, tile_gradients, general_tile_gradients,
)
from fastxent._kernels.categorical.rows cimport Rows, load_rows
from fastxent._kernels.categorical.soft_labels cimport (
    load_classes, sum_exp_below, row_maximum, weigh_classes,
)
from fastxent._kernels.categorical.softmax cimport sum_exp_block, exp_shifted, target_scores
from fastxent._kernels.focal cimport softmax_of_classes, class_grad_weights
from fastxent._kernels.job cimport (
    ABSENT, BLOCK, CATEGORICAL_FOCAL, is_index, Job, NAN_OMIT, NAN_RAISE, NO_ERROR, Partial, ROWS,
    TILE_CLASSES,
)
from fastxent._kernels.numeric.generic cimport exp_scale_inverse
from fastxent._kernels.numeric.sums cimport add, lane_sum
from fastxent._kernels.types cimport real

cdef enum:
    CACHED_CLASSES = 2048     # classes of a row whose exponentials are kept in L1 until their sum is known


# ---- by lanes --------------------------------------------------------------------------------


cdef inline bint long_row_gradients(
    const Job* job, Py_ssize_t start, Rows* rows, Py_ssize_t i, real own
) noexcept nogil:
    """One row of many classes, the sum of its odds into loss; False where float64 is needed."""
    cdef real exps[CACHED_CLASSES]
    cdef real staged[BLOCK]
    cdef const char* row = element_ptr(job, &job.scores, start + i)
    cdef const char* place = element_ptr(job, &job.grad, start + i)
    cdef const real* x
    cdef double hi = 0.0, lo = 0.0, rest, scale, grad_weight
    cdef real factor
    cdef Py_ssize_t first, j, m
    cdef Py_ssize_t target = rows.target[i]
    cdef bint short = job.classes <= CACHED_CLASSES
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        sum_exp_block(
            job, row, target, own, first, <int>m, rows.scratch,
            exps + (first if short else 0), &hi, &lo,
        )
    rest = (hi + lo) * exp_scale_inverse(exps) + <double>(own - own)
    rows.loss[i] = rest
    grad_weights(job, &rest, 1, &grad_weight)
    if not row_scale(job, rows, i, rest, grad_weight, &scale):
        return False
    factor = <real>(scale * exp_scale_inverse(exps))
    if short:
        for j in range(job.classes):
            exps[j] = exps[j] * factor
        exps[target] = <real>(-rest * scale)
        store_grad_classes(job, &job.grad, place, 0, <int>job.classes, exps)
        return True
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        x = view_classes(&job.scores, row, first, <int>m, rows.scratch, staged)
        exp_shifted(job, row + first * job.scores.class_stride, x, m, own, exps)
        for j in range(m):
            exps[j] = exps[j] * factor
        if first <= target < first + m:
            exps[target - first] = <real>(-rest * scale)
        store_grad_classes(job, &job.grad, place, first, <int>m, exps)
    return True


# ---- in float64 ------------------------------------------------------------------------------


cdef inline void fill_row(const Job* job, Py_ssize_t position, double value) noexcept nogil:
    """One number for all of a row."""
    cdef double same[BLOCK]
    cdef Py_ssize_t first, j
    cdef int m
    for j in range(BLOCK):
        same[j] = value
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        store_grad_classes_f64(job, &job.grad, element_ptr(job, &job.grad, position), first, m, same)
        if job.hess.dtype != ABSENT:
            store_grad_classes_f64(job, &job.hess, element_ptr(job, &job.hess, position), first, m, same)


cdef inline void class_weights(
    const Job* job, const char* labels, Py_ssize_t target, Py_ssize_t first, int m, void* scratch,
    double* q
) noexcept nogil:
    """What each class weighs in the loss of its row: labels that the loss has checked."""
    cdef double weight = 0.0
    cdef int bad = 0
    weigh_classes(job, labels, target, first, m, scratch, q, &weight, &bad)


cdef inline void row_grad_weights(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, Py_ssize_t first,
    Py_ssize_t m, double maximum, double rest, Py_ssize_t argmax, void* scratch, double* grad_weight, double* p,
    double* one_minus_p, double* grad_weight_deriv
) noexcept nogil:
    """The pulls of m classes and their probabilities."""
    cdef double x[BLOCK]
    cdef Py_ssize_t j
    load_classes(job, row, first, <int>m, scratch, x)
    class_weights(job, labels, target, first, <int>m, scratch, grad_weight)
    softmax_of_classes(x, m, maximum, rest, argmax - first, p, one_minus_p)
    if job.loss == CATEGORICAL_FOCAL:
        class_grad_weights(job, p, one_minus_p, x, m, grad_weight, grad_weight_deriv)
    else:
        for j in range(m):
            grad_weight_deriv[j] = 0.0


cdef inline bint has_undefined_gradient(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, double maximum,
    void* scratch
) noexcept nogil:
    """Whether a row holds a NaN, is of -inf only, or has a share of one of several +inf."""
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef bint unordered = maximum == -INFINITY, err = False
    cdef Py_ssize_t first, j, m, n_max = 0
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        load_classes(job, row, first, <int>m, scratch, x)
        class_weights(job, labels, target, first, <int>m, scratch, q)
        for j in range(m):
            unordered |= x[j] != x[j] or q[j] != q[j]
            n_max += x[j] == INFINITY
            err |= x[j] == INFINITY and q[j] > 0.0
    return unordered or (n_max > 1 and err)


cdef inline void general_row_gradients(
    const Job* job, Py_ssize_t position, Py_ssize_t target, double factor, void* scratch
) noexcept nogil:
    """p_j sum(a) - a_j of one row, and its derivative, where a_j is the pull of a class.

    In a cross entropy that is what the class weighs, q_j; a focal loss changes it with p_j. Only the
    class at the top can have a p near 1. Its 1 - p is the others' share, and what it lacks of sum(a)
    the others' too: nothing cancels that need not.
    """
    cdef double x[BLOCK]
    cdef double grad_weight[BLOCK]
    cdef double p[BLOCK]
    cdef double one_minus_p[BLOCK]
    cdef double grad_weight_deriv[BLOCK]
    cdef const char* row = element_ptr(job, &job.scores, position)
    cdef const char* labels = NULL
    cdef double maximum, rest, others = 0.0, others_lo = 0.0, grad_weight_derivs = 0.0, own = 0.0
    cdef double total, hess
    cdef Py_ssize_t first, j, m, argmax = 0
    if not job.index_labels:
        labels = element_ptr(job, &job.labels, position)
    maximum = row_maximum(job, row, scratch)
    # Where NaN raises, the loss has found it.
    if (job.nan_policy != NAN_RAISE or not -INFINITY < maximum < INFINITY) and has_undefined_gradient(
        job, row, labels, target, maximum, scratch
    ):
        fill_row(job, position, 0.0 if job.nan_policy == NAN_OMIT else NAN)
        return
    rest = sum_exp_below(job, row, maximum, scratch, &argmax)
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        row_grad_weights(job, row, labels, target, first, m, maximum, rest, argmax, scratch, grad_weight, p, one_minus_p, grad_weight_deriv)
        if first <= argmax < first + m:
            own = grad_weight[argmax - first]
            grad_weight[argmax - first] = 0.0
        add(lane_sum(grad_weight, m), &others, &others_lo)
        grad_weight_derivs += lane_sum(grad_weight_deriv, m)
    others += others_lo
    total = own + others
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        if job.classes > BLOCK:     # else they are still there
            row_grad_weights(
                job, row, labels, target, first, m, maximum, rest, argmax, scratch, grad_weight, p, one_minus_p, grad_weight_deriv
            )
        for j in range(m):
            x[j] = (p[j] * total - grad_weight[j]) * factor
        if first <= argmax < first + m:
            # Each where it does not cancel
            x[argmax - first] = (
                others - total * one_minus_p[argmax - first] if rest < 1.0 else p[argmax - first] * total - own
            ) * factor
        store_grad_classes_f64(job, &job.grad, element_ptr(job, &job.grad, position), first, <int>m, x)
        if job.hess.dtype == ABSENT:
            continue
        for j in range(m):
            hess = p[j] * one_minus_p[j] * total + (
                p[j] * p[j] * (grad_weight_derivs - grad_weight_deriv[j]) + one_minus_p[j] * one_minus_p[j] * grad_weight_deriv[j]
            )
            x[j] = (job.hess_floor if hess < job.hess_floor else hess) * factor
        store_grad_classes_f64(job, &job.hess, element_ptr(job, &job.hess, position), first, <int>m, x)


cdef inline void write_rows(
    const Job* job, Py_ssize_t start, Rows* rows, const uint8_t* done
) noexcept nogil:
    """The gradients of those rows of a block that are not done."""
    cdef Py_ssize_t i
    for i in range(rows.n):
        if not rows.valid[i]:
            fill_row(job, start + i, 0.0)
        elif not done[i]:
            general_row_gradients(
                job, start + i, rows.target[i], rows.factor[i] * job.grad_scale, rows.scratch
            )


cdef inline bint run_row_block(
    const Job* job, Py_ssize_t start, int n, Partial* partial, real* tag
) noexcept nogil:
    """Losses and gradients of up to ROWS rows; False where one holds a fault.

    By lanes, the exponentials serve both: they are added up as the loss does.
    """
    cdef Rows rows
    cdef uint8_t done[ROWS]
    cdef real target[ROWS]
    cdef Py_ssize_t i
    cdef bint fast_path = is_index(job) and job.hess.dtype == ABSENT and job.nan_policy == NAN_RAISE
    for i in range(ROWS):
        done[i] = 0
    if not fast_path:
        run_rows(job, start, start + n, partial, tag)
        if partial.error != NO_ERROR:
            return False
    rows.n = n
    if not load_rows(job, start, &rows, partial):
        return False
    if not fast_path:
        if job.classes <= TILE_CLASSES:
            general_tile_gradients(job, start, &rows, done)
        write_rows(job, start, &rows, done)
        return True
    if job.classes <= TILE_CLASSES:
        tile_gradients(job, start, &rows, done, tag)
    else:
        target_scores(job, start, n, rows.target, target)
        for i in range(n):
            rows.loss[i] = 0.0
            if rows.valid[i]:
                done[i] = long_row_gradients(job, start, &rows, i, target[i])
    if not add_log1p_rows(job, start, &rows, partial):
        return False
    write_rows(job, start, &rows, done)
    return True

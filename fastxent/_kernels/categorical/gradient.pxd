# Derivatives of the losses of rows of logits. As for the losses, gradients against class indices are
# computed in the scores' own type, all else in float64.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastxent._kernels.arrays.load cimport element_ptr
from fastxent._kernels.arrays.store cimport store_grad_classes
from fastxent._kernels.categorical.chunk cimport add_log1p_rows, run_rows
from fastxent._kernels.categorical.gradient_row cimport long_row_gradients
from fastxent._kernels.categorical.gradient_tile cimport general_tile_gradients, tile_gradients
from fastxent._kernels.categorical.long_row cimport choose_base, start_long_rows
from fastxent._kernels.categorical.rows cimport Rows, load_rows
from fastxent._kernels.categorical.soft_logits cimport has_soft_path
from fastxent._kernels.categorical.soft_labels cimport (
    load_classes, soft_row, SoftRow, sum_exp_below_maximum, weigh_classes,
)
from fastxent._kernels.categorical.softmax cimport is_tiled
from fastxent._kernels.focal cimport softmax_of_classes, class_grad_weights
from fastxent._kernels.job cimport (
    ABSENT, BLOCK, CATEGORICAL_FOCAL, CATEGORICAL_LOGITS, is_index, Job, NAN_OMIT, NAN_RAISE,
    NO_ERROR, Partial, ROWS, TILE_CLASSES,
)
from fastxent._kernels.numeric.elementary cimport log1p_f64
from fastxent._kernels.numeric.sums cimport add_lanes, lane_sum, mul_zero_inf
from fastxent._kernels.types cimport real

cdef struct ClassBlock:     # up to BLOCK classes of a row
    double x[BLOCK]
    double p[BLOCK]
    double one_minus_p[BLOCK]
    double grad_weight[BLOCK]
    double grad_weight_deriv[BLOCK]

cdef struct RowSums:        # over all classes of a row
    double top_weight       # the gradient weight of argmax
    double others           # the sum of the other gradient weights
    double weight_derivs    # the sum of the derivatives


cdef inline void fill_row(const Job* job, Py_ssize_t position, double value) noexcept nogil:
    """Write one value to all derivatives of a row."""
    cdef double same[BLOCK]
    cdef Py_ssize_t first, j
    cdef int m
    for j in range(BLOCK):
        same[j] = value
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        store_grad_classes(job, &job.grad, element_ptr(job, &job.grad, position), first, m, same)
        if job.hess.dtype != ABSENT:
            store_grad_classes(job, &job.hess, element_ptr(job, &job.hess, position), first, m, same)


cdef inline void load_grad_weights(
    const Job* job, SoftRow* row, Py_ssize_t first, int m, ClassBlock* block
) noexcept nogil:
    """The probabilities and gradient weights of m classes. The loss has checked their labels."""
    cdef Py_ssize_t j
    load_classes(job, row, first, m, block.x)
    weigh_classes(job, row, first, m, block.grad_weight)
    softmax_of_classes(
        block.x, m, row.maximum, row.sum_exp_rest, row.argmax - first, block.p, block.one_minus_p
    )
    if job.loss == CATEGORICAL_FOCAL:
        class_grad_weights(
            job, block.p, block.one_minus_p, block.x, m, block.grad_weight, block.grad_weight_deriv
        )
    else:
        for j in range(m):
            block.grad_weight_deriv[j] = 0.0


cdef inline RowSums sum_grad_weights(
    const Job* job, SoftRow* row, ClassBlock* block
) noexcept nogil:
    """The sums over the classes of a row. Its last classes stay in the block."""
    cdef RowSums sums
    cdef double scratch[BLOCK]
    cdef double others_lo = 0.0
    cdef Py_ssize_t first
    cdef int m
    sums.top_weight = 0.0
    sums.others = 0.0
    sums.weight_derivs = 0.0
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        load_grad_weights(job, row, first, m, block)
        memcpy(scratch, block.grad_weight, m * sizeof(double))
        if first <= row.argmax < first + m:
            sums.top_weight = scratch[row.argmax - first]
            scratch[row.argmax - first] = 0.0
        add_lanes(scratch, m, &sums.others, &others_lo)
        sums.weight_derivs += lane_sum(block.grad_weight_deriv, m)
    sums.others += others_lo
    return sums


cdef inline bint has_undefined_gradient(const Job* job, SoftRow* row) noexcept nogil:
    """Whether a row holds a NaN, is all -inf, or has weight on one of several +inf."""
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef bint has_nan = False, weight_at_inf = False
    cdef Py_ssize_t first, j, m, n_max = 0
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        load_classes(job, row, first, <int>m, x)
        weigh_classes(job, row, first, <int>m, q)
        for j in range(m):
            has_nan |= x[j] != x[j] or q[j] != q[j]
            n_max += x[j] == INFINITY
            weight_at_inf |= x[j] == INFINITY and q[j] > 0.0
    return has_nan or row.maximum == -INFINITY or (n_max > 1 and weight_at_inf)


cdef inline void block_gradients(
    const SoftRow* row, const RowSums* sums, Py_ssize_t first, int m, double factor,
    ClassBlock* block
) noexcept nogil:
    """The gradient of m classes, to block.x."""
    cdef double total = sums.top_weight + sums.others
    cdef Py_ssize_t j
    for j in range(m):
        block.x[j] = (block.p[j] * total - block.grad_weight[j]) * factor
    if first <= row.argmax < first + m:
        j = row.argmax - first
        # Each form where it does not cancel.
        block.x[j] = (
            sums.others - total * block.one_minus_p[j] if row.sum_exp_rest < 1.0
            else block.p[j] * total - sums.top_weight
        ) * factor


cdef inline double z_loss_weight(
    const Job* job, const Rows* rows, Py_ssize_t i, const SoftRow* row
) noexcept nogil:
    """What the softmax is multiplied by in the gradient of z_loss logsumexp^2."""
    cdef double weight = rows.weight[i] * job.grad_scale
    if not job.index_labels and job.class_weight != NULL:
        weight *= row.label_weight
    return 2.0 * job.z_loss * mul_zero_inf(weight, row.maximum + log1p_f64(row.sum_exp_rest))


cdef inline void add_z_loss_gradients(double weight, int m, ClassBlock* block) noexcept nogil:
    """Add the gradient of z_loss logsumexp^2 to block.x."""
    cdef Py_ssize_t j
    for j in range(m):
        block.x[j] += mul_zero_inf(block.p[j], weight)


cdef inline void block_hessians(
    const Job* job, const RowSums* sums, int m, double factor, ClassBlock* block
) noexcept nogil:
    """The diagonal of the Hessian of m classes, to block.x."""
    cdef double total = sums.top_weight + sums.others
    cdef double hess, p, q
    cdef Py_ssize_t j
    for j in range(m):
        p = block.p[j]
        q = block.one_minus_p[j]
        hess = p * q * total + (
            p * p * (sums.weight_derivs - block.grad_weight_deriv[j])
            + q * q * block.grad_weight_deriv[j]
        )
        block.x[j] = (job.hess_floor if hess < job.hess_floor else hess) * factor


cdef inline void general_row_gradients(
    const Job* job, Py_ssize_t position, Rows* rows, Py_ssize_t i
) noexcept nogil:
    """p_j sum(a) - a_j of one row and its derivative, where a_j is the gradient weight of class j.

    a_j is the weight q_j of a class in a cross entropy; in a focal loss it depends on p_j as well. Only
    the class at the maximum can have a p near 1. Its 1 - p is the sum of the other p, and sum(a) less
    its own a is the sum of the others, so no nearly equal numbers are subtracted.
    """
    cdef ClassBlock block
    cdef RowSums sums
    cdef SoftRow row = soft_row(job, position, rows.target[i], rows.scratch)
    cdef double z_weight = 0.0, factor = rows.factor[i] * job.grad_scale
    cdef Py_ssize_t first
    cdef int m
    sum_exp_below_maximum(job, &row)
    # If NaN raises, the loss has found it.
    if (
        job.nan_policy != NAN_RAISE or not -INFINITY < row.maximum < INFINITY
    ) and has_undefined_gradient(job, &row):
        fill_row(job, position, 0.0 if job.nan_policy == NAN_OMIT else NAN)
        return
    row.label_weight = 0.0  # the labels may have been read before
    sums = sum_grad_weights(job, &row, &block)
    if job.z_loss != 0.0:
        z_weight = z_loss_weight(job, rows, i, &row)
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        if job.classes > BLOCK:     # else the block still holds them
            load_grad_weights(job, &row, first, m, &block)
        block_gradients(&row, &sums, first, m, factor, &block)
        if job.z_loss != 0.0:
            add_z_loss_gradients(z_weight, m, &block)
        store_grad_classes(
            job, &job.grad, element_ptr(job, &job.grad, position), first, m, block.x
        )
        if job.hess.dtype != ABSENT:
            block_hessians(job, &sums, m, factor, &block)
            store_grad_classes(
                job, &job.hess, element_ptr(job, &job.hess, position), first, m, block.x
            )


cdef inline void write_rows(
    const Job* job, Py_ssize_t start, Rows* rows, const uint8_t* done
) noexcept nogil:
    """Write the derivatives of the rows of a block that are not done."""
    cdef Py_ssize_t i
    for i in range(rows.n):
        if done[i]:
            continue
        if not rows.valid[i]:
            fill_row(job, start + i, rows.absent[i])
        else:
            general_row_gradients(job, start + i, rows, i)


cdef inline bint run_row_block(
    const Job* job, Py_ssize_t start, int n, Partial* partial, real* tag
) noexcept nogil:
    """Losses and derivatives of up to ROWS rows; False if one holds an error.

    On the fast path the exponentials serve both, and are added up as the loss adds them.
    """
    cdef Rows rows
    cdef uint8_t done[ROWS]
    cdef real target[ROWS]
    cdef Py_ssize_t i
    cdef bint fast_path = is_index(job) or has_soft_path(job)
    if job.hess.dtype != ABSENT and job.loss != CATEGORICAL_LOGITS:
        fast_path = False
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
        if job.classes <= TILE_CLASSES and job.z_loss == 0.0:
            general_tile_gradients(job, start, &rows, done)
        write_rows(job, start, &rows, done)
        return True
    if is_tiled(job, tag):
        tile_gradients(job, start, &rows, done, tag)
    else:
        start_long_rows(job, start, &rows, target)
        for i in range(n):
            rows.loss[i] = 0.0
            if rows.valid[i]:
                choose_base(job, start, &rows, i, &target[i])
                done[i] = long_row_gradients(job, start, &rows, i, target[i])
    if not add_log1p_rows(job, start, &rows, partial, tag):
        return False
    write_rows(job, start, &rows, done)
    return True

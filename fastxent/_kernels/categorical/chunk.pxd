# Losses of rows of classes: categorical cross entropy of probabilities and of logits, its focal
# variant, and the Kullback-Leibler divergence.
#
# A row of logits whose exponentials (softmax.pxd) overflow is recomputed in float64 and, if that
# overflows too, class by class by `scalar_row`: a target hundreds of nats behind, an infinity, a NaN.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t, uint8_t

from fastxent._kernels.arrays.bounds cimport outside
from fastxent._kernels.arrays.load cimport element_ptr, load_indices, load_one
from fastxent._kernels.arrays.prefetch cimport (
    OF_SCORES, Prefetch, prefetch_address, prefetch_lanes, prefetch_of,
)
from fastxent._kernels.arrays.store cimport store
from fastxent._kernels.categorical.columns cimport is_column_major, sum_exp_columns
from fastxent._kernels.categorical.distribution cimport (
    add_distributions, distribution_rows, has_fast_distributions, rows_of_run,
)
from fastxent._kernels.categorical.long_row cimport (
    choose_base, finish_sum_exp, start_long_rows, sum_exp_row,
)
from fastxent._kernels.categorical.row_check cimport check_rows
from fastxent._kernels.categorical.rows cimport in_range, Rows, apply_nan_policy, load_rows
from fastxent._kernels.categorical.soft_labels cimport (
    distribution_error, distribution_from_logits, distribution_from_probabilities,
    focal_from_logits, logsumexp_of_row, soft_row, SoftRow,
)
from fastxent._kernels.categorical.soft_logits cimport (
    has_soft_path, set_logsumexp, sum_exp_of_tiles,
)
from fastxent._kernels.categorical.softmax cimport is_tiled, target_scores, TILED_CLASSES
from fastxent._kernels.categorical.tile cimport soft_tile_losses
from fastxent._kernels.focal cimport focal_of_sum_exp
from fastxent._kernels.job cimport (
    ABSENT, BAD_SCORE, BLOCK, CATEGORICAL, CATEGORICAL_FOCAL, CATEGORICAL_LOGITS, ErrorCode,
    has_row_logits, is_index, Job, LANES, NAN_SCORE, NO_ERROR, Operand, Partial, ROWS, TILE_CLASSES,
    UNDEFINED_ROW,
)
from fastxent._kernels.likelihood cimport (
    add_product, clip_block, AllOnesClipped, log_one_plus, multiply_likelihoods, defer_log1p, Product,
    start_product, AllOnes,
)
from fastxent._kernels.numeric.clipped_log cimport minus_log
from fastxent._kernels.numeric.elementary cimport exp_nonpos_f64, log_f64
from fastxent._kernels.numeric.generic cimport log1p_all
from fastxent._kernels.numeric.sums cimport add, add_losses, apply_weights, mul_zero_inf, sum_lanes
from fastxent._kernels.types cimport real


cdef inline bint add_target_likelihoods(
    const Job* job, Py_ssize_t start, Product* product, real* tag
) noexcept nogil:
    """Multiply the target probabilities of BLOCK rows into the product; False if it cannot hold them."""
    cdef int64_t target[BLOCK]
    cdef real p[BLOCK]
    cdef double scratch[BLOCK]
    cdef Prefetch next = prefetch_of(job, start)
    next.size[OF_SCORES] = 0    # of rows only the targets are read
    load_indices(job, &job.labels, start, BLOCK, scratch, target)
    if not in_range(target, BLOCK, job.classes):
        return False
    target_scores(job, start, BLOCK, target, p)
    return multiply_likelihoods(p, <const AllOnes*>NULL, job.eps, &next, product) or (
        clip_block(p, job.eps, p)
        and multiply_likelihoods(p, <const AllOnesClipped*>NULL, job.eps, &next, product)
    )


# ---- class indices against logits -------------------------------------------------------------


cdef inline void sum_exp_rows(
    const Job* job, Py_ssize_t start, Rows* rows, double* sum_exp, real* tag
) noexcept nogil:
    """sum of e^(x_j - x_target) over j != target of each row."""
    cdef real tile[(TILED_CLASSES + 1) * ROWS]
    cdef real target[ROWS]
    cdef double err
    cdef Py_ssize_t i
    if is_tiled(job, tag):
        prefetch_lanes(prefetch_address(&job.labels, start), 2 * job.labels.itemsize)
        sum_exp_of_tiles(job, start, rows, False, tile, sum_exp)
        return
    start_long_rows(job, start, rows, target)
    if is_index(job) and is_column_major(job, tag):
        sum_exp_columns(job, start, rows.n, rows.target, target, sum_exp)
        return
    for i in range(rows.n):
        sum_exp[i] = 0.0
        if rows.valid[i]:
            choose_base(job, start, rows, i, &target[i])
            sum_exp[i] = sum_exp_row(job, start, rows, i, target[i], <real*>NULL, &err)
            sum_exp[i] = finish_sum_exp(sum_exp[i], err, target[i])


cdef inline double scalar_row(
    const Job* job, const char* row, Py_ssize_t target, ErrorCode* error, Py_ssize_t* index
) noexcept nogil:
    """The loss of one row of logits against a class index, class by class, in float64.

    A target at +inf costs 0 and one at -inf costs inf. The loss of a row of -inf only, or whose target
    is one of several +inf, is undefined: it is NaN, and `nan_policy` treats it like a NaN.
    """
    cdef const Operand* op = &job.scores
    cdef double x, maximum = -INFINITY, sum_exp = 0.0
    cdef double target_logit = load_one(op, row + target * op.class_stride)
    cdef Py_ssize_t j, infinite = 0
    error[0] = NO_ERROR
    index[0] = -1
    for j in range(job.classes):
        x = load_one(op, row + j * op.class_stride)
        if x != x:
            error[0] = NAN_SCORE
            index[0] = j
            return NAN
        maximum = x if x > maximum else maximum
        infinite += x == INFINITY
    if maximum == -INFINITY or (target_logit == INFINITY and infinite > 1):
        error[0] = UNDEFINED_ROW
        return NAN
    if target_logit == INFINITY:
        return 0.0
    if maximum == INFINITY or target_logit == -INFINITY:
        return INFINITY
    for j in range(job.classes):
        if j != target:
            sum_exp += exp_nonpos_f64(load_one(op, row + j * op.class_stride) - maximum)
    return (maximum - target_logit) + log_f64(sum_exp + exp_nonpos_f64(target_logit - maximum))


# ---- a block of rows --------------------------------------------------------------------------


cdef inline void losses_of_sum_exp(const Job* job, double* sum_exp, int n) noexcept nogil:
    """Turn the sums of exponentials of up to ROWS rows into their losses."""
    if job.loss == CATEGORICAL_FOCAL:
        focal_of_sum_exp(job, sum_exp, n)
    else:
        log1p_all(sum_exp, n)


cdef inline bint general_distribution(
    const Job* job, Py_ssize_t start, Rows* rows, int i, Partial* partial, real* tag
) noexcept nogil:
    """The loss of one row against a distribution by the general path; False if it holds an error."""
    cdef ErrorCode error
    cdef Py_ssize_t index = -1
    cdef SoftRow row = soft_row(job, start + i, rows.target[i], rows.scratch)
    if job.loss == CATEGORICAL_LOGITS:
        rows.loss[i] = distribution_from_logits(job, &row, tag)
        if real is float and not rows.loss[i] < INFINITY:
            row = soft_row(job, start + i, rows.target[i], rows.scratch)
            rows.loss[i] = distribution_from_logits(job, &row, <double*>NULL)
    elif job.loss == CATEGORICAL_FOCAL:
        rows.loss[i] = focal_from_logits(job, &row)
    else:
        rows.loss[i] = distribution_from_probabilities(job, &row)
    if not job.index_labels and job.class_weight != NULL:
        rows.weight[i] *= row.label_weight
    if row.bad_labels or row.bad_scores or rows.loss[i] != rows.loss[i]:
        if not distribution_error(job, &row, &error, &index):
            error = UNDEFINED_ROW if rows.loss[i] != rows.loss[i] else NO_ERROR
        return apply_nan_policy(job, rows, i, error, start + i, index, partial)
    return True


cdef inline bint recompute_rows(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Recompute the rows of logits whose loss is not finite; False if one holds an error."""
    cdef ErrorCode error
    cdef Py_ssize_t index, i
    cdef const char* row
    cdef SoftRow soft
    cdef double target_logit, err
    if not outside(rows.loss, rows.n, 0.0, 1.7976931348623157e308):
        return True
    for i in range(rows.n):
        if rows.valid[i] and not rows.loss[i] < INFINITY:
            if job.z_loss != 0.0:
                rows.logsumexp[i] = logsumexp_of_row(job, start + i, rows.scratch)
            if not is_index(job):
                if not general_distribution(job, start, rows, <int>i, partial, <double*>NULL):
                    return False
                continue
            row = element_ptr(job, &job.scores, start + i)
            target_logit = load_one(&job.scores, row + rows.target[i] * job.scores.class_stride)
            rows.loss[i] = sum_exp_row(job, start, rows, i, target_logit, <double*>NULL, &err)
            rows.loss[i] = finish_sum_exp(rows.loss[i], err, target_logit)
            losses_of_sum_exp(job, &rows.loss[i], 1)
            if rows.loss[i] < INFINITY:
                continue
            rows.loss[i] = scalar_row(job, row, rows.target[i], &error, &index)
            if job.loss == CATEGORICAL_FOCAL and 0.0 < rows.loss[i] < INFINITY:
                soft = soft_row(job, start + i, rows.target[i], rows.scratch)
                rows.loss[i] = focal_from_logits(job, &soft)
            if not apply_nan_policy(job, rows, <int>i, error, start + i, index, partial):
                return False
    return True


cdef inline bint index_losses(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Losses of probabilities against class indices."""
    cdef double p[ROWS]
    cdef ErrorCode error
    cdef Py_ssize_t i
    target_scores(job, start, rows.n, rows.target, p)
    for i in range(rows.n):
        if rows.valid[i] and not 0.0 <= p[i] <= 1.0:
            error = NAN_SCORE if p[i] != p[i] else BAD_SCORE
            if not apply_nan_policy(job, rows, i, error, start + i, rows.target[i], partial):
                return False
    for i in range(rows.n):
        rows.loss[i] = minus_log(p[i], 1.0 - p[i], 0.0, job.eps)
    return True


cdef inline bint distribution_losses(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial, real* tag
) noexcept nogil:
    """Losses against distributions: by the fast paths of many rows, and what they leave row by row."""
    cdef Py_ssize_t i
    cdef double label_weight[ROWS]
    cdef uint8_t done[ROWS]
    for i in range(rows.n):
        done[i] = 0
    if has_fast_distributions(job):
        distribution_rows(job, start, rows, done, tag)
    elif has_row_logits(job) and job.classes <= TILE_CLASSES:
        soft_tile_losses(job, start, rows.n, rows.target, rows.loss, label_weight, done)
    for i in range(rows.n):
        if job.z_loss != 0.0:
            rows.logsumexp[i] = logsumexp_of_row(job, start + i, rows.scratch)
        if done[i]:
            if not job.index_labels and job.class_weight != NULL:
                rows.weight[i] *= label_weight[i]
        elif rows.valid[i] and not general_distribution(job, start, rows, <int>i, partial, tag):
            return False
    return True


cdef inline void add_z_loss(const Job* job, Rows* rows) noexcept nogil:
    """Add z_loss logsumexp^2, weighted as in the denominator of the mean."""
    cdef Py_ssize_t i
    for i in range(rows.n):
        if rows.valid[i]:
            rows.loss[i] += job.z_loss * mul_zero_inf(
                rows.weight[i], rows.logsumexp[i] * rows.logsumexp[i]
            )


cdef inline int leave_out_rows(Rows* rows) noexcept nogil:
    """Take the rows that do not count out of the sums; how many are left."""
    cdef int valid = 0
    cdef Py_ssize_t i
    for i in range(rows.n):
        valid += rows.valid[i]
    if valid == rows.n:
        return valid
    for i in range(rows.n):
        if not rows.valid[i]:
            rows.loss[i] = rows.absent[i]
            rows.factor[i] = 0.0
            rows.weight[i] = 0.0
    return valid


cdef inline void add_rows(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Multiply the losses of a block by their factors, store them and add them up."""
    if rows.weighted:
        partial.count += leave_out_rows(rows)
        apply_weights(rows.loss, rows.factor, rows.n)
    else:
        partial.count += rows.n
    if job.z_loss != 0.0:
        add_z_loss(job, rows)
    if job.want_losses:
        store(job, &job.out, start, rows.n, rows.loss)
    add_losses(rows.loss, rows.weight if rows.weighted else NULL, rows.n, partial)


cdef inline bint add_log1p_product(const Job* job, Rows* rows, Partial* partial) noexcept nogil:
    """Add the sum of the losses of ROWS rows, by a product; False if that might overflow.

    A row that is left out is a factor of 1.
    """
    cdef double sum_exp[ROWS]
    cdef double u[LANES]
    cdef double linear[LANES]
    cdef double weights[LANES]
    cdef double smoothed = 0.0, weight
    cdef Py_ssize_t j
    for j in range(ROWS):
        sum_exp[j] = rows.loss[j] if rows.valid[j] else 0.0
    if job.label_smoothing != 0.0:
        for j in range(LANES):
            linear[j] = rows.linear[j] if rows.valid[j] else 0.0
            linear[j] += rows.linear[j + LANES] if rows.valid[j + LANES] else 0.0
        smoothed = sum_lanes(linear)
    # 2^47: the product of two is below 2^96
    if not -INFINITY < smoothed < INFINITY or outside(sum_exp, ROWS, 0.0, 140737488355328.0):
        return False
    for j in range(LANES):
        u[j] = sum_exp[j] + (sum_exp[j + LANES] + sum_exp[j] * sum_exp[j + LANES])
        weights[j] = rows.weight[j] + rows.weight[j + LANES]
    if outside(u, LANES, 0.0, 8388608.0):
        add(log_one_plus(u), &partial.total, &partial.total_lo)
    else:
        defer_log1p(u, partial)
    if job.label_smoothing != 0.0:
        add(smoothed, &partial.total, &partial.total_lo)
    weight = sum_lanes(weights)
    add(weight, &partial.weight, &partial.weight_lo)
    partial.count += <Py_ssize_t>weight
    return True


cdef inline bint add_log1p_rows(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial, real* tag
) noexcept nogil:
    """Turn the sums of exponentials in `loss` into losses and add them up; False on an error."""
    cdef Py_ssize_t i
    cdef bint by_product = (
        rows.n == ROWS and rows.masked and not job.want_losses
        and job.loss == CATEGORICAL_LOGITS and job.index_labels and job.z_loss == 0.0
    )
    if by_product and add_log1p_product(job, rows, partial):
        return True
    losses_of_sum_exp(job, rows.loss, rows.n)
    if job.z_loss != 0.0 and job.grad.dtype == ABSENT:  # else it is set, and the logits may be gone
        set_logsumexp(job, start, rows, rows.loss, tag)
    if not is_index(job):
        for i in range(rows.n):
            rows.loss[i] = rows.label_sum[i] * rows.loss[i] + rows.linear[i]
    if not recompute_rows(job, start, rows, partial):
        return False
    add_rows(job, start, rows, partial)
    return True


cdef inline bint row_block(
    const Job* job, Py_ssize_t start, int n, Partial* partial, real* tag
) noexcept nogil:
    """Losses of up to ROWS rows; False if one holds an error."""
    cdef Rows rows
    cdef bint ok
    cdef Py_ssize_t i
    rows.n = n
    if not load_rows(job, start, &rows, partial):
        return False
    if job.weights_only:
        for i in range(n):
            rows.loss[i] = 0.0
        ok = True
    elif has_row_logits(job) and (is_index(job) or has_soft_path(job)):
        sum_exp_rows(job, start, &rows, rows.loss, tag)
        return add_log1p_rows(job, start, &rows, partial, tag)
    elif is_index(job):
        ok = index_losses(job, start, &rows, partial)
    else:
        ok = distribution_losses(job, start, &rows, partial, tag)
    if ok:
        add_rows(job, start, &rows, partial)
    return ok


cdef inline bint row_blocks(
    const Job* job, Py_ssize_t start, Py_ssize_t n, Partial* partial, real* tag
) noexcept nogil:
    """`row_block` for any number of rows."""
    cdef Py_ssize_t i
    for i from 0 <= i < n by ROWS:
        if not row_block(job, start + i, <int>min(<Py_ssize_t>ROWS, n - i), partial, tag):
            return False
    return True


cdef inline void run_rows(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial, real* tag
) noexcept nogil:
    """Losses of one chunk of rows."""
    cdef Product product
    cdef Py_ssize_t n
    cdef bint equal_weights = (
        not job.want_losses and job.weight.dtype == ABSENT and job.mask.dtype == ABSENT
        and job.class_weight == NULL and not job.has_ignore and not job.weights_only
    )
    cdef bint by_products = equal_weights and job.loss == CATEGORICAL and is_index(job)
    cdef bint flat = equal_weights and has_fast_distributions(job)
    start_product(&product)
    while start < stop:
        n = BLOCK if by_products and stop - start >= BLOCK else min(<Py_ssize_t>ROWS, stop - start)
        if job.check_rows and not check_rows(job, start, n, partial, tag):
            return
        if n == BLOCK and add_target_likelihoods(job, start, &product, tag):
            partial.count += n
            add(<double>n, &partial.weight, &partial.weight_lo)
        elif flat:
            n = min(rows_of_run(job), stop - start)
            if not add_distributions(job, start, n, partial, tag) and (
                not row_blocks(job, start, n, partial, tag)
            ):
                return
        elif not row_blocks(job, start, n, partial, tag):
            return
        start += n
    add_product(&product, 1.0, partial)

# What the exponentials of a row are multiplied by to become derivatives; for rows and for tiles.

from libc.math cimport INFINITY, NAN

from fastxent._kernels.arrays.load cimport element_ptr, load_one
from fastxent._kernels.categorical.rows cimport Rows
from fastxent._kernels.focal cimport grad_weights_of_sum_exp
from fastxent._kernels.job cimport ABSENT, CATEGORICAL_FOCAL, is_index, Job
from fastxent._kernels.numeric.generic cimport difference
from fastxent._kernels.types cimport fma_bounded_f64, real


cdef inline void grad_weights(
    const Job* job, const double* sum_exp, int n, double* grad_weight
) noexcept nogil:
    """What the gradients of the cross entropies of up to ROWS rows are multiplied by."""
    cdef Py_ssize_t i
    if job.loss == CATEGORICAL_FOCAL:
        grad_weights_of_sum_exp(job, sum_exp, n, grad_weight)
    else:
        for i in range(n):
            grad_weight[i] = 1.0


cdef struct SoftScale:      # of a row: gradients are exps * factor - (label * kept + spread)
    double label_sum    # multiplies the exponentials
    double kept         # what a label weighs
    double spread       # the share of every class in the labels' smoothing
    double target       # what the gradient of `target` has besides the other exponentials


cdef inline SoftScale soft_scale(
    const Job* job, const Rows* rows, Py_ssize_t i, double label
) noexcept nogil:
    """What the labels and the z_loss of row i add to its gradient; `label` is that of `target`."""
    cdef SoftScale soft
    cdef double weight = rows.factor[i] * job.grad_scale
    cdef double smoothing = job.label_smoothing
    cdef double share
    soft.label_sum, soft.kept, soft.spread, soft.target = 1.0, 0.0, 0.0, 0.0
    if not is_index(job):
        soft.label_sum = rows.label_sum[i]
        soft.kept = (1.0 - smoothing) * weight
        soft.spread = smoothing / <double>job.classes * weight
        soft.target = soft.spread * <double>(job.classes - 1)
        if not job.index_labels:
            soft.target = weight * soft.label_sum - (soft.kept * label + soft.spread)
    if job.z_loss != 0.0:   # its gradient is the softmax times this
        share = 2.0 * job.z_loss * rows.logsumexp[i]
        soft.label_sum += share
        soft.target += share * weight
    return soft


cdef inline double label_of_target(
    const Job* job, Py_ssize_t start, const Rows* rows, Py_ssize_t i
) noexcept nogil:
    """The label of the class `target` of a row; 0 for class indices."""
    if job.index_labels:
        return 0.0
    return load_one(
        &job.labels,
        element_ptr(job, &job.labels, start + i) + rows.target[i] * job.labels.class_stride,
    )


cdef inline double row_scale(
    const Job* job, const Rows* rows, Py_ssize_t i, double sum_exp, double grad_weight
) noexcept nogil:
    """What the exponentials of a row are multiplied by; NaN if a float might not hold it."""
    # With a Hessian, 1 - p of another class may be too small.
    cdef double limit = INFINITY if job.hess.dtype == ABSENT else 1e8
    cdef double linear = 0.0 if is_index(job) else rows.linear[i]
    cdef double scale = rows.factor[i] * grad_weight * job.grad_scale / (1.0 + sum_exp)
    cdef double small = 0.0 if rows.factor[i] == 0.0 else NAN
    scale = scale if scale > 1e-30 else small
    scale = scale if scale < 1e30 else NAN
    scale = scale if sum_exp < limit else NAN
    return scale + (linear - linear)


cdef struct HessScale:      # of a row: p (1 - p) is e (total - e) / total^2; *_lo is what float64 rounds
    double total    # the sum of its exponentials
    double total_lo
    double inverse      # of the square of the sum
    double inverse_lo
    double target   # e (total - e) of the target, which is not 0 where total - e is
    double weight   # what the second derivatives are multiplied by


cdef inline HessScale hess_scale(
    double others, double err, double target_exp, double weight, const real* tag
) noexcept nogil:
    """For others + err, the sum of all exponentials but the target's."""
    cdef HessScale scale
    cdef double left, rounding, total = difference(others, -target_exp, &rounding)
    cdef double square = total * total
    scale.total = total
    scale.total_lo = rounding + err
    scale.inverse = 1.0 / square
    scale.inverse_lo = 0.0
    if real is double:
        left = fma_bounded_f64(total, total, -square) + 2.0 * total * scale.total_lo
        scale.inverse_lo = scale.inverse * (
            fma_bounded_f64(-scale.inverse, square, 1.0) - scale.inverse * left
        )
    scale.target = target_exp * (others + err)
    scale.weight = weight
    return scale


cdef inline double hess_product(double e, double total, double total_lo, const real* tag) noexcept nogil:
    """e (total - e): the other exponentials have all their digits, even where p is near 1."""
    if real is float:
        return e * (total - e)
    else:
        return e * ((total - e) + total_lo)


cdef inline double hessian(
    const Job* job, double product, double inverse, double inverse_lo, double weight, const real* tag
) noexcept nogil:
    """The weighted second derivative of a cross entropy by a logit, from `hess_product`."""
    cdef double hess = product * inverse
    if real is double:
        hess += product * inverse_lo
    return (job.hess_floor if hess < job.hess_floor else hess) * weight

# Derivatives of rows of many classes in the scores' own type: SIMD over the classes.

from fastxent._kernels.arrays.load cimport element_ptr, view_classes
from fastxent._kernels.arrays.store cimport store_grad_classes
from fastxent._kernels.categorical.gradient_scale cimport (
    grad_weights, hessian, label_of_target, row_scale, soft_scale, SoftScale,
)
from fastxent._kernels.categorical.rows cimport Rows
from fastxent._kernels.categorical.softmax cimport exp_of_classes, sum_exp_block
from fastxent._kernels.job cimport ABSENT, BLOCK, Job
from fastxent._kernels.numeric.elementary cimport log1p_f64
from fastxent._kernels.numeric.generic cimport exp_scale_inverse
from fastxent._kernels.numeric.sums cimport add
from fastxent._kernels.types cimport real

cdef enum:
    # The exponentials of a row of up to so many classes are kept in L1 until their sum is known.
    CACHED_CLASSES = 2048


cdef inline void scale_exps(
    const Job* job, const char* labels, Py_ssize_t first, Py_ssize_t m, real factor,
    const SoftScale* soft, void* scratch, real* exps
) noexcept nogil:
    """Turn the exponentials of m classes of a row into gradients, but for `target`'s."""
    cdef real staged[BLOCK]
    cdef real kept = <real>soft.kept, spread = <real>soft.spread
    cdef const real* q
    cdef Py_ssize_t j
    if job.index_labels:
        for j in range(m):
            exps[j] = exps[j] * factor - spread
        return
    q = view_classes(&job.labels, labels, first, <int>m, scratch, staged)
    for j in range(m):
        exps[j] = exps[j] * factor - (q[j] * kept + spread)


cdef inline void hessians_of_exps(
    const Job* job, Py_ssize_t target, Py_ssize_t first, Py_ssize_t m, double sum_exp, double unit,
    double weight, const real* exps, real* hess
) noexcept nogil:
    """The diagonal of the Hessian for m classes of a row, whose p are the exponentials times unit."""
    cdef double p
    cdef Py_ssize_t j
    for j in range(m):
        p = <double>exps[j] * unit
        hess[j] = <real>hessian(job, p, 1.0 - p, weight)
    if first <= target < first + m:
        p = 1.0 / (1.0 + sum_exp)
        hess[target - first] = <real>hessian(job, p, sum_exp * p, weight)


cdef inline bint long_row_gradients(
    const Job* job, Py_ssize_t start, Rows* rows, Py_ssize_t i, real target_logit
) noexcept nogil:
    """The gradient of one row of many classes; its sum of exponentials goes to `loss`.

    False if float64 is needed.
    """
    cdef real exps[CACHED_CLASSES]
    cdef real staged[BLOCK]
    cdef const char* row = element_ptr(job, &job.scores, start + i)
    cdef const char* place = element_ptr(job, &job.grad, start + i)
    cdef const real* x
    cdef double hi = 0.0, lo = 0.0, block_sum, sum_exp, scale, grad_weight
    cdef SoftScale soft
    cdef real hess[CACHED_CLASSES]
    cdef bint with_hess = job.hess.dtype != ABSENT
    cdef const char* hess_place = element_ptr(job, &job.hess, start + i) if with_hess else NULL
    cdef const char* labels = NULL
    cdef double weight, unit
    cdef real factor, target_grad
    cdef double exp_factor = exp_scale_inverse(exps)
    cdef Py_ssize_t first, m
    cdef Py_ssize_t target = rows.target[i]
    cdef bint short = job.classes <= CACHED_CLASSES
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        block_sum = sum_exp_block(
            job, row, target, target_logit, first, <int>m, rows.scratch,
            exps + (first if short else 0),
        )
        add(block_sum, &hi, &lo)
    sum_exp = (hi + lo) * exp_factor + <double>(target_logit - target_logit)
    rows.loss[i] = sum_exp
    rows.logsumexp[i] = log1p_f64(sum_exp) + <double>target_logit if job.z_loss != 0.0 else 0.0
    grad_weights(job, &sum_exp, 1, &grad_weight)
    scale = row_scale(job, rows, i, sum_exp, grad_weight)
    if scale != scale:
        return False
    soft = soft_scale(job, rows, i, label_of_target(job, start, rows, i))
    scale *= soft.label_sum
    factor = <real>(scale * exp_factor)
    target_grad = <real>(soft.target - sum_exp * scale)
    if not job.index_labels:
        labels = element_ptr(job, &job.labels, start + i)
    weight = rows.factor[i] * job.grad_scale * soft.label_sum
    if short:
        for first from 0 <= first < job.classes by BLOCK:
            m = min(<Py_ssize_t>BLOCK, job.classes - first)
            if with_hess:
                unit = exp_factor / (1.0 + sum_exp)
                hessians_of_exps(
                    job, target, first, m, sum_exp, unit, weight, exps + first, hess + first
                )
            scale_exps(job, labels, first, m, factor, &soft, rows.scratch, exps + first)
        exps[target] = target_grad
        store_grad_classes(job, &job.grad, place, 0, <int>job.classes, exps)
        if with_hess:
            store_grad_classes(job, &job.hess, hess_place, 0, <int>job.classes, hess)
        return True
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        x = view_classes(&job.scores, row, first, <int>m, rows.scratch, staged)
        exp_of_classes(job, row + first * job.scores.class_stride, x, m, target_logit, exps)
        if with_hess:
            unit = exp_factor / (1.0 + sum_exp)
            hessians_of_exps(job, target, first, m, sum_exp, unit, weight, exps, hess)
        scale_exps(job, labels, first, m, factor, &soft, rows.scratch, exps)
        if first <= target < first + m:
            exps[target - first] = target_grad
        store_grad_classes(job, &job.grad, place, first, <int>m, exps)
        if with_hess:
            store_grad_classes(job, &job.hess, hess_place, first, <int>m, hess)
    return True

# Derivatives of rows of many classes in the scores' own type: SIMD over the classes.

from fastxent._kernels.arrays.load cimport element_ptr, is_real, view_classes
from fastxent._kernels.arrays.store cimport store_grad_classes
from fastxent._kernels.categorical.gradient_scale cimport (
    grad_weights, hess_product, hess_scale, HessScale, hessian, label_of_target, row_scale,
    soft_scale, SoftScale,
)
from fastxent._kernels.categorical.long_row cimport CACHED_CLASSES, finish_sum_exp, sum_exp_row
from fastxent._kernels.categorical.rows cimport Rows
from fastxent._kernels.categorical.softmax cimport exp_of_classes
from fastxent._kernels.job cimport ABSENT, BLOCK, Job, Operand
from fastxent._kernels.numeric.elementary cimport log1p_f64
from fastxent._kernels.numeric.generic cimport exp_scale_inverse
from fastxent._kernels.types cimport real

cdef struct GradScale:      # of a row: what makes its derivatives of its exponentials
    double factor       # of the gradient
    double target       # the gradient of the target
    SoftScale soft
    HessScale hess


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
    const Job* job, const HessScale* scale, Py_ssize_t target, Py_ssize_t m, const real* exps, real* hess
) noexcept nogil:
    """The diagonal of the Hessian for m classes of a row; `target` is counted from the first of them."""
    cdef HessScale s = scale[0]     # else read again after each store
    cdef double product
    cdef Py_ssize_t j
    for j in range(m):
        product = hess_product(<double>exps[j], s.total, s.total_lo, exps)
        hess[j] = <real>hessian(job, product, s.inverse, s.inverse_lo, s.weight, exps)
    if 0 <= target < m:
        hess[target] = <real>hessian(job, s.target, s.inverse, s.inverse_lo, s.weight, exps)


cdef inline real* kept_exps(const Job* job, Py_ssize_t position, real* cache) noexcept nogil:
    """Where the exponentials of a row stay until their sum is known; NULL: they are computed twice."""
    cdef const Operand* grad = &job.grad
    cdef const char* place = element_ptr(job, grad, position)
    if job.classes <= CACHED_CLASSES:
        return cache
    if (
        not job.nontemporal and is_real(grad.dtype, cache) and grad.class_stride == grad.itemsize
        and <size_t>place % sizeof(real) == 0
        and grad.data != job.scores.data and grad.data != job.labels.data
    ):
        return <real*>place
    return NULL


cdef inline void write_row_gradients(
    const Job* job, Py_ssize_t position, Rows* rows, Py_ssize_t i, real target_logit, real* kept,
    const GradScale* scale
) noexcept nogil:
    """Turn the exponentials of a row into its derivatives and store them."""
    cdef real staged[BLOCK]
    cdef real recomputed[BLOCK]
    cdef real hess[BLOCK]
    cdef real* exps
    cdef const real* x
    cdef const char* row = element_ptr(job, &job.scores, position)
    cdef const char* place = element_ptr(job, &job.grad, position)
    cdef const char* labels = NULL
    cdef Py_ssize_t first, m, target
    if not job.index_labels:
        labels = element_ptr(job, &job.labels, position)
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        target = rows.target[i] - first
        exps = kept + first
        if kept == NULL:
            exps = recomputed
            x = view_classes(&job.scores, row, first, <int>m, rows.scratch, staged)
            exp_of_classes(
                &job.scores, row + first * job.scores.class_stride, x, m, target_logit, exps
            )
        if job.hess.dtype != ABSENT:
            hessians_of_exps(job, &scale.hess, target, m, exps, hess)
            store_grad_classes(
                job, &job.hess, element_ptr(job, &job.hess, position), first, <int>m, hess
            )
        scale_exps(job, labels, first, m, <real>scale.factor, &scale.soft, rows.scratch, exps)
        if 0 <= target < m:
            exps[target] = <real>scale.target
        if <const char*>kept != place:
            store_grad_classes(job, &job.grad, place, first, <int>m, exps)


cdef inline bint long_row_gradients(
    const Job* job, Py_ssize_t start, Rows* rows, Py_ssize_t i, real target_logit
) noexcept nogil:
    """The derivatives of one row of many classes; its sum of exponentials goes to `loss`.

    False if float64 is needed.
    """
    cdef real cache[CACHED_CLASSES]
    cdef real* kept = kept_exps(job, start + i, cache)
    cdef double exp_factor = exp_scale_inverse(cache)
    cdef double others, err, sum_exp, factor, grad_weight
    cdef GradScale scale
    others = sum_exp_row(job, start, rows, i, target_logit, kept, &err)
    sum_exp = finish_sum_exp(others, err, target_logit)
    rows.loss[i] = sum_exp
    rows.logsumexp[i] = log1p_f64(sum_exp) + <double>target_logit if job.z_loss != 0.0 else 0.0
    grad_weights(job, &sum_exp, 1, &grad_weight)
    factor = row_scale(job, rows, i, sum_exp, grad_weight)
    if factor != factor:
        return False
    scale.soft = soft_scale(job, rows, i, label_of_target(job, start, rows, i))
    factor *= scale.soft.label_sum
    scale.factor = factor * exp_factor
    scale.target = scale.soft.target - sum_exp * factor
    scale.hess = hess_scale(
        others, err, 1.0 / exp_factor, rows.factor[i] * job.grad_scale * scale.soft.label_sum, cache
    )
    write_row_gradients(job, start + i, rows, i, target_logit, kept, &scale)
    return True

# Derivatives of losses of few classes: ROWS rows side by side, SIMD over the rows. Gradients against
# class indices go by lanes of the scores' own type, and everything else by float64.

from libc.math cimport INFINITY
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastxent._kernels.arrays.store cimport store_grad_classes
from fastxent._kernels.arrays.load cimport element_ptr, copy_elements
from fastxent._kernels.arrays.store cimport write
from fastxent._kernels.arrays.transpose cimport rows_of_tile
from fastxent._kernels.categorical.rows cimport Rows
from fastxent._kernels.categorical.softmax cimport load_tile, sum_tile, sum_exp_tile
from fastxent._kernels.categorical.tile cimport softmax_of_tile, exp_of_tile, weigh_tile
from fastxent._kernels.focal cimport class_grad_weights, grad_weights_of_sum_exp
from fastxent._kernels.job cimport (
    ABSENT, CATEGORICAL_FOCAL, FLOAT32, Job, Operand, ROWS, TILE_CLASSES,
)
from fastxent._kernels.numeric.generic cimport log1p_all, exp_scale_inverse
from fastxent._kernels.types cimport real


cdef inline void grad_weights(const Job* job, const double* sum_exp, int n, double* grad_weight) noexcept nogil:
    """What the slopes of up to ROWS cross entropies are multiplied by."""
    cdef Py_ssize_t i
    if job.loss == CATEGORICAL_FOCAL:
        grad_weights_of_sum_exp(job, sum_exp, n, grad_weight)
    else:
        for i in range(n):
            grad_weight[i] = 1.0


cdef inline bint row_scale(
    const Job* job, const Rows* rows, Py_ssize_t i, double rest, double grad_weight, double* scale
) noexcept nogil:
    """What the odds against the target are multiplied by; False where a float might not hold it."""
    scale[0] = rows.factor[i] * grad_weight * job.grad_scale / (1.0 + rest)
    return rest < INFINITY and (1e-30 < scale[0] < 1e30 or rows.factor[i] == 0.0)


cdef inline void store_grad_tile(
    const Job* job, const Operand* op, Py_ssize_t start, int n, const uint8_t* done, bint all_done,
    const real* tile
) noexcept nogil:
    """Those rows of tile[k * ROWS + i] that are done, into an output of its type."""
    cdef real flat[TILE_CLASSES * ROWS]
    cdef Py_ssize_t i, k
    cdef int classes = <int>job.classes
    if all_done and op.class_stride != <Py_ssize_t>sizeof(real):
        for k in range(classes):
            copy_elements(job, op, start, k * op.class_stride, n, <char*>(tile + k * ROWS), True)
        return
    rows_of_tile(tile, classes, flat)
    if all_done and job.ndim == 1 and op.stride[0] == classes * <Py_ssize_t>sizeof(real):
        write(job, <char*>element_ptr(job, op, start), flat, n * classes * sizeof(real))
        return
    for i in range(n):
        if done[i]:
            store_grad_classes(job, op, element_ptr(job, op, start + i), 0, classes, flat + i * classes)


cdef inline void store_grad_tile_f64(
    const Job* job, const Operand* op, Py_ssize_t start, int n, const uint8_t* done, bint all_done,
    const double* tile
) noexcept nogil:
    """The same from float64, whatever the output's type."""
    cdef float narrow[TILE_CLASSES * ROWS]
    cdef Py_ssize_t i
    if op.dtype == FLOAT32:
        for i in range(job.classes * ROWS):
            narrow[i] = <float>tile[i]
        store_grad_tile(job, op, start, n, done, all_done, narrow)
    else:
        store_grad_tile(job, op, start, n, done, all_done, tile)


cdef inline void tile_gradients(
    const Job* job, Py_ssize_t start, Rows* rows, uint8_t* done, real* tag
) noexcept nogil:
    """Rows of few classes, SIMD over the rows, their odds into loss; those done are marked."""
    cdef real exps[TILE_CLASSES * ROWS]
    cdef real label[ROWS]
    cdef real own[ROWS]
    cdef real factor[ROWS]
    cdef double rest[ROWS]
    cdef double grad_weight[ROWS]
    cdef double scale
    cdef real k_real, share
    cdef Py_ssize_t i, k
    cdef int n = rows.n, classes = <int>job.classes, all_done = 1
    sum_exp_tile(job, start, n, rows.target, exps, rest)
    memcpy(rows.loss, rest, n * sizeof(double))
    grad_weights(job, rest, n, grad_weight)
    for i in range(ROWS):
        scale = 0.0
        label[i] = <real>rows.target[i] if i < n else 0
        if i < n:
            done[i] = rows.valid[i] and row_scale(job, rows, i, rest[i], grad_weight[i], &scale)
            all_done &= done[i]
        factor[i] = <real>(scale * exp_scale_inverse(exps))
        own[i] = <real>(-rest[i] * scale)
    for k in range(classes):
        k_real = <real>k
        for i in range(ROWS):
            share = exps[k * ROWS + i] * factor[i]
            exps[k * ROWS + i] = own[i] if label[i] == k_real else share
    store_grad_tile(job, &job.grad, start, n, done, all_done, exps)


cdef inline void general_tile_gradients(
    const Job* job, Py_ssize_t start, Rows* rows, uint8_t* done
) noexcept nogil:
    """What `general_row_gradients` does, of a block; the rows that are done are marked."""
    cdef double x[TILE_CLASSES * ROWS]
    cdef double grad_weight[TILE_CLASSES * ROWS]
    cdef double p[TILE_CLASSES * ROWS]
    cdef double one_minus_p[TILE_CLASSES * ROWS]
    cdef double grad_weight_deriv[TILE_CLASSES * ROWS]
    cdef double part[TILE_CLASSES * ROWS]
    cdef double label_weight[ROWS]
    cdef double argmax[ROWS]
    cdef double nonfinite[ROWS]
    cdef double rest[ROWS]
    cdef double own[ROWS]
    cdef double others[ROWS]
    cdef double grad_weight_derivs[ROWS]
    cdef double factor[ROWS]
    cdef bint focal = job.loss == CATEGORICAL_FOCAL
    cdef double d, step, class_number, hess
    cdef Py_ssize_t i, j, k, n = rows.n, classes = job.classes
    cdef int all_done = 1
    part[0] = 0.0       # for gcc, which does not know that there is a class
    grad_weight_deriv[0] = 0.0
    load_tile(job, &job.scores, start, <int>n, x)
    weigh_tile(job, start, <int>n, rows.target, grad_weight, label_weight, nonfinite)
    exp_of_tile(job, x, part, argmax, rest, nonfinite)
    softmax_of_tile(job, part, argmax, rest, p, one_minus_p)
    for i in range(ROWS):
        own[i] = 0.0
        others[i] = 0.0
        grad_weight_derivs[i] = 0.0
    if focal:
        log1p_all(rest, ROWS)
        for k in range(classes):
            j = k * ROWS
            for i in range(ROWS):
                x[j + i] += rest[i]
            class_grad_weights(job, p + j, one_minus_p + j, x + j, ROWS, grad_weight + j, grad_weight_deriv + j)
        sum_tile(grad_weight_deriv, classes, grad_weight_derivs)
    for k in range(classes):
        class_number = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            own[i] = grad_weight[j] if argmax[i] == class_number else own[i]
            part[j] = 0.0 if argmax[i] == class_number else grad_weight[j]
    sum_tile(part, classes, others)
    for i in range(ROWS):
        factor[i] = 0.0
        own[i] += others[i]
        if i < n:
            done[i] = rows.valid[i] and nonfinite[i] == 0.0
            all_done &= done[i]
            if done[i]:
                factor[i] = rows.factor[i] * job.grad_scale
    for k in range(classes):
        class_number = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            d = p[j] * own[i] - grad_weight[j]
            # Each where it does not cancel
            step = others[i] - own[i] * one_minus_p[j]
            step = step if one_minus_p[j] < 0.5 else d
            part[j] = (step if argmax[i] == class_number else d) * factor[i]
    store_grad_tile_f64(job, &job.grad, start, <int>n, done, all_done, part)
    if job.hess.dtype == ABSENT:
        return
    for k in range(classes):
        for i in range(ROWS):
            j = k * ROWS + i
            hess = p[j] * one_minus_p[j] * own[i]
            if focal:
                hess += p[j] * p[j] * (grad_weight_derivs[i] - grad_weight_deriv[j]) + one_minus_p[j] * one_minus_p[j] * grad_weight_deriv[j]
            part[j] = (job.hess_floor if hess < job.hess_floor else hess) * factor[i]
    store_grad_tile_f64(job, &job.hess, start, <int>n, done, all_done, part)

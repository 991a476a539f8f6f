# Derivatives of losses of few classes: ROWS rows at a time, SIMD over the rows. Gradients against class
# indices are computed in the scores' own type, all else in float64.

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy

from fastxent._kernels.arrays.load cimport element_ptr
from fastxent._kernels.arrays.store cimport store_grad_class, store_grad_classes, write_run
from fastxent._kernels.arrays.transpose cimport rows_of_tile
from fastxent._kernels.categorical.gradient_scale cimport (
    grad_weights, hess_product, hess_scale, HessScale, hessian, row_scale, soft_scale, SoftScale,
)
from fastxent._kernels.categorical.rows cimport Rows
from fastxent._kernels.categorical.soft_logits cimport set_logsumexp, sum_exp_of_tiles
from fastxent._kernels.categorical.softmax cimport (
    labels_of_rows, load_tile, sum_tile, sum_tile_exactly, TILED_CLASSES,
)
from fastxent._kernels.categorical.tile cimport softmax_of_tile, exp_of_tile, weigh_tile
from fastxent._kernels.focal cimport class_grad_weights
from fastxent._kernels.job cimport (
    ABSENT, CATEGORICAL_FOCAL, is_index, Job, Operand, ROWS, TILE_CLASSES,
)
from fastxent._kernels.numeric.generic cimport blend, exp_scale_inverse, log1p_all
from fastxent._kernels.types cimport real


cdef inline void store_grad_tile(
    const Job* job, const Operand* op, Py_ssize_t start, int n, const uint8_t* done, bint all_done,
    const real* tile
) noexcept nogil:
    """Write the rows of tile[k * ROWS + i] that are done."""
    cdef real flat[TILED_CLASSES * ROWS]
    cdef Py_ssize_t i, k
    cdef int classes = <int>job.classes
    if all_done and op.class_stride != op.itemsize:
        for k in range(classes):
            store_grad_class(job, op, start, k, n, tile + k * ROWS)
        return
    rows_of_tile(tile, classes, flat)
    if all_done and job.ndim == 1 and op.stride[0] == classes * op.itemsize:
        write_run(job, op, <char*>element_ptr(job, op, start), flat, n * classes)
        return
    for i in range(n):
        if done[i]:
            store_grad_classes(job, op, element_ptr(job, op, start + i), 0, classes, flat + i * classes)


cdef inline void clear_rows(const Rows* rows, Py_ssize_t classes, real* tile) noexcept nogil:
    """0 for the rows that are left out: what they hold may be NaN."""
    cdef real zero = 0
    cdef Py_ssize_t i, j, k
    if not rows.weighted:
        return
    for k in range(classes):
        for i in range(rows.n):
            j = k * ROWS + i
            tile[j] = blend(rows.valid[i] != 0, tile[j], zero)


cdef inline void weights_of_hessians(
    const Job* job, const Rows* rows, double* weight
) noexcept nogil:
    """What the second derivatives of ROWS rows are multiplied by; 0 where a row is left out."""
    cdef Py_ssize_t i
    for i in range(rows.n):
        weight[i] = rows.factor[i] * job.grad_scale
    if not is_index(job):
        for i in range(rows.n):
            weight[i] *= rows.label_sum[i]
    for i in range(rows.n):
        weight[i] = weight[i] if rows.valid[i] else 0.0
    for i in range(rows.n, ROWS):
        weight[i] = 0.0


cdef inline void hessians_of_tile(
    const Job* job, const Rows* rows, const real* label, const double* sum_exp, double target_exp,
    real* exps, real* hess
) noexcept nogil:
    """The diagonals of the Hessians. The exponentials of the targets may become 0."""
    cdef double others[ROWS]
    cdef double err[ROWS]
    cdef double total[ROWS]
    cdef double total_lo[ROWS]
    cdef double inverse[ROWS]
    cdef double inverse_lo[ROWS]
    cdef double weight[ROWS]
    cdef real target_hess[ROWS]
    cdef real zero = 0, k_real
    cdef double product
    cdef HessScale scale
    cdef Py_ssize_t i, k
    for i in range(ROWS):
        others[i] = sum_exp[i] * target_exp
        err[i] = 0.0
    weights_of_hessians(job, rows, weight)
    if real is double:
        for k in range(job.classes):
            k_real = <real><int32_t>k
            for i in range(ROWS):
                exps[k * ROWS + i] = blend(label[i] == k_real, zero, exps[k * ROWS + i])
        sum_tile_exactly(exps, job.classes, others, err)
    for i in range(ROWS):
        scale = hess_scale(others[i], err[i], target_exp, weight[i], hess)
        total[i] = scale.total
        total_lo[i] = scale.total_lo
        inverse[i] = scale.inverse
        inverse_lo[i] = scale.inverse_lo
        target_hess[i] = <real>hessian(
            job, scale.target, scale.inverse, scale.inverse_lo, weight[i], hess
        )
    for k in range(job.classes):
        k_real = <real><int32_t>k
        for i in range(ROWS):
            product = hess_product(<double>exps[k * ROWS + i], total[i], total_lo[i], hess)
            hess[k * ROWS + i] = <real>hessian(
                job, product, inverse[i], inverse_lo[i], weight[i], hess
            )
        for i in range(ROWS):
            hess[k * ROWS + i] = blend(label[i] == k_real, target_hess[i], hess[k * ROWS + i])


cdef inline void soft_tile_gradients(
    const Job* job, Py_ssize_t start, const Rows* rows, const double* sum_exp,
    double exp_factor, const double* scale, real* exps
) noexcept nogil:
    """Turn the exponentials of a tile into the gradients of soft labels."""
    cdef real labels[TILE_CLASSES * ROWS]
    cdef real label[ROWS]
    cdef real factor[ROWS]
    cdef real kept[ROWS]
    cdef real spread[ROWS]
    cdef real target_grad[ROWS]
    cdef SoftScale soft
    cdef real zero = 0, grad
    cdef Py_ssize_t first, i, k, m
    cdef int64_t target
    for i in range(ROWS):
        factor[i] = kept[i] = spread[i] = target_grad[i] = label[i] = 0
    for i in range(rows.n):
        soft = soft_scale(job, rows, i, 0.0)
        factor[i] = <real>(scale[i] * soft.label_sum * exp_factor) if rows.valid[i] else zero
        kept[i] = <real>soft.kept if rows.valid[i] else zero
        spread[i] = <real>soft.spread if rows.valid[i] else zero
    for first from 0 <= first < job.classes by TILE_CLASSES:
        m = min(<Py_ssize_t>TILE_CLASSES, job.classes - first)
        if job.index_labels:
            for k in range(first, first + m):
                for i in range(ROWS):
                    exps[k * ROWS + i] = exps[k * ROWS + i] * factor[i] - spread[i]
        else:
            load_tile(job, &job.labels, start, rows.n, first, m, labels)
            clear_rows(rows, m, labels)
            for i in range(rows.n):
                target = rows.target[i] - first
                label[i] = labels[target * ROWS + i] if 0 <= target < m else label[i]
            for k in range(first, first + m):
                for i in range(ROWS):
                    exps[k * ROWS + i] = exps[k * ROWS + i] * factor[i] - (
                        labels[(k - first) * ROWS + i] * kept[i] + spread[i]
                    )
    for i in range(rows.n):
        soft = soft_scale(job, rows, i, label[i])
        grad = <real>(soft.target - sum_exp[i] * scale[i] * soft.label_sum)
        target_grad[i] = grad if rows.valid[i] else zero
    for i in range(rows.n):
        exps[rows.target[i] * ROWS + i] = target_grad[i]


cdef inline void tile_gradients(
    const Job* job, Py_ssize_t start, Rows* rows, uint8_t* done, real* tag
) noexcept nogil:
    """Gradients of rows of few classes; their sums of exponentials go to `loss`. Sets done."""
    cdef real exps[(TILED_CLASSES + 1) * ROWS]
    cdef real hess[TILED_CLASSES * ROWS]
    cdef real label[ROWS]
    cdef real target_grad[ROWS]
    cdef real factor[ROWS]
    cdef double sum_exp[ROWS]
    cdef double exp_factor = exp_scale_inverse(exps)
    cdef double grad_weight[ROWS]
    cdef double scale[ROWS]
    cdef double absent
    cdef real k_real, share
    cdef Py_ssize_t i, k
    cdef int n = rows.n, classes = <int>job.classes, all_done = 1
    cdef bint soft = not is_index(job) or job.z_loss != 0.0
    sum_exp_of_tiles(job, start, rows, True, exps, sum_exp)
    memcpy(rows.loss, sum_exp, n * sizeof(double))
    grad_weights(job, sum_exp, n, grad_weight)
    if job.z_loss != 0.0:
        memcpy(scale, sum_exp, sizeof(scale))
        log1p_all(scale, ROWS)
        set_logsumexp(job, start, rows, scale, tag)
    clear_rows(rows, classes, exps)
    for i in range(n):
        scale[i] = row_scale(job, rows, i, sum_exp[i], grad_weight[i])
    for i in range(n, ROWS):
        scale[i] = 0.0
    if rows.weighted:
        for i in range(n):
            absent = 0.0 if rows.absent[i] == 0.0 else NAN
            scale[i] = scale[i] if rows.valid[i] else absent
            sum_exp[i] = sum_exp[i] if rows.valid[i] else 0.0
    for i in range(n):
        done[i] = scale[i] == scale[i]
        all_done &= done[i]
    for i in range(ROWS):
        factor[i] = <real>(scale[i] * exp_factor)
        target_grad[i] = <real>(-sum_exp[i] * scale[i])
    if job.hess.dtype != ABSENT or not soft:
        labels_of_rows(rows.target, n, label)
    if job.hess.dtype != ABSENT:
        hessians_of_tile(job, rows, label, sum_exp, 1.0 / exp_factor, exps, hess)
    if soft:
        soft_tile_gradients(job, start, rows, sum_exp, exp_factor, scale, exps)
    else:
        for k in range(classes):
            k_real = <real><int32_t>k
            for i in range(ROWS):
                share = exps[k * ROWS + i] * factor[i]
                exps[k * ROWS + i] = target_grad[i] if label[i] == k_real else share
    store_grad_tile(job, &job.grad, start, n, done, all_done, exps)
    if job.hess.dtype != ABSENT:
        store_grad_tile(job, &job.hess, start, n, done, all_done, hess)


# ---- in float64 ------------------------------------------------------------------------------

cdef struct GradTile:       # of ROWS rows; [k * ROWS + i] is class k of row i
    double x[TILE_CLASSES * ROWS]       # logits, then their -log p
    double p[TILE_CLASSES * ROWS]
    double one_minus_p[TILE_CLASSES * ROWS]
    double grad_weight[TILE_CLASSES * ROWS]
    double grad_weight_deriv[TILE_CLASSES * ROWS]
    double scratch[TILE_CLASSES * ROWS]
    double argmax[ROWS]
    double nonfinite[ROWS]
    double others[ROWS]         # the sum of the gradient weights of all classes but argmax
    double total[ROWS]          # the sum of all
    double weight_derivs[ROWS]  # the sum of grad_weight_deriv
    double factor[ROWS]         # 0 for a row that is not done


cdef inline void load_grad_tile(
    const Job* job, Py_ssize_t start, const Rows* rows, GradTile* tile
) noexcept nogil:
    """The probabilities and gradient weights of a block of rows."""
    cdef double label_weight[ROWS]
    cdef double sum_exp_rest[ROWS]
    cdef Py_ssize_t i, j, k
    tile.scratch[0] = 0.0   # gcc cannot know that there is at least one class
    tile.grad_weight_deriv[0] = 0.0
    load_tile(job, &job.scores, start, rows.n, 0, job.classes, tile.x)
    weigh_tile(
        job, start, rows.n, rows.target, tile.grad_weight, label_weight, tile.nonfinite
    )
    exp_of_tile(job, tile.x, tile.scratch, tile.argmax, sum_exp_rest, tile.nonfinite)
    softmax_of_tile(job, tile.scratch, tile.argmax, sum_exp_rest, tile.p, tile.one_minus_p)
    if job.loss == CATEGORICAL_FOCAL:
        log1p_all(sum_exp_rest, ROWS)
        for k in range(job.classes):
            j = k * ROWS
            for i in range(ROWS):
                tile.x[j + i] += sum_exp_rest[i]
            class_grad_weights(
                job, tile.p + j, tile.one_minus_p + j, tile.x + j, ROWS, tile.grad_weight + j,
                tile.grad_weight_deriv + j,
            )


cdef inline void sum_grad_tile(const Job* job, GradTile* tile) noexcept nogil:
    """The sums over the classes of each row."""
    cdef double top_weight[ROWS]
    cdef double class_number
    cdef Py_ssize_t i, j, k
    for i in range(ROWS):
        top_weight[i] = 0.0
        tile.others[i] = 0.0
        tile.weight_derivs[i] = 0.0
    if job.loss == CATEGORICAL_FOCAL:
        sum_tile(tile.grad_weight_deriv, job.classes, tile.weight_derivs)
    for k in range(job.classes):
        class_number = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            top_weight[i] = (
                tile.grad_weight[j] if tile.argmax[i] == class_number else top_weight[i]
            )
            tile.scratch[j] = 0.0 if tile.argmax[i] == class_number else tile.grad_weight[j]
    sum_tile(tile.scratch, job.classes, tile.others)
    for i in range(ROWS):
        tile.total[i] = top_weight[i] + tile.others[i]


cdef inline void tile_of_gradients(const Job* job, GradTile* tile) noexcept nogil:
    """The gradients, to tile.scratch."""
    cdef double class_number, d, step
    cdef Py_ssize_t i, j, k
    for k in range(job.classes):
        class_number = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            d = tile.p[j] * tile.total[i] - tile.grad_weight[j]
            # Each form where it does not cancel.
            step = tile.others[i] - tile.total[i] * tile.one_minus_p[j]
            step = step if tile.one_minus_p[j] < 0.5 else d
            tile.scratch[j] = (step if tile.argmax[i] == class_number else d) * tile.factor[i]


cdef inline void tile_of_hessians(const Job* job, GradTile* tile) noexcept nogil:
    """The diagonals of the Hessians, to tile.scratch."""
    cdef bint focal = job.loss == CATEGORICAL_FOCAL
    cdef double hess, p, q
    cdef Py_ssize_t i, j, k
    for k in range(job.classes):
        for i in range(ROWS):
            j = k * ROWS + i
            p = tile.p[j]
            q = tile.one_minus_p[j]
            hess = p * q * tile.total[i]
            if focal:
                hess += p * p * (tile.weight_derivs[i] - tile.grad_weight_deriv[j]) + (
                    q * q * tile.grad_weight_deriv[j]
                )
            tile.scratch[j] = (job.hess_floor if hess < job.hess_floor else hess) * tile.factor[i]


cdef inline void general_tile_gradients(
    const Job* job, Py_ssize_t start, Rows* rows, uint8_t* done
) noexcept nogil:
    """`general_row_gradients` of a block of rows of few classes; done marks the finite rows."""
    cdef GradTile tile
    cdef Py_ssize_t i
    cdef int all_done = 1
    load_grad_tile(job, start, rows, &tile)
    sum_grad_tile(job, &tile)
    for i in range(ROWS):
        tile.factor[i] = 0.0
        if i < rows.n:
            done[i] = rows.valid[i] and tile.nonfinite[i] == 0.0
            all_done &= done[i]
            if done[i]:
                tile.factor[i] = rows.factor[i] * job.grad_scale
    tile_of_gradients(job, &tile)
    store_grad_tile(job, &job.grad, start, rows.n, done, all_done, tile.scratch)
    if job.hess.dtype != ABSENT:
        tile_of_hessians(job, &tile)
        store_grad_tile(job, &job.hess, start, rows.n, done, all_done, tile.scratch)

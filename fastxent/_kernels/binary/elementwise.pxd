# Binary losses one by one: each element takes its own logarithm, in the scores' own type. A function
# that does not serve a block returns False and has done nothing.

from fastxent._kernels.arrays.bounds cimport all_within, largest
from fastxent._kernels.arrays.load cimport convert, is_real, load, load_repeated, view
from fastxent._kernels.arrays.prefetch cimport (
    OF_LABELS, OF_SCORES, OF_WEIGHT, Prefetch, prefetch_operand,
    prefetch_operand_unrolled,
)
from fastxent._kernels.arrays.store cimport store, write
from fastxent._kernels.binary.stage cimport Staged
from fastxent._kernels.focal cimport focal_of_parts
from fastxent._kernels.job cimport (
    ABSENT, BINARY, BINARY_FOCAL, BLOCK, FLOAT32, Job, LANES, Partial,
)
from fastxent._kernels.likelihood cimport Product
from fastxent._kernels.numeric.clipped_log cimport clip, share_err
from fastxent._kernels.numeric.elementary cimport exp_reduced_f64, reduce_scaled_f64
from fastxent._kernels.numeric.generic cimport (
    exp_minus_abs, exponent, log1p_unit, log_of_parts, mantissa, minus_abs,
)
from fastxent._kernels.numeric.sums cimport add, add_losses, lane_sum, sum_lanes
from fastxent._kernels.types cimport floating, real


cdef inline bint has_normal_eps(const Job* job, real* tag) noexcept nogil:
    """Whether eps is a normal number of the type: then every clipped p has the cheap logarithm."""
    if real is float:
        return job.loss != BINARY or job.eps >= 1.1754943508222875e-38
    else:
        return job.loss != BINARY or job.eps >= 2.2250738585072014e-308


cdef inline void probability_losses(
    const real* p, const real* y, real eps, const Prefetch* next, real* loss
) noexcept nogil:
    """-log of the true outcome's probability, for a block whose probabilities are in [0, 1].

    Two loops: a processor looks only some 200 operations ahead, which is less than five of the
    logarithms are long. Cut in two, more of them are under way at a time: a third faster.
    """
    cdef real f[BLOCK]
    cdef real k[BLOCK]
    cdef real low[BLOCK]
    cdef real one = 1, zero = 0
    cdef real rest, chosen, other, err
    cdef Prefetch ahead = next[0]   # in registers
    cdef Py_ssize_t i, j
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand_unrolled(&ahead, OF_SCORES, i)
        for j in range(i, i + LANES):
            rest = one - p[j]
            chosen = p[j] if y[j] != zero else rest
            other = rest if y[j] != zero else p[j]
            err = zero if y[j] != zero else (one - rest) - p[j]
            clip(&chosen, other, &err, eps)
            f[j] = mantissa(chosen) - one
            k[j] = exponent(chosen)
            low[j] = share_err(err, other)
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand_unrolled(&ahead, OF_LABELS, i)
        for j in range(i, i + LANES):
            loss[j] = zero - log_of_parts(f[j], low[j], k[j])


cdef inline void exps_minus_abs(const real* z, const Prefetch* next, real* exps) noexcept nogil:
    """e^-|z| of a full block of finite logits."""
    cdef real low[BLOCK]
    cdef real power[BLOCK]
    cdef real x
    cdef real lowest = (z[0] - z[0]) - <real>750.0   # not a constant: see `bounds_of_reduced`
    cdef Prefetch ahead = next[0]
    cdef Py_ssize_t i, j
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand(&ahead, OF_SCORES, i)
        for j in range(i, i + LANES):
            if real is float:
                exps[j] = exp_minus_abs(z[j])
            else:       # in two loops, as elsewhere: a tenth less time (Zen 3)
                x = minus_abs(z[j])
                x = lowest if lowest > x else x
                exps[j] = reduce_scaled_f64(x, -0.0, &low[j], &power[j])
    if real is double:
        for i in range(BLOCK):
            exps[i] = exp_reduced_f64(exps[i], low[i]) * power[i] * 5.421010862427522e-20   # 2^-64


cdef inline void softplus_losses(
    const real* z, const real* y, const Prefetch* next, real* exps, real* loss
) noexcept nogil:
    """log(1 + e^z) - z y, for a block whose logits are finite; stores e^-|z| in exps, unless NULL."""
    cdef real e[BLOCK]      # local: a pointer that may be another's costs a check in each short loop
    cdef real zero = 0
    cdef Prefetch ahead = next[0]
    cdef Py_ssize_t i, j
    exps_minus_abs(z, next, e)
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand_unrolled(&ahead, OF_LABELS, i)
        for j in range(i, i + LANES):
            loss[j] = log1p_unit(e[j]) + ((z[j] if z[j] > zero else zero) - z[j] * y[j])
    if exps != NULL:
        for i in range(BLOCK):
            exps[i] = e[i]


cdef inline void outcome_losses(
    const real* p, real eps, const Prefetch* next, real* first, real* second
) noexcept nogil:
    """-log p and -log(1 - p), for a block whose probabilities are in [0, 1]."""
    cdef real labels[BLOCK]
    cdef Py_ssize_t i
    for i in range(BLOCK):
        labels[i] = 1
    probability_losses(p, <const real*>labels, eps, next, first)
    for i in range(BLOCK):
        labels[i] = 0
    probability_losses(p, <const real*>labels, eps, next, second)


cdef inline bint plain_losses(
    const Job* job, const Staged* block, real* exps, real* loss
) noexcept nogil:
    """The losses of a block with hard labels; False where a score is not ordinary."""
    cdef const real* x = <const real*>block.scores
    cdef const real* y = <const real*>block.labels
    cdef real one = 1
    if job.loss == BINARY:
        if not all_within(x, one, False):
            return False
        probability_losses(x, y, <real>job.eps, &block.next, loss)
    else:
        if not all_within(x, largest(x), True):
            return False
        softplus_losses(x, y, &block.next, exps if job.grad.dtype != ABSENT else NULL, loss)
    return True


cdef inline bint load_scale(
    const Job* job, const Staged* block, double* scale, real* tag
) noexcept nogil:
    """pos_weight, 1 where an element does not count; False where it is not ordinary."""
    cdef const real* valid = <const real*>block.valid
    cdef double scratch[BLOCK]
    cdef real zero = 0
    cdef double value
    cdef Py_ssize_t i
    load_repeated(job, &job.scale_operand, block.start, BLOCK, scratch, scale)
    if valid != NULL:
        for i in range(BLOCK):
            value = scale[i]
            scale[i] = value if valid[i] != zero else 1.0
    return all_within(<const double*>scale, job.scale_bounds.upper, False)


cdef inline bint load_shares(
    const Job* job, const Staged* block, double* positive, double* negative,
    real* tag
) noexcept nogil:
    """The smoothed label's shares of the outcomes 1, times pos_weight, and 0; False for a bad one."""
    cdef const real* y = <const real*>block.labels
    cdef double smoothing = job.label_smoothing
    cdef double scale[BLOCK]
    cdef real one = 1
    cdef Py_ssize_t i
    if not all_within(y, one, False):
        return False
    for i in range(BLOCK):
        positive[i] = <double>y[i] * (1.0 - smoothing) + 0.5 * smoothing
        negative[i] = (1.0 - <double>y[i]) * (1.0 - smoothing) + 0.5 * smoothing
    if job.scale_operand.dtype != ABSENT:
        if not load_scale(job, block, scale, tag):
            return False
        for i in range(BLOCK):
            positive[i] *= scale[i]
    return True


cdef inline bint general_losses(
    const Job* job, const Staged* block, real* exps, double* loss
) noexcept nogil:
    """The losses of a block with soft labels, smoothing or pos_weight, from logarithms in its own type.

    The two parts of a loss are those of the outcomes 1 and 0, times the label's share of each.
    """
    cdef const real* x = <const real*>block.scores
    cdef real first[BLOCK]
    cdef real second[BLOCK]
    cdef double positive[BLOCK]
    cdef double negative[BLOCK]
    cdef double z
    cdef real one = 1, zero = 0
    cdef Py_ssize_t i
    if not load_shares(job, block, positive, negative, exps):
        return False
    if job.loss == BINARY:
        if not all_within(x, one, False):
            return False
        outcome_losses(x, <real>job.eps, &block.next, first, second)
        for i in range(BLOCK):
            loss[i] = positive[i] * <double>first[i] + negative[i] * <double>second[i]
        return True
    if not all_within(x, largest(x), True):
        return False
    for i in range(BLOCK):
        second[i] = one if x[i] > zero else zero
    softplus_losses(x, <const real*>second, &block.next, exps, first)     # log(1 + e^-|z|)
    if job.loss == BINARY_FOCAL:
        focal_of_parts(job, x, <const real*>exps, <const real*>first, positive, negative, loss)
        return True
    for i in range(BLOCK):
        z = <double>x[i]
        loss[i] = (positive[i] + negative[i]) * <double>first[i] + (
            negative[i] * z if z > 0.0 else -positive[i] * z
        )
    return True


cdef inline void load_weights(
    const Job* job, const Staged* block, double* weight, real* tag
) noexcept nogil:
    """The weights, 1 where there are none, and 0 for what does not count."""
    cdef const real* valid = <const real*>block.valid
    cdef double scratch[BLOCK]
    cdef real zero = 0
    cdef double value
    cdef Py_ssize_t i
    if job.weight.dtype == ABSENT:
        for i in range(BLOCK):
            weight[i] = 1.0
    else:
        load(job, &job.weight, block.start, BLOCK, scratch, weight)
    if valid != NULL:
        for i in range(BLOCK):
            value = weight[i]
            weight[i] = value if valid[i] != zero else 0.0


cdef inline bint add_weighted(
    const Job* job, const Staged* block, const real* loss, const floating* weight,
    Partial* partial
) noexcept nogil:
    """Weigh the finite losses of a block, and store them or add them up; False for a bad weight."""
    cdef double sums[LANES]
    cdef double weights[LANES]
    cdef double product[BLOCK]
    cdef double w
    cdef Prefetch next = block.next
    cdef Py_ssize_t i, j
    if not all_within(weight, largest(weight), False):
        return False
    for j in range(LANES):
        sums[j] = 0.0
        weights[j] = 0.0
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand(&next, OF_WEIGHT, i)
        for j in range(LANES):
            w = <double>weight[i + j]
            sums[j] += <double>loss[i + j] * w
            weights[j] += w
    add(sum_lanes(sums), &partial.total, &partial.total_lo)
    add(sum_lanes(weights), &partial.weight, &partial.weight_lo)
    if job.want_losses:
        for i in range(BLOCK):
            product[i] = <double>loss[i] * <double>weight[i]
        store(job, &job.out, block.start, BLOCK, product)
    return True


cdef inline bint add_single_losses(
    const Job* job, const Staged* block, double* loss, Partial* partial, real* tag
) noexcept nogil:
    """Store the finite losses of a block or add them up, weighed; False for a bad weight."""
    cdef double weight[BLOCK]
    if job.weight.dtype != ABSENT or block.valid != NULL:
        load_weights(job, block, weight, tag)
        return add_weighted(job, block, <const double*>loss, <const double*>weight, partial)
    if job.want_losses:
        store(job, &job.out, block.start, BLOCK, loss)
    else:
        add_losses(loss, NULL, BLOCK, partial)
    return True


cdef inline bint store_plain(
    const Job* job, const Staged* block, real* exps, real* loss, double* wide
) noexcept nogil:
    """Store the losses of a block that has neither options nor weights; nothing is added."""
    cdef bint contiguous = job.out.contiguous and is_real(job.out.dtype, loss)
    if contiguous and not job.nontemporal:
        return plain_losses(job, block, exps, <real*>job.out.data + block.start)
    if not plain_losses(job, block, exps, loss):
        return False
    if contiguous:
        write(job, <char*>(<real*>job.out.data + block.start), loss, BLOCK * sizeof(real))
    else:
        convert(loss, BLOCK, wide)
        store(job, &job.out, block.start, BLOCK, wide)
    return True


cdef inline bint add_elementwise(
    const Job* job, const Staged* block, real* exps, Product* products, Partial* partial
) noexcept nogil:
    """Weigh, store and add the losses of a full block; False, with nothing done, where it cannot.

    Stores e^-|z| of logits in exps; the products are those of other blocks.
    """
    cdef real narrow[BLOCK]
    cdef double loss[BLOCK]
    cdef double weight[BLOCK]
    cdef bint plain = (
        block.hard
        and job.loss != BINARY_FOCAL
        and job.label_smoothing == 0.0
        and job.scale_operand.dtype == ABSENT
    )
    if block.has_nan or not has_normal_eps(job, exps):
        return False
    if plain and block.valid == NULL and job.weight.dtype == ABSENT:
        return store_plain(job, block, exps, narrow, loss)
    if plain:
        if not plain_losses(job, block, exps, narrow):
            return False
    elif not general_losses(job, block, exps, loss):
        return False
    if plain and block.valid == NULL and job.weight.dtype == FLOAT32:
        return add_weighted(
            job, block, <const real*>narrow,
            view(job, &job.weight, block.start, BLOCK, loss, <float*>weight), partial,
        )
    if not plain:
        return add_single_losses(job, block, loss, partial, exps)
    load_weights(job, block, weight, exps)
    return add_weighted(job, block, <const real*>narrow, <const double*>weight, partial)

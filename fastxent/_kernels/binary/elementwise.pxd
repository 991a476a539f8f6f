# Binary losses one by one: each element takes its own logarithm, in the scores' own type. A function
# that does not serve a block returns False and has done nothing.

from fastxent._kernels.arrays.bounds cimport all_within, largest
from fastxent._kernels.arrays.load cimport convert, hard_labels, is_real, view
from fastxent._kernels.arrays.prefetch cimport (
    OF_LABELS, OF_SCORES, OF_WEIGHT, Prefetch, prefetch_of, prefetch_operand,
    prefetch_operand_unrolled,
)
from fastxent._kernels.arrays.store cimport store, write
from fastxent._kernels.job cimport ABSENT, BINARY, BLOCK, FLOAT32, FLOAT64, Job, LANES, Partial
from fastxent._kernels.likelihood cimport AllZeros, clipped, multiply_likelihoods, Product
from fastxent._kernels.numeric.clipped_log cimport clip, share_err
from fastxent._kernels.numeric.generic cimport (
    exp_minus_abs, exponent, log1p_unit, log_of_parts, mantissa,
)
from fastxent._kernels.numeric.sums cimport add, lane_sum, sum_lanes
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
    cdef Py_ssize_t i, j
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand_unrolled(next, OF_SCORES, i)
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
        prefetch_operand_unrolled(next, OF_LABELS, i)
        for j in range(i, i + LANES):
            loss[j] = zero - log_of_parts(f[j], low[j], k[j])


cdef inline void softplus_losses(
    const real* z, const real* y, const Prefetch* next, real* loss
) noexcept nogil:
    """log(1 + e^z) - z y, for a block whose logits are finite."""
    cdef real exps[BLOCK]
    cdef real zero = 0
    cdef Py_ssize_t i, j
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand_unrolled(next, OF_SCORES, i)
        for j in range(i, i + LANES):
            exps[j] = exp_minus_abs(z[j])
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand_unrolled(next, OF_LABELS, i)
        for j in range(i, i + LANES):
            loss[j] = log1p_unit(exps[j]) + ((z[j] if z[j] > zero else zero) - z[j] * y[j])


cdef inline bint direct_losses(const Job* job, Py_ssize_t start, real* loss) noexcept nogil:
    """The losses of a full block; False where a label is not hard or a score is not ordinary."""
    cdef real labels[BLOCK]
    cdef real scores[BLOCK]
    cdef double scratch[BLOCK]
    cdef const real* x
    cdef const real* y
    cdef real one = 1
    cdef Prefetch next = prefetch_of(job, start)
    x = view(job, &job.scores, start, BLOCK, scratch, scores)
    y = hard_labels(job, start, BLOCK, scratch, labels)
    if y == NULL:
        return False
    if job.loss == BINARY:
        if not all_within(x, one, False):
            return False
        probability_losses(x, y, <real>job.eps, &next, loss)
    else:
        if not all_within(x, largest(x), True):
            return False
        softplus_losses(x, y, &next, loss)
    return True


cdef inline bint add_soft_losses(
    const Job* job, Py_ssize_t start, Product* product, Partial* partial, real* tag
) noexcept nogil:
    """Add a full block of probabilities with soft labels of their type; False where it does not serve.

    With m the smaller of p and 1 - p, and v the label's share of it,
    -y log p - (1 - y) log(1 - p) = -log(1 - m) + v log((1 - m) / m): the first term goes into the
    product, one logarithm is left, and no term is negative.
    """
    cdef real scores[BLOCK]
    cdef real labels[BLOCK]
    cdef double scratch[BLOCK]
    cdef real eps = <real>job.eps, one = 1, half = 0.5
    cdef real q, nothing = -0.0
    cdef real share[BLOCK]
    cdef real f[BLOCK]
    cdef real k[BLOCK]
    cdef Prefetch next = prefetch_of(job, start)
    cdef double wide[BLOCK]
    cdef const double* exact
    cdef const real* p
    cdef const real* y
    cdef int differ = 0
    cdef Py_ssize_t i, j
    if one - eps == one:
        return False
    p = view(job, &job.scores, start, BLOCK, scratch, scores)
    y = view(job, &job.labels, start, BLOCK, scratch, labels)
    if not all_within(p, one, False) or not all_within(y, one, False):
        return False
    # Labels with more digits than the scores: their value decides, not their dtype, for the same bits.
    if job.labels.dtype == FLOAT64:
        exact = view(job, &job.labels, start, BLOCK, scratch, wide)
        for i in range(BLOCK):
            differ += <double>y[i] != exact[i]
        if differ:
            return False
    for i in range(BLOCK):
        q = one - p[i]
        share[i] = y[i] if q > half else one - y[i]
        q = p[i] if q > half else q
        q = eps if q < eps else q
        scores[i] = q
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand_unrolled(&next, OF_SCORES, i)
        for j in range(LANES):
            q = (one - scores[i + j]) / scores[i + j]
            f[i + j] = mantissa(q) - one
            k[i + j] = exponent(q)
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand_unrolled(&next, OF_LABELS, i)
        for j in range(LANES):
            share[i + j] *= log_of_parts(f[i + j], nothing, k[i + j])
    next.size[OF_SCORES] = next.size[OF_LABELS] = 0     # both are prefetched already
    if not multiply_likelihoods(<const real*>scores, <const AllZeros*>NULL, 0.0, &next, product):
        return False
    add(lane_sum(share, BLOCK), &partial.total, &partial.total_lo)
    return True


cdef inline bint add_weighted(
    const Job* job, Py_ssize_t start, const real* loss, const floating* weight, Partial* partial
) noexcept nogil:
    """Weigh the finite losses of a block, and store them or add them up; False for a bad weight."""
    cdef double sums[LANES]
    cdef double weights[LANES]
    cdef double product[BLOCK]
    cdef double w
    cdef Py_ssize_t i, j
    cdef Prefetch next = prefetch_of(job, start)
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
        store(job, &job.out, start, BLOCK, product)
    return True


cdef inline bint add_direct_losses(
    const Job* job, Py_ssize_t start, Partial* partial, real* tag
) noexcept nogil:
    """Weigh, store and add the losses of a full block."""
    cdef real loss[BLOCK]
    cdef double weight[BLOCK]
    cdef double scratch[BLOCK]
    cdef bint contiguous
    if not has_normal_eps(job, tag):
        return False
    if job.weight.dtype == ABSENT:
        contiguous = job.out.contiguous and is_real(job.out.dtype, tag)
        if contiguous and not job.nontemporal:
            return direct_losses(job, start, <real*>job.out.data + start)
        if not direct_losses(job, start, loss):
            return False
        if contiguous:
            write(job, <char*>(<real*>job.out.data + start), loss, BLOCK * sizeof(real))
            return True
        convert(loss, BLOCK, weight)
        store(job, &job.out, start, BLOCK, weight)
        return True
    if not direct_losses(job, start, loss):
        return False
    if job.weight.dtype == FLOAT32:
        return add_weighted(
            job, start, loss, view(job, &job.weight, start, BLOCK, scratch, <float*>weight), partial
        )
    return add_weighted(
        job, start, loss, view(job, &job.weight, start, BLOCK, scratch, weight), partial
    )

# The fast paths of binary losses: mostly full blocks with hard labels. A function whose path does not
# serve returns False and has done nothing. A plain mean or sum is a product (likelihood.pxd), at the
# speed of memory. With weights or reduction="none" each element takes its own logarithm.

from libc.math cimport INFINITY
from libc.stdint cimport uint16_t, uint8_t

from fastxent._kernels.arrays.bounds cimport all_within, halves_within_one, largest
from fastxent._kernels.arrays.load cimport all_zero_or_one, gather, hard_labels, view, widen
from fastxent._kernels.arrays.prefetch cimport (
    OF_LABELS, OF_SCORES, Prefetch, prefetch_of, prefetch_operand,
)
from fastxent._kernels.binary.elementwise cimport add_direct_losses, add_soft_losses
from fastxent._kernels.job cimport (
    ABSENT, BFLOAT16, BINARY, BINARY_LOGITS, BLOCK, FLOAT16, FLOAT64, Job, LANES, NAN_OMIT,
    Partial,
)
from fastxent._kernels.likelihood cimport (
    AllOnesClipped, clip_block, clipped, has_bounds, log_one_plus, multiply_likelihoods,
    Product,
)
from fastxent._kernels.numeric.generic cimport exp_minus_abs
from fastxent._kernels.numeric.sums cimport add, lane_sum, sum_lanes
from fastxent._kernels.types cimport real


cdef inline bint has_no_options(const Job* job) noexcept nogil:
    """Whether only weights and outputs distinguish the call from a plain one."""
    return (
        (job.loss == BINARY or job.loss == BINARY_LOGITS)
        and job.mask.dtype == ABSENT
        and job.scale_operand.dtype == ABSENT
        and job.label_smoothing == 0.0
    )


cdef inline bint has_fast_path(const Job* job) noexcept nogil:
    """Whether full blocks may take a fast path: options go into sums, not into single losses."""
    return has_no_options(job) or (
        (job.loss == BINARY or job.loss == BINARY_LOGITS)
        and job.scale_operand.dtype == ABSENT
        and job.weight.dtype == ABSENT
        and not job.want_losses
    )


cdef inline bint has_short_rest(const Job* job) noexcept nogil:
    """Whether 1 - p is a float32 for every p from eps on: a multiple of 2^-24."""
    return job.scores.dtype == FLOAT16 or (
        job.scores.dtype == BFLOAT16 and job.eps >= 7.62939453125e-06    # 2^-17, of 8 digits
    )


# ---- sums, by products ------------------------------------------------------------------------


cdef inline bint add_half_likelihoods(
    const Job* job, Py_ssize_t start, Product* product, real* tag
) noexcept nogil:
    """`add_likelihoods` for half precision, whose eps is large: all elements are clipped at once."""
    cdef real labels[BLOCK]
    cdef real p[BLOCK]
    cdef double scratch[BLOCK]
    cdef real one = 1, low = <real>job.eps
    cdef Prefetch next = prefetch_of(job, start)
    cdef const real* y = hard_labels(job, start, BLOCK, scratch, labels)
    cdef const void* raw = gather(job, &job.scores, start, BLOCK, scratch)
    cdef Py_ssize_t i
    if y == NULL or not has_bounds(job.eps, tag) or not halves_within_one(raw, job.scores.dtype):
        return False
    widen(job.scores.dtype, <const uint16_t*>raw, BLOCK, p)
    for i in range(BLOCK):
        p[i] = clipped(p[i] if y[i] != 0 else one - p[i], low, one - low)
    return multiply_likelihoods(p, <const AllOnesClipped*>NULL, job.eps, &next, product)


cdef inline bint add_likelihoods(
    const Job* job, Py_ssize_t start, Product* product, real* tag
) noexcept nogil:
    """Multiply in one full block of probabilities with hard labels, clipped where necessary."""
    cdef real labels[BLOCK]
    cdef real scores[BLOCK]
    cdef double scratch[BLOCK]
    cdef const real* p = view(job, &job.scores, start, BLOCK, scratch, scores)
    cdef const real* y = hard_labels(job, start, BLOCK, scratch, labels)
    cdef Prefetch next = prefetch_of(job, start)
    if y == NULL:
        return False
    return multiply_likelihoods(p, y, job.eps, &next, product) or (
        1.0 - (1.0 - job.eps) == job.eps    # else 1 - p is not clipped to eps
        and clip_block(p, job.eps, scores)
        and multiply_likelihoods(scores, y, job.eps, &next, product)
    )


cdef inline int load_valid(
    const Job* job, Py_ssize_t start, real* score, real* label, real* valid
) noexcept nogil:
    """Load a full block, and 1 where an element counts: neither masked nor a NaN to omit.

    Returns how many count; -1 where labels have more digits than the scores. Where an element does
    not count, whatever its score and label are, both are 1.
    """
    cdef double scratch[BLOCK]
    cdef double wide[BLOCK]
    cdef const double* exact
    cdef const uint8_t* keep
    cdef const real* y = hard_labels(job, start, BLOCK, scratch, label)
    cdef const real* x = view(job, &job.scores, start, BLOCK, scratch, score)
    cdef bint soft = y == NULL
    cdef real one = 1, zero = 0
    cdef int differ = 0
    cdef Py_ssize_t i
    if soft:
        y = view(job, &job.labels, start, BLOCK, scratch, label)
    if job.mask.dtype == ABSENT:
        for i in range(BLOCK):
            valid[i] = one
    else:
        keep = <const uint8_t*>gather(job, &job.mask, start, BLOCK, scratch)
        for i in range(BLOCK):
            valid[i] = <real>keep[i]
        for i in range(BLOCK):
            valid[i] = one if valid[i] != zero else zero
    if job.nan_policy == NAN_OMIT:
        for i in range(BLOCK):
            valid[i] = valid[i] if x[i] == x[i] and y[i] == y[i] else zero
    for i in range(BLOCK):
        score[i] = x[i] if valid[i] != zero else one
        label[i] = y[i] if valid[i] != zero else one
    # Labels of more digits than the scores: by their value, not their dtype, for the same bits.
    if soft and job.labels.dtype == FLOAT64:
        exact = view(job, &job.labels, start, BLOCK, scratch, wide)
        for i in range(BLOCK):
            differ += valid[i] != zero and <double>label[i] != exact[i]
        if differ:
            return -1
    return <int>lane_sum(valid, BLOCK)


cdef inline bint multiply_clipped(
    const real* score, const real* label, const real* valid, real opposite, double eps,
    Product* product
) noexcept nogil:
    """Multiply in the clipped probabilities of the labels, or of their opposites; 1 if not valid."""
    cdef double factor[BLOCK]
    cdef double high = 1.0 - eps, p, q
    cdef real zero = 0
    cdef Prefetch next
    cdef Py_ssize_t i
    for i in range(3):
        next.place[i] = NULL
        next.size[i] = 0    # load_valid has read the block, and the processor is ahead of it
    for i in range(BLOCK):
        p = <double>score[i]
        q = 1.0 - p
        q = p if label[i] != opposite else q
        q = q if q > eps else eps
        q = q if q < high else high
        factor[i] = q if valid[i] != zero else 1.0
    return multiply_likelihoods(
        <const double*>factor, <const AllOnesClipped*>NULL, eps, &next, product
    )


cdef inline int add_valid_likelihoods(
    const Job* job, Py_ssize_t start, Product* products, real* tag
) noexcept nogil:
    """`add_likelihoods` with a mask, smoothing or any eps; returns how many count, or -1.

    The loss is -(1 - s/2) log q - s/2 log(1 - q), q being the probability of the label's outcome:
    two products. An element that does not count is a factor of 1.
    """
    cdef real score[BLOCK]
    cdef real label[BLOCK]
    cdef real valid[BLOCK]
    cdef real zero = 0, one = 1
    cdef Product saved = products[0]
    cdef int count = load_valid(job, start, score, label, valid)
    if count <= 0:
        return count
    if not all_within(score, one, False) or not all_zero_or_one(label, BLOCK):
        return -1
    if not multiply_clipped(score, label, valid, zero, job.eps, &products[0]):
        return -1
    if job.label_smoothing != 0.0 and not multiply_clipped(
        score, label, valid, one, job.eps, &products[1]
    ):
        products[0] = saved
        return -1
    return count


cdef inline bint softplus_of(
    const Job* job, Py_ssize_t start, const real* z, const real* y, real* exps, Partial* partial
) noexcept nogil:
    """The same for a loaded block; stores e^-|z| in exps."""
    cdef double u[LANES]
    cdef double linear[LANES]
    cdef real zero = 0
    cdef double e, total
    cdef Py_ssize_t i, j
    cdef Prefetch next = prefetch_of(job, start)
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand(&next, OF_SCORES, i)
        for j in range(i, i + LANES):
            exps[j] = exp_minus_abs(z[j])
    for j in range(LANES):
        u[j] = 0.0
        linear[j] = 0.0
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand(&next, OF_LABELS, i)
        for j in range(LANES):
            e = <double>exps[i + j]
            u[j] = u[j] + (e + u[j] * e)
            # Exact in either type, since y is 0 or 1.
            linear[j] += <double>((z[i + j] if z[i + j] > zero else zero) - z[i + j] * y[i + j])
    total = sum_lanes(linear) + log_one_plus(u)
    if not total < INFINITY:
        return False
    add(total, &partial.total, &partial.total_lo)
    return True


cdef inline bint add_softplus(
    const Job* job, Py_ssize_t start, Partial* partial, real* tag
) noexcept nogil:
    """Add max(z, 0) - z y + log(1 + e^-|z|) over one full block of logits with hard labels."""
    cdef real labels[BLOCK]
    cdef real scores[BLOCK]
    cdef real exps[BLOCK]
    cdef double scratch[BLOCK]
    cdef const real* z = view(job, &job.scores, start, BLOCK, scratch, scores)
    cdef const real* y = hard_labels(job, start, BLOCK, scratch, labels)
    return y != NULL and softplus_of(job, start, z, y, exps, partial)


cdef inline int add_valid_softplus(
    const Job* job, Py_ssize_t start, Partial* partial, real* tag
) noexcept nogil:
    """`add_softplus` with a mask, smoothing or soft labels; returns how many count, or -1.

    With a the label's share of the outcome that z is against, and s the smoothing,
    the loss is log(1 + e^-|z|) + |z| (a (1 - s) + s/2).
    """
    cdef real z[BLOCK]
    cdef real exps[BLOCK]
    cdef real label[BLOCK]
    cdef real valid[BLOCK]
    cdef double u[LANES]
    cdef double sizes[LANES]
    cdef double against[LANES]
    cdef double e, size, share, smoothing = job.label_smoothing
    cdef real zero = 0, one = 1
    cdef int count = load_valid(job, start, z, label, valid)
    cdef Py_ssize_t i, j
    if count <= 0:
        return count
    if not all_within(label, one, False) or not all_within(z, largest(<const real*>z), True):
        return -1
    for i in range(BLOCK):
        exps[i] = exp_minus_abs(z[i]) * valid[i]
    for j in range(LANES):
        u[j] = 0.0
        sizes[j] = 0.0
        against[j] = 0.0
    for i from 0 <= i < BLOCK by LANES:
        for j in range(LANES):
            e = <double>exps[i + j]
            u[j] = u[j] + (e + u[j] * e)
            size = <double>((z[i + j] if z[i + j] > zero else -z[i + j]) * valid[i + j])
            share = <double>label[i + j]
            share = 1.0 - share if z[i + j] > zero else share
            against[j] += size * share
            sizes[j] += size
    e = (1.0 - smoothing) * sum_lanes(against) + 0.5 * smoothing * sum_lanes(sizes)
    if not e < INFINITY:
        return -1
    add(e + log_one_plus(u), &partial.total, &partial.total_lo)
    return count


# ---- a block ----------------------------------------------------------------------------------


cdef inline int add_plain(
    const Job* job, Py_ssize_t start, Product* product, Partial* partial, real* tag
) noexcept nogil:
    """A block that counts as a whole, without options; returns BLOCK, or -1."""
    cdef bint done
    if job.loss == BINARY_LOGITS:
        done = add_softplus(job, start, partial, tag)
    elif has_short_rest(job):
        done = add_half_likelihoods(job, start, product, tag)
    else:
        done = add_likelihoods(job, start, product, tag)
    if job.loss == BINARY and not done:
        done = add_soft_losses(job, start, product, partial, tag)
    return BLOCK if done else -1


cdef inline bint fast_block(
    const Job* job, Py_ssize_t start, Product* products, Partial* partial, real* tag
) noexcept nogil:
    """A full block on a fast path; False, with nothing done, where none serves."""
    cdef int count = -1
    if job.want_losses or job.weight.dtype != ABSENT:
        if not add_direct_losses(job, start, partial, tag):
            return False
        partial.count += BLOCK
        return True
    if has_no_options(job):
        count = add_plain(job, start, products, partial, tag)
    if count < 0 and job.loss == BINARY:
        count = add_valid_likelihoods(job, start, products, tag)
    elif count < 0:
        count = add_valid_softplus(job, start, partial, tag)
    if count < 0:
        return False
    partial.count += count
    add(<double>count, &partial.weight, &partial.weight_lo)
    return True

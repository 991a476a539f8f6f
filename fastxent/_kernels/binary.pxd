# Losses of one number per position: binary cross entropy, from probabilities and from logits, its
# focal variant, and the Gaussian negative log-likelihood.
#
# Three roads. Full blocks of a plain mean or sum go by products (product.pxd), at the speed of memory.
# Full blocks with weights or reduction="none" take the logarithm of each element in the scores' own
# type. The careful road takes everything else (masks, soft labels, options, the last block, whatever
# the fast roads decline) in float64 buffers, and is where faults are found and named.

from libc.math cimport INFINITY
from libc.stdint cimport uint8_t

from fastxent._kernels.checks cimport all_within, halves_within_one, largest
from fastxent._kernels.focal cimport binary_focal_losses
from fastxent._kernels.job cimport (
    ABSENT, BAD_LABEL, BAD_SCALE, BAD_SCORE, BAD_WEIGHT, BFLOAT16, BINARY, BINARY_FOCAL,
    BINARY_LOGITS, BLOCK, FLOAT16, FLOAT32, FLOAT64, GAUSSIAN, Job, LANES, NAN_LABEL, NAN_OMIT,
    NAN_PROPAGATE, NAN_SCORE, NO_FAULT, Partial,
)
from fastxent._kernels.load cimport (
    Ahead, OF_LABELS, OF_SCORES, OF_WEIGHT, convert, convert_kind, fetch, floating, gather,
    hard_labels, is_real, load, look_ahead, real, view,
)
from fastxent._kernels.math cimport log_wide
from fastxent._kernels.product cimport (
    Clipped, Product, add_product, clip_block, clipped, has_bounds, log_one_plus,
    multiply_likelihoods, start_product,
)
from fastxent._kernels.real cimport (
    decay, exponent, log1p_unit, log_of_parts, log_plus, mantissa,
)
from fastxent._kernels.reduce cimport add, add_losses, apply_weights, fold, lane_sum, term
from fastxent._kernels.store cimport store, write

cdef enum:
    PART = 512      # positions of the careful road at a time: six buffers of float64 in L1

cdef struct Stage:      # one block on its way: float64, whatever came in
    double score[PART]
    double label[PART]
    double other[PART]      # 1 - label, not of the rounded label where that is smoothed
    double weight[PART]
    double scale[PART]     # pos_weight, or the variance
    double loss[PART]
    double scratch[PART]
    int n
    int count               # positions that take part
    bint weighted
    bint hard               # labels of 0 and 1 only


# ---- the fast roads: hard labels, full blocks --------------------------------------------------


cdef inline bint is_plain(const Job* job) noexcept nogil:
    """Whether full blocks may take a fast road."""
    return (
        (job.loss == BINARY or job.loss == BINARY_LOGITS)
        and job.mask.kind == ABSENT
        and job.scale_by.kind == ABSENT
        and job.label_smoothing == 0.0
    )


cdef inline bint has_normal_eps(const Job* job, real* tag) noexcept nogil:
    """Whether 1 / eps is a number in the type at hand: what is clipped by it has a cheap logarithm."""
    if real is float:
        return job.loss != BINARY or job.eps >= 1.1754943508222875e-38
    else:
        return job.loss != BINARY or job.eps >= 2.2250738585072014e-308


cdef inline bint has_short_rest(const Job* job) noexcept nogil:
    """Whether 1 - p is a float32 for every p from eps on: a multiple of 2^-24."""
    return job.scores.kind == FLOAT16 or (
        job.scores.kind == BFLOAT16 and job.eps >= 7.62939453125e-06    # 2^-17, of 8 digits
    )


cdef inline bint add_half_likelihoods(
    const Job* job, Py_ssize_t start, Product* product, real* tag
) noexcept nogil:
    """`add_likelihoods` of half precision, whose eps is large: all are clipped at once."""
    cdef real labels[BLOCK]
    cdef real p[BLOCK]
    cdef double scratch[BLOCK]
    cdef real one = 1, low = <real>job.eps
    cdef Ahead next = look_ahead(job, start)
    cdef const real* y = hard_labels(job, start, BLOCK, scratch, labels)
    cdef const void* raw = gather(job, &job.scores, start, BLOCK, scratch)
    cdef Py_ssize_t i
    if y == NULL or not has_bounds(job.eps, tag) or not halves_within_one(raw, job.scores.kind):
        return False
    convert_kind(job.scores.kind, raw, BLOCK, p)
    for i in range(BLOCK):
        p[i] = clipped(p[i] if y[i] != 0 else one - p[i], low, one - low)
    return multiply_likelihoods(p, <const Clipped*>NULL, job.eps, &next, product)


cdef inline bint add_likelihoods(
    const Job* job, Py_ssize_t start, Product* product, real* tag
) noexcept nogil:
    """Multiply in one full block of probabilities with hard labels; clipped where there is a need."""
    cdef real labels[BLOCK]
    cdef real scores[BLOCK]
    cdef double scratch[BLOCK]
    cdef const real* p = view(job, &job.scores, start, BLOCK, scratch, scores)
    cdef const real* y = hard_labels(job, start, BLOCK, scratch, labels)
    cdef Ahead next = look_ahead(job, start)
    if y == NULL:
        return False
    return multiply_likelihoods(p, y, job.eps, &next, product) or (
        clip_block(p, job.eps, scores)
        and multiply_likelihoods(scores, y, job.eps, &next, product)
    )


cdef inline bint add_softplus(
    const Job* job, Py_ssize_t start, Partial* partial, real* tag
) noexcept nogil:
    """Add max(z, 0) - z y + log(1 + e^-|z|) over one full block of logits with hard labels."""
    cdef real labels[BLOCK]
    cdef real scores[BLOCK]
    cdef real power[BLOCK]
    cdef double scratch[BLOCK]
    cdef const real* z = view(job, &job.scores, start, BLOCK, scratch, scores)
    cdef const real* y = hard_labels(job, start, BLOCK, scratch, labels)
    return y != NULL and softplus_of(job, start, z, y, power, partial)


cdef inline bint softplus_of(
    const Job* job, Py_ssize_t start, const real* z, const real* y, real* power, Partial* partial
) noexcept nogil:
    """The same of a block that is staged; e^-|z| is left in power."""
    cdef double u[LANES]
    cdef double linear[LANES]
    cdef real zero = 0
    cdef double e, total
    cdef Py_ssize_t i, j
    cdef Ahead next = look_ahead(job, start)
    for i in range(BLOCK):
        power[i] = decay(z[i])
    for j in range(LANES):
        u[j] = 0.0
        linear[j] = 0.0
    for i from 0 <= i < BLOCK by LANES:
        fetch(&next, OF_SCORES, i)
        fetch(&next, OF_LABELS, i)
        for j in range(LANES):
            e = <double>power[i + j]
            u[j] = u[j] + (e + u[j] * e)
            # Exact in either type, y being 0 or 1.
            linear[j] += <double>((z[i + j] if z[i + j] > zero else zero) - z[i + j] * y[i + j])
    total = fold(linear) + log_one_plus(u)
    if not total < INFINITY:
        return False
    add(total, &partial.total, &partial.total_lo)
    return True


cdef inline real minus_log(real a, real complement, real lost, real eps) noexcept nogil:
    """-log of the probability a + lost, clipped to [eps, 1 - eps], given 1 - a as well."""
    cdef real zero = 0
    clip(&a, complement, &lost, eps)
    # 0 - 0, not -0: no loss is below zero.
    return zero - log_plus(a, share_lost(lost, complement))


cdef inline real share_lost(real lost, real complement) noexcept nogil:
    """lost / a, nearly, a being 1 - complement: where something is lost, a is above 1/2."""
    return lost + lost * complement


cdef inline void clip(real* a, real complement, real* lost, real eps) noexcept nogil:
    """Clip the probability a + lost to [eps, 1 - eps], given 1 - a as well; a NaN stays.

    That a is beyond 1 - eps is seen on its complement, which tells what lies closer to 1 than a
    float can; 1 - eps itself goes along with its rounding error, too.
    """
    cdef real one = 1, zero = 0
    cdef real most = one - eps
    cdef real most_lost = (one - most) - eps
    lost[0] = zero if a[0] < eps else lost[0]
    a[0] = eps if a[0] < eps else a[0]
    lost[0] = most_lost if complement < eps else lost[0]
    a[0] = most if complement < eps else a[0]


cdef inline void probability_losses(
    const real* p, const real* y, real eps, const Ahead* next, real* loss
) noexcept nogil:
    """-log of the probability of what happened, of a block whose probabilities are in [0, 1].

    Two loops: a processor looks only some 200 operations ahead, which is less than five of the
    logarithms are long. Cut in two, more of them are under way at a time: a third faster.
    """
    cdef real f[BLOCK]
    cdef real k[BLOCK]
    cdef real low[BLOCK]
    cdef real one = 1, zero = 0
    cdef real rest, chosen, other, lost
    cdef Py_ssize_t i, j
    for i from 0 <= i < BLOCK by LANES:
        fetch(next, OF_SCORES, i)
        for j in range(i, i + LANES):
            rest = one - p[j]
            chosen = p[j] if y[j] != zero else rest
            other = rest if y[j] != zero else p[j]
            lost = zero if y[j] != zero else (one - rest) - p[j]
            clip(&chosen, other, &lost, eps)
            f[j] = mantissa(chosen) - one
            k[j] = exponent(chosen)
            low[j] = share_lost(lost, other)
    for i from 0 <= i < BLOCK by LANES:
        fetch(next, OF_LABELS, i)
        for j in range(i, i + LANES):
            loss[j] = zero - log_of_parts(f[j], low[j], k[j])


cdef inline void softplus_losses(
    const real* z, const real* y, const Ahead* next, real* loss
) noexcept nogil:
    """log(1 + e^z) - z y, of a block whose logits are finite."""
    cdef real power[BLOCK]
    cdef real zero = 0
    cdef Py_ssize_t i, j
    for i from 0 <= i < BLOCK by LANES:
        fetch(next, OF_SCORES, i)
        for j in range(i, i + LANES):
            power[j] = decay(z[j])
    for i from 0 <= i < BLOCK by LANES:
        fetch(next, OF_LABELS, i)
        for j in range(i, i + LANES):
            loss[j] = log1p_unit(power[j]) + ((z[j] if z[j] > zero else zero) - z[j] * y[j])


cdef inline bint direct_losses(const Job* job, Py_ssize_t start, real* loss) noexcept nogil:
    """The losses of a full block; False where labels are not hard or a score is out of the ordinary."""
    cdef real labels[BLOCK]
    cdef real scores[BLOCK]
    cdef double scratch[BLOCK]
    cdef const real* x
    cdef const real* y
    cdef real one = 1
    cdef Ahead next = look_ahead(job, start)
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
    """Add a full block of probabilities with soft labels of their own type; False where not done.

    With m the smaller of p and 1 - p, and v the label's share of it,
    -y log p - (1 - y) log(1 - p) = -log(1 - m) + v log((1 - m) / m): the first term goes into the
    product, one logarithm is left, and no term is negative.
    """
    cdef real scores[BLOCK]
    cdef real labels[BLOCK]
    cdef real rest[BLOCK]
    cdef double most[BLOCK]
    cdef double scratch[BLOCK]
    cdef real eps = <real>job.eps, one = 1, half = 0.5
    cdef real q, nothing = -0.0
    cdef real share[BLOCK]
    cdef real f[BLOCK]
    cdef real k[BLOCK]
    cdef Ahead next = look_ahead(job, start)
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
    # Labels of more digits than the scores: by their value, not their dtype, for the same bits.
    if job.labels.kind == FLOAT64:
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
        fetch(&next, OF_SCORES, i)
        for j in range(i, i + LANES):
            q = (one - scores[j]) / scores[j]
            f[j] = mantissa(q) - one
            k[j] = exponent(q)
    for i from 0 <= i < BLOCK by LANES:
        fetch(&next, OF_LABELS, i)
        for j in range(i, i + LANES):
            rest[j] = share[j] * log_of_parts(f[j], nothing, k[j])
    for i in range(BLOCK):
        most[i] = 1.0 - <double>scores[i]
    next.size[OF_SCORES] = next.size[OF_LABELS] = 0     # both are on their way
    if not multiply_likelihoods(most, <const Clipped*>NULL, 0.0, &next, product):
        return False
    add(lane_sum(rest, BLOCK), &partial.total, &partial.total_lo)
    return True


cdef inline bint add_direct_losses(
    const Job* job, Py_ssize_t start, Partial* partial, real* tag
) noexcept nogil:
    """Weigh, store and add the losses of a full block."""
    cdef real loss[BLOCK]
    cdef double weight[BLOCK]
    cdef double scratch[BLOCK]
    cdef bint direct
    if not has_normal_eps(job, tag):
        return False
    if job.weight.kind == ABSENT:
        direct = job.out.direct and is_real(job.out.kind, tag)
        if direct and not job.streams:
            return direct_losses(job, start, <real*>job.out.data + start)
        if not direct_losses(job, start, loss):
            return False
        if direct:
            write(job, <char*>(<real*>job.out.data + start), loss, BLOCK * sizeof(real))
            return True
        convert(loss, BLOCK, weight)
        store(job, &job.out, start, BLOCK, weight)
        return True
    if not direct_losses(job, start, loss):
        return False
    if job.weight.kind == FLOAT32:
        return add_weighted(
            job, start, loss, view(job, &job.weight, start, BLOCK, scratch, <float*>weight), partial
        )
    return add_weighted(
        job, start, loss, view(job, &job.weight, start, BLOCK, scratch, weight), partial
    )


cdef inline bint add_weighted(
    const Job* job, Py_ssize_t start, const real* loss, const floating* weight, Partial* partial
) noexcept nogil:
    """Weigh the finite losses of a block, and store them or add them up; False for a bad weight."""
    cdef double sums[LANES]
    cdef double weights[LANES]
    cdef double product[BLOCK]
    cdef double w
    cdef Py_ssize_t i, j
    cdef Ahead next = look_ahead(job, start)
    if not all_within(weight, largest(weight), False):
        return False
    for j in range(LANES):
        sums[j] = 0.0
        weights[j] = 0.0
    for i from 0 <= i < BLOCK by LANES:
        fetch(&next, OF_WEIGHT, i)
        for j in range(LANES):
            w = <double>weight[i + j]
            sums[j] += <double>loss[i + j] * w
            weights[j] += w
    add(fold(sums), &partial.total, &partial.total_lo)
    add(fold(weights), &partial.weight, &partial.weight_lo)
    if job.want_losses:
        for i in range(BLOCK):
            product[i] = <double>loss[i] * <double>weight[i]
        store(job, &job.out, start, BLOCK, product)
    return True


# ---- the careful road ------------------------------------------------------------------------


cdef inline int outside(const double* x, int n, double low, double high) noexcept nogil:
    """How many of x are not in [low, high]; a NaN is not."""
    cdef Py_ssize_t i
    cdef int found = 0
    for i in range(n):
        found += 0 if low <= x[i] and x[i] <= high else 1
    return found


cdef inline void leave_out(Stage* stage, const uint8_t* keep, bint omit_nan) noexcept nogil:
    """Neutral values and weight 0 for what is masked, and for NaN where it is to be omitted."""
    cdef Py_ssize_t i
    cdef bint kept
    stage.count = 0
    for i in range(stage.n):
        kept = keep == NULL or keep[i] != 0
        if omit_nan and (stage.score[i] != stage.score[i] or stage.label[i] != stage.label[i]):
            kept = False
        stage.count += kept
        if not kept:
            stage.score[i] = 0.5
            stage.label[i] = 1.0
            stage.scale[i] = 1.0
            stage.weight[i] = 0.0
        elif not stage.weighted:
            stage.weight[i] = 1.0


cdef inline double least_scale(const Job* job) noexcept nogil:
    """A variance is above 0; a pos_weight may be 0."""
    return 5e-324 if job.loss == GAUSSIAN else 0.0


cdef inline bint fault_at(
    const Job* job, const Stage* stage, int i, Partial* partial
) noexcept nogil:
    """Name what is wrong with element i, if anything is."""
    cdef double x = stage.score[i], y = stage.label[i]
    cdef bint strict = job.nan_policy != NAN_PROPAGATE
    partial.fault = NO_FAULT
    if x != x:
        if strict:
            partial.fault = NAN_SCORE
    elif job.loss == BINARY and not 0.0 <= x <= 1.0:
        partial.fault = BAD_SCORE
    if partial.fault == NO_FAULT:
        if y != y:
            if strict:
                partial.fault = NAN_LABEL
        elif job.loss != GAUSSIAN and not 0.0 <= y <= 1.0:
            partial.fault = BAD_LABEL
    if partial.fault == NO_FAULT and stage.weighted and not 0.0 <= stage.weight[i] < INFINITY:
        partial.fault = BAD_WEIGHT
    if partial.fault == NO_FAULT and not least_scale(job) <= stage.scale[i] < INFINITY:
        partial.fault = BAD_SCALE
    return partial.fault != NO_FAULT


cdef inline bint stage_block(
    const Job* job, Py_ssize_t start, Stage* stage, Partial* partial
) noexcept nogil:
    """Bring one block in and check it; False, with the fault noted, where it is bad."""
    cdef Py_ssize_t i
    cdef int n = stage.n
    cdef bint bounded = job.loss != GAUSSIAN
    cdef bint omit = job.nan_policy == NAN_OMIT
    cdef const uint8_t* keep = NULL
    cdef const double* hard
    cdef double low = 0.0 if job.loss == BINARY else -INFINITY
    cdef double high = 1.0 if job.loss == BINARY else INFINITY
    cdef Ahead next = look_ahead(job, start)
    stage.weighted = job.weight.kind != ABSENT
    for i from 0 <= i < n by LANES:
        fetch(&next, OF_SCORES, i)
        fetch(&next, OF_LABELS, i)
        fetch(&next, OF_WEIGHT, i)
    hard = hard_labels(job, start, n, stage.scratch, stage.label)
    stage.hard = hard != NULL
    if hard != stage.label:
        load(job, &job.labels, start, n, stage.scratch, stage.label)
    load(job, &job.scores, start, n, stage.scratch, stage.score)
    if stage.weighted:
        load(job, &job.weight, start, n, stage.scratch, stage.weight)
    if job.scale_by.kind != ABSENT:
        load(job, &job.scale_by, start, n, stage.scratch, stage.scale)
    else:
        for i in range(n):
            stage.scale[i] = 1.0
    stage.count = n
    if job.mask.kind != ABSENT:
        keep = <const uint8_t*>gather(job, &job.mask, start, n, stage.scratch)
    if keep != NULL or omit:
        leave_out(stage, keep, omit)
        stage.weighted = True
    if (
        outside(stage.score, n, low, high)
        + (0 if stage.hard else outside(stage.label, n, 0.0 if bounded else -INFINITY,
                                        1.0 if bounded else INFINITY))
        + (outside(stage.weight, n, 0.0, 1.7976931348623157e308) if stage.weighted else 0)
        + (outside(stage.scale, n, least_scale(job), 1.7976931348623157e308)
           if job.scale_by.kind != ABSENT else 0)
    ):
        for i in range(n):
            if fault_at(job, stage, i, partial):
                partial.position = start + i
                partial.index = -1
                return False
    for i in range(n):
        stage.other[i] = 1.0 - stage.label[i]
    if bounded and job.label_smoothing != 0.0:
        stage.hard = False
        smooth(stage.label, n, job.label_smoothing)
        smooth(stage.other, n, job.label_smoothing)
    return True


cdef inline void smooth(double* label, int n, double smoothing) noexcept nogil:
    """y (1 - e) + e / 2."""
    cdef Py_ssize_t i
    for i in range(n):
        label[i] = label[i] * (1.0 - smoothing) + 0.5 * smoothing


cdef inline void hard_probability_losses(Stage* stage, real eps) noexcept nogil:
    """-log of the probability of what happened."""
    cdef real p[PART]
    cdef real y[PART]
    cdef Py_ssize_t i
    cdef real q, lost, one = 1, zero = 0
    convert(stage.score, stage.n, p)
    convert(stage.label, stage.n, y)
    for i in range(stage.n):
        q = one - p[i]
        lost = (one - q) - p[i]
        p[i] = minus_log(
            p[i] if y[i] != zero else q,
            q if y[i] != zero else p[i],
            zero if y[i] != zero else lost,
            eps,
        )
    convert(p, stage.n, stage.loss)


cdef inline void soft_probability_losses(Stage* stage, real eps) noexcept nogil:
    """-(y log p + (1 - y) log(1 - p))."""
    cdef real p[PART]
    cdef real other[PART]
    cdef Py_ssize_t i
    cdef real q, one = 1, zero = 0
    convert(stage.score, stage.n, p)
    for i in range(stage.n):
        q = one - p[i]
        other[i] = minus_log(q, p[i], (one - q) - p[i], eps)
        p[i] = minus_log(p[i], q, zero, eps)
    for i in range(stage.n):
        stage.loss[i] = term(stage.label[i], <double>p[i]) + term(
            stage.other[i], <double>other[i]
        )


cdef inline void logit_losses(Stage* stage, real* tag) noexcept nogil:
    """w y softplus(-z) + (1 - y) softplus(z), where softplus(z) = max(z, 0) + log(1 + e^-|z|)."""
    cdef real rest[PART]
    cdef Py_ssize_t i
    cdef double z, size, positive, negative
    convert(stage.score, stage.n, rest)
    for i in range(stage.n):
        rest[i] = log1p_unit(decay(rest[i]))
    for i in range(stage.n):
        z = stage.score[i]
        size = -z if z < 0.0 else z
        positive = stage.scale[i] * stage.label[i]
        negative = stage.other[i]
        stage.loss[i] = (positive + negative) * <double>rest[i] + term(
            negative if z > 0.0 else positive, size
        )


cdef inline void gaussian_losses(Stage* stage, bint full) noexcept nogil:
    """(log var + (y - mean)^2 / var) / 2, and log(2 pi) / 2 where the constant is wanted."""
    cdef Py_ssize_t i
    cdef double distance
    cdef double constant = 0.9189385332046727 if full else 0.0
    for i in range(stage.n):
        distance = stage.label[i] - stage.score[i]
        distance = 0.0 if stage.label[i] == stage.score[i] else distance  # both may be infinite
        stage.loss[i] = 0.5 * (
            log_wide(stage.scale[i]) + distance * (distance / stage.scale[i])
        ) + constant


cdef inline void stage_losses(const Job* job, Stage* stage, real* tag) noexcept nogil:
    """The losses of a staged block, their logarithms in the tag's type."""
    if job.loss == BINARY:
        if stage.hard:
            hard_probability_losses(stage, <real>job.eps)
        else:
            soft_probability_losses(stage, <real>job.eps)
    elif job.loss == BINARY_LOGITS:
        logit_losses(stage, tag)
    elif job.loss == BINARY_FOCAL:
        binary_focal_losses(
            job, stage.score, stage.label, stage.other, stage.n, stage.loss, stage.scratch
        )
    else:
        gaussian_losses(stage, job.full)


cdef inline bint careful_block(
    const Job* job, Py_ssize_t start, int n, Partial* partial, real* tag
) noexcept nogil:
    """Element by element, in parts; False where one holds a fault."""
    cdef Stage stage
    cdef int done
    for done from 0 <= done < n by PART:
        stage.n = min(PART, n - done)
        if not stage_block(job, start + done, &stage, partial):
            return False
        stage_losses(job, &stage, tag)
        if stage.weighted:
            apply_weights(stage.loss, stage.weight, stage.n)
        if job.want_losses:
            store(job, &job.out, start + done, stage.n, stage.loss)
        add_losses(stage.loss, stage.weight if stage.weighted else NULL, stage.n, partial)
        partial.count += stage.count
    return True


cdef inline bint fast_block(
    const Job* job, Py_ssize_t start, Product* product, Partial* partial, real* tag
) noexcept nogil:
    """A full block on a fast road; False, and nothing done, where that does not serve."""
    cdef bint done
    if job.want_losses or job.weight.kind != ABSENT:
        if not add_direct_losses(job, start, partial, tag):
            return False
        partial.count += BLOCK
        return True
    if job.loss == BINARY:
        if has_short_rest(job):
            done = add_half_likelihoods(job, start, product, tag)
        else:
            done = add_likelihoods(job, start, product, tag)
        if not done and not add_soft_losses(job, start, product, partial, tag):
            return False
    elif not add_softplus(job, start, partial, tag):
        return False
    partial.count += BLOCK
    add(<double>BLOCK, &partial.weight, &partial.weight_lo)
    return True


cdef inline bint are_hard(const Job* job, Py_ssize_t start) noexcept nogil:
    """Whether the labels of a full block are 0 and 1 only."""
    cdef double labels[BLOCK]
    cdef double scratch[BLOCK]
    return hard_labels(job, start, BLOCK, scratch, labels) != NULL


cdef inline void run_positions(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial, real* tag
) noexcept nogil:
    """One chunk of a loss of one number per position.

    Logarithms in the scores' own type are for single losses and for sums of many; a short rest,
    and a block whose product was declined (losses so small that it would not do), get float64.
    """
    cdef Product product
    cdef int n
    cdef bint ok, narrow
    cdef bint plain = is_plain(job)
    start_product(&product)
    while start < stop:
        n = <int>min(<Py_ssize_t>BLOCK, stop - start)
        if not (plain and n == BLOCK and fast_block(job, start, &product, partial, tag)):
            narrow = job.want_losses or (n == BLOCK and not (plain and are_hard(job, start)))
            if narrow and (job.eps == 0.0 or has_normal_eps(job, tag)):
                ok = careful_block(job, start, n, partial, tag)
            else:
                ok = careful_block(job, start, n, partial, <double*>NULL)
            if not ok:
                return
        start += n
    add_product(&product, partial)

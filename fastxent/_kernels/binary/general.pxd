# The general path of binary losses and of the Gaussian one: any block, in float64 buffers. It takes
# masks, soft labels, options, the last block and whatever the fast paths decline, and it finds the
# errors.

from libc.math cimport INFINITY
from libc.stdint cimport uint8_t

from fastxent._kernels.arrays.bounds cimport outside
from fastxent._kernels.arrays.load cimport convert, gather, hard_labels, load
from fastxent._kernels.arrays.prefetch cimport (
    Prefetch, prefetch_operand, prefetch_of, OF_LABELS, OF_SCORES, OF_WEIGHT,
)
from fastxent._kernels.arrays.store cimport store
from fastxent._kernels.focal cimport binary_focal_gradients, binary_focal_losses
from fastxent._kernels.job cimport (
    ABSENT, BAD_LABEL, BAD_SCALE, BAD_SCORE, BAD_WEIGHT, BINARY, BINARY_FOCAL, BINARY_LOGITS,
    Bounds, Job, LANES, NAN_LABEL, NAN_OMIT, NAN_PROPAGATE, NAN_SCORE, NO_ERROR, Partial,
    POISSON,
)
from fastxent._kernels.numeric.clipped_log cimport minus_log
from fastxent._kernels.numeric.elementary cimport exp_f64, exp_nonpos_f64, log_f64
from fastxent._kernels.numeric.generic cimport exp_minus_abs, log1p_unit
from fastxent._kernels.numeric.log_factorial cimport add_log_factorials
from fastxent._kernels.numeric.sums cimport add_losses, apply_weights, mul_zero_inf
from fastxent._kernels.types cimport real

cdef enum:
    PART = 512      # positions at a time: six buffers of float64 in L1


cdef struct Block:      # one loaded block, in float64
    double score[PART]
    double label[PART]
    double other[PART]      # 1 - label, from the label before smoothing rounds it
    double weight[PART]
    double scale[PART]     # pos_weight, or the variance
    double loss[PART]
    double scratch[PART]
    int n
    int count               # positions that count
    bint weighted
    bint hard               # labels of 0 and 1 only


# ---- loading a block -------------------------------------------------------------------------


cdef inline void apply_mask(Block* block, const uint8_t* keep, bint omit_nan) noexcept nogil:
    """Neutral values and weight 0 where the mask is False, and for NaN that is omitted."""
    cdef Py_ssize_t i
    cdef bint valid
    block.count = 0
    for i in range(block.n):
        valid = keep == NULL or keep[i] != 0
        if omit_nan and (block.score[i] != block.score[i] or block.label[i] != block.label[i]):
            valid = False
        block.count += valid
        if not valid:
            block.score[i] = 0.5
            block.label[i] = 1.0
            block.scale[i] = 1.0
            block.weight[i] = 0.0
        elif not block.weighted:
            block.weight[i] = 1.0


cdef inline bint is_within(double x, Bounds bounds) noexcept nogil:
    """Whether it is in [lower, upper]; a NaN is not."""
    return bounds.lower <= x and x <= bounds.upper


cdef inline bint error_at(
    const Job* job, const Block* block, int i, Partial* partial
) noexcept nogil:
    """Find the error of element i, if it has one."""
    cdef double x = block.score[i], y = block.label[i]
    cdef bint strict = job.nan_policy != NAN_PROPAGATE
    partial.error = NO_ERROR
    if x != x:
        if strict:
            partial.error = NAN_SCORE
    elif not is_within(x, job.score_bounds):
        partial.error = BAD_SCORE
    if partial.error == NO_ERROR:
        if y != y:
            if strict:
                partial.error = NAN_LABEL
        elif not is_within(y, job.label_bounds):
            partial.error = BAD_LABEL
    if partial.error == NO_ERROR and block.weighted and not 0.0 <= block.weight[i] < INFINITY:
        partial.error = BAD_WEIGHT
    if partial.error == NO_ERROR and not is_within(block.scale[i], job.scale_bounds):
        partial.error = BAD_SCALE
    return partial.error != NO_ERROR


cdef inline void smooth(double* label, int n, double smoothing) noexcept nogil:
    """y (1 - e) + e / 2."""
    cdef Py_ssize_t i
    for i in range(n):
        label[i] = label[i] * (1.0 - smoothing) + 0.5 * smoothing


cdef inline bint load_block(
    const Job* job, Py_ssize_t start, Block* block, Partial* partial
) noexcept nogil:
    """Load and check one block; False, with the error stored, where it is invalid."""
    cdef Py_ssize_t i
    cdef int n = block.n
    cdef bint omit = job.nan_policy == NAN_OMIT
    cdef const uint8_t* keep = NULL
    cdef const double* hard
    cdef Prefetch next = prefetch_of(job, start)
    block.weighted = job.weight.dtype != ABSENT
    for i from 0 <= i < n by LANES:
        prefetch_operand(&next, OF_SCORES, i)
        prefetch_operand(&next, OF_LABELS, i)
        prefetch_operand(&next, OF_WEIGHT, i)
    hard = hard_labels(job, start, n, block.scratch, block.label)
    block.hard = hard != NULL
    if hard != block.label:
        load(job, &job.labels, start, n, block.scratch, block.label)
    load(job, &job.scores, start, n, block.scratch, block.score)
    if block.weighted:
        load(job, &job.weight, start, n, block.scratch, block.weight)
    if job.scale_operand.dtype != ABSENT:
        load(job, &job.scale_operand, start, n, block.scratch, block.scale)
    else:
        for i in range(n):
            block.scale[i] = 1.0
    block.count = n
    if job.mask.dtype != ABSENT:
        keep = <const uint8_t*>gather(job, &job.mask, start, n, block.scratch)
    if keep != NULL or omit:
        apply_mask(block, keep, omit)
        block.weighted = True
    if (
        outside(block.score, n, job.score_bounds.lower, job.score_bounds.upper)
        + (0 if block.hard
           else outside(block.label, n, job.label_bounds.lower, job.label_bounds.upper))
        + (outside(block.weight, n, 0.0, 1.7976931348623157e308) if block.weighted else 0)
        + (outside(block.scale, n, job.scale_bounds.lower, job.scale_bounds.upper)
           if job.scale_operand.dtype != ABSENT else 0)
    ):
        for i in range(n):
            if error_at(job, block, i, partial):
                partial.position = start + i
                partial.index = -1
                return False
    for i in range(n):
        block.other[i] = 1.0 - block.label[i]
    if job.label_smoothing != 0.0:
        block.hard = False
        smooth(block.label, n, job.label_smoothing)
        smooth(block.other, n, job.label_smoothing)
    return True


# ---- losses ----------------------------------------------------------------------------------


cdef inline void hard_probability_losses(Block* block, real eps) noexcept nogil:
    """-log of the true outcome's probability."""
    cdef real p[PART]
    cdef real y[PART]
    cdef Py_ssize_t i
    cdef real q, err, one = 1, zero = 0
    convert(block.score, block.n, p)
    convert(block.label, block.n, y)
    for i in range(block.n):
        q = one - p[i]
        err = (one - q) - p[i]
        p[i] = minus_log(
            p[i] if y[i] != zero else q,
            q if y[i] != zero else p[i],
            zero if y[i] != zero else err,
            eps,
        )
    convert(p, block.n, block.loss)


cdef inline void soft_probability_losses(Block* block, real eps) noexcept nogil:
    """-(y log p + (1 - y) log(1 - p))."""
    cdef real p[PART]
    cdef real other[PART]
    cdef Py_ssize_t i
    cdef real q, one = 1, zero = 0
    convert(block.score, block.n, p)
    for i in range(block.n):
        q = one - p[i]
        other[i] = minus_log(q, p[i], (one - q) - p[i], eps)
        p[i] = minus_log(p[i], q, zero, eps)
    for i in range(block.n):
        block.loss[i] = mul_zero_inf(block.label[i], <double>p[i]) + mul_zero_inf(
            block.other[i], <double>other[i]
        )


cdef inline void logit_losses(Block* block, real* tag) noexcept nogil:
    """w y softplus(-z) + (1 - y) softplus(z), where softplus(z) = max(z, 0) + log(1 + e^-|z|)."""
    cdef real rest[PART]
    cdef Py_ssize_t i
    cdef double z, size, positive, negative
    convert(block.score, block.n, rest)
    for i in range(block.n):
        rest[i] = log1p_unit(exp_minus_abs(rest[i]))
    for i in range(block.n):
        z = block.score[i]
        size = -z if z < 0.0 else z
        positive = block.scale[i] * block.label[i]
        negative = block.other[i]
        block.loss[i] = (positive + negative) * <double>rest[i] + mul_zero_inf(
            negative if z > 0.0 else positive, size
        )


cdef inline void gaussian_losses(Block* block, bint full) noexcept nogil:
    """(log var + (y - mean)^2 / var) / 2, and log(2 pi) / 2 where the constant is wanted."""
    cdef Py_ssize_t i
    cdef double distance
    cdef double constant = 0.9189385332046727 if full else 0.0
    for i in range(block.n):
        distance = block.label[i] - block.score[i]
        distance = 0.0 if block.label[i] == block.score[i] else distance  # both may be infinite
        block.loss[i] = 0.5 * (
            log_f64(block.scale[i]) + distance * (distance / block.scale[i])
        ) + constant


cdef inline void poisson_losses(Block* block, bint full) noexcept nogil:
    """e^z - y z, and log y! where it is wanted; infinite for z = inf."""
    cdef Py_ssize_t i
    cdef double rate
    for i in range(block.n):
        rate = exp_f64(block.score[i])
        block.loss[i] = rate - mul_zero_inf(block.label[i], block.score[i])
        block.loss[i] = rate if rate == INFINITY else block.loss[i]
    if full:
        add_log_factorials(<const double*>block.label, block.n, block.loss)


cdef inline void block_losses(const Job* job, Block* block, real* tag) noexcept nogil:
    """The losses of a loaded block, with logarithms in the tag's type."""
    if job.loss == BINARY:
        if block.hard:
            hard_probability_losses(block, <real>job.eps)
        else:
            soft_probability_losses(block, <real>job.eps)
    elif job.loss == BINARY_LOGITS:
        logit_losses(block, tag)
    elif job.loss == BINARY_FOCAL:
        binary_focal_losses(
            job, block.score, block.label, block.other, block.n, block.loss, block.scratch
        )
    elif job.loss == POISSON:
        poisson_losses(block, job.full)
    else:
        gaussian_losses(block, job.full)


# ---- gradients ---------------------------------------------------------------------------------


cdef inline void logit_gradients(Block* block) noexcept nogil:
    """(1 - y) sigma(z) - w y sigma(-z) into loss, and its derivative into scratch.

    Both take the better of two forms: the smaller of sigma(z) and sigma(-z) is never a difference.
    """
    cdef Py_ssize_t i
    cdef double z, e, small, hit, total, grad, hess
    for i in range(block.n):
        z = block.score[i]
        e = exp_nonpos_f64(z if z < 0.0 else -z)
        small = e / (1.0 + e)
        hit = block.scale[i] * block.label[i]
        total = 1.0 + (block.scale[i] - 1.0) * block.label[i]
        grad = total * small - hit if z < 0.0 else (1.0 - block.label[i]) - total * small
        hess = total * (e / ((1.0 + e) * (1.0 + e)))
        hess = hess if z == z else z
        grad = grad if z == z else z
        block.loss[i] = grad
        block.scratch[i] = hess


cdef inline void poisson_gradients(Block* block) noexcept nogil:
    """e^z - y into loss, and e^z into scratch."""
    cdef Py_ssize_t i
    for i in range(block.n):
        block.scratch[i] = exp_f64(block.score[i])
        block.loss[i] = block.scratch[i] - block.label[i]


cdef inline void block_gradients(const Job* job, Block* block) noexcept nogil:
    """The derivatives of a loaded block by its scores: the first into loss, the second into scratch."""
    if job.loss == BINARY_FOCAL:
        binary_focal_gradients(
            job, block.score, block.label, block.other, block.n, block.loss, block.scratch
        )
    elif job.loss == POISSON:
        poisson_gradients(block)
    else:
        logit_gradients(block)


# ---- a block -----------------------------------------------------------------------------------


cdef inline bint general_block(
    const Job* job, Py_ssize_t start, int n, Partial* partial, real* tag
) noexcept nogil:
    """Element by element, in parts; False where an element has an error."""
    cdef Block block
    cdef int done
    for done from 0 <= done < n by PART:
        block.n = min(PART, n - done)
        if not load_block(job, start + done, &block, partial):
            return False
        block_losses(job, &block, tag)
        if block.weighted:
            apply_weights(block.loss, block.weight, block.n)
        if job.want_losses:
            store(job, &job.out, start + done, block.n, block.loss)
        add_losses(block.loss, block.weight if block.weighted else NULL, block.n, partial)
        partial.count += block.count
    return True

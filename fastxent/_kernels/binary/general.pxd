# Binary losses, and the Gaussian one, on the careful road: any block, in float64 buffers. It takes
# masks, soft labels, options, the last block and whatever the fast roads decline, and finds and
# names faults.

from libc.math cimport INFINITY
from libc.stdint cimport uint8_t

from fastxent._kernels.arrays.bounds cimport outside
from fastxent._kernels.arrays.load cimport convert, gather, hard_labels, load
from fastxent._kernels.arrays.prefetch cimport (
    Ahead, fetch, look_ahead, OF_LABELS, OF_SCORES, OF_WEIGHT,
)
from fastxent._kernels.arrays.store cimport store
from fastxent._kernels.focal cimport binary_focal_losses
from fastxent._kernels.job cimport (
    ABSENT, BAD_LABEL, BAD_SCALE, BAD_SCORE, BAD_WEIGHT, BINARY, BINARY_FOCAL, BINARY_LOGITS,
    GAUSSIAN, Job, LANES, NAN_LABEL, NAN_OMIT, NAN_PROPAGATE, NAN_SCORE, NO_FAULT, Partial,
)
from fastxent._kernels.numeric.clipped_log cimport minus_log
from fastxent._kernels.numeric.elementary cimport log_wide
from fastxent._kernels.numeric.generic cimport decay, log1p_unit
from fastxent._kernels.numeric.sums cimport add_losses, apply_weights, term
from fastxent._kernels.types cimport real

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


# ---- bringing a block in ----------------------------------------------------------------------


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


cdef inline void smooth(double* label, int n, double smoothing) noexcept nogil:
    """y (1 - e) + e / 2."""
    cdef Py_ssize_t i
    for i in range(n):
        label[i] = label[i] * (1.0 - smoothing) + 0.5 * smoothing


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


# ---- its losses -------------------------------------------------------------------------------


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

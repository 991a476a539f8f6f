# Derivatives of losses of one logit per position. As with the losses, full blocks with hard labels go
# by lanes of the scores' own type, and everything else by float64.

from fastxent._kernels.arrays.bounds cimport all_within
from fastxent._kernels.arrays.store cimport put
from fastxent._kernels.arrays.load cimport hard_labels, load, view
from fastxent._kernels.arrays.store cimport store
from fastxent._kernels.binary.chunk cimport run_positions
from fastxent._kernels.binary.fast cimport add_direct_losses, is_plain, softplus_of
from fastxent._kernels.binary.general cimport PART, Stage, stage_block
from fastxent._kernels.focal cimport binary_focal_slopes
from fastxent._kernels.job cimport ABSENT, BINARY_FOCAL, BLOCK, Job, NAN_RAISE, NO_FAULT, Partial
from fastxent._kernels.numeric.elementary cimport decay_wide
from fastxent._kernels.numeric.generic cimport decay
from fastxent._kernels.numeric.sums cimport add
from fastxent._kernels.types cimport real


cdef inline bint load_factors(const Job* job, Py_ssize_t start, real* factor) noexcept nogil:
    """What the slopes of a full block are multiplied by; False where that is out of the ordinary."""
    cdef double weight[BLOCK]
    cdef double scratch[BLOCK]
    cdef double scale = job.scale
    cdef Py_ssize_t i
    if job.weight.kind == ABSENT:
        for i in range(BLOCK):
            factor[i] = <real>scale
        return 1e-30 < scale < 1e30
    load(job, &job.weight, start, BLOCK, scratch, weight)
    for i in range(BLOCK):
        weight[i] = weight[i] * scale
    for i in range(BLOCK):
        factor[i] = <real>weight[i]
    return 1e-30 < scale and all_within(weight, 1e30, False)


cdef inline bint plain_block(
    const Job* job, Py_ssize_t start, Partial* partial, real* tag
) noexcept nogil:
    """Losses and slopes of a full block with hard labels; False, and nothing done, elsewhere.

    The losses are summed as `fast_block` does, of the same exponentials.
    """
    cdef real labels[BLOCK]
    cdef real scores[BLOCK]
    cdef real power[BLOCK]
    cdef real factor[BLOCK]
    cdef real slope[BLOCK]
    cdef double scratch[BLOCK]
    cdef double label_scratch[BLOCK]
    cdef real one = 1, zero = 0
    cdef real e, against, part
    cdef Py_ssize_t i
    cdef const real* z = view(job, &job.scores, start, BLOCK, scratch, scores)
    cdef const real* y = hard_labels(job, start, BLOCK, label_scratch, labels)
    if y == NULL or not load_factors(job, start, factor):
        return False
    if job.want_losses or job.weight.kind != ABSENT:
        if not add_direct_losses(job, start, partial, tag):
            return False
        for i in range(BLOCK):
            power[i] = decay(z[i])
    elif softplus_of(job, start, z, y, power, partial):
        add(<double>BLOCK, &partial.weight, &partial.weight_lo)
    else:
        return False
    partial.count += BLOCK
    for i in range(BLOCK):
        e = power[i]
        against = -z[i] if y[i] != zero else z[i]
        part = factor[i] / (one + e)    # one division: of a choice of numerators gcc makes two
        part = part if against > zero else e * part
        slope[i] = -part if y[i] != zero else part
    if job.hess.kind != ABSENT:
        for i in range(BLOCK):
            e = power[i]
            factor[i] = e / ((one + e) * (one + e)) * factor[i]
        put(job, &job.hess, start, BLOCK, factor)
    put(job, &job.grad, start, BLOCK, slope)
    return True


cdef inline void logit_slopes(Stage* stage) noexcept nogil:
    """(1 - y) sigma(z) - w y sigma(-z) into loss, and its derivative into scratch.

    Both as the better of two forms: what is small of sigma(z) and sigma(-z) is never a difference.
    """
    cdef Py_ssize_t i
    cdef double z, e, small, hit, total, slope, bend
    for i in range(stage.n):
        z = stage.score[i]
        e = decay_wide(z if z < 0.0 else -z)
        small = e / (1.0 + e)
        hit = stage.scale[i] * stage.label[i]
        total = 1.0 + (stage.scale[i] - 1.0) * stage.label[i]
        slope = total * small - hit if z < 0.0 else (1.0 - stage.label[i]) - total * small
        bend = total * (e / ((1.0 + e) * (1.0 + e)))
        bend = bend if z == z else z
        slope = slope if z == z else z
        stage.loss[i] = slope
        stage.scratch[i] = bend


cdef inline bint careful_slopes(
    const Job* job, Py_ssize_t start, int n, Partial* partial
) noexcept nogil:
    """Element by element, in parts."""
    cdef Stage stage
    cdef double weight
    cdef Py_ssize_t i
    cdef int done
    for done from 0 <= done < n by PART:
        stage.n = min(PART, n - done)
        if not stage_block(job, start + done, &stage, partial):
            return False
        if job.loss == BINARY_FOCAL:
            binary_focal_slopes(
                job, stage.score, stage.label, stage.other, stage.n, stage.loss, stage.scratch
            )
        else:
            logit_slopes(&stage)
        for i in range(stage.n):
            weight = stage.weight[i] * job.scale if stage.weighted else job.scale
            stage.loss[i] *= weight
            stage.scratch[i] *= weight
        store(job, &job.grad, start + done, stage.n, stage.loss)
        if job.hess.kind != ABSENT:
            store(job, &job.hess, start + done, stage.n, stage.scratch)
    return True


cdef inline void run_position_block(
    const Job* job, Py_ssize_t start, int n, Partial* partial, real* tag
) noexcept nogil:
    """Losses and derivatives of a block of a loss of one number per position."""
    cdef bint plain = n == BLOCK and is_plain(job) and job.nan_policy == NAN_RAISE
    if plain and plain_block(job, start, partial, tag):
        return
    run_positions(job, start, start + n, partial, tag)
    if partial.fault == NO_FAULT:
        careful_slopes(job, start, n, partial)

# Derivatives of losses of one logit per position. As for the losses, full blocks with hard labels use
# lanes of the scores' own type, and everything else uses float64.

from fastxent._kernels.arrays.bounds cimport all_within
from fastxent._kernels.arrays.store cimport store_grad
from fastxent._kernels.binary.elementwise cimport load_scale, load_weights
from fastxent._kernels.binary.general cimport Block, block_gradients, load_block, PART
from fastxent._kernels.binary.stage cimport Staged
from fastxent._kernels.job cimport ABSENT, BINARY_LOGITS, BLOCK, Job, Partial
from fastxent._kernels.types cimport real


cdef inline bint load_factors(
    const Job* job, Py_ssize_t start, const Staged* block, real* factor
) noexcept nogil:
    """The factors of a full block's gradients; False where one is not ordinary."""
    cdef const real* y = <const real*>block.labels
    cdef double weight[BLOCK]
    cdef double pos_weight[BLOCK]
    cdef double scale = job.grad_scale
    cdef Py_ssize_t i
    if (
        job.weight.dtype == ABSENT
        and job.scale_operand.dtype == ABSENT
        and block.valid == NULL
    ):
        for i in range(BLOCK):
            factor[i] = <real>scale
        return 1e-30 < scale < 1e30
    load_weights(job, start, block, weight, factor)
    if job.scale_operand.dtype != ABSENT:
        if not load_scale(job, start, block, pos_weight, factor):
            return False
        for i in range(BLOCK):
            weight[i] = weight[i] * pos_weight[i] if y[i] != 0 else weight[i]
    for i in range(BLOCK):
        weight[i] = weight[i] * scale
    for i in range(BLOCK):
        factor[i] = <real>weight[i]
    return 1e-30 < scale and all_within(<const double*>weight, 1e30, False)


cdef inline bint fast_gradients(
    const Job* job, Py_ssize_t start, const Staged* block, const real* exps
) noexcept nogil:
    """The derivatives of a full block with hard labels, from e^-|z|; False where it does not serve."""
    cdef const real* z = <const real*>block.scores
    cdef const real* y = <const real*>block.labels
    cdef real factor[BLOCK]
    cdef real grad[BLOCK]
    cdef real one = 1, zero = 0
    cdef real e, against, part
    cdef Py_ssize_t i
    if (
        job.loss != BINARY_LOGITS
        or job.label_smoothing != 0.0
        or not block.hard
        or block.has_nan
        or not load_factors(job, start, block, factor)
    ):
        return False
    for i in range(BLOCK):
        e = exps[i]
        against = -z[i] if y[i] != zero else z[i]
        part = factor[i] / (one + e)    # one division: gcc makes two of a choice of numerators
        part = part if against > zero else e * part
        grad[i] = -part if y[i] != zero else part
    if job.hess.dtype != ABSENT:
        for i in range(BLOCK):
            e = exps[i]
            factor[i] = e / ((one + e) * (one + e)) * factor[i]
        store_grad(job, &job.hess, start, BLOCK, <const real*>factor)
    store_grad(job, &job.grad, start, BLOCK, <const real*>grad)
    return True


cdef inline bint general_gradients(
    const Job* job, Py_ssize_t start, int n, Partial* partial
) noexcept nogil:
    """Element by element, in parts."""
    cdef Block block
    cdef double weight
    cdef Py_ssize_t i
    cdef int done
    for done from 0 <= done < n by PART:
        block.n = min(PART, n - done)
        if not load_block(job, start + done, &block, partial):
            return False
        block_gradients(job, &block)
        for i in range(block.n):
            weight = block.weight[i] * job.grad_scale if block.weighted else job.grad_scale
            block.loss[i] *= weight
            block.scratch[i] *= weight
        store_grad(job, &job.grad, start + done, block.n, block.loss)
        if job.hess.dtype != ABSENT:
            store_grad(job, &job.hess, start + done, block.n, block.scratch)
    return True

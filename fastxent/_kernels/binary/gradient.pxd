# Derivatives of losses of one logit per position. As for the losses, full blocks of the binary cross
# entropy use lanes of the scores' own type, and everything else uses float64.

from fastxent._kernels.arrays.bounds cimport all_within
from fastxent._kernels.arrays.load cimport is_real
from fastxent._kernels.arrays.store cimport store_grad
from fastxent._kernels.binary.elementwise cimport load_scale, load_weights
from fastxent._kernels.binary.general cimport Block, block_gradients, load_block, PART
from fastxent._kernels.binary.stage cimport Staged
from fastxent._kernels.job cimport ABSENT, BLOCK, Job, Operand, Partial
from fastxent._kernels.numeric.generic cimport with_sign_of
from fastxent._kernels.types cimport real


cdef inline bint load_factors(
    const Job* job, const Staged* block, real* factor
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
    load_weights(job, block, weight, factor)
    if job.scale_operand.dtype != ABSENT:
        if not load_scale(job, block, pos_weight, factor):
            return False
        for i in range(BLOCK):
            weight[i] = weight[i] * pos_weight[i] if y[i] != 0 else weight[i]
    for i in range(BLOCK):
        weight[i] = weight[i] * scale
    for i in range(BLOCK):
        factor[i] = <real>weight[i]
    return 1e-30 < scale and all_within(<const double*>weight, 1e30, False)


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


cdef inline bint full_gradients(
    const Job* job, const Staged* block, const real* exps, Partial* partial
) noexcept nogil:
    """Those of a full block of another loss."""
    return general_gradients(job, block.start, BLOCK, partial)


cdef inline real* target_of(
    const Job* job, const Operand* op, Py_ssize_t start, real* buffer
) noexcept nogil:
    """Where a full block's derivatives are written: the output, or a buffer to be stored."""
    if op.contiguous and is_real(op.dtype, buffer) and not job.nontemporal:
        return <real*>op.data + start
    return buffer


cdef inline bint fast_gradients(
    const Job* job, const Staged* block, const real* exps, Partial* partial
) noexcept nogil:
    """The derivatives of a full block of logits, from e^-|z|.

    The gradient is (1 - y) p - y (1 - p), of which one product is 0 for a hard label. The larger one
    of p and 1 - p is 1 / (1 + e^-|z|), and the other one e^-|z| times that. They change places where
    z is negative: the difference is that of -z and 1 - y, negated.
    """
    cdef const real* z = <const real*>block.scores
    cdef const real* y = <const real*>block.labels
    cdef real factor[BLOCK]
    cdef real buffer[BLOCK]
    cdef real one = 1, zero = 0
    cdef real kept = <real>(1.0 - job.label_smoothing), share = <real>(0.5 * job.label_smoothing)
    cdef real e, x, label, against, greater, grad
    cdef real* target
    cdef Py_ssize_t i
    if (
        block.has_nan
        or (job.scale_operand.dtype != ABSENT and not (block.hard and job.label_smoothing == 0.0))
        or not load_factors(job, block, factor)
    ):
        return general_gradients(job, block.start, BLOCK, partial)
    target = target_of(job, &job.grad, block.start, buffer)
    for i in range(BLOCK):
        e = exps[i]
        x = z[i] + zero     # no -0, so that the sign bit tells what the comparison does
        label = y[i] * kept + share
        against = one - label if x >= zero else label
        greater = one / (one + e)
        # A 0 has the sign of the general path's.
        grad = with_sign_of(-x, (one - against) * (e * greater) - against * greater)
        target[i] = grad * factor[i]
    if target == buffer:
        store_grad(job, &job.grad, block.start, BLOCK, <const real*>buffer)
    if job.hess.dtype != ABSENT:
        target = target_of(job, &job.hess, block.start, buffer)
        for i in range(BLOCK):
            e = exps[i]
            target[i] = e / ((one + e) * (one + e)) * factor[i]
        if target == buffer:
            store_grad(job, &job.hess, block.start, BLOCK, <const real*>buffer)
    return True

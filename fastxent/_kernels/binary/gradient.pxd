# Derivatives of losses of one logit per position. As for the losses, full blocks with hard labels use
# lanes of the scores' own type, and everything else uses float64.

from fastxent._kernels.arrays.bounds cimport all_within
from fastxent._kernels.arrays.store cimport store_grad
from fastxent._kernels.arrays.load cimport hard_labels, load, view
from fastxent._kernels.binary.chunk cimport run_positions
from fastxent._kernels.binary.elementwise cimport add_direct_losses
from fastxent._kernels.binary.fast cimport has_no_options, softplus_of
from fastxent._kernels.binary.general cimport Block, PART, block_gradients, load_block
from fastxent._kernels.job cimport ABSENT, BLOCK, Job, NAN_RAISE, NO_ERROR, Partial
from fastxent._kernels.numeric.generic cimport exp_minus_abs
from fastxent._kernels.numeric.sums cimport add
from fastxent._kernels.types cimport real


cdef inline bint load_factors(const Job* job, Py_ssize_t start, real* factor) noexcept nogil:
    """The factors of a full block's gradients; False where one is not ordinary."""
    cdef double weight[BLOCK]
    cdef double scratch[BLOCK]
    cdef double scale = job.grad_scale
    cdef Py_ssize_t i
    if job.weight.dtype == ABSENT:
        for i in range(BLOCK):
            factor[i] = <real>scale
        return 1e-30 < scale < 1e30
    load(job, &job.weight, start, BLOCK, scratch, weight)
    for i in range(BLOCK):
        weight[i] = weight[i] * scale
    for i in range(BLOCK):
        factor[i] = <real>weight[i]
    return 1e-30 < scale and all_within(weight, 1e30, False)


cdef inline bint fast_gradient_block(
    const Job* job, Py_ssize_t start, Partial* partial, real* tag
) noexcept nogil:
    """Losses and gradients of a full block with hard labels; False, with nothing done, otherwise.

    The losses are summed as in `fast_block`, from the same exponentials.
    """
    cdef real labels[BLOCK]
    cdef real scores[BLOCK]
    cdef real exps[BLOCK]
    cdef real factor[BLOCK]
    cdef real grad[BLOCK]
    cdef double scratch[BLOCK]
    cdef double label_scratch[BLOCK]
    cdef real one = 1, zero = 0
    cdef real e, against, part
    cdef Py_ssize_t i
    cdef const real* z = view(job, &job.scores, start, BLOCK, scratch, scores)
    cdef const real* y = hard_labels(job, start, BLOCK, label_scratch, labels)
    if y == NULL or not load_factors(job, start, factor):
        return False
    if job.want_losses or job.weight.dtype != ABSENT:
        if not add_direct_losses(job, start, partial, tag):
            return False
        for i in range(BLOCK):
            exps[i] = exp_minus_abs(z[i])
    elif softplus_of(job, start, z, y, exps, partial):
        add(<double>BLOCK, &partial.weight, &partial.weight_lo)
    else:
        return False
    partial.count += BLOCK
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
        store_grad(job, &job.hess, start, BLOCK, factor)
    store_grad(job, &job.grad, start, BLOCK, grad)
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


cdef inline void run_position_block(
    const Job* job, Py_ssize_t start, int n, Partial* partial, real* tag
) noexcept nogil:
    """Losses and derivatives of a block of a loss of one number per position."""
    cdef bint fast_path = n == BLOCK and has_no_options(job) and job.nan_policy == NAN_RAISE
    if fast_path and fast_gradient_block(job, start, partial, tag):
        return
    run_positions(job, start, start + n, partial, tag)
    if partial.error == NO_ERROR:
        general_gradients(job, start, n, partial)

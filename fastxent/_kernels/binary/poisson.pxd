# The Poisson negative log-likelihood, e^z - y z and log y! where it is wanted, in float64.

from fastxent._kernels.arrays.bounds cimport all_within
from fastxent._kernels.arrays.prefetch cimport OF_LABELS, OF_SCORES, prefetch_operand
from fastxent._kernels.arrays.store cimport store_grad
from fastxent._kernels.binary.elementwise cimport add_single_losses, load_weights
from fastxent._kernels.binary.stage cimport stage, Staged
from fastxent._kernels.job cimport ABSENT, BLOCK, Job, LANES, Partial
from fastxent._kernels.numeric.elementary cimport exp_bounded_f64
from fastxent._kernels.numeric.log_factorial cimport add_log_factorials
from fastxent._kernels.types cimport real


cdef inline void poisson_derivatives(
    const Job* job, const Staged* block, double* rate, real* tag
) noexcept nogil:
    """Store e^z - y, and e^z where the second derivative is wanted; the rates are overwritten."""
    cdef const real* y = <const real*>block.labels
    cdef double grad[BLOCK]
    cdef double weight[BLOCK]
    cdef Py_ssize_t i
    load_weights(job, block, weight, tag)
    for i in range(BLOCK):
        weight[i] *= job.grad_scale
        grad[i] = (rate[i] - <double>y[i]) * weight[i]
        rate[i] *= weight[i]
    store_grad(job, &job.grad, block.start, BLOCK, <const double*>grad)
    if job.hess.dtype != ABSENT:
        store_grad(job, &job.hess, block.start, BLOCK, <const double*>rate)


cdef inline bint poisson_block(
    const Job* job, Py_ssize_t start, Partial* partial, real* tag
) noexcept nogil:
    """A full block; False, with nothing done, where a number is not ordinary."""
    cdef Staged block
    cdef real scores[BLOCK]
    cdef real labels[BLOCK]
    cdef real valid[BLOCK]
    cdef double rate[BLOCK]
    cdef double loss[BLOCK]
    cdef const real* z
    cdef const real* y
    cdef Py_ssize_t i, j
    stage(job, start, &block, scores, labels, valid)
    z, y = <const real*>block.scores, <const real*>block.labels
    # e^z stays normal, and a sum of losses finite
    if block.has_nan or not all_within(z, 600.0, True) or not all_within(y, 1e30, False):
        return False
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand(&block.next, OF_SCORES, i)
        prefetch_operand(&block.next, OF_LABELS, i)
        for j in range(i, i + LANES):
            rate[j] = exp_bounded_f64(<double>z[j])
            loss[j] = rate[j] - <double>y[j] * <double>z[j]
    if job.full:
        add_log_factorials(y, BLOCK, loss)
    if not add_single_losses(job, &block, loss, partial, tag):
        return False
    if job.grad.dtype != ABSENT:
        poisson_derivatives(job, &block, rate, tag)
    partial.count += block.count
    return True

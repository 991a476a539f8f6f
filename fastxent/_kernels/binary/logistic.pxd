# The binary cross entropy of slope * z + intercept and its derivatives by both, summed: all that a step
# of Newton's method needs. Everything is computed in float64.

from fastxent._kernels.binary.general cimport Block, load_block, PART
from fastxent._kernels.job cimport Job, Partial
from fastxent._kernels.numeric.elementary cimport exp_nonpos_f64
from fastxent._kernels.numeric.generic cimport log1p_unit
from fastxent._kernels.numeric.sums cimport add_lanes, add_losses


cdef inline void add_logistic(const Job* job, Block* block, Partial* partial) noexcept nogil:
    """Add the losses of a block, the sums of r and r z, and those of h, h z and h z^2.

    r is the probability less the label, and h its derivative p (1 - p).
    """
    cdef double sums[5][PART]
    cdef double z, x, e, small, r, h, w, y, other
    cdef Py_ssize_t i, k
    for i in range(block.n):
        z = block.score[i]
        y = block.label[i]
        other = block.other[i]
        w = block.weight[i] if block.weighted else 1.0
        x = job.beta * z + job.offset
        e = exp_nonpos_f64(x if x < 0.0 else -x)
        small = e / (1.0 + e)
        r = small - y if x < 0.0 else other - small
        h = small / (1.0 + e)
        block.scratch[i] = e
        block.loss[i] = w * (other * x if x > 0.0 else y * -x)
        sums[0][i] = w * r
        sums[1][i] = w * r * z
        sums[2][i] = w * h
        sums[3][i] = w * h * z
        sums[4][i] = w * h * z * z
    for i in range(block.n):
        w = block.weight[i] if block.weighted else 1.0
        block.loss[i] += w * ((block.label[i] + block.other[i]) * log1p_unit(block.scratch[i]))
    add_losses(block.loss, block.weight if block.weighted else NULL, block.n, partial)
    for k in range(5):
        add_lanes(sums[k], block.n, &partial.moments[k], &partial.moments_lo[k])


cdef inline void run_logistic(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial
) noexcept nogil:
    """One chunk."""
    cdef Block block
    while start < stop:
        block.n = <int>min(<Py_ssize_t>PART, stop - start)
        if not load_block(job, start, &block, partial):
            return
        add_logistic(job, &block, partial)
        partial.count += block.count
        start += block.n

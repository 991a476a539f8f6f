# Gradients of the losses of logits, and the diagonals of their Hessians.
#
# A block's derivatives are written right after its losses are added, while its logits are in L1. The
# value is that of the loss, bit for bit. An output may overwrite the logits: a block, or a row, is read
# completely before any of it is written.
#
# Nearly equal numbers are never subtracted. With e = e^-|z|, sigma(z) - 1 is -e / (1 + e). The target's
# p - 1 is -s / (1 + s), where s is the sum of e^(x - x_target) over the other classes.

from fastxent._kernels.categorical.gradient cimport run_row_block
from fastxent._kernels.job cimport Job, Partial, ROWS
from fastxent._kernels.types cimport real


cdef inline void run_rows_with_gradients(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial, real* tag
) noexcept nogil:
    """One chunk: the losses as without gradients, then the gradients, block by block."""
    cdef int n
    while start < stop:
        n = <int>min(<Py_ssize_t>ROWS, stop - start)
        if not run_row_block(job, start, n, partial, tag):
            return
        start += n

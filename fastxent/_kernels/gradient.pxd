# Gradients of the losses of logits, and the diagonals of their Hessians.
#
# They are written right after the losses of the same block were added up, while its logits are in L1:
# the value is the loss's own, bit for bit. An output may be the logits' own array: nothing of a block,
# or of a row, is written before all of it was read.
#
# No difference of nearly equal numbers: with e = e^-|z|, sigma(z) - 1 is -e / (1 + e), and the target's
# p - 1 is -rest / (1 + rest), where rest is the sum of the other classes' odds against it.

from fastxent._kernels.binary.gradient cimport run_position_block
from fastxent._kernels.categorical.gradient cimport run_row_block
from fastxent._kernels.job cimport BLOCK, has_rows, Job, NO_ERROR, Partial, ROWS
from fastxent._kernels.types cimport real


cdef inline void run_with_gradients(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial, real* tag
) noexcept nogil:
    """One chunk: its losses as without gradients, and these, block by block."""
    cdef int n
    while start < stop:
        if has_rows(job):
            n = <int>min(<Py_ssize_t>ROWS, stop - start)
            if not run_row_block(job, start, n, partial, tag):
                return
        else:
            n = <int>min(<Py_ssize_t>BLOCK, stop - start)
            run_position_block(job, start, n, partial, tag)
            if partial.error != NO_ERROR:
                return
        start += n

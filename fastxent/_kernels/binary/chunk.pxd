# Losses of one number per position: binary cross entropy, from probabilities and from logits, its focal
# variant, and the Gaussian negative log-likelihood. Each block takes the fastest path that serves it.

from fastxent._kernels.binary.elementwise cimport has_normal_eps
from fastxent._kernels.binary.fast cimport add_products, fast_block, has_fast_path
from fastxent._kernels.binary.general cimport general_block
from fastxent._kernels.binary.gradient cimport general_gradients
from fastxent._kernels.job cimport ABSENT, BLOCK, Job, NO_ERROR, Partial
from fastxent._kernels.likelihood cimport Product, start_product
from fastxent._kernels.types cimport real


cdef inline void run_position_block(
    const Job* job, Py_ssize_t start, int n, Product* products, Partial* partial, real* tag
) noexcept nogil:
    """One block of a loss of one number per position, and of its derivatives where they are wanted.

    Single losses and sums of many take logarithms in the scores' own type. A short remainder,
    and a block whose losses are too small for a product, take float64.
    """
    cdef bint hard = False, narrow
    if n == BLOCK and has_fast_path(job):
        if fast_block(job, start, products, partial, &hard, tag):
            return
    narrow = (job.want_losses or (n == BLOCK and not hard)) and (
        job.eps == 0.0 or has_normal_eps(job, tag)
    )
    if real is float and narrow:
        general_block(job, start, n, partial, tag)
    else:
        general_block(job, start, n, partial, <double*>NULL)
    if job.grad.dtype != ABSENT and partial.error == NO_ERROR:
        general_gradients(job, start, n, partial)


cdef inline void run_positions(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial, real* tag
) noexcept nogil:
    """One chunk of a loss of one number per position."""
    cdef Product products[2]
    cdef int n
    start_product(&products[0])
    start_product(&products[1])
    while start < stop and partial.error == NO_ERROR:
        n = <int>min(<Py_ssize_t>BLOCK, stop - start)
        run_position_block(job, start, n, products, partial, tag)
        start += n
    add_products(job, products, partial)

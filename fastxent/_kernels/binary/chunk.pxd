# Losses of one number per position: binary cross entropy, from probabilities and from logits, its focal
# variant, and the Gaussian negative log-likelihood. Each block takes the fastest path that serves it.

from fastxent._kernels.arrays.load cimport hard_labels
from fastxent._kernels.binary.elementwise cimport has_normal_eps
from fastxent._kernels.binary.fast cimport fast_block, has_fast_path
from fastxent._kernels.binary.general cimport general_block
from fastxent._kernels.job cimport BLOCK, Job, Partial
from fastxent._kernels.likelihood cimport add_product, Product, start_product
from fastxent._kernels.types cimport real


cdef inline bint are_hard(const Job* job, Py_ssize_t start) noexcept nogil:
    """Whether all labels of a full block are 0 or 1."""
    cdef double labels[BLOCK]
    cdef double scratch[BLOCK]
    return hard_labels(job, start, BLOCK, scratch, labels) != NULL


cdef inline void run_positions(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial, real* tag
) noexcept nogil:
    """One chunk of a loss of one number per position.

    Single losses and sums of many take logarithms in the scores' own type. A short remainder,
    and a block
    whose losses are too small for a product, take float64.
    """
    cdef Product products[2]    # of the labels' outcomes; of the opposite, for smoothing
    cdef int n
    cdef bint ok, narrow
    cdef bint fast_path = has_fast_path(job)
    start_product(&products[0])
    start_product(&products[1])
    while start < stop:
        n = <int>min(<Py_ssize_t>BLOCK, stop - start)
        if not (fast_path and n == BLOCK and fast_block(job, start, products, partial, tag)):
            narrow = job.want_losses or (n == BLOCK and not (fast_path and are_hard(job, start)))
            if narrow and (job.eps == 0.0 or has_normal_eps(job, tag)):
                ok = general_block(job, start, n, partial, tag)
            else:
                ok = general_block(job, start, n, partial, <double*>NULL)
            if not ok:
                return
        start += n
    add_product(&products[0], 1.0 - 0.5 * job.label_smoothing, partial)
    if job.label_smoothing != 0.0:
        add_product(&products[1], 0.5 * job.label_smoothing, partial)

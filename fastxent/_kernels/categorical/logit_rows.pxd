# What is computed of blocks of rows of logits besides the losses of labels. One loop for both saves
# code: it holds the loading of masks and weights of any dtype.

from fastxent._kernels.categorical.kl_logits cimport kl_of_rows
from fastxent._kernels.categorical.rows cimport load_rows, Rows
from fastxent._kernels.categorical.statistics cimport statistics_of_rows
from fastxent._kernels.job cimport Job, KL_LOGITS, Partial, ROWS


cdef inline void run_logit_rows(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial
) noexcept nogil:
    """Statistics or divergences of one chunk of rows."""
    cdef Rows rows
    cdef bint ok = True
    while ok and start < stop:
        rows.n = <int>min(<Py_ssize_t>ROWS, stop - start)
        ok = load_rows(job, start, &rows, partial)
        if ok and job.loss == KL_LOGITS:
            ok = kl_of_rows(job, start, &rows, partial)
        elif ok:
            ok = statistics_of_rows(job, start, &rows, partial)
        start += rows.n

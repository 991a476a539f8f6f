# The entry point of a level: it takes a chunk of a job and returns partial sums.

from fastxent._kernels.arrays.store cimport fence
from fastxent._kernels.binary.chunk cimport run_positions
from fastxent._kernels.binary.logistic cimport run_logistic
from fastxent._kernels.categorical.chunk cimport run_rows
from fastxent._kernels.categorical.logit_rows cimport run_logit_rows
from fastxent._kernels.categorical.softcap cimport load_capped, store_capped
from fastxent._kernels.categorical.temperature cimport run_temperature
from fastxent._kernels.gradient cimport run_rows_with_gradients
from fastxent._kernels.job cimport (
    ABSENT, FLOAT64, has_rows, Job, KL_LOGITS, LANES, LOGIT_STATISTICS, MOMENTS, NO_ERROR, Partial,
)
from fastxent._kernels.likelihood cimport flush_log1p
from fastxent._kernels.types cimport real


cdef inline void run_range(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial, real* tag
) noexcept nogil:
    cdef Job capped
    cdef bint has_cap = job.softcap != 0.0 and not job.weights_only
    cdef const Job* rows = job
    cdef Py_ssize_t n = stop - start
    if not has_rows(job):
        run_positions(job, start, stop, partial, tag)
        return
    if has_cap:
        capped, rows, n = job[0], &capped, job.staged_rows
    while start < stop and partial.error == NO_ERROR:
        n = min(n, stop - start)
        if has_cap:
            load_capped(job, start, n, &capped, <real*>partial.staged)
        if job.grad.dtype != ABSENT:
            run_rows_with_gradients(rows, start, start + n, partial, tag)
        else:
            run_rows(rows, start, start + n, partial, tag)
        if has_cap and job.grad.dtype != ABSENT:
            store_capped(job, start, n, <real*>partial.staged)
        start += n


cdef inline void run_moments(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial
) noexcept nogil:
    if has_rows(job):
        run_temperature(job, start, stop, partial)
    else:
        run_logistic(job, start, stop, partial)


cdef inline void run_chunk(const Job* job, Py_ssize_t number, Partial* partial) noexcept nogil:
    """Run one chunk. Half precision is computed as float32."""
    cdef Py_ssize_t start = number * job.chunk
    cdef Py_ssize_t stop = min(start + job.chunk, job.positions)
    cdef double deferred[LANES]
    cdef Py_ssize_t k
    partial.total = 0.0
    partial.total_lo = 0.0
    partial.weight = 0.0
    partial.weight_lo = 0.0
    partial.count = 0
    partial.deviation = 0.0
    partial.deferred = deferred
    partial.n_deferred = 0
    partial.error = NO_ERROR
    partial.position = -1
    partial.index = -1
    for k in range(MOMENTS):
        partial.moments[k] = 0.0
        partial.moments_lo[k] = 0.0
    if job.want_moments:
        run_moments(job, start, stop, partial)
    elif job.loss == LOGIT_STATISTICS or job.loss == KL_LOGITS:
        run_logit_rows(job, start, stop, partial)
    elif job.scores.dtype == FLOAT64:
        run_range(job, start, stop, partial, <double*>NULL)
    else:
        run_range(job, start, stop, partial, <float*>NULL)
    flush_log1p(partial)
    if job.nontemporal:
        fence()

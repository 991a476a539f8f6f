# The one entry of a level: a chunk of a job in, its partial sums out.

from fastxent._kernels.arrays.store cimport fence
from fastxent._kernels.binary.chunk cimport run_positions
from fastxent._kernels.categorical.chunk cimport run_rows
from fastxent._kernels.gradient cimport run_with_gradients
from fastxent._kernels.job cimport ABSENT, FLOAT64, has_rows, Job, LANES, NO_FAULT, Partial
from fastxent._kernels.likelihood cimport add_pool


cdef inline void run_chunk(const Job* job, Py_ssize_t number, Partial* partial) noexcept nogil:
    """The chunk of that number. Half precision takes part as float32."""
    cdef Py_ssize_t start = number * job.chunk
    cdef Py_ssize_t stop = min(start + job.chunk, job.positions)
    cdef double odds[LANES]
    partial.total = 0.0
    partial.total_lo = 0.0
    partial.weight = 0.0
    partial.weight_lo = 0.0
    partial.count = 0
    partial.odds = odds
    partial.pooled = 0
    partial.fault = NO_FAULT
    partial.position = -1
    partial.index = -1
    if job.grad.kind != ABSENT:
        if job.scores.kind == FLOAT64:
            run_with_gradients(job, start, stop, partial, <double*>NULL)
        else:
            run_with_gradients(job, start, stop, partial, <float*>NULL)
    elif job.scores.kind == FLOAT64:
        if has_rows(job):
            run_rows(job, start, stop, partial, <double*>NULL)
        else:
            run_positions(job, start, stop, partial, <double*>NULL)
    elif has_rows(job):
        run_rows(job, start, stop, partial, <float*>NULL)
    else:
        run_positions(job, start, stop, partial, <float*>NULL)
    add_pool(partial)
    if job.streams:
        fence()

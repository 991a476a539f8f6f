# Software prefetch: the work on one block requests the data of the next blocks.

from fastxent._kernels.job cimport ABSENT, Job, LANES, Operand
from fastxent._kernels.types cimport real

cdef enum:
    AHEAD = 2048    # elements between the current one and the prefetched one
    AHEAD_BYTES = 8192  # at most, so that several arrays fit in L1
    RUN = 128           # at least `run_length`, of both types

cdef extern from "simd.h":
    void prefetch_line "fastxent_prefetch"(const char* address) noexcept nogil


cdef inline void prefetch_lanes(const char* place, Py_ssize_t itemsize) noexcept nogil:
    """Request the cache lines of LANES elements.

    A block is read at once and then processed from L1, while the processor's own prefetcher is idle.
    Requests spread evenly over the work overlap both: measured, memory + work becomes
    max(memory, work). A prefetch reads nothing, so any address is valid.
    """
    cdef Py_ssize_t offset
    for offset from 0 <= offset < LANES * itemsize by 64:
        prefetch_line(place + offset)


cdef inline Py_ssize_t run_length(const real* tag) noexcept nogil:
    """The elements between two bursts of requests: 512 bytes. A longer burst stalls."""
    return 512 // sizeof(real)


cdef inline void prefetch_run(
    const char* place, Py_ssize_t itemsize, Py_ssize_t length
) noexcept nogil:
    """Request the elements of a run of one array. The loop after it hides the burst."""
    cdef Py_ssize_t offset
    for offset from 0 <= offset < length * itemsize by 64:
        prefetch_line(place + offset)


cdef inline const char* prefetch_address(const Operand* op, Py_ssize_t position) noexcept nogil:
    """The address AHEAD elements after a position, if the array is one run."""
    return op.data + position * op.itemsize + min(AHEAD * op.itemsize, AHEAD_BYTES)


cdef enum:
    OF_SCORES, OF_LABELS, OF_WEIGHT, OF_MASK, OF_SCALE, N_OPERANDS

cdef struct Prefetch:      # what a block's loops prefetch: one array in each loop, spread evenly
    const char* place[N_OPERANDS]
    Py_ssize_t size[N_OPERANDS]      # of an element; 0 for an array that is absent, or not one run


cdef inline Prefetch prefetch_of(const Job* job, Py_ssize_t position) noexcept nogil:
    cdef Prefetch next
    cdef const Operand* op
    cdef Py_ssize_t i
    for i in range(N_OPERANDS):
        op = &job.scores if i == OF_SCORES else &job.labels if i == OF_LABELS else &job.weight
        op = &job.mask if i == OF_MASK else &job.scale_operand if i == OF_SCALE else op
        next.place[i] = prefetch_address(op, position)
        next.size[i] = op.itemsize if op.dtype != ABSENT and op.contiguous else 0
    return next


cdef inline Prefetch no_prefetch() noexcept nogil:
    """For data that is in the caches already."""
    cdef Prefetch next
    cdef Py_ssize_t i
    for i in range(N_OPERANDS):
        next.place[i] = NULL
        next.size[i] = 0
    return next


cdef inline void prefetch_operand(const Prefetch* next, Py_ssize_t array, Py_ssize_t i) noexcept nogil:
    """Request LANES elements of an array ahead of the block's element i."""
    prefetch_lanes(next.place[array] + i * next.size[array], next.size[array])


cdef inline void prefetch_operand_unrolled(
    const Prefetch* next, Py_ssize_t array, Py_ssize_t i
) noexcept nogil:
    """The same without an inner loop, whose exit the processor may mispredict.

    Measured: 25 % faster between divisions and logarithms, and up to 17 % slower where the memory is
    the limit.
    """
    cdef const char* place = next.place[array] + i * next.size[array]
    cdef Py_ssize_t quarter
    for quarter in range(4):
        prefetch_line(place + quarter * (LANES // 4) * next.size[array])

# Prefetching: what the next blocks need is asked for in the midst of the work on this one.

from fastxent._kernels.job cimport ABSENT, Job, LANES, Operand

cdef enum:
    AHEAD = 2048    # elements between what is worked on and what is prefetched
    AHEAD_BYTES = 8192  # at most: what several arrays have in L1 at a time has to fit

cdef extern from "simd.h":
    void prefetch_line "fastxent_prefetch"(const char* address) noexcept nogil


cdef inline void prefetch_lanes(const char* place, Py_ssize_t itemsize) noexcept nogil:
    """Ask for what LANES elements will need, AHEAD of the time when they are read.

    A block is read in one go and then worked on from L1, while the processor's own prefetching
    rests. Asked for evenly in the midst of the work, the next blocks come in meanwhile: measured,
    that makes max(memory, work) of memory + work. Nothing is read: any address will do.
    """
    cdef Py_ssize_t offset
    for offset from 0 <= offset < LANES * itemsize by 64:
        prefetch_line(place + offset)


cdef inline const char* prefetch_address(const Operand* op, Py_ssize_t position) noexcept nogil:
    """Where the elements AHEAD of a position lie, if the array is one run."""
    return op.data + position * op.itemsize + min(AHEAD * op.itemsize, AHEAD_BYTES)


cdef enum:
    OF_SCORES, OF_LABELS, OF_WEIGHT

cdef struct Prefetch:      # what a block's loops fetch meanwhile; each takes one array, for an even flow
    const char* place[3]
    Py_ssize_t size[3]      # of an element; 0 for an array that is absent, or not one run


cdef inline Prefetch prefetch_of(const Job* job, Py_ssize_t position) noexcept nogil:
    cdef Prefetch next
    cdef const Operand* op
    cdef Py_ssize_t i
    for i in range(3):
        op = &job.scores if i == 0 else &job.labels if i == 1 else &job.weight
        next.place[i] = prefetch_address(op, position)
        next.size[i] = op.itemsize if op.dtype != ABSENT and op.contiguous else 0
    return next


cdef inline void prefetch_operand(const Prefetch* next, Py_ssize_t array, Py_ssize_t i) noexcept nogil:
    """Ask for what LANES elements of an array will need that lie ahead of the block's element i."""
    prefetch_lanes(next.place[array] + i * next.size[array], next.size[array])


cdef inline void prefetch_operand_unrolled(const Prefetch* next, Py_ssize_t array, Py_ssize_t i) noexcept nogil:
    """The same without a loop in the loop, whose end the processor may fail to foresee.

    Measured, that is a quarter faster in the midst of divisions and logarithms, and up to a sixth
    slower where there is little to do but to wait for the memory.
    """
    cdef const char* place = next.place[array] + i * next.size[array]
    cdef Py_ssize_t quarter
    for quarter in range(4):
        prefetch_line(place + quarter * (LANES // 4) * next.size[array])

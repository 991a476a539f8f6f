# Storing results: runs of losses and of derivatives, past the caches where they are large.

from libc.string cimport memcpy

from fastxent._kernels.arrays.load cimport convert, copy_run, copy_elements
from fastxent._kernels.job cimport BLOCK, FLOAT32, Job, Operand
from fastxent._kernels.types cimport real

cdef extern from "simd.h":
    void stream "fastxent_stream"(char* to, const char* source, Py_ssize_t size) noexcept nogil
    void fence "fastxent_fence"() noexcept nogil


cdef inline void write(
    const Job* job, char* place, const void* source, Py_ssize_t size
) noexcept nogil:
    """Write one run of bytes."""
    if job.nontemporal:
        stream(place, <const char*>source, size)
    else:
        memcpy(place, source, size)


cdef inline void store(
    const Job* job, const Operand* op, Py_ssize_t start, int n, const double* source
) noexcept nogil:
    """Store n doubles into an output of float32 or float64."""
    cdef float narrow[1024]
    cdef char* target
    if op.dtype == FLOAT32:
        target = <char*>op.data + start * 4 if op.contiguous else <char*>narrow
        convert(source, n, <float*>target)
        if not op.contiguous:
            copy_elements(job, op, start, 0, n, <char*>narrow, True)
    elif op.contiguous:
        memcpy(<char*>op.data + start * 8, source, n * sizeof(double))
    else:
        copy_elements(job, op, start, 0, n, <char*>source, True)


# ---- derivatives: arrays of the scores' own type, of any layout --------------------------------


cdef inline void store_grad(
    const Job* job, const Operand* op, Py_ssize_t start, int n, const real* source
) noexcept nogil:
    """Store n positions into an output of the source's type."""
    if op.contiguous:
        write(job, <char*>op.data + start * op.itemsize, source, n * sizeof(real))
    else:
        copy_elements(job, op, start, 0, n, <char*>source, True)


cdef inline void store_grad_classes(
    const Job* job, const Operand* op, const char* row, Py_ssize_t first, int m, const real* source
) noexcept nogil:
    """Store m classes of a row into an output of the source's type."""
    cdef char* place = <char*>row + first * op.class_stride
    if op.class_stride == op.itemsize and not op.byteswapped:
        write(job, place, source, m * sizeof(real))
    else:
        copy_run(op, <const char*>source, op.itemsize, place, op.class_stride, m)


cdef inline void store_grad_classes_f64(
    const Job* job, const Operand* op, const char* row, Py_ssize_t first, int m,
    const double* source
) noexcept nogil:
    """The same from float64, whatever the output's type."""
    cdef float narrow[BLOCK]
    cdef Py_ssize_t i
    if op.dtype == FLOAT32:
        for i in range(m):
            narrow[i] = <float>source[i]
        store_grad_classes(job, op, row, first, m, narrow)
    else:
        store_grad_classes(job, op, row, first, m, source)

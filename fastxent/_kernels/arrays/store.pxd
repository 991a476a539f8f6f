# Storing results: runs of losses and of derivatives, past the caches where they are large.

from libc.stdint cimport uint16_t
from libc.string cimport memcpy

from fastxent._kernels.arrays.load cimport convert, copy_run, copy_elements, is_real
from fastxent._kernels.job cimport BLOCK, DType, FLOAT16, FLOAT32, is_half, Job, Operand
from fastxent._kernels.types cimport real

cdef extern from "simd.h":
    void narrow "fastxent_narrow"(
        bint to_float16, const float* source, int n, uint16_t* target
    ) noexcept nogil
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


# ---- derivatives: arrays of the scores' own type, or float32 for half precision, of any layout -----


cdef inline const void* converted(
    DType dtype, const real* source, int n, void* buffer
) noexcept nogil:
    """Up to BLOCK elements in an output's dtype: the source itself, or converted in the buffer.

    Half precision is rounded from float32, whatever the source: as the array of float32 would be.
    """
    cdef float singles[BLOCK]
    if is_real(dtype, source):
        return source
    if not is_half(dtype):
        convert(source, n, <float*>buffer)
    elif real is float:
        narrow(dtype == FLOAT16, source, n, <uint16_t*>buffer)
    else:
        convert(source, n, singles)
        narrow(dtype == FLOAT16, singles, n, <uint16_t*>buffer)
    return buffer


cdef inline void write_run(
    const Job* job, const Operand* op, char* place, const real* source, Py_ssize_t n
) noexcept nogil:
    """Write n elements side by side, in the output's dtype."""
    cdef float buffer[BLOCK]
    cdef Py_ssize_t done
    cdef int m
    if is_real(op.dtype, source):
        write(job, place, source, n * sizeof(real))
        return
    for done from 0 <= done < n by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, n - done)
        write(
            job, place + done * op.itemsize, converted(op.dtype, source + done, m, buffer),
            m * op.itemsize,
        )


cdef inline void store_grad(
    const Job* job, const Operand* op, Py_ssize_t start, int n, const real* source
) noexcept nogil:
    """Store up to BLOCK positions."""
    cdef float buffer[BLOCK]
    if op.contiguous:
        write_run(job, op, <char*>op.data + start * op.itemsize, source, n)
    else:
        copy_elements(
            job, op, start, 0, n, <char*>converted(op.dtype, source, n, buffer), True
        )


cdef inline void store_grad_class(
    const Job* job, const Operand* op, Py_ssize_t start, Py_ssize_t k, int n, const real* source
) noexcept nogil:
    """Store class k of up to BLOCK rows."""
    cdef float buffer[BLOCK]
    copy_elements(
        job, op, start, k * op.class_stride, n, <char*>converted(op.dtype, source, n, buffer), True
    )


cdef inline void store_grad_classes(
    const Job* job, const Operand* op, const char* row, Py_ssize_t first, int n, const real* source
) noexcept nogil:
    """Store n classes of a row."""
    cdef float buffer[BLOCK]
    cdef char* place = <char*>row + first * op.class_stride
    cdef Py_ssize_t done
    cdef int m
    if op.class_stride == op.itemsize:
        write_run(job, op, place, source, n)
        return
    for done from 0 <= done < n by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, n - done)
        copy_run(
            op, <const char*>converted(op.dtype, source + done, m, buffer), op.itemsize,
            place + done * op.class_stride, op.class_stride, m,
        )

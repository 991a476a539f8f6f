# Where results are written: runs of losses, and bytes past the caches.

from libc.string cimport memcpy

from fastxent._kernels.arrays.load cimport convert, copy_run, copy_elements
from fastxent._kernels.job cimport BLOCK, FLOAT32, Job, Operand
from fastxent._kernels.types cimport real

cdef extern from *:
    """
    #if defined(__AVX512F__)
    #include <immintrin.h>
    #define FASTXENT_WIDTH 64
    #define FASTXENT_STREAM(to, from) _mm512_stream_si512((__m512i*)(to), _mm512_loadu_si512(from))
    #elif defined(__AVX__)
    #include <immintrin.h>
    #define FASTXENT_WIDTH 32
    #define FASTXENT_STREAM(to, from) \\
        _mm256_stream_si256((__m256i*)(to), _mm256_loadu_si256((const __m256i*)(from)))
    #elif defined(__SSE2__)
    #include <emmintrin.h>
    #define FASTXENT_WIDTH 16
    #define FASTXENT_STREAM(to, from) \\
        _mm_stream_si128((__m128i*)(to), _mm_loadu_si128((const __m128i*)(from)))
    #endif

    /* memcpy past the caches: what is written is not read into them first. */
    static inline void fastxent_stream(char* to, const char* from, Py_ssize_t size)
    {
    #ifdef FASTXENT_WIDTH
        Py_ssize_t head = -(size_t)to % FASTXENT_WIDTH;
        if (head > size)
            head = size;
        memcpy(to, from, head);
        for (; head + FASTXENT_WIDTH <= size; head += FASTXENT_WIDTH)
            FASTXENT_STREAM(to + head, from + head);
        memcpy(to + head, from + head, size - head);
    #else
        memcpy(to, from, size);
    #endif
    }

    /* Before another thread reads what was streamed. */
    static inline void fastxent_fence(void)
    {
    #ifdef FASTXENT_WIDTH
        _mm_sfence();
    #endif
    }
    """
    void stream "fastxent_stream"(char* to, const char* source, Py_ssize_t size) noexcept nogil
    void fence "fastxent_fence"() noexcept nogil


cdef inline void write(
    const Job* job, char* place, const void* source, Py_ssize_t size
) noexcept nogil:
    """One run of bytes."""
    if job.nontemporal:
        stream(place, <const char*>source, size)
    else:
        memcpy(place, source, size)


cdef inline void store(
    const Job* job, const Operand* op, Py_ssize_t start, int n, const double* source
) noexcept nogil:
    """n doubles into an output of float32 or float64."""
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
    """n positions into an output of the source's type."""
    if op.contiguous:
        write(job, <char*>op.data + start * op.itemsize, source, n * sizeof(real))
    else:
        copy_elements(job, op, start, 0, n, <char*>source, True)


cdef inline void store_grad_classes(
    const Job* job, const Operand* op, const char* row, Py_ssize_t first, int m, const real* source
) noexcept nogil:
    """m classes of a row into an output of the source's type."""
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

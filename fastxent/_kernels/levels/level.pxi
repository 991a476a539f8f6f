# The body of every level's module: its table of kernels, as a capsule for `engine`.

from cpython.pycapsule cimport PyCapsule_New

from fastxent._kernels.categorical.softcap cimport cap_run
from fastxent._kernels.chunk cimport run_chunk
from fastxent._kernels.groups cimport add_losses_by_group, add_squares_by_group
from fastxent._kernels.job cimport (
    APART, DType, FLOAT64, FmaKind, FUSED, GroupBlock, GroupSquares, GroupSums, Job, KernelTable,
    Partial,
)
from fastxent._kernels.types cimport fma_bounded_f64, fma_f32, fma_f64


cdef void chunk_of_level(const Job* job, Py_ssize_t number, Partial* partial) noexcept nogil:
    run_chunk(job, number, partial)


cdef void cap_of_level(DType dtype, double softcap, void* x, Py_ssize_t n) noexcept nogil:
    if dtype == FLOAT64:
        cap_run(softcap, <const char*>x, 8, <const double*>x, n, <double*>x)
    else:
        cap_run(softcap, <const char*>x, 4, <const float*>x, n, <float*>x)


cdef void losses_of_level(
    DType dtype, const void* losses, const GroupBlock* block, GroupSums* sums,
    GroupSquares* squares
) noexcept nogil:
    if dtype == FLOAT64:
        add_losses_by_group(<const double*>losses, block, sums, squares)
    else:
        add_losses_by_group(<const float*>losses, block, sums, squares)


cdef void differences_of_level(
    DType dtype, const void* losses, const void* other, const GroupBlock* block,
    const GroupSums* sums, const GroupSums* other_sums, GroupSquares* squares
) noexcept nogil:
    if dtype == FLOAT64:
        add_squares_by_group(
            <const double*>losses, <const double*>other, block, sums, other_sums, squares
        )
    else:
        add_squares_by_group(
            <const float*>losses, <const float*>other, block, sums, other_sums, squares
        )


cdef void fma_f32_arrays(
    FmaKind kind, const float* a, const float* b, const float* c, Py_ssize_t n, float* out
) noexcept nogil:
    cdef Py_ssize_t i
    if kind == APART:
        for i in range(n):
            out[i] = a[i] * b[i] + c[i]
    else:
        for i in range(n):
            out[i] = fma_f32(a[i], b[i], c[i])


cdef void fma_f64_arrays(
    FmaKind kind, const double* a, const double* b, const double* c, Py_ssize_t n, double* out
) noexcept nogil:
    cdef Py_ssize_t i
    if kind == APART:
        for i in range(n):
            out[i] = a[i] * b[i] + c[i]
    elif kind == FUSED:
        for i in range(n):
            out[i] = fma_f64(a[i], b[i], c[i])
    else:
        for i in range(n):
            out[i] = fma_bounded_f64(a[i], b[i], c[i])


cdef void fma_of_level(
    FmaKind kind, DType dtype, const void* a, const void* b, const void* c, Py_ssize_t n, void* out
) noexcept nogil:
    if dtype == FLOAT64:
        fma_f64_arrays(kind, <const double*>a, <const double*>b, <const double*>c, n, <double*>out)
    else:
        fma_f32_arrays(kind, <const float*>a, <const float*>b, <const float*>c, n, <float*>out)


cdef KernelTable functions
functions.run_chunk = chunk_of_level
functions.cap_logits = cap_of_level
functions.add_losses = losses_of_level
functions.add_differences = differences_of_level
functions.fma_arrays = fma_of_level
table = PyCapsule_New(&functions, NULL, NULL)

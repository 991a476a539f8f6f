# Where derivatives are written: arrays of the scores' own type, of any layout.

from fastxent._kernels.job cimport BLOCK, FLOAT32, Job, Operand
from fastxent._kernels.load cimport copy_run, real, walk
from fastxent._kernels.store cimport write


cdef inline void put(
    const Job* job, const Operand* op, Py_ssize_t start, int n, const real* source
) noexcept nogil:
    """n positions into an output of the source's type."""
    if op.direct:
        write(job, <char*>op.data + start * op.itemsize, source, n * sizeof(real))
    else:
        walk(job, op, start, 0, n, <char*>source, True)


cdef inline void put_classes(
    const Job* job, const Operand* op, const char* row, Py_ssize_t first, int m, const real* source
) noexcept nogil:
    """m classes of a row into an output of the source's type."""
    cdef char* place = <char*>row + first * op.class_stride
    if op.class_stride == op.itemsize and not op.swapped:
        write(job, place, source, m * sizeof(real))
    else:
        copy_run(op, <const char*>source, op.itemsize, place, op.class_stride, m)


cdef inline void put_wide(
    const Job* job, const Operand* op, const char* row, Py_ssize_t first, int m,
    const double* source
) noexcept nogil:
    """The same from float64, whatever the output's type."""
    cdef float narrow[BLOCK]
    cdef Py_ssize_t i
    if op.kind == FLOAT32:
        for i in range(m):
            narrow[i] = <float>source[i]
        put_classes(job, op, row, first, m, narrow)
    else:
        put_classes(job, op, row, first, m, source)

# Soft-capped logits, c tanh(z / c): a block of rows is capped into a buffer, and the kernels read that.
#
# So no other kernel knows of the cap. The gradients of such a block go to a buffer, too, where they are
# multiplied by the derivative of the cap, 1 - tanh^2, which the capped logits tell.

cimport cython

from fastxent._kernels.arrays.load cimport element_ptr, view_classes
from fastxent._kernels.arrays.prefetch cimport AHEAD, prefetch_lanes
from fastxent._kernels.arrays.store cimport store_grad_classes
from fastxent._kernels.job cimport ABSENT, BLOCK, FLOAT32, FLOAT64, Job, LANES, Operand
from fastxent._kernels.numeric.expm1 cimport tanh_of
from fastxent._kernels.types cimport real


cdef inline void cap_run(
    double softcap, const char* place, Py_ssize_t itemsize, const real* x, Py_ssize_t n, real* capped
) noexcept nogil:
    """Cap n logits, perhaps in place. They lie at `place`, and what lies AHEAD is prefetched."""
    cdef real cap = <real>softcap, inverse = <real>(1.0 / softcap)
    cdef Py_ssize_t i, j, whole = n - n % LANES
    for i from 0 <= i < whole by LANES:
        prefetch_lanes(place + (i + AHEAD) * itemsize, itemsize)
        for j in range(i, i + LANES):
            capped[j] = cap * tanh_of(x[j] * inverse)
    for i in range(whole, n):
        capped[i] = cap * tanh_of(x[i] * inverse)


@cython.cdivision(True)
cdef inline void scale_run(double softcap, const real* capped, Py_ssize_t n, real* grad) noexcept nogil:
    """Multiply gradients by the derivative of the cap. 0 stays 0 where a logit is NaN."""
    cdef real cap = <real>softcap, zero = 0, one = 1, t
    cdef Py_ssize_t i
    for i in range(n):
        t = capped[i] / cap
        grad[i] = zero if grad[i] == zero else grad[i] * (one - t * t)


cdef inline Py_ssize_t run_length(const Job* job, const Operand* op, Py_ssize_t rows) noexcept nogil:
    """How many elements lie side by side: of one row, or of all."""
    if (
        job.ndim == 1 and op.class_stride == op.itemsize
        and op.stride[0] == job.classes * op.itemsize
    ):
        return rows * job.classes
    return job.classes


cdef inline void stage(
    const Job* job, Py_ssize_t start, const real* buffer, Operand* op
) noexcept nogil:
    """Let an operand be the buffer, whose first row has the position `start`."""
    cdef Py_ssize_t d, size = job.classes * sizeof(real)
    op.data = <const char*>buffer - start * size
    op.dtype = FLOAT32 if real is float else FLOAT64
    op.itemsize = sizeof(real)
    op.class_stride = sizeof(real)
    op.byteswapped = False
    op.contiguous = False
    for d in range(job.ndim - 1, -1, -1):
        op.stride[d] = size
        size *= job.shape[d]


cdef inline void load_capped(
    const Job* job, Py_ssize_t start, Py_ssize_t rows, Job* capped, real* logits
) noexcept nogil:
    """Cap the logits of some rows. `capped` is the job that reads them there."""
    cdef real staged[BLOCK]
    cdef double scratch[BLOCK]
    cdef const char* place
    cdef const real* x
    cdef Py_ssize_t done, first, m
    cdef Py_ssize_t length = run_length(job, &job.scores, rows)
    for done from 0 <= done < rows * job.classes by length:
        place = element_ptr(job, &job.scores, start + done // job.classes)
        for first from 0 <= first < length by BLOCK:
            m = min(<Py_ssize_t>BLOCK, length - first)
            x = view_classes(&job.scores, place, first, <int>m, scratch, staged)
            cap_run(
                job.softcap, place + first * job.scores.class_stride, job.scores.itemsize, x, m,
                logits + done + first,
            )
    stage(job, start, logits, &capped.scores)
    if job.grad.dtype != ABSENT:
        stage(job, start, logits + job.staged_rows * job.classes, &capped.grad)
        capped.nontemporal = False


cdef inline void store_capped(
    const Job* job, Py_ssize_t start, Py_ssize_t rows, real* logits
) noexcept nogil:
    """Store the gradients by the logits themselves."""
    cdef real* grad = logits + job.staged_rows * job.classes
    cdef Py_ssize_t done
    cdef Py_ssize_t length = run_length(job, &job.grad, rows)
    scale_run(job.softcap, logits, rows * job.classes, grad)
    for done from 0 <= done < rows * job.classes by length:
        store_grad_classes(
            job, &job.grad, element_ptr(job, &job.grad, start + done // job.classes), 0,
            <int>length, grad + done,
        )

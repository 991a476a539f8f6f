"""The binding: ndarrays and options become a job, the kernels run its chunks, and the sums are added.

Compiled for the baseline, and the only module here that knows Python and NumPy.
"""

cimport cython
cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from fastxent._kernels.job cimport (
    ABSENT, BFLOAT16, BOOL, CATEGORICAL, FLOAT16, FLOAT32, FLOAT64, has_rows, INT16, INT32, INT64,
    INT8, Job, DType, Loss, NanPolicy, NO_ERROR, Operand, Partial, KernelTable, UINT16, UINT32, UINT64,
    UINT8,
)
from fastxent._kernels.numeric.sums cimport add

cdef extern from "simd.h":
    ctypedef struct Level "fastxent_level":
        const char* name
        int (*runs)() noexcept
    const Level* LEVELS "fastxent_levels"   # beyond the baseline; the last has no name
    void cpu_init "FASTXENT_CPU_INIT"() noexcept
    const char* BUILD_INFO "FASTXENT_BUILD_INFO"
    const char* VERSION "FASTXENT_VERSION"
    const char* COMPILER "FASTXENT_COMPILER"

cdef extern from "numpy/arrayobject.h":
    enum:
        NPY_USERDEF     # the first number of the dtypes that are not NumPy's own

cnp.import_array()

cdef enum:
    CHUNK = 65536           # positions, or elements of rows, per partial sum
    MAX_CHUNKS = 4096      # chunks grow beyond this, so that the partial sums take constant memory
    OPERANDS = 8
    STREAMED = 1 << 25      # an output of this many bytes leaves every cache

cdef KernelTable* table = NULL


version = VERSION.decode("ascii")
compiler = COMPILER.decode("ascii")
# level -> the compiler's flags
build_flags = dict(part.split(": ", 1) for part in BUILD_INFO.decode("ascii").split("; ") if part)


def supported_levels() -> tuple:
    """The levels that the processor and the operating system support."""
    cdef const Level* level = LEVELS
    cpu_init()
    names = ["baseline"]
    while level.name != NULL:
        if level.runs():
            names.append(level.name.decode("ascii"))
        level += 1
    return tuple(names)


def set_kernels(capsule) -> None:
    """Use the kernels of a level from now on."""
    global table
    table = <KernelTable*>PyCapsule_GetPointer(capsule, NULL)


cdef DType dtype_of(cnp.ndarray array) noexcept:
    """The kernels' name for the array's dtype; ABSENT where they have none."""
    cdef int number = cnp.PyArray_TYPE(array)
    cdef int size = <int>cnp.PyArray_ITEMSIZE(array)
    if number == cnp.NPY_FLOAT:
        return FLOAT32
    if number == cnp.NPY_DOUBLE:
        return FLOAT64
    if number == cnp.NPY_FLOAT16:
        return FLOAT16
    if number == cnp.NPY_BOOL:
        return BOOL
    if number >= NPY_USERDEF:   # validation lets no other pass
        return BFLOAT16
    if number in (cnp.NPY_BYTE, cnp.NPY_SHORT, cnp.NPY_INT, cnp.NPY_LONG, cnp.NPY_LONGLONG):
        return INT8 if size == 1 else INT16 if size == 2 else INT32 if size == 4 else INT64
    if number in (cnp.NPY_UBYTE, cnp.NPY_USHORT, cnp.NPY_UINT, cnp.NPY_ULONG, cnp.NPY_ULONGLONG):
        return UINT8 if size == 1 else UINT16 if size == 2 else UINT32 if size == 4 else UINT64
    return ABSENT


cdef void describe(cnp.ndarray array, int axis, int ndim, Operand* op) noexcept:
    """An array of `ndim` position dimensions, or fewer, and classes along `axis` unless it is < 0.

    Missing dimensions are the last ones: the array is repeated along them.
    """
    cdef int d, position = 0
    op.data = <const char*>cnp.PyArray_DATA(array)
    op.dtype = dtype_of(array)
    op.itemsize = <int>cnp.PyArray_ITEMSIZE(array)
    op.byteswapped = not cnp.PyArray_ISNOTSWAPPED(array)
    op.contiguous = False
    op.class_stride = 0
    for d in range(cnp.PyArray_NDIM(array)):
        if d == axis:
            op.class_stride = cnp.PyArray_STRIDES(array)[d]
        else:
            op.stride[position] = cnp.PyArray_STRIDES(array)[d]
            position += 1
    for d in range(position, ndim):
        op.stride[d] = 0


cdef void coalesce(Job* job, Operand** ops, int n_ops) noexcept nogil:
    """Merge dimensions over which every operand is one run; C-contiguous arrays become 1-d."""
    cdef int d, i
    cdef int last = -1      # of the dimensions kept so far
    cdef bint mergeable
    for d in range(job.ndim):
        if job.shape[d] == 1:
            continue
        mergeable = last >= 0
        for i in range(n_ops):
            if mergeable:
                mergeable = ops[i].stride[last] == ops[i].stride[d] * job.shape[d]
        if mergeable:
            job.shape[last] *= job.shape[d]
        else:
            last += 1
            job.shape[last] = job.shape[d]
        for i in range(n_ops):
            ops[i].stride[last] = ops[i].stride[d]
    if last < 0:
        last = 0
        job.shape[0] = 1
        for i in range(n_ops):
            ops[i].stride[0] = ops[i].itemsize
    job.ndim = last + 1
    for i in range(n_ops):
        ops[i].contiguous = (
            job.ndim == 1
            and ops[i].stride[0] == ops[i].itemsize
            and not ops[i].byteswapped
            and <size_t>ops[i].data % <size_t>ops[i].itemsize == 0
        )


cdef Py_ssize_t chunk_length(const Job* job) noexcept nogil:
    """Positions per partial sum: depends on the shape alone, since the sum's rounding depends on it."""
    cdef Py_ssize_t length = CHUNK
    if has_rows(job):
        if not (job.loss == CATEGORICAL and job.index_labels):
            while length > 1 and length * job.classes > 2 * CHUNK:
                length //= 2
    while length * MAX_CHUNKS < job.positions:
        length *= 2
    return length


cdef const double* numbers_of(array) noexcept:
    if array is None:
        return NULL
    return <const double*>cnp.PyArray_DATA(<cnp.ndarray>array)


@cython.final
cdef class Task:
    """One call, cut into chunks that any thread may run.

    Parameters
    ----------
    loss, nan_policy : int
        Members of the enums in job.pxd.
    scores, labels : ndarray
    axis : int
        Of the classes, not negative; -1 for losses of one number per position.
    index_labels : bool
        Labels are class indices, with one dimension fewer than the scores.
    weight, mask, scale_by, out : ndarray or None
    eps, label_smoothing : float
    full : bool
    ignore_index : int or None
    class_weight, class_alpha : contiguous ndarray of float64, or None
    gamma, alpha : float
        Of a focal loss; below 0 there is no alpha.
    grad, hess : ndarray or None
        Outputs in the scores' shape.
    scale : float
        What the loss's derivatives are multiplied by.
    floor : float
        The least second derivative, before it is multiplied by weights.
    weights_only : bool
        Sum nothing but the weights of rows of class indices.
    """

    cdef Job job
    cdef Operand* ops[OPERANDS]
    cdef int n_ops
    cdef int ndim           # of the losses, before dimensions are merged
    cdef Partial* partials
    cdef readonly Py_ssize_t chunks
    cdef list arrays        # kept alive

    def __cinit__(
        self, int loss, int nan_policy, cnp.ndarray scores not None, cnp.ndarray labels not None,
        int axis, bint index_labels, weight, mask, scale_operand, out, double eps,
        double label_smoothing, bint full, ignore_index, class_weight, double gamma, double alpha,
        class_alpha, grad=None, hess=None, double scale=1.0, double floor=0.0,
        bint weights_only=False,
    ):
        cdef Job* job = &self.job
        cdef int d
        job.loss = <Loss>loss
        job.nan_policy = <NanPolicy>nan_policy
        job.want_losses = out is not None
        job.index_labels = index_labels
        job.full = full
        job.eps = eps
        job.label_smoothing = label_smoothing
        job.grad_scale = scale
        job.hess_floor = floor
        job.weights_only = weights_only
        job.gamma = gamma
        job.alpha = alpha
        job.has_ignore = ignore_index is not None
        job.ignore_index = 0 if ignore_index is None else <int64_t>ignore_index
        self.arrays = [class_weight, class_alpha]
        job.class_weight = numbers_of(class_weight)
        job.class_alpha = numbers_of(class_alpha)
        job.positions = 1
        job.classes = 1
        for d in range(cnp.PyArray_NDIM(scores)):
            if d == axis:
                job.classes = cnp.PyArray_DIMS(scores)[d]
                continue
            job.shape[self.ndim] = cnp.PyArray_DIMS(scores)[d]
            job.positions *= job.shape[self.ndim]
            self.ndim += 1
        job.ndim = self.ndim
        self.take(scores, axis, &job.scores)
        self.take(labels, -1 if index_labels else axis, &job.labels)
        self.take(weight, -1, &job.weight)
        self.take(mask, -1, &job.mask)
        self.take(scale_operand, -1, &job.scale_operand)
        self.take(out, -1, &job.out)
        self.take(grad, axis, &job.grad)
        self.take(hess, axis, &job.hess)
        coalesce(job, self.ops, self.n_ops)
        job.nontemporal = self.is_large(out) or self.is_large(grad)
        job.chunk = chunk_length(job)
        self.chunks = (job.positions + job.chunk - 1) // job.chunk
        self.partials = <Partial*>malloc(max(1, self.chunks) * sizeof(Partial))
        if self.partials == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.partials)

    cdef void take(self, array, int axis, Operand* op):
        if array is None:
            op.dtype = ABSENT
            return
        self.arrays.append(array)
        describe(<cnp.ndarray>array, axis, self.ndim, op)
        self.ops[self.n_ops] = op
        self.n_ops += 1

    cdef bint is_large(self, output) noexcept:
        """Whether an output is large and not in place: it leaves the caches before anybody reads it."""
        cdef Job* job = &self.job
        cdef Operand* source
        cdef Operand* target
        cdef Operand** inputs = [&job.scores, &job.labels, &job.weight, &job.scale_operand]
        cdef Operand** outputs = [&job.out, &job.grad, &job.hess]
        if output is None or cnp.PyArray_NBYTES(<cnp.ndarray>output) < STREAMED:
            return False
        for source in inputs[:4]:
            for target in outputs[:3]:
                if source.dtype != ABSENT and target.dtype != ABSENT and source.data == target.data:
                    return False
        return True

    @property
    def elements(self) -> int:
        """How many elements there are, classes included."""
        return self.job.positions * self.job.classes

    def run(self, Py_ssize_t first, Py_ssize_t last) -> None:
        """Run the chunks first .. last - 1; a chunk with an error is the last."""
        cdef Py_ssize_t number
        cdef KernelTable* functions = table
        with nogil:
            for number in range(first, last):
                functions.run_chunk(&self.job, number, &self.partials[number])
                if self.partials[number].error != NO_ERROR:
                    break

    def sums(self) -> tuple:
        """The chunks' sums in their order: (total, its low part, weight, its low part, count).

        Where a chunk has an error, the first one: (error code, position, class or -1).
        """
        cdef Py_ssize_t number
        cdef Partial* partial
        cdef double total = 0.0, total_lo = 0.0, weight = 0.0, weight_lo = 0.0
        cdef Py_ssize_t count = 0
        for number in range(self.chunks):
            partial = &self.partials[number]
            if partial.error != NO_ERROR:
                return <int>partial.error, partial.position, partial.index
            add(partial.total, &total, &total_lo)
            add(partial.weight, &weight, &weight_lo)
            total_lo += partial.total_lo
            weight_lo += partial.weight_lo
            count += partial.count
        return total, total_lo, weight, weight_lo, count

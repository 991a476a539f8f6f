"""The binding: ndarrays and options become a job, the kernels run its chunks, and the sums are added.

Compiled for the baseline, and the only module here that knows Python and NumPy.
"""

cimport cython
cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from fastxent._kernels.job cimport (
    ABSENT, BFLOAT16, BOOL, Bounds, CATEGORICAL, DType, ERROR_CODE_NAMES, FLOAT16, FLOAT32, FLOAT64,
    FmaKind, has_rows, INT16, INT32, INT64, INT8, Job, KernelTable, Loss, LOSS_NAMES, MOMENTS,
    N_ERROR_CODES, N_LOSSES, N_NAN_POLICIES, NAN_POLICY_NAMES, NanPolicy, NO_ERROR, Operand, Partial,
    ROWS, UINT16, UINT32, UINT64, UINT8,
)
from fastxent._kernels.numeric.elementary cimport log1p_f64, log_f64
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
    STAGED = 32768          # capped logits at a time, or one row
    STREAMED = 1 << 25      # an output of this many bytes leaves every cache

cdef KernelTable* table = NULL


version = VERSION.decode("ascii")
compiler = COMPILER.decode("ascii")
# level -> the compiler's flags
build_flags = dict(part.split(": ", 1) for part in BUILD_INFO.decode("ascii").split("; ") if part)


cdef dict numbered(const char* names, int count):
    """The members of a C enum by name."""
    cdef dict members = {name: number for number, name in enumerate(names.decode("ascii").split())}
    if len(members) != count:
        raise ImportError(f"job.pxd: {count} members, but the names {', '.join(members)}")
    return members


LOSSES = numbered(LOSS_NAMES, N_LOSSES)
NAN_POLICIES = numbered(NAN_POLICY_NAMES, N_NAN_POLICIES)
ERROR_CODES = numbered(ERROR_CODE_NAMES, N_ERROR_CODES)


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


def cap_logits(cnp.ndarray array not None, double softcap) -> None:
    """Turn each logit of a contiguous array into softcap tanh(logit / softcap)."""
    cdef void* data = cnp.PyArray_DATA(array)
    cdef Py_ssize_t size = cnp.PyArray_SIZE(array)
    cdef DType dtype = dtype_of(array)
    if not cnp.PyArray_IS_C_CONTIGUOUS(array) or dtype not in (FLOAT32, FLOAT64):
        raise TypeError("the array must be contiguous, of float32 or float64")
    with nogil:
        table.cap_logits(dtype, softcap, data, size)


def fma_arrays(capsule, int kind, *arrays) -> None:
    """out = a * b + c of the arrays (a, b, c, out), computed as FmaKind says: for tests of a level."""
    cdef KernelTable* functions = <KernelTable*>PyCapsule_GetPointer(capsule, NULL)
    cdef cnp.ndarray a, b, c, out
    a, b, c, out = arrays
    kinds = {(x.dtype.char, x.size, x.flags.c_contiguous) for x in arrays}
    if kinds != {("f", a.size, True)} and kinds != {("d", a.size, True)}:
        raise TypeError("a, b, c and out must be contiguous, of one size, all float32 or all float64")
    functions.fma_arrays(
        <FmaKind>kind, dtype_of(a), cnp.PyArray_DATA(a), cnp.PyArray_DATA(b), cnp.PyArray_DATA(c),
        cnp.PyArray_SIZE(a), cnp.PyArray_DATA(out),
    )


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


def changed(dict options, dict neutral) -> dict:
    """The options in `neutral` that have another value than there. Arrays are not compared."""
    cdef dict found = {}
    for name, value in options.items():
        other = neutral.get(name, value)
        if value is other or (type(value) is float and type(other) is float and value == other):
            continue
        found[name] = value
    return found


cdef class Kernel:
    """A formula of the kernels, with the closed intervals of what it takes.

    Parameters
    ----------
    loss : str
        A member of Loss in job.pxd.
    scores, labels, scale : tuple of two floats
        The smallest and the largest good element.
    """

    cdef Loss loss
    cdef Bounds scores_
    cdef Bounds labels_
    cdef Bounds scale_

    def __cinit__(self, str loss, tuple scores, tuple labels, tuple scale):
        self.loss = <Loss><int>LOSSES[loss]
        self.scores_.lower, self.scores_.upper = scores
        self.labels_.lower, self.labels_.upper = labels
        self.scale_.lower, self.scale_.upper = scale


@cython.final
cdef class Task:
    """One call, cut into chunks that any thread may run.

    Options and outputs are set before `chunks` is read, which fixes the task.

    Parameters
    ----------
    kernel : Kernel
    nan_policy : int
        A member of NanPolicy in job.pxd.
    scores, labels : ndarray
    axis : int
        Of the classes, not negative; -1 for losses of one number per position.
    index_labels : bool
        Labels are class indices, with one dimension fewer than the scores.
    eps : float
        Probabilities are clipped to [eps, 1 - eps].
    """

    cdef Job job
    cdef Operand* ops[OPERANDS]
    cdef int n_ops
    cdef int ndim           # of the losses, before dimensions are merged
    cdef int axis
    cdef bint has_large_output
    cdef Partial* partials
    cdef Py_ssize_t n_chunks
    cdef list arrays        # kept alive

    def __cinit__(
        self, Kernel kernel not None, int nan_policy, cnp.ndarray scores not None,
        cnp.ndarray labels not None, int axis, bint index_labels, double eps,
    ):
        cdef Job* job = &self.job
        cdef int d
        job.loss = kernel.loss
        job.score_bounds, job.label_bounds = kernel.scores_, kernel.labels_
        job.scale_bounds = kernel.scale_
        job.nan_policy = <NanPolicy>nan_policy
        job.index_labels = index_labels
        job.eps = eps
        job.log_eps, job.log_one_minus_eps = log_f64(eps), log1p_f64(-eps)
        job.alpha = -1.0
        job.grad_scale = 1.0
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
        self.axis = axis
        self.arrays = []
        self.take(scores, axis, &job.scores)
        self.take(labels, -1 if index_labels else axis, &job.labels)

    def set_options(self, dict given) -> None:
        """Set the options that were given, by name; their values have been checked."""
        cdef Job* job = &self.job
        for name, value in given.items():
            if name == "sample_weight":
                self.take(value, -1, &job.weight)
            elif name == "where":
                self.take(value, -1, &job.mask)
            elif name in ("pos_weight", "var"):
                self.take(value, -1, &job.scale_operand)
            elif name == "label_smoothing":
                job.label_smoothing = value
            elif name == "class_weight":
                job.class_weight = self.numbers(value)
            elif name == "ignore_index":
                job.has_ignore, job.ignore_index = True, value
            elif name == "softcap":
                job.softcap = value
            elif name == "z_loss":
                job.z_loss = value
            elif name == "gamma":
                job.gamma = value
            elif name == "alpha" and isinstance(value, float):
                job.alpha = value
            elif name == "alpha":
                job.class_alpha = self.numbers(value)
            elif name == "full":
                job.full = value
            else:
                raise TypeError(f"no kernel takes {name}")

    def set_weights_only(self) -> None:
        """Sum nothing but the weights of rows of class indices."""
        self.job.weights_only = True

    def set_row_check(self) -> None:
        """Check every class of rows of probabilities; `deviation` is known when the task has run."""
        self.job.check_rows = True

    def set_moments(self, double beta, double offset) -> None:
        """Sum derivatives by beta and offset; a logit counts as beta * logit + offset."""
        self.job.want_moments = True
        self.job.beta, self.job.offset = beta, offset

    def set_losses(self, cnp.ndarray out not None) -> None:
        """Write the losses to `out`."""
        self.job.want_losses = True
        self.take_output(out, -1, &self.job.out)

    def set_statistics(self, nll, logsumexp, entropy, argmax, rank) -> None:
        """Write the statistics of rows to contiguous arrays of float64 and int64."""
        cdef Job* job = &self.job
        job.statistics.nll = <double*>self.numbers(nll)
        job.statistics.logsumexp = <double*>self.numbers(logsumexp)
        job.statistics.entropy = <double*>self.numbers(entropy)
        job.statistics.argmax = <int64_t*>self.numbers(argmax)
        job.statistics.rank = <int64_t*>self.numbers(rank)

    def set_gradients(self, grad, hess, double scale, double hess_floor) -> None:
        """Write the derivatives to arrays in the scores' shape.

        Parameters
        ----------
        grad, hess : ndarray or None
        scale : float
            The factor of the derivatives.
        hess_floor : float
            The lower bound of the second derivative, before it is multiplied by weights.
        """
        self.job.grad_scale = scale
        self.job.hess_floor = hess_floor
        self.take_output(grad, self.axis, &self.job.grad)
        if hess is not None:
            self.take(hess, self.axis, &self.job.hess)

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        if self.partials == NULL:
            self.prepare()
        return self.n_chunks

    cdef int prepare(self) except -1:
        """Fix the layout, cut the work into chunks, and make room for their sums."""
        cdef Job* job = &self.job
        coalesce(job, self.ops, self.n_ops)
        job.nontemporal = self.has_large_output and not self.is_in_place()
        job.chunk = chunk_length(job)
        job.staged_rows = max(1, min(<Py_ssize_t>ROWS, STAGED // max(1, job.classes)))
        self.n_chunks = (job.positions + job.chunk - 1) // job.chunk
        self.partials = <Partial*>malloc(max(1, self.n_chunks) * sizeof(Partial))
        if self.partials == NULL:
            raise MemoryError
        return 0

    def __dealloc__(self):
        free(self.partials)

    cdef void take(self, array, int axis, Operand* op):
        self.arrays.append(array)
        describe(<cnp.ndarray>array, axis, self.ndim, op)
        self.ops[self.n_ops] = op
        self.n_ops += 1

    cdef void take_output(self, array, int axis, Operand* op):
        self.take(array, axis, op)
        if cnp.PyArray_NBYTES(<cnp.ndarray>array) >= STREAMED:
            self.has_large_output = True    # it leaves the caches before anybody reads it

    cdef const double* numbers(self, array):
        """The numbers of a contiguous array."""
        self.arrays.append(array)
        return <const double*>cnp.PyArray_DATA(<cnp.ndarray>array)

    cdef bint is_in_place(self) noexcept:
        """Whether an output is an input, too."""
        cdef Job* job = &self.job
        cdef Operand* source
        cdef Operand* target
        cdef Operand** inputs = [&job.scores, &job.labels, &job.weight, &job.scale_operand]
        cdef Operand** outputs = [&job.out, &job.grad, &job.hess]
        for source in inputs[:4]:
            for target in outputs[:3]:
                if source.dtype != ABSENT and target.dtype != ABSENT and source.data == target.data:
                    return True
        return False

    @property
    def elements(self) -> int:
        """How many elements there are, classes included."""
        return self.job.positions * self.job.classes

    def run(self, Py_ssize_t first, Py_ssize_t last) -> None:
        """Run the chunks first .. last - 1; a chunk with an error is the last."""
        cdef Py_ssize_t number
        cdef KernelTable* functions = table
        cdef void* staged = NULL
        if self.partials == NULL or last > self.n_chunks:
            raise IndexError(f"{self.n_chunks} chunks, but {last} are to run")
        if self.job.softcap != 0.0:
            # of logits and gradients
            staged = malloc(2 * self.job.staged_rows * max(1, self.job.classes) * sizeof(double))
            if staged == NULL:
                raise MemoryError
        with nogil:
            for number in range(first, last):
                self.partials[number].staged = staged
                functions.run_chunk(&self.job, number, &self.partials[number])
                if self.partials[number].error != NO_ERROR:
                    break
            free(staged)

    def moments(self, Py_ssize_t step) -> tuple:
        """The sums of derivatives over every `step`-th chunk, for a task whose `sums` has no error."""
        cdef double[MOMENTS] hi, lo
        cdef Py_ssize_t k, number
        for k in range(MOMENTS):
            hi[k] = lo[k] = 0.0
            for number from 0 <= number < self.n_chunks by step:
                add(self.partials[number].moments[k], &hi[k], &lo[k])
                lo[k] += self.partials[number].moments_lo[k]
        return tuple([hi[k] + lo[k] for k in range(MOMENTS)])

    @property
    def deviation(self) -> float:
        """The greatest distance of a row's sum from 1, where rows are checked."""
        cdef Py_ssize_t number
        cdef double greatest = 0.0
        for number in range(self.n_chunks):
            greatest = max(greatest, self.partials[number].deviation)
        return greatest

    def sums(self, Py_ssize_t step=1) -> tuple:
        """The chunks' sums in their order: (total, its low part, weight, its low part, count).

        With a step they are those of every `step`-th chunk. Where a chunk has an error, the first one:
        (error code, position, class or -1).
        """
        cdef Py_ssize_t number
        cdef Partial* partial
        cdef double total = 0.0, total_lo = 0.0, weight = 0.0, weight_lo = 0.0
        cdef Py_ssize_t count = 0
        if self.partials == NULL:
            self.prepare()
        for number from 0 <= number < self.n_chunks by step:
            partial = &self.partials[number]
            if partial.error != NO_ERROR:
                return <int>partial.error, partial.position, partial.index
            add(partial.total, &total, &total_lo)
            add(partial.weight, &weight, &weight_lo)
            total_lo += partial.total_lo
            weight_lo += partial.weight_lo
            count += partial.count
        return total, total_lo, weight, weight_lo, count

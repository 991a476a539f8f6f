# The structs between the binding and the kernels: plain C, nothing of Python.
#
# A *position* is one loss: an element of a binary batch, or a row of a categorical one. Positions are
# numbered in C order over the (coalesced) shape of the losses, whatever the layout of the arrays.

from libc.stdint cimport int64_t, uint8_t

cdef extern from "simd.h":
    pass

cdef enum:
    MAX_NDIM = 64       # NumPy's own limit
    LANES = 32          # accumulators of every sum and product, on every level
    BLOCK = 1024        # positions, or classes of one row, that are loaded at a time: fits in L1
    ROWS = 64           # rows of a categorical loss that are loaded at a time
    MOMENTS = 5         # sums of derivatives by parameters
    TILE_CLASSES = 32   # a block of rows with at most this many classes is transposed

cdef enum DType:         # the element types of the inputs
    ABSENT
    BOOL
    INT8
    INT16
    INT32
    INT64
    UINT8
    UINT16
    UINT32
    UINT64
    FLOAT16
    BFLOAT16
    FLOAT32
    FLOAT64

# The names for Python, in the order of the enums.
cdef extern from *:
    """
    #define FASTXENT_LOSSES \
        "BINARY BINARY_LOGITS CATEGORICAL CATEGORICAL_LOGITS GAUSSIAN KL BINARY_FOCAL " \
        "CATEGORICAL_FOCAL POISSON LOGIT_STATISTICS KL_LOGITS"
    #define FASTXENT_NAN_POLICIES "raise propagate omit"
    #define FASTXENT_ERROR_CODES \
        "NO_ERROR NAN_SCORE NAN_LABEL BAD_SCORE BAD_LABEL BAD_WEIGHT BAD_SCALE UNDEFINED_ROW"
    """
    const char* LOSS_NAMES "FASTXENT_LOSSES"
    const char* NAN_POLICY_NAMES "FASTXENT_NAN_POLICIES"
    const char* ERROR_CODE_NAMES "FASTXENT_ERROR_CODES"

cdef enum Loss:
    BINARY
    BINARY_LOGITS
    CATEGORICAL
    CATEGORICAL_LOGITS
    GAUSSIAN
    KL
    BINARY_FOCAL
    CATEGORICAL_FOCAL
    POISSON
    LOGIT_STATISTICS    # no loss, but several numbers of a row
    KL_LOGITS
    N_LOSSES

cdef enum NanPolicy:
    NAN_RAISE
    NAN_PROPAGATE
    NAN_OMIT
    N_NAN_POLICIES

cdef enum ErrorCode:        # what is wrong with an element
    NO_ERROR
    NAN_SCORE
    NAN_LABEL
    BAD_SCORE
    BAD_LABEL
    BAD_WEIGHT
    BAD_SCALE           # pos_weight or the variance
    UNDEFINED_ROW
    N_ERROR_CODES

cdef enum FmaKind:      # how a * b + c is computed
    FUSED
    FUSED_BOUNDED
    APART               # rounded twice: no compiler may fuse it

cdef extern from *:
    const int64_t NO_CLASS "INT64_MIN"  # what a float that is no whole number becomes as a class index

cdef struct Operand:    # one array, as the kernels see it
    const char* data
    DType dtype
    int itemsize
    bint byteswapped                    # in the other byte order
    bint contiguous                     # one aligned, native run over all positions
    Py_ssize_t class_stride         # in bytes, along the classes
    Py_ssize_t stride[MAX_NDIM]     # in bytes, along the positions

cdef struct Statistics:     # of rows of logits: one number per position, in their order
    double* nll
    double* logsumexp
    double* entropy
    int64_t* argmax
    int64_t* rank

cdef struct Bounds:     # what is in [lower, upper] is good
    double lower
    double upper

cdef struct Job:        # one call
    Loss loss
    Bounds score_bounds
    Bounds label_bounds     # unless labels are class indices
    Bounds scale_bounds
    NanPolicy nan_policy
    bint want_losses    # reduction="none"
    bint index_labels   # class indices rather than a distribution per row
    bint full           # with the constant of the likelihood
    bint weights_only   # only the weights of rows are summed
    bint want_moments   # the derivatives of the sum by beta and offset
    bint nontemporal        # outputs bypass the caches
    bint has_ignore
    int64_t ignore_index
    bint check_rows     # whether every class of a row is to be checked, and the row's sum
    double eps
    double log_eps
    double log_one_minus_eps
    double label_smoothing
    double softcap      # of the logits; 0: none
    double z_loss
    double gamma        # of a focal loss
    double alpha        # of a label 1, and 1 - alpha of a 0; below 0: none
    double beta         # logits are multiplied by it, and
    double offset       # this is added, where moments are wanted
    double hess_floor     # of the Hessian
    double grad_scale     # of the gradient: 1, or 1 / sum of the weights
    const double* class_weight
    const double* class_alpha
    int ndim
    Py_ssize_t shape[MAX_NDIM]
    Py_ssize_t positions
    Py_ssize_t classes
    Py_ssize_t chunk    # positions per partial sum
    Py_ssize_t staged_rows  # rows of capped logits at a time
    Operand scores
    Operand labels
    Operand weight
    Operand mask
    Operand scale_operand    # pos_weight, or the variance
    Operand out
    Operand grad
    Operand hess
    Statistics statistics

cdef struct Partial:    # of one chunk; the sums are unevaluated pairs hi + lo
    double total
    double total_lo
    double weight
    double weight_lo
    Py_ssize_t count
    double moments[MOMENTS]
    double moments_lo[MOMENTS]
    double deviation        # the greatest distance of a checked row's sum from 1
    double* deferred        # LANES factors whose log1p is not added yet
    int n_deferred          # blocks in them
    void* staged            # room for `staged_rows`
    ErrorCode error
    Py_ssize_t position
    Py_ssize_t index    # the class of the error, or -1

cdef struct GroupDeltas:    # of one block of losses without weights
    double ee
    double ew
    double n
    double centre

cdef struct GroupBlock:     # what belongs to a block of losses, which are multiplied by their weights
    const double* weight    # NULL: all are 1
    const uint8_t* valid    # NULL: all count
    const int64_t* code     # the group of each, from `low` on; NULL: all are of one
    int64_t low
    Py_ssize_t n
    Py_ssize_t groups
    GroupDeltas* deltas     # room for one of each group, where that serves; else NULL

cdef struct GroupSums:      # the sums are unevaluated pairs
    double total
    double total_lo
    double weight
    double weight_lo
    double count

cdef struct GroupSquares:   # of e = loss - centre * weight
    double ee
    double ew
    double ww
    double n                # how many weights are not 0
    double centre

ctypedef void (*chunk_function)(const Job*, Py_ssize_t, Partial*) noexcept nogil

ctypedef void (*cap_function)(DType, double, void*, Py_ssize_t) noexcept nogil

ctypedef void (*fma_function)(
    FmaKind, DType, const void*, const void*, const void*, Py_ssize_t, void*) noexcept nogil

ctypedef void (*losses_function)(
    DType, const void*, const GroupBlock*, GroupSums*, GroupSquares*) noexcept nogil

ctypedef void (*differences_function)(
    DType, const void*, const void*, const GroupBlock*, const GroupSums*, const GroupSums*,
    GroupSquares*) noexcept nogil

cdef struct KernelTable:      # what a level offers
    chunk_function run_chunk
    cap_function cap_logits
    losses_function add_losses
    differences_function add_differences
    fma_function fma_arrays     # for tests


cdef inline bint is_half(DType dtype) noexcept nogil:
    """Whether the dtype has half precision."""
    return dtype == FLOAT16 or dtype == BFLOAT16


cdef inline bint is_float(DType dtype) noexcept nogil:
    """Whether the dtype is floating-point."""
    return dtype >= FLOAT16


cdef inline bint has_rows(const Job* job) noexcept nogil:
    """Whether a position is a row of classes."""
    return job.loss in (
        CATEGORICAL, CATEGORICAL_LOGITS, KL, CATEGORICAL_FOCAL, LOGIT_STATISTICS,
        KL_LOGITS,
    )


cdef inline bint has_number_labels(const Job* job) noexcept nogil:
    """Whether a label is any number, or a count, and no probability or class."""
    return job.loss == GAUSSIAN or job.loss == POISSON


cdef inline bint has_row_logits(const Job* job) noexcept nogil:
    """Whether a position is a row of logits."""
    return job.loss in (CATEGORICAL_LOGITS, CATEGORICAL_FOCAL)


cdef inline bint is_index(const Job* job) noexcept nogil:
    """Whether each row has one target class and no smoothing."""
    return job.index_labels and job.label_smoothing == 0.0

# A block of rows of classes: its labels, weights and mask, loaded and checked.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t, uint8_t

from fastxent._kernels.arrays.bounds cimport outside
from fastxent._kernels.arrays.load cimport element_ptr, gather, load, load_indices, load_one
from fastxent._kernels.job cimport (
    ABSENT, BAD_LABEL, BAD_WEIGHT, BLOCK, ErrorCode, is_float, is_index, Job, NAN_LABEL, NAN_OMIT,
    NAN_PROPAGATE, NAN_RAISE, NAN_SCORE, NO_CLASS, NO_ERROR, Partial, ROWS, UNDEFINED_ROW,
)

cdef struct Rows:
    int64_t target[ROWS]
    double factor[ROWS]     # multiplies the loss
    double weight[ROWS]     # is added to the denominator of the mean
    double loss[ROWS]
    uint8_t valid[ROWS]     # 0: masked out, ignored or NaN
    double absent[ROWS]     # the loss and the derivatives where not valid: 0 or NaN
    # Soft labels of logits: the loss is label_sum * log(1 + s) + linear (soft_logits.pxd).
    double label_sum[ROWS]
    double linear[ROWS]
    double spread[ROWS]
    double logsumexp[ROWS]  # of the logits, where there is a z_loss
    double scratch[BLOCK]
    int n
    bint weighted           # whether any factor, weight or `valid` may differ from 1
    bint masked             # whether `valid` may, but no factor or weight of a valid row


cdef inline void mask_rows(const Job* job, Py_ssize_t start, Rows* rows) noexcept nogil:
    """Leave out what `where` and `ignore_index` say: factor and weight become 0, the target class 0."""
    cdef const uint8_t* mask = NULL
    cdef int64_t ignored = job.ignore_index
    cdef Py_ssize_t i
    if job.mask.dtype != ABSENT:
        mask = <const uint8_t*>gather(job, &job.mask, start, rows.n, rows.scratch)
        for i in range(rows.n):
            rows.valid[i] = mask[i] != 0
    if job.has_ignore and not (ignored == NO_CLASS and is_float(job.labels.dtype)):
        for i in range(rows.n):
            rows.valid[i] &= rows.target[i] != ignored
    for i in range(rows.n):
        rows.target[i] = rows.target[i] if rows.valid[i] else 0
        rows.weight[i] = 1.0 if rows.valid[i] else 0.0
        rows.factor[i] = rows.weight[i]


cdef inline bint in_range(const int64_t* target, int n, Py_ssize_t classes) noexcept nogil:
    """Whether all n class indices are valid."""
    cdef Py_ssize_t i
    cdef int64_t low = 0, high = 0
    for i in range(n):
        low = target[i] if target[i] < low else low
        high = target[i] if target[i] > high else high
    return low >= 0 and high < classes


cdef inline bint row_error(
    Partial* partial, ErrorCode error, Py_ssize_t position, Py_ssize_t index
) noexcept nogil:
    """Record the error. Always False, which the caller returns."""
    partial.error = error
    partial.position = position
    partial.index = index
    return False


cdef inline bint leave_out_label(
    const Job* job, Py_ssize_t position, Rows* rows, Py_ssize_t i, Partial* partial
) noexcept nogil:
    """Leave out a row whose label is no whole number, if it is NaN and nan_policy accepts that.

    No class of the row is read: not even whether one is NaN.
    """
    cdef double label = load_one(&job.labels, element_ptr(job, &job.labels, position))
    cdef ErrorCode error = BAD_LABEL if label == label else NAN_LABEL
    if error == BAD_LABEL or job.nan_policy == NAN_RAISE:
        return row_error(partial, error, position, -1)
    rows.valid[i] = 0
    rows.absent[i] = 0.0 if job.nan_policy == NAN_OMIT else NAN
    return True


cdef inline bint check_each_row(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Leave out rows without a label; False, with the error recorded, if one is invalid."""
    cdef Py_ssize_t i
    for i in range(rows.n):
        if rows.target[i] == NO_CLASS and rows.valid[i] and is_float(job.labels.dtype):
            if not leave_out_label(job, start + i, rows, i, partial):
                return False
        if not rows.valid[i]:
            rows.target[i] = 0
            rows.weight[i] = 0.0
            continue
        if job.index_labels and not 0 <= rows.target[i] < job.classes:
            return row_error(partial, BAD_LABEL, start + i, -1)
        if not 0.0 <= rows.weight[i] < INFINITY:
            return row_error(partial, BAD_WEIGHT, start + i, -1)
    return True


cdef inline void weigh_rows(const Job* job, Rows* rows) noexcept nogil:
    """Set the factors of rows that are checked; those of rows that are left out are 0."""
    cdef Py_ssize_t i
    for i in range(rows.n):
        rows.factor[i] = rows.weight[i] if rows.valid[i] else 0.0
    if job.class_weight != NULL and job.index_labels:
        for i in range(rows.n):
            rows.weight[i] *= job.class_weight[rows.target[i]]
        # With smoothing, the loss already contains the weight of every class.
        if job.label_smoothing == 0.0:
            for i in range(rows.n):
                rows.factor[i] *= job.class_weight[rows.target[i]]
    if job.class_alpha != NULL and is_index(job):
        for i in range(rows.n):
            rows.factor[i] *= job.class_alpha[rows.target[i]]


cdef inline bint load_rows(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Load labels, weights and mask of a block; False, with the error recorded, if one is invalid."""
    cdef Py_ssize_t i
    cdef int n = rows.n
    rows.weighted = (
        job.weight.dtype != ABSENT or job.class_weight != NULL or job.mask.dtype != ABSENT
        or job.has_ignore or job.nan_policy == NAN_OMIT or job.class_alpha != NULL
    )
    rows.masked = job.weight.dtype == ABSENT and job.class_weight == NULL and job.class_alpha == NULL
    for i in range(n):
        rows.weight[i] = 1.0
        rows.factor[i] = 1.0
        rows.valid[i] = 1
        rows.absent[i] = 0.0
        rows.target[i] = 0
    if job.index_labels:
        load_indices(job, &job.labels, start, n, rows.scratch, rows.target)
    if job.has_ignore or job.mask.dtype != ABSENT:
        mask_rows(job, start, rows)
    if rows.masked and in_range(rows.target, n, job.classes):
        return True
    rows.masked = False
    rows.weighted = True
    if job.weight.dtype != ABSENT:
        load(job, &job.weight, start, n, rows.scratch, rows.weight)
    if not in_range(rows.target, n, job.classes) or outside(
        rows.weight, n, 0.0, 1.7976931348623157e308
    ):
        if not check_each_row(job, start, rows, partial):
            return False
    weigh_rows(job, rows)
    return True


cdef inline bint apply_nan_policy(
    const Job* job, Rows* rows, int i, ErrorCode error, Py_ssize_t position, Py_ssize_t index,
    Partial* partial
) noexcept nogil:
    """Apply nan_policy to a row whose loss is undefined; False if that is an error."""
    cdef bint lenient = error == NAN_SCORE or error == NAN_LABEL or error == UNDEFINED_ROW
    if error == NO_ERROR:
        return True
    if not lenient or job.nan_policy != NAN_PROPAGATE and job.nan_policy != NAN_OMIT:
        return row_error(partial, error, position, index)
    if job.nan_policy == NAN_OMIT:
        rows.valid[i] = 0
    rows.loss[i] = NAN
    return True

# Rows of many logits: SIMD over the classes of one row, a block of them after the other.
#
# A block is read once: what soft labels add to the loss (soft_logits.pxd) is summed while its logits are
# in the nearest cache. Each loop requests another array ahead, so that the requests are spread evenly.

from libc.math cimport INFINITY
from libc.string cimport memcpy

from fastxent._kernels.arrays.bounds cimport mark_outside_unit
from fastxent._kernels.arrays.load cimport element_ptr, view_classes
from fastxent._kernels.arrays.prefetch cimport AHEAD, prefetch_lanes
from fastxent._kernels.categorical.largest cimport fill_tail, first_equal, Lanes, largest_class
from fastxent._kernels.categorical.rows cimport Rows
from fastxent._kernels.categorical.soft_logits cimport (
    finish_terms, has_soft_path, soft_term, start_terms,
)
from fastxent._kernels.categorical.softmax cimport exp_of_classes, target_scores
from fastxent._kernels.job cimport ABSENT, BLOCK, Job, LANES
from fastxent._kernels.numeric.generic cimport exp_scale_inverse
from fastxent._kernels.numeric.sums cimport add_buffer, add_lanes, add_run
from fastxent._kernels.types cimport real

cdef enum:
    # The exponentials of a row of up to so many classes are kept in L1 until their sum is known.
    CACHED_CLASSES = 2048

cdef struct SoftSums:       # over the classes of a row: unevaluated pairs
    double linear           # of q (base - x)
    double linear_lo
    double labels           # of q
    double labels_lo
    double spread           # of base - x
    double spread_lo


# ---- the base --------------------------------------------------------------------------------


cdef inline Py_ssize_t find_largest(
    const Job* job, const char* row, void* scratch, real* maximum
) noexcept nogil:
    """The number of the largest logit of a row, the first of several; 0 where there is none."""
    cdef real staged[BLOCK]
    cdef real tail[LANES]
    cdef real block_maximum
    cdef Lanes lanes
    cdef const real* x
    cdef Py_ssize_t first, found = 0
    cdef int m
    maximum[0] = -INFINITY
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        x = view_classes(&job.scores, row, first, m, scratch, staged)
        lanes = fill_tail(x, m, <real>(-INFINITY), tail)
        block_maximum = largest_class(&lanes, tail)
        if block_maximum > maximum[0]:
            maximum[0] = block_maximum
            found = first + first_equal(&lanes, tail, block_maximum)
    return found


cdef inline void start_long_rows(
    const Job* job, Py_ssize_t start, Rows* rows, real* base
) noexcept nogil:
    """What rows of many classes need before the first: for class indices, the logits of the targets."""
    if job.index_labels:
        target_scores(job, start, rows.n, rows.target, base)
    if has_soft_path(job):
        start_terms(rows)


cdef inline void choose_base(
    const Job* job, Py_ssize_t start, Rows* rows, Py_ssize_t i, real* base
) noexcept nogil:
    """What the logits of one row are relative to: its target's, or the largest with distributions."""
    if not job.index_labels:
        rows.target[i] = find_largest(
            job, element_ptr(job, &job.scores, start + i), rows.scratch, base
        )


# ---- the sums over a row -----------------------------------------------------------------------


cdef inline void add_soft_terms(
    const Job* job, const char* labels, Py_ssize_t first, Py_ssize_t m, const real* x, real base,
    void* scratch, SoftSums* sums
) noexcept nogil:
    """Add what soft labels need of m classes of a row, whose labels are at `labels`."""
    cdef real staged[BLOCK]
    cdef real terms[BLOCK]
    cdef const real* q
    cdef const char* next_labels
    cdef Py_ssize_t i, j, whole = m - m % LANES
    if not job.index_labels:
        q = view_classes(&job.labels, labels, first, <int>m, scratch, staged)
        next_labels = labels + (first + AHEAD) * job.labels.itemsize
        for i from 0 <= i < whole by LANES:
            prefetch_lanes(next_labels + i * job.labels.itemsize, job.labels.itemsize)
            for j in range(i, i + LANES):
                terms[j] = soft_term(base, x[j], q[j])
        for j in range(whole, m):
            terms[j] = soft_term(base, x[j], q[j])
        mark_outside_unit(q, m, terms)
        add_buffer(terms, m, &sums.linear, &sums.linear_lo)
        add_run(q, m, &sums.labels, &sums.labels_lo)
    if job.label_smoothing != 0.0:
        for i in range(m):
            terms[i] = base - x[i]
        add_buffer(terms, m, &sums.spread, &sums.spread_lo)


cdef inline void set_soft_terms(
    const Job* job, const SoftSums* sums, Rows* rows, Py_ssize_t i
) noexcept nogil:
    """Set what makes a loss of log(1 + s): `label_sum` and `linear`."""
    rows.linear[i] = sums.linear + sums.linear_lo
    rows.label_sum[i] = sums.labels + sums.labels_lo
    rows.spread[i] = sums.spread + sums.spread_lo
    finish_terms(job, rows, i, i + 1)


cdef inline double sum_exp_row(
    const Job* job, Py_ssize_t start, Rows* rows, Py_ssize_t row_number, real base, real* kept,
    double* err
) noexcept nogil:
    """sum of e^(x_j - base) over j != target of a row, over `exp_scale_inverse`, and its error.

    The exponentials go to `kept`, unless that is NULL. Soft labels' terms are set on the way.
    """
    cdef real x_staged[BLOCK]
    cdef real exps_staged[BLOCK]
    cdef real* exps
    cdef const real* x
    cdef const char* row = element_ptr(job, &job.scores, start + row_number)
    cdef const char* labels = NULL
    cdef double hi = 0.0, lo = 0.0
    cdef SoftSums sums = SoftSums(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    cdef Py_ssize_t first, m, target
    cdef bint padded, soft = has_soft_path(job)
    if not job.index_labels:
        labels = element_ptr(job, &job.labels, start + row_number)
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        x = view_classes(&job.scores, row, first, <int>m, rows.scratch, x_staged)
        if soft:
            add_soft_terms(job, labels, first, m, x, base, rows.scratch, &sums)
        padded = job.classes > CACHED_CLASSES and m % LANES != 0    # there is no room after the row
        exps = exps_staged
        if kept != NULL and not padded:
            exps = kept + first
        exp_of_classes(
            &job.scores, row + first * job.scores.class_stride, x, m, base, exps
        )
        target = rows.target[row_number] - first
        if 0 <= target < m:
            exps[target] = 0
        if kept != NULL and padded:
            memcpy(kept + first, exps, m * sizeof(real))
        if real is float or job.hess.dtype != ABSENT:
            add_buffer(exps, m, &hi, &lo)       # 1 - p needs what rounding loses
        else:
            add_lanes(exps, m, &hi, &lo)
    if soft:
        set_soft_terms(job, &sums, rows, row_number)
    err[0] = lo
    return hi


cdef inline double finish_sum_exp(double total, double err, real target_logit) noexcept nogil:
    """What `sum_exp_row` gives, as a number; NaN if the target's logit is not finite."""
    return (total + err) * exp_scale_inverse(&target_logit) + <double>(target_logit - target_logit)

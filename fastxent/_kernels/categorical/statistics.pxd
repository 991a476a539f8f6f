# Statistics of rows of logits in one pass over memory: loss, log-sum-exp, entropy, argmax and rank.
#
# Everything is relative to the largest logit m of the classes seen so far. With r = sum of e^(x - m)
# over all classes but the first at m, and t = sum of e^(x - m) (m - x), a row has
#
#     logsumexp = m + log1p(r),  nll = (m - x_target) + log1p(r),  entropy = log1p(r) + t / (1 + r)
#
# No term is negative, so nothing cancels. Where a block raises m by d, the sums so far are multiplied
# by e^-d. A row with a NaN, with +inf, or of -inf only is left to `limits_of_row`.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t

from fastxent._kernels.arrays.load cimport element_ptr, load_one, view_classes
from fastxent._kernels.categorical.largest cimport (
    count_greater, fill_tail, first_equal, group, Lanes, largest_class,
)
from fastxent._kernels.categorical.rows cimport row_error, Rows
from fastxent._kernels.categorical.softmax cimport exp_shifted
from fastxent._kernels.job cimport (
    BLOCK, FLOAT64, Job, LANES, NAN_RAISE, NAN_SCORE, Partial, ROWS, UNDEFINED_ROW,
)
from fastxent._kernels.numeric.elementary cimport exp_nonpos_f64
from fastxent._kernels.numeric.generic cimport exp_scale_inverse, log1p_all
from fastxent._kernels.numeric.sums cimport sum_lanes
from fastxent._kernels.types cimport real

cdef struct RowStatistics:
    double target_logit
    double maximum          # m: of the classes seen so far
    Py_ssize_t argmax       # the first class there; -1 before the first that is not -inf
    double rest             # r
    double distance         # t
    double greater          # how many classes have a larger logit than the target

cdef inline void raise_maximum(RowStatistics* row, double maximum) noexcept nogil:
    """Make the sums of the classes seen so far relative to a new maximum."""
    cdef double d, factor
    if row.argmax >= 0:
        d = maximum - row.maximum
        factor = exp_nonpos_f64(-d)
        # A factor of 0 silences a distance that is infinite.
        row.distance = factor * (row.distance + d * (1.0 + row.rest)) if factor != 0.0 else 0.0
        row.rest = factor * (1.0 + row.rest)
    row.maximum = maximum


cdef inline void add_block(
    const Lanes* lanes, const real* tail, real maximum, const real* exps, RowStatistics* row
) noexcept nogil:
    """Add the exponentials of a block, and those times their distance from the maximum."""
    cdef double rest[LANES]
    cdef double distance[LANES]
    cdef real d, bound = 104 if real is float else 746     # beyond, the exponential is 0
    cdef const real* x
    cdef Py_ssize_t i, j
    for j in range(LANES):
        rest[j] = 0.0
        distance[j] = 0.0
    for i from 0 <= i < lanes.padded by LANES:
        x = group(lanes, tail, i)
        for j in range(LANES):
            d = maximum - x[j]
            d = bound if d > bound else d
            rest[j] += <double>exps[i + j]
            distance[j] += <double>(exps[i + j] * d)
    row.rest += sum_lanes(rest) * exp_scale_inverse(exps)
    row.distance += sum_lanes(distance) * exp_scale_inverse(exps)


cdef inline void add_row_block(
    const Job* job, const char* source, Py_ssize_t first, int m, real target_logit, void* scratch,
    RowStatistics* row
) noexcept nogil:
    """Add m classes of a row."""
    cdef real staged[BLOCK]
    cdef real exps[BLOCK]
    cdef real tail[LANES]
    cdef const real* x = view_classes(&job.scores, source, first, m, scratch, staged)
    cdef Lanes lanes = fill_tail(x, m, <real>(-INFINITY), tail)
    cdef real maximum = largest_class(&lanes, tail)
    cdef bint higher = maximum > row.maximum
    cdef Py_ssize_t i
    row.greater += count_greater(&lanes, tail, target_logit)
    if higher:
        raise_maximum(row, maximum)
        row.argmax = first + first_equal(&lanes, tail, maximum)
    if row.argmax < 0:
        for i in range(m):      # -inf, or NaN, which the exponentials of later blocks do not show
            row.rest += 0.0 if x[i] == x[i] else NAN
        return
    maximum = <real>row.maximum
    exp_shifted(&job.scores, source + first * job.scores.class_stride, x, m, maximum, exps)
    for i in range(m, lanes.padded):
        exps[i] = 0
    if higher:
        exps[row.argmax - first] = 0
    add_block(&lanes, tail, maximum, exps, row)


cdef inline RowStatistics row_statistics(
    const Job* job, const char* source, Py_ssize_t target, void* scratch, real* tag
) noexcept nogil:
    """The sums of one row; those of a row without a finite maximum are not finite."""
    cdef RowStatistics row
    cdef Py_ssize_t first
    row.target_logit = load_one(&job.scores, source + target * job.scores.class_stride)
    row.maximum = -INFINITY
    row.argmax = -1
    row.rest = 0.0
    row.distance = 0.0
    row.greater = 0.0
    for first from 0 <= first < job.classes by BLOCK:
        add_row_block(
            job, source, first, <int>min(<Py_ssize_t>BLOCK, job.classes - first),
            <real>row.target_logit, scratch, &row,
        )
    return row


cdef inline bint limits_of_row(
    const Job* job, Py_ssize_t position, RowStatistics* row, Partial* partial
) noexcept nogil:
    """A row whose sums are not finite: one +inf takes all probability. False, if it is an error.

    Unless NaN raises, a row of -inf only and one with several +inf have that logsumexp.
    """
    cdef const char* source = element_ptr(job, &job.scores, position)
    cdef double x
    cdef Py_ssize_t j, infinite = 0
    for j in range(job.classes):
        x = load_one(&job.scores, source + j * job.scores.class_stride)
        if x != x:
            if job.nan_policy == NAN_RAISE:
                return row_error(partial, NAN_SCORE, position, j)
            row.maximum = NAN
        infinite += x == INFINITY
    if infinite != 1 and job.nan_policy == NAN_RAISE:
        return row_error(partial, UNDEFINED_ROW, position, -1)
    row.rest = 0.0
    row.distance = 0.0
    return True


cdef inline void write_statistics(
    const Job* job, Py_ssize_t position, bint valid, const RowStatistics* row, double log_sum
) noexcept nogil:
    """Write the results of a row: 0, or -1 for indices, where it does not count."""
    cdef double behind = 0.0 if row.target_logit == row.maximum else row.maximum - row.target_logit
    job.statistics.nll[position] = behind + log_sum if valid else 0.0
    job.statistics.logsumexp[position] = row.maximum + log_sum if valid else 0.0
    job.statistics.entropy[position] = log_sum + row.distance / (1.0 + row.rest) if valid else 0.0
    job.statistics.argmax[position] = row.argmax if valid else -1
    job.statistics.rank[position] = <int64_t>row.greater if valid else -1


cdef inline void sum_statistics(
    const Job* job, Py_ssize_t start, Rows* rows, RowStatistics* statistics, real* tag
) noexcept nogil:
    """The sums of up to ROWS rows."""
    cdef Py_ssize_t i
    for i in range(rows.n):
        if rows.valid[i]:
            statistics[i] = row_statistics(
                job, element_ptr(job, &job.scores, start + i), rows.target[i], rows.scratch, tag
            )


cdef inline bint statistics_of_rows(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Statistics of up to ROWS rows; False if one holds an error."""
    cdef RowStatistics statistics[ROWS]
    cdef Py_ssize_t i
    if job.scores.dtype == FLOAT64:
        sum_statistics(job, start, rows, statistics, <double*>NULL)
    else:
        sum_statistics(job, start, rows, statistics, <float*>NULL)
    for i in range(rows.n):
        rows.loss[i] = 0.0
        if rows.valid[i]:
            if not (statistics[i].rest < INFINITY and -INFINITY < statistics[i].maximum < INFINITY):
                if not limits_of_row(job, start + i, &statistics[i], partial):
                    return False
            rows.loss[i] = statistics[i].rest
    log1p_all(rows.loss, rows.n)
    for i in range(rows.n):
        write_statistics(job, start + i, rows.valid[i], &statistics[i], rows.loss[i])
    return True

# The cross entropy of rows of logits times a factor beta, and its first two derivatives by beta, summed:
# all that a step of Newton's method needs. Everything is computed in float64.
#
# With p = softmax(beta x) and d = x - x_target, the derivatives of a row's loss are the mean of d under
# p and its variance. The rows whose first derivative is positive ask for a smaller beta, the others for
# a larger one; they are summed apart.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport uint8_t

from fastxent._kernels.arrays.prefetch cimport prefetch_lanes
from fastxent._kernels.categorical.rows cimport apply_nan_policy, load_rows, Rows
from fastxent._kernels.categorical.soft_labels cimport (
    distribution_error, limit_of_row, load_classes, row_maximum, soft_row, SoftRow, target_row,
)
from fastxent._kernels.categorical.softmax cimport load_tile
from fastxent._kernels.job cimport (
    BLOCK, ErrorCode, Job, LANES, NO_ERROR, Partial, ROWS, TILE_CLASSES, UNDEFINED_ROW,
)
from fastxent._kernels.numeric.elementary cimport exp_nonpos_f64, exp_scaled_f64, log1p_f64
from fastxent._kernels.numeric.generic cimport exp_scale_inverse, log1p_all
from fastxent._kernels.numeric.sums cimport (
    add_lanes, add_losses, apply_weights, lane_sum, mul_zero_inf,
)

cdef struct RowMoments:     # of up to ROWS rows
    double slope[ROWS]          # the first derivative of the loss by beta
    double curvature[ROWS]      # the second one
    uint8_t done[ROWS]


cdef inline void exp_differences(
    double beta, const double* target, Py_ssize_t classes, const char* next_rows, int itemsize,
    double* tile, double* exps
) noexcept nogil:
    """d and e^(beta d) of a tile; d is 0 where the exponential is. The next rows are prefetched."""
    cdef double d
    cdef Py_ssize_t i, k
    for k in range(classes):
        prefetch_lanes(next_rows + k * ROWS * itemsize, ROWS // LANES * itemsize)
        for i in range(k * ROWS, (k + 1) * ROWS):
            d = tile[i] - target[i - k * ROWS]
            exps[i] = exp_scaled_f64(beta * d, -0.0)
            tile[i] = 0.0 if exps[i] == 0.0 else d


cdef inline void sum_moments(
    const double* d, const double* exps, Py_ssize_t classes, double* sums, double* first, double* second
) noexcept nogil:
    """The sums over the classes of e, e d and e d^2 of LANES rows."""
    cdef double total[LANES]
    cdef double mean[LANES]
    cdef double square[LANES]
    cdef double ed
    cdef Py_ssize_t i, j, k
    for j in range(LANES):
        total[j] = 0.0
        mean[j] = 0.0
        square[j] = 0.0
    for k in range(classes):
        for j in range(LANES):
            i = k * ROWS + j
            ed = exps[i] * d[i]
            total[j] += exps[i]
            mean[j] += ed
            square[j] += ed * d[i]
    for j in range(LANES):
        sums[j] = total[j]
        first[j] = mean[j]
        second[j] = square[j]


cdef inline void moments_of_tile(
    const Job* job, Py_ssize_t start, Rows* rows, RowMoments* moments
) noexcept nogil:
    """Losses and derivatives against class indices, few classes; marks the rows that are finite."""
    cdef double tile[TILE_CLASSES * ROWS]
    cdef double exps[TILE_CLASSES * ROWS]
    cdef double target[ROWS]
    cdef double mean, total, scale = exp_scale_inverse(tile)
    cdef const char* next_rows = job.scores.data + (start + 2 * ROWS) * job.scores.stride[0]
    cdef Py_ssize_t i
    tile[0] = 0.0       # gcc cannot know that there is at least one class
    load_tile(job, &job.scores, start, rows.n, 0, job.classes, tile)
    for i in range(ROWS):
        target[i] = 0.0
    for i in range(rows.n):
        target[i] = tile[rows.target[i] * ROWS + i]
        tile[rows.target[i] * ROWS + i] = -INFINITY     # its exponential is the 1 of log1p
    exp_differences(
        job.beta, target, job.classes, next_rows, job.scores.itemsize, tile, exps
    )
    for i from 0 <= i < ROWS by LANES:
        sum_moments(
            tile + i, exps + i, job.classes, rows.loss + i, moments.slope + i, moments.curvature + i
        )
    for i in range(ROWS):
        total = rows.loss[i] + moments.slope[i] + moments.curvature[i] + target[i]
        moments.done[i] = total - total == 0.0
        rows.loss[i] *= scale
        total = 1.0 + rows.loss[i]
        mean = moments.slope[i] * scale / total
        moments.curvature[i] = moments.curvature[i] * scale / total - mean * mean
        moments.slope[i] = mean
    log1p_all(rows.loss, rows.n)


cdef inline void moments_of_row(
    const Job* job, SoftRow* row, double* loss, double* slope, double* curvature
) noexcept nogil:
    """The loss of any row against any label, relative to its maximum, with its derivatives.

    An infinite beta gives the limit of the first derivative, and beta = 0 that of all three.
    """
    cdef double exps[BLOCK]
    cdef double q[BLOCK]
    cdef double first[BLOCK]
    cdef double second[BLOCK]
    cdef double d, e, mean, rest = 0.0, sum_first = 0.0, sum_second = 0.0, weight = 0.0, linear = 0.0
    cdef Py_ssize_t start, i, m, n_max = 0
    row.maximum = row_maximum(job, row, <double*>NULL)
    slope[0] = 0.0
    curvature[0] = 0.0
    if not -INFINITY < row.maximum < INFINITY:
        loss[0] = limit_of_row(job, row, NAN)
        return
    for start from 0 <= start < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - start)
        target_row(job, row, start, <int>m, q)
        load_classes(job, row, start, <int>m, exps)
        for i in range(m):
            d = exps[i] - row.maximum
            n_max += d == 0.0
            e = exp_nonpos_f64(0.0 if d == 0.0 else job.beta * d)
            e = 0.0 if d == 0.0 or d == -INFINITY else e
            exps[i] = e
            first[i] = 0.0 if e == 0.0 else e * d
            second[i] = first[i] * (0.0 if e == 0.0 else d)
        weight += lane_sum(q, m)
        rest += lane_sum(exps, m)
        sum_first += lane_sum(first, m)
        sum_second += lane_sum(second, m)
        load_classes(job, row, start, <int>m, exps)
        for i in range(m):
            q[i] = mul_zero_inf(q[i], row.maximum - exps[i])
        linear += lane_sum(q, m)
    mean = sum_first / (<double>n_max + rest)
    loss[0] = mul_zero_inf(weight, log1p_f64(rest + <double>(n_max - 1)))
    loss[0] += mul_zero_inf(linear, job.beta)
    if linear < INFINITY:
        slope[0] = weight * mean + linear
        curvature[0] = weight * (sum_second / (<double>n_max + rest) - mean * mean)


cdef inline bint row_moments(
    const Job* job, Py_ssize_t start, Rows* rows, RowMoments* moments, Partial* partial
) noexcept nogil:
    """Losses and derivatives of up to ROWS rows; False if one holds an error."""
    cdef SoftRow row
    cdef ErrorCode error
    cdef Py_ssize_t i, index
    for i in range(rows.n):
        moments.done[i] = 0
    if job.index_labels and job.classes <= TILE_CLASSES and 0.0 < job.beta < INFINITY:
        moments_of_tile(job, start, rows, moments)
    for i in range(rows.n):
        if moments.done[i] or not rows.valid[i]:
            continue
        row = soft_row(job, start + i, rows.target[i], rows.scratch)
        moments_of_row(job, &row, &rows.loss[i], &moments.slope[i], &moments.curvature[i])
        if row.bad_labels or rows.loss[i] != rows.loss[i]:
            if not distribution_error(job, &row, &error, &index):
                error = UNDEFINED_ROW if rows.loss[i] != rows.loss[i] else NO_ERROR
            if not apply_nan_policy(job, rows, <int>i, error, start + i, index, partial):
                return False
    return True


cdef inline void add_moments(Rows* rows, RowMoments* moments, Partial* partial) noexcept nogil:
    """Add the weighted losses and derivatives of a block, the rows of either sign apart."""
    cdef double split[4][ROWS]
    cdef double slope, curvature
    cdef bint rises
    cdef Py_ssize_t i, k
    for i in range(rows.n):
        partial.count += rows.valid[i]
        if not rows.valid[i]:
            rows.loss[i] = 0.0
            rows.weight[i] = 0.0
        slope = 0.0 if rows.weight[i] == 0.0 else rows.weight[i] * moments.slope[i]
        curvature = 0.0 if rows.weight[i] == 0.0 else rows.weight[i] * moments.curvature[i]
        rises = slope > 0.0
        split[0][i] = slope if rises else 0.0
        split[1][i] = 0.0 if rises else -slope
        split[2][i] = curvature if rises else 0.0
        split[3][i] = 0.0 if rises else curvature
    apply_weights(rows.loss, rows.weight, rows.n)
    add_losses(rows.loss, rows.weight, rows.n, partial)
    for k in range(4):
        add_lanes(split[k], rows.n, &partial.moments[k], &partial.moments_lo[k])


cdef inline void run_temperature(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial
) noexcept nogil:
    """One chunk of rows."""
    cdef Rows rows
    cdef RowMoments moments
    while start < stop:
        rows.n = <int>min(<Py_ssize_t>ROWS, stop - start)
        if not load_rows(job, start, &rows, partial):
            return
        if not row_moments(job, start, &rows, &moments, partial):
            return
        add_moments(&rows, &moments, partial)
        start += rows.n

# The Kullback-Leibler divergence of softmax(p) from softmax(q), two rows of logits.
#
# Rows of few classes are computed in tiles (kl_tile.pxd). Of many classes, float32 and half precision
# take one pass. With weights w_c = e^(q_c - maximum), E the mean under them, and
# D_c = p_c - q_c - shift, the divergence is
#
#     log E[e^D] - E[D] = g + (log1p(s) - s),  where g = E[e^D - 1 - D] and s = E[D] + g
#
# whatever the shift is. With a shift near E[p - q], for which the difference at the largest q serves,
# all terms are of second order in D: equal rows give 0, and nearly equal ones lose no digit. Where it
# was not near, the row is computed again with a better one.
#
# Float64, a row with |D| > FAR, an infinity or a NaN, and all gradients take the several passes of
# kl_general.pxd.

cimport cython
from libc.math cimport INFINITY, NAN
from libc.stdint cimport uint8_t

from fastxent._kernels.arrays.load cimport element_ptr, view_classes
from fastxent._kernels.categorical.chunk cimport add_rows
from fastxent._kernels.categorical.kl_general cimport general_kl
from fastxent._kernels.categorical.kl_tile cimport FAR, kl_of_tile
from fastxent._kernels.categorical.largest cimport (
    fill_tail, first_equal, group, Lanes, largest_class,
)
from fastxent._kernels.categorical.rows cimport apply_nan_policy, Rows
from fastxent._kernels.categorical.softmax cimport exp_shifted, prefetch_classes
from fastxent._kernels.job cimport (
    ABSENT, BLOCK, ErrorCode, FLOAT64, Job, LANES, Partial, ROWS, TILE_CLASSES,
)
from fastxent._kernels.numeric.elementary cimport exp_nonpos_f64
from fastxent._kernels.numeric.expm1 cimport expm1_less, log1p_less
from fastxent._kernels.numeric.generic cimport difference
from fastxent._kernels.numeric.sums cimport sum_lanes

cdef struct KlRow:
    const char* p
    const char* q
    double maximum      # of q, over the classes seen so far
    double shift
    bint has_shift
    double weight       # sum of w, times a power of two
    double linear       # sum of w D, times the same
    double convex       # sum of w (e^D - 1 - D), times the same

cdef struct KlLanes:    # the sums of a block
    double weight[LANES]
    double linear[LANES]
    double convex[LANES]


# ---- in float32, in one pass -------------------------------------------------------------------


cdef inline void set_maximum(KlRow* row, double maximum) noexcept nogil:
    """Make the sums relative to a higher maximum of q."""
    cdef double factor = exp_nonpos_f64(row.maximum - maximum)
    row.weight *= factor
    row.linear *= factor
    row.convex *= factor
    row.maximum = maximum


cdef inline void add_kl_block(
    const Job* job, Py_ssize_t first_class, const Lanes* lanes, const float* tails, const float* exps,
    KlRow* row
) noexcept nogil:
    """Add up to BLOCK classes. A class that is -inf in both rows has no share in either.

    Four groups are added in float32 before they are added in float64: a sixth faster.
    """
    cdef KlLanes sums
    cdef float weight[LANES]
    cdef float linear[LANES]
    cdef float convex[LANES]
    cdef float distance[LANES]
    cdef float d, err, far = FAR, nan = NAN, zero = 0, none = -INFINITY, shift = <float>row.shift
    cdef const float* q
    cdef const float* p
    cdef Py_ssize_t first, i, j
    for j in range(LANES):
        sums.weight[j] = 0.0
        sums.linear[j] = 0.0
        sums.convex[j] = 0.0
    for first from 0 <= first < lanes.padded by 4 * LANES:
        for j in range(LANES):
            weight[j] = 0
            linear[j] = 0
            convex[j] = 0
        for i from first <= i < min(first + 4 * LANES, lanes.padded) by LANES:
            p = group(&lanes[0], tails, i)
            q = group(&lanes[1], tails + LANES, i)
            prefetch_classes(job, row.p, first_class + i)
            for j in range(LANES):
                d = difference(p[j], q[j], &err)
                d = (d - shift) + err
                d = d if d >= -far and d <= far else nan
                distance[j] = zero if p[j] == none and q[j] == none else d
            for j in range(LANES):
                weight[j] += exps[i + j]
                linear[j] += exps[i + j] * distance[j]
                convex[j] += exps[i + j] * expm1_less(distance[j])
        for j in range(LANES):
            sums.weight[j] += <double>weight[j]
            sums.linear[j] += <double>linear[j]
            sums.convex[j] += <double>convex[j]
    row.weight += sum_lanes(sums.weight)
    row.linear += sum_lanes(sums.linear)
    row.convex += sum_lanes(sums.convex)


cdef inline void add_kl_classes(
    const Job* job, Py_ssize_t first, int m, void* scratch, KlRow* row
) noexcept nogil:
    """Load and add m classes of both rows."""
    cdef float staged[2][BLOCK]
    cdef float exps[BLOCK]
    cdef float tails[2 * LANES]
    cdef const float* x[2]       # p and q
    cdef Lanes lanes[2]
    cdef float maximum
    cdef Py_ssize_t i, k
    for k in range(2):
        x[k] = view_classes(
            &job.labels if k else &job.scores, row.q if k else row.p, first, m, scratch, staged[k]
        )
        lanes[k] = fill_tail(x[k], m, <float>(-INFINITY), tails + k * LANES)
    maximum = largest_class(&lanes[1], tails + LANES)
    if maximum > row.maximum:
        if not row.has_shift:
            i = first_equal(&lanes[1], tails + LANES, maximum)
            row.shift = <double>(x[0][i] - x[1][i])
            row.has_shift = True
        set_maximum(row, <double>maximum)
    exp_shifted(
        &job.labels, row.q + first * job.labels.class_stride, x[1], m, <float>row.maximum, exps
    )
    for i in range(m, lanes[1].padded):
        exps[i] = 0
    add_kl_block(job, first, lanes, tails, exps, row)


@cython.cdivision(True)
cdef inline double kl_of_row(
    const Job* job, Py_ssize_t position, void* scratch
) noexcept nogil:
    """The divergence of one row; not finite where the general path is needed."""
    cdef KlRow row
    cdef double g, s, divergence
    cdef Py_ssize_t first
    cdef int _attempt
    row.p = element_ptr(job, &job.scores, position)
    row.q = element_ptr(job, &job.labels, position)
    row.has_shift = False
    row.shift = 0.0
    for _attempt in range(2):
        row.maximum = -INFINITY
        row.weight = 0.0
        row.linear = 0.0
        row.convex = 0.0
        for first from 0 <= first < job.classes by BLOCK:
            add_kl_classes(
                job, first, <int>min(<Py_ssize_t>BLOCK, job.classes - first), scratch, &row
            )
        g = row.convex / row.weight
        s = row.linear / row.weight + g
        divergence = g + log1p_less(s)
        if not divergence < 0.1 * g:
            return divergence
        row.shift += row.linear / row.weight
    return 0.0 if divergence < 0.0 else divergence


# ---- a block of rows ---------------------------------------------------------------------------


cdef inline bint kl_of_rows(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Divergences of up to ROWS rows, and gradients where wanted; False if one holds an error."""
    cdef uint8_t done[ROWS]
    cdef ErrorCode error
    cdef Py_ssize_t i, index = -1
    cdef int derivative
    cdef bint tiled = job.classes <= TILE_CLASSES
    cdef bint in_float64 = job.scores.dtype == FLOAT64 or job.labels.dtype == FLOAT64
    if tiled:
        kl_of_tile(job, start, rows, done)
    for i in range(rows.n):
        if tiled and done[i]:
            continue
        rows.loss[i] = 0.0
        if rows.valid[i]:
            rows.loss[i] = NAN if in_float64 else kl_of_row(job, start + i, rows.scratch)
        # One call for both: the compiler copies the function to each.
        for derivative in range(2):
            if (job.grad.dtype == ABSENT) if derivative else (rows.loss[i] < INFINITY):
                continue
            error = general_kl(job, start + i, derivative, rows, i, &index)
            if not derivative and not apply_nan_policy(
                job, rows, <int>i, error, start + i, index, partial
            ):
                return False
    add_rows(job, start, rows, partial)
    return True

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
# Float64, and a row with |D| > FAR, an infinity or a NaN, take three passes: the maxima, the sums of
# exponentials, and the sum of q log(q/p) - q + p over the classes, of which no term is negative. So do
# all gradients, p - q.

cimport cython
from libc.math cimport INFINITY, NAN
from libc.stdint cimport uint8_t

from fastxent._kernels.arrays.bounds cimport largest
from fastxent._kernels.arrays.load cimport convert_floats, element_ptr, gather_classes, view_classes
from fastxent._kernels.arrays.prefetch cimport AHEAD, prefetch_lanes
from fastxent._kernels.arrays.store cimport store_grad_classes
from fastxent._kernels.categorical.chunk cimport add_rows
from fastxent._kernels.categorical.kl_tile cimport FAR, kl_of_tile
from fastxent._kernels.categorical.largest cimport (
    count_greater, fill_tail, first_equal, group, Lanes, largest_class,
)
from fastxent._kernels.categorical.rows cimport apply_nan_policy, Rows
from fastxent._kernels.categorical.softmax cimport exp_shifted, prefetch_classes
from fastxent._kernels.job cimport (
    ABSENT, BLOCK, ErrorCode, FLOAT64, Job, LANES, NAN_LABEL, NAN_OMIT, NAN_SCORE, NO_ERROR, Operand,
    Partial, ROWS, TILE_CLASSES, UNDEFINED_ROW,
)
from fastxent._kernels.numeric.elementary cimport exp_nonpos_f64, log_f64
from fastxent._kernels.numeric.expm1 cimport expm1_less, expm1_moderate, log1p_less
from fastxent._kernels.numeric.generic cimport difference
from fastxent._kernels.numeric.sums cimport add, lane_sum, sum_lanes

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
            prefetch_lanes(
                row.q + (first_class + i + AHEAD) * job.labels.class_stride, job.labels.itemsize
            )
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
    exp_shifted(job, row.q + first * job.labels.class_stride, x[1], m, <float>row.maximum, exps)
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


# ---- in float64, of any row, in several passes -------------------------------------------------

cdef enum:
    LIMITS, EXPONENTIALS, TERMS     # the passes
    FILL                            # the only pass of a row without a gradient

cdef struct LogitPair:      # the rows of p and q
    const Operand* op[2]
    const char* row[2]
    double maximum[2]
    Py_ssize_t infinite[2]      # how many logits are +inf
    Py_ssize_t nan[2]           # the first NaN, or -1
    double sum_exp[2]           # of e^(x - maximum)
    double sum_exp_lo[2]
    double log_ratio            # log of the ratio of the sums
    double total
    double total_lo
    double factor               # of the gradient, or what the row is filled with

cdef struct PairBlock:      # BLOCK classes
    double x[2][BLOCK]      # logits of p and q, as they are or less their maxima; then what is stored
    double log_ratio[BLOCK]     # log(p/q)


cdef inline LogitPair logit_pair(const Job* job, Py_ssize_t position) noexcept nogil:
    """The rows of a position, nothing of them read yet."""
    cdef LogitPair pair
    cdef Py_ssize_t k
    for k in range(2):
        pair.op[k] = &job.labels if k else &job.scores
        pair.row[k] = element_ptr(job, pair.op[k], position)
        pair.maximum[k] = -INFINITY
        pair.infinite[k] = 0
        pair.nan[k] = -1
        pair.sum_exp[k] = 0.0
        pair.sum_exp_lo[k] = 0.0
    pair.log_ratio = 0.0
    pair.total = 0.0
    pair.total_lo = 0.0
    pair.factor = 1.0
    return pair


cdef inline Py_ssize_t first_nan(const double* x, Py_ssize_t m) noexcept nogil:
    """The number of the first NaN; -1 where there is none."""
    cdef int found = 0
    cdef Py_ssize_t i
    for i in range(m):
        found |= x[i] != x[i]
    if found:
        for i in range(m):
            if x[i] != x[i]:
                return i
    return -1


cdef inline void find_limits(
    LogitPair* pair, const double* x, Py_ssize_t k, Py_ssize_t first, int m
) noexcept nogil:
    """The maximum of m logits, and what is not finite among them."""
    cdef double tail[LANES]
    cdef Lanes lanes = fill_tail(x, m, <double>(-INFINITY), tail)
    cdef double maximum = largest_class(&lanes, tail)
    cdef Py_ssize_t nan
    pair.maximum[k] = maximum if maximum > pair.maximum[k] else pair.maximum[k]
    pair.infinite[k] += <Py_ssize_t>count_greater(&lanes, tail, largest(x))
    if pair.nan[k] < 0:
        nan = first_nan(x, m)
        pair.nan[k] = nan if nan < 0 else first + nan


cdef inline ErrorCode pair_error(const LogitPair* pair, Py_ssize_t* index) noexcept nogil:
    """What keeps two rows from having a divergence."""
    cdef Py_ssize_t k
    for k in range(2):
        if pair.nan[k] >= 0:
            index[0] = pair.nan[k]
            return NAN_LABEL if k else NAN_SCORE
    index[0] = -1
    for k in range(2):
        if pair.infinite[k] > 1 or pair.maximum[k] == -INFINITY:
            return UNDEFINED_ROW
    return NO_ERROR


cdef inline void make_relative(double* x, int m, double maximum) noexcept nogil:
    """Subtract the maximum; where that is +inf, all else becomes -inf."""
    cdef Py_ssize_t i
    for i in range(m):
        x[i] = 0.0 if x[i] == maximum else x[i] - maximum


cdef inline void load_log_ratios(const LogitPair* pair, int m, PairBlock* block) noexcept nogil:
    """log(p/q) of m classes, from their logits: exact differences where these are nearly equal."""
    cdef double d, err, shift_err
    cdef double shift = difference(pair.maximum[0], pair.maximum[1], &shift_err)
    cdef Py_ssize_t i
    for i in range(m):
        d = difference(block.x[0][i], block.x[1][i], &err)
        d = (d - shift) + (err - shift_err)
        block.log_ratio[i] = d - pair.log_ratio


@cython.cdivision(True)
cdef inline void probabilities(const double* x, int m, double sum_exp, double* p) noexcept nogil:
    """The probabilities of m classes, of their logits less the maximum."""
    cdef Py_ssize_t i
    for i in range(m):
        p[i] = exp_nonpos_f64(x[i]) / sum_exp


cdef inline void kl_terms(
    const LogitPair* pair, int m, bint derivative, PairBlock* block
) noexcept nogil:
    """q log(q/p) - q + p of m classes, or factor (p - q), to x[0]; q log(q/p) is 0 where q is 0."""
    # Each choice has a loop of its own: of two in one loop gcc makes branches.
    cdef double p[BLOCK]
    cdef double q[BLOCK]
    cdef double* near = block.log_ratio
    cdef double* far = block.x[0]
    cdef double e
    cdef Py_ssize_t i
    probabilities(block.x[0], m, pair.sum_exp[0], p)
    probabilities(block.x[1], m, pair.sum_exp[1], q)
    # NaN makes the other formula count
    for i in range(m):
        near[i] = near[i] if near[i] >= -FAR and near[i] <= FAR else NAN
    if derivative:
        for i in range(m):
            e = q[i] * expm1_moderate(near[i])
            far[i] = (e if e == e else p[i] - q[i]) * pair.factor
        return
    for i in range(m):
        # From logits less their maxima, where a logit or a maximum is infinite
        e = (block.x[0][i] - block.x[1][i]) - pair.log_ratio
        far[i] = (p[i] - q[i]) - q[i] * e
    for i in range(m):
        e = q[i] * expm1_less(near[i])
        far[i] = e if e == e else far[i]
    for i in range(m):
        far[i] = p[i] if q[i] == 0.0 else far[i]


cdef inline void run_pass(
    const Job* job, int stage, bint derivative, Py_ssize_t position, void* scratch, LogitPair* pair
) noexcept nogil:
    """One pass over both rows."""
    cdef PairBlock block
    cdef Py_ssize_t first, i, k
    cdef int m
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        for k in range(2):
            if stage == FILL:
                for i in range(m):
                    block.x[k][i] = pair.factor
                continue
            convert_floats(
                pair.op[k].dtype, gather_classes(pair.op[k], pair.row[k], first, m, scratch), m,
                block.x[k],
            )
            if stage == LIMITS:
                find_limits(pair, block.x[k], k, first, m)
            elif stage == EXPONENTIALS:
                make_relative(block.x[k], m, pair.maximum[k])
                for i in range(m):
                    block.x[k][i] = exp_nonpos_f64(block.x[k][i])
                add(lane_sum(block.x[k], m), &pair.sum_exp[k], &pair.sum_exp_lo[k])
        if stage == TERMS:
            load_log_ratios(pair, m, &block)
            for k in range(2):
                make_relative(block.x[k], m, pair.maximum[k])
            kl_terms(pair, m, derivative, &block)
            if not derivative:
                add(lane_sum(block.x[0], m), &pair.total, &pair.total_lo)
        if stage == FILL or (stage == TERMS and derivative):
            store_grad_classes(
                job, &job.grad, element_ptr(job, &job.grad, position), first, m, block.x[0]
            )


cdef inline ErrorCode general_kl(
    const Job* job, Py_ssize_t position, bint derivative, Rows* rows, Py_ssize_t i, Py_ssize_t* index
) noexcept nogil:
    """The divergence of a row, or its gradient; what keeps it from having one."""
    cdef LogitPair pair = logit_pair(job, position)
    cdef ErrorCode error = NO_ERROR
    cdef int stage = LIMITS if rows.valid[i] else FILL
    cdef Py_ssize_t k
    pair.factor = rows.factor[i] * job.grad_scale if rows.valid[i] else 0.0
    while stage <= FILL:
        run_pass(job, stage, derivative, position, rows.scratch, &pair)
        if stage == LIMITS:
            error = pair_error(&pair, index)
            if error != NO_ERROR:
                if not derivative:
                    break
                pair.factor = NAN
                stage = TERMS
        elif stage == EXPONENTIALS:
            for k in range(2):
                pair.sum_exp[k] += pair.sum_exp_lo[k]
            pair.log_ratio = log_f64(pair.sum_exp[0]) - log_f64(pair.sum_exp[1])
        elif stage == TERMS:
            break
        stage += 1
    if not derivative:
        rows.loss[i] = pair.total + pair.total_lo
    return error


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

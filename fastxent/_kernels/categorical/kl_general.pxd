# The Kullback-Leibler divergence of any two rows of logits, and its gradient, in float64.
#
# Three passes: the maxima, the sums of exponentials, and the sum of q log(q/p) - q + p over the classes,
# of which no term is negative.

cimport cython
from libc.math cimport INFINITY, NAN

from fastxent._kernels.arrays.bounds cimport largest
from fastxent._kernels.arrays.load cimport convert_floats, element_ptr, gather_classes
from fastxent._kernels.arrays.store cimport store_grad_classes
from fastxent._kernels.categorical.kl_tile cimport FAR
from fastxent._kernels.categorical.largest cimport count_greater, fill_tail, Lanes, largest_class
from fastxent._kernels.categorical.rows cimport Rows
from fastxent._kernels.job cimport (
    BLOCK, ErrorCode, Job, LANES, NAN_LABEL, NAN_SCORE, NO_ERROR, Operand, UNDEFINED_ROW,
)
from fastxent._kernels.numeric.elementary cimport exp_nonpos_f64, log_f64
from fastxent._kernels.numeric.expm1 cimport expm1_less, expm1_moderate
from fastxent._kernels.numeric.generic cimport difference
from fastxent._kernels.numeric.sums cimport add_lanes

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
                add_lanes(block.x[k], m, &pair.sum_exp[k], &pair.sum_exp_lo[k])
        if stage == TERMS:
            load_log_ratios(pair, m, &block)
            for k in range(2):
                make_relative(block.x[k], m, pair.maximum[k])
            kl_terms(pair, m, derivative, &block)
            if not derivative:
                add_lanes(block.x[0], m, &pair.total, &pair.total_lo)
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

# Losses of one row of classes per position: categorical cross entropy, from probabilities and from
# logits, its focal variant, and the Kullback-Leibler divergence.
#
# A row of logits whose odds (odds.pxd) overflow is done again in float64, and then class by class, by
# `careful_row`: a target hundreds of nats behind, an infinity, a NaN.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t, uint8_t

from fastxent._kernels.binary cimport minus_log, outside
from fastxent._kernels.focal cimport chances, focal_of_odds, powers
from fastxent._kernels.job cimport (
    ABSENT, BAD_LABEL, BAD_SCORE, BAD_WEIGHT, BLOCK, CATEGORICAL, CATEGORICAL_FOCAL,
    CATEGORICAL_LOGITS, Fault, Job, KL, LANES, NAN_LABEL, NAN_OMIT, NAN_PROPAGATE, NAN_SCORE,
    NO_FAULT, Operand, Partial, ROWS, TILE_CLASSES, UNDEFINED_ROW, has_row_logits, is_index,
)
from fastxent._kernels.load cimport (
    Ahead, ahead, at, convert_kind, gather, gather_classes, load, load_indices, load_one, look_ahead,
    prefetch_lanes, real, view_classes,
)
from fastxent._kernels.math cimport decay_wide, decay_wide2, log1p_wide, log_wide
from fastxent._kernels.odds cimport row_odds, target_scores, tile_odds
from fastxent._kernels.product cimport (
    Clipped, Product, Unlabelled, add_product, clip_block, log_one_plus, multiply_likelihoods,
    pool_odds, start_product,
)
from fastxent._kernels.real cimport difference, log1p_all
from fastxent._kernels.reduce cimport add, add_losses, apply_weights, fold, lane_sum, term
from fastxent._kernels.store cimport store
from fastxent._kernels.tile cimport soft_tile_losses

cdef struct Rows:       # one block of rows on its way
    int64_t target[ROWS]
    double factor[ROWS]     # of the loss
    double weight[ROWS]     # in the denominator of the mean
    double loss[ROWS]
    uint8_t kept[ROWS]
    double scratch[BLOCK]
    int n
    bint weighted


# ---- the fast road: probabilities of known classes -------------------------------------------


cdef inline bint in_range(const int64_t* target, int n, Py_ssize_t classes) noexcept nogil:
    cdef Py_ssize_t i
    cdef int64_t low = 0, high = 0
    for i in range(n):
        low = target[i] if target[i] < low else low
        high = target[i] if target[i] > high else high
    return low >= 0 and high < classes


cdef inline bint add_target_likelihoods(
    const Job* job, Py_ssize_t start, Product* product, real* tag
) noexcept nogil:
    """Multiply in the targets' probabilities of BLOCK rows."""
    cdef int64_t target[BLOCK]
    cdef real p[BLOCK]
    cdef double scratch[BLOCK]
    cdef Ahead next = look_ahead(job, start)
    load_indices(job, &job.labels, start, BLOCK, scratch, target)
    if not in_range(target, BLOCK, job.classes):
        return False
    target_scores(job, start, BLOCK, target, p)
    return multiply_likelihoods(p, <const Unlabelled*>NULL, job.eps, &next, product) or (
        clip_block(p, job.eps, p)
        and multiply_likelihoods(p, <const Clipped*>NULL, job.eps, &next, product)
    )


# ---- staging and checking a block of rows ----------------------------------------------------


cdef inline bint row_fault(
    Partial* partial, Fault fault, Py_ssize_t position, Py_ssize_t index
) noexcept nogil:
    """Note the fault; always False, for the caller to hand on."""
    partial.fault = fault
    partial.position = position
    partial.index = index
    return False


cdef inline bint stage_rows(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Labels, weights and masks of a block; False, with the fault noted, where one is bad."""
    cdef Py_ssize_t i
    cdef int n = rows.n
    cdef const uint8_t* mask = NULL
    rows.weighted = (
        job.weight.kind != ABSENT or job.class_weight != NULL or job.mask.kind != ABSENT
        or job.has_ignore or job.nan_policy == NAN_OMIT or job.class_alpha != NULL
    )
    for i in range(n):
        rows.weight[i] = 1.0
        rows.kept[i] = 1
        rows.target[i] = 0
    if job.index_labels:
        load_indices(job, &job.labels, start, n, rows.scratch, rows.target)
    if not rows.weighted and in_range(rows.target, n, job.classes):
        for i in range(n):
            rows.factor[i] = 1.0
        return True
    if job.weight.kind != ABSENT:
        load(job, &job.weight, start, n, rows.scratch, rows.weight)
    if job.mask.kind != ABSENT:
        mask = <const uint8_t*>gather(job, &job.mask, start, n, rows.scratch)
        for i in range(n):
            rows.kept[i] = mask[i] != 0
    for i in range(n):
        if job.has_ignore and rows.target[i] == job.ignore_index:
            rows.kept[i] = 0
        if not rows.kept[i]:
            rows.target[i] = 0
            continue
        if job.index_labels and not 0 <= rows.target[i] < job.classes:
            return row_fault(partial, BAD_LABEL, start + i, -1)
        if not 0.0 <= rows.weight[i] < INFINITY:
            return row_fault(partial, BAD_WEIGHT, start + i, -1)
        rows.factor[i] = rows.weight[i]
        if job.class_weight != NULL and job.index_labels:
            rows.weight[i] *= job.class_weight[rows.target[i]]
            # Smoothed, the loss holds the weight of every class already.
            if job.label_smoothing == 0.0:
                rows.factor[i] = rows.weight[i]
        if job.class_alpha != NULL and is_index(job):
            rows.factor[i] *= job.class_alpha[rows.target[i]]
    return True


# ---- class indices against logits ------------------------------------------------------------


cdef inline void odds_of_rows(
    const Job* job, Py_ssize_t start, Rows* rows, double* rest, real* tag
) noexcept nogil:
    """The odds against the target of each row."""
    cdef real tile[TILE_CLASSES * ROWS]
    cdef real target[ROWS]
    cdef Py_ssize_t i
    if job.classes <= TILE_CLASSES:
        prefetch_lanes(ahead(&job.labels, start), 2 * job.labels.itemsize)
        tile_odds(job, start, rows.n, rows.target, tile, rest)
        return
    target_scores(job, start, rows.n, rows.target, target)
    for i in range(rows.n):
        rest[i] = row_odds(
            job, at(job, &job.scores, start + i), rows.target[i], target[i], rows.scratch
        )


cdef inline double careful_row(
    const Job* job, const char* row, Py_ssize_t target, Fault* fault, Py_ssize_t* index
) noexcept nogil:
    """One row of logits against a class index, one class after the other, in float64.

    A target at +inf costs 0 and one at -inf costs inf. A row of -inf only, or whose target is one
    of several +inf, is no distribution: its loss is NaN, which `nan_policy` treats like a NaN.
    """
    cdef const Operand* op = &job.scores
    cdef double x, most = -INFINITY, rest = 0.0
    cdef double own = load_one(op, row + target * op.class_stride)
    cdef Py_ssize_t j, infinite = 0
    fault[0] = NO_FAULT
    for j in range(job.classes):
        x = load_one(op, row + j * op.class_stride)
        if x != x:
            fault[0] = NAN_SCORE
            index[0] = j
            return NAN
        most = x if x > most else most
        infinite += x == INFINITY
    if most == -INFINITY or (own == INFINITY and infinite > 1):
        fault[0] = UNDEFINED_ROW
        index[0] = -1
        return NAN
    if own == INFINITY:
        return 0.0
    if most == INFINITY or own == -INFINITY:
        return INFINITY
    for j in range(job.classes):
        if j != target:
            rest += decay_wide(load_one(op, row + j * op.class_stride) - most)
    return (most - own) + log_wide(rest + decay_wide(own - most))


# ---- a distribution per row ------------------------------------------------------------------


cdef inline void target_row(
    const Job* job, const char* labels, Py_ssize_t target, Py_ssize_t first, int m, void* scratch,
    double* q, double* weight, int* bad
) noexcept nogil:
    """What each class of a row weighs in the loss: label, smoothing and class weight together."""
    cdef double smoothing = job.label_smoothing
    cdef double share = smoothing / <double>job.classes
    cdef double sum_of_weights = 0.0
    cdef Py_ssize_t i
    if job.index_labels:
        for i in range(m):
            q[i] = 0.0
        if first <= target < first + m:
            q[target - first] = 1.0
    else:
        convert_kind(
            job.labels.kind,
            gather_classes(&job.labels, labels, first, m, scratch), m, q,
        )
        bad[0] += outside(q, m, 0.0, 1.0)
        for i in range(m):
            sum_of_weights += q[i] * (1.0 if job.class_weight == NULL else job.class_weight[first + i])
        weight[0] += sum_of_weights
    if smoothing != 0.0:
        for i in range(m):
            q[i] = q[i] * (1.0 - smoothing) + share
    if job.class_weight != NULL:
        for i in range(m):
            q[i] *= job.class_weight[first + i]
    if job.class_alpha != NULL:
        for i in range(m):
            q[i] *= job.class_alpha[first + i]


cdef inline void weigh_classes(
    const Job* job, const char* labels, Py_ssize_t target, Py_ssize_t first, int m, void* scratch,
    double* q, double* weight, int* bad
) noexcept nogil:
    """`target_row`, apart from the weights of the one class that a row may have: its factor has them."""
    cdef Py_ssize_t i
    if is_index(job):
        for i in range(m):
            q[i] = 0.0
        if first <= target < first + m:
            q[target - first] = 1.0
    else:
        target_row(job, labels, target, first, m, scratch, q, weight, bad)


cdef inline void load_classes(
    const Job* job, const char* row, Py_ssize_t first, int m, void* scratch, double* x
) noexcept nogil:
    convert_kind(job.scores.kind, gather_classes(&job.scores, row, first, m, scratch), m, x)


cdef inline double row_maximum(const Job* job, const char* row, void* scratch) noexcept nogil:
    cdef double staged[BLOCK]
    cdef double lanes[LANES]
    cdef double most = -INFINITY
    cdef const double* x
    cdef Py_ssize_t first
    cdef Py_ssize_t i, j, m
    for j in range(LANES):
        lanes[j] = -INFINITY
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        x = view_classes(&job.scores, row, first, m, scratch, staged)
        for i from 0 <= i < m - m % LANES by LANES:
            for j in range(LANES):
                lanes[j] = x[i + j] if x[i + j] > lanes[j] else lanes[j]
        for i in range(m - m % LANES, m):
            most = x[i] if x[i] > most else most
    for j in range(LANES):
        most = lanes[j] if lanes[j] > most else most
    return most


cdef inline double infinite_row(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, void* scratch
) noexcept nogil:
    """The limit for a row with +inf: all probability is there, and how it is shared is not known."""
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef double unused = 0.0, at_top = 0.0, elsewhere = 0.0
    cdef int unread = 0
    cdef Py_ssize_t first, i, m, tops = 0
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        target_row(job, labels, target, first, <int>m, scratch, q, &unused, &unread)
        load_classes(job, row, first, <int>m, scratch, x)
        for i in range(m):
            if x[i] == INFINITY:
                tops += 1
                at_top += q[i]
            else:
                elsewhere += q[i] + (0.0 if x[i] == x[i] else x[i])
    if at_top > 0.0 and tops > 1 or elsewhere != elsewhere:
        return NAN
    return INFINITY if elsewhere > 0.0 else 0.0


cdef inline double distribution_from_logits(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, void* scratch,
    double* weight, int* bad
) noexcept nogil:
    """sum q_j (log sum_k e^x_k - x_j) of one row, by way of its maximum.

    The classes at the maximum are counted, not added: log1p keeps what lies far below them.
    """
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef double rest[LANES]
    cdef double linear[LANES]
    cdef double mass[LANES]
    cdef double tops[LANES]
    cdef double sums[4]
    cdef double most = row_maximum(job, row, scratch)
    cdef double d, lost
    cdef Py_ssize_t first
    cdef Py_ssize_t i, j, m, padded
    for j in range(4):
        sums[j] = 0.0
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        padded = (m + LANES - 1) // LANES * LANES
        target_row(job, labels, target, first, m, scratch, q, weight, bad)
        load_classes(job, row, first, m, scratch, x)
        for i in range(m, padded):
            x[i] = -INFINITY
            q[i] = 0.0
        for j in range(LANES):
            rest[j] = 0.0
            linear[j] = 0.0
            mass[j] = 0.0
            tops[j] = 0.0
        for i from 0 <= i < padded by LANES:
            for j in range(LANES):
                d = difference(x[i + j], most, &lost)
                # What -inf loses is NaN, of which the exponential must not hear.
                lost = 0.0 if d == -INFINITY else lost
                d = 0.0 if x[i + j] == most else d
                rest[j] += 0.0 if d == 0.0 else decay_wide2(d, lost)
                tops[j] += 1.0 if d == 0.0 else 0.0
                mass[j] += q[i + j]
                linear[j] += 0.0 if q[i + j] == 0.0 else -(d * q[i + j] + lost * q[i + j])
        sums[0] += fold(rest)
        sums[1] += fold(tops)
        sums[2] += fold(mass)
        sums[3] += fold(linear)
    if most == -INFINITY:
        return NAN
    if most == INFINITY:
        return infinite_row(job, row, labels, target, scratch)
    return term(sums[2], log1p_wide(sums[0] + (sums[1] - 1.0))) + sums[3]


cdef inline double mass_below(
    const Job* job, const char* row, double most, void* scratch, Py_ssize_t* top
) noexcept nogil:
    """sum e^(x_j - most) of all classes but the first at the maximum, whose number is noted."""
    cdef double x[BLOCK]
    cdef double rest = 0.0, rest_lo = 0.0, d, lost
    cdef Py_ssize_t first, i, m
    top[0] = -1
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        load_classes(job, row, first, <int>m, scratch, x)
        if top[0] < 0:
            for i in range(m):
                if x[i] == most:
                    top[0] = first + i
                    x[i] = -INFINITY
                    break
        for i in range(m):
            d = difference(x[i], most, &lost)
            lost = lost if d > -INFINITY else 0.0
            x[i] = decay_wide2(0.0 if x[i] == most else d, lost)
        add(lane_sum(x, m), &rest, &rest_lo)
    return rest + rest_lo


cdef inline double focal_from_logits(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, void* scratch,
    double* weight, int* bad
) noexcept nogil:
    """-sum q_j (1 - p_j)^gamma log p_j of one row, by way of its maximum."""
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef double p[BLOCK]
    cdef double miss[BLOCK]
    cdef double most = row_maximum(job, row, scratch)
    cdef double rest, total = 0.0
    cdef Py_ssize_t first, i, m, top
    rest = mass_below(job, row, most, scratch, &top)
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        weigh_classes(job, labels, target, first, <int>m, scratch, q, weight, bad)
        load_classes(job, row, first, <int>m, scratch, x)
        chances(x, m, most, rest, top - first, p, miss)
        powers(miss, m, job.gamma)
        for i in range(m):
            x[i] = term(q[i] * miss[i], x[i])
        total += lane_sum(x, m)
    if most == -INFINITY:
        return NAN
    if most == INFINITY:
        return infinite_row(job, row, labels, target, scratch)
    return total


cdef inline double log_ratio(double a, double b) noexcept nogil:
    """log(a / b) of numbers up to 1, where the ratio may be beyond float64."""
    cdef double up = 3.273390607896142e150 if b < 3.054936363499605e-151 else 1.0  # 2^500, 2^-500
    cdef double shift = 346.57359027997264 if b < 3.054936363499605e-151 else 0.0
    return log_wide(a / (b * up)) + shift


cdef inline double distribution_from_probabilities(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, void* scratch,
    double* weight, int* bad
) noexcept nogil:
    """-sum q_j log p_j of one row, or sum q_j log(q_j / p_j)."""
    cdef double p[BLOCK]
    cdef double q[BLOCK]
    cdef double total = 0.0
    cdef double least, most = 1.0 - job.eps
    cdef Py_ssize_t first, i, m
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        target_row(job, labels, target, first, m, scratch, q, weight, bad)
        load_classes(job, row, first, m, scratch, p)
        bad[0] += outside(p, m, 0.0, 1.0)
        if job.loss == KL:
            for i in range(m):
                least = (job.eps if p[i] < job.eps else p[i]) + 0.0  # of -0.0 too, 0.0
                least = most if least > most else least
                p[i] = term(q[i], log_ratio(1.0 if q[i] == 0.0 else q[i], least))
        else:
            for i in range(m):
                p[i] = term(q[i], minus_log(p[i], 1.0 - p[i], 0.0, job.eps))
        total += lane_sum(p, m)
    return total


cdef inline bint distribution_fault(
    const Job* job, const char* row, const char* labels, Fault* fault, Py_ssize_t* index
) noexcept nogil:
    """The first class of a row that is wrong, if one is: scores before labels."""
    cdef double x
    cdef Py_ssize_t j
    cdef bint probabilities = not has_row_logits(job)
    fault[0] = NO_FAULT
    for j in range(job.classes):
        index[0] = j
        x = load_one(&job.scores, row + j * job.scores.class_stride)
        if x != x:
            fault[0] = NAN_SCORE
        elif probabilities and not 0.0 <= x <= 1.0:
            fault[0] = BAD_SCORE
            return True
        if job.index_labels:
            if fault[0] != NO_FAULT:
                return True
            continue
        x = load_one(&job.labels, labels + j * job.labels.class_stride)
        if fault[0] == NO_FAULT and x != x:
            fault[0] = NAN_LABEL
        elif x == x and not 0.0 <= x <= 1.0:
            fault[0] = BAD_LABEL
            return True
        if fault[0] != NO_FAULT:
            return True
    index[0] = -1
    return False


# ---- a block of rows -------------------------------------------------------------------------


cdef inline bint settle(
    const Job* job, Rows* rows, int i, Fault fault, Py_ssize_t position, Py_ssize_t index,
    Partial* partial
) noexcept nogil:
    """Do as nan_policy says with a row that has no number for a loss; False where that is a fault."""
    cdef bint lenient = fault == NAN_SCORE or fault == NAN_LABEL or fault == UNDEFINED_ROW
    if fault == NO_FAULT:
        return True
    if not lenient or job.nan_policy != NAN_PROPAGATE and job.nan_policy != NAN_OMIT:
        return row_fault(partial, fault, position, index)
    if job.nan_policy == NAN_OMIT:
        rows.kept[i] = 0
    rows.loss[i] = NAN
    return True


cdef inline void losses_of_odds(const Job* job, double* odds, int n) noexcept nogil:
    """From the odds against the targets of up to ROWS rows to their losses."""
    if job.loss == CATEGORICAL_FOCAL:
        focal_of_odds(job, odds, n)
    else:
        log1p_all(odds, n)


cdef inline bint mend_rows(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Rows of logits whose loss is no finite number, once more; False where one holds a fault."""
    cdef Fault fault
    cdef Py_ssize_t index, i
    cdef const char* row
    cdef double own, unused = 0.0
    cdef int unread = 0
    if not outside(rows.loss, rows.n, 0.0, 1.7976931348623157e308):
        return True
    for i in range(rows.n):
        if rows.kept[i] and not rows.loss[i] < INFINITY:
            row = at(job, &job.scores, start + i)
            own = load_one(&job.scores, row + rows.target[i] * job.scores.class_stride)
            rows.loss[i] = row_odds(job, row, rows.target[i], own, rows.scratch)
            losses_of_odds(job, &rows.loss[i], 1)
            if rows.loss[i] < INFINITY:
                continue
            rows.loss[i] = careful_row(job, row, rows.target[i], &fault, &index)
            if job.loss == CATEGORICAL_FOCAL and 0.0 < rows.loss[i] < INFINITY:
                rows.loss[i] = focal_from_logits(
                    job, row, NULL, rows.target[i], rows.scratch, &unused, &unread
                )
            if not settle(job, rows, i, fault, start + i, index, partial):
                return False
    return True


cdef inline bint index_losses(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Losses of class indices, from probabilities."""
    cdef double p[ROWS]
    cdef Fault fault
    cdef Py_ssize_t i
    target_scores(job, start, rows.n, rows.target, p)
    for i in range(rows.n):
        if rows.kept[i] and not 0.0 <= p[i] <= 1.0:
            fault = NAN_SCORE if p[i] != p[i] else BAD_SCORE
            if not settle(job, rows, i, fault, start + i, rows.target[i], partial):
                return False
    for i in range(rows.n):
        rows.loss[i] = minus_log(p[i], 1.0 - p[i], 0.0, job.eps)
    return True


cdef inline bint distribution_losses(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Losses of a distribution per row: few logits by tiles, others one row after the other."""
    cdef const char* row
    cdef const char* labels = NULL
    cdef double weight
    cdef Fault fault
    cdef Py_ssize_t index = -1
    cdef Py_ssize_t i
    cdef int bad
    cdef double mass[ROWS]
    cdef uint8_t done[ROWS]
    for i in range(rows.n):
        done[i] = 0
    if has_row_logits(job) and job.classes <= TILE_CLASSES:
        soft_tile_losses(job, start, rows.n, rows.target, rows.loss, mass, done)
    for i in range(rows.n):
        if not rows.kept[i]:
            continue
        if done[i]:
            if not job.index_labels and job.class_weight != NULL:
                rows.weight[i] *= mass[i]
            continue
        row = at(job, &job.scores, start + i)
        if not job.index_labels:
            labels = at(job, &job.labels, start + i)
        weight = 0.0
        bad = 0
        if job.loss == CATEGORICAL_LOGITS:
            rows.loss[i] = distribution_from_logits(
                job, row, labels, rows.target[i], rows.scratch, &weight, &bad
            )
        elif job.loss == CATEGORICAL_FOCAL:
            rows.loss[i] = focal_from_logits(
                job, row, labels, rows.target[i], rows.scratch, &weight, &bad
            )
        else:
            rows.loss[i] = distribution_from_probabilities(
                job, row, labels, rows.target[i], rows.scratch, &weight, &bad
            )
        if not job.index_labels and job.class_weight != NULL:
            rows.weight[i] *= weight
        if bad or rows.loss[i] != rows.loss[i]:
            if not distribution_fault(job, row, labels, &fault, &index):
                fault = UNDEFINED_ROW if rows.loss[i] != rows.loss[i] else NO_FAULT
            if not settle(job, rows, i, fault, start + i, index, partial):
                return False
    return True


cdef inline void add_rows(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Weigh, store and add up the losses of a block."""
    cdef Py_ssize_t i
    if not rows.weighted:
        partial.count += rows.n
    else:
        for i in range(rows.n):
            partial.count += rows.kept[i]
            if not rows.kept[i]:
                rows.loss[i] = 0.0
                rows.factor[i] = 0.0
                rows.weight[i] = 0.0
        apply_weights(rows.loss, rows.factor, rows.n)
    if job.want_losses:
        store(job, &job.out, start, rows.n, rows.loss)
    add_losses(rows.loss, rows.weight if rows.weighted else NULL, rows.n, partial)


cdef inline bint multiply_odds(const double* odds, Partial* partial) noexcept nogil:
    """Add sum log(1 + odds) over ROWS rows, by a product; False where that might overflow."""
    cdef double u[LANES]
    cdef Py_ssize_t j
    if outside(odds, ROWS, 0.0, 140737488355328.0):     # 2^47: two of them are below 2^96
        return False
    for j in range(LANES):
        u[j] = odds[j] + (odds[j + LANES] + odds[j] * odds[j + LANES])
    if outside(u, LANES, 0.0, 8388608.0):
        add(log_one_plus(u), &partial.total, &partial.total_lo)
    else:
        pool_odds(u, partial)
    add(<double>ROWS, &partial.weight, &partial.weight_lo)
    partial.count += ROWS
    return True


cdef inline bint add_odds(
    const Job* job, Py_ssize_t start, Rows* rows, Partial* partial
) noexcept nogil:
    """Make losses of the odds in `loss`, and add them up; False where a row holds a fault."""
    cdef bint alike = (
        rows.n == ROWS and not rows.weighted and not job.want_losses
        and job.loss == CATEGORICAL_LOGITS
    )
    if alike and multiply_odds(rows.loss, partial):
        return True
    losses_of_odds(job, rows.loss, rows.n)
    if not mend_rows(job, start, rows, partial):
        return False
    add_rows(job, start, rows, partial)
    return True


cdef inline bint row_block(
    const Job* job, Py_ssize_t start, int n, Partial* partial, real* tag
) noexcept nogil:
    """Up to ROWS rows; False where one holds a fault."""
    cdef Rows rows
    cdef bint ok
    cdef Py_ssize_t i
    rows.n = n
    if not stage_rows(job, start, &rows, partial):
        return False
    if job.weights_only:
        for i in range(n):
            rows.loss[i] = 0.0
        ok = True
    elif is_index(job) and has_row_logits(job):
        odds_of_rows(job, start, &rows, rows.loss, tag)
        return add_odds(job, start, &rows, partial)
    elif is_index(job):
        ok = index_losses(job, start, &rows, partial)
    else:
        ok = distribution_losses(job, start, &rows, partial)
    if ok:
        add_rows(job, start, &rows, partial)
    return ok


cdef inline void run_rows(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial, real* tag
) noexcept nogil:
    """One chunk of rows."""
    cdef Product product
    cdef int n
    cdef bint plain = (
        job.loss == CATEGORICAL and job.index_labels and not job.want_losses
        and job.weight.kind == ABSENT and job.mask.kind == ABSENT and job.class_weight == NULL
        and not job.has_ignore and job.label_smoothing == 0.0
    )
    start_product(&product)
    while start < stop:
        if plain and stop - start >= BLOCK and add_target_likelihoods(job, start, &product, tag):
            n = BLOCK
            partial.count += n
            add(<double>n, &partial.weight, &partial.weight_lo)
        else:
            n = <int>min(<Py_ssize_t>ROWS, stop - start)
            if not row_block(job, start, n, partial, tag):
                return
        start += n
    add_product(&product, partial)

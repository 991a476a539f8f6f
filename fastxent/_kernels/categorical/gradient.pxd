# Derivatives of losses of a row of logits per position. As with the losses, rows of class indices go by
# lanes of the scores' own type, and everything else by float64.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport uint8_t

from fastxent._kernels.arrays.store cimport put_classes, put_wide
from fastxent._kernels.arrays.load cimport at, view_classes
from fastxent._kernels.categorical.chunk cimport add_odds, run_rows
from fastxent._kernels.categorical.gradient_tile cimport (
    pulls, row_scale, tile_slopes, wide_tile_slopes,
)
from fastxent._kernels.categorical.rows cimport Rows, stage_rows
from fastxent._kernels.categorical.soft_labels cimport (
    load_classes, mass_below, row_maximum, weigh_classes,
)
from fastxent._kernels.categorical.softmax cimport block_odds, odds_of_run, target_scores
from fastxent._kernels.focal cimport chances, class_pulls
from fastxent._kernels.job cimport (
    ABSENT, BLOCK, CATEGORICAL_FOCAL, is_index, Job, NAN_OMIT, NAN_RAISE, NO_FAULT, Partial, ROWS,
    TILE_CLASSES,
)
from fastxent._kernels.numeric.generic cimport unit
from fastxent._kernels.numeric.sums cimport add, lane_sum
from fastxent._kernels.types cimport real

cdef enum:
    KEPT = 2048     # classes of a row whose exponentials are kept in L1 until their sum is known


# ---- by lanes --------------------------------------------------------------------------------


cdef inline bint long_row_slopes(
    const Job* job, Py_ssize_t start, Rows* rows, Py_ssize_t i, real own
) noexcept nogil:
    """One row of many classes, the sum of its odds into loss; False where float64 is needed."""
    cdef real power[KEPT]
    cdef real staged[BLOCK]
    cdef const char* row = at(job, &job.scores, start + i)
    cdef const char* place = at(job, &job.grad, start + i)
    cdef const real* x
    cdef double hi = 0.0, lo = 0.0, rest, scale, pull
    cdef real factor
    cdef Py_ssize_t first, j, m
    cdef Py_ssize_t target = rows.target[i]
    cdef bint short = job.classes <= KEPT
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        block_odds(
            job, row, target, own, first, <int>m, rows.scratch,
            power + (first if short else 0), &hi, &lo,
        )
    rest = (hi + lo) * unit(power) + <double>(own - own)
    rows.loss[i] = rest
    pulls(job, &rest, 1, &pull)
    if not row_scale(job, rows, i, rest, pull, &scale):
        return False
    factor = <real>(scale * unit(power))
    if short:
        for j in range(job.classes):
            power[j] = power[j] * factor
        power[target] = <real>(-rest * scale)
        put_classes(job, &job.grad, place, 0, <int>job.classes, power)
        return True
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        x = view_classes(&job.scores, row, first, <int>m, rows.scratch, staged)
        odds_of_run(job, row + first * job.scores.class_stride, x, m, own, power)
        for j in range(m):
            power[j] = power[j] * factor
        if first <= target < first + m:
            power[target - first] = <real>(-rest * scale)
        put_classes(job, &job.grad, place, first, <int>m, power)
    return True


# ---- in float64 ------------------------------------------------------------------------------


cdef inline void fill_row(const Job* job, Py_ssize_t position, double value) noexcept nogil:
    """One number for all of a row."""
    cdef double same[BLOCK]
    cdef Py_ssize_t first, j
    cdef int m
    for j in range(BLOCK):
        same[j] = value
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        put_wide(job, &job.grad, at(job, &job.grad, position), first, m, same)
        if job.hess.kind != ABSENT:
            put_wide(job, &job.hess, at(job, &job.hess, position), first, m, same)


cdef inline void class_weights(
    const Job* job, const char* labels, Py_ssize_t target, Py_ssize_t first, int m, void* scratch,
    double* q
) noexcept nogil:
    """What each class weighs in the loss of its row: labels that the loss has checked."""
    cdef double weight = 0.0
    cdef int bad = 0
    weigh_classes(job, labels, target, first, m, scratch, q, &weight, &bad)


cdef inline void row_pulls(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, Py_ssize_t first,
    Py_ssize_t m, double most, double rest, Py_ssize_t top, void* scratch, double* pull, double* p,
    double* miss, double* twist
) noexcept nogil:
    """The pulls of m classes and their probabilities."""
    cdef double x[BLOCK]
    cdef Py_ssize_t j
    load_classes(job, row, first, <int>m, scratch, x)
    class_weights(job, labels, target, first, <int>m, scratch, pull)
    chances(x, m, most, rest, top - first, p, miss)
    if job.loss == CATEGORICAL_FOCAL:
        class_pulls(job, p, miss, x, m, pull, twist)
    else:
        for j in range(m):
            twist[j] = 0.0


cdef inline bint has_no_slope(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, double most,
    void* scratch
) noexcept nogil:
    """Whether a row holds a NaN, is of -inf only, or has a share of one of several +inf."""
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef bint unordered = most == -INFINITY, lost = False
    cdef Py_ssize_t first, j, m, tops = 0
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        load_classes(job, row, first, <int>m, scratch, x)
        class_weights(job, labels, target, first, <int>m, scratch, q)
        for j in range(m):
            unordered |= x[j] != x[j] or q[j] != q[j]
            tops += x[j] == INFINITY
            lost |= x[j] == INFINITY and q[j] > 0.0
    return unordered or (tops > 1 and lost)


cdef inline void careful_row_slopes(
    const Job* job, Py_ssize_t position, Py_ssize_t target, double factor, void* scratch
) noexcept nogil:
    """p_j sum(a) - a_j of one row, and its derivative, where a_j is the pull of a class.

    In a cross entropy that is what the class weighs, q_j; a focal loss changes it with p_j. Only the
    class at the top can have a p near 1. Its 1 - p is the others' share, and what it lacks of sum(a)
    the others' too: nothing cancels that need not.
    """
    cdef double x[BLOCK]
    cdef double pull[BLOCK]
    cdef double p[BLOCK]
    cdef double miss[BLOCK]
    cdef double twist[BLOCK]
    cdef const char* row = at(job, &job.scores, position)
    cdef const char* labels = NULL
    cdef double most, rest, others = 0.0, others_lo = 0.0, twists = 0.0, own = 0.0
    cdef double total, bend
    cdef Py_ssize_t first, j, m, top = 0
    if not job.index_labels:
        labels = at(job, &job.labels, position)
    most = row_maximum(job, row, scratch)
    # Where NaN raises, the loss has found it.
    if (job.nan_policy != NAN_RAISE or not -INFINITY < most < INFINITY) and has_no_slope(
        job, row, labels, target, most, scratch
    ):
        fill_row(job, position, 0.0 if job.nan_policy == NAN_OMIT else NAN)
        return
    rest = mass_below(job, row, most, scratch, &top)
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        row_pulls(job, row, labels, target, first, m, most, rest, top, scratch, pull, p, miss, twist)
        if first <= top < first + m:
            own = pull[top - first]
            pull[top - first] = 0.0
        add(lane_sum(pull, m), &others, &others_lo)
        twists += lane_sum(twist, m)
    others += others_lo
    total = own + others
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        if job.classes > BLOCK:     # else they are still there
            row_pulls(
                job, row, labels, target, first, m, most, rest, top, scratch, pull, p, miss, twist
            )
        for j in range(m):
            x[j] = (p[j] * total - pull[j]) * factor
        if first <= top < first + m:
            # Each where it does not cancel
            x[top - first] = (
                others - total * miss[top - first] if rest < 1.0 else p[top - first] * total - own
            ) * factor
        put_wide(job, &job.grad, at(job, &job.grad, position), first, <int>m, x)
        if job.hess.kind == ABSENT:
            continue
        for j in range(m):
            bend = p[j] * miss[j] * total + (
                p[j] * p[j] * (twists - twist[j]) + miss[j] * miss[j] * twist[j]
            )
            x[j] = (job.floor if bend < job.floor else bend) * factor
        put_wide(job, &job.hess, at(job, &job.hess, position), first, <int>m, x)


cdef inline void write_rows(
    const Job* job, Py_ssize_t start, Rows* rows, const uint8_t* done
) noexcept nogil:
    """The gradients of those rows of a block that are not done."""
    cdef Py_ssize_t i
    for i in range(rows.n):
        if not rows.kept[i]:
            fill_row(job, start + i, 0.0)
        elif not done[i]:
            careful_row_slopes(
                job, start + i, rows.target[i], rows.factor[i] * job.scale, rows.scratch
            )


cdef inline bint run_row_block(
    const Job* job, Py_ssize_t start, int n, Partial* partial, real* tag
) noexcept nogil:
    """Losses and gradients of up to ROWS rows; False where one holds a fault.

    By lanes, the exponentials serve both: they are added up as the loss does.
    """
    cdef Rows rows
    cdef uint8_t done[ROWS]
    cdef real target[ROWS]
    cdef Py_ssize_t i
    cdef bint plain = is_index(job) and job.hess.kind == ABSENT and job.nan_policy == NAN_RAISE
    for i in range(ROWS):
        done[i] = 0
    if not plain:
        run_rows(job, start, start + n, partial, tag)
        if partial.fault != NO_FAULT:
            return False
    rows.n = n
    if not stage_rows(job, start, &rows, partial):
        return False
    if not plain:
        if job.classes <= TILE_CLASSES:
            wide_tile_slopes(job, start, &rows, done)
        write_rows(job, start, &rows, done)
        return True
    if job.classes <= TILE_CLASSES:
        tile_slopes(job, start, &rows, done, tag)
    else:
        target_scores(job, start, n, rows.target, target)
        for i in range(n):
            rows.loss[i] = 0.0
            if rows.kept[i]:
                done[i] = long_row_slopes(job, start, &rows, i, target[i])
    if not add_odds(job, start, &rows, partial):
        return False
    write_rows(job, start, &rows, done)
    return True

# Gradients of the losses of logits, and the diagonals of their Hessians.
#
# They are written right after the losses of the same block were added up, while its logits are in L1:
# the value is the loss's own, bit for bit. An output may be the logits' own array: nothing of a block,
# or of a row, is written before all of it was read.
#
# No difference of nearly equal numbers: with e = e^-|z|, sigma(z) - 1 is -e / (1 + e), and the target's
# p - 1 is -rest / (1 + rest), where rest is the sum of the other classes' odds against it. As with the
# losses, full blocks go by lanes of the scores' own type, and everything else by float64.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastxent._kernels.binary cimport PART, Stage, run_positions, stage_block
from fastxent._kernels.categorical cimport (
    Rows, add_rows, load_classes, mend_rows, run_rows, stage_rows, target_row,
)
from fastxent._kernels.checks cimport all_within
from fastxent._kernels.job cimport (
    ABSENT, BLOCK, CATEGORICAL_LOGITS, FLOAT32, Job, LANES, NAN_OMIT, NAN_RAISE, NO_FAULT, Operand,
    Partial, ROWS, TILE_CLASSES,
)
from fastxent._kernels.load cimport (
    AHEAD, at, copy_run, hard_labels, load, prefetch_lanes, real, store, view, view_classes, walk,
)
from fastxent._kernels.math cimport decay_narrow, decay_wide, decay_wide2
from fastxent._kernels.odds cimport (
    block_odds, is_evenly_spaced, odds, target_scores, tile_odds, unit,
)
from fastxent._kernels.real cimport log1p_all
from fastxent._kernels.reduce cimport add, fold

cdef enum:
    KEPT = 2048     # classes of a row whose exponentials are kept in L1 until their sum is known


cdef inline void put(
    const Job* job, const Operand* op, Py_ssize_t start, int n, const real* source
) noexcept nogil:
    """n positions into an output of the source's type."""
    if op.direct:
        memcpy(<char*>op.data + start * op.itemsize, source, n * sizeof(real))
    else:
        walk(job, op, start, 0, n, <char*>source, True)


cdef inline void put_classes(
    const Operand* op, const char* row, Py_ssize_t first, int m, const real* source
) noexcept nogil:
    """m classes of a row into an output of the source's type."""
    cdef char* place = <char*>row + first * op.class_stride
    if op.class_stride == op.itemsize:
        memcpy(place, source, m * sizeof(real))
    else:
        copy_run(op, <const char*>source, op.itemsize, place, op.class_stride, m)


cdef inline void put_wide(
    const Operand* op, const char* row, Py_ssize_t first, int m, const double* source
) noexcept nogil:
    """The same from float64, whatever the output's type."""
    cdef float narrow[BLOCK]
    cdef Py_ssize_t i
    if op.kind == FLOAT32:
        for i in range(m):
            narrow[i] = <float>source[i]
        put_classes(op, row, first, m, narrow)
    else:
        put_classes(op, row, first, m, source)


# ---- one number per position -----------------------------------------------------------------


cdef inline real decay(real x) noexcept nogil:
    """e^x for x <= 0."""
    if real is float:
        return decay_narrow(x)
    else:
        return decay_wide(x)


cdef inline bint load_factors(const Job* job, Py_ssize_t start, real* factor) noexcept nogil:
    """What the slopes of a full block are multiplied by; False where that is out of the ordinary."""
    cdef double weight[BLOCK]
    cdef double scratch[BLOCK]
    cdef double scale = job.scale
    cdef Py_ssize_t i
    if job.weight.kind == ABSENT:
        for i in range(BLOCK):
            factor[i] = <real>scale
        return 1e-30 < scale < 1e30
    load(job, &job.weight, start, BLOCK, scratch, weight)
    for i in range(BLOCK):
        weight[i] = weight[i] * scale
    for i in range(BLOCK):
        factor[i] = <real>weight[i]
    return 1e-30 < scale and all_within(weight, 1e30, False)


cdef inline bint plain_slopes(const Job* job, Py_ssize_t start, real* tag) noexcept nogil:
    """Slopes of a full block with hard labels; False, and nothing done, where they are not."""
    cdef real labels[BLOCK]
    cdef real scores[BLOCK]
    cdef real factor[BLOCK]
    cdef real slope[BLOCK]
    cdef double scratch[BLOCK]
    cdef double label_scratch[BLOCK]
    cdef real one = 1, zero = 0
    cdef real e, size, against, part
    cdef Py_ssize_t i
    cdef const real* z = view(job, &job.scores, start, BLOCK, scratch, scores)
    cdef const real* y = hard_labels(job, start, BLOCK, label_scratch, labels)
    if y == NULL or not load_factors(job, start, factor):
        return False
    for i in range(BLOCK):
        size = z[i] if z[i] < zero else -z[i]
        e = decay(size)
        against = -z[i] if y[i] != zero else z[i]
        part = factor[i] / (one + e)    # one division: of a choice of numerators gcc makes two
        part = part if against > zero else e * part
        slope[i] = -part if y[i] != zero else part
    if job.hess.kind != ABSENT:
        for i in range(BLOCK):
            size = z[i] if z[i] < zero else -z[i]
            e = decay(size)
            factor[i] = e / ((one + e) * (one + e)) * factor[i]
        put(job, &job.hess, start, BLOCK, factor)
    put(job, &job.grad, start, BLOCK, slope)
    return True


cdef inline void logit_slopes(Stage* stage, double scale) noexcept nogil:
    """(1 - y) sigma(z) - w y sigma(-z) into loss, and its derivative into scratch.

    Both as the better of two forms: what is small of sigma(z) and sigma(-z) is never a difference.
    """
    cdef Py_ssize_t i
    cdef double z, e, small, hit, total, slope, bend
    for i in range(stage.n):
        z = stage.score[i]
        e = decay_wide(z if z < 0.0 else -z)
        small = e / (1.0 + e)
        hit = stage.scale[i] * stage.label[i]
        total = 1.0 + (stage.scale[i] - 1.0) * stage.label[i]
        slope = total * small - hit if z < 0.0 else (1.0 - stage.label[i]) - total * small
        bend = total * (e / ((1.0 + e) * (1.0 + e)))
        bend = bend if z == z else z
        slope = slope if z == z else z
        stage.loss[i] = slope * scale
        stage.scratch[i] = bend * scale


cdef inline bint careful_slopes(
    const Job* job, Py_ssize_t start, int n, Partial* partial
) noexcept nogil:
    """Element by element, in parts."""
    cdef Stage stage
    cdef Py_ssize_t i
    cdef int done
    for done from 0 <= done < n by PART:
        stage.n = min(PART, n - done)
        if not stage_block(job, start + done, &stage, partial):
            return False
        logit_slopes(&stage, job.scale)
        if stage.weighted:
            for i in range(stage.n):
                stage.loss[i] *= stage.weight[i]
                stage.scratch[i] *= stage.weight[i]
        store(job, &job.grad, start + done, stage.n, stage.loss)
        if job.hess.kind != ABSENT:
            store(job, &job.hess, start + done, stage.n, stage.scratch)
    return True


cdef inline bint write_positions(
    const Job* job, Py_ssize_t start, int n, Partial* partial, real* tag
) noexcept nogil:
    """The gradient of a block of a loss of one number per position; False where it holds a fault."""
    cdef bint plain = (
        n == BLOCK and job.nan_policy == NAN_RAISE and job.mask.kind == ABSENT
        and job.scale_by.kind == ABSENT and job.label_smoothing == 0.0
    )
    return (plain and plain_slopes(job, start, tag)) or careful_slopes(job, start, n, partial)


# ---- a row per position, by lanes ------------------------------------------------------------


cdef inline bint row_scale(
    const Job* job, const Rows* rows, Py_ssize_t i, double rest, double* scale
) noexcept nogil:
    """What the odds against the target are multiplied by; False where a float might not hold it."""
    scale[0] = rows.factor[i] * job.scale / (1.0 + rest)
    return rest < INFINITY and (1e-30 < scale[0] < 1e30 or rows.factor[i] == 0.0)


cdef inline double lane_sum(double* x, int m) noexcept nogil:
    """The sum of a block, in lanes; there is room up to BLOCK."""
    cdef double lanes[LANES]
    cdef Py_ssize_t i, j
    cdef int padded = (m + LANES - 1) // LANES * LANES
    for i in range(m, padded):
        x[i] = 0.0
    for j in range(LANES):
        lanes[j] = 0.0
    for i from 0 <= i < padded by LANES:
        for j in range(LANES):
            lanes[j] += x[i + j]
    return fold(lanes)


cdef inline void tile_slopes(
    const Job* job, Py_ssize_t start, Rows* rows, uint8_t* done, real* tag
) noexcept nogil:
    """Rows of few classes, SIMD over the rows; those that are done are marked."""
    cdef real power[TILE_CLASSES * ROWS]
    cdef real label[ROWS]
    cdef real own[ROWS]
    cdef real factor[ROWS]
    cdef double rest[ROWS]
    cdef double scale
    cdef real k_real, share
    cdef char* place
    cdef real* rows_out
    cdef Py_ssize_t i, k, step, class_step
    cdef int n = rows.n, classes = <int>job.classes, all_done = 1
    tile_odds(job, start, n, rows.target, power, rest)
    for i in range(ROWS):
        scale = 0.0
        label[i] = <real>rows.target[i] if i < n else 0
        if i < n:
            done[i] = rows.kept[i] and row_scale(job, rows, i, rest[i], &scale)
            all_done &= done[i]
        factor[i] = <real>(scale * unit(power))
        own[i] = <real>(-rest[i] * scale)
    for k in range(classes):
        k_real = <real>k
        for i in range(ROWS):
            share = power[k * ROWS + i] * factor[i]
            power[k * ROWS + i] = own[i] if label[i] == k_real else share
    if all_done and job.grad.class_stride != <Py_ssize_t>sizeof(real):
        for k in range(classes):
            walk(job, &job.grad, start, k * job.grad.class_stride, n, <char*>(power + k * ROWS), True)
    elif is_evenly_spaced(job, &job.grad, tag):
        rows_out = <real*>(job.grad.data + start * job.grad.stride[0])
        step = job.grad.stride[0] // <Py_ssize_t>sizeof(real)
        class_step = job.grad.class_stride // <Py_ssize_t>sizeof(real)
        for i in range(n):
            if done[i]:
                for k in range(classes):
                    rows_out[i * step + k * class_step] = power[k * ROWS + i]
    else:
        for i in range(n):
            if done[i]:
                place = <char*>at(job, &job.grad, start + i)
                copy_run(
                    &job.grad, <const char*>(power + i), ROWS * sizeof(real), place,
                    job.grad.class_stride, classes,
                )


cdef inline bint long_row_slopes(
    const Job* job, Py_ssize_t start, Rows* rows, Py_ssize_t i, real own
) noexcept nogil:
    """One row of many classes, the sum of its odds into loss; False where float64 is needed."""
    cdef real power[KEPT]
    cdef real staged[BLOCK]
    cdef const char* row = at(job, &job.scores, start + i)
    cdef const char* place = at(job, &job.grad, start + i)
    cdef const real* x
    cdef double hi = 0.0, lo = 0.0, rest, scale
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
    if not row_scale(job, rows, i, rest, &scale):
        return False
    factor = <real>(scale * unit(power))
    if short:
        for j in range(job.classes):
            power[j] = power[j] * factor
        power[target] = <real>(-rest * scale)
        put_classes(&job.grad, place, 0, <int>job.classes, power)
        return True
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        x = view_classes(&job.scores, row, first, <int>m, rows.scratch, staged)
        for j in range(m):
            power[j] = odds(x[j], own) * factor
        if first <= target < first + m:
            power[target - first] = <real>(-rest * scale)
        put_classes(&job.grad, place, first, <int>m, power)
    return True


# ---- a row per position, in float64 ----------------------------------------------------------


cdef inline void weigh_classes(
    const Job* job, const char* labels, Py_ssize_t target, Py_ssize_t first, int m, void* scratch,
    double* q
) noexcept nogil:
    """What each class weighs in the loss of its row."""
    cdef double weight = 0.0
    cdef int bad = 0
    cdef Py_ssize_t j
    if job.index_labels and job.label_smoothing == 0.0:
        for j in range(m):
            q[j] = 0.0
        if first <= target < first + m:
            q[target - first] = 1.0
    else:
        target_row(job, labels, target, first, m, scratch, q, &weight, &bad)


cdef inline void powers_of(
    double* x, int m, double most, Py_ssize_t first, Py_ssize_t top
) noexcept nogil:
    """e^(x - most) in place; 0 for the class at the top."""
    cdef double d, part, lost
    cdef Py_ssize_t j
    for j in range(m):
        d = x[j] - most
        part = d - x[j]
        lost = (x[j] - (d - part)) - (most + part)
        lost = 0.0 if d == -INFINITY else lost
        d = 0.0 if x[j] == most else d
        lost = 0.0 if x[j] == most else lost
        x[j] = decay_wide2(d, lost)
    if first <= top < first + m:
        x[top - first] = 0.0


cdef inline void fill_row(const Job* job, Py_ssize_t position, double value) noexcept nogil:
    """One number for all of a row."""
    cdef double same[BLOCK]
    cdef Py_ssize_t first, j
    cdef int m
    for j in range(BLOCK):
        same[j] = value
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        put_wide(&job.grad, at(job, &job.grad, position), first, m, same)
        if job.hess.kind != ABSENT:
            put_wide(&job.hess, at(job, &job.hess, position), first, m, same)


cdef inline void careful_row_slopes(
    const Job* job, Py_ssize_t position, Py_ssize_t target, double factor, void* scratch
) noexcept nogil:
    """p_j sum(q) - q_j of one row, and its derivative p_j (1 - p_j) sum(q).

    Only the class at the top can have a p near 1. Its 1 - p is the others' share, and what it lacks
    of sum(q) the others' too, by which it goes where its p is above 1/2: nothing cancels that need not.
    """
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef double bend[BLOCK]
    cdef const char* row = at(job, &job.scores, position)
    cdef const char* labels = NULL
    cdef double most = -INFINITY, rest = 0.0, others = 0.0, own = 0.0, total, sum_of_powers, p
    cdef double rest_lo = 0.0, others_lo = 0.0
    cdef bint unordered = False
    cdef Py_ssize_t first, j, top = 0, tops = 0
    cdef bint lost = False
    cdef int m
    if not job.index_labels:
        labels = at(job, &job.labels, position)
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        load_classes(job, row, first, m, scratch, x)
        weigh_classes(job, labels, target, first, m, scratch, q)
        for j in range(m):
            unordered |= x[j] != x[j] or q[j] != q[j]
            # A share of what has no number: a row with several +inf.
            tops += x[j] == INFINITY
            lost |= x[j] == INFINITY and q[j] > 0.0
            if x[j] > most:
                most = x[j]
                top = first + j
    if unordered or most == -INFINITY or (tops > 1 and lost):
        fill_row(job, position, 0.0 if job.nan_policy == NAN_OMIT else NAN)
        return
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        load_classes(job, row, first, m, scratch, x)
        weigh_classes(job, labels, target, first, m, scratch, q)
        powers_of(x, m, most, first, top)
        if first <= top < first + m:
            own = q[top - first]
            q[top - first] = 0.0
        add(lane_sum(x, m), &rest, &rest_lo)
        add(lane_sum(q, m), &others, &others_lo)
    rest += rest_lo
    others += others_lo
    total = own + others
    sum_of_powers = 1.0 + rest
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        load_classes(job, row, first, m, scratch, x)
        weigh_classes(job, labels, target, first, m, scratch, q)
        powers_of(x, m, most, first, top)
        for j in range(m):
            p = x[j] / sum_of_powers
            x[j] = (p * total - q[j]) * factor
            bend[j] = p * (1.0 - p) * total * factor
        if first <= top < first + m:
            p = rest / sum_of_powers    # of the others
            x[top - first] = (
                others - total * p if rest < 1.0 else total / sum_of_powers - own
            ) * factor
            bend[top - first] = p / sum_of_powers * total * factor
        put_wide(&job.grad, at(job, &job.grad, position), first, m, x)
        if job.hess.kind != ABSENT:
            put_wide(&job.hess, at(job, &job.hess, position), first, m, bend)


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

    The exponentials of a long row serve both: `row_powers` adds them up as the loss does.
    """
    cdef Rows rows
    cdef uint8_t done[ROWS]
    cdef real target[ROWS]
    cdef Py_ssize_t i
    cdef bint plain = (
        job.index_labels and job.label_smoothing == 0.0 and job.hess.kind == ABSENT
        and job.nan_policy == NAN_RAISE
    )
    cdef bint at_once = plain and job.classes > TILE_CLASSES
    for i in range(ROWS):
        done[i] = 0
    if not at_once:
        run_rows(job, start, start + n, partial, tag)
        if partial.fault != NO_FAULT:
            return False
    rows.n = n
    if not stage_rows(job, start, &rows, partial):
        return False
    if at_once:
        target_scores(job, start, n, rows.target, target)
        for i in range(n):
            rows.loss[i] = 0.0
            if rows.kept[i]:
                done[i] = long_row_slopes(job, start, &rows, i, target[i])
        log1p_all(rows.loss, n)
        if not mend_rows(job, start, &rows, partial):
            return False
        write_rows(job, start, &rows, done)
        add_rows(job, start, &rows, partial)
        return True
    if plain:
        tile_slopes(job, start, &rows, done, tag)
    write_rows(job, start, &rows, done)
    return True


cdef inline void run_with_gradients(
    const Job* job, Py_ssize_t start, Py_ssize_t stop, Partial* partial, real* tag
) noexcept nogil:
    """One chunk: its losses as without gradients, and these, block by block."""
    cdef int n
    while start < stop:
        if job.loss == CATEGORICAL_LOGITS:
            n = <int>min(<Py_ssize_t>ROWS, stop - start)
            if not run_row_block(job, start, n, partial, tag):
                return
        else:
            n = <int>min(<Py_ssize_t>BLOCK, stop - start)
            run_positions(job, start, start + n, partial, tag)
            if partial.fault != NO_FAULT or not write_positions(job, start, n, partial, tag):
                return
        start += n

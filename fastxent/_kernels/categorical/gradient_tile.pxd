# Derivatives of losses of few classes: ROWS rows side by side, SIMD over the rows. Gradients against
# class indices go by lanes of the scores' own type, and everything else by float64.

from libc.math cimport INFINITY
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastxent._kernels.arrays.store cimport put_classes
from fastxent._kernels.arrays.load cimport at, walk
from fastxent._kernels.arrays.store cimport write
from fastxent._kernels.arrays.transpose cimport rows_of_tile
from fastxent._kernels.categorical.rows cimport Rows
from fastxent._kernels.categorical.softmax cimport load_tile, sum_tile, tile_odds
from fastxent._kernels.categorical.tile cimport chances_of_tile, powers_of_tile, weigh_tile
from fastxent._kernels.focal cimport class_pulls, pulls_of_odds
from fastxent._kernels.job cimport (
    ABSENT, CATEGORICAL_FOCAL, FLOAT32, Job, Operand, ROWS, TILE_CLASSES,
)
from fastxent._kernels.numeric.generic cimport log1p_all, unit
from fastxent._kernels.types cimport real


cdef inline void pulls(const Job* job, const double* odds, int n, double* pull) noexcept nogil:
    """What the slopes of up to ROWS cross entropies are multiplied by."""
    cdef Py_ssize_t i
    if job.loss == CATEGORICAL_FOCAL:
        pulls_of_odds(job, odds, n, pull)
    else:
        for i in range(n):
            pull[i] = 1.0


cdef inline bint row_scale(
    const Job* job, const Rows* rows, Py_ssize_t i, double rest, double pull, double* scale
) noexcept nogil:
    """What the odds against the target are multiplied by; False where a float might not hold it."""
    scale[0] = rows.factor[i] * pull * job.scale / (1.0 + rest)
    return rest < INFINITY and (1e-30 < scale[0] < 1e30 or rows.factor[i] == 0.0)


cdef inline void put_tile(
    const Job* job, const Operand* op, Py_ssize_t start, int n, const uint8_t* done, bint all_done,
    const real* tile
) noexcept nogil:
    """Those rows of tile[k * ROWS + i] that are done, into an output of its type."""
    cdef real flat[TILE_CLASSES * ROWS]
    cdef Py_ssize_t i, k
    cdef int classes = <int>job.classes
    if all_done and op.class_stride != <Py_ssize_t>sizeof(real):
        for k in range(classes):
            walk(job, op, start, k * op.class_stride, n, <char*>(tile + k * ROWS), True)
        return
    rows_of_tile(tile, classes, flat)
    if all_done and job.ndim == 1 and op.stride[0] == classes * <Py_ssize_t>sizeof(real):
        write(job, <char*>at(job, op, start), flat, n * classes * sizeof(real))
        return
    for i in range(n):
        if done[i]:
            put_classes(job, op, at(job, op, start + i), 0, classes, flat + i * classes)


cdef inline void put_wide_tile(
    const Job* job, const Operand* op, Py_ssize_t start, int n, const uint8_t* done, bint all_done,
    const double* tile
) noexcept nogil:
    """The same from float64, whatever the output's type."""
    cdef float narrow[TILE_CLASSES * ROWS]
    cdef Py_ssize_t i
    if op.kind == FLOAT32:
        for i in range(job.classes * ROWS):
            narrow[i] = <float>tile[i]
        put_tile(job, op, start, n, done, all_done, narrow)
    else:
        put_tile(job, op, start, n, done, all_done, tile)


cdef inline void tile_slopes(
    const Job* job, Py_ssize_t start, Rows* rows, uint8_t* done, real* tag
) noexcept nogil:
    """Rows of few classes, SIMD over the rows, their odds into loss; those done are marked."""
    cdef real power[TILE_CLASSES * ROWS]
    cdef real label[ROWS]
    cdef real own[ROWS]
    cdef real factor[ROWS]
    cdef double rest[ROWS]
    cdef double pull[ROWS]
    cdef double scale
    cdef real k_real, share
    cdef Py_ssize_t i, k
    cdef int n = rows.n, classes = <int>job.classes, all_done = 1
    tile_odds(job, start, n, rows.target, power, rest)
    memcpy(rows.loss, rest, n * sizeof(double))
    pulls(job, rest, n, pull)
    for i in range(ROWS):
        scale = 0.0
        label[i] = <real>rows.target[i] if i < n else 0
        if i < n:
            done[i] = rows.kept[i] and row_scale(job, rows, i, rest[i], pull[i], &scale)
            all_done &= done[i]
        factor[i] = <real>(scale * unit(power))
        own[i] = <real>(-rest[i] * scale)
    for k in range(classes):
        k_real = <real>k
        for i in range(ROWS):
            share = power[k * ROWS + i] * factor[i]
            power[k * ROWS + i] = own[i] if label[i] == k_real else share
    put_tile(job, &job.grad, start, n, done, all_done, power)


cdef inline void wide_tile_slopes(
    const Job* job, Py_ssize_t start, Rows* rows, uint8_t* done
) noexcept nogil:
    """What `careful_row_slopes` does, of a block; the rows that are done are marked."""
    cdef double x[TILE_CLASSES * ROWS]
    cdef double pull[TILE_CLASSES * ROWS]
    cdef double p[TILE_CLASSES * ROWS]
    cdef double miss[TILE_CLASSES * ROWS]
    cdef double twist[TILE_CLASSES * ROWS]
    cdef double part[TILE_CLASSES * ROWS]
    cdef double mass[ROWS]
    cdef double top[ROWS]
    cdef double odd[ROWS]
    cdef double rest[ROWS]
    cdef double own[ROWS]
    cdef double others[ROWS]
    cdef double twists[ROWS]
    cdef double factor[ROWS]
    cdef bint focal = job.loss == CATEGORICAL_FOCAL
    cdef double d, step, own_class, bend
    cdef Py_ssize_t i, j, k, n = rows.n, classes = job.classes
    cdef int all_done = 1
    part[0] = 0.0       # for gcc, which does not know that there is a class
    twist[0] = 0.0
    load_tile(job, &job.scores, start, <int>n, x)
    weigh_tile(job, start, <int>n, rows.target, pull, mass, odd)
    powers_of_tile(job, x, part, top, rest, odd)
    chances_of_tile(job, part, top, rest, p, miss)
    for i in range(ROWS):
        own[i] = 0.0
        others[i] = 0.0
        twists[i] = 0.0
    if focal:
        log1p_all(rest, ROWS)
        for k in range(classes):
            j = k * ROWS
            for i in range(ROWS):
                x[j + i] += rest[i]
            class_pulls(job, p + j, miss + j, x + j, ROWS, pull + j, twist + j)
        sum_tile(twist, classes, twists)
    for k in range(classes):
        own_class = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            own[i] = pull[j] if top[i] == own_class else own[i]
            part[j] = 0.0 if top[i] == own_class else pull[j]
    sum_tile(part, classes, others)
    for i in range(ROWS):
        factor[i] = 0.0
        own[i] += others[i]
        if i < n:
            done[i] = rows.kept[i] and odd[i] == 0.0
            all_done &= done[i]
            if done[i]:
                factor[i] = rows.factor[i] * job.scale
    for k in range(classes):
        own_class = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            d = p[j] * own[i] - pull[j]
            # Each where it does not cancel
            step = others[i] - own[i] * miss[j]
            step = step if miss[j] < 0.5 else d
            part[j] = (step if top[i] == own_class else d) * factor[i]
    put_wide_tile(job, &job.grad, start, <int>n, done, all_done, part)
    if job.hess.kind == ABSENT:
        return
    for k in range(classes):
        for i in range(ROWS):
            j = k * ROWS + i
            bend = p[j] * miss[j] * own[i]
            if focal:
                bend += p[j] * p[j] * (twists[i] - twist[j]) + miss[j] * miss[j] * twist[j]
            part[j] = (job.floor if bend < job.floor else bend) * factor[i]
    put_wide_tile(job, &job.hess, start, <int>n, done, all_done, part)

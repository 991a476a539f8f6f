# Exponentials of rows of logits, for losses against class indices and their gradients.
#
# With d_j = x_j - x_target, the loss is log1p(sum of e^d_j over j != target). All terms are positive
# and the target's own 1 is not added, so a loss of 1e-18 is as accurate as one of 10. No pass over the
# row finds the maximum. A difference out of the exponential's range, or a NaN, makes the sum infinite
# or NaN; the caller then recomputes the row.
#
# Few classes: ROWS rows at a time, SIMD over the rows, here. Many classes: SIMD over the classes
# (long_row.pxd). The number of classes alone decides, never the layout: each gives the same bits.

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint16_t
from libc.string cimport memcpy

from fastxent._kernels.arrays.load cimport (
    element_ptr, convert_dtype, is_real, load_one, copy_elements, widen,
)
from fastxent._kernels.arrays.prefetch cimport (
    AHEAD, AHEAD_BYTES, prefetch_lanes, prefetch_line, prefetch_run, RUN,
    run_length,
)
from fastxent._kernels.arrays.transpose cimport tile_of_rows
from fastxent._kernels.job cimport BLOCK, is_half, Job, LANES, Operand, ROWS, TILE_CLASSES
from fastxent._kernels.numeric.elementary cimport base_f32, exp2_f32, reduced_difference_f32
from fastxent._kernels.numeric.generic cimport (
    blend, bounds_of_reduced, exp_reduced, exp_scale_inverse, reduce_scaled,
)
from fastxent._kernels.numeric.sums cimport add_to_lane
from fastxent._kernels.types cimport real

cdef enum:
    # Up to so many classes, SIMD goes over the rows, tile by tile. Measured: beyond, or with float64
    # beyond half as many, SIMD over the classes is faster.
    TILED_CLASSES = 192

# ---- one exponential -------------------------------------------------------------------------

cdef inline void prefetch_classes(const Job* job, const char* place, Py_ssize_t i) noexcept nogil:
    """Prefetch AHEAD of class i of a row."""
    prefetch_lanes(place + (i + AHEAD) * job.scores.class_stride, job.scores.itemsize)


cdef inline void prefetch_classes_run(
    const Operand* op, const char* place, Py_ssize_t first, Py_ssize_t length
) noexcept nogil:
    """Prefetch AHEAD of a run of classes of a row, unless `place` is NULL.

    Not in the loop of the sums: it is short, and the requests would come all at once.
    """
    if place != NULL:
        prefetch_run(place + (first + AHEAD) * op.class_stride, op.itemsize, length)


cdef inline void exp_shifted(
    const Operand* op, const char* place, const real* x, Py_ssize_t n, real maximum, real* exps
) noexcept nogil:
    """e^(x - maximum) over `exp_scale_inverse` of n classes of a row, which are staged in x.

    They lie in `op` at `place`, or are in the caches already: NULL. The rounding error of the
    difference is compensated.
    """
    cdef real low[RUN]
    cdef real power[RUN]
    cdef real lowest, highest
    cdef Py_ssize_t first, i, m, length = run_length(x)
    bounds_of_reduced(maximum, &lowest, &highest)
    for first from 0 <= first < n by length:
        prefetch_classes_run(op, place, first, length)
        m = min(length, n - first)
        for i in range(m):
            exps[first + i] = reduce_scaled(
                x[first + i], maximum, lowest, highest, &low[i], &power[i]
            )
        for i in range(m):
            exps[first + i] = exp_reduced(exps[first + i], low[i]) * power[i]


cdef inline void exp_of_classes(
    const Operand* op, const char* place, const real* x, Py_ssize_t n, real target_logit, real* exps
) noexcept nogil:
    """e^(x - target) over `exp_scale_inverse` of n <= BLOCK classes of a row; as `exp_shifted`."""
    cdef float power[RUN]
    cdef float lowest, highest, shift, rest
    cdef Py_ssize_t first, i, m, length = run_length(x)
    if real is double:
        exp_shifted(op, place, x, n, target_logit, exps)
    else:
        base_f32(target_logit, &lowest, &highest, &shift, &rest)
        for first from 0 <= first < n by length:
            prefetch_classes_run(op, place, first, length)
            m = min(length, n - first)
            for i in range(m):
                exps[first + i] = reduced_difference_f32(
                    x[first + i], target_logit, lowest, highest, shift, rest, &power[i]
                )
            for i in range(m):
                exps[first + i] = exp2_f32(exps[first + i], power[i])


# ---- few classes: SIMD over the rows ---------------------------------------------------------


cdef inline bint is_evenly_spaced(const Job* job, const Operand* op, const real* tag) noexcept nogil:
    """Whether the rows have the kernels' type, are aligned, and have one stride."""
    return (
        job.ndim == 1
        and is_real(op.dtype, tag)
        and not op.byteswapped
        and (<size_t>op.data | <size_t>op.stride[0] | <size_t>op.class_stride) % sizeof(real) == 0
    )


cdef inline void target_scores(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, real* scores
) noexcept nogil:
    """The score of each row's target class."""
    cdef const Operand* op = &job.scores
    cdef uint16_t halves[BLOCK]
    cdef bint half = is_half(op.dtype)
    cdef const char* row = op.data + start * op.stride[0]
    cdef const char* place
    cdef Py_ssize_t stride = op.stride[0], class_stride = op.class_stride   # not read for each row
    # Every cache line of short rows holds a target; of long ones only the processor knows which.
    cdef Py_ssize_t ahead = AHEAD_BYTES if 0 < stride <= 128 else 0
    cdef Py_ssize_t i
    if job.ndim > 1 or op.byteswapped or not (half or is_real(op.dtype, scores)):
        for i in range(n):
            place = element_ptr(job, op, start + i) + target[i] * class_stride
            scores[i] = <real>load_one(op, place)
        return
    for i in range(n):
        place = row + i * stride + target[i] * class_stride
        prefetch_line(place + ahead)
        if half:
            memcpy(&halves[i], place, 2)
        else:
            memcpy(&scores[i], place, sizeof(real))
    if half:
        widen(op.dtype, halves, n, scores)


cdef inline void load_tile(
    const Job* job, const Operand* op, Py_ssize_t start, int n, Py_ssize_t first, Py_ssize_t m,
    real* tile
) noexcept nogil:
    """Load m <= TILE_CLASSES classes of n rows to tile[k * ROWS + i]; 0 where there is no row."""
    cdef real flat[ROWS * TILE_CLASSES]
    cdef Py_ssize_t i, k, size = sizeof(real)
    cdef const char* place = op.data + start * op.stride[0] + first * op.class_stride
    if n == ROWS and op.class_stride == op.itemsize:
        if is_evenly_spaced(job, op, tile):
            tile_of_rows(<const real*>place, op.stride[0] // size, m, tile)
            return
        if job.ndim == 1 and not op.byteswapped and (
            (<size_t>place | <size_t>op.stride[0]) % <size_t>op.itemsize == 0
        ):
            if op.stride[0] == m * op.itemsize:
                convert_dtype(op.dtype, place, <int>(ROWS * m), flat)
            else:
                for i in range(ROWS):
                    convert_dtype(op.dtype, place + i * op.stride[0], <int>m, flat + i * m)
            tile_of_rows(flat, m, m, tile)
            return
    for k in range(m):
        copy_elements(job, op, start, (first + k) * op.class_stride, n, <char*>flat, False)
        convert_dtype(op.dtype, flat, n, tile + k * ROWS)
        for i in range(n, ROWS):
            tile[k * ROWS + i] = 0


cdef inline void sum_lanes_of_tile(
    const real* tile, Py_ssize_t classes, double* sums, double* err
) noexcept nogil:
    """The sums over the classes of LANES rows of a tile, and their rounding errors."""
    cdef Py_ssize_t j, k
    for j in range(LANES):
        sums[j] = 0.0
        err[j] = 0.0
    for k in range(classes):
        for j in range(LANES):
            add_to_lane(tile[k * ROWS + j], &sums[j], &err[j])


cdef inline void sum_tile(const real* tile, Py_ssize_t classes, double* total) noexcept nogil:
    """Add to total[i] the sum over the classes of row i, for ROWS rows."""
    cdef double sums[LANES]
    cdef double err[LANES]
    cdef Py_ssize_t first, j
    for first from 0 <= first < ROWS by LANES:
        sum_lanes_of_tile(tile + first, classes, sums, err)
        for j in range(LANES):
            total[first + j] += sums[j] + err[j]


cdef inline void sum_tile_exactly(
    const real* tile, Py_ssize_t classes, double* total, double* err
) noexcept nogil:
    """The sums over the classes of ROWS rows, and their rounding errors; of float32 there are none."""
    cdef double sums[LANES]
    cdef double errors[LANES]
    cdef Py_ssize_t first, j
    for first from 0 <= first < ROWS by LANES:
        sum_lanes_of_tile(tile + first, classes, sums, errors)
        for j in range(LANES):
            total[first + j] = sums[j]
            err[first + j] = errors[j]


cdef inline void sum_exp_tile(
    const real* target_logit, Py_ssize_t classes, const char* next_rows, int itemsize, real* tile,
    double* total
) noexcept nogil:
    """Exponentials of a tile of ROWS rows, in place, and their sums added to total.

    They are e^(x - target) over `exp_scale_inverse`. The next rows are prefetched meanwhile.
    """
    cdef real lowest[ROWS]
    cdef real highest[ROWS]
    cdef float shift[ROWS]
    cdef float rest[ROWS]
    cdef real low[ROWS]
    cdef real power[ROWS]
    cdef real* row
    cdef Py_ssize_t i, k
    for i in range(ROWS):
        if real is float:
            base_f32(target_logit[i], &lowest[i], &highest[i], &shift[i], &rest[i])
        else:
            bounds_of_reduced(target_logit[i], &lowest[i], &highest[i])
    for k in range(classes):
        prefetch_lanes(next_rows + k * ROWS * itemsize, ROWS // LANES * itemsize)
        row = tile + k * ROWS
        if real is float:
            for i in range(ROWS):
                row[i] = reduced_difference_f32(
                    row[i], target_logit[i], lowest[i], highest[i], shift[i], rest[i], &power[i]
                )
            for i in range(ROWS):
                row[i] = exp2_f32(row[i], power[i])
        else:
            for i in range(ROWS):
                row[i] = reduce_scaled(
                    row[i], target_logit[i], lowest[i], highest[i], &low[i], &power[i]
                )
            for i in range(ROWS):
                row[i] = exp_reduced(row[i], low[i]) * power[i]
    sum_tile(tile, classes, total)


cdef inline bint is_tiled(const Job* job, const real* tag) noexcept nogil:
    """Whether SIMD goes over the rows."""
    if real is float:
        return job.classes <= TILED_CLASSES
    else:
        return job.classes <= TILED_CLASSES // 2


cdef inline Py_ssize_t tile_width(const Job* job) noexcept nogil:
    """The classes of each tile: as many tiles as are needed, of one size."""
    cdef Py_ssize_t tiles = (job.classes + TILE_CLASSES - 1) // TILE_CLASSES
    if tiles == 1:      # no division for rows that take less time than it
        return job.classes
    return (job.classes + tiles - 1) // tiles


cdef inline const char* rows_ahead(const Operand* op, Py_ssize_t start, Py_ssize_t first) noexcept nogil:
    """What to prefetch with a tile that begins at class `first`: its share of the rows two blocks ahead.

    Exact if the rows are contiguous, harmless if not.
    """
    return op.data + (start + 2 * ROWS) * op.stride[0] + first * ROWS * op.itemsize


cdef inline void sum_exp_wide_tiles(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, bint loaded, bint keep,
    real* exps, real* target_logit, double* sum_exp
) noexcept nogil:
    """`sum_exp_tiles` of more than TILE_CLASSES classes."""
    cdef real minus_infinity = -INFINITY
    cdef real* tile
    cdef const char* next_rows
    cdef Py_ssize_t first, i, k, m
    cdef Py_ssize_t width = tile_width(job)
    if loaded:
        for i in range(n):
            k = target[i] * ROWS + i
            target_logit[i] = exps[k]
            exps[k] = minus_infinity
    else:
        target_scores(job, start, n, target, target_logit)
    for i in range(n, ROWS):
        target_logit[i] = 0
    for first from 0 <= first < job.classes by width:
        m = min(width, job.classes - first)
        tile = exps + (first * ROWS if keep or loaded else 0)
        if not loaded:
            load_tile(job, &job.scores, start, n, first, m, tile)
            for i in range(n):
                # A target of another tile is written to the spare class, without a branch.
                k = target[i] - first
                tile[(k if 0 <= k < m else m) * ROWS + i] = minus_infinity
        next_rows = rows_ahead(&job.scores, start, first)
        sum_exp_tile(target_logit, m, next_rows, job.scores.itemsize, tile, sum_exp)


cdef inline void labels_of_rows(const int64_t* target, int n, real* label) noexcept nogil:
    """The targets of ROWS rows in the tile's type; 0 where there is no row."""
    cdef Py_ssize_t i
    for i in range(n):
        label[i] = <real><int32_t>target[i]
    for i in range(n, ROWS):
        label[i] = 0


cdef inline void take_targets(
    const real* label, Py_ssize_t classes, real* tile, real* target_logit
) noexcept nogil:
    """Take the target logits out of a tile. The last class takes their place."""
    # Sums, since of a choice between the target so far and x gcc makes a branch.
    cdef real last[ROWS]
    cdef real zero = 0, k_real, x
    cdef Py_ssize_t i, j, k
    memcpy(last, tile + (classes - 1) * ROWS, sizeof(last))
    for i in range(ROWS):
        target_logit[i] = last[i] if label[i] == <real><int32_t>(classes - 1) else zero
    for k in range(classes - 1):
        k_real = <real><int32_t>k
        for i in range(ROWS):
            j = k * ROWS + i
            x = tile[j]
            target_logit[i] += x if label[i] == k_real else zero
            tile[j] = blend(label[i] == k_real, last[i], x)


cdef inline void restore_last(const real* label, Py_ssize_t classes, real* tile) noexcept nogil:
    """Bring the last class back from where `take_targets` has put it."""
    cdef real* last = tile + (classes - 1) * ROWS
    cdef real k_real
    cdef Py_ssize_t i, k
    for k in range(classes - 1):
        k_real = <real><int32_t>k
        for i in range(ROWS):
            last[i] = tile[k * ROWS + i] if label[i] == k_real else last[i]


cdef inline void sum_exp_tiles(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, bint loaded, bint keep,
    real* exps, double* sum_exp
) noexcept nogil:
    """Exponentials of up to ROWS rows over `exp_scale_inverse`; at the targets stands any number.

    sum_exp is the sum of each row, of e^(x_j - x_target) over j != target. The logits may be `loaded`.
    exps has room for one class more than there are, or than in a tile if they are neither kept nor
    loaded.
    """
    cdef real target_logit[ROWS]
    cdef real label[ROWS]
    cdef double scale = exp_scale_inverse(exps)
    cdef Py_ssize_t i
    cdef const char* next_rows = rows_ahead(&job.scores, start, 0)
    for i in range(ROWS):
        sum_exp[i] = 0.0
    if job.classes > TILE_CLASSES:
        sum_exp_wide_tiles(job, start, n, target, loaded, keep, exps, target_logit, sum_exp)
    else:
        labels_of_rows(target, n, label)
        if not loaded:
            load_tile(job, &job.scores, start, n, 0, job.classes, exps)
        take_targets(label, job.classes, exps, target_logit)
        # One exponential less than there are classes
        sum_exp_tile(
            target_logit, job.classes - 1, next_rows, job.scores.itemsize, exps, sum_exp
        )
        if keep:
            restore_last(label, job.classes, exps)
    for i in range(ROWS):
        # NaN for a target that is not finite: it may be the only class
        sum_exp[i] = sum_exp[i] * scale + <double>(target_logit[i] - target_logit[i])

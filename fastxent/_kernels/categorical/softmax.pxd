# Exponentials of rows of logits, for losses against class indices and their gradients.
#
# With d_j = x_j - x_target, the loss is log1p(sum of e^d_j over j != target). All terms are positive
# and the target's own 1 is not added, so a loss of 1e-18 is as accurate as one of 10. No pass over the
# row finds the maximum. A difference out of the exponential's range, or a NaN, makes the sum infinite
# or NaN; the caller then recomputes the row.
#
# Few classes: ROWS rows at a time, SIMD over the rows. Many classes: SIMD over the classes. The number
# of classes alone decides, never the layout: every layout gives the same bits.

from libc.stdint cimport int64_t, uint16_t
from libc.string cimport memcpy

from fastxent._kernels.arrays.load cimport (
    element_ptr, convert_dtype, is_real, load_one, view_classes, copy_elements, widen,
)
from fastxent._kernels.arrays.prefetch cimport AHEAD, prefetch_lanes
from fastxent._kernels.arrays.transpose cimport tile_of_rows
from fastxent._kernels.job cimport BLOCK, is_half, Job, LANES, Operand, ROWS, TILE_CLASSES
from fastxent._kernels.numeric.generic cimport difference, exp_scaled, exp_scale_inverse
from fastxent._kernels.numeric.sums cimport add, sum_lanes
from fastxent._kernels.types cimport real

cdef enum:
    # Up to so many classes, SIMD goes over the rows, tile by tile. Measured: beyond, or with float64
    # beyond half as many, SIMD over the classes is faster.
    TILED_CLASSES = 192

# ---- one exponential -------------------------------------------------------------------------


cdef inline real exp_difference(real x, real target) noexcept nogil:
    """e^(x - target) over `exp_scale_inverse`; the rounding error of the difference is compensated."""
    cdef real err
    cdef real d = difference(x, target, &err)
    return exp_scaled(d, err)


cdef inline real zero_if_small(real target_logit) noexcept nogil:
    """The logit, or 0 if it is smaller than 2^-7."""
    cdef real bound = 0.0078125, zero = 0
    return zero if -bound < target_logit and target_logit < bound else target_logit


cdef inline real exp_difference_half(real x, real target_logit, real large, real small) noexcept nogil:
    """`exp_difference` of numbers of at most 11 bits. target_logit is large + small; one of them is 0.

    The rounding error of d = x - target takes three operations, not five. For |target| >= |x| it is
    Dekker's x - (d + target). For |x| > |target| >= 2^-7 the difference is exact and the formula gives
    0: both are multiples of 2^-17, and |d| is below 2^7 or out of range. For a smaller target it is
    Dekker's other formula, (x - d) - target.
    """
    cdef real d = x - target_logit
    cdef real err = (x - (d + large)) - small
    return exp_scaled(d, err)


cdef inline void prefetch_classes(const Job* job, const char* place, Py_ssize_t i) noexcept nogil:
    """Prefetch AHEAD of class i of a row."""
    prefetch_lanes(place + (i + AHEAD) * job.scores.class_stride, job.scores.itemsize)


cdef inline void exp_shifted(
    const Job* job, const char* place, const real* x, Py_ssize_t n, real target_logit, real* exps
) noexcept nogil:
    """Exponentials of n classes of a row. They lie at `place` and are staged in x."""
    cdef real large = zero_if_small(target_logit)
    cdef Py_ssize_t i, j, whole = n - n % LANES
    if real is double:
        # Prefetching eight bytes per class in the loop of the sums comes all at once: 10 % slower.
        for i from 0 <= i < whole by LANES:
            prefetch_classes(job, place, i)
            for j in range(i, i + LANES):
                exps[j] = exp_difference(x[j], target_logit)
        for i in range(whole, n):
            exps[i] = exp_difference(x[i], target_logit)
    elif is_half(job.scores.dtype):
        for i in range(n):
            exps[i] = exp_difference_half(x[i], target_logit, large, target_logit - large)
    else:
        for i in range(n):
            exps[i] = exp_difference(x[i], target_logit)


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
    cdef const char* place
    cdef Py_ssize_t i
    if job.ndim > 1 or op.byteswapped or not (half or is_real(op.dtype, scores)):
        for i in range(n):
            place = element_ptr(job, op, start + i) + target[i] * op.class_stride
            scores[i] = <real>load_one(op, place)
        return
    for i in range(n):
        place = op.data + (start + i) * op.stride[0] + target[i] * op.class_stride
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


cdef inline void sum_tile(const real* tile, Py_ssize_t classes, double* total) noexcept nogil:
    """Add to total[i] the sum over the classes of row i, for ROWS rows."""
    cdef double sums[LANES]
    cdef double err[LANES]
    cdef double hi, part, x
    cdef Py_ssize_t first, j, k
    for first from 0 <= first < ROWS by LANES:
        for j in range(LANES):
            sums[j] = 0.0
            err[j] = 0.0
        for k in range(classes):
            for j in range(LANES):
                x = <double>tile[k * ROWS + first + j]
                if real is float:
                    sums[j] += x
                else:
                    # Without the rounding errors, the sum of float64 numbers would be off by an ulp.
                    hi = sums[j] + x
                    part = hi - sums[j]
                    err[j] += (sums[j] - (hi - part)) + (x - part)
                    sums[j] = hi
        for j in range(LANES):
            total[first + j] += sums[j] + err[j]


cdef inline void exp_tile(
    const real* target_logit, Py_ssize_t classes, const char* next_rows, real* tile
) noexcept nogil:
    """Exponentials of a tile, in place, class by class. The next rows are prefetched meanwhile."""
    cdef Py_ssize_t i, k, size = sizeof(real)
    for k in range(classes):
        prefetch_lanes(next_rows + k * ROWS * size, ROWS // LANES * size)
        for i in range(ROWS):
            tile[k * ROWS + i] = exp_difference(tile[k * ROWS + i], target_logit[i])


cdef inline void exp_half_tile(
    const real* target_logit, Py_ssize_t classes, const char* next_rows, real* tile
) noexcept nogil:
    """The same for half precision."""
    cdef real large[ROWS]
    cdef real small[ROWS]
    cdef Py_ssize_t i, k
    for i in range(ROWS):
        large[i] = zero_if_small(target_logit[i])
        small[i] = target_logit[i] - large[i]
    for k in range(classes):
        prefetch_lanes(next_rows + k * ROWS * 2, ROWS // LANES * 2)
        for i in range(ROWS):
            tile[k * ROWS + i] = exp_difference_half(
                tile[k * ROWS + i], target_logit[i], large[i], small[i]
            )


cdef inline bint is_tiled(const Job* job, const real* tag) noexcept nogil:
    """Whether SIMD goes over the rows."""
    if real is float:
        return job.classes <= TILED_CLASSES
    else:
        return job.classes <= TILED_CLASSES // 2


cdef inline void sum_exp_tile(
    const Job* job, const real* target_logit, const Py_ssize_t* place, Py_ssize_t m,
    const char* next_rows, real* tile, double* sum_exp
) noexcept nogil:
    """Exponentials of a tile of m classes, 0 at the places of the targets, added to the sums."""
    cdef Py_ssize_t i
    if is_half(job.scores.dtype):
        exp_half_tile(target_logit, m, next_rows, tile)
    else:
        exp_tile(target_logit, m, next_rows, tile)
    for i in range(ROWS):
        tile[place[i]] = 0
    sum_tile(tile, m, sum_exp)


cdef inline void sum_exp_wide_tiles(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, bint keep, real* exps,
    double* sum_exp
) noexcept nogil:
    """`sum_exp_tiles` of more than TILE_CLASSES classes: several tiles of one size."""
    cdef real target_logit[ROWS]
    cdef Py_ssize_t place[ROWS]
    cdef real* tile
    cdef const char* next_rows
    cdef Py_ssize_t first, i, k, m
    cdef Py_ssize_t tiles = (job.classes + TILE_CLASSES - 1) // TILE_CLASSES
    cdef Py_ssize_t width = (job.classes + tiles - 1) // tiles
    for i in range(n, ROWS):
        target_logit[i] = 0
        place[i] = i
    target_scores(job, start, n, target, target_logit)
    for i in range(ROWS):
        sum_exp[i] = <double>(target_logit[i] - target_logit[i])
    for first from 0 <= first < job.classes by width:
        m = min(width, job.classes - first)
        tile = exps + (first * ROWS if keep else 0)
        load_tile(job, &job.scores, start, n, first, m, tile)
        for i in range(n):
            # A target of another tile is written to the spare class, without a branch.
            k = target[i] - first
            place[i] = (k if 0 <= k < m else m) * ROWS + i
        next_rows = job.scores.data + (start + 2 * ROWS) * job.scores.stride[0]
        next_rows += first * ROWS * job.scores.itemsize
        sum_exp_tile(job, target_logit, place, m, next_rows, tile, sum_exp)


cdef inline void sum_exp_tiles(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, bint keep, real* exps,
    double* sum_exp
) noexcept nogil:
    """Exponentials of up to ROWS rows, 0 for the targets, and the sum of each row.

    exps has room for one class more than there are, or than in a tile if they are not kept.
    """
    cdef real target_logit[ROWS]
    cdef Py_ssize_t place[ROWS]     # index of the target in the tile
    cdef Py_ssize_t i
    # Two blocks ahead. Exact if the rows are contiguous, harmless if not.
    cdef const char* next_rows = job.scores.data + (start + 2 * ROWS) * job.scores.stride[0]
    if job.classes > TILE_CLASSES:
        sum_exp_wide_tiles(job, start, n, target, keep, exps, sum_exp)
    else:
        load_tile(job, &job.scores, start, n, 0, job.classes, exps)
        for i in range(n):
            place[i] = target[i] * ROWS + i
        for i in range(n, ROWS):
            place[i] = i
        for i in range(ROWS):
            target_logit[i] = exps[place[i]]
        for i in range(ROWS):
            # 0, or NaN if the target is not finite
            sum_exp[i] = <double>(target_logit[i] - target_logit[i])
        sum_exp_tile(job, target_logit, place, job.classes, next_rows, exps, sum_exp)
    for i in range(ROWS):
        sum_exp[i] *= exp_scale_inverse(exps)


# ---- many classes: SIMD over the classes -----------------------------------------------------


cdef inline double sum_exp_block(
    const Job* job, const char* row, Py_ssize_t target, real target_logit, Py_ssize_t first, int m,
    void* scratch, real* exps
) noexcept nogil:
    """Exponentials of m classes of a row, 0 for the target, and their sum.

    exps has room up to the next multiple of LANES.
    """
    cdef real staged[BLOCK]
    cdef double lanes[LANES]
    cdef const real* x = view_classes(&job.scores, row, first, m, scratch, staged)
    cdef const char* place = row + first * job.scores.class_stride
    cdef Py_ssize_t i, j, padded = (m + LANES - 1) // LANES * LANES
    exp_shifted(job, place, x, m, target_logit, exps)
    for i in range(m, padded):
        exps[i] = 0
    if first <= target < first + m:
        exps[target - first] = 0
    for j in range(LANES):
        lanes[j] = 0.0
    for i from 0 <= i < padded by LANES:
        if real is float:
            prefetch_classes(job, place, i)
        for j in range(LANES):
            lanes[j] += <double>exps[i + j]
    return sum_lanes(lanes)


cdef inline double sum_exp_row(
    const Job* job, const char* row, Py_ssize_t target, real target_logit, void* scratch
) noexcept nogil:
    """sum of e^(x_j - x_target) over j != target of one row; NaN if the target is not finite."""
    cdef real exps[BLOCK]
    cdef double hi = 0.0, lo = 0.0
    cdef Py_ssize_t first
    cdef int m
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        add(sum_exp_block(job, row, target, target_logit, first, m, scratch, exps), &hi, &lo)
    return (hi + lo) * exp_scale_inverse(exps) + <double>(target_logit - target_logit)

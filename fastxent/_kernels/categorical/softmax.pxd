# The exponentials of rows of logits, as losses against class indices and their gradients need them.
#
# With d_j = x_j - x_target, the loss is log1p(sum over j != target of e^d_j), the odds against the
# target. All terms are positive and the target's own 1 is never added, so that a loss of 1e-18 is as
# accurate as one of 10; there is no pass for the maximum. What is out of the exponential's range, or no
# number, makes the sum infinite or NaN, for the caller to see to.
#
# Few classes: ROWS rows at a time, SIMD over the rows. Many: SIMD over the classes. Which of the two
# depends on the number of classes alone, never on the layout: the same bits for every layout.

from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint16_t
from libc.string cimport memcpy

from fastxent._kernels.arrays.load cimport (
    at, convert_kind, is_real, load_one, view_classes, walk, widen,
)
from fastxent._kernels.arrays.prefetch cimport AHEAD, prefetch_lanes
from fastxent._kernels.arrays.transpose cimport tile_of_rows
from fastxent._kernels.job cimport BLOCK, is_half, Job, LANES, Operand, ROWS, TILE_CLASSES
from fastxent._kernels.numeric.generic cimport difference, odds_from, unit
from fastxent._kernels.numeric.sums cimport add, fold
from fastxent._kernels.types cimport real

# ---- one exponential -------------------------------------------------------------------------


cdef inline real odds(real x, real target) noexcept nogil:
    """e^(x - target) times 1 / `unit`: the rounding error of the difference is made good."""
    cdef real lost
    cdef real d = difference(x, target, &lost)
    return odds_from(d, lost)


cdef inline real unless_small(real own) noexcept nogil:
    """own, or 0 where it is below 2^-7."""
    cdef real bound = 0.0078125, zero = 0
    return zero if -bound < own and own < bound else own


cdef inline real odds_of_half(real x, real own, real large, real small) noexcept nogil:
    """`odds` of numbers of 11 digits or fewer; own is large + small, one of which is 0.

    What x - own loses takes three operations, not five. For |own| >= |x| it is Dekker's x - (d + own);
    for |x| > |own| >= 2^-7 nothing is lost, and that is 0: both are multiples of 2^-17, and |d| is
    below 2^7 or out of range. For an own that is smaller yet it is Dekker's other (x - d) - own.
    """
    cdef real d = x - own
    cdef real lost = (x - (d + large)) - small
    return odds_from(d, lost)


cdef inline void fetch_classes(const Job* job, const char* place, Py_ssize_t i) noexcept nogil:
    """Ask for what lies AHEAD of the class i of a run."""
    prefetch_lanes(place + (i + AHEAD) * job.scores.class_stride, job.scores.itemsize)


cdef inline void odds_of_run(
    const Job* job, const char* place, const real* x, Py_ssize_t n, real own, real* power
) noexcept nogil:
    """The odds of n classes of a row that lie at a place, and are staged in x."""
    cdef real large = unless_small(own)
    cdef Py_ssize_t i, j, whole = n - n % LANES
    if real is double:
        # In the sums alone, eight bytes a class would be asked for in a rush: a tenth slower.
        for i from 0 <= i < whole by LANES:
            fetch_classes(job, place, i)
            for j in range(i, i + LANES):
                power[j] = odds(x[j], own)
        for i in range(whole, n):
            power[i] = odds(x[i], own)
    elif is_half(job.scores.kind):
        for i in range(n):
            power[i] = odds_of_half(x[i], own, large, own - large)
    else:
        for i in range(n):
            power[i] = odds(x[i], own)


# ---- few classes: rows side by side ----------------------------------------------------------


cdef inline bint is_evenly_spaced(const Job* job, const Operand* op, const real* tag) noexcept nogil:
    """Whether the rows are of the kernels' type, aligned, and at one stride."""
    return (
        job.ndim == 1
        and is_real(op.kind, tag)
        and not op.swapped
        and (<size_t>op.data | <size_t>op.stride[0] | <size_t>op.class_stride) % sizeof(real) == 0
    )


cdef inline void target_scores(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, real* scores
) noexcept nogil:
    """The score of each row's target class."""
    cdef const Operand* op = &job.scores
    cdef uint16_t halves[BLOCK]
    cdef bint half = is_half(op.kind)
    cdef const char* place
    cdef Py_ssize_t i
    if job.ndim > 1 or op.swapped or not (half or is_real(op.kind, scores)):
        for i in range(n):
            place = at(job, op, start + i) + target[i] * op.class_stride
            scores[i] = <real>load_one(op, place)
        return
    for i in range(n):
        place = op.data + (start + i) * op.stride[0] + target[i] * op.class_stride
        if half:
            memcpy(&halves[i], place, 2)
        else:
            memcpy(&scores[i], place, sizeof(real))
    if half:
        widen(op.kind, halves, n, scores)


cdef inline void load_tile(
    const Job* job, const Operand* op, Py_ssize_t start, int n, real* tile
) noexcept nogil:
    """n rows of up to TILE_CLASSES classes: tile[k * ROWS + i], 0 where there is no row."""
    cdef real flat[ROWS * TILE_CLASSES]
    cdef Py_ssize_t i, k, size = sizeof(real)
    cdef Py_ssize_t classes = job.classes
    if n == ROWS and op.class_stride == op.itemsize:
        if is_evenly_spaced(job, op, tile):
            tile_of_rows(
                <const real*>(op.data + start * op.stride[0]), op.stride[0] // size, classes, tile
            )
            return
        if job.ndim == 1 and op.stride[0] == classes * op.itemsize and not op.swapped and (
            <size_t>op.data % <size_t>op.itemsize == 0
        ):
            convert_kind(op.kind, op.data + start * op.stride[0], <int>(ROWS * classes), flat)
            tile_of_rows(flat, classes, classes, tile)
            return
    for k in range(classes):
        walk(job, op, start, k * op.class_stride, n, <char*>flat, False)
        convert_kind(op.kind, flat, n, tile + k * ROWS)
        for i in range(n, ROWS):
            tile[k * ROWS + i] = 0


cdef inline void sum_tile(const real* tile, Py_ssize_t classes, double* total) noexcept nogil:
    """total += the sum over the classes of each of ROWS rows."""
    cdef double sums[LANES]
    cdef double lost[LANES]
    cdef double hi, part, x
    cdef Py_ssize_t first, j, k
    for first from 0 <= first < ROWS by LANES:
        for j in range(LANES):
            sums[j] = 0.0
            lost[j] = 0.0
        for k in range(classes):
            for j in range(LANES):
                x = <double>tile[k * ROWS + first + j]
                if real is float:
                    sums[j] += x
                else:
                    # What float64 loses of float64 would be an ulp, in the end.
                    hi = sums[j] + x
                    part = hi - sums[j]
                    lost[j] += (sums[j] - (hi - part)) + (x - part)
                    sums[j] = hi
        for j in range(LANES):
            total[first + j] += sums[j] + lost[j]


cdef inline void odds_of_tile(
    const real* own, Py_ssize_t classes, const char* next_rows, real* tile
) noexcept nogil:
    """The odds of a tile, in place, class by class; fetches the next rows meanwhile."""
    cdef Py_ssize_t i, k, size = sizeof(real)
    for k in range(classes):
        prefetch_lanes(next_rows + k * ROWS * size, ROWS // LANES * size)
        for i in range(ROWS):
            tile[k * ROWS + i] = odds(tile[k * ROWS + i], own[i])


cdef inline void odds_of_half_tile(
    const real* own, Py_ssize_t classes, const char* next_rows, real* tile
) noexcept nogil:
    """The same of half precision."""
    cdef real large[ROWS]
    cdef real small[ROWS]
    cdef Py_ssize_t i, k
    for i in range(ROWS):
        large[i] = unless_small(own[i])
        small[i] = own[i] - large[i]
    for k in range(classes):
        prefetch_lanes(next_rows + k * ROWS * 2, ROWS // LANES * 2)
        for i in range(ROWS):
            tile[k * ROWS + i] = odds_of_half(tile[k * ROWS + i], own[i], large[i], small[i])


cdef inline void tile_odds(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, real* tile, double* rest
) noexcept nogil:
    """Rows of few classes: their odds, class by class, 0 for the target, and the sum of each row's."""
    cdef real own[ROWS]
    cdef Py_ssize_t place[ROWS]     # of the target in the tile
    cdef Py_ssize_t i
    # Two blocks on; exact where the rows are one run, harmless where not.
    cdef const char* next_rows = job.scores.data + (start + 2 * ROWS) * job.scores.stride[0]
    load_tile(job, &job.scores, start, n, tile)
    for i in range(n):
        place[i] = target[i] * ROWS + i
    for i in range(n, ROWS):
        place[i] = i
    for i in range(ROWS):
        own[i] = tile[place[i]]
    if is_half(job.scores.kind):
        odds_of_half_tile(own, job.classes, next_rows, tile)
    else:
        odds_of_tile(own, job.classes, next_rows, tile)
    for i in range(ROWS):
        tile[place[i]] = 0
    for i in range(ROWS):
        # 0, or NaN for a target that is not finite
        rest[i] = <double>(own[i] - own[i])
    sum_tile(tile, job.classes, rest)
    for i in range(ROWS):
        rest[i] *= unit(tile)


# ---- many classes: a row at a time -----------------------------------------------------------


cdef inline void block_odds(
    const Job* job, const char* row, Py_ssize_t target, real own, Py_ssize_t first, int m,
    void* scratch, real* power, double* hi, double* lo
) noexcept nogil:
    """The odds of m classes of a row, 0 for the target, and their sum added to hi + lo.

    There is room for the next multiple of LANES in power.
    """
    cdef real staged[BLOCK]
    cdef double lanes[LANES]
    cdef const real* x = view_classes(&job.scores, row, first, m, scratch, staged)
    cdef const char* place = row + first * job.scores.class_stride
    cdef Py_ssize_t i, j, padded = (m + LANES - 1) // LANES * LANES
    odds_of_run(job, place, x, m, own, power)
    for i in range(m, padded):
        power[i] = 0
    if first <= target < first + m:
        power[target - first] = 0
    for j in range(LANES):
        lanes[j] = 0.0
    for i from 0 <= i < padded by LANES:
        if real is float:
            fetch_classes(job, place, i)
        for j in range(LANES):
            lanes[j] += <double>power[i + j]
    add(fold(lanes), hi, lo)


cdef inline double row_odds(
    const Job* job, const char* row, Py_ssize_t target, real own, void* scratch
) noexcept nogil:
    """The odds against the target of one row; NaN where the target is not finite."""
    cdef real power[BLOCK]
    cdef double hi = 0.0, lo = 0.0
    cdef Py_ssize_t first
    for first from 0 <= first < job.classes by BLOCK:
        block_odds(
            job, row, target, own, first, <int>min(<Py_ssize_t>BLOCK, job.classes - first), scratch,
            power, &hi, &lo,
        )
    return (hi + lo) * unit(power) + <double>(own - own)

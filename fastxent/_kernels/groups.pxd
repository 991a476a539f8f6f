# Sums of single losses, and of their squares about a mean, by group.

from libc.math cimport INFINITY
from libc.stdint cimport int64_t

from fastxent._kernels.job cimport (
    BLOCK, GroupBlock, GroupDeltas, GroupSquares, GroupSums, LANES,
)
from fastxent._kernels.numeric.sums cimport add, sum_lanes
from fastxent._kernels.types cimport real


cdef inline void shift(GroupSquares* row, double centre) noexcept nogil:
    """Move the centre of a group."""
    cdef double by = centre - row.centre
    if by != 0.0:
        row.ee -= by * (2.0 * row.ew - by * row.ww)
        row.ew -= by * row.ww
        row.centre = centre


cdef inline void follow(
    GroupSquares* row, const GroupSums* first, const GroupSums* second
) noexcept nogil:
    """Move the centre of a group to its mean, less that of the other model unless NULL."""
    cdef double weight = first.weight + first.weight_lo
    cdef double total = first.total + first.total_lo
    if second != NULL:
        total -= second.total + second.total_lo
    if weight != 0.0:
        shift(row, total / weight)


cdef inline void follow_all(
    const GroupBlock* block, const GroupSums* first, const GroupSums* second,
    GroupSquares* squares
) noexcept nogil:
    """Move the centres of the groups of a block to their means."""
    cdef bint every = block.code == NULL or block.groups <= block.n
    cdef Py_ssize_t i, g, n = block.groups if every else block.n
    for i in range(n):
        g = i if every else <Py_ssize_t>(block.code[i] - block.low)
        follow(&squares[g], &first[g], second if second == NULL else &second[g])


# ---- float32 losses of weight 1 --------------------------------------------------------------
# One pass: the losses are summed about a centre that is a float32, so that its product with a count is
# exact. It follows the mean from block to block. A new group's is its first loss: the variance of a
# block is at least (first loss - mean)^2 / n, so little of the squares cancels.

cdef inline void begin_deltas(
    const float* loss, const GroupBlock* block, const GroupSquares* squares
) noexcept nogil:
    cdef GroupDeltas* row
    cdef double x
    cdef bint new = False
    cdef Py_ssize_t i
    for i in range(block.groups):
        new |= squares[i].n == 0.0
    if new:
        for i in range(block.n - 1, -1, -1):
            x = <double>loss[i]
            row = &block.deltas[block.code[i] - block.low]
            row.centre = x if -INFINITY < x and x < INFINITY else 0.0
    for i in range(block.groups):
        row = &block.deltas[i]
        row.ee = row.ew = row.n = 0.0
        if squares[i].n != 0.0:
            row.centre = squares[i].centre


cdef inline void end_deltas(
    const GroupBlock* block, GroupSums* sums, GroupSquares* squares
) noexcept nogil:
    """Add what a block has summed, and let the centres follow."""
    cdef const GroupDeltas* row
    cdef double mean
    cdef Py_ssize_t i
    for i in range(block.groups):
        row = &block.deltas[i]
        if row.n == 0.0:
            continue
        add(row.centre * row.n, &sums[i].total, &sums[i].total_lo)
        add(row.ew, &sums[i].total, &sums[i].total_lo)
        add(row.n, &sums[i].weight, &sums[i].weight_lo)
        sums[i].count += row.n
        shift(&squares[i], row.centre)
        squares[i].ee += row.ee
        squares[i].ew += row.ew
        squares[i].ww += row.n
        squares[i].n += row.n
        mean = <double><float>(sums[i].total / sums[i].weight)
        if -INFINITY < mean and mean < INFINITY:
            shift(&squares[i], mean)


cdef inline void add_deltas(
    const float* loss, const GroupBlock* block, GroupSums* sums, GroupSquares* squares
) noexcept nogil:
    """Add the losses and their squares by group."""
    cdef GroupDeltas* row
    cdef double e
    cdef Py_ssize_t i
    begin_deltas(loss, block, squares)
    for i in range(block.n):
        row = &block.deltas[block.code[i] - block.low]
        e = <double>loss[i] - row.centre
        row.ee += e * e
        row.ew += e
        row.n += 1.0
        row.centre += 0.0   # the fourth of one wide addition
    end_deltas(block, sums, squares)


# ---- any losses ------------------------------------------------------------------------------


cdef inline void sum_by_group(
    const real* loss, const GroupBlock* block, GroupSums* sums
) noexcept nogil:
    cdef GroupSums* row
    cdef Py_ssize_t i
    for i in range(block.n):
        row = &sums[block.code[i] - block.low]
        add(<double>loss[i], &row.total, &row.total_lo)
        if block.weight == NULL:
            row.weight += 1.0       # exact
        else:
            add(block.weight[i], &row.weight, &row.weight_lo)
        row.count += 1.0 if block.valid == NULL else <double>block.valid[i]


cdef inline double run_sum(const real* x, Py_ssize_t n) noexcept nogil:
    """The sum of up to BLOCK numbers."""
    cdef double[LANES] lanes
    cdef Py_ssize_t i, j, whole = n // LANES * LANES
    for j in range(LANES):
        lanes[j] = 0.0
    for i from 0 <= i < whole by LANES:
        for j in range(LANES):
            lanes[j] += <double>x[i + j]
    for i in range(whole, n):
        lanes[i - whole] += <double>x[i]
    return sum_lanes(lanes)


cdef inline void sum_all(const real* loss, const GroupBlock* block, GroupSums* row) noexcept nogil:
    cdef Py_ssize_t i, start, n
    for start from 0 <= start < block.n by BLOCK:
        n = min(<Py_ssize_t>BLOCK, block.n - start)
        add(run_sum(loss + start, n), &row.total, &row.total_lo)
        if block.weight != NULL:
            add(run_sum(block.weight + start, n), &row.weight, &row.weight_lo)
    if block.weight == NULL:
        add(<double>block.n, &row.weight, &row.weight_lo)
    if block.valid == NULL:
        row.count += <double>block.n
    else:
        for i in range(block.n):
            row.count += <double>block.valid[i]


cdef inline void square_by_group(
    const real* loss, const real* other, const GroupBlock* block, GroupSquares* squares
) noexcept nogil:
    """Add the squares of the losses, less the other model's unless NULL."""
    cdef GroupSquares* row
    cdef double e, w = 1.0
    cdef Py_ssize_t i
    for i in range(block.n):
        row = &squares[block.code[i] - block.low]
        if block.weight != NULL:
            w = block.weight[i]
        e = <double>loss[i]
        if other != NULL:
            e -= <double>other[i]
        e -= row.centre * w
        row.ee += e * e
        row.ew += e * w
        row.ww += w * w
        row.n += w != 0.0


cdef inline void square_run(
    double* e, const double* weight, Py_ssize_t n, GroupSquares* row
) noexcept nogil:
    """Add the squares of n losses; they are overwritten, and up to LANES after them."""
    cdef double[BLOCK + LANES] w
    cdef double[LANES] ee, ew, ww, nonzero
    cdef double centre = row.centre
    cdef Py_ssize_t i, j
    for j in range(LANES):
        ee[j] = ew[j] = ww[j] = nonzero[j] = 0.0
        e[n + j] = w[n + j] = 0.0
    if weight == NULL:
        for i in range(n):
            e[i] -= centre
        for i from 0 <= i < n by LANES:
            for j in range(LANES):
                ee[j] += e[i + j] * e[i + j]
                ew[j] += e[i + j]
        row.ww += <double>n
        row.n += <double>n
    else:
        for i in range(n):
            w[i] = weight[i]
            e[i] -= centre * w[i]
        for i from 0 <= i < n by LANES:
            for j in range(LANES):
                ee[j] += e[i + j] * e[i + j]
                ew[j] += e[i + j] * w[i + j]
                ww[j] += w[i + j] * w[i + j]
                nonzero[j] += 1.0 if w[i + j] != 0.0 else 0.0
        row.ww += sum_lanes(ww)
        row.n += sum_lanes(nonzero)
    row.ee += sum_lanes(ee)
    row.ew += sum_lanes(ew)


cdef inline void square_all(
    const real* loss, const real* other, const GroupBlock* block, GroupSquares* row
) noexcept nogil:
    """As `square_by_group`, where all are of one group."""
    cdef double[BLOCK + LANES] e
    cdef const double* weight
    cdef Py_ssize_t i, start, n
    for start from 0 <= start < block.n by BLOCK:
        n = min(<Py_ssize_t>BLOCK, block.n - start)
        for i in range(n):
            e[i] = <double>loss[start + i]
        if other != NULL:
            for i in range(n):
                e[i] -= <double>other[start + i]
        weight = block.weight
        square_run(e, weight if weight == NULL else weight + start, n, row)


cdef inline void add_squares_by_group(
    const real* losses, const real* other, const GroupBlock* block, const GroupSums* sums,
    const GroupSums* other_sums, GroupSquares* squares
) noexcept nogil:
    """Add the squares of a block's losses, which the sums include, about their means."""
    follow_all(block, sums, other_sums, squares)
    if block.code == NULL:
        square_all(losses, other, block, squares)
    else:
        square_by_group(losses, other, block, squares)


cdef inline void add_losses_by_group(
    const real* losses, const GroupBlock* block, GroupSums* sums, GroupSquares* squares
) noexcept nogil:
    """Add the losses of a block to the sums of their groups, and their squares unless NULL."""
    if real is float:
        if block.deltas != NULL:
            add_deltas(losses, block, sums, squares)
            return
    if block.code == NULL:
        sum_all(losses, block, sums)
    else:
        sum_by_group(losses, block, sums)
    if squares != NULL:
        add_squares_by_group(losses, <const real*>NULL, block, sums, NULL, squares)

"""Sums of losses, and of their squares about a mean, by group.

Compiled for the baseline only: by group, memory and chains of additions set the pace. The arrays are
contiguous and have been checked by the caller.
"""

cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t

from fastxent._kernels.job cimport BLOCK, LANES
from fastxent._kernels.numeric.sums cimport add, sum_lanes
from fastxent._kernels.types cimport real

cnp.import_array()

cdef struct Losses:     # of a block, times their weights
    const double* weight    # NULL: all are 1
    const uint8_t* valid    # NULL: all count
    const int64_t* code     # the group of each, from `low` on; NULL: all are of one
    int64_t low
    Py_ssize_t n

cdef struct Sums:       # of a group; the sums are unevaluated pairs
    double total
    double total_lo
    double weight
    double weight_lo
    double count

cdef struct Squares:    # of e = loss - centre * weight, of a group
    double ee
    double ew
    double ww
    double n            # how many weights are not 0
    double centre


cdef inline const void* data_of(array) noexcept:
    """The data of an array, or NULL for None."""
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray>array)


cdef inline Losses losses_of(weight, valid, code, int64_t low, Py_ssize_t n) noexcept:
    return Losses(
        <const double*>data_of(weight), <const uint8_t*>data_of(valid),
        <const int64_t*>data_of(code), low, n,
    )


cdef void sum_by_group(const real* loss, const Losses* block, Sums* sums) noexcept nogil:
    cdef Sums* row
    cdef Py_ssize_t i
    if block.weight == NULL:    # sums of ones are exact
        for i in range(block.n):
            row = &sums[block.code[i] - block.low]
            add(<double>loss[i], &row.total, &row.total_lo)
            row.weight += 1.0
            row.count += 1.0
        return
    for i in range(block.n):
        row = &sums[block.code[i] - block.low]
        add(<double>loss[i], &row.total, &row.total_lo)
        add(block.weight[i], &row.weight, &row.weight_lo)
        row.count += 1.0 if block.valid == NULL else <double>block.valid[i]


cdef double run_sum(const real* x, Py_ssize_t n) noexcept nogil:
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


cdef void sum_all(const real* loss, const Losses* block, Sums* row) noexcept nogil:
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


cdef void square_by_group(
    const real* loss, const real* other, const Losses* block, Squares* squares
) noexcept nogil:
    """Add the squares of the losses, less the other model's unless NULL."""
    cdef Squares* row
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


cdef void square_run(double* e, const double* weight, Py_ssize_t n, Squares* row) noexcept nogil:
    """Add the squares of n losses; they are overwritten, and up to LANES after them."""
    cdef double[BLOCK + LANES] w
    cdef double[LANES] ee, ew, ww
    cdef double centre = row.centre
    cdef Py_ssize_t i, j
    for j in range(LANES):
        ee[j] = ew[j] = ww[j] = 0.0
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
        for i in range(n):
            row.n += w[i] != 0.0
        row.ww += sum_lanes(ww)
    row.ee += sum_lanes(ee)
    row.ew += sum_lanes(ew)


cdef void square_all(
    const real* loss, const real* other, const Losses* block, Squares* row
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


cdef void shift(Squares* row, double centre) noexcept nogil:
    """Move the centre of a group."""
    cdef double by = centre - row.centre
    if by != 0.0:
        row.ee -= by * (2.0 * row.ew - by * row.ww)
        row.ew -= by * row.ww
        row.centre = centre


def add_sums(
    cnp.ndarray losses not None, weight, valid, code, int64_t low, cnp.ndarray sums not None
) -> None:
    """Add the losses of a block, times their weights, to the sums of their groups.

    Parameters
    ----------
    losses : ndarray of float32 or float64
    weight, valid : ndarray of float64, of bool, or None
        None: all weights are 1, all count.
    code : ndarray of int64 or None
        The group of each loss, from `low` on; None: all are of one.
    low : int
    sums : ndarray of float64, of shape (groups, 5)
        total, its low part, weight, its low part, count.
    """
    cdef Losses block = losses_of(weight, valid, code, low, cnp.PyArray_SIZE(losses))
    cdef const void* data = cnp.PyArray_DATA(losses)
    cdef Sums* rows = <Sums*>cnp.PyArray_DATA(sums)
    cdef bint short_ = cnp.PyArray_ITEMSIZE(losses) == 4
    with nogil:
        if block.code == NULL and short_:
            sum_all(<const float*>data, &block, rows)
        elif block.code == NULL:
            sum_all(<const double*>data, &block, rows)
        elif short_:
            sum_by_group(<const float*>data, &block, rows)
        else:
            sum_by_group(<const double*>data, &block, rows)


cdef inline void follow(Squares* row, const Sums* first, const Sums* second) noexcept nogil:
    """Move the centre of a group to its mean, less that of the other model unless NULL."""
    cdef double weight = first.weight + first.weight_lo
    cdef double total = first.total + first.total_lo
    if second != NULL:
        total -= second.total + second.total_lo
    if weight != 0.0:
        shift(row, total / weight)


def follow_means(
    cnp.ndarray squares not None, cnp.ndarray sums not None, other, Py_ssize_t groups,
    cnp.ndarray code, int64_t low,
) -> None:
    """Move the centres of the groups of a block to their means.

    Parameters
    ----------
    squares, sums, code, low
        As for `add_squares` and `add_sums`.
    other : ndarray or None
        The sums of another model: then the means are those of the differences.
    groups : int
        How many there are.
    """
    cdef Squares* rows = <Squares*>cnp.PyArray_DATA(squares)
    cdef const Sums* first = <const Sums*>cnp.PyArray_DATA(sums)
    cdef const Sums* second = <const Sums*>data_of(other)
    cdef const int64_t* codes = <const int64_t*>data_of(code)
    cdef Py_ssize_t i, g, n = 0 if code is None else cnp.PyArray_SIZE(code)
    cdef bint all_ = codes == NULL or groups <= n
    with nogil:
        for i in range(groups if all_ else n):
            g = i if all_ else <Py_ssize_t>(codes[i] - low)
            follow(&rows[g], &first[g], second if second == NULL else &second[g])


def shift_centres(cnp.ndarray centres not None, cnp.ndarray squares not None) -> None:
    """Move the centres of the squares: one for each group."""
    cdef const double* to = <const double*>cnp.PyArray_DATA(centres)
    cdef Squares* rows = <Squares*>cnp.PyArray_DATA(squares)
    cdef Py_ssize_t i, n = cnp.PyArray_SIZE(centres)
    with nogil:
        for i in range(n):
            shift(&rows[i], to[i])


def add_squares(
    cnp.ndarray losses not None, other, weight, code, int64_t low, cnp.ndarray squares not None
) -> None:
    """Add the squares of a block about the centres of their groups.

    Parameters
    ----------
    losses, weight, code, low
        As for `add_sums`.
    other : ndarray or None
        The losses of another model, in the same dtype: then the differences count.
    squares : ndarray of float64, of shape (groups, 5)
        The sums of e², e w and w² of e = loss - centre w; how many weights are not 0; the centre.
    """
    cdef Losses block = losses_of(weight, None, code, low, cnp.PyArray_SIZE(losses))
    cdef const void* data = cnp.PyArray_DATA(losses)
    cdef const void* second = data_of(other)
    cdef Squares* rows = <Squares*>cnp.PyArray_DATA(squares)
    cdef bint short_ = cnp.PyArray_ITEMSIZE(losses) == 4
    with nogil:
        if block.code == NULL and short_:
            square_all(<const float*>data, <const float*>second, &block, rows)
        elif block.code == NULL:
            square_all(<const double*>data, <const double*>second, &block, rows)
        elif short_:
            square_by_group(<const float*>data, <const float*>second, &block, rows)
        else:
            square_by_group(<const double*>data, <const double*>second, &block, rows)

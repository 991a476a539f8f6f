"""Sums of losses, and of their squares about a mean, by group: the binding of groups.pxd.

The arrays are contiguous and have been checked by the caller.
"""

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint8_t

from fastxent._kernels.job cimport (
    DType, FLOAT32, FLOAT64, GroupBlock, GroupSquares, GroupSums, KernelTable,
)

cnp.import_array()

cdef KernelTable* table = NULL


def set_kernels(capsule) -> None:
    """Use the kernels of a level from now on."""
    global table
    table = <KernelTable*>PyCapsule_GetPointer(capsule, NULL)


cdef inline const void* data_of(array) noexcept:
    """The data of an array, or NULL for None."""
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray>array)


cdef inline DType dtype_of(cnp.ndarray losses) noexcept:
    return FLOAT32 if cnp.PyArray_ITEMSIZE(losses) == 4 else FLOAT64


cdef inline GroupBlock block_of(
    cnp.ndarray losses, weight, valid, code, int64_t low, cnp.ndarray rows
) noexcept:
    return GroupBlock(
        <const double*>data_of(weight), <const uint8_t*>data_of(valid),
        <const int64_t*>data_of(code), low, cnp.PyArray_SIZE(losses), cnp.PyArray_DIM(rows, 0),
    )


cdef void shift(GroupSquares* row, double centre) noexcept nogil:
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
    cdef GroupBlock block = block_of(losses, weight, valid, code, low, sums)
    cdef const void* data = cnp.PyArray_DATA(losses)
    cdef GroupSums* rows = <GroupSums*>cnp.PyArray_DATA(sums)
    cdef DType dtype = dtype_of(losses)
    with nogil:
        table.add_sums(dtype, data, &block, rows)


cdef inline void follow(GroupSquares* row, const GroupSums* first, const GroupSums* second) noexcept nogil:
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
    cdef GroupSquares* rows = <GroupSquares*>cnp.PyArray_DATA(squares)
    cdef const GroupSums* first = <const GroupSums*>cnp.PyArray_DATA(sums)
    cdef const GroupSums* second = <const GroupSums*>data_of(other)
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
    cdef GroupSquares* rows = <GroupSquares*>cnp.PyArray_DATA(squares)
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
    cdef GroupBlock block = block_of(losses, weight, None, code, low, squares)
    cdef const void* data = cnp.PyArray_DATA(losses)
    cdef const void* second = data_of(other)
    cdef GroupSquares* rows = <GroupSquares*>cnp.PyArray_DATA(squares)
    cdef DType dtype = dtype_of(losses)
    with nogil:
        table.add_squares(dtype, data, second, &block, rows)

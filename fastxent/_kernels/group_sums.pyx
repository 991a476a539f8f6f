"""Sums of losses, and of their squares about a mean, by group: the binding of groups.pxd.

The arrays are contiguous and have been checked by the caller.
"""

cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc

from fastxent._kernels.groups cimport shift
from fastxent._kernels.job cimport (
    DType, FLOAT32, FLOAT64, GroupBlock, GroupDeltas, GroupSquares, GroupSums, KernelTable,
)

cnp.import_array()

cdef KernelTable* table = NULL


def set_group_kernels(capsule) -> None:
    """Use the kernels of a level from now on."""
    global table
    table = <KernelTable*>PyCapsule_GetPointer(capsule, NULL)


cdef inline const void* data_of(array) noexcept:
    """The data of an array, or NULL for None."""
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray>array)


cdef inline DType dtype_of(cnp.ndarray losses) noexcept:
    return FLOAT32 if cnp.PyArray_ITEMSIZE(losses) == 4 else FLOAT64


cdef GroupBlock block_of(
    cnp.ndarray losses, weight, valid, code, int64_t low, cnp.ndarray rows
) noexcept:
    return GroupBlock(
        <const double*>data_of(weight), <const uint8_t*>data_of(valid),
        <const int64_t*>data_of(code), low, cnp.PyArray_SIZE(losses), cnp.PyArray_DIM(rows, 0), NULL,
    )


cdef bint has_deltas(DType dtype, const GroupBlock* block) noexcept:
    """Whether the sums and squares of a block are to be taken in one pass."""
    return (
        dtype == FLOAT32 and block.code != NULL and block.weight == NULL and block.valid == NULL
        and block.groups <= block.n
    )


def add_losses(
    cnp.ndarray losses not None, weight, valid, code, int64_t low, cnp.ndarray sums not None, squares
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
    squares : ndarray of float64, of shape (groups, 5), or None
        The sums of e², e w and w² of e = loss - centre w; how many weights are not 0; the centre,
        which follows the mean.
    """
    cdef DType dtype = dtype_of(losses)
    cdef GroupBlock block = block_of(losses, weight, valid, code, low, sums)
    cdef const void* data = cnp.PyArray_DATA(losses)
    cdef GroupSums* rows = <GroupSums*>cnp.PyArray_DATA(sums)
    cdef GroupSquares* second = <GroupSquares*>data_of(squares)
    if second != NULL and has_deltas(dtype, &block):
        block.deltas = <GroupDeltas*>malloc(block.groups * sizeof(GroupDeltas))
        if block.deltas == NULL:
            raise MemoryError
    with nogil:
        table.add_losses(dtype, data, &block, rows, second)
        free(block.deltas)


def add_differences(
    cnp.ndarray losses not None, cnp.ndarray other not None, weight, code, int64_t low,
    cnp.ndarray sums not None, cnp.ndarray other_sums not None, cnp.ndarray squares not None
) -> None:
    """Add the squares of the differences of two models' losses, which their sums include already.

    Parameters
    ----------
    losses, other, weight, code, low, sums, other_sums, squares
        As for `add_losses`; the arrays of both models have one dtype, and their weights are equal.
    """
    cdef DType dtype = dtype_of(losses)
    cdef GroupBlock block = block_of(losses, weight, None, code, low, sums)
    cdef const void* data[2]
    cdef const GroupSums* rows[2]
    cdef GroupSquares* differences = <GroupSquares*>cnp.PyArray_DATA(squares)
    data[0], data[1] = cnp.PyArray_DATA(losses), cnp.PyArray_DATA(other)
    rows[0] = <const GroupSums*>cnp.PyArray_DATA(sums)
    rows[1] = <const GroupSums*>cnp.PyArray_DATA(other_sums)
    with nogil:
        table.add_differences(dtype, data[0], data[1], &block, rows[0], rows[1], differences)


def shift_centres(cnp.ndarray centres not None, cnp.ndarray squares not None) -> None:
    """Move the centres of the squares: one for each group."""
    cdef const double* to = <const double*>cnp.PyArray_DATA(centres)
    cdef GroupSquares* rows = <GroupSquares*>cnp.PyArray_DATA(squares)
    cdef Py_ssize_t i, n = cnp.PyArray_SIZE(centres)
    with nogil:
        for i in range(n):
            shift(&rows[i], to[i])

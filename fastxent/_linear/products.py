"""The sizes of the blocks, half precision widened, and the product of two matrices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastxent._core.validation import is_bfloat16, output_dtype
from fastxent._linear.operands import LinearOperands

Array = np.ndarray[Any, Any]

#: Bytes of a block of logits, with a copy of the hidden states of its rows, and their gradients.
BLOCK = 56 << 20
#: Bytes of a part of the weights that is widened, and of a product that is added to another.
STAGED = 2 << 20
#: Rows at a time. More gain nothing: measured, the product is at its full speed from 512 on.
MOST_ROWS = 2048
#: With fewer rows the product of all words is slower than making the logits twice.
FEWEST_ROWS = 96


class Plan(NamedTuple):
    """How many rows, and how many words of the vocabulary, are computed at a time."""

    rows: int
    words: int


def plan(operands: LinearOperands, derivative: bool) -> Plan:
    """The sizes of the blocks.

    A gradient needs the logits of a row twice: before and after their sum of exponentials is known.
    Blocks of whole rows keep them. But half precision is widened once for each block of rows.
    """
    size = operands.dtype.itemsize
    half = output_dtype(operands.weight) != operands.weight.dtype
    count, classes = max(1, operands.rows.size), operands.classes
    states = operands.hidden.shape[-1] * (2 if derivative else 1)
    whole = BLOCK // ((classes + states) * size)
    if derivative and not half and whole >= min(FEWEST_ROWS, count):
        return Plan(_even(count, min(whole, MOST_ROWS)), classes)
    rows = _even(count, min(BLOCK // (2 * states * size + 1), MOST_ROWS))
    return Plan(rows, _even(classes, (BLOCK - rows * states * size) // (rows * size)))


def _even(total: int, most: int) -> int:
    """The size of as few equal blocks as there can be; a small last one would be slow."""
    return -(-total // -(-total // max(1, most)))


def rows_of(array: Array, index: tuple[Array, ...], dtype: Any) -> Array:
    """Rows of an array in the dtype of the logits: the array itself where it can be."""
    if array.ndim == 2 and array.dtype == dtype:
        first, last = int(index[0][0]), int(index[0][-1])
        if last - first + 1 == index[0].size:
            return array[first : last + 1]
    return widened(array[index], dtype)


def widened(array: Array, dtype: Any, buffer: Array | None = None) -> Array:
    """The same numbers in another dtype; bfloat16 by its bits, which is faster."""
    if array.dtype == dtype:
        return array
    if buffer is None:
        buffer = np.empty(array.shape, dtype)
    out = buffer[: array.shape[0]]
    if is_bfloat16(array) and array.dtype.isnative and dtype == np.float32:
        bits = out.view(np.uint32)
        np.copyto(bits, array.view(np.uint16))
        np.left_shift(bits, 16, out=bits)
    else:
        with np.errstate(invalid="ignore"):  # a signaling NaN: the loss decides
            np.copyto(out, array, casting="same_kind")
    return out


def cuts(start: int, stop: int, step: int) -> Iterator[slice]:
    """Yield slices of at most `step`."""
    for first in range(start, stop, max(1, step)):
        yield slice(first, min(stop, first + max(1, step)))


class Weights:
    """The weights of the words, block by block, in the dtype of the logits.

    Parameters
    ----------
    operands : LinearOperands
    """

    def __init__(self, operands: LinearOperands) -> None:
        self.weight, self.dtype = operands.weight, operands.dtype
        features = max(1, self.weight.shape[1])
        self.step = self.weight.shape[0]
        self.buffer: Array | None = None
        if self.weight.dtype != self.dtype:
            self.step = max(64, STAGED // (features * self.dtype.itemsize))
            words = min(self.step, self.weight.shape[0])
            self.buffer = np.empty((words, features), self.dtype)

    def blocks(self, words: slice) -> Iterator[tuple[slice, Array]]:
        """Yield parts of a block of words, and their weights."""
        for part in cuts(words.start, words.stop, self.step):
            yield part, widened(self.weight[part], self.dtype, self.buffer)


def logits(hidden: Array, weights: Weights, bias: Array | None, words: slice, out: Array) -> Array:
    """The logits of some words, in the buffer."""
    block: Array = out[: hidden.shape[0] * (words.stop - words.start)]
    block = block.reshape(hidden.shape[0], -1)
    for part, weight in weights.blocks(words):
        place = slice(part.start - words.start, part.stop - words.start)
        np.matmul(hidden, weight.T, out=block[:, place])
    if bias is not None:
        block += bias[words].astype(block.dtype, copy=False)
    return block


def add_product(a: Array, b: Array, total: Array, first: bool) -> None:
    """Total += a @ b, in parts of the rows of a; the first time total is only written to.

    Of more rows at a time the BLAS would make a copy of many MiB.
    """
    step = max(64, STAGED // max(1, b.shape[1] * a.dtype.itemsize))
    direct = first and total.dtype == a.dtype
    buffer = None if direct else np.empty((min(step, a.shape[0]), b.shape[1]), a.dtype)
    for part in cuts(0, a.shape[0], step):
        out = total[part] if buffer is None else buffer[: part.stop - part.start]
        np.matmul(a[part], b, out=out)
        if first and not direct:
            total[part] = out
        elif not first:
            total[part] += out

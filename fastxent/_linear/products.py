"""The sizes of the blocks, half precision widened, and the product of two matrices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastxent._core.validation import is_bfloat16
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


def cuts(start: int, stop: int, step: int) -> Iterator[slice]:
    """Yield slices of at most `step`."""
    for first in range(start, stop, max(1, step)):
        yield slice(first, min(stop, first + max(1, step)))


def _even(total: int, most: int) -> int:
    """The size of as few equal blocks as there can be; a small last one would be slow."""
    return -(-total // -(-total // max(1, most)))


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


class Product:
    """The products of one call, by NumPy's BLAS: half precision is widened part by part.

    Parameters
    ----------
    operands : LinearOperands

    Attributes
    ----------
    dtype : dtype
        Of the matrices that are multiplied.
    """

    def __init__(self, operands: LinearOperands) -> None:
        self.operands = operands
        self.dtype: Any = operands.dtype
        self._buffer: Array | None = None

    def plan(self, derivative: bool) -> Plan:
        """The sizes of the blocks.

        A gradient needs the logits of a row twice: before and after their sum of exponentials is
        known. Blocks of whole rows keep them. But weights are widened once for each block of rows.
        """
        operands, size = self.operands, self.operands.dtype.itemsize
        count, classes = max(1, operands.rows.size), operands.classes
        states = operands.hidden.shape[-1] * (2 if derivative else 1)
        whole = BLOCK // ((classes + states) * size)
        if derivative and not self._widens and whole >= min(FEWEST_ROWS, count):
            return Plan(_even(count, min(whole, MOST_ROWS)), classes)
        rows = _even(count, min(BLOCK // (2 * states * size + 1), MOST_ROWS))
        return Plan(rows, _even(classes, (BLOCK - rows * states * size) // (rows * size)))

    def hidden(self, index: tuple[Array, ...]) -> Array:
        """The hidden states of some rows: the array itself where it can be."""
        array = self.operands.hidden
        if array.ndim == 2 and array.dtype == self.dtype:
            first, last = int(index[0][0]), int(index[0][-1])
            if last - first + 1 == index[0].size:
                return array[first : last + 1]
        return widened(array[index], self.dtype)

    def weights(self, words: slice, rows: int) -> Iterator[tuple[slice, Array]]:
        """Yield parts of a block of words, and their weights; `rows` are multiplied by them."""
        weight, step = self.operands.weight, self.step(rows)
        if self._widens and self._buffer is None:
            self._buffer = np.empty((min(step, len(weight)), weight.shape[1]), self.dtype)
        for part in cuts(words.start, words.stop, step):
            yield part, widened(weight[part], self.dtype, self._buffer)

    @property
    def _widens(self) -> bool:
        return bool(self.operands.weight.dtype != self.dtype)

    def step(self, rows: int) -> int:  # noqa: ARG002
        """How many words are multiplied at a time."""
        if not self._widens:
            return self.operands.classes
        return parts_of(self.operands.weight.shape[1] * self.dtype.itemsize)

    def multiply(self, a: Array, b: Array, out: Array) -> None:
        """Write a @ b."""
        np.matmul(a, b, out=out)

    def logits(self, hidden: Array, words: slice, out: Array) -> Array:
        """The logits of some words, in the buffer."""
        rows = hidden.shape[0]
        block: Array = out[: rows * (words.stop - words.start)].reshape(rows, -1)
        for part, weight in self.weights(words, rows):
            place = slice(part.start - words.start, part.stop - words.start)
            self.multiply(hidden, weight.T, block[:, place])
        if self.operands.bias is not None:
            block += self.operands.bias[words].astype(block.dtype, copy=False)
        return block

    def add(self, a: Array, b: Array, total: Array, first: bool) -> None:
        """Total += a @ b, in parts of the rows of a; the first time total is only written to.

        Of more rows at a time the BLAS would make a copy of many MiB.
        """
        dtype = self.operands.dtype
        step = parts_of(b.shape[1] * dtype.itemsize)
        direct = first and total.dtype == dtype
        buffer = None if direct else np.empty((min(step, a.shape[0]), b.shape[1]), dtype)
        for part in cuts(0, a.shape[0], step):
            out = total[part] if buffer is None else buffer[: part.stop - part.start]
            self.multiply(a[part], b, out)
            if first and not direct:
                total[part] = out
            elif not first:
                total[part] += out


def parts_of(row: int) -> int:
    """How many rows of some bytes are staged at a time."""
    return max(64, STAGED // max(1, row))

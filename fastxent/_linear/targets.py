"""What the rows are compared with, as far as one block of the vocabulary holds it.

The loss of a row is Q logsumexp(z) - Σ q[c] z[c], where q is the label with its smoothing and its
class weights, and Q the sum of q over all classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastxent._core.errors import ElementError, ErrorKind
from fastxent._linear.operands import LinearOperands
from fastxent._linear.products import cuts

Array = np.ndarray[Any, Any]

_PART = 1 << 17  # elements of a distribution that are read at a time


class Targets:
    """The labels of a block of rows.

    Parameters
    ----------
    operands : LinearOperands
    rows : slice
        Of `operands.rows`.

    Attributes
    ----------
    total : ndarray
        Q of each row.
    weight : ndarray
        What each row adds to the denominator of a mean, without its sample weight.
    """

    def __init__(self, operands: LinearOperands, rows: slice) -> None:
        self.operands = operands
        self.index = operands.at(operands.rows[rows])
        smoothing, weights = operands.label_smoothing, operands.class_weight
        self.share = smoothing / operands.classes
        self.count = operands.rows[rows].size
        spread = smoothing if weights is None else self.share * float(weights.sum())
        if operands.index_labels:
            self.target = operands.labels[self.index].astype(np.int64)
            self.weight = np.ones(self.count) if weights is None else weights[self.target]
            self.total = (1.0 - smoothing) * self.weight + spread
        else:
            label_sum, self.weight = self._sums()
            self.total = (1.0 - smoothing) * label_sum + spread

    def _sums(self) -> tuple[Array, Array]:
        """The sum of each row's labels times class weights, and its weight."""
        total, weights = np.zeros(self.count), self.operands.class_weight
        for rows, labels in self._distributions(slice(0, self.operands.classes)):
            self._check(rows, labels)
            total[rows] = labels.sum(1) if weights is None else (labels * weights).sum(1)
        return total, np.ones(self.count) if weights is None else total

    def _check(self, rows: slice, labels: Array) -> None:
        bad = np.argwhere((labels < 0.0) | (labels > 1.0))
        if bad.size:
            row, word = int(bad[0][0]), int(bad[0][1])
            index = (*(int(i[rows.start + row]) for i in self.index), word)
            hint = ": a label is 0, 1, or a probability between"
            raise ElementError("y_true", index, labels[row, word], ErrorKind.OUTSIDE, hint)

    def _distributions(
        self, words: slice, rows: slice | None = None
    ) -> Iterator[tuple[slice, Array]]:
        """Yield parts of the rows, and their labels in float64."""
        labels = self.operands.labels
        step = _PART // max(1, words.stop - words.start)
        first, last = (0, self.count) if rows is None else (rows.start, rows.stop)
        for part in cuts(first, last, step):
            index = tuple(i[part] for i in self.index)
            yield part, labels[(*index, words)].astype(np.float64)

    def in_block(self, words: slice) -> tuple[Array, Array]:
        """The rows whose class is in a block, and its place there."""
        rows = np.flatnonzero((self.target >= words.start) & (self.target < words.stop))
        return rows, self.target[rows] - words.start

    def linear(self, z: Array, words: slice) -> Array:
        """Σ q[c] z[c] over the classes of a block."""
        operands = self.operands
        keep, weights = 1.0 - operands.label_smoothing, operands.class_weight
        total = np.zeros(self.count)
        if operands.index_labels:
            known, places = self.in_block(words)
            # A label of weight 0 silences an infinite logit.
            found = z[known, places].astype(np.float64)
            factor = keep * self.weight[known]
            total[known] = np.where(factor == 0.0, 0.0, factor * found)
        else:
            for rows, labels in self._distributions(words):
                q = labels if weights is None else labels * weights[words]
                total[rows] = _dot(keep * q, z[rows])
        if self.share:
            for rows in cuts(0, self.count, _PART // z.shape[1]):
                even = np.ones(1) if weights is None else weights[words]
                total[rows] += self.share * _dot(even, z[rows])
        return total

    def subtract(self, grad: Array, factor: Array, rows: slice, words: slice) -> None:
        """Grad -= factor q, for some rows of a block; a hard label is left to `target_of`."""
        operands = self.operands
        keep, weights = 1.0 - operands.label_smoothing, operands.class_weight
        if not operands.index_labels:
            for part, labels in self._distributions(words, rows):
                place = slice(part.start - rows.start, part.stop - rows.start)
                q = labels if weights is None else labels * weights[words]
                grad[place] -= keep * factor[place, None] * q
        if self.share:
            even = np.ones(1) if weights is None else weights[words]
            for part in cuts(0, len(grad), _PART // grad.shape[1]):
                grad[part] -= self.share * factor[part, None] * even

    def target_of(self, words: slice) -> tuple[Array, Array]:
        """The place of each row's class in a block, or 0, and its q without smoothing, or 0."""
        places, q = np.zeros(self.count, np.int64), np.zeros(self.count)
        if self.operands.index_labels:
            known, found = self.in_block(words)
            places[known] = found
            q[known] = (1.0 - self.operands.label_smoothing) * self.weight[known]
        return places, q


def _dot(q: Array, z: Array) -> Array:
    """Σ q z of each row, in float64; 0 times an infinity is 0."""
    terms = q * z
    if not np.isfinite(terms).all():
        terms = np.where(np.broadcast_to(q, z.shape) == 0.0, np.where(np.isnan(z), z, 0.0), terms)
    total: Array = terms.sum(1)
    return total

"""The losses of a block of rows, merged over the vocabulary, and their gradients.

What follows the product is computed by the kernels, or by NumPy's additions and
multiplications: the same bits everywhere for the same logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastxent._core.derivatives import GradientOutputs
from fastxent._core.dispatch import cap_logits
from fastxent._core.evaluate import evaluate_sums
from fastxent._core.validation import output_dtype
from fastxent._linear.operands import LinearOperands
from fastxent._linear.products import Plan, Product, cuts
from fastxent._linear.targets import Targets
from fastxent._losses.categorical import CATEGORICAL_LOGITS
from fastxent._losses.statistics import logsumexp_of

Array = np.ndarray[Any, Any]

_PART = 1 << 18  # gradients by capped logits at a time: they stay in the cache


class Gradients:
    """Where the gradients are added up; rows that do not count have 0.

    Parameters
    ----------
    operands : LinearOperands
    """

    def __init__(self, operands: LinearOperands) -> None:
        hidden, weight, bias = operands.hidden, operands.weight, operands.bias
        self.hidden: Array = np.zeros(hidden.shape, output_dtype(hidden))
        self.weight: Array = np.empty(weight.shape, output_dtype(weight))
        self.bias = None if bias is None else np.zeros(bias.shape, output_dtype(bias))
        if not operands.rows.size:
            self.weight.fill(0.0)


class RowBlock:
    """One block of rows.

    Parameters
    ----------
    product : Product
    sizes : Plan
    rows : slice
        Of `operands.rows`.
    buffer : ndarray
        For the logits.
    """

    def __init__(self, product: Product, sizes: Plan, rows: slice, buffer: Array) -> None:
        self.product, self.operands, self.buffer = product, product.operands, buffer
        self.words = list(cuts(0, self.operands.classes, sizes.words))
        self.targets = Targets(self.operands, rows)
        self.hidden = product.hidden(self.targets.index)
        self.logits: Array | None = None  # of the last block

    def _logits(self, words: slice) -> Array:
        """The capped logits of a block of words; those of the last one are still there."""
        if self.logits is None or len(self.words) > 1:
            z = self.product.logits(self.hidden, words, self.buffer)
            if self.operands.softcap is not None:
                cap_logits(z, self.operands.softcap)
            self.logits = z
        return self.logits

    def losses(self, workers: Any) -> Array:
        """The losses without sample weights, in float64; NaN where one is undefined."""
        blocks = len(self.words)
        parts = np.empty((self.targets.count, blocks))
        linear = np.zeros(self.targets.count)
        for number, words in enumerate(self.words):
            z = self._logits(words)
            parts[:, number] = logsumexp_of(z, workers)
            linear += self.targets.linear(z, words)
        #: log Σ exp of the blocks, and of the rows
        self.parts, self.logsumexp = parts, logsumexp_of(parts, 1) if blocks > 1 else parts[:, 0]
        losses = self.targets.total * self.logsumexp - linear
        if self.operands.z_loss:
            losses += self.operands.z_loss * self.targets.weight * self.logsumexp**2
        return losses

    def add_gradients(self, factor: Array, gradients: Gradients, first: bool, workers: Any) -> None:
        """Add the gradients of the losses, each times a factor; `losses` has been called."""
        hidden = np.empty(self.hidden.shape, self.operands.dtype)
        total = self.targets.total
        if self.operands.z_loss:
            total = total + 2.0 * self.operands.z_loss * self.targets.weight * self.logsumexp
        shares = _shares(self.parts)
        for number, words in enumerate(self.words):
            grad = self._logit_gradient(factor, total * shares[:, number], words, workers)
            for part, weight in self.product.weights(words, len(grad)):
                place = slice(part.start - words.start, part.stop - words.start)
                self.product.add(grad[:, place], weight, hidden, part.start == 0)
            self.product.add(grad.T, self.hidden, gradients.weight[words], first)
            if gradients.bias is not None:
                gradients.bias[words] += grad.sum(0, dtype=np.float64)
        gradients.hidden[self.targets.index] = hidden

    def _logit_gradient(self, factor: Array, share: Array, words: slice, workers: Any) -> Array:
        """The gradient by the logits of a block of words, in their place."""
        grad = self._logits(words)
        self.logits = None  # they are overwritten
        cap = self.operands.softcap
        step = grad.shape[0] if cap is None else max(1, _PART // grad.shape[1])
        for rows in cuts(0, grad.shape[0], step):
            part = grad[rows]
            if cap is None:
                self._part_gradient(part, rows, words, (factor[rows], share[rows]), workers)
            else:
                slope = part / cap
                slope = 1.0 - np.square(slope, out=slope)
                self._part_gradient(part, rows, words, (factor[rows], share[rows]), workers)
                part *= slope
        return grad

    def _part_gradient(
        self, grad: Array, rows: slice, words: slice, scales: tuple[Array, Array], workers: Any
    ) -> None:
        """The gradient by some rows of logits, which it overwrites.

        The kernel gives weight (p - 1) for one class of each row and weight p for the others, where
        p is the softmax over the block alone: the weight has the block's share of all probability.
        """
        factor, share = scales
        weight = factor * share
        unusable = ~((weight != 0.0) & np.isfinite(weight))
        undefined = np.isnan(weight)
        weight[unusable] = 0.0
        if unusable.any():
            grad[unusable] = 0.0
        places, q = (array[rows] for array in self.targets.target_of(words))
        outputs = GradientOutputs((grad,), ("out",), 1.0)
        options = {"axis": -1, "sample_weight": np.abs(weight)}
        evaluate_sums(
            CATEGORICAL_LOGITS, places, grad, options, "raise", workers, gradients=outputs
        )
        negative = np.flatnonzero(weight < 0.0)
        if negative.size:
            grad[negative] *= -1.0
        grad[np.arange(len(grad)), places] += weight - factor * q
        self.targets.subtract(grad, factor, rows, words)
        if undefined.any():
            grad[undefined] = np.nan


def _shares(parts: Array) -> Array:
    """The probability of each block, from its log-sum-exp: their softmax, by the kernels."""
    if parts.shape[1] == 1:
        return np.where(np.isfinite(parts), 1.0, np.nan)
    known = np.isfinite(parts.max(1))
    safe = np.where(known[:, None], parts, 0.0)
    outputs = GradientOutputs((None,), ("out",), 1.0)
    first = np.zeros(len(parts), np.int64)
    evaluate_sums(CATEGORICAL_LOGITS, first, safe, {"axis": -1}, gradients=outputs)
    shares = outputs.arrays[0]
    shares[:, 0] += 1.0
    shares[~known] = np.nan
    return shares

"""The single losses of one batch, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastxent._core import threads, validation
from fastxent._core.evaluate import evaluate_sums
from fastxent._core.loss import Loss
from fastxent._core.operands import Operands

Array = np.ndarray[Any, Any]

#: Losses per block: the block and its intermediate arrays stay in the cache.
BLOCK = 1 << 16


class Block(NamedTuple):
    """Some of the losses, flat: loss times weight, the weight, and which of them count."""

    index: tuple[slice, ...]  # type: ignore[assignment] # hides a method of tuples, on purpose
    losses: Array
    weights: Array | None  # None: every weight is 1
    valid: Array | None  # None: all are


class Elements(Protocol):
    """The single losses of one batch."""

    shape: tuple[int, ...]
    eps: float  # to which probabilities are clipped

    def blocks(self) -> Iterator[Block]:
        """Yield them block by block."""


class ElementwiseLosses:
    """The losses of one batch, computed block by block.

    Parameters
    ----------
    loss : Loss
    y_true, scores : array_like
    options : dict
        Those of the loss, with `nan_policy` and `workers`.
    raise_error : callable
        Computes the whole batch, which raises the error with the indices of the batch.
    """

    def __init__(
        self,
        loss: Loss,
        y_true: Any,
        scores: Any,
        options: dict[str, Any],
        raise_error: Callable[[], Any],
    ) -> None:
        self.raise_error = raise_error
        self.workers = validation.as_workers(options["workers"])
        nan_policy = options["nan_policy"]
        self.omits = nan_policy == "omit"
        # With "omit", a NaN among the losses marks an omitted element.
        self.nan_policy = "propagate" if self.omits else nan_policy
        self.operands = operands = Operands(loss, y_true, scores, options)
        self.shape = operands.shape
        self.options = operands.given.copy()
        if loss.per_row:
            self.options["axis"] = operands.axis
        if "eps" in loss.options:
            self.options["eps"] = operands.eps
        self.eps = operands.eps
        #: The arrays that are cut as the losses are.
        self.arrays = {
            name: validation.broadcast_leading(self.options.pop(name), self.shape)
            for name in ("sample_weight", "where", loss.scale)
            if name in self.options
        }

    def blocks(self) -> Iterator[Block]:
        """The losses block by block, in memory that does not grow with their number.

        They are those of ``reduction="none"``: of the scores' dtype, or float32 for half precision.

        Yields
        ------
        Block
        """
        try:
            yield from threads.in_order(self._block, cuts(self.shape), self.workers)
        except ValueError:
            self.raise_error()  # the index in the error is one of the block
            raise

    def _block(self, cut: tuple[slice, ...]) -> Block:
        """The losses of one block."""
        operands, axis = self.operands, self.operands.axis
        with_classes = cut if axis < 0 else (*cut[:axis], slice(None), *cut[axis:])
        scores = operands.scores[with_classes]
        labels = operands.labels[cut if operands.index_labels else with_classes]
        arrays = {name: array[cut] for name, array in self.arrays.items()}
        _, losses = evaluate_sums(
            operands.loss, labels, scores, {**self.options, **arrays}, self.nan_policy,
            want_losses=True,
        )  # fmt: skip
        assert losses is not None
        valid = self._valid(labels, losses, arrays.get("where"))
        weights = self._weights(labels, arrays.get("sample_weight"), valid)
        if self.omits and valid is not None:
            losses = np.where(valid, losses, losses.dtype.type(0))
        flat = (None if a is None else a.ravel() for a in (weights, valid))
        return Block(cut, losses.ravel(), *flat)

    def _valid(self, labels: Array, losses: Array, mask: Array | None) -> Array | None:
        """Which losses count."""
        valid = mask
        if "ignore_index" in self.options:
            other = _differs_from(labels, self.options["ignore_index"])
            valid = other if valid is None else valid & other
        if self.omits:
            known = ~np.isnan(losses)
            valid = known if valid is None else valid & known
        return valid

    def _weights(self, labels: Array, weight: Array | None, valid: Array | None) -> Array | None:
        """sample_weight times class_weight of the label; 0 for what does not count."""
        weights, per_class = weight, self.options.get("class_weight")
        if per_class is not None:
            if self.operands.index_labels:
                known = labels if valid is None else np.where(valid, labels, 0)
                # The loss of a NaN among the labels is NaN, whatever its weight.
                by_label = per_class[np.nan_to_num(known).astype(np.intp)]
            else:
                rows = np.moveaxis(labels, self.operands.axis, -1)
                by_label = rows.astype(np.float64) @ per_class
            weights = by_label if weights is None else weights * by_label
        if valid is not None:
            weights = np.where(valid, 1.0 if weights is None else weights, 0.0)
        return None if weights is None else np.asarray(weights, np.float64)


def cuts(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Cut an array of losses across its longest dimension."""
    if not shape:
        yield ()
        return
    longest = shape.index(max(shape))
    across = int(np.prod([n for d, n in enumerate(shape) if d != longest]))
    step = max(1, BLOCK // max(1, across))
    for start in range(0, shape[longest], step):
        yield (*[slice(None)] * longest, slice(start, start + step))


def _differs_from(labels: Array, ignored: int) -> Array:
    """Which labels differ from this one.

    A number outside the range of their dtype may crash NumPy (its bug 28117).
    """
    if labels.dtype.kind in "iu":
        limits = np.iinfo(labels.dtype)
        if not limits.min <= ignored <= limits.max:
            return np.ones(labels.shape, bool)
        ignored = labels.dtype.type(ignored)
    others: Array = labels != ignored
    return others

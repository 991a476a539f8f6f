"""The losses of one batch one by one, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastxent._core import threads, validation
from fastxent._core.evaluate import evaluate_sums
from fastxent._core.loss import Loss

Array = np.ndarray[Any, Any]

#: Losses per block: what is made of them stays in the cache.
BLOCK = 1 << 15


class Block(NamedTuple):
    """Some of the losses, flat: loss times weight, the weight, and which of them count."""

    cut: tuple[slice, ...]
    losses: Array
    weights: Array | None  # None: every weight is 1
    kept: Array | None  # None: all are


class Elements:
    """The arrays of one batch, which can be cut alike.

    Parameters
    ----------
    loss : Loss
    options : dict
        As `evaluate_sums` takes them.
    pair : tuple
        Truth and scores.
    fault : callable
        Raises what the kernels find wrong with the whole batch.
    """

    def __init__(
        self, loss: Loss, options: dict[str, Any], pair: Any, fault: Callable[[], Any]
    ) -> None:
        y_true, scores = pair
        self.loss, self.fault = loss, fault
        self.scores = validation.as_scores(scores, loss.scores)
        self.labels = validation.as_labels(y_true, loss.truth)
        self.axis, self.indices = -1, False
        if loss.rows:
            self.axis = options["axis"] = validation.class_axis(
                self.scores, options["axis"], loss.scores
            )
            self.indices = validation.takes_indices(loss, self.labels, self.scores, self.axis)
        else:
            validation.check_shapes(loss, self.labels, self.scores)
        self.shape = validation.losses_shape(self.scores, self.axis)
        weight, mask = options.pop("sample_weight", None), options.pop("where", None)
        scale, classes = options.pop("scale", None), options.pop("class_weight", None)
        self.weight = self.mask = self.scale = self.classes = None
        if weight is not None:
            self.weight = spread(
                validation.as_weight(weight, "sample_weight", self.shape), self.shape
            )
        if mask is not None:
            self.mask = validation.as_mask(mask, self.shape)
        if scale is not None:
            name = loss.scale_name or ""
            self.scale = np.broadcast_to(validation.as_scale(scale, name, self.shape), self.shape)
        if classes is not None:
            self.classes = validation.as_class_weight(classes, self.scores.shape[self.axis])
        self.ignored = options.get("ignore_index")
        if "eps" in options:
            options["eps"] = validation.epsilon(options["eps"], self.scores)
        self.workers = validation.workers_wanted(options.pop("workers"))
        self.omits = options["nan_policy"] == "omit"
        if self.omits:  # what is NaN then is what was to be omitted
            options["nan_policy"] = "propagate"
        self.options = options

    def blocks(self, least: Callable[[int], int]) -> Iterator[Block]:
        """The losses in float64, block by block, in memory that does not grow with their number.

        Parameters
        ----------
        least : callable
            How many losses the block that begins with a certain one is to have, at least.

        Yields
        ------
        Block
        """
        try:
            yield from threads.in_order(self._block, _cuts(self.shape, least), self.workers)
        except ValueError:
            self.fault()  # the place that the error names is one in the block
            raise

    def _block(self, cut: tuple[slice, ...]) -> Block:
        """The losses of one cut."""
        with_classes = cut
        if self.axis >= 0:
            with_classes = (*cut[: self.axis], slice(None), *cut[self.axis :])
        scores = self.scores[with_classes]
        labels = self.labels[cut if self.indices else with_classes]
        weight, mask, scale = (
            None if a is None else a[cut] for a in (self.weight, self.mask, self.scale)
        )
        if scores.dtype != np.float64:
            with np.errstate(invalid="ignore"):  # of a signaling NaN, which nan_policy is for
                scores = scores.astype(np.float64)
        _, losses = evaluate_sums(
            self.loss, labels, scores, sample_weight=weight, where=mask, scale=scale,
            class_weight=self.classes, want_losses=True, **self.options,
        )  # fmt: skip
        assert losses is not None
        kept = self._kept(labels, losses, mask)
        weights = self._weights(labels, weight, kept)
        if self.omits and kept is not None:
            losses = np.where(kept, losses, 0.0)
        flat = (None if a is None else a.ravel() for a in (weights, kept))
        return Block(cut, losses.ravel(), *flat)

    def _kept(self, labels: Array, losses: Array, mask: Array | None) -> Array | None:
        """Which losses count."""
        kept = mask
        if self.ignored is not None:
            other = _others(labels, self.ignored)
            kept = other if kept is None else kept & other
        if self.omits:
            known = ~np.isnan(losses)
            kept = known if kept is None else kept & known
        return kept

    def _weights(self, labels: Array, weight: Array | None, kept: Array | None) -> Array | None:
        """sample_weight times class_weight of the label; 0 for what does not count."""
        weights = weight
        if self.classes is not None:
            if self.indices:
                known = labels if kept is None else np.where(kept, labels, 0)
                by_class = self.classes[known.astype(np.intp)]
            else:
                by_class = np.moveaxis(labels, self.axis, -1).astype(np.float64) @ self.classes
            weights = by_class if weights is None else weights * by_class
        if kept is not None:
            weights = np.where(kept, 1.0 if weights is None else weights, 0.0)
        return None if weights is None else np.asarray(weights, np.float64)


def _cuts(shape: tuple[int, ...], least: Callable[[int], int]) -> Iterator[tuple[slice, ...]]:
    """Cut an array of losses across its longest dimension."""
    if not shape:
        yield ()
        return
    longest = shape.index(max(shape))
    across = int(np.prod([n for d, n in enumerate(shape) if d != longest]))
    start = 0
    while start < shape[longest]:
        stop = start + max(1, max(BLOCK, least(start * across)) // max(1, across))
        yield (*[slice(None)] * longest, slice(start, stop))
        start = stop


def spread(array: Array, shape: tuple[int, ...]) -> Array:
    """One value per leading index becomes one per loss, without a copy."""
    missing = len(shape) - array.ndim
    return np.broadcast_to(array.reshape(array.shape + (1,) * missing), shape)


def _others(labels: Array, ignored: int) -> Array:
    """Which labels are not this one.

    A number beyond their dtype is not left to NumPy: it may crash there (its bug 28117).
    """
    if labels.dtype.kind in "iu":
        limits = np.iinfo(labels.dtype)
        if not limits.min <= ignored <= limits.max:
            return np.ones(labels.shape, bool)
        ignored = labels.dtype.type(ignored)
    others: Array = labels != ignored
    return others

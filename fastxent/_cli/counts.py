"""What the pictures are drawn from: counts by probability and by loss.

Memory does not grow with the rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastxent._aggregate.elementwise import Array, Block
from fastxent._calibration.histogram import Curve

BINS = 20
EDGES = np.geomspace(1e-4, 100.0, 61)  # of the losses; a bin on either side holds those beyond
#: Groups are counted one by one up to this many.
MAX_GROUPS = 1000


class Series(NamedTuple):
    """The counts of one model, in one group or in all.

    Attributes
    ----------
    sums : ndarray of shape (5, BINS)
        By predicted probability: the rows, and the sums of the weight w, w * confidence,
        w * outcome and w².
    losses : ndarray of shape (len(EDGES) + 1,)
        Sums of the weight by loss: below, between and above the edges.
    total : float
        Sum of weight times loss.
    """

    sums: Array
    losses: Array
    total: float

    @property
    def mean(self) -> float:
        """The mean loss."""
        weight = float(self.losses.sum())
        return self.total / weight if weight else np.nan


class Panel(NamedTuple):
    """What is drawn beside each other: calibration and losses of all rows or of one group."""

    name: str
    series: list[tuple[str, Series]]  # of each model, with its name
    parts: dict[str, float] | None = None  # of the loss, for the title
    curve: Curve | None = None  # the isotonic recalibration of the first model


class Counts:
    """The counts of each model, by group."""

    def __init__(self, models: int, logits: bool) -> None:
        self._logits = logits
        self._sums = [np.zeros((1, 5, BINS)) for _ in range(models)]
        self._losses = [np.zeros((1, len(EDGES) + 1)) for _ in range(models)]
        self._totals = [np.zeros(1) for _ in range(models)]
        self.by_group = True  # until there are too many groups

    def add(
        self, labels: Array, scores: list[Array], blocks: tuple[Block, ...], groups: Any = None
    ) -> None:
        """Add a block of each model.

        Parameters
        ----------
        labels : ndarray
        scores : list of ndarray
            Of each model, in the whole batch as the labels are.
        blocks : tuple of Block
        groups : BlockGroups, optional
        """
        if self.by_group and groups is not None and groups.n > MAX_GROUPS:
            self.by_group = False
            for arrays in (self._sums, self._losses, self._totals):
                arrays[:] = [array.sum(axis=0, keepdims=True) for array in arrays]
        codes, n = None, 1
        if self.by_group and groups is not None:
            codes, n = groups.codes - groups.low, groups.n
        for i, (block, s) in enumerate(zip(blocks, scores, strict=True)):
            self._add_model(i, labels[block.index], s[block.index], block, codes, n)

    def _add_model(
        self, i: int, labels: Array, scores: Array, block: Block, codes: Array | None, n: int
    ) -> None:
        p, truth = confidence_and_outcome(labels, scores, self._logits)
        w = np.ones(len(p)) if block.weights is None else block.weights
        known = ~(np.isnan(p) | np.isnan(truth) | np.isnan(block.losses)) & (w > 0.0)
        p, truth, w, losses = p[known], truth[known], w[known], block.losses[known]
        group = np.zeros(len(p), np.intp) if codes is None else codes[known]
        bins = group * BINS + np.minimum((p * BINS).astype(np.intp), BINS - 1)
        counted = [
            np.bincount(bins, values, n * BINS) for values in (None, w, w * p, w * truth, w * w)
        ]
        sums = np.stack([values.reshape(n, BINS) for values in counted], axis=1)
        places = group * (len(EDGES) + 1) + np.searchsorted(EDGES, losses / w, side="right")
        by_loss = np.bincount(places, w, n * (len(EDGES) + 1)).reshape(n, -1)
        self._sums[i] = _added(self._sums[i], sums)
        self._losses[i] = _added(self._losses[i], by_loss)
        self._totals[i] = _added(self._totals[i], np.bincount(group, losses, n))

    def series(self, group: int | None = None) -> list[Series]:
        """The counts of each model in the group of this number, or in all."""
        some = slice(None) if group is None else slice(group, group + 1)
        return [
            Series(sums[some].sum(axis=0), losses[some].sum(axis=0), float(totals[some].sum()))
            for sums, losses, totals in zip(self._sums, self._losses, self._totals, strict=True)
        ]


def _added(few: Array, more: Array) -> Array:
    """The sum, where the second may have more groups."""
    more[: len(few)] += few
    return more


def wilson_interval(frequency: Array, n: Array) -> tuple[Array, Array]:
    """The 95 % interval of a frequency among n."""
    z = 1.959964
    middle = frequency + z * z / (2.0 * n)
    margin = z * np.sqrt(frequency * (1.0 - frequency) / n + (z / (2.0 * n)) ** 2)
    scale = 1.0 + z * z / n
    return (middle - margin) / scale, (middle + margin) / scale


def confidence_and_outcome(labels: Array, scores: Array, logits: bool) -> tuple[Array, Array]:
    """The predicted probability (of label 1 or of the top class) and the outcome, row by row."""
    scores = scores.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if scores.ndim == 1:
            p = 1.0 / (1.0 + np.exp(-scores)) if logits else scores
            return p, labels.astype(np.float64)
        best = scores.argmax(axis=1)
        top = scores.max(axis=1)
        p = 1.0 / np.exp(scores - top[:, None]).sum(axis=1) if logits else top
    if labels.ndim == 2:
        return p, labels[np.arange(len(best)), best].astype(np.float64)
    return p, (labels == best).astype(np.float64)

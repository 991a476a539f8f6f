"""The parts of a log loss from counts by score: for data that do not fit into memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastxent._calibration.decomposition import Decomposition
from fastxent._calibration.isotonic import Array, entropy_of
from fastxent._core.dispatch import pool_sums

#: A bucket is the leading bits of the distance to 0 or to 1, whichever is smaller: 10 of the fraction.
_SHIFT = np.uint64(42)
_HALF = int(np.float64(0.5).view(np.uint64) >> _SHIFT)
_BUCKETS = 2 * _HALF + 2


class Bounded(NamedTuple):
    """A decomposition, and how much more of the loss miscalibration may be."""

    parts: Decomposition
    error_bound: float


class Curve(NamedTuple):
    """The isotonic recalibration: the ends of each level, and the frequency there.

    Attributes
    ----------
    lower, upper, frequency : ndarray
        By level.
    at, counts : ndarray
        The mean of the probabilities in each bucket, nearly, and the weight there.
    """

    lower: Array
    upper: Array
    frequency: Array
    at: Array
    counts: Array


class ScoreHistogram:
    """The labels 0 and 1 in fine buckets of the probability.

    A bucket with a single score is as exact as the score itself. Of any other, the recalibrated loss is
    at most that of one common frequency, and at least that of a bucket whose labels 0 all come first.
    """

    def __init__(self) -> None:
        self._hits, self._misses = np.zeros((2, _BUCKETS))
        self._low, self._high = np.full(_BUCKETS, np.inf), np.full(_BUCKETS, -np.inf)

    def add(self, labels: Array, distance: Array, above: Array, weights: Array | None) -> None:
        """Add elements.

        Parameters
        ----------
        labels : ndarray
            From 0 to 1.
        distance : ndarray of float64
            The distance of each probability to the nearer of 0 and 1.
        above : ndarray of bool
            Where that is 1.
        weights : ndarray or None
        """
        bits = (distance + 0.0).view(np.uint64) >> _SHIFT
        bucket = np.where(above, _BUCKETS - 1 - bits.astype(np.intp), bits.astype(np.intp))
        hits, misses = labels.astype(np.float64), 1.0 - labels
        if weights is not None:
            hits, misses = hits * weights, misses * weights
        order = np.argsort(bucket, kind="stable")
        first = np.flatnonzero(np.diff(bucket[order], prepend=-1))
        at, distance = bucket[order][first], distance[order]
        self._hits[at] += np.add.reduceat(hits[order], first)
        self._misses[at] += np.add.reduceat(misses[order], first)
        self._low[at] = np.minimum(self._low[at], np.minimum.reduceat(distance, first))
        self._high[at] = np.maximum(self._high[at], np.maximum.reduceat(distance, first))

    def curve(self) -> Curve:
        """The recalibration of what has been added."""
        used = np.flatnonzero(self._hits + self._misses > 0.0)
        hits, misses, near, far = (
            part[used] for part in (self._hits, self._misses, self._low, self._high)
        )
        counts, stop = hits + misses, np.arange(1, len(used) + 1)
        above = used > _HALF
        low, high = np.where(above, 1.0 - far, near), np.where(above, 1.0 - near, far)
        n = pool_sums(hits, misses, stop)
        frequency = hits[:n] / (hits[:n] + misses[:n])
        first = np.append(0, stop[: n - 1])
        return Curve(low[first], high[stop[:n] - 1], frequency, 0.5 * (low + high), counts)

    def result(self, loss: float) -> Bounded:
        """The parts of a mean loss of these elements."""
        hits, misses = self._hits, self._misses
        weight = hits.sum() + misses.sum()
        if not weight > 0.0:
            return Bounded(Decomposition(loss, *[np.nan] * 3), np.nan)
        recalibrated = _pooled(hits, misses) / weight
        single = self._low == self._high
        # Each bucket as two: its labels 0, and its labels 1; a single score stays together in the first.
        split_hits = np.stack([np.where(single, hits, 0.0), np.where(single, 0.0, hits)], axis=1)
        split_misses = np.stack([misses, np.zeros_like(misses)], axis=1)
        least = _pooled(split_hits.ravel(), split_misses.ravel()) / weight
        base = (np.array([part.sum()]) for part in (hits, misses))
        uncertainty = entropy_of(*base) / weight
        parts = Decomposition(loss, loss - recalibrated, uncertainty - recalibrated, uncertainty)
        return Bounded(parts, max(recalibrated - least, 0.0))


def _pooled(hits: Array, misses: Array) -> float:
    """The summed loss of the isotonic recalibration of ascending scores."""
    hits, misses = hits.copy(), misses.copy()
    n = pool_sums(hits, misses, np.arange(1, len(hits) + 1))
    return entropy_of(hits[:n], misses[:n])

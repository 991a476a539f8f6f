"""Isotonic recalibration: the frequency of label 1 as a function of the score that does not decrease.

Pooling adjacent violators finds the convex minorant of the points (elements so far, labels 1 so far),
in the order of the scores; its slopes are the frequencies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastxent._core.dispatch import (
    choose_buckets,
    count_labels,
    gather_keys,
    pool_buckets,
    pool_sums,
)
from fastxent._core.evaluate import evaluate_sums
from fastxent._core.operands import Operands
from fastxent._core.validation import broadcast_leading
from fastxent._losses import get_loss

Array = np.ndarray[Any, Any]

#: Scores per bucket, and the largest number of buckets: their counts are to stay in the cache.
_PER_BUCKET, _MOST_BUCKETS = 4, 1 << 20
#: The counts of a bucket are 32-bit numbers.
_MOST_SCORES = (1 << 32) - 1
_BINARY = get_loss("binary_cross_entropy")


class Pools(NamedTuple):
    """Ranges of scores with a common frequency of label 1, which rises from one to the next.

    Attributes
    ----------
    hits, misses : ndarray
        The weight of label 1 and of label 0 in each range.
    lower, upper : ndarray
        The smallest and the largest score of each range.
    """

    hits: Array
    misses: Array
    lower: Array
    upper: Array

    @property
    def frequency(self) -> Array:
        """The recalibrated probability of each range; nan where all weights are 0."""
        weight = self.hits + self.misses
        found: Array = np.divide(
            self.hits, weight, out=np.full(len(weight), np.nan), where=weight > 0.0
        )
        return found


def isotonic_pools(labels: Array, scores: Array, weights: Array | None) -> Pools:
    """Sort by score, add up the labels of equal scores, and pool the sums.

    Parameters
    ----------
    labels, scores : ndarray
        Flat, from 0 to 1.
    weights : ndarray or None
        Not negative; None where each is 1.
    """
    scores = scores.astype(np.float64, copy=False)
    order = np.argsort(scores, kind="stable")  # of equal scores too the order is always the same
    scores, hits = scores[order], labels[order].astype(np.float64)
    misses = 1.0 - hits
    if weights is not None:
        weights = weights[order].astype(np.float64, copy=False)
        hits, misses = hits * weights, misses * weights
    first = np.flatnonzero(np.diff(scores, prepend=-1.0))
    stop = np.append(first[1:], len(scores)).astype(np.int64)
    hits, misses = np.add.reduceat(hits, first), np.add.reduceat(misses, first)
    n = pool_sums(hits, misses, stop)
    start, last = np.append(0, stop[: n - 1]), stop[:n] - 1
    return Pools(hits[:n], misses[:n], scores[start], scores[last])


def pooled_labels(labels: Array, scores: Array, weights: Array | None) -> tuple[Array, Array]:
    """The `hits` and `misses` of `isotonic_pools`, faster where each label is 0 or 1 and has weight 1."""
    if weights is None and 0 < len(labels) <= _MOST_SCORES and _is_hard(labels):
        return _pooled_counts(scores, labels == 0)
    return isotonic_pools(labels, scores, weights)[:2]


def _is_hard(labels: Array) -> bool:
    """Whether all labels are exactly 0 or 1."""
    if labels.dtype.kind in "iub":
        return True
    return bool(((labels == 0) | (labels == 1)).all())


def _pooled_counts(scores: Array, zero: Array) -> tuple[Array, Array]:
    """Pool buckets of scores, of which only few have to be sorted.

    A score that is not negative compares as its bits do, so these are cut into buckets.
    """
    real, unsigned = (np.float64, np.uint64)
    if scores.dtype.itemsize < 8:
        real, unsigned = (np.float32, np.uint32)  # type: ignore[assignment]
    scores = np.ascontiguousarray(scores, real)
    bits = scores.view(unsigned)
    low, high = (int((real(end) + real(0)).view(unsigned)) for end in (scores.min(), scores.max()))
    most = min(max(len(scores) // _PER_BUCKET, 1), _MOST_BUCKETS)
    shift = max((high - low).bit_length() - most.bit_length(), 0)
    counts = np.zeros((((high - low) >> shift) + 1, 2), np.uint32)
    count_labels(bits, zero, low, shift, counts)
    wanted = np.zeros(len(counts), np.bool_)
    n = choose_buckets(counts, wanted, *_room(len(counts)))
    keys = np.empty(n + 1, unsigned)
    gather_keys(bits, zero, low, shift, wanted, keys)
    keys[:n].sort()
    hits, misses, _ = _room(n + len(counts))
    n = pool_buckets(counts, wanted, keys, hits, misses)
    return hits[:n], misses[:n]


def _room(n: int) -> tuple[Array, Array, Array]:
    """Room for the hits, misses and ends of n pools; what is not written to takes no memory."""
    return np.empty(n), np.empty(n), np.empty(n, np.int64)


def valid_elements(operands: Operands) -> tuple[Array, Array, Array | None]:
    """The labels, the scores and the weights that `where` includes, flat."""
    weights = operands.given.get("sample_weight")
    if weights is not None:
        weights = broadcast_leading(weights, operands.shape)
    where = operands.given.get("where", ...)
    labels, scores = operands.labels[where].ravel(), operands.scores[where].ravel()
    return labels, scores, None if weights is None else weights[where].ravel()


def entropy_of(hits: Array, misses: Array) -> float:
    """The log loss, summed, of predicting each pool's own frequency."""
    weight = hits + misses
    used = weight > 0.0
    frequency = hits[used] / weight[used]
    options = {"sample_weight": weight[used], "eps": 0.0}
    sums, _ = evaluate_sums(_BINARY, frequency, frequency, options)
    return sums.total + sums.total_lo

"""Sums by group, in arrays indexed by the number of the group."""

from __future__ import annotations

import math
from itertools import chain

import numpy as np

from fastxent._aggregate.elementwise import Array, Block
from fastxent._aggregate.group_keys import BlockGroups
from fastxent._core.dispatch import add_losses
from fastxent._core.evaluate import Sums, checked_weight_sum


def add_pairs(hi: Array, lo: Array, values: Array) -> None:
    """Add `values` to the unevaluated sums hi + lo, in place (Knuth's two-sum)."""
    with np.errstate(invalid="ignore", over="ignore"):
        total = hi + values
        part = total - hi
        error = (hi - (total - part)) + (values - part)
    hi[...] = total
    lo += np.where(np.isnan(error), 0.0, error)  # an infinite sum has none


def grown(rows: Array, n: int) -> Array:
    """The rows of sums, with zeros for at least n groups."""
    if n <= len(rows):
        return rows
    longer = np.zeros((max(n, 2 * len(rows)), rows.shape[1]))
    longer[: len(rows)] = rows
    return longer


def check_divisors(sums: Array, what: str = "weights") -> None:
    """Raise if there are sums of weights that float64 cannot divide by."""
    some = sums > 0.0
    if some.any():
        for extreme in (sums.min(where=some, initial=np.inf), sums.max(where=some, initial=0.0)):
            checked_weight_sum(float(extreme), what)


def divided(a: Array, b: Array) -> Array:
    """The quotients by weights; nan where b is 0."""
    check_divisors(b)
    quotients = np.full(len(a), np.nan)
    np.divide(a, b, out=quotients, where=b != 0.0)
    return quotients


class GroupTotals:
    """The sums of a batch, by the number of the group.

    Attributes
    ----------
    rows : ndarray of shape (groups, 5)
        total, its low part, weight, its low part, count; zeros for groups to come.
    pairs : ndarray of shape (4, groups)
        A view of the first four.
    counts : ndarray of shape (groups,)
    """

    __slots__ = ("rows",)

    def __init__(self, n: int) -> None:
        self.rows = np.zeros((n, 5))

    @property
    def pairs(self) -> Array:
        return self.rows[:, :4].T

    @property
    def counts(self) -> Array:
        return self.rows[:, 4].astype(np.int64)

    def add(self, block: Block, groups: BlockGroups) -> None:
        """Add one block."""
        self.rows = grown(self.rows, groups.n)
        losses, weights, valid = block[1:]
        add_losses(losses, weights, valid, groups.codes, groups.low, self.rows, None)

    def select(self, at: Array) -> GroupTotals:
        """The totals of some groups."""
        some = GroupTotals(0)
        some.rows = self.rows[at]
        return some

    def totals(self) -> Array:
        """The sum of weight times loss by group."""
        total: Array = self.pairs[0] + self.pairs[1]
        return total

    def weights(self) -> Array:
        """The sum of the weights by group."""
        weight: Array = self.pairs[2] + self.pairs[3]
        return weight

    def means(self) -> Array:
        """The weighted means by group."""
        return divided(self.totals(), self.weights())

    def centres(self) -> Array:
        """The means; 0 for a group without weight."""
        weights = self.weights()
        with np.errstate(invalid="ignore", over="ignore"):
            return np.divide(
                self.totals(), weights, out=np.zeros(len(weights)), where=weights != 0.0
            )

    def combined(self) -> Sums:
        """The sums over all groups."""
        total, weight = _combined(self.pairs[:2]), _combined(self.pairs[2:])
        return Sums(*total, *weight, int(self.counts.sum()))


def _combined(pairs: Array) -> tuple[float, float]:
    values = pairs.ravel().data  # gives one float at a time: there may be millions
    total = math.fsum(values)
    return total, math.fsum(chain(values, [-total])) if math.isfinite(total) else 0.0

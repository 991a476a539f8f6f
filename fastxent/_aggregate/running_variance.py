"""Squares of losses about their means, by group.

They come from one pass: they are summed about the mean so far, and shifted where it moves (Chan, Golub
and LeVeque), so nothing cancels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastxent._aggregate.elementwise import Array, Block
from fastxent._aggregate.group_keys import BlockGroups
from fastxent._aggregate.group_totals import GroupTotals, check_divisors, divided, grown
from fastxent._core.dispatch import add_differences, add_losses, shift_centres


class RunningVariance:
    """Squares of e = w (loss - centre), by group, about a centre that follows the mean.

    Attributes
    ----------
    rows : ndarray of shape (groups, 5)
        The sums of e², e w and w²; how many weights are not 0; the centre.
    """

    def __init__(self, n: int) -> None:
        self.rows = np.zeros((n, 5))

    def add(self, block: Block, groups: BlockGroups, totals: GroupTotals) -> None:
        """Add one block of a model, to its totals as well."""
        self.rows, totals.rows = grown(self.rows, groups.n), grown(totals.rows, groups.n)
        losses, weights, valid = block[1:]
        add_losses(losses, weights, valid, groups.codes, groups.low, totals.rows, self.rows)

    def add_differences(
        self, blocks: Sequence[Block], groups: BlockGroups, totals: Sequence[GroupTotals]
    ) -> None:
        """Add one block of each of two models, which their totals include."""
        self.rows = grown(self.rows, groups.n)
        add_differences(
            blocks[0].losses, blocks[1].losses, blocks[0].weights, groups.codes, groups.low,
            totals[0].rows, totals[1].rows, self.rows,
        )  # fmt: skip

    def select(self, at: Array) -> RunningVariance:
        """The squares of some groups."""
        some = RunningVariance(0)
        some.rows = self.rows[at]
        return some

    @np.errstate(invalid="ignore", over="ignore")
    def add_shifted(self, other: RunningVariance, at: Array, centres: Array) -> None:
        """Add the squares of groups, of which each is the one with the number in `at` here.

        Both are taken about the centres of all groups here; `other` stays as it is.
        """
        rows = np.zeros_like(self.rows)
        rows[at] = other.rows
        shift_centres(centres, rows)
        shift_centres(centres, self.rows)
        self.rows[:, :4] += rows[:, :4]

    @np.errstate(invalid="ignore", over="ignore")
    def combined(self, mean: float) -> RunningVariance:
        """The squares of all groups about their common mean."""
        ee, ew, ww, n, centre = self.rows[self.rows[:, 3] > 0.0].T  # an empty group has no centre
        shift = mean - centre
        one = RunningVariance(1)
        one.rows[0] = (
            np.sum(ee - shift * (2.0 * ew - shift * ww)),
            np.sum(ew - shift * ww),
            ww.sum(),
            n.sum(),
            mean,
        )
        return one

    def degrees_of_freedom(self) -> Array:
        """The number of weights that are not 0, minus one."""
        return np.maximum(self.rows[:, 3] - 1.0, 0.0)

    @np.errstate(invalid="ignore", over="ignore", divide="ignore")
    def standard_error(self, mean: Array, weight: Array) -> Array:
        """The standard errors of the means; nan for fewer than two losses."""
        rows = self.rows.copy()
        shift_centres(mean, rows)
        ee, _, ww, n, _ = rows.T
        least = np.where(weight > 0.0, 5e-324, 0.0)  # where all squares underflow
        check_divisors(np.maximum(ww, least), "squares of the weights")
        correction = np.where(n > 1.0, n / (n - 1.0), np.nan)
        return divided(np.sqrt(correction * np.maximum(ee, 0.0)), weight)

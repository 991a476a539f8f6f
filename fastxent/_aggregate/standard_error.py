"""Means with their standard errors, for one model or two, by group, from sums over any batches.

Mean and variance come from one pass. Each block sums squares about its own mean, and these are
shifted when blocks are combined (Chan, Golub and LeVeque), so nothing cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastxent._aggregate import student_t
from fastxent._aggregate.clusters import ClusterSums
from fastxent._aggregate.elementwise import Array, Block, ElementwiseLosses
from fastxent._aggregate.group_keys import BlockGroups, GroupKeys, StreamGroupKeys
from fastxent._aggregate.groups import (
    ByGroup,
    GroupTotals,
    check_divisors,
    divided,
    key_order,
    zero_padded,
)


class Score(NamedTuple):
    """A mean loss with its standard error.

    Attributes
    ----------
    mean, standard_error : float
        The weighted mean, and its standard error.
    weight : float
        The sum of the weights.
    count : int
        The number of losses.
    degrees_of_freedom : float
        Of the standard error: the number of losses whose weight is not 0, less one; of clusters where
        there are such.
    perplexity, perplexity_standard_error : float
        exp of the mean, and its standard error by the delta method: for the losses of the tokens of
        a language model.
    """

    mean: float
    standard_error: float
    weight: float
    count: int  # type: ignore[assignment]  # tuple has a method of that name
    degrees_of_freedom: float

    def confidence_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The interval that Student's t distribution gives for the mean.

        Parameters
        ----------
        confidence : float, default 0.95
            The probability that such an interval contains the true mean: between 0 and 1.

        Returns
        -------
        tuple of float
            The lower and the upper end; nan for fewer than two losses.
        """
        return _interval(self.mean, self, confidence)

    @property
    def perplexity(self) -> float:
        """The exponential of the mean."""
        try:
            return math.exp(self.mean)
        except OverflowError:
            return math.inf

    @property
    def perplexity_standard_error(self) -> float:
        """By the delta method: the standard error of the mean, times the perplexity."""
        return self.perplexity * self.standard_error


class Comparison(NamedTuple):
    """The losses of two models on the same data; the difference is a - b.

    Attributes
    ----------
    mean_a, mean_b : float
        The weighted means.
    difference, standard_error : float
        mean_a - mean_b, and the standard error of this paired difference.
    weight : float
        The sum of the weights.
    count : int
        The number of pairs.
    degrees_of_freedom : float
        Of the standard error: the number of pairs whose weight is not 0, less one; of clusters where
        there are such.
    t : float
        The difference in standard errors: the statistic of the paired t-test.
    p_value : float
        The two-sided probability of a difference at least this large if the models were equally
        good, by Student's t distribution.
    """

    mean_a: float
    mean_b: float
    difference: float
    standard_error: float
    weight: float
    count: int  # type: ignore[assignment]  # tuple has a method of that name
    degrees_of_freedom: float

    @property
    def t(self) -> float:
        if self.standard_error:
            return self.difference / self.standard_error
        return math.copysign(math.inf, self.difference) if self.difference else math.nan

    @property
    def p_value(self) -> float:
        return student_t.p_value(self.t, self.degrees_of_freedom)

    def confidence_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The interval that Student's t distribution gives for the difference.

        Parameters
        ----------
        confidence : float, default 0.95
            The probability that such an interval contains the true difference: between 0 and 1.

        Returns
        -------
        tuple of float
            The lower and the upper end; nan for fewer than two pairs.
        """
        return _interval(self.difference, self, confidence)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        low, high = self.confidence_interval()
        tested = f"t={self.t:.4g}, p={self.p_value:.3g}, 95 % interval {low:.4g} to {high:.4g}"
        return f"Comparison({fields}): {tested}"


def _interval(middle: float, of: Score | Comparison, confidence: float) -> tuple[float, float]:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence={confidence!r} must be above 0 and below 1")
    margin = student_t.critical_value(confidence, of.degrees_of_freedom) * of.standard_error
    return middle - margin, middle + margin


class _RunningVariance:
    """Squares of e = w (loss - centre), by group, about a centre that follows the mean.

    Attributes
    ----------
    weight, centre : ndarray
        The sum of w, and the mean so far.
    ee, ew, ww : ndarray
        The sums of e², e w and w².
    n : ndarray
        How many weights are not 0.
    """

    def __init__(self, n: int) -> None:
        self._set(np.zeros((6, n)))

    def _set(self, sums: Array) -> None:
        self._sums = sums
        self.weight, self.centre, self.ee, self.ew, self.ww, self.n = sums

    @np.errstate(invalid="ignore", over="ignore")
    def add(
        self, losses: Array, weights: Array | None, groups: BlockGroups, total: Array, weight: Array
    ) -> None:
        """Add one block: its losses, times their weights, which are overwritten; and its sums."""
        self._set(zero_padded(self._sums, groups.total))
        at, n = groups.at, weight
        ww = weight
        if weights is not None:
            n = groups.count(weights != 0.0, len(losses)).astype(np.float64)
            ww = groups.sum(weights * weights)
        mean = np.divide(total, weight, out=np.zeros(groups.n), where=weight != 0.0)
        expected = mean if groups.codes is None else mean[groups.codes]
        e = losses
        e -= expected if weights is None else expected * weights
        ew = groups.sum(e if weights is None else e * weights)
        ee = groups.sum(np.square(e, out=e))
        both, before = self.weight[at] + weight, self.centre[at]
        share = np.divide(weight, both, out=np.zeros(groups.n), where=both != 0.0)
        self._shift(before + share * (mean - before), at)
        shift = self.centre[at] - mean
        self.ee[at] += ee - shift * (2.0 * ew - shift * ww)
        self.ew[at] += ew - shift * ww
        self.ww[at] += ww
        self.n[at] += n
        self.weight[at] = both

    def _shift(self, centre: Array, at: Any = slice(None)) -> None:
        """Move the centres of some groups."""
        shift = centre - self.centre[at]
        self.ee[at] -= shift * (2.0 * self.ew[at] - shift * self.ww[at])
        self.ew[at] -= shift * self.ww[at]
        self.centre[at] = centre

    @np.errstate(invalid="ignore", over="ignore")
    def combined(self, mean: float) -> _RunningVariance:
        """The squares of all groups about their common mean."""
        used = self.n > 0.0  # an empty group has no centre
        shift, ww = mean - self.centre[used], self.ww[used]
        one = _RunningVariance(1)
        one.centre[0] = mean
        one.ee[0] = np.sum(self.ee[used] - shift * (2.0 * self.ew[used] - shift * ww))
        one.ew[0] = np.sum(self.ew[used] - shift * ww)
        one.weight[0], one.ww[0], one.n[0] = self.weight[used].sum(), ww.sum(), self.n[used].sum()
        return one

    def degrees_of_freedom(self) -> Array:
        """The number of weights that are not 0, minus one."""
        return np.maximum(self.n - 1.0, 0.0)

    @np.errstate(invalid="ignore", over="ignore", divide="ignore")
    def standard_error(self, mean: Array) -> Array:
        """The standard errors of the means; nan for fewer than two losses."""
        check_divisors(
            np.maximum(self.ww, np.where(self.weight > 0.0, 5e-324, 0.0)),  # all squares underflow
            "squares of the weights",
        )
        self._shift(mean)
        error: Array = self.n - 1.0  # changed in place: there may be millions of groups
        np.divide(self.n, error, out=error)
        error[self.n <= 1.0] = np.nan
        error *= np.maximum(self.ee, 0.0)
        return divided(np.sqrt(error, out=error), self.weight)


class MeanAndError:
    """The sums of the losses of one model, or of two models and of their differences, by group.

    Parameters
    ----------
    models : int
        1 or 2.
    n : int
        How many groups are known of.
    clustered : bool
        Whether every batch has clusters.

    Attributes
    ----------
    numbers : ndarray
        Of the groups in the last result.
    """

    def __init__(self, models: int, n: int, clustered: bool = False) -> None:
        self._totals = [GroupTotals(n) for _ in range(models)]
        self._variance = _RunningVariance(n)
        self._clusters = ClusterSums(models) if clustered else None
        self.numbers = np.zeros(0, np.intp)

    # The difference of two infinite losses is NaN without a warning; too large weights raise later.
    @np.errstate(invalid="ignore", over="ignore")
    def add(
        self,
        elements: Sequence[ElementwiseLosses],
        keys: GroupKeys | StreamGroupKeys,
        each: Callable[..., Any] | None = None,
        clusters: GroupKeys | StreamGroupKeys | None = None,
    ) -> None:
        """Add a batch.

        Parameters
        ----------
        elements : sequence of ElementwiseLosses
            Of each model.
        keys : GroupKeys or StreamGroupKeys
            The groups; every batch numbers them alike.
        each : callable, optional
            Is called with every block, one of each model. Their memory is used again.
        clusters : GroupKeys or StreamGroupKeys, optional
            The clusters of the losses: in every batch or in none.
        """
        seen = 0
        for blocks in zip(*(e.blocks(keys.min_block) for e in elements), strict=True):
            paired = blocks if len(blocks) == 1 else _paired(*blocks)
            groups = keys.block_groups(paired[0].index)
            sums = [t.add(block, groups) for t, block in zip(self._totals, paired, strict=True)]
            if each is not None:
                each(*paired)
            if self._clusters is not None and clusters is not None:
                numbers = clusters.block_groups(paired[0].index)
                self._clusters.add(paired, numbers, groups, clusters.min_block(seen))
                seen += len(paired[0].losses)
                if not self._clusters.singletons:
                    continue  # the variance of single losses is not asked for any more
            losses, (total, weight) = paired[0].losses, sums[0]
            if len(paired) == 2:
                losses -= paired[1].losses
                total = total - sums[1][0]
            self._variance.add(losses, paired[0].weights, groups, total, weight)
        if self._clusters is not None:
            self._clusters.flush()

    def combined(self) -> MeanAndError:
        """All groups as one."""
        one = MeanAndError(len(self._totals), 1)
        for totals, every in zip(one._totals, self._totals, strict=True):
            *pairs, count = every.combined()
            totals.pairs[:, 0], totals.counts[0] = pairs, count
        means = [totals.means() for totals in one._totals]
        mean = means[0] if len(means) == 1 else means[0] - means[1]
        one._variance = self._variance.combined(float(mean[0]))
        one._clusters = None if self._clusters is None else self._clusters.combined()
        return one

    def result(self, keys: GroupKeys | StreamGroupKeys) -> ByGroup[Any]:
        """A Score for each group with a loss that counts, or a Comparison for two models."""
        first, *other = self._totals
        at, used = keys.used(first.counts)
        del keys  # where the caller keeps none, either: an index of millions is large
        order = key_order(used)
        self.numbers = at = at[order]
        used = [used[i] for i in order]
        del order
        columns = [totals.means()[at] for totals in self._totals]
        mean = (
            divided(first.totals() - other[0].totals(), first.weights()) if other else first.means()
        )
        if other:
            columns.append(mean[at])
        error, freedom = self._error(mean, first.weights())
        del mean
        columns += [error[at], first.weights()[at], first.counts[at], freedom[at]]
        record: Any = Comparison if other else Score
        return ByGroup(record, used, *columns)

    def _error(self, mean: Array, weight: Array) -> tuple[Array, Array]:
        """The standard errors and their degrees of freedom; clusters of one loss are no clusters."""
        if self._clusters is None or self._clusters.singletons:
            error = self._variance.standard_error(mean)
            return error, self._variance.degrees_of_freedom()
        return self._clusters.standard_error(mean, weight)


def _paired(a: Block, b: Block) -> tuple[Block, Block]:
    """Both blocks, with the losses that count in both."""
    if a.valid is None or b.valid is None or np.array_equal(a.valid, b.valid):
        return a, b
    valid = a.valid & b.valid
    return tuple(
        block._replace(
            losses=np.where(valid, block.losses, 0.0),
            weights=np.where(valid, block.weights, 0.0),  # type: ignore[arg-type] # as some are not valid
            valid=valid,
        )
        for block in (a, b)
    )  # type: ignore[return-value]

"""Means with their standard errors, for one model or two, by group, from sums over any batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastxent._aggregate import student_t
from fastxent._aggregate.clusters import ClusterSums
from fastxent._aggregate.elementwise import Array, Block, Elements
from fastxent._aggregate.group_keys import BlockGroups, GroupKeys, StreamGroupKeys
from fastxent._aggregate.group_totals import GroupTotals, divided
from fastxent._aggregate.groups import ByGroup, key_order
from fastxent._aggregate.running_variance import RunningVariance

#: Groups whose records are computed at once.
_PIECE = 1 << 14


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
    """

    def __init__(self, models: int, n: int, clustered: bool = False) -> None:
        self._totals = [GroupTotals(n) for _ in range(models)]
        self._variance = RunningVariance(n)
        self._clusters = ClusterSums(models) if clustered else None

    # The difference of two infinite losses is NaN without a warning; too large weights raise later.
    @np.errstate(invalid="ignore", over="ignore")
    def add(
        self,
        elements: Sequence[Elements],
        keys: GroupKeys | StreamGroupKeys,
        each: Callable[..., Any] | None = None,
        clusters: GroupKeys | StreamGroupKeys | None = None,
    ) -> None:
        """Add a batch.

        Parameters
        ----------
        elements : sequence of Elements
            Of each model.
        keys : GroupKeys or StreamGroupKeys
            The groups; every batch numbers them alike.
        each : callable, optional
            Is called with every block, one of each model.
        clusters : GroupKeys or StreamGroupKeys, optional
            The clusters of the losses: in every batch or in none.
        """
        for blocks in zip(*(e.blocks() for e in elements), strict=True):
            paired = blocks if len(blocks) == 1 else _paired(*blocks)
            groups = keys.block_groups(paired[0].index)
            if self._clusters is not None and clusters is not None:
                self._clusters.add(paired, clusters.block_groups(paired[0].index), groups)
            self._add_block(paired, groups)
            if each is not None:
                each(*paired)

    def _add_block(self, paired: Sequence[Block], groups: BlockGroups) -> None:
        # Where losses share clusters, the variance of single losses is not asked for.
        single = self._clusters is None or self._clusters.singletons
        if single and len(paired) == 1:
            self._variance.add(paired[0], groups, self._totals[0])
            return
        for totals, block in zip(self._totals, paired, strict=True):
            totals.add(block, groups)
        if single:
            self._variance.add_differences(paired, groups, self._totals)

    def combined(self) -> MeanAndError:
        """All groups as one."""
        one = MeanAndError(len(self._totals), 1)
        for totals, every in zip(one._totals, self._totals, strict=True):
            *pairs, count = every.combined()
            totals.rows[0] = (*pairs, count)
        means = [totals.means() for totals in one._totals]
        mean = means[0] if len(means) == 1 else means[0] - means[1]
        one._variance = self._variance.combined(float(mean[0]))
        one._clusters = None if self._clusters is None else self._clusters.combined()
        return one

    def result(self, keys: GroupKeys | StreamGroupKeys) -> ByGroup[Any]:
        """A Score for each group with a loss that counts, or a Comparison for two models."""
        groups = self.groups(keys)
        return ByGroup(groups.record, groups.keys, *groups.columns())

    def groups(self, keys: GroupKeys | StreamGroupKeys) -> GroupResults:
        """The same, computed as it is asked for: there may be millions of groups."""
        at, used = keys.used(self._totals[0].rows[: len(keys), 4])
        del keys  # where the caller keeps none, either: their index is large
        order = key_order(used)
        used, at = [used[i] for i in order], at[order]
        if self._clusters is None or self._clusters.singletons:  # clusters of one loss are none
            return GroupResults(used, at, self._totals, self._variance)
        mean, weight = _means(self._totals)[-1], self._totals[0].weights()
        return GroupResults(used, at, self._totals, self._clusters.standard_error(mean, weight))


class GroupResults:
    """The results of groups in their order; each is computed when it is asked for.

    Parameters
    ----------
    keys : list
    numbers : ndarray
        Of the groups in what follows.
    totals : sequence of GroupTotals
        Of one model or two.
    errors : RunningVariance or tuple of ndarray
        What gives the standard errors, or these and their degrees of freedom.
    """

    def __init__(
        self,
        keys: list[Any],
        numbers: Array,
        totals: Sequence[GroupTotals],
        errors: RunningVariance | tuple[Array, Array],
    ) -> None:
        self.keys, self.numbers = keys, numbers
        self._totals, self._errors = totals, errors
        self.record: Any = Score if len(totals) == 1 else Comparison

    def weights(self) -> Array:
        """The sums of the weights."""
        return self._totals[0].weights()[self.numbers]

    def columns(self, places: Any = slice(None)) -> list[Array]:
        """The columns of the records at some places."""
        at = self.numbers[places]
        totals = [every.select(at) for every in self._totals]
        means, weight = _means(totals), totals[0].weights()
        if isinstance(self._errors, RunningVariance):
            variance = self._errors.select(at)
            error = variance.standard_error(means[-1], weight)
            freedom = variance.degrees_of_freedom()
        else:
            error, freedom = (every[at] for every in self._errors)
        return [*means, error, weight, totals[0].counts, freedom]

    def records(self, places: Sequence[int]) -> Iterator[Any]:
        """The records at some places."""
        for start in range(0, len(places), _PIECE):
            columns = self.columns(places[start : start + _PIECE])
            yield from map(self.record._make, zip(*(c.tolist() for c in columns), strict=True))


def _means(totals: Sequence[GroupTotals]) -> list[Array]:
    """The mean of each model; of two models, also that of their difference."""
    first, *other = totals
    means = [every.means() for every in totals]
    if other:
        means.append(divided(first.totals() - other[0].totals(), first.weights()))
    return means


def _paired(a: Block, b: Block) -> tuple[Block, Block]:
    """Both blocks, with the losses that count in both, in one dtype."""
    dtype = np.result_type(a.losses, b.losses)
    a, b = (block._replace(losses=block.losses.astype(dtype, copy=False)) for block in (a, b))
    if a.valid is None or b.valid is None or np.array_equal(a.valid, b.valid):
        return a, b
    valid = a.valid & b.valid
    return tuple(
        block._replace(
            losses=np.where(valid, block.losses, dtype.type(0)),
            weights=np.where(valid, block.weights, 0.0),  # type: ignore[arg-type] # as some are not valid
            valid=valid,
        )
        for block in (a, b)
    )  # type: ignore[return-value]

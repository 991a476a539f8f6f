"""The loss of data larger than memory: sums over batches, in any order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastxent._aggregate.clusters import cluster_error
from fastxent._aggregate.group_totals import GroupTotals
from fastxent._aggregate.groups import ByGroup, GroupMean, GroupSums, group_sums
from fastxent._aggregate.linear_loss import bind
from fastxent._aggregate.standard_error import Score
from fastxent._core.evaluate import Sums
from fastxent._core.scalars import as_float, two_sum

_NOTHING = Sums(0.0, 0.0, 0.0, 0.0, 0)
_NO_GROUPS = GroupSums([], GroupTotals(0), None)


class LossAccumulator:
    """The weighted mean loss over batches, whatever the batches are.

    Parameters
    ----------
    loss : callable or str
        One of the losses of fastxent, or its name.
    **options
        The options of the loss for every batch: all except `reduction` and `out`, and except
        `sample_weight` and `where`, which `update` takes. For `fastxent.linear_cross_entropy` also
        ``weight`` and ``bias``, of which no copy is made.

    Attributes
    ----------
    total : float
        The sum of weight times loss.
    weight : float
        The sum of the weights.
    count : int
        How many losses count.
    perplexity : float
        exp of the mean.
    bits : float
        The mean in bits: divided by log 2.

    See Also
    --------
    grouped : The mean by group, of one batch.
    bits_per_byte : The tokenizer-independent metric for comparing language models.

    Notes
    -----
    The sums are carried as unevaluated pairs of floats, some 32 digits, so that a billion small
    batches lose nothing. An accumulator takes a few hundred bytes, and it can be pickled: make one
    in each process, and add them up. An update that raises counts nothing.

    Examples
    --------
    >>> import fastxent
    >>> acc = fastxent.LossAccumulator(fastxent.binary_cross_entropy)
    >>> acc.update([1, 0], [0.9, 0.2])
    >>> acc.update([1], [0.5], sample_weight=[2.0])
    >>> round(acc.result(), 6), acc.weight, acc.count
    (0.4287, 4.0, 3)

    Partial results, from other threads, processes or machines, are added:

    >>> other = fastxent.LossAccumulator("binary_cross_entropy")
    >>> other.update([0], [0.5])
    >>> (acc + other).count
    4
    """

    __slots__ = ("_call", "_clusters", "_groups", "_sums")

    def __init__(self, loss: Any, **options: Any) -> None:
        self._call = bind(loss, options, "LossAccumulator")
        self._sums = _NOTHING
        self._groups: GroupSums | None = None
        self._clusters: GroupSums | None = None

    def update(
        self,
        y_true: Any,
        scores: Any = None,
        sample_weight: Any = None,
        where: Any = None,
        *,
        groups: Any = None,
        clusters: Any = None,
        var: Any = None,
    ) -> None:
        """Add a batch.

        Parameters
        ----------
        y_true, scores : array_like
            As the loss takes them; `fastxent.entropy` takes one array.
        sample_weight, where : array_like, optional
            As the loss takes them.
        groups : array_like or list of hashable values, optional
            The key of each loss, as for `fastxent.grouped`: in every update or in none.
        clusters : array_like or list of hashable values, optional
            The cluster of each loss, for the standard error of ``score()``: in every update or in
            none, and not with `groups`.
        var : array_like, optional
            The variances of this batch, for `fastxent.gaussian_nll`.

        Raises
        ------
        ValueError, TypeError
            As the loss does. Then nothing of the batch has been counted.
        """
        batch = {"sample_weight": sample_weight, "where": where, "var": var}
        if groups is not None and clusters is not None:
            raise ValueError("groups and clusters are given: fastxent.score takes both")
        self._check_given("groups", groups is not None)
        self._check_given("clusters", clusters is not None)
        if groups is None and clusters is None:
            self._sums = added(self._sums, self._call.sums(y_true, scores, **batch))
            return
        name, keys = ("groups", groups) if clusters is None else ("clusters", clusters)
        found = group_sums(self._call, y_true, scores, keys, name, **batch)
        sums = added(self._sums, found.totals.combined())
        before = getattr(self, f"_{name}")
        setattr(self, f"_{name}", found if before is None else before.merged(found))
        self._sums = sums

    def merge(self, other: LossAccumulator) -> None:
        """Add what another accumulator of the same loss and options has seen.

        Parameters
        ----------
        other : LossAccumulator
            It stays as it is.
        """
        if not isinstance(other, LossAccumulator):
            raise TypeError(f"a {type(other).__name__} cannot be merged: pass a LossAccumulator")
        if self._call != other._call:
            raise ValueError(f"different losses cannot be added: {self._call} and {other._call}")
        for name in ("groups", "clusters"):
            theirs = getattr(other, f"_{name}")
            if other._sums.count or theirs is not None:
                self._check_given(name, theirs is not None)
        sums = added(self._sums, other._sums)
        if other._groups is not None:
            self._groups = (self._groups or _NO_GROUPS).merged(other._groups)
        if other._clusters is not None:
            self._clusters = (self._clusters or _NO_GROUPS).merged(other._clusters)
        self._sums = sums

    def _check_given(self, name: str, given: bool) -> None:
        """Keys come in every update or in none: otherwise they would not add up to the total."""
        known = getattr(self, f"_{name}") is not None
        if given != known and (self._sums.count or known):
            raise ValueError(
                f"{name} came with some of the batches and not with others: pass {name} to every "
                "update, or to none"
            )

    def __add__(self, other: LossAccumulator) -> LossAccumulator:
        if not isinstance(other, LossAccumulator):
            return NotImplemented
        result = LossAccumulator.__new__(LossAccumulator)
        result._call, result._sums = self._call, self._sums
        result._groups, result._clusters = self._groups, self._clusters
        result.merge(other)
        return result

    def __radd__(self, other: int) -> LossAccumulator:
        """0 + self, with which `sum` begins."""
        return self if other == 0 else NotImplemented

    def result(self) -> float:
        """The weighted mean; nan if no loss counts."""
        return self._sums.mean()

    def groups(self) -> ByGroup[GroupMean]:
        """Mean, sum, weight, count and standard error by group.

        Returns
        -------
        ByGroup
            As from `fastxent.grouped`.
        """
        return (self._groups or _NO_GROUPS).result()

    def score(self) -> Score:
        """The mean with its standard error, from the clusters.

        Returns
        -------
        Score
            As from `fastxent.score` with `clusters`; a key for each loss gives the standard error of
            losses that do not depend on each other.

        Raises
        ------
        ValueError
            No update had clusters.
        """
        if self._clusters is None:
            raise ValueError(
                "the standard error is that of clusters: pass clusters to every update"
            )
        totals, mean = self._clusters.totals, self.result()
        group = np.zeros(len(totals.rows), np.intp)
        error, freedom = cluster_error([totals], group, np.array([mean]), np.array([self.weight]))
        return Score(mean, float(error[0]), self.weight, self.count, float(freedom[0]))

    @property
    def total(self) -> float:
        return self._sums.total + self._sums.total_lo

    @property
    def weight(self) -> float:
        return self._sums.weight + self._sums.weight_lo

    @property
    def count(self) -> int:
        return self._sums.count

    @property
    def perplexity(self) -> float:
        try:
            return math.exp(self.result())
        except OverflowError:
            return math.inf

    @property
    def bits(self) -> float:
        return self.result() / math.log(2.0)

    def __repr__(self) -> str:
        mean = self.total / self.weight if self.weight else math.nan  # `result` may raise
        return f"LossAccumulator({self._call}) of {self.count}: {mean}"

    def __getstate__(self) -> tuple[Any, ...]:
        return self._call, tuple(self._sums), self._groups, self._clusters

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._call, sums, self._groups, self._clusters = state
        self._sums = Sums(*sums)


def added(a: Sums, b: Sums) -> Sums:
    """The sum of two."""
    total = _add_pairs(a.total, a.total_lo, b.total, b.total_lo)
    weight = _add_pairs(a.weight, a.weight_lo, b.weight, b.weight_lo)
    return Sums(*total, *weight, a.count + b.count)


def _add_pairs(a: float, a_lo: float, b: float, b_lo: float) -> tuple[float, float]:
    """(a + a_lo) + (b + b_lo), normalised: the low part is the rounding error of the high one."""
    total, error = two_sum(a, b)
    return two_sum(total, error + (a_lo + b_lo))


def bits_per_byte(total: float, n_bytes: int) -> float:
    """Bits per byte of text: the tokenizer-independent metric for comparing language models.

    Parameters
    ----------
    total : float
        The sum of the losses of all tokens in nats: ``total`` of a `fastxent.LossAccumulator`.
    n_bytes : int
        The length of the text in bytes, in UTF-8.

    Returns
    -------
    float
        total / log 2 / n_bytes

    Examples
    --------
    >>> import fastxent
    >>> acc = fastxent.LossAccumulator("categorical_cross_entropy")
    >>> acc.update([0, 1], [[0.5, 0.5], [0.75, 0.25]])
    >>> fastxent.bits_per_byte(acc.total, n_bytes=len("été".encode()))
    0.6
    """
    if not n_bytes > 0:
        raise ValueError(f"n_bytes={n_bytes} is not above 0")
    return as_float(total, "total") / math.log(2.0) / n_bytes

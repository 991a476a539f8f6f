"""Means with their standard errors, of one model or of two, over batches and by group."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastxent import _evaluate
from fastxent._call import BLOCK, Array, Block, Call, Elements, cuts
from fastxent._groups import Bins, ByGroup, Codes, Totals, divided
from fastxent._stream import added
from fastxent._uncertainty import Comparison, Score, _paired, _Spread


class Tally:
    """What `fastxent.score` and `fastxent.compare` find, of a stream of batches.

    Parameters
    ----------
    call : Call
        The loss, with its options.
    models : int
        One, or two to be compared.
    grouped : bool
        Whether the batches come with groups.
    """

    def __init__(self, call: Call, models: int, grouped: bool = False) -> None:
        calls = [call] if models == 1 else [call.of("scores_a"), call.of("scores_b")]
        self._calls = calls
        by_block = grouped or call.options["nan_policy"] == "omit"
        self._sums: _Whole | _ByGroup = _ByGroup(models) if by_block else _Whole(models)

    def update(
        self,
        y_true: Array,
        scores: list[Array],
        groups: tuple[Array, list[Any]] | None = None,
        each: Callable[[Array], Any] | None = None,
        **batch: Any,
    ) -> None:
        """Add a batch.

        Parameters
        ----------
        y_true : ndarray
            As the loss takes it.
        scores : list of ndarray
            Of each model.
        groups : tuple, optional
            The keys: places in a list, and that list.
        each : callable, optional
            Gets the losses of the first model, some at a time.
        **batch
            `sample_weight` and `where`.
        """
        pairs = zip(self._calls, scores, strict=True)
        elements = [call.elements(y_true, s, **batch) for call, s in pairs]
        for losses in self._sums.add(elements, groups):
            if each is not None:
                each(losses)

    def result(self) -> ByGroup[Score] | ByGroup[Comparison]:
        """By group; where there are no groups, the one key is None."""
        return self._sums.result()


class _Whole:
    """The sums over everything: those of the kernels, and squares about the first batch's mean.

    Attributes
    ----------
    ee, ew, ww : float
        The sums of e², e w and w², where e = w (loss - centre).
    n : int
        How many weights are not 0.
    """

    def __init__(self, models: int) -> None:
        self.sums = [_evaluate.Sums(0.0, 0.0, 0.0, 0.0, 0)] * models
        self.centre = math.nan
        self.ee = self.ew = self.ww = 0.0
        self.n = 0
        self.out = np.empty((models, BLOCK))  # again and again: new memory costs more than sums

    def add(self, elements: list[Elements], groups: Any) -> Iterator[Array]:
        """Add a batch, of which no loss is left out; yield the first model's losses."""
        del groups
        for cut in cuts(elements[0].shape):
            found = []
            for e, out in zip(elements, self.out, strict=True):
                try:
                    found.append(_summed(e, cut, out))
                except ValueError:
                    e.fault()  # the place that the error names is one in the block
                    raise
            self.sums = [added(a, b) for a, (b, _) in zip(self.sums, found, strict=True)]
            yield found[0][1]
            weight = elements[0].weight
            self._add_squares(
                [losses for _, losses in found], weight if weight is None else weight[cut]
            )

    def _add_squares(self, losses: list[Array], weight: Array | None) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            e = losses[0]
            if len(losses) == 2:
                e -= losses[1]
            if math.isnan(self.centre):
                self.centre = self._mean()
            if not math.isnan(self.centre):  # else there is no weight yet, or no mean
                self._square(e, weight)

    def _square(self, e: Array, weight: Array | None) -> None:
        if weight is None:
            e -= self.centre
            self.ew += float(e.sum())
            self.ww += len(e)
            self.n += len(e)
        else:
            weight = weight.astype(np.float64, copy=False)
            e -= self.centre * weight
            self.ew += _dot(e, weight)
            self.ww += _dot(weight, weight)
            self.n += int(np.count_nonzero(weight))
        self.ee += _dot(e, e)

    def _mean(self) -> float:
        """Of the losses, or of the difference of two models."""
        a = self.sums[0]
        total, low = a.total, a.total_lo
        if len(self.sums) == 2:
            total, low = total - self.sums[1].total, low - self.sums[1].total_lo
        weight = a.weight + a.weight_lo
        return (total + low) / weight if weight else math.nan

    def _error(self) -> float:
        weight = self.sums[0].weight + self.sums[0].weight_lo
        if self.n < 2 or not weight:
            return math.nan
        shift = self._mean() - self.centre
        squares = self.ee - shift * (2.0 * self.ew - shift * self.ww)
        if math.isnan(squares):
            return math.nan
        return math.sqrt(self.n / (self.n - 1.0) * max(squares, 0.0)) / weight

    def result(self) -> ByGroup[Score] | ByGroup[Comparison]:
        """Of the one group, None."""
        a = self.sums[0]
        means = [s.mean() for s in self.sums]
        if len(means) == 2:
            means.append(self._mean())
        values = (*means, self._error(), a.weight + a.weight_lo, a.count)
        columns = [np.array([v]) for v in values]
        if len(self.sums) == 1:
            return ByGroup(Score, [None], *columns)
        return ByGroup(Comparison, [None], *columns)


def _dot(a: Array, b: Array) -> float:
    """Their product, without BLAS, whose threads would wait for each other."""
    return float(np.einsum("i,i", a, b))


def _summed(e: Elements, cut: tuple[slice, ...], out: Array) -> tuple[_evaluate.Sums, Array]:
    """The kernel's sums and its losses, in float64, of a block."""
    scores = e.scores[cut]
    if scores.dtype != np.float64:
        scores = scores.astype(np.float64)
    weight, mask = (None if a is None else a[cut] for a in (e.weight, e.mask))
    batch = {"sample_weight": weight, "where": mask, **e.options}
    sums, _ = _evaluate.sums(e.loss, e.labels[cut], scores, **batch)  # not summed with the losses
    out = out[: len(scores)]
    _, losses = _evaluate.sums(e.loss, e.labels[cut], scores, want_losses=True, out=out, **batch)
    assert losses is not None
    return sums, losses


class _ByGroup:
    """The sums by group, and of what some losses are left out of."""

    def __init__(self, models: int) -> None:
        self.codes = Codes()
        self.totals = [Totals(0) for _ in range(models)]
        self.spread = _Spread(0)

    def add(
        self, elements: list[Elements], groups: tuple[Array, list[Any]] | None
    ) -> Iterator[Array]:
        """Add a batch; yield the first model's losses."""
        codes = None
        if groups is None:
            self.codes[None]
        else:
            codes = self._numbers(*groups)
        n = len(self.codes)
        for blocks in zip(*(e.blocks(lambda: n) for e in elements), strict=True):
            paired = blocks if len(blocks) == 1 else _paired(*blocks)
            bins = Bins(None if codes is None else codes[blocks[0].cut], n)
            self._add(paired, bins)
            yield blocks[0].losses

    def _numbers(self, places: Array, names: list[Any]) -> Array:
        """The numbers of the groups; what is not in this batch gets none."""
        there = np.flatnonzero(np.bincount(places, minlength=len(names)))
        numbers = np.zeros(len(names), np.intp)
        numbers[there] = [self.codes[names[i]] for i in there.tolist()]
        return numbers[places]

    def _add(self, blocks: tuple[Block, ...], bins: Bins) -> None:
        for totals, block in zip(self.totals, blocks, strict=True):
            totals.add(block, bins)
        e = blocks[0].losses
        if len(blocks) == 2:
            with np.errstate(invalid="ignore"):
                e = e - blocks[1].losses
        self.spread.add(e, blocks[0].weights, bins)

    def result(self) -> ByGroup[Score] | ByGroup[Comparison]:
        """Of each group in which something counts."""
        a = self.totals[0]
        at = np.flatnonzero(a.counts) if list(self.codes) != [None] else np.arange(1)
        seen = list(self.codes)
        keys = [seen[i] for i in at.tolist()]
        means = [totals.means() for totals in self.totals]
        if len(means) == 2:
            with np.errstate(invalid="ignore"):
                means.append(divided(a.totals() - self.totals[1].totals(), a.weights()))
        error = self.spread.standard_error(means[-1])
        columns = [c[at] for c in (*means, error, a.weights(), a.counts)]
        if len(self.totals) == 1:
            return ByGroup(Score, keys, *columns)
        return ByGroup(Comparison, keys, *columns)

"""How well a mean loss is known, and whether one model is better than another.

The variance is gathered in the one pass that gathers the mean: about the mean of each block, and
shifted when blocks are put together (Chan, Golub and LeVeque), so nothing cancels.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastxent._call import Array, Block, Call
from fastxent._groups import Bins, ByGroup, Keys, Totals, divided, grown


class Score(NamedTuple):
    """A mean loss, and how well it is known."""

    mean: float
    standard_error: float
    weight: float
    count: int  # type: ignore[assignment]  # tuple has a method of that name


class Comparison(NamedTuple):
    """The losses of two models on the same data; the difference is a - b."""

    mean_a: float
    mean_b: float
    difference: float
    standard_error: float
    weight: float
    count: int  # type: ignore[assignment]  # tuple has a method of that name

    @property
    def z(self) -> float:
        """The difference in standard errors."""
        if self.standard_error:
            return self.difference / self.standard_error
        return math.copysign(math.inf, self.difference) if self.difference else math.nan

    @property
    def p_value(self) -> float:
        """How likely so large a difference is by chance (two-sided, normal)."""
        return math.erfc(abs(self.z) / math.sqrt(2.0))


class _Spread:
    """Squares of e = w (loss - centre), by group, about a centre that moves along with the mean.

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
        self.weight, self.centre, self.ee, self.ew, self.ww, self.n = np.zeros((6, n))

    @np.errstate(invalid="ignore", over="ignore")
    def add(self, losses: Array, weights: Array | None, bins: Bins) -> None:
        """Add the losses, times their weights, of one block."""
        self._grow(bins.n)
        if weights is None:
            n = weight = ww = bins.count(None, len(losses)).astype(np.float64)
        else:
            n = bins.count(weights != 0.0, len(losses)).astype(np.float64)
            weight, ww = bins.sum(weights), bins.sum(weights * weights)
        mean = np.divide(bins.sum(losses), weight, out=np.zeros(bins.n), where=weight != 0.0)
        expected = mean if bins.codes is None else mean[bins.codes]
        e = losses - (expected if weights is None else expected * weights)
        ew = bins.sum(e if weights is None else e * weights)
        ee = bins.sum(e * e)
        both = self.weight + weight
        share = np.divide(weight, both, out=np.zeros(bins.n), where=both != 0.0)
        self._shift(self.centre + share * (mean - self.centre))
        shift = self.centre - mean
        self.ee += ee - shift * (2.0 * ew - shift * ww)
        self.ew += ew - shift * ww
        self.ww += ww
        self.n += n
        self.weight = both

    def _grow(self, n: int) -> None:
        if len(self.n) < n:
            for name, sums in vars(self).items():
                setattr(self, name, grown(sums, n))

    def _shift(self, centre: Array) -> None:
        shift = centre - self.centre
        self.ee = self.ee - shift * (2.0 * self.ew - shift * self.ww)
        self.ew = self.ew - shift * self.ww
        self.centre = centre

    @np.errstate(invalid="ignore", over="ignore", divide="ignore")
    def standard_error(self, mean: Array) -> Array:
        """Of the means; nan for fewer than two losses."""
        self._shift(mean)
        correction = np.where(self.n > 1.0, self.n / (self.n - 1.0), np.nan)
        return divided(np.sqrt(correction * np.maximum(self.ee, 0.0)), self.weight)


def score(
    loss: Any,
    y_true: Any,
    scores: Any,
    *,
    groups: Any = None,
    sample_weight: Any = None,
    where: Any = None,
    var: Any = None,
    **options: Any,
) -> Score | ByGroup[Score]:
    r"""Mean loss with its standard error, in one pass.

    Parameters
    ----------
    loss : callable or str
        One of the losses of fastxent, or its name.
    y_true, scores : array_like
        As the loss takes them. `scores` is None for `fastxent.entropy`, which takes one array.
    groups : array_like or list of hashable values, optional
        As for `fastxent.grouped`: the scores of each group.
    sample_weight, where : array_like, optional
        As the loss takes them.
    var : array_like, optional
        For `fastxent.gaussian_nll`.
    **options
        The options of the loss, without `reduction` and `out`.

    Returns
    -------
    Score or ByGroup
        A named tuple (mean, standard_error, weight, count); by group, one for each.

    See Also
    --------
    compare : Two models on the same data.

    Notes
    -----
    With the weights :math:`w_i`, of which :math:`n` are not zero, and the mean :math:`m`,

    .. math:: \mathrm{se}^2 = \frac{n}{n - 1} \frac{\sum_i w_i^2 (\ell_i - m)^2}{(\sum_i w_i)^2}

    For equal weights that is the sample variance over :math:`n`. The losses are taken to be
    independent of each other: those of the tokens of one text are not.

    Each loss is computed in float64, in blocks, one after another whatever `workers` says: the
    memory used does not grow with their number.

    Examples
    --------
    >>> import fastxent
    >>> s = fastxent.score(fastxent.binary_cross_entropy, [1, 0, 1, 1], [0.9, 0.2, 0.8, 0.4])
    >>> round(s.mean, 4), round(s.standard_error, 4), s.count
    (0.367, 0.1852, 4)
    """
    call = Call(loss, options, "score")
    batch = {"sample_weight": sample_weight, "where": where, "var": var}
    elements = call.elements(y_true, scores, **batch)
    keys = Keys(groups, elements.shape)
    totals, spread = Totals(len(keys)), _Spread(len(keys))
    for block in elements.blocks(keys.__len__):
        bins = keys.bins(block.cut)
        totals.add(block, bins)
        spread.add(block.losses, block.weights, bins)
    errors = spread.standard_error(totals.means())
    at, used = keys.used(totals.counts)
    totals = totals.of(at)
    found = ByGroup(Score, used, totals.means(), errors[at], totals.weights(), totals.counts)
    return found[None] if groups is None else found


@np.errstate(invalid="ignore")  # two infinite losses have no difference, and no warning either
def compare(
    loss: Any,
    y_true: Any,
    scores_a: Any,
    scores_b: Any,
    groups: Any = None,
    *,
    sample_weight: Any = None,
    where: Any = None,
    var_a: Any = None,
    var_b: Any = None,
    **options: Any,
) -> Comparison | ByGroup[Comparison]:
    """Compare two models on the same data: is the one better, and is the difference real?

    Parameters
    ----------
    loss : callable or str
        One of the losses of fastxent, or its name.
    y_true, scores_a, scores_b : array_like
        As the loss takes them.
    groups : array_like or list of hashable values, optional
        As for `fastxent.grouped`: a comparison for each group.
    sample_weight, where : array_like, optional
        As the loss takes them.
    var_a, var_b : array_like, optional
        For `fastxent.gaussian_nll`.
    **options
        The options of the loss, without `reduction` and `out`.

    Returns
    -------
    Comparison or ByGroup
        A named tuple (mean_a, mean_b, difference, standard_error, weight, count), the difference
        being a - b: below 0 where a is better. Its property ``z`` is the difference in standard
        errors, and ``p_value`` says how likely so large a one is by chance.

    See Also
    --------
    score : One model.

    Notes
    -----
    The standard error is that of the differences of the pairs, with the formula of
    `fastxent.score`; for equal weights ``z`` is the statistic of ``scipy.stats.ttest_rel``. With
    ``nan_policy="omit"`` what is NaN for either model counts for neither.

    Examples
    --------
    >>> import fastxent
    >>> y, a, b = [1, 0, 1, 1], [0.9, 0.2, 0.8, 0.4], [0.8, 0.3, 0.8, 0.3]
    >>> c = fastxent.compare(fastxent.binary_cross_entropy, y, a, b)
    >>> round(c.difference, 4), round(c.standard_error, 4), round(c.p_value, 3)
    (-0.1347, 0.059, 0.022)
    """
    call = Call(loss, options, "compare")
    batch = {"sample_weight": sample_weight, "where": where}
    elements_a = call.of("scores_a").elements(y_true, scores_a, var=var_a, **batch)
    elements_b = call.of("scores_b").elements(y_true, scores_b, var=var_b, **batch)
    keys = Keys(groups, elements_a.shape)
    totals_a, totals_b, spread = Totals(len(keys)), Totals(len(keys)), _Spread(len(keys))
    for pair in zip(*(e.blocks(keys.__len__) for e in (elements_a, elements_b)), strict=True):
        a, b = _paired(*pair)
        bins = keys.bins(a.cut)
        totals_a.add(a, bins)
        totals_b.add(b, bins)
        spread.add(a.losses - b.losses, a.weights, bins)
    difference = divided(totals_a.totals() - totals_b.totals(), totals_a.weights())
    errors = spread.standard_error(difference)
    at, used = keys.used(totals_a.counts)
    means = (totals.of(at).means() for totals in (totals_a, totals_b))
    totals = totals_a.of(at)
    found = ByGroup(
        Comparison, used, *means, difference[at], errors[at], totals.weights(), totals.counts
    )
    return found[None] if groups is None else found


def _paired(a: Block, b: Block) -> tuple[Block, Block]:
    """What counts for both."""
    if a.kept is None or b.kept is None or np.array_equal(a.kept, b.kept):
        return a, b
    kept = a.kept & b.kept
    return tuple(
        block._replace(
            losses=np.where(kept, block.losses, 0.0),
            weights=np.where(kept, block.weights, 0.0),  # type: ignore[arg-type] # as some are not kept
            kept=kept,
        )
        for block in (a, b)
    )  # type: ignore[return-value]

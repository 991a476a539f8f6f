"""How well a mean loss is known, and whether one model is better than another.

The variance is gathered in the one pass that gathers the mean: about the mean of each block, and
shifted when blocks are put together (Chan, Golub and LeVeque), so nothing cancels.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastxent._call import Array, Block, Call
from fastxent._groups import ByGroup, GroupSums, Keys, divided, grown, sum_by


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

    def __init__(self) -> None:
        self.weight = self.centre = self.ee = self.ew = self.ww = self.n = np.zeros(0)

    @np.errstate(invalid="ignore", over="ignore")
    def add(self, losses: Array, weights: Array | None, codes: Array | None, groups: int) -> None:
        """Add the losses, times their weights, of one block."""
        self._grow(groups)
        if weights is None:
            ones = np.ones(len(losses))
            weight = n = ww = sum_by(ones, codes, groups)
        else:
            weight, ww = sum_by(weights, codes, groups), sum_by(weights * weights, codes, groups)
            n = sum_by((weights != 0.0).astype(np.float64), codes, groups)
        total = sum_by(losses, codes, groups)
        mean = np.divide(total, weight, out=np.zeros(groups), where=weight != 0.0)
        expected = mean if codes is None else mean[codes]
        e = losses - (expected if weights is None else expected * weights)
        ew = sum_by(e if weights is None else e * weights, codes, groups)
        ee = sum_by(e * e, codes, groups)
        both = self.weight + weight
        share = np.divide(weight, both, out=np.zeros(groups), where=both != 0.0)
        centre = self.centre + share * (mean - self.centre)
        self._shift(centre)
        shift = centre - mean
        self.ee += ee - shift * (2.0 * ew - shift * ww)
        self.ew += ew - shift * ww
        self.ww += ww
        self.n += n
        self.weight = both

    def _grow(self, groups: int) -> None:
        if len(self.n) < groups:
            for name, sums in vars(self).items():
                setattr(self, name, grown(sums, groups))

    def _shift(self, centre: Array) -> None:
        shift = centre - self.centre
        self.ee = self.ee - shift * (2.0 * self.ew - shift * self.ww)
        self.ew = self.ew - shift * self.ww
        self.centre = centre

    @np.errstate(invalid="ignore", over="ignore", divide="ignore")
    def standard_error(self, mean: Array) -> Array:
        """Of the means; nan for fewer than two losses."""
        self._grow(len(mean))
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

    Each loss is computed in float64, in blocks: the memory used does not grow with their number.

    Examples
    --------
    >>> import fastxent
    >>> s = fastxent.score(fastxent.binary_cross_entropy, [1, 0, 1, 1], [0.9, 0.2, 0.8, 0.4])
    >>> round(s.mean, 4), round(s.standard_error, 4), s.count
    (0.367, 0.1852, 4)
    """
    call = Call(loss, options, "score")
    sums, spread = GroupSums([None] if groups is None else []), _Spread()
    batch = {"sample_weight": sample_weight, "where": where, "var": var}
    keys = None
    for block in call.blocks(y_true, scores, least=sums.codes.__len__, **batch):
        keys = keys or Keys(groups, block.shape)
        codes = keys.encode(block.cut, sums.codes)
        sums.add(block, codes)
        spread.add(block.losses, block.weights, codes, len(sums.codes))
    mean = sums.means()
    columns = (mean, spread.standard_error(mean), sums.weights(), sums.counts)
    found = ByGroup(Score, list(sums.codes), *columns)
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
    sums_a, sums_b = (GroupSums([None] if groups is None else []) for _ in range(2))
    sums_b.codes, spread = sums_a.codes, _Spread()
    batch = {"least": sums_a.codes.__len__, "sample_weight": sample_weight, "where": where}
    blocks_a = call.of("scores_a").blocks(y_true, scores_a, var=var_a, **batch)
    blocks_b = call.of("scores_b").blocks(y_true, scores_b, var=var_b, **batch)
    keys = None
    for block_a, block_b in zip(blocks_a, blocks_b, strict=True):
        a, b = _paired(block_a, block_b)
        keys = keys or Keys(groups, a.shape)
        codes = keys.encode(a.cut, sums_a.codes)
        sums_a.add(a, codes)
        sums_b.add(b, codes)
        spread.add(a.losses - b.losses, a.weights, codes, len(sums_a.codes))
    difference = divided(sums_a.totals() - sums_b.totals(), sums_a.weights())
    found = ByGroup(
        Comparison, list(sums_a.codes), sums_a.means(), sums_b.means(), difference,
        spread.standard_error(difference), sums_a.weights(), sums_a.counts,
    )  # fmt: skip
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

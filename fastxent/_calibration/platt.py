"""The slope and the intercept that calibrate the logits of two classes best."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastxent._calibration.isotonic import valid_elements
from fastxent._calibration.newton import Moments, Passes
from fastxent._core.loss import BINARY_OPTIONS, Formula, Loss
from fastxent._core.operands import Operands
from fastxent._core.scalars import Interval

#: Binary cross entropy of finite logits.
_PLATT = Loss(
    "fit_platt",
    Formula(
        "BINARY_LOGITS", scores=Interval(-math.inf, math.inf, open_lower=True, open_upper=True)
    ),
    "y_true",
    "logits",
    BINARY_OPTIONS,
)

#: Newton's method doubles the right digits: a step that changes the typical logit by this is the last.
_LAST_CHANGE = 1e-7
#: Elements, about, to which the line is fitted first.
_SAMPLE = 1 << 16
#: A step that changes the typical logit by more than this starts far from the minimum.
_FAR = 0.5
#: Labels that overlap take fewer passes than the first; it ends in any case.
_PASSES_OF_OVERLAP, _MOST_PASSES = 12, 200

Pair = tuple[float, float]


class PlattFit(NamedTuple):
    """The straight line that recalibrates logits: the probability is sigmoid(slope z + intercept).

    Attributes
    ----------
    slope, intercept : float
        A calibrated model has 1 and 0.
    covariance : tuple of tuple of float
        Of (slope, intercept): the inverse of the observed information.
    loss_before, loss : float
        The mean binary cross entropy of the logits as they are, and recalibrated.
    iterations : int
        The number of passes over the data: a sample of 65,536 is fitted before.
    """

    slope: float
    intercept: float
    covariance: tuple[Pair, Pair]
    loss_before: float
    loss: float
    iterations: int


def fit_platt(
    y_true: Any, logits: Any, *, sample_weight: Any = None, where: Any = None, workers: Any = 1
) -> PlattFit:
    r"""Fit a slope and an intercept that minimise the binary cross entropy of the logits.

    Parameters
    ----------
    y_true : array_like
        0 or 1, or the probability of a 1; in the shape of `logits`.
    logits : array_like
        Finite numbers, of any dtype and layout that `fastxent.binary_cross_entropy_with_logits`
        takes: log-odds, or any other score.
    sample_weight : array_like, optional
        A weight for each element, or for each leading index; 0 or more.
    where : array_like of bool, optional
        Boolean mask of the elements.
    workers : int, default 1
        Number of threads; -1 uses every CPU available to the process. The result has the same bits.

    Returns
    -------
    PlattFit
        A named tuple (slope, intercept, covariance, loss_before, loss, iterations).

    Raises
    ------
    ValueError
        No line is best: there is one label only, all logits are equal, or a threshold separates the
        labels. Or invalid input as for the loss.
    TypeError
        As the loss does.

    See Also
    --------
    fit_temperature : One parameter, for any number of classes.
    decompose : How much recalibration can gain at all.

    Notes
    -----
    The probability is :math:`1 / (1 + e^{-(a z + b)})` [1]_: logistic regression on one variable, by
    Newton's method. Each step takes one pass, which sums the loss and its five derivatives. Platt's
    targets are the labels here, not smoothed ones; pass labels from 0 to 1 for others.

    References
    ----------
    .. [1] J. Platt, Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized
       Likelihood Methods, Advances in Large Margin Classifiers, MIT Press, 1999.

    Examples
    --------
    >>> import fastxent
    >>> fit = fastxent.fit_platt([0, 1, 0, 1, 1, 0], [-3.0, -1.0, 0.5, 1.0, 4.0, 2.0])
    >>> round(fit.slope, 4), round(fit.intercept, 4)
    (0.3385, -0.2011)
    """
    options = {"sample_weight": sample_weight, "where": where, "workers": workers}
    passes = Passes(_PLATT, y_true, logits, options)
    before = passes.at(1.0, 0.0)
    if math.isnan(before.loss):
        raise ValueError("y_true, logits: no element counts, so there is nothing to fit")
    start, is_whole = _fit_sample(passes.operands, _first_step(passes.at(0.0, 0.0)))
    here = passes.at(*start)
    if not is_whole:
        if _change(here, *_step(here)) > _FAR:
            start, here = _fit_boundary(passes, start, here)
        start, here = _minimise(passes, start, here)
    slope, intercept = start
    (aa, ab, bb), weight = _inverse(here), before.weight
    covariance = ((aa / weight, ab / weight), (ab / weight, bb / weight))
    return PlattFit(slope, intercept, covariance, before.loss, here.loss, passes.count)


def _first_step(here: Moments) -> Pair:
    """Newton's step from (0, 0): a linear regression. Raise if the data have no spread."""
    r, _, h, hz, hzz = here.derivatives
    share = 0.5 - r
    if not 1e-15 < share < 1.0 - 1e-15:
        raise ValueError(
            f"y_true: every label that counts is {round(share)}, so the loss falls for every "
            f"{'higher' if share > 0.5 else 'lower'} intercept and has no minimum: pass both labels"
        )
    if not h * hzz - hz * hz > 1e-14 * h * hzz:
        raise ValueError(
            "logits: all that count are equal to 7 digits, so every slope is about as good as any "
            "other: subtract their mean"
        )
    return _step(here)


def _fit_sample(operands: Operands, start: Pair) -> tuple[Pair, bool]:
    """The line that fits every so-manieth element, or `start`; and whether these are all elements."""
    scores = operands.scores
    step = max(1, scores.size // _SAMPLE)
    if not scores.ndim or len(scores) < step:
        return start, False
    options = {name: array[::step] for name, array in operands.given.items()}
    some = Operands(_PLATT, operands.labels[::step], scores[::step], options)
    labels, logits, weights = valid_elements(some)
    if not len(labels) or (weights is not None and not weights.any()):
        return start, False
    if step == 1:
        return _fit_elements(labels, logits, weights), True
    # A sample may be separable where the data are not: Platt's smoothing gives it a minimum.
    margin = 1.0 / (len(labels) + 2.0)
    try:
        return _fit_elements(margin + (1.0 - 2.0 * margin) * labels, logits, weights), False
    except ValueError:
        return start, False


def _fit_boundary(passes: Passes, start: Pair, here: Moments) -> tuple[Pair, Moments]:
    """A better start where labels hardly overlap: the line that fits the least certain elements.

    The steeper the line, the less the others count.
    """
    labels, logits, weights = valid_elements(passes.operands)
    distance = np.abs(start[0] * logits.astype(np.float64) + start[1])
    if len(labels) > _SAMPLE:
        near = np.argpartition(distance, _SAMPLE)[:_SAMPLE]
        labels, logits = labels[near], logits[near]
        weights = None if weights is None else weights[near]
    try:
        better = _fit_elements(labels, logits, weights)
    except ValueError:
        return start, here
    there = passes.at(*better)
    return (better, there) if there.loss < here.loss else (start, here)


def _fit_elements(labels: Any, logits: Any, weights: Any) -> Pair:
    """The line that fits these elements; ValueError where none does."""
    logits = logits.astype(np.float64)
    # Far from 0 the two parameters hang together.
    middle = float(np.average(logits, weights=weights))
    options = {} if weights is None else {"sample_weight": weights}
    passes = Passes(_PLATT, labels, logits - middle, {**options, "workers": 1})
    first = _first_step(passes.at(0.0, 0.0))
    slope, intercept = _minimise(passes, first, passes.at(*first))[0]
    return slope, intercept - slope * middle


def _inverse(here: Moments) -> tuple[float, float, float]:
    """The inverse of the second derivatives: slope, both, intercept."""
    _, _, h, hz, hzz = here.derivatives
    determinant = h * hzz - hz * hz
    if not determinant > 0.0:
        return math.nan, math.nan, math.nan
    return h / determinant, -hz / determinant, hzz / determinant


def _step(here: Moments) -> Pair:
    """Newton's step."""
    r, rz, *_ = here.derivatives
    aa, ab, bb = _inverse(here)
    return -(aa * rz + ab * r), -(ab * rz + bb * r)


def _minimise(passes: Passes, start: Pair, here: Moments) -> tuple[Pair, Moments]:
    """Newton's method; a step that raises the loss is halved. Raise where labels do not overlap."""
    a, b = start
    for done in range(_MOST_PASSES):
        if done == _PASSES_OF_OVERLAP:
            _require_overlap(passes)
        step_a, step_b = _step(here)
        if math.isnan(step_a + step_b):  # so steep that no second derivative is left
            _require_overlap(passes)
            step_a, step_b = -0.5 * a, -0.5 * b
        change = _change(here, step_a, step_b)
        there = passes.at(a + step_a, b + step_b)
        while change > _LAST_CHANGE and there.loss > here.loss:
            step_a, step_b, change = 0.5 * step_a, 0.5 * step_b, 0.5 * change
            there = passes.at(a + step_a, b + step_b)
        a, b, here = a + step_a, b + step_b, there
        if change <= _LAST_CHANGE:
            return (a, b), here
    raise ArithmeticError(f"no convergence within {_MOST_PASSES} passes")  # pragma: no cover


def _change(here: Moments, slope: float, intercept: float) -> float:
    """By how much a step changes the logits, as a mean over those that are not certain."""
    _, _, h, hz, hzz = here.derivatives
    square = slope * slope * hzz + 2.0 * slope * intercept * hz + intercept * intercept * h
    return math.sqrt(max(square, 0.0) / h) if h > 0.0 else math.inf


def _require_overlap(passes: Passes) -> None:
    """Raise if a threshold separates the labels."""
    labels, logits, weights = valid_elements(passes.operands)
    counts = slice(None) if weights is None else weights > 0
    labels, logits = labels[counts], logits[counts]
    ones, zeros = logits[labels > 0], logits[labels < 1]
    if ones.min() < zeros.max() and zeros.min() < ones.max():
        return
    raise ValueError(
        "logits: a threshold separates the labels, so the loss falls for every steeper slope and has no "
        "minimum: fit on data that the model was not trained on"
    )

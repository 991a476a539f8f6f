"""The temperature that calibrates logits best."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from fastxent._calibration.newton import Moments, Passes
from fastxent._losses import get_loss

_LOGITS = get_loss("categorical_cross_entropy_with_logits")

#: Newton's method doubles the right digits. A step is the last one if the next would be this small,
#: relative to beta.
_TOLERANCE = 1e-11
_MOST_PASSES = 40


class TemperatureFit(NamedTuple):
    """The temperature by which logits are to be divided.

    Attributes
    ----------
    temperature, standard_error : float
        Above 1: the model was too confident. The standard error is that of the likelihood.
    loss_before, loss : float
        The mean cross entropy at a temperature of 1, and at this one.
    iterations : int
        The number of passes over the data.
    """

    temperature: float
    standard_error: float
    loss_before: float
    loss: float
    iterations: int


class NoMinimumError(ValueError):
    """The loss falls for every lower, or for every higher temperature."""


def fit_temperature(
    y_true: Any,
    logits: Any,
    *,
    axis: Any = -1,
    sample_weight: Any = None,
    where: Any = None,
    ignore_index: Any = None,
    workers: Any = 1,
) -> TemperatureFit:
    r"""Fit the temperature that minimises the mean cross entropy of the logits divided by it.

    Parameters
    ----------
    y_true : array_like
        Class indices in the shape of `logits` without `axis`; or a distribution per row, in the
        shape of `logits`.
    logits : array_like
        Of any dtype and layout that `fastxent.categorical_cross_entropy_with_logits` takes.
    axis : int, default -1
        Class axis.
    sample_weight : array_like, optional
        A weight for each row, or for each leading index; 0 or more.
    where : array_like of bool, optional
        Boolean mask of the rows.
    ignore_index : int, optional
        A label that does not count.
    workers : int, default 1
        Number of threads; -1 uses every CPU available to the process. The result has the same bits.

    Returns
    -------
    TemperatureFit
        A named tuple (temperature, standard_error, loss_before, loss, iterations).

    Raises
    ------
    ValueError
        No temperature is best, or invalid input as for the loss.
    TypeError
        As the loss does.

    See Also
    --------
    fit_platt : A slope and an intercept for two classes.

    Notes
    -----
    With :math:`\beta = 1 / T` the loss of a row is :math:`\log \sum_j e^{\beta z_j} - \beta z_y`,
    which is convex in :math:`\beta` [1]_. Its derivatives are the mean of :math:`z_j - z_y` under
    the softmax and their variance. One pass over the data sums both, without a scaled copy. Rows
    whose derivative is positive (sum :math:`u`) and those where it is negative (sum :math:`-d`)
    balance at the minimum: Newton's method solves :math:`\log u = \log d`, which is nearly linear
    in :math:`\beta`. Data of many rows are first fitted on a sixteenth of them, so that some four
    passes suffice.

    The standard error is :math:`T^2 / \sqrt{\sum_i w_i v_i}`, with the variances :math:`v_i`: the
    observed information, for weights that count repetitions.

    There is no minimum where every row has its largest logit at the label (the loss falls for every
    lower temperature), and where the labels' logits are on average no larger than the others (it
    falls for every higher one).

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On Calibration of Modern Neural Networks,
       ICML 2017.

    Examples
    --------
    >>> import fastxent
    >>> logits = [[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 0.0]]
    >>> fit = fastxent.fit_temperature([0, 1, 0, 1], logits)
    >>> round(fit.temperature, 4), round(fit.loss_before, 4), round(fit.loss, 4)
    (3.641, 1.0181, 0.5623)
    """
    options = {
        "axis": axis,
        "sample_weight": sample_weight,
        "where": where,
        "ignore_index": ignore_index,
        "workers": workers,
    }
    passes = Passes(_LOGITS, y_true, logits, options)
    before = passes.at(1.0)  # Newton's method begins with it, unless there is a sample
    if math.isnan(before.loss):
        raise ValueError("y_true, logits: no row counts, so there is no temperature to fit")
    if before.loss == math.inf:
        raise ValueError(
            "logits: a label has a logit of -inf, or another class one of +inf, so the loss is inf "
            "at every temperature: leave that row out with where="
        )
    start = None
    if passes.has_sample:
        try:
            start = _minimise(passes.at_sample, 1.0, passes.at_sample(1.0)).beta
        except NoMinimumError:
            start = None  # all of the data may have what the sample lacks
    if start is None:
        found = _minimise(passes.at, 1.0, before)
    else:
        found = _minimise(passes.at, start, passes.at(start))
    error = 1.0 / (found.beta**2 * math.sqrt(found.curvature * before.weight))
    return TemperatureFit(1.0 / found.beta, error, before.loss, found.loss, passes.count)


class _Minimum(NamedTuple):
    beta: float
    loss: float
    curvature: float


def _minimise(at: Callable[[float], Moments], beta: float, here: Moments) -> _Minimum:
    """The beta of the smallest loss, from any beginning."""
    low, high = 0.0, math.inf  # the derivative is negative at low, positive at high
    bound = math.inf  # a beta that is not below the minimum by much, once it is asked for
    last_step, last_curvature = math.inf, 0.0
    for _ in range(_MOST_PASSES):
        up, down, bent_up, bent_down, _ = here.derivatives
        slope, curvature = up - down, bent_up + bent_down
        if slope > 0.0 or down == 0.0:
            high = beta
        else:
            low = beta
        step = -slope / curvature if curvature > 0.0 else 0.0
        if up > 0.0 and down > 0.0:
            step = math.log(down / up) / (bent_up / up + bent_down / down)
        elif down == 0.0:
            step = -beta  # no row asks for more: a first estimate is asked for below
        else:
            _require_wrong_rows(at)
            step = max(step, 3.0 * beta)
        # The next step would be step^2 times the same constant.
        if abs(step) <= 1e-3 * beta and abs(step / last_step) * abs(step) <= _TOLERANCE * beta:
            bend = (curvature - last_curvature) / last_step if last_step < math.inf else 0.0
            loss = here.loss + step * (slope + step * (0.5 * curvature + step * bend / 6.0))
            return _Minimum(beta + step, loss, curvature + bend * step)
        target = beta + step
        if not low < target < high:
            if low == 0.0 and bound == math.inf:
                bound = _first_estimate(at)
            target = min(0.5 * (low + high), bound if low == 0.0 else math.inf)
        last_step, last_curvature = target - beta, curvature
        beta = target
        here = at(beta)
    raise ArithmeticError(f"no convergence within {_MOST_PASSES} passes")  # pragma: no cover


def _require_wrong_rows(at: Callable[[float], Moments]) -> None:
    """Raise if the loss falls for every lower temperature."""
    if not at(math.inf).derivatives[0] > 0.0:
        raise NoMinimumError(
            "logits: every row has its largest logit at the label, so the loss falls for every lower "
            "temperature and has no minimum: fit on data that the model was not trained on"
        )


def _first_estimate(at: Callable[[float], Moments]) -> float:
    """The minimum of the quadratic that the loss is like near beta = 0; raise if it rises there."""
    up, down, bent_up, bent_down, _ = at(0.0).derivatives
    if not down - up > 1e-15 * (down + up):
        raise NoMinimumError(
            "logits: the label's logit is on average no larger than those of the other classes, so "
            "the loss falls for every higher temperature and has no minimum: do labels and logits "
            "belong together?"
        )
    return (down - up) / (bent_up + bent_down)

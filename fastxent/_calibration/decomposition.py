"""The parts of a log loss: uncertainty, discrimination, miscalibration."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastxent._calibration.isotonic import entropy_of, pooled_labels, valid_elements
from fastxent._core.evaluate import evaluate_sums
from fastxent._core.operands import Operands
from fastxent._losses import get_loss

_BINARY = get_loss("binary_cross_entropy")


class Decomposition(NamedTuple):
    """The parts of a mean log loss: loss = uncertainty - discrimination + miscalibration.

    Attributes
    ----------
    loss : float
        The mean loss of the probabilities as they are.
    miscalibration : float
        How much of it recalibration removes: 0 for a calibrated model.
    discrimination : float
        How much the recalibrated probabilities are better than the base rate: 0 for scores that say
        nothing about the labels.
    uncertainty : float
        The mean loss of predicting the base rate for every element: the entropy of the labels.
    """

    loss: float
    miscalibration: float
    discrimination: float
    uncertainty: float


def decompose(
    y_true: Any, y_proba: Any, *, sample_weight: Any = None, where: Any = None
) -> Decomposition:
    r"""Decompose the log loss of probabilities: how much is miscalibration?

    Parameters
    ----------
    y_true : array_like
        0 or 1, or the probability of a 1; in the shape of `y_proba`.
    y_proba : array_like
        The probability of a 1, of any dtype and shape that `fastxent.binary_cross_entropy` takes.
    sample_weight : array_like, optional
        A weight for each element, or for each leading index; 0 or more.
    where : array_like of bool, optional
        Boolean mask; elements where it is False are skipped, not even validated.

    Returns
    -------
    Decomposition
        A named tuple (loss, miscalibration, discrimination, uncertainty); nan if no element counts.

    Raises
    ------
    ValueError, TypeError
        As `fastxent.binary_cross_entropy` does.

    See Also
    --------
    binary_cross_entropy : The loss alone.

    Notes
    -----
    Let :math:`r` be the isotonic recalibration of the probabilities :math:`p`: of all functions of
    :math:`p` that do not decrease, the one with the smallest loss :math:`L`. Pooling adjacent
    violators finds it [1]_. With the base rate :math:`b` [2]_,

    .. math:: L(p) = \underbrace{L(b)}_\text{uncertainty}
       - \underbrace{(L(b) - L(r))}_\text{discrimination}
       + \underbrace{(L(p) - L(r))}_\text{miscalibration}

    Neither of the last two is negative. Equal probabilities are pooled first. The loss of `y_proba`
    is clipped as ``eps="auto"`` says; the others need no clipping, since a frequency of 0 or 1 is
    right wherever it stands. Since :math:`r` is fitted to the same labels, the miscalibration of a
    perfectly calibrated model is a little above 0 in a finite sample.

    Hard labels without weights are counted in buckets of scores, of which only those have to be sorted
    in which the recalibration may have a step. Everything else takes a sort with indices.

    References
    ----------
    .. [1] M. Ayer, H. D. Brunk, G. M. Ewing, W. T. Reid, E. Silverman, An Empirical Distribution
       Function for Sampling with Incomplete Information, Annals of Mathematical Statistics 26(4),
       1955.
    .. [2] T. Dimitriadis, T. Gneiting, A. I. Jordan, Stable reliability diagrams for probabilistic
       classifiers, PNAS 118(8), 2021.

    Examples
    --------
    >>> import fastxent
    >>> y, p = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.2, 0.7, 0.8, 0.99]
    >>> parts = fastxent.decompose(y, p)
    >>> round(parts.loss, 4), round(parts.uncertainty, 4)
    (0.5625, 0.6931)
    >>> round(parts.miscalibration, 4), round(parts.discrimination, 4)
    (0.2443, 0.3749)
    >>> import math
    >>> math.isclose(
    ...     parts.loss, parts.uncertainty - parts.discrimination + parts.miscalibration
    ... )
    True
    """
    options = {"sample_weight": sample_weight, "where": where, "eps": "auto"}
    sums, _ = evaluate_sums(_BINARY, y_true, y_proba, options)
    loss = sums.mean()
    if math.isnan(loss):
        return Decomposition(loss, loss, loss, loss)
    pools = pooled_labels(*valid_elements(Operands(_BINARY, y_true, y_proba, options)))
    weight = sums.weight + sums.weight_lo
    recalibrated = entropy_of(*pools) / weight
    totals = (np.array([part.sum()]) for part in pools)
    uncertainty = entropy_of(*totals) / weight
    return Decomposition(loss, loss - recalibrated, uncertainty - recalibrated, uncertainty)

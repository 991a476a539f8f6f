"""scikit-learn's ``log_loss``, as a drop-in.

A call takes one of two roads. The first, `_score`, is short and hopeful: it goes through the rows
once, in blocks that stay in the cache, and leaves every check of an element to the kernels; no
array of the length of the input is ever made. Whatever looks odd to it raises there, in few
words, and the second road, `fastxent._log_loss_errors`, then repeats scikit-learn's checks in
scikit-learn's order and raises with scikit-learn's words.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastxent import _losses
from fastxent._log_loss_errors import check_parameters, explain
from fastxent._log_loss_input import (
    UNSUMMED,
    Scores,
    as_array,
    as_labels,
    blocks,
    distinct,
    encode,
    is_indicator,
    is_integral,
    is_probability,
    misordered,
)

_BLOCK = 1 << 17  # scores in a block: it is looked at up to four times, so it has to stay in L2


def log_loss(
    y_true: Any,
    y_proba: Any,
    *,
    normalize: bool = True,
    sample_weight: Any = None,
    labels: Any = None,
) -> float:
    """Log loss of probabilities, with scikit-learn's arguments, warnings and errors.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or label indicator of shape (n_samples, n_classes)
        The true labels: numbers, booleans or strings.
    y_proba : array-like of shape (n_samples, n_classes) or (n_samples,)
        The predicted probabilities. The columns belong to the sorted labels; one dimension, or
        one column, holds the probability of the greater of two labels. They are clipped to
        ``[eps, 1 - eps]``, where `eps` is the machine epsilon of their dtype.
    normalize : bool, default True
        Return the (weighted) mean over the samples; otherwise their sum.
    sample_weight : array-like of shape (n_samples,), optional
        A weight for each sample.
    labels : array-like, optional
        All the labels there are, where `y_true` may lack some.

    Returns
    -------
    float
        The loss.

    Notes
    -----
    The value is summed in float64 or better whatever the dtype of `y_proba`; scikit-learn sums
    float32 and float16 in their own precision.

    Examples
    --------
    >>> from fastxent import log_loss
    >>> loss = log_loss(["spam", "ham", "ham", "spam"],
    ...                 [[.1, .9], [.9, .1], [.8, .2], [.35, .65]])
    >>> round(loss, 5)
    0.21616
    """
    check_parameters(
        y_true=y_true,
        y_proba=y_proba,
        normalize=normalize,
        sample_weight=sample_weight,
        labels=labels,
    )
    try:
        total, weight, remarks = _score(y_true, y_proba, sample_weight, labels)
    except (ValueError, TypeError) as error:
        failure = error
    else:
        for remark in remarks:
            warnings.warn(remark, UserWarning, stacklevel=2)
        if not normalize:
            return total
        if weight == 0:
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        return total / weight
    explain(y_true, y_proba, sample_weight, labels)
    raise failure


def _score(
    y_true: Any, y_proba: Any, sample_weight: Any, labels: Any
) -> tuple[float, float, list[str]]:
    """Return the sum of the losses, the sum of the weights, and what to warn of."""
    scores = Scores(y_proba)
    truth = as_labels(y_true)
    truth = truth.view(np.uint8) if truth.dtype == bool else truth
    weights = None if sample_weight is None else as_array(sample_weight)
    n = len(scores)
    if n == 0 or len(truth) != n or (weights is not None and weights.shape != (n,)):
        raise ValueError("y_true, y_proba and sample_weight differ in length")
    remarks: list[str] = []
    classes = _classes(truth, labels, scores.classes, remarks)
    loss = _loss(truth, scores)
    totals, sums, summed = [], [], True
    for rows in blocks(n, max(1, _BLOCK // scores.classes)):
        y, p = truth[rows], scores.rows(rows)
        w = None if weights is None else _weights(weights[rows])
        summed &= scores.sum_to_one(p)
        totals.append(_sum(loss, y if classes is None else encode(y, classes), p, w, scores.eps))
        sums.append(len(y) if w is None else float(w.sum()))
    weight = math.fsum(sums)
    if weight == 0 and weights is not None and not weights.any():
        raise ValueError("all weights are 0")
    return math.fsum(totals), weight, remarks if summed else [*remarks, UNSUMMED]


def _classes(truth: np.ndarray, labels: Any, columns: int, remarks: list[str]) -> np.ndarray | None:
    """Return the label of each column; None where the labels are the columns' numbers already."""
    if truth.ndim == 2:
        if labels is not None or truth.shape[1] != columns or not is_indicator(truth):
            raise ValueError("y_true has two dimensions and is no label indicator")
        return None
    classes = distinct(truth, columns) if labels is None else np.unique(as_labels(labels))
    if len(classes) != columns or columns < 2 or not is_integral(classes):
        raise ValueError("the classes are not those of y_proba")
    if labels is not None and not np.all(classes == np.asarray(labels)):
        remarks.append(misordered(labels, classes))
    numbered = truth.dtype.kind in "iu" and np.array_equal(classes, np.arange(columns))
    return None if numbered else classes


def _loss(truth: np.ndarray, scores: Scores) -> Callable[..., Any]:
    if truth.ndim == 2:
        return _indicator_cross_entropy
    if scores.array.ndim == 1:
        return _losses.binary_cross_entropy
    return _losses.categorical_cross_entropy


def _sum(
    loss: Callable[..., Any], y: np.ndarray, p: np.ndarray, w: np.ndarray | None, eps: float
) -> float:
    if w is None or w.min() >= 0:
        return float(loss(y, p, sample_weight=w, eps=eps, reduction="sum"))
    # The losses refuse a negative weight; scikit-learn does not.
    each = loss(y, p.astype(np.float64), eps=eps, reduction="none")
    return float((each * w).sum())


def _weights(block: np.ndarray) -> np.ndarray:
    if block.dtype.kind not in "biuf":
        raise TypeError("sample_weight holds no numbers")
    w = block.astype(np.float64, copy=False)
    if not np.isfinite(w.sum()):
        raise ValueError("sample_weight holds NaN or infinity")
    return w


def _indicator_cross_entropy(
    y: np.ndarray,
    p: np.ndarray,
    *,
    sample_weight: np.ndarray | None = None,
    eps: float,
    reduction: str,
) -> Any:
    """Cross-entropy against a label indicator: a row may hold several labels, or none."""
    if not is_probability(p):
        raise ValueError("y_proba holds something that is no probability")
    if p.ndim == 1:
        p = np.stack([1 - p, p], axis=1)
    each = -(y * np.log(np.clip(p, eps, 1 - eps), dtype=np.float64)).sum(axis=1)
    if sample_weight is not None:
        each *= sample_weight
    return each if reduction == "none" else each.sum()

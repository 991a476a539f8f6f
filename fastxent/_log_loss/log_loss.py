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
from typing import Any

import numpy as np

from fastxent._core.evaluate import Sums, checked_weight_sum, evaluate_sums
from fastxent._log_loss.errors import check_parameters, explain
from fastxent._log_loss.inputs import (
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
from fastxent._losses import binary_cross_entropy, categorical_cross_entropy
from fastxent._losses.binary import BINARY
from fastxent._losses.categorical import CATEGORICAL

# Scores in a block, whatever the labels: where they are cut, sums may differ in the last bit.
_LONG_BLOCK = 1 << 19  # of one column, which only the kernel looks at
_BLOCK = 1 << 17  # of rows, which are looked at three times and so have to stay in L2


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
        checked_weight_sum(abs(weight))  # scikit-learn's may be negative
        return total / weight
    with np.errstate(invalid="ignore", over="ignore"):  # as `_score`
        explain(y_true, y_proba, sample_weight, labels)
    raise failure


# A signaling NaN that is cast is refused for what it is, and so is a sum of weights beyond float64.
@np.errstate(invalid="ignore", over="ignore")
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
    found: list[Sums] = []
    summed = True
    for rows in blocks(n, _rows_per_block(scores)):
        y, p = truth[rows], scores.rows(rows)
        w = None if weights is None else _weights(weights[rows])
        summed &= scores.sum_to_one(p)
        if classes is not None:
            y = encode(y, classes)
        found.append(_sums(y, p, w, scores.eps))
    total = math.fsum(part for s in found for part in (s.total, s.total_lo))
    weight = math.fsum(part for s in found for part in (s.weight, s.weight_lo))
    if weight == 0 and weights is not None and not weights.any():
        raise ValueError("all weights are 0")
    return total, weight, remarks if summed else [*remarks, UNSUMMED]


def _rows_per_block(scores: Scores) -> int:
    return _LONG_BLOCK if scores.array.ndim == 1 else max(1, _BLOCK // scores.classes)


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


def _sums(y: np.ndarray, p: np.ndarray, w: np.ndarray | None, eps: float) -> Sums:
    """Score one block."""
    if y.ndim == 2:
        return _unusual_sums(y, p, w, eps)
    loss = BINARY if p.ndim == 1 else CATEGORICAL
    try:
        return evaluate_sums(loss, y, p, {"sample_weight": w, "eps": eps})[0]
    except ValueError:
        if w is None or not (w < 0).any():
            raise
        return _unusual_sums(y, p, w, eps)


def _unusual_sums(y: np.ndarray, p: np.ndarray, w: np.ndarray | None, eps: float) -> Sums:
    """Score one block that the losses refuse and scikit-learn does not.

    That are negative weights and label indicators, of which a row may hold several labels or none.
    """
    if not is_probability(p):
        raise ValueError("y_proba holds something that is no probability")
    if w is not None and not np.isfinite(w).all():
        raise ValueError("sample_weight holds NaN or infinity")
    p = np.clip(p, eps, 1 - eps).astype(np.float64)
    if y.ndim == 2:
        terms = np.log(p if p.ndim == 2 else np.stack([1 - p, p], axis=1))
        each = -(y * terms).sum(axis=1)
    elif p.ndim == 1:
        each = binary_cross_entropy(y, p, eps=0, reduction="none")
    else:
        each = categorical_cross_entropy(y, p, eps=0, reduction="none")
    w = np.ones(len(each)) if w is None else w
    return Sums(float((each * w).sum()), 0.0, float(w.sum()), 0.0, len(each))


def _weights(block: np.ndarray) -> np.ndarray:
    if block.dtype.kind not in "biuf":
        raise TypeError("sample_weight holds no numbers")
    return block.astype(np.float64, copy=False)

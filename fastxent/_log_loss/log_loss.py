"""scikit-learn's ``log_loss`` and ``d2_log_loss_score``, as drop-ins.

`_score` goes through the rows once, in blocks that stay in the cache, and leaves the checks of
elements to the kernels. It allocates no array of the length of the input. When it fails and
scikit-learn is installed, scikit-learn gets the same arguments and raises its own error.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from fastxent._core.errors import ElementError
from fastxent._core.evaluate import Sums, checked_weight_sum, evaluate_checked, evaluate_sums
from fastxent._log_loss.errors import (
    check_parameters,
    in_whole_array,
    raise_not_probability,
    raise_sklearn_error,
    raise_unknown_label,
    warn_undefined,
)
from fastxent._log_loss.inputs import (
    NOT_NORMALIZED,
    Scores,
    as_array,
    as_labels,
    blocks,
    deviation_of,
    distinct,
    encode,
    is_indicator,
    is_integral,
    is_probability,
    label_order_warning,
)
from fastxent._losses import binary_cross_entropy, categorical_cross_entropy
from fastxent._losses.binary import BINARY
from fastxent._losses.categorical import CATEGORICAL

_FEW = 8  # up to so many classes, a comparison with each is faster than bincount
# Scores in a block, the same for all labels: block boundaries affect the last bit of a sum.
_BLOCK = 1 << 20


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
    try:
        check_parameters(
            y_true=y_true,
            y_proba=y_proba,
            normalize=normalize,
            sample_weight=sample_weight,
            labels=labels,
        )
        total, weight, warnings_, _ = _score(y_true, y_proba, sample_weight, labels)
    except (ValueError, TypeError) as error:
        failure = error
    else:
        for warning in warnings_:
            warnings.warn(warning, UserWarning, stacklevel=2)
        if not normalize:
            return total
        if weight == 0:
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        checked_weight_sum(abs(weight))  # scikit-learn accepts negative ones
        return total / weight
    options = {"normalize": normalize, "sample_weight": sample_weight, "labels": labels}
    raise_sklearn_error("log_loss", y_true, y_proba, **options, stacklevel=2)
    raise failure


def d2_log_loss_score(
    y_true: Any, y_proba: Any, *, sample_weight: Any = None, labels: Any = None
) -> float:
    """Fraction of the log loss explained, with scikit-learn's arguments, warnings and errors.

    Parameters
    ----------
    y_true, y_proba, sample_weight, labels : array-like
        As `fastxent.log_loss` takes them.

    Returns
    -------
    float
        1 - loss / loss of the model that always predicts the (weighted) frequencies of the
        classes in `y_true`. It is 1 for a perfect model, 0 for that constant one, and negative
        for a worse one. nan, with a warning, for fewer than two samples.

    See Also
    --------
    log_loss : The loss itself.

    Examples
    --------
    >>> from fastxent import d2_log_loss_score
    >>> round(d2_log_loss_score([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.7]), 4)
    0.6724
    >>> d2_log_loss_score([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5])
    0.0
    """
    options = {"sample_weight": sample_weight, "labels": labels}
    try:
        check_parameters(y_true=y_true, y_proba=y_proba, **options)
        scores = Scores(y_proba)
        if len(scores) == len(as_array(y_true)) < 2:
            warn_undefined("D^2 score is not well-defined with less than two samples.", 2)
            return math.nan
        total, _, warnings_, classes = _score(y_true, y_proba, sample_weight, labels)
    except (ValueError, TypeError) as error:
        failure = error
    else:
        for warning in warnings_:
            warnings.warn(warning, UserWarning, stacklevel=2)
        by_class = _class_weights(y_true, sample_weight, classes, scores.classes)
        eps = np.finfo(np.float64).eps
        frequencies = np.clip(by_class / by_class.sum(), eps, 1 - eps)
        return 1.0 - total / -math.fsum(by_class * np.log(frequencies))
    raise_sklearn_error("d2_log_loss_score", y_true, y_proba, **options, stacklevel=2)
    raise failure


@np.errstate(invalid="ignore", over="ignore")
def _class_weights(
    y_true: Any, sample_weight: Any, classes: np.ndarray | None, columns: int
) -> np.ndarray:
    """Return the sum of the weights of each class, for arguments that `_score` accepts."""
    truth = as_labels(y_true)
    truth = truth.view(np.uint8) if truth.dtype == bool else truth
    weights = None if sample_weight is None else as_array(sample_weight)
    sums = np.zeros(columns)
    for rows in blocks(len(truth), _BLOCK):
        y = truth[rows]
        w = None if weights is None else _weights(weights[rows])
        if y.ndim == 2:
            sums += y.sum(axis=0) if w is None else w @ y
        else:
            codes = y if classes is None else encode(y, classes)
            sums += _sums_by_code(codes, w, columns)
    return sums


def _sums_by_code(codes: np.ndarray, w: np.ndarray | None, n: int) -> np.ndarray:
    if w is None and n <= _FEW:
        nonzero = np.count_nonzero(codes)  # faster than a comparison
        others = [np.count_nonzero(codes == code) for code in range(2, n)]
        return np.array([len(codes) - nonzero, nonzero - sum(others), *others], np.float64)
    return np.bincount(codes.astype(np.intp, copy=False), w, n)


# No NumPy warning for a cast of a signaling NaN or an overflowing sum of weights: both raise later.
@np.errstate(invalid="ignore", over="ignore")
def _score(
    y_true: Any, y_proba: Any, sample_weight: Any, labels: Any
) -> tuple[float, float, list[str], np.ndarray | None]:
    """Return the sums of the losses and of the weights, the warnings, and what `_classes` returns."""
    scores = Scores(y_proba)
    truth = as_labels(y_true)
    truth = truth.view(np.uint8) if truth.dtype == bool else truth
    weights = None if sample_weight is None else as_array(sample_weight)
    n = len(scores)
    if n == 0:
        raise ValueError("y_proba is empty: pass at least one row")
    if len(truth) != n:
        raise ValueError(f"y_true has {len(truth)} rows, but y_proba has {n}")
    if weights is not None and weights.shape != (n,):
        raise ValueError(f"sample_weight has shape {weights.shape}, but shape {(n,)} is needed")
    warnings_: list[str] = []
    classes = _classes(truth, labels, scores.classes, warnings_)
    found: list[Sums] = []
    normalized = True
    for rows in blocks(n, max(1, _BLOCK // scores.array[:1].size)):
        y, p = truth[rows], scores.rows(rows)
        w = None if weights is None else _weights(weights[rows])
        if classes is not None:
            codes = encode(y, classes)
            if codes.min() < 0:
                raise_unknown_label(y, codes, classes, rows.start)
            y = codes
        sums, deviation = _block_sums(y, p, w, scores.eps, rows.start)
        found.append(sums)
        normalized &= scores.sum_to_one(deviation)
    total = math.fsum(part for s in found for part in (s.total, s.total_lo))
    weight = math.fsum(part for s in found for part in (s.weight, s.weight_lo))
    if weight == 0 and weights is not None and not weights.any():
        raise ValueError("sample_weight is 0 everywhere: pass at least one weight that is not")
    return total, weight, warnings_ if normalized else [*warnings_, NOT_NORMALIZED], classes


def _classes(
    truth: np.ndarray, labels: Any, columns: int, warnings_: list[str]
) -> np.ndarray | None:
    """Return the label of each column; None where the labels are the columns' numbers already."""
    if truth.ndim == 2:
        if labels is not None or truth.shape[1] != columns or not is_indicator(truth):
            raise ValueError(
                f"y_true of shape {truth.shape} is not a label indicator of {columns} columns of 0 and 1"
            )
        return None
    classes = distinct(truth, columns) if labels is None else np.unique(as_labels(labels))
    if not is_integral(classes):
        raise ValueError("y_true holds numbers that are not class labels: pass whole numbers")
    if len(classes) != columns or columns < 2:
        source = "y_true" if labels is None else "labels"
        raise ValueError(
            f"{source} holds {len(classes)} classes, {classes}, but y_proba is for {columns}: pass "
            "all classes as labels, at least two"
        )
    if labels is not None and not np.all(classes == np.asarray(labels)):
        warnings_.append(label_order_warning(labels, classes))
    numbered = truth.dtype.kind in "iu" and np.array_equal(classes, np.arange(columns))
    return None if numbered else classes


def _block_sums(
    y: np.ndarray, p: np.ndarray, w: np.ndarray | None, eps: float, first: int
) -> tuple[Sums, float]:
    """Score the block that begins at row `first`; the greatest distance of a row's sum from one."""
    try:
        return _sums(y, p, w, eps)
    except ValueError as error:
        failure = in_whole_array(error, first) if isinstance(error, ElementError) else error
    if not y.ndim == p.ndim == 1 and not is_probability(p):
        raise_not_probability(p, first)
    raise failure


def _sums(y: np.ndarray, p: np.ndarray, w: np.ndarray | None, eps: float) -> tuple[Sums, float]:
    """Score one block."""
    options = {"sample_weight": w, "eps": eps}
    try:
        if y.ndim == p.ndim == 1:
            return evaluate_sums(BINARY, y, p, options)[0], 0.0
        if y.ndim == 1:
            return evaluate_checked(CATEGORICAL, y, p, options)
    except ValueError:
        if w is None or not (w < 0).any():
            raise
    return _unusual_sums(y, p, w, eps), deviation_of(p)


def _unusual_sums(y: np.ndarray, p: np.ndarray, w: np.ndarray | None, eps: float) -> Sums:
    """Score one block that scikit-learn accepts and the losses do not.

    It has negative weights, or label indicators with several labels in a row or none.
    """
    if not is_probability(p):
        raise ValueError("y_proba holds what is not a probability")
    if w is not None and not np.isfinite(w).all():
        raise ValueError("sample_weight holds NaN or infinity: pass finite weights")
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
        raise TypeError("sample_weight must hold real numbers")
    return block.astype(np.float64, copy=False)

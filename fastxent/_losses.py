"""The losses. Their options mean the same everywhere; `fastxent._options` has the table."""

from __future__ import annotations

from typing import Any

from fastxent import _options
from fastxent._evaluate import reduced


def binary_cross_entropy(
    y_true: Any,
    y_proba: Any,
    *,
    sample_weight: Any = None,
    where: Any = None,
    label_smoothing: float = 0.0,
    eps: Any = "auto",
    nan_policy: str = "raise",
    reduction: str = "mean",
    out: Any = None,
    workers: int = 1,
) -> Any:
    """Binary cross entropy of probabilities, in nats."""
    return reduced(
        _options.BINARY, y_true, y_proba, sample_weight=sample_weight, where=where,
        label_smoothing=label_smoothing, eps=eps, nan_policy=nan_policy, reduction=reduction,
        out=out, workers=workers,
    )  # fmt: skip


def binary_cross_entropy_with_logits(
    y_true: Any,
    logits: Any,
    *,
    pos_weight: Any = None,
    sample_weight: Any = None,
    where: Any = None,
    label_smoothing: float = 0.0,
    nan_policy: str = "raise",
    reduction: str = "mean",
    out: Any = None,
    workers: int = 1,
) -> Any:
    """Binary cross entropy of logits, in nats."""
    return reduced(
        _options.BINARY_LOGITS, y_true, logits, scale=pos_weight, sample_weight=sample_weight,
        where=where, label_smoothing=label_smoothing, nan_policy=nan_policy, reduction=reduction,
        out=out, workers=workers,
    )  # fmt: skip


def categorical_cross_entropy(
    y_true: Any,
    y_proba: Any,
    *,
    axis: int = -1,
    class_weight: Any = None,
    ignore_index: int | None = None,
    sample_weight: Any = None,
    where: Any = None,
    label_smoothing: float = 0.0,
    eps: Any = "auto",
    nan_policy: str = "raise",
    reduction: str = "mean",
    out: Any = None,
    workers: int = 1,
) -> Any:
    """Categorical cross entropy of probabilities, in nats."""
    return reduced(
        _options.CATEGORICAL, y_true, y_proba, axis=axis, class_weight=class_weight,
        ignore_index=ignore_index, sample_weight=sample_weight, where=where,
        label_smoothing=label_smoothing, eps=eps, nan_policy=nan_policy, reduction=reduction,
        out=out, workers=workers,
    )  # fmt: skip


def categorical_cross_entropy_with_logits(
    y_true: Any,
    logits: Any,
    *,
    axis: int = -1,
    class_weight: Any = None,
    ignore_index: int | None = None,
    sample_weight: Any = None,
    where: Any = None,
    label_smoothing: float = 0.0,
    nan_policy: str = "raise",
    reduction: str = "mean",
    out: Any = None,
    workers: int = 1,
) -> Any:
    """Categorical cross entropy of logits, in nats."""
    return reduced(
        _options.CATEGORICAL_LOGITS, y_true, logits, axis=axis, class_weight=class_weight,
        ignore_index=ignore_index, sample_weight=sample_weight, where=where,
        label_smoothing=label_smoothing, nan_policy=nan_policy, reduction=reduction, out=out,
        workers=workers,
    )  # fmt: skip


def gaussian_nll(
    y_true: Any,
    mean: Any,
    var: Any = 1.0,
    *,
    full: bool = False,
    sample_weight: Any = None,
    where: Any = None,
    nan_policy: str = "raise",
    reduction: str = "mean",
    out: Any = None,
    workers: int = 1,
) -> Any:
    """Negative log-likelihood under a Gaussian, in nats."""
    return reduced(
        _options.GAUSSIAN, y_true, mean, scale=var, full=full, sample_weight=sample_weight,
        where=where, nan_policy=nan_policy, reduction=reduction, out=out, workers=workers,
    )  # fmt: skip


def entropy(
    p: Any,
    *,
    axis: int = -1,
    sample_weight: Any = None,
    where: Any = None,
    nan_policy: str = "raise",
    reduction: str = "mean",
    out: Any = None,
    workers: int = 1,
) -> Any:
    """Entropy of distributions, in nats."""
    return reduced(
        _options.ENTROPY, p, p, axis=axis, sample_weight=sample_weight, where=where,
        nan_policy=nan_policy, reduction=reduction, out=out, workers=workers,
    )  # fmt: skip


def kl_divergence(
    q: Any,
    p: Any,
    *,
    axis: int = -1,
    sample_weight: Any = None,
    where: Any = None,
    eps: Any = "auto",
    nan_policy: str = "raise",
    reduction: str = "mean",
    out: Any = None,
    workers: int = 1,
) -> Any:
    """Kullback-Leibler divergence of q from p, in nats."""
    return reduced(
        _options.KL, q, p, axis=axis, sample_weight=sample_weight, where=where, eps=eps,
        nan_policy=nan_policy, reduction=reduction, out=out, workers=workers,
    )  # fmt: skip

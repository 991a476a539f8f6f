"""The losses. Their options mean the same everywhere; `fastxent._options` has the table.

Each docstring holds what is the loss's own: `fastxent._docs` adds the arguments. The overloads are
in the stub, which tools/write_stubs.py makes of this file.
"""

from __future__ import annotations

from typing import SupportsIndex

from numpy.typing import ArrayLike

from fastxent import _options
from fastxent._docs import documented
from fastxent._evaluate import reduced
from fastxent._types import Array, ClassWeight, Epsilon, NanPolicy, Reduction, Value


@documented(_options.BINARY)
def binary_cross_entropy(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    eps: Epsilon = "auto",
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Binary cross entropy of probabilities, in nats.

    For a label y and a probability p, clipped to [eps, 1 - eps], the loss is::

        -y log p - (1 - y) log(1 - p)

    Notes
    -----
    The sum is minus the logarithm of the likelihood of Bernoulli trials, Π p^y (1 - p)^(1 - y)
    [1]_. It is computed as that product, with the exponents taken off on the way, and one logarithm
    at the end, unless weights, soft labels or `reduction` ask for each element's own logarithm.

    References
    ----------
    .. [1] C. M. Bishop, Pattern Recognition and Machine Learning, Springer, 2006, equation 4.90.

    Examples
    --------
    >>> import fastxent
    >>> loss = fastxent.binary_cross_entropy([1, 0, 1], [0.9, 0.2, 0.6])
    >>> round(loss, 6)
    0.279777
    >>> fastxent.binary_cross_entropy([1, 0, 1], [0.9, 0.2, 0.6], reduction="none").round(4)
    array([0.1054, 0.2231, 0.5108])
    """
    return reduced(
        _options.BINARY, y_true, y_proba, sample_weight=sample_weight, where=where,
        label_smoothing=label_smoothing, eps=eps, nan_policy=nan_policy, reduction=reduction,
        out=out, workers=workers,
    )  # fmt: skip


@documented(_options.BINARY_LOGITS)
def binary_cross_entropy_with_logits(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    pos_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Binary cross entropy of logits, in nats.

    For a label y and a logit z, the loss is that of the probability p = 1 / (1 + exp(-z))::

        max(z, 0) - z y + log(1 + exp(-|z|))

    Notes
    -----
    That form of ``log(1 + exp(z)) - z y`` neither overflows nor loses small losses: the loss of a
    logit of 40 and a label of 1 is 4.2e-18, where the one of its probability, 1, would be 0.

    Examples
    --------
    >>> import fastxent
    >>> loss = fastxent.binary_cross_entropy_with_logits([1, 0, 1], [2.0, -1.5, 0.5])
    >>> round(loss, 6)
    0.267473
    >>> fastxent.binary_cross_entropy_with_logits([1], [40.0])
    4.248354255291589e-18
    """
    return reduced(
        _options.BINARY_LOGITS, y_true, logits, scale=pos_weight, sample_weight=sample_weight,
        where=where, label_smoothing=label_smoothing, nan_policy=nan_policy, reduction=reduction,
        out=out, workers=workers,
    )  # fmt: skip


@documented(_options.CATEGORICAL)
def categorical_cross_entropy(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    eps: Epsilon = "auto",
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Categorical cross entropy of probabilities, in nats.

    For a row of probabilities p, clipped to [eps, 1 - eps], the loss of class t, or of a
    distribution q over the classes, is::

        -log p[t]
        -Σ q[c] log p[c]

    Notes
    -----
    The cross entropy H(q, p) [1]_. With class indices it is minus the logarithm of a likelihood,
    and computed as in `binary_cross_entropy`.

    References
    ----------
    .. [1] C. M. Bishop, Pattern Recognition and Machine Learning, Springer, 2006, equation 4.108.

    Examples
    --------
    >>> import fastxent
    >>> p = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]
    >>> round(fastxent.categorical_cross_entropy([0, 1], p), 6)
    0.289909
    >>> round(fastxent.categorical_cross_entropy([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]], p), 6)
    0.6031
    """
    return reduced(
        _options.CATEGORICAL, y_true, y_proba, axis=axis, class_weight=class_weight,
        ignore_index=ignore_index, sample_weight=sample_weight, where=where,
        label_smoothing=label_smoothing, eps=eps, nan_policy=nan_policy, reduction=reduction,
        out=out, workers=workers,
    )  # fmt: skip


@documented(_options.CATEGORICAL_LOGITS)
def categorical_cross_entropy_with_logits(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Categorical cross entropy of logits, in nats.

    For a row of logits z, the loss is that of the probabilities exp(z) / Σ exp(z). Of class t, or
    of a distribution q over the classes, it is::

        log Σ exp(z[c]) - z[t]
        Σ q[c] (log Σ exp(z[k]) - z[c])

    Notes
    -----
    The maximum of a row is taken off before the exponentials are, so nothing overflows. A row that
    has no maximum (all -inf), or more than one +inf, is no distribution: `nan_policy` says what
    becomes of it.

    Examples
    --------
    >>> import fastxent
    >>> z = [[2.0, 0.5, -1.0], [0.0, 3.0, 0.0]]
    >>> round(fastxent.categorical_cross_entropy_with_logits([0, 1], z), 6)
    0.168117
    >>> round(fastxent.categorical_cross_entropy_with_logits([0, -100], z, ignore_index=-100), 6)
    0.241311
    """
    return reduced(
        _options.CATEGORICAL_LOGITS, y_true, logits, axis=axis, class_weight=class_weight,
        ignore_index=ignore_index, sample_weight=sample_weight, where=where,
        label_smoothing=label_smoothing, nan_policy=nan_policy, reduction=reduction, out=out,
        workers=workers,
    )  # fmt: skip


@documented(_options.GAUSSIAN)
def gaussian_nll(
    y_true: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike = 1.0,
    *,
    full: bool = False,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Negative log-likelihood under a Gaussian, in nats.

    For an observation y, a mean m and a variance v, the loss is the first of these, and with `full`
    the second::

        ((y - m)² / v + log v) / 2
        ((y - m)² / v + log v + log 2π) / 2

    Notes
    -----
    Minus the logarithm of the normal density [1]_. With v = 1 it is half the squared error, which
    so is a cross entropy as well, up to the constant.

    References
    ----------
    .. [1] C. M. Bishop, Pattern Recognition and Machine Learning, Springer, 2006, equation 1.46.

    Examples
    --------
    >>> import fastxent
    >>> 2 * fastxent.gaussian_nll([1.0, 2.0], [0.0, 4.0])
    2.5
    """
    return reduced(
        _options.GAUSSIAN, y_true, mean, scale=var, full=full, sample_weight=sample_weight,
        where=where, nan_policy=nan_policy, reduction=reduction, out=out, workers=workers,
    )  # fmt: skip


@documented(_options.ENTROPY)
def entropy(
    p: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Entropy of distributions, in nats.

    For a row p it is as below, with 0 log 0 = 0: the cross entropy of p against itself [1]_::

        -Σ p[c] log p[c]

    References
    ----------
    .. [1] C. E. Shannon, A mathematical theory of communication, The Bell System Technical Journal
       27 (1948), pages 379-423.

    Examples
    --------
    >>> import fastxent
    >>> round(fastxent.entropy([[0.5, 0.5], [1.0, 0.0]], reduction="sum"), 6)
    0.693147
    """
    return reduced(
        _options.ENTROPY, p, p, axis=axis, sample_weight=sample_weight, where=where,
        nan_policy=nan_policy, reduction=reduction, out=out, workers=workers,
    )  # fmt: skip


@documented(_options.KL)
def kl_divergence(
    q: ArrayLike,
    p: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    eps: Epsilon = "auto",
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Kullback-Leibler divergence of q from p, in nats.

    For a row q and a row p, clipped to [eps, 1 - eps], it is as below, with 0 log 0 = 0: the cross
    entropy less the entropy of q [1]_::

        Σ q[c] (log q[c] - log p[c])

    References
    ----------
    .. [1] S. Kullback and R. A. Leibler, On information and sufficiency, The Annals of Mathematical
       Statistics 22 (1951), pages 79-86.

    Examples
    --------
    >>> import fastxent
    >>> round(fastxent.kl_divergence([0.5, 0.5], [0.9, 0.1]), 6)
    0.510826
    """
    return reduced(
        _options.KL, q, p, axis=axis, sample_weight=sample_weight, where=where, eps=eps,
        nan_policy=nan_policy, reduction=reduction, out=out, workers=workers,
    )  # fmt: skip

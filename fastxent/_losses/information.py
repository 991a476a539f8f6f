"""Entropy and the Kullback-Leibler divergence.

Each docstring holds what is the function's own: `docstrings` adds the arguments. The overloads are in the
stub, which tools/write_stubs.py makes of this file.
"""

from __future__ import annotations

from typing import SupportsIndex

from numpy.typing import ArrayLike

from fastxent._core.evaluate import evaluate
from fastxent._core.loss import ROW_OPTIONS, Loss
from fastxent._core.types import Array, Epsilon, NanPolicy, Reduction, Value
from fastxent._losses.docstrings import documented

# The entropy of p is its cross entropy against itself.
ENTROPY = Loss("entropy", 2, "p", "p", ROW_OPTIONS, rows=True)
KL = Loss("kl_divergence", 5, "q", "p", (*ROW_OPTIONS, "eps"), rows=True)


@documented(ENTROPY)
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
    return evaluate(
        ENTROPY, p, p, axis=axis, sample_weight=sample_weight, where=where,
        nan_policy=nan_policy, reduction=reduction, out=out, workers=workers,
    )  # fmt: skip


@documented(KL)
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
    return evaluate(
        KL, q, p, axis=axis, sample_weight=sample_weight, where=where, eps=eps,
        nan_policy=nan_policy, reduction=reduction, out=out, workers=workers,
    )  # fmt: skip

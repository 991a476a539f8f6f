"""Entropy and the Kullback-Leibler divergence.

Each docstring holds what is the function's own: `docstrings` adds the arguments. The overloads are in the
stub, which tools/write_stubs.py makes of this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

from fastxent._core.evaluate import evaluate
from fastxent._core.loss import ROW_OPTIONS, Formula, Loss
from fastxent._core.scalars import UNIT
from fastxent._losses.docstrings import documented

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastxent._core.types import Array, Epsilon, NanPolicy, Reduction, Value

# The entropy of p is its cross entropy against itself.
ENTROPY = Loss(
    "entropy", Formula("CATEGORICAL", scores=UNIT), "p", "p", ROW_OPTIONS, per_row=True,
    single_argument=True,
)  # fmt: skip
KL = Loss(
    "kl_divergence", Formula("KL", scores=UNIT), "q", "p", (*ROW_OPTIONS, "eps"), per_row=True,
    eps=0.0,
)  # fmt: skip


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
    options = {
        "axis": axis, "sample_weight": sample_weight, "where": where,
    }  # fmt: skip
    return evaluate(ENTROPY, p, p, options, nan_policy, reduction, out, workers)


@documented(KL)
def kl_divergence(
    q: ArrayLike,
    p: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    eps: Epsilon = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Kullback-Leibler divergence of q from p, in nats.

    For a row q and a row p it is as below, with 0 log 0 = 0: the cross entropy less the entropy of
    q [1]_. Where q is above 0 and p is 0 it is inf, unless `eps` clips p::

        Σ q[c] (log q[c] - log p[c])

    Notes
    -----
    Each term is split into q log(q/p) - q + p, which is never negative and is computed without
    cancellation, and q - p, which cancels in the sum alone: the divergence of rows that are nearly
    equal keeps its digits.

    References
    ----------
    .. [1] S. Kullback and R. A. Leibler, On information and sufficiency, The Annals of Mathematical
       Statistics 22 (1951), pages 79-86.

    Examples
    --------
    >>> import fastxent
    >>> round(fastxent.kl_divergence([0.5, 0.5], [0.9, 0.1]), 6)
    0.510826
    >>> fastxent.kl_divergence([0.5, 0.5], [1.0, 0.0])
    inf
    """
    options = {
        "axis": axis, "sample_weight": sample_weight, "where": where, "eps": eps,
    }  # fmt: skip
    return evaluate(KL, q, p, options, nan_policy, reduction, out, workers)

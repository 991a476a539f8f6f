"""The Kullback-Leibler divergence of two arrays of logits, and its gradient.

Each docstring holds what is the function's own: `docstrings` adds the arguments. The overloads are in the
stub, which tools/write_stubs.py makes of this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

from fastxent._core.derivatives import value_and_grad
from fastxent._core.evaluate import evaluate
from fastxent._core.loss import ROW_OPTIONS, Formula, Loss
from fastxent._core.scalars import REAL
from fastxent._losses.docstrings import documented

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastxent._core.types import Array, NanPolicy, Reduction, Value

KL_LOGITS = Loss(
    "kl_divergence_with_logits", Formula("KL_LOGITS", labels=REAL), "q_logits", "p_logits",
    ROW_OPTIONS, per_row=True, class_indices=False,
)  # fmt: skip


@documented(KL_LOGITS)
def kl_divergence_with_logits(
    q_logits: ArrayLike,
    p_logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Kullback-Leibler divergence of q from p, both given by logits, in nats.

    For a row of each, with q = softmax(q_logits) and p = softmax(p_logits), it is::

        Σ q[c] (log q[c] - log p[c])

    Notes
    -----
    Both arrays are read once, and nothing of their size is stored. Equal logits give exactly 0.
    Nearly equal ones lose no digits: the sum is taken of terms of second order in the difference.
    A class that is -inf in both rows is in neither distribution; one that only `p_logits` excludes
    makes the divergence inf. A row of -inf only, or with several +inf, has an undefined
    divergence, which `nan_policy` treats like NaN.

    Examples
    --------
    >>> import fastxent
    >>> teacher, student = [[2.0, 0.5, -1.0]], [[1.0, 1.0, 0.0]]
    >>> round(fastxent.kl_divergence_with_logits(teacher, student), 6)
    0.279523
    >>> fastxent.kl_divergence_with_logits(teacher, teacher)
    0.0
    """
    options = {
        "axis": axis, "sample_weight": sample_weight, "where": where,
    }  # fmt: skip
    return evaluate(KL_LOGITS, q_logits, p_logits, options, nan_policy, reduction, out, workers)


@documented(KL_LOGITS, "value_and_grad")
def kl_divergence_with_logits_value_and_grad(
    q_logits: ArrayLike,
    p_logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Value, Array]:
    """Kullback-Leibler divergence of two arrays of logits, and its gradient by `p_logits`.

    The value is that of `kl_divergence_with_logits`, bit for bit. The gradient of one row is as
    below; that of the mean is divided by the sum of the weights::

        p[c] - q[c]

    Notes
    -----
    The student of a distillation is p, the teacher q. The gradient is computed in float64, as
    q (exp(log p - log q) - 1), so that it keeps its digits where the two are nearly equal.

    Examples
    --------
    >>> import fastxent
    >>> teacher, student = [[2.0, 0.5, -1.0]], [[1.0, 1.0, 0.0]]
    >>> value, grad = fastxent.kl_divergence_with_logits_value_and_grad(teacher, student)
    >>> round(value, 6)
    0.279523
    >>> grad.round(4)
    array([[-0.3633,  0.247 ,  0.1162]])
    """
    options = {
        "axis": axis, "sample_weight": sample_weight, "where": where,
    }  # fmt: skip
    return value_and_grad(
        KL_LOGITS, q_logits, p_logits, options, nan_policy, reduction, out, workers
    )

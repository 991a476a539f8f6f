"""Binary cross entropy, from probabilities and from logits.

Each docstring holds what is the function's own: `docstrings` adds the arguments. The overloads are in the
stub, which tools/write_stubs.py makes of this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

from fastxent._core.derivatives import grad_hess, value_and_grad
from fastxent._core.evaluate import evaluate
from fastxent._core.loss import BINARY_OPTIONS, Formula, Loss
from fastxent._core.scalars import UNIT
from fastxent._losses.docstrings import documented, objective

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastxent._core.types import Array, Epsilon, NanPolicy, Reduction, Value

BINARY = Loss(
    "binary_cross_entropy", Formula("BINARY", scores=UNIT),
    "y_true", "y_proba", (*BINARY_OPTIONS, "eps"),
    logits_variant="binary_cross_entropy_with_logits",
)  # fmt: skip
BINARY_LOGITS = Loss(
    "binary_cross_entropy_with_logits", Formula("BINARY_LOGITS"),
    "y_true", "logits", (*BINARY_OPTIONS, "pos_weight"), scale="pos_weight",
)  # fmt: skip


@documented(BINARY)
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
    options = {
        "sample_weight": sample_weight, "where": where, "label_smoothing": label_smoothing,
        "eps": eps,
    }  # fmt: skip
    return evaluate(BINARY, y_true, y_proba, options, nan_policy, reduction, out, workers)


@documented(BINARY_LOGITS)
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
    options = {
        "pos_weight": pos_weight, "sample_weight": sample_weight, "where": where,
        "label_smoothing": label_smoothing,
    }  # fmt: skip
    return evaluate(BINARY_LOGITS, y_true, logits, options, nan_policy, reduction, out, workers)


@documented(BINARY_LOGITS, "value_and_grad")
def binary_cross_entropy_value_and_grad(
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
) -> tuple[Value, Array]:
    """Binary cross entropy of logits, and its gradient.

    The value is that of `binary_cross_entropy_with_logits`, bit for bit. The gradient of one
    element, with a label y, a logit z and p = 1 / (1 + exp(-z)), is as below; that of the mean is
    divided by the sum of the weights::

        p - y

    Notes
    -----
    For a label of 1 it is computed as -1 / (1 + exp(z)), and not as a difference: the gradient of a
    logit of 40 is -4.2e-18, where p - 1 would be 0.

    Examples
    --------
    >>> import fastxent
    >>> value, grad = fastxent.binary_cross_entropy_value_and_grad([1, 0], [40.0, 0.0])
    >>> round(value, 6)
    0.346574
    >>> grad
    array([-2.12417713e-18,  2.50000000e-01])
    """
    options = {
        "pos_weight": pos_weight, "sample_weight": sample_weight, "where": where,
        "label_smoothing": label_smoothing,
    }  # fmt: skip
    return value_and_grad(
        BINARY_LOGITS, y_true, logits, options, nan_policy, reduction, out, workers
    )


@objective
@documented(BINARY_LOGITS, "grad_hess")
def binary_cross_entropy_grad_hess(
    y_true: ArrayLike,
    logits: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    pos_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    out: tuple[Array, Array] | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]:
    """First and second derivative of each binary cross entropy by its logit.

    With a label y, a logit z and p = 1 / (1 + exp(-z)) they are::

        p - y
        p (1 - p)

    Notes
    -----
    It can be given as it is, as `objective`, to XGBoost's and LightGBM's classifiers. As LightGBM
    counts the arguments, `inspect.signature` shows the first three only.

    Examples
    --------
    >>> import fastxent
    >>> fastxent.binary_cross_entropy_grad_hess([1, 0], [0.0, 0.0])
    (array([-0.5,  0.5]), array([0.25, 0.25]))
    """
    options = {
        "pos_weight": pos_weight, "sample_weight": sample_weight, "where": where,
        "label_smoothing": label_smoothing,
    }  # fmt: skip
    return grad_hess(BINARY_LOGITS, y_true, logits, options, nan_policy, out, workers)

"""Losses of logits with their gradients, and the pairs that boosted trees take as objectives.

Each docstring holds what is the function's own: `fastxent._docs` adds the arguments.
"""

from __future__ import annotations

from typing import SupportsIndex

from numpy.typing import ArrayLike

from fastxent import _options
from fastxent._docs import documented, objective
from fastxent._slopes import grad_hess, value_and_grad, whole_numbers
from fastxent._types import Array, ClassWeight, NanPolicy, Reduction, Value


@documented(_options.BINARY_LOGITS, "value_and_grad")
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
    return value_and_grad(
        _options.BINARY_LOGITS, y_true, logits, scale=pos_weight, sample_weight=sample_weight,
        where=where, label_smoothing=label_smoothing, nan_policy=nan_policy, reduction=reduction,
        out=out, workers=workers,
    )  # fmt: skip


@documented(_options.CATEGORICAL_LOGITS, "value_and_grad")
def categorical_cross_entropy_value_and_grad(
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
) -> tuple[Value, Array]:
    """Categorical cross entropy of logits, and its gradient.

    The value is that of `categorical_cross_entropy_with_logits`, bit for bit. The gradient of one
    row, with a distribution q over the classes and p = exp(z) / Σ exp(z), is as below; that of the
    mean is divided by the sum of the weights::

        p[c] - q[c]

    Notes
    -----
    The target's own p - 1 is computed as minus the share of the other classes, so a row's gradient
    sums to 0 as nearly as its numbers can.

    Examples
    --------
    >>> import fastxent
    >>> z = [[2.0, 0.5, -1.0], [0.0, 3.0, 0.0]]
    >>> value, grad = fastxent.categorical_cross_entropy_value_and_grad([0, 1], z)
    >>> round(value, 6)
    0.168117
    >>> grad.round(4)
    array([[-0.1072,  0.0876,  0.0196],
           [ 0.0226, -0.0453,  0.0226]])
    """
    return value_and_grad(
        _options.CATEGORICAL_LOGITS, y_true, logits, axis=axis, class_weight=class_weight,
        ignore_index=ignore_index, sample_weight=sample_weight, where=where,
        label_smoothing=label_smoothing, nan_policy=nan_policy, reduction=reduction, out=out,
        workers=workers,
    )  # fmt: skip


@objective
@documented(_options.BINARY_LOGITS, "grad_hess")
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
    return grad_hess(
        _options.BINARY_LOGITS, y_true, logits, scale=pos_weight, sample_weight=sample_weight,
        where=where, label_smoothing=label_smoothing, nan_policy=nan_policy, out=out,
        workers=workers,
    )  # fmt: skip


@objective
@documented(_options.CATEGORICAL_LOGITS, "grad_hess")
def categorical_cross_entropy_grad_hess(
    y_true: ArrayLike,
    logits: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    axis: SupportsIndex = -1,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    out: tuple[Array, Array] | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]:
    """First and second derivative of each categorical cross entropy by each logit.

    With a distribution q over the classes and p = exp(z) / Σ exp(z) they are::

        p[c] - q[c]
        p[c] (1 - p[c])

    The second is the diagonal of the Hessian.

    Notes
    -----
    It can be given as it is, as `objective`, to XGBoost's and LightGBM's classifiers, whose class
    indices are floats; the results lie in memory as the logits do.

    Examples
    --------
    >>> import fastxent
    >>> grad, hess = fastxent.categorical_cross_entropy_grad_hess([1], [[0.0, 0.0]])
    >>> grad, hess
    (array([[ 0.5, -0.5]]), array([[0.25, 0.25]]))
    """
    return grad_hess(
        _options.CATEGORICAL_LOGITS, whole_numbers(y_true, logits), logits, axis=axis,
        class_weight=class_weight, ignore_index=ignore_index, sample_weight=sample_weight,
        where=where, label_smoothing=label_smoothing, nan_policy=nan_policy, out=out,
        workers=workers,
    )  # fmt: skip

"""Focal losses of logits, with their gradients, and as objectives of boosted trees.

Each docstring holds what is the function's own: `docstrings` adds the arguments. The overloads are in the
stub, which tools/write_stubs.py makes of this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

from fastxent._core.derivatives import grad_hess, value_and_grad
from fastxent._core.evaluate import evaluate
from fastxent._core.loss import BINARY_OPTIONS, CATEGORICAL_OPTIONS, FOCAL_OPTIONS, Formula, Loss
from fastxent._losses.docstrings import documented, objective

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastxent._core.types import Array, ClassWeight, NanPolicy, Reduction, Value

BINARY_FOCAL = Loss(
    "binary_focal_loss", Formula("BINARY_FOCAL"),
    "y_true", "logits", (*BINARY_OPTIONS, *FOCAL_OPTIONS),
)  # fmt: skip
CATEGORICAL_FOCAL = Loss(
    "categorical_focal_loss", Formula("CATEGORICAL_FOCAL"),
    "y_true", "logits", (*CATEGORICAL_OPTIONS, *FOCAL_OPTIONS), per_row=True,
)  # fmt: skip


@documented(BINARY_FOCAL)
def binary_focal_loss(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    alpha: float | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Focal loss of logits, in nats: a cross entropy that down-weights well-classified examples.

    For a label y, a logit z and p = 1 / (1 + exp(-z)) it is the cross entropy times
    (1 - p_t)^gamma, where p_t is the probability of the true class [1]_::

        (y (1 - p) + (1 - y) p)^gamma (-y log p - (1 - y) log(1 - p))

    Notes
    -----
    The same as ``sigmoid_focal_loss`` of torchvision, where its alpha=-1 is None here and its
    default is 0.25, and as ``BinaryFocalCrossentropy(from_logits=True)`` of Keras, whose alpha
    needs ``apply_class_balancing``; soft and smoothed labels included.

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, Focal loss for dense object detection,
       ICCV 2017, equation 5.

    Examples
    --------
    >>> import fastxent
    >>> round(fastxent.binary_focal_loss([1, 0], [2.0, 0.5]), 6)
    0.189608
    >>> round(fastxent.binary_focal_loss([1, 0], [2.0, 0.5], alpha=0.25, gamma=0.0), 6)
    0.381145
    """
    options = {
        "alpha": alpha, "gamma": gamma, "sample_weight": sample_weight, "where": where,
        "label_smoothing": label_smoothing,
    }  # fmt: skip
    return evaluate(BINARY_FOCAL, y_true, logits, options, nan_policy, reduction, out, workers)


@documented(CATEGORICAL_FOCAL)
def categorical_focal_loss(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    alpha: ArrayLike | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Focal loss of rows of logits, in nats: it down-weights well-classified examples.

    For a row of logits z and p = exp(z) / Σ exp(z), the loss of class t, or of a distribution q over
    the classes, is::

        -(1 - p[t])^gamma log p[t]
        -Σ q[c] (1 - p[c])^gamma log p[c]

    Notes
    -----
    The same as ``CategoricalFocalCrossentropy(from_logits=True)`` of Keras, whose alpha is 0.25,
    apart from its clipping of p. Of two classes it is the binary focal loss.

    Examples
    --------
    >>> import fastxent
    >>> z = [[2.0, 0.5, -1.0], [0.0, 3.0, 0.0]]
    >>> round(fastxent.categorical_focal_loss([0, 1], z), 6)
    0.005936
    >>> round(fastxent.categorical_focal_loss([0, 1], z, alpha=[0.5, 0.25, 0.25]), 6)
    0.00287
    """
    options = {
        "axis": axis, "class_weight": class_weight, "ignore_index": ignore_index, "alpha": alpha,
        "gamma": gamma, "sample_weight": sample_weight, "where": where,
        "label_smoothing": label_smoothing,
    }  # fmt: skip
    return evaluate(CATEGORICAL_FOCAL, y_true, logits, options, nan_policy, reduction, out, workers)


@documented(BINARY_FOCAL, "value_and_grad")
def binary_focal_loss_value_and_grad(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    alpha: float | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Value, Array]:
    """Focal loss of logits, and its gradient.

    The value is that of `binary_focal_loss`, bit for bit. With p the probability of the true class, the
    gradient of one element by its own logit (for a label 0, of -z) is::

        -(1 - p)^gamma (1 - p - gamma p log p)

    Examples
    --------
    >>> import fastxent
    >>> value, grad = fastxent.binary_focal_loss_value_and_grad([1, 0], [2.0, 0.5])
    >>> round(value, 6)
    0.189608
    >>> grad.round(6)
    array([-0.002435,  0.263076])
    """
    options = {
        "alpha": alpha, "gamma": gamma, "sample_weight": sample_weight, "where": where,
        "label_smoothing": label_smoothing,
    }  # fmt: skip
    return value_and_grad(
        BINARY_FOCAL, y_true, logits, options, nan_policy, reduction, out, workers
    )


@documented(CATEGORICAL_FOCAL, "value_and_grad")
def categorical_focal_loss_value_and_grad(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    alpha: ArrayLike | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Value, Array]:
    """Focal loss of rows of logits, and its gradient.

    The value is that of `categorical_focal_loss`, bit for bit. With the gradient weight a of each
    class, which in a cross entropy is q, the gradient of one row is::

        a[c] = q[c] (1 - p[c])^gamma (1 - gamma p[c] log p[c] / (1 - p[c]))
        p[c] Σ a - a[c]

    Examples
    --------
    >>> import fastxent
    >>> z = [[2.0, 0.5, -1.0], [0.0, 3.0, 0.0]]
    >>> value, grad = fastxent.categorical_focal_loss_value_and_grad([0, 1], z)
    >>> grad.round(4)
    array([[-0.0136,  0.0112,  0.0025],
           [ 0.0005, -0.0011,  0.0005]])
    """
    options = {
        "axis": axis, "class_weight": class_weight, "ignore_index": ignore_index, "alpha": alpha,
        "gamma": gamma, "sample_weight": sample_weight, "where": where,
        "label_smoothing": label_smoothing,
    }  # fmt: skip
    return value_and_grad(
        CATEGORICAL_FOCAL, y_true, logits, options, nan_policy, reduction, out, workers
    )


@objective
@documented(BINARY_FOCAL, "grad_hess")
def binary_focal_loss_grad_hess(
    y_true: ArrayLike,
    logits: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    alpha: float | None = None,
    gamma: float = 2.0,
    hess_floor: float = 1e-16,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    out: tuple[Array, Array] | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]:
    """First and second derivative of each focal loss by its logit.

    With p the probability of the true class, they are (the first, for a label 0, of -z)::

        -(1 - p)^gamma (1 - p - gamma p log p)
        p (1 - p)^gamma ((1 - p) (1 + 2 gamma + gamma log p) - gamma² p log p)

    Notes
    -----
    The loss is not convex: where log p < -2 - 1/gamma, about, its second derivative is negative, and
    trees need one above 0. Those below `hess_floor` become that; 1e-16 is what XGBoost's own
    logistic loss has. For trees that are to split on what is badly wrong, give more.

    Examples
    --------
    >>> import fastxent
    >>> grad, hess = fastxent.binary_focal_loss_grad_hess([1, 1], [0.0, -4.0])
    >>> grad.round(4), hess.round(4)
    (array([-0.2983, -1.0864]), array([0.3991, 0.    ]))
    """
    options = {
        "alpha": alpha, "gamma": gamma, "sample_weight": sample_weight, "where": where,
        "label_smoothing": label_smoothing,
    }  # fmt: skip
    return grad_hess(BINARY_FOCAL, y_true, logits, options, nan_policy, out, workers, hess_floor)


@objective
@documented(CATEGORICAL_FOCAL, "grad_hess")
def categorical_focal_loss_grad_hess(
    y_true: ArrayLike,
    logits: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    axis: SupportsIndex = -1,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    alpha: ArrayLike | None = None,
    gamma: float = 2.0,
    hess_floor: float = 1e-16,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    out: tuple[Array, Array] | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]:
    """First and second derivative of each focal loss by each logit of its row.

    With the gradient weight a of each class, and b its derivative, they are::

        a[c] = q[c] (1 - p[c])^gamma (1 - gamma p[c] log p[c] / (1 - p[c]))
        b[c] = -p[c] da[c] / dp[c]
        p[c] Σ a - a[c]
        p[c] (1 - p[c]) Σ a + p[c]² (Σ b - b[c]) + (1 - p[c])² b[c]

    The second is the diagonal of the Hessian.

    Notes
    -----
    What is said of `binary_focal_loss_grad_hess` holds here, too.

    Examples
    --------
    >>> import fastxent
    >>> grad, hess = fastxent.categorical_focal_loss_grad_hess([1], [[0.0, 0.0]])
    >>> grad.round(4), hess.round(4)
    (array([[ 0.2983, -0.2983]]), array([[0.3991, 0.3991]]))
    """
    options = {
        "axis": axis, "class_weight": class_weight, "ignore_index": ignore_index, "alpha": alpha,
        "gamma": gamma, "sample_weight": sample_weight, "where": where,
        "label_smoothing": label_smoothing,
    }  # fmt: skip
    return grad_hess(
        CATEGORICAL_FOCAL, y_true, logits, options, nan_policy, out, workers, hess_floor
    )

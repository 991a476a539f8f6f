"""Categorical cross entropy, from probabilities and from logits.

Each docstring holds what is the function's own: `docstrings` adds the arguments. The overloads are in the
stub, which tools/write_stubs.py makes of this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

from fastxent._core.derivatives import grad_hess, value_and_grad
from fastxent._core.evaluate import evaluate
from fastxent._core.loss import CATEGORICAL_OPTIONS, LOGIT_OPTIONS, Formula, Loss
from fastxent._core.scalars import UNIT
from fastxent._losses.docstrings import documented, objective

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastxent._core.types import Array, ClassWeight, Epsilon, NanPolicy, Reduction, Value

CATEGORICAL = Loss(
    "categorical_cross_entropy", Formula("CATEGORICAL", scores=UNIT),
    "y_true", "y_proba", (*CATEGORICAL_OPTIONS, "eps"), per_row=True,
    logits_variant="categorical_cross_entropy_with_logits",
)  # fmt: skip
CATEGORICAL_LOGITS = Loss(
    "categorical_cross_entropy_with_logits", Formula("CATEGORICAL_LOGITS"),
    "y_true", "logits", (*CATEGORICAL_OPTIONS, *LOGIT_OPTIONS), per_row=True,
)  # fmt: skip


@documented(CATEGORICAL)
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
    options = {
        "axis": axis, "class_weight": class_weight, "ignore_index": ignore_index,
        "sample_weight": sample_weight, "where": where, "label_smoothing": label_smoothing,
        "eps": eps,
    }  # fmt: skip
    return evaluate(CATEGORICAL, y_true, y_proba, options, nan_policy, reduction, out, workers)


@documented(CATEGORICAL_LOGITS)
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
    softcap: float | None = None,
    z_loss: float = 0.0,
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
    The target's logit is subtracted before the exponentials, and the maximum where that overflows.
    A row that has no finite maximum (all -inf, or more than one +inf) has an undefined loss, which
    `nan_policy` treats like NaN.

    `softcap` is the rule of Gemma 2 [1]_, `z_loss` that of PaLM [2]_.

    References
    ----------
    .. [1] Gemma Team, Gemma 2: Improving Open Language Models at a Practical Size, 2024,
           arXiv:2408.00118, section 2.
    .. [2] A. Chowdhery et al., PaLM: Scaling Language Modeling with Pathways, 2022,
           arXiv:2204.02311, section 5.

    Examples
    --------
    >>> import fastxent
    >>> z = [[2.0, 0.5, -1.0], [0.0, 3.0, 0.0]]
    >>> round(fastxent.categorical_cross_entropy_with_logits([0, 1], z), 6)
    0.168117
    >>> round(fastxent.categorical_cross_entropy_with_logits([0, -100], z, ignore_index=-100), 6)
    0.241311
    """
    options = {
        "axis": axis, "class_weight": class_weight, "ignore_index": ignore_index,
        "sample_weight": sample_weight, "where": where, "label_smoothing": label_smoothing,
        "softcap": softcap, "z_loss": z_loss,
    }  # fmt: skip
    return evaluate(
        CATEGORICAL_LOGITS, y_true, logits, options, nan_policy, reduction, out, workers
    )


@documented(CATEGORICAL_LOGITS, "value_and_grad")
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
    softcap: float | None = None,
    z_loss: float = 0.0,
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
    sums to 0 as nearly as its numbers can. A `z_loss` adds ``2 * z_loss * log Σ exp(z) * p[c]``, and
    a `softcap` multiplies all by its derivative, 1 - tanh².

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
    options = {
        "axis": axis, "class_weight": class_weight, "ignore_index": ignore_index,
        "sample_weight": sample_weight, "where": where, "label_smoothing": label_smoothing,
        "softcap": softcap, "z_loss": z_loss,
    }  # fmt: skip
    return value_and_grad(
        CATEGORICAL_LOGITS, y_true, logits, options, nan_policy, reduction, out, workers
    )


@objective
@documented(CATEGORICAL_LOGITS, "grad_hess")
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

    The second is the diagonal of the Hessian. There is no `softcap` and no `z_loss`.

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
    options = {
        "axis": axis, "class_weight": class_weight, "ignore_index": ignore_index,
        "sample_weight": sample_weight, "where": where, "label_smoothing": label_smoothing,
    }  # fmt: skip
    return grad_hess(CATEGORICAL_LOGITS, y_true, logits, options, nan_policy, out, workers)

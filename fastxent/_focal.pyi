# Made of _focal.py by tools/write_stubs.py: do not edit.

from typing import Literal, SupportsIndex, overload

from numpy.typing import ArrayLike

from fastxent._types import Array, ClassWeight, NanPolicy

@overload
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
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float:
    """Focal loss of logits, in nats: a cross entropy that hardly minds what is nearly right.

    For a label y, a logit z and p = 1 / (1 + exp(-z)) it is the cross entropy times a power of the
    probability that is missing [1]_::

        (y (1 - p) + (1 - y) p)^gamma (-y log p - (1 - y) log(1 - p))

    Parameters
    ----------
    y_true : array-like
        The truth, in the scores' shape: 0 or 1, as booleans, integers of any width, or floats.
        Floats between are soft labels: the probability of a 1.
    logits : array-like of float16, bfloat16, float32 or float64
        The log-odds of a 1: any number, ±inf too, where the loss is its limit.
    alpha : float, optional
        From 0 to 1: what the loss of a label 1 is multiplied by, and 1 - alpha that of a 0 (a soft
        label's by its share of both). None: nothing. The mean's denominator stays as it is.
    gamma : float, default 2.0
        At least 0: how little the loss minds what is nearly right; 0 is the cross entropy.
    sample_weight : array-like, optional
        A weight for each loss, or for each leading index of the losses; 0 or more. A weight of 0
        still looks at its element; `where` does not.
    where : array-like of bool, optional
        Which losses count, in their shape or what broadcasts to it. Where it is False nothing is
        looked at, NaN and bad labels included.
    label_smoothing : float, default 0.0
        From 0 to 1: a label y becomes ``y * (1 - label_smoothing) + label_smoothing / 2``.
    nan_policy : {"raise", "propagate", "omit"}, default "raise"
        What a NaN does: raise a ValueError that says where it is, make the result nan, or count
        neither in the sum nor in the weight.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean weighted by `sample_weight`, the weighted sum, or the weighted losses themselves,
        with 0 for those that do not count.
    out : ndarray, optional
        Where the losses of ``reduction="none"`` are written: of their shape and dtype.
    workers : int, default 1
        Threads to use; -1 is every CPU that the process may use. The result has the same bits.

    Returns
    -------
    float or ndarray
        The mean (nan over nothing) or the sum (0.0 over nothing), summed in float64 or better
        whatever the input. With ``reduction="none"`` an array in the dtype of the scores,
        float32 for half precision.

    Raises
    ------
    ValueError
        An element, a shape or an option is not what it has to be. The message says which argument,
        what was wrong, where, and what to do.
    TypeError
        A dtype that is none of the above: longdouble, complex, objects, strings.

    Notes
    -----
    The same as ``sigmoid_focal_loss`` of torchvision, whose alpha is 0.25 and whose -1 is None here,
    and as ``BinaryFocalCrossentropy(from_logits=True)`` of Keras, whose alpha needs
    ``apply_class_balancing``; soft and smoothed labels included.

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

@overload
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
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...
@overload
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
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float:
    """Focal loss of rows of logits, in nats: a cross entropy that hardly minds what is nearly right.

    For a row of logits z and p = exp(z) / Σ exp(z), the loss of class t, or of a distribution q over
    the classes, is::

        -(1 - p[t])^gamma log p[t]
        -Σ q[c] (1 - p[c])^gamma log p[c]

    Parameters
    ----------
    y_true : array-like
        The truth: class indices from 0, as integers of any width, in the scores' shape without
        `axis`; or a distribution per row, as numbers from 0 to 1, in the scores' own shape.
    logits : array-like of float16, bfloat16, float32 or float64
        The logarithm of each class's probability, along `axis`, up to a constant per row. A target
        at +inf costs 0, one at -inf costs inf.
    axis : int, default -1
        The axis of the classes. None of them costs a copy.
    class_weight : array-like or dict, optional
        A weight per class, which multiplies the class's term in the loss and, with the label's
        share of that class, its weight in the mean. In a dict, a class that is missing weighs 1.
    ignore_index : int, optional
        A label that counts neither in the sum nor in the weight; class indices only.
    alpha : float or array-like, optional
        What the term of each class is multiplied by: one number for each, or one for all. Unlike
        `class_weight` it has no part in the mean's denominator.
    gamma : float, default 2.0
        At least 0: how little the loss minds what is nearly right; 0 is the cross entropy.
    sample_weight : array-like, optional
        A weight for each loss, or for each leading index of the losses; 0 or more. A weight of 0
        still looks at its element; `where` does not.
    where : array-like of bool, optional
        Which losses count, in their shape or what broadcasts to it. Where it is False nothing is
        looked at, NaN and bad labels included.
    label_smoothing : float, default 0.0
        From 0 to 1: that share of every label is spread evenly over all classes, the target
        included.
    nan_policy : {"raise", "propagate", "omit"}, default "raise"
        What a NaN does: raise a ValueError that says where it is, make the result nan, or count
        neither in the sum nor in the weight.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean weighted by `sample_weight`, the weighted sum, or the weighted losses themselves,
        with 0 for those that do not count.
    out : ndarray, optional
        Where the losses of ``reduction="none"`` are written: of their shape and dtype.
    workers : int, default 1
        Threads to use; -1 is every CPU that the process may use. The result has the same bits.

    Returns
    -------
    float or ndarray
        The mean (nan over nothing) or the sum (0.0 over nothing), summed in float64 or better
        whatever the input. With ``reduction="none"`` an array in the dtype of the scores,
        float32 for half precision.

    Raises
    ------
    ValueError
        An element, a shape or an option is not what it has to be. The message says which argument,
        what was wrong, where, and what to do.
    TypeError
        A dtype that is none of the above: longdouble, complex, objects, strings.

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

@overload
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
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...
@overload
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
    reduction: Literal["mean", "sum"] = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[float, Array]:
    """Focal loss of logits, and its gradient.

    The value is that of `binary_focal_loss`, bit for bit. With p the probability of what is so, the
    gradient of one element by its own logit (for a label 0, of -z) is::

        -(1 - p)^gamma (1 - p - gamma p log p)

    Parameters
    ----------
    y_true : array-like
        The truth, in the scores' shape: 0 or 1, as booleans, integers of any width, or floats.
        Floats between are soft labels: the probability of a 1.
    logits : array-like of float16, bfloat16, float32 or float64
        The log-odds of a 1: any number, ±inf too, where the loss is its limit.
    alpha : float, optional
        From 0 to 1: what the loss of a label 1 is multiplied by, and 1 - alpha that of a 0 (a soft
        label's by its share of both). None: nothing. The mean's denominator stays as it is.
    gamma : float, default 2.0
        At least 0: how little the loss minds what is nearly right; 0 is the cross entropy.
    sample_weight : array-like, optional
        A weight for each loss, or for each leading index of the losses; 0 or more. A weight of 0
        still looks at its element; `where` does not.
    where : array-like of bool, optional
        Which losses count, in their shape or what broadcasts to it. Where it is False nothing is
        looked at, NaN and bad labels included.
    label_smoothing : float, default 0.0
        From 0 to 1: a label y becomes ``y * (1 - label_smoothing) + label_smoothing / 2``.
    nan_policy : {"raise", "propagate", "omit"}, default "raise"
        What a NaN does: raise a ValueError that says where it is, make the result nan, or count
        neither in the sum nor in the weight.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean weighted by `sample_weight`, the weighted sum, or the weighted losses themselves,
        with 0 for those that do not count.
    out : ndarray, optional
        Where the gradient is written: of the scores' shape and dtype. It may be the scores' own
        array; that is read once before, so that an error leaves it as it was.
    workers : int, default 1
        Threads to use; -1 is every CPU that the process may use. The result has the same bits.

    Returns
    -------
    value : float or ndarray
        As the loss without its gradient returns it.
    grad : ndarray
        In the scores' shape and dtype, float32 for half precision: the gradient of the value,
        or with ``reduction="none"`` of each loss. It is 0 where an element does not count.

    Raises
    ------
    ValueError
        An element, a shape or an option is not what it has to be. The message says which argument,
        what was wrong, where, and what to do.
    TypeError
        A dtype that is none of the above: longdouble, complex, objects, strings.

    Examples
    --------
    >>> import fastxent
    >>> value, grad = fastxent.binary_focal_loss_value_and_grad([1, 0], [2.0, 0.5])
    >>> round(value, 6)
    0.189608
    >>> grad.round(6)
    array([-0.002435,  0.263076])
    """

@overload
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
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]: ...
@overload
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
    reduction: Literal["mean", "sum"] = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[float, Array]:
    """Focal loss of rows of logits, and its gradient.

    The value is that of `categorical_focal_loss`, bit for bit. With the pull a of each class, which
    in a cross entropy is q, the gradient of one row is::

        a[c] = q[c] (1 - p[c])^gamma (1 - gamma p[c] log p[c] / (1 - p[c]))
        p[c] Σ a - a[c]

    Parameters
    ----------
    y_true : array-like
        The truth: class indices from 0, as integers of any width, in the scores' shape without
        `axis`; or a distribution per row, as numbers from 0 to 1, in the scores' own shape.
    logits : array-like of float16, bfloat16, float32 or float64
        The logarithm of each class's probability, along `axis`, up to a constant per row. A target
        at +inf costs 0, one at -inf costs inf.
    axis : int, default -1
        The axis of the classes. None of them costs a copy.
    class_weight : array-like or dict, optional
        A weight per class, which multiplies the class's term in the loss and, with the label's
        share of that class, its weight in the mean. In a dict, a class that is missing weighs 1.
    ignore_index : int, optional
        A label that counts neither in the sum nor in the weight; class indices only.
    alpha : float or array-like, optional
        What the term of each class is multiplied by: one number for each, or one for all. Unlike
        `class_weight` it has no part in the mean's denominator.
    gamma : float, default 2.0
        At least 0: how little the loss minds what is nearly right; 0 is the cross entropy.
    sample_weight : array-like, optional
        A weight for each loss, or for each leading index of the losses; 0 or more. A weight of 0
        still looks at its element; `where` does not.
    where : array-like of bool, optional
        Which losses count, in their shape or what broadcasts to it. Where it is False nothing is
        looked at, NaN and bad labels included.
    label_smoothing : float, default 0.0
        From 0 to 1: that share of every label is spread evenly over all classes, the target
        included.
    nan_policy : {"raise", "propagate", "omit"}, default "raise"
        What a NaN does: raise a ValueError that says where it is, make the result nan, or count
        neither in the sum nor in the weight.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean weighted by `sample_weight`, the weighted sum, or the weighted losses themselves,
        with 0 for those that do not count.
    out : ndarray, optional
        Where the gradient is written: of the scores' shape and dtype. It may be the scores' own
        array; that is read once before, so that an error leaves it as it was.
    workers : int, default 1
        Threads to use; -1 is every CPU that the process may use. The result has the same bits.

    Returns
    -------
    value : float or ndarray
        As the loss without its gradient returns it.
    grad : ndarray
        In the scores' shape and dtype, float32 for half precision: the gradient of the value,
        or with ``reduction="none"`` of each loss. It is 0 where an element does not count.

    Raises
    ------
    ValueError
        An element, a shape or an option is not what it has to be. The message says which argument,
        what was wrong, where, and what to do.
    TypeError
        A dtype that is none of the above: longdouble, complex, objects, strings.

    Examples
    --------
    >>> import fastxent
    >>> z = [[2.0, 0.5, -1.0], [0.0, 3.0, 0.0]]
    >>> value, grad = fastxent.categorical_focal_loss_value_and_grad([0, 1], z)
    >>> grad.round(4)
    array([[-0.0136,  0.0112,  0.0025],
           [ 0.0005, -0.0011,  0.0005]])
    """

@overload
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
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]: ...
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

    With p the probability of what is so, they are (the first, for a label 0, of -z)::

        -(1 - p)^gamma (1 - p - gamma p log p)
        p (1 - p)^gamma ((1 - p) (1 + 2 gamma + gamma log p) - gamma² p log p)

    Parameters
    ----------
    y_true : array-like
        The truth, in the scores' shape: 0 or 1, as booleans, integers of any width, or floats.
        Floats between are soft labels: the probability of a 1.
    logits : array-like of float16, bfloat16, float32 or float64
        The log-odds of a 1: any number, ±inf too, where the loss is its limit.
    sample_weight : array-like, optional
        A weight for each loss, or for each leading index of the losses; 0 or more. Both results are
        multiplied by it.
    alpha : float, optional
        From 0 to 1: what the loss of a label 1 is multiplied by, and 1 - alpha that of a 0 (a soft
        label's by its share of both). None: nothing. The mean's denominator stays as it is.
    gamma : float, default 2.0
        At least 0: how little the loss minds what is nearly right; 0 is the cross entropy.
    hess_floor : float, default 1e-16
        The least second derivative. What is below it, as the loss is not convex, counts as this,
        before it is multiplied by the weights (and `alpha`, for labels that are not soft); -inf
        leaves it as it is.
    where : array-like of bool, optional
        Which losses count, in their shape or what broadcasts to it. Where it is False nothing is
        looked at, NaN and bad labels included.
    label_smoothing : float, default 0.0
        From 0 to 1: a label y becomes ``y * (1 - label_smoothing) + label_smoothing / 2``.
    nan_policy : {"raise", "propagate", "omit"}, default "raise"
        What a NaN does: raise a ValueError that says where it is, make the result nan, or count
        neither in the sum nor in the weight.
    out : tuple of two ndarray, optional
        Where the results are written: of the scores' shape and dtype.
    workers : int, default 1
        Threads to use; -1 is every CPU that the process may use. The result has the same bits.

    Returns
    -------
    grad, hess : ndarray
        In the scores' shape and dtype, float32 for half precision; 0 where an element does not
        count.

    Raises
    ------
    ValueError
        An element, a shape or an option is not what it has to be. The message says which argument,
        what was wrong, where, and what to do.
    TypeError
        A dtype that is none of the above: longdouble, complex, objects, strings.

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

    With the pull a of each class, and b what it changes by, they are::

        a[c] = q[c] (1 - p[c])^gamma (1 - gamma p[c] log p[c] / (1 - p[c]))
        b[c] = -p[c] da[c] / dp[c]
        p[c] Σ a - a[c]
        p[c] (1 - p[c]) Σ a + p[c]² (Σ b - b[c]) + (1 - p[c])² b[c]

    The second is the diagonal of the Hessian.

    Parameters
    ----------
    y_true : array-like
        The truth: class indices from 0, as integers of any width, in the scores' shape without
        `axis`; or a distribution per row, as numbers from 0 to 1, in the scores' own shape.
    logits : array-like of float16, bfloat16, float32 or float64
        The logarithm of each class's probability, along `axis`, up to a constant per row. A target
        at +inf costs 0, one at -inf costs inf.
    sample_weight : array-like, optional
        A weight for each loss, or for each leading index of the losses; 0 or more. Both results are
        multiplied by it.
    axis : int, default -1
        The axis of the classes. None of them costs a copy.
    class_weight : array-like or dict, optional
        A weight per class, which multiplies the class's term in the loss and, with the label's
        share of that class, its weight in the mean. In a dict, a class that is missing weighs 1.
    ignore_index : int, optional
        A label that counts neither in the sum nor in the weight; class indices only.
    alpha : float or array-like, optional
        What the term of each class is multiplied by: one number for each, or one for all. Unlike
        `class_weight` it has no part in the mean's denominator.
    gamma : float, default 2.0
        At least 0: how little the loss minds what is nearly right; 0 is the cross entropy.
    hess_floor : float, default 1e-16
        The least second derivative. What is below it, as the loss is not convex, counts as this,
        before it is multiplied by the weights (and `alpha`, for labels that are not soft); -inf
        leaves it as it is.
    where : array-like of bool, optional
        Which losses count, in their shape or what broadcasts to it. Where it is False nothing is
        looked at, NaN and bad labels included.
    label_smoothing : float, default 0.0
        From 0 to 1: that share of every label is spread evenly over all classes, the target
        included.
    nan_policy : {"raise", "propagate", "omit"}, default "raise"
        What a NaN does: raise a ValueError that says where it is, make the result nan, or count
        neither in the sum nor in the weight.
    out : tuple of two ndarray, optional
        Where the results are written: of the scores' shape and dtype.
    workers : int, default 1
        Threads to use; -1 is every CPU that the process may use. The result has the same bits.

    Returns
    -------
    grad, hess : ndarray
        In the scores' shape and dtype, float32 for half precision; 0 where an element does not
        count.

    Raises
    ------
    ValueError
        An element, a shape or an option is not what it has to be. The message says which argument,
        what was wrong, where, and what to do.
    TypeError
        A dtype that is none of the above: longdouble, complex, objects, strings.

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

# Made of _gradients.py by tools/write_stubs.py: do not edit.

from typing import Literal, SupportsIndex, overload

from numpy.typing import ArrayLike

from fastxent._types import Array, ClassWeight, NanPolicy

@overload
def binary_cross_entropy_value_and_grad(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    pos_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[float, Array]:
    """Binary cross entropy of logits, and its gradient.

    The value is that of `binary_cross_entropy_with_logits`, bit for bit. The gradient of one
    element, with a label y, a logit z and p = 1 / (1 + exp(-z)), is as below; that of the mean is
    divided by the sum of the weights::

        p - y

    Parameters
    ----------
    y_true : array-like
        The truth, in the scores' shape: 0 or 1, as booleans, integers of any width, or floats.
        Floats between are soft labels: the probability of a 1.
    logits : array-like of float16, bfloat16, float32 or float64
        The log-odds of a 1: any number, ±inf too, where the loss is its limit.
    pos_weight : array-like, optional
        What the term of a label 1 is multiplied by: one number, or what broadcasts to the losses'
        shape. The mean's denominator stays as it is.
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

@overload
def binary_cross_entropy_value_and_grad(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    pos_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]: ...
@overload
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
    reduction: Literal["mean", "sum"] = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[float, Array]:
    """Categorical cross entropy of logits, and its gradient.

    The value is that of `categorical_cross_entropy_with_logits`, bit for bit. The gradient of one
    row, with a distribution q over the classes and p = exp(z) / Σ exp(z), is as below; that of the
    mean is divided by the sum of the weights::

        p[c] - q[c]

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

@overload
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
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]: ...
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
    pos_weight : array-like, optional
        What the term of a label 1 is multiplied by: one number, or what broadcasts to the losses'
        shape. The mean's denominator stays as it is.
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
    It can be given as it is, as `objective`, to XGBoost's and LightGBM's classifiers. As LightGBM
    counts the arguments, `inspect.signature` shows the first three only.

    Examples
    --------
    >>> import fastxent
    >>> fastxent.binary_cross_entropy_grad_hess([1, 0], [0.0, 0.0])
    (array([-0.5,  0.5]), array([0.25, 0.25]))
    """

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
    It can be given as it is, as `objective`, to XGBoost's and LightGBM's classifiers, whose class
    indices are floats; the results lie in memory as the logits do.

    Examples
    --------
    >>> import fastxent
    >>> grad, hess = fastxent.categorical_cross_entropy_grad_hess([1], [[0.0, 0.0]])
    >>> grad, hess
    (array([[ 0.5, -0.5]]), array([[0.25, 0.25]]))
    """

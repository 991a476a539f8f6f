# Made of _losses.py by tools/write_stubs.py: do not edit.

from typing import Literal, SupportsIndex, overload

from numpy.typing import ArrayLike

from fastxent._types import Array, ClassWeight, Epsilon, NanPolicy

@overload
def binary_cross_entropy(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    eps: Epsilon = "auto",
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float:
    """Binary cross entropy of probabilities, in nats.

    For a label y and a probability p, clipped to [eps, 1 - eps], the loss is::

        -y log p - (1 - y) log(1 - p)

    Parameters
    ----------
    y_true : array-like
        The truth, in the scores' shape: 0 or 1, as booleans, integers of any width, or floats.
        Floats between are soft labels: the probability of a 1.
    y_proba : array-like of float16, bfloat16, float32 or float64
        The probability of a 1. Integers become float64. What is outside [0, 1] is an error.
    sample_weight : array-like, optional
        A weight for each loss, or for each leading index of the losses; 0 or more. A weight of 0
        still looks at its element; `where` does not.
    where : array-like of bool, optional
        Which losses count, in their shape or what broadcasts to it. Where it is False nothing is
        looked at, NaN and bad labels included.
    label_smoothing : float, default 0.0
        From 0 to 1: a label y becomes ``y * (1 - label_smoothing) + label_smoothing / 2``.
    eps : "auto" or float, default "auto"
        Probabilities are clipped to ``[eps, 1 - eps]``. "auto" is the machine epsilon of the
        scores' dtype; with 0 nothing is clipped, and what was certain and wrong costs inf.
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

@overload
def binary_cross_entropy(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    eps: Epsilon = "auto",
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...
@overload
def binary_cross_entropy_with_logits(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    pos_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float:
    """Binary cross entropy of logits, in nats.

    For a label y and a logit z, the loss is that of the probability p = 1 / (1 + exp(-z))::

        max(z, 0) - z y + log(1 + exp(-|z|))

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

@overload
def binary_cross_entropy_with_logits(
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
) -> Array: ...
@overload
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
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float:
    """Categorical cross entropy of probabilities, in nats.

    For a row of probabilities p, clipped to [eps, 1 - eps], the loss of class t, or of a
    distribution q over the classes, is::

        -log p[t]
        -Σ q[c] log p[c]

    Parameters
    ----------
    y_true : array-like
        The truth: class indices from 0, as integers of any width, in the scores' shape without
        `axis`; or a distribution per row, as numbers from 0 to 1, in the scores' own shape.
    y_proba : array-like of float16, bfloat16, float32 or float64
        The probability of each class, along `axis`; nothing is renormalised. Integers become
        float64. What is outside [0, 1] is an error; of class indices that are not smoothed, only
        the target's probability is read.
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
    eps : "auto" or float, default "auto"
        Probabilities are clipped to ``[eps, 1 - eps]``. "auto" is the machine epsilon of the
        scores' dtype; with 0 nothing is clipped, and what was certain and wrong costs inf.
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

@overload
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
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...
@overload
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
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float:
    """Categorical cross entropy of logits, in nats.

    For a row of logits z, the loss is that of the probabilities exp(z) / Σ exp(z). Of class t, or
    of a distribution q over the classes, it is::

        log Σ exp(z[c]) - z[t]
        Σ q[c] (log Σ exp(z[k]) - z[c])

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

@overload
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
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...
@overload
def gaussian_nll(
    y_true: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike = 1.0,
    *,
    full: bool = False,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float:
    """Negative log-likelihood under a Gaussian, in nats.

    For an observation y, a mean m and a variance v, the loss is the first of these, and with `full`
    the second::

        ((y - m)² / v + log v) / 2
        ((y - m)² / v + log v + log 2π) / 2

    Parameters
    ----------
    y_true : array-like
        The observations, in the shape of `mean`.
    mean : array-like of float16, bfloat16, float32 or float64
        The Gaussian's mean. Integers become float64.
    var : array-like, default 1.0
        The Gaussian's variance, above 0: one number, or what broadcasts to the shape of `mean`.
    full : bool, default False
        Add the constant log(2π)/2.
    sample_weight : array-like, optional
        A weight for each loss, or for each leading index of the losses; 0 or more. A weight of 0
        still looks at its element; `where` does not.
    where : array-like of bool, optional
        Which losses count, in their shape or what broadcasts to it. Where it is False nothing is
        looked at, NaN and bad labels included.
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

@overload
def gaussian_nll(
    y_true: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike = 1.0,
    *,
    full: bool = False,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...
@overload
def entropy(
    p: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float:
    """Entropy of distributions, in nats.

    For a row p it is as below, with 0 log 0 = 0: the cross entropy of p against itself [1]_::

        -Σ p[c] log p[c]

    References
    ----------
    .. [1] C. E. Shannon, A mathematical theory of communication, The Bell System Technical Journal
       27 (1948), pages 379-423.

    Parameters
    ----------
    p : array-like of float16, bfloat16, float32 or float64
        Distributions along `axis`; nothing is renormalised.
    axis : int, default -1
        The axis of the classes. None of them costs a copy.
    sample_weight : array-like, optional
        A weight for each loss, or for each leading index of the losses; 0 or more. A weight of 0
        still looks at its element; `where` does not.
    where : array-like of bool, optional
        Which losses count, in their shape or what broadcasts to it. Where it is False nothing is
        looked at, NaN and bad labels included.
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

    Examples
    --------
    >>> import fastxent
    >>> round(fastxent.entropy([[0.5, 0.5], [1.0, 0.0]], reduction="sum"), 6)
    0.693147
    """

@overload
def entropy(
    p: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...
@overload
def kl_divergence(
    q: ArrayLike,
    p: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    eps: Epsilon = "auto",
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float:
    """Kullback-Leibler divergence of q from p, in nats.

    For a row q and a row p, clipped to [eps, 1 - eps], it is as below, with 0 log 0 = 0: the cross
    entropy less the entropy of q [1]_::

        Σ q[c] (log q[c] - log p[c])

    References
    ----------
    .. [1] S. Kullback and R. A. Leibler, On information and sufficiency, The Annals of Mathematical
       Statistics 22 (1951), pages 79-86.

    Parameters
    ----------
    q : array-like
        The distributions to diverge from, in the shape of `p`; or class indices, in that shape
        without `axis`.
    p : array-like of float16, bfloat16, float32 or float64
        Distributions along `axis`; nothing is renormalised.
    axis : int, default -1
        The axis of the classes. None of them costs a copy.
    sample_weight : array-like, optional
        A weight for each loss, or for each leading index of the losses; 0 or more. A weight of 0
        still looks at its element; `where` does not.
    where : array-like of bool, optional
        Which losses count, in their shape or what broadcasts to it. Where it is False nothing is
        looked at, NaN and bad labels included.
    eps : "auto" or float, default "auto"
        Probabilities are clipped to ``[eps, 1 - eps]``. "auto" is the machine epsilon of the
        scores' dtype; with 0 nothing is clipped, and what was certain and wrong costs inf.
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

    Examples
    --------
    >>> import fastxent
    >>> round(fastxent.kl_divergence([0.5, 0.5], [0.9, 0.1]), 6)
    0.510826
    """

@overload
def kl_divergence(
    q: ArrayLike,
    p: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    eps: Epsilon = "auto",
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...

"""The losses of ``torch.nn.functional``, and torchvision's focal loss, with torch's signatures.

Each function asks in turn: is it compiled, is the input too small to gain, is there anything that
fastxent cannot read? What fastxent then finds wrong with the values, NaN among them, is torch's to
judge as well: its own function raises what it raises, or gives what it gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

import fastxent
from fastxent.torch import _compiled
from fastxent.torch._autograd import (
    AT_REDUCTIONS,
    LOG_EPS,
    NLL,
    BinaryCrossEntropy,
    GaussianNLL,
    KLDiv,
    LogitsLoss,
    apply,
)
from fastxent.torch._calls import Call
from fastxent.torch._handover import (
    HALF,
    OWN,
    constant_reason,
    note,
    result_dtype,
    scores_reason,
    tensor_reason,
)
from fastxent.torch._rules import (
    REDUCTIONS,
    broadcast_reason,
    deprecated,
    divergence_reason,
    gaussian_reason,
    ignored,
    option_reason,
    pick_reason,
    poisson_reason,
    shape_reason,
    too_small,
)


def cross_entropy(
    input: Any,  # noqa: A002
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    inplace_backward: bool = False,
) -> Any:
    """As ``torch.nn.functional.cross_entropy``.

    Parameters
    ----------
    input : Tensor of shape (C,), (N, C) or (N, C, d1, ...)
        Logits.
    target : Tensor
        Class indices, or probabilities in the shape of `input`.
    weight : Tensor of shape (C,), optional
        A weight for each class.
    size_average, reduce : bool, optional
        Deprecated in torch: its own function is called where one is given.
    ignore_index : int, default -100
        A class index that does not count.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean's denominator is torch's: the sum of the targets' weights for class indices, N for
        probabilities.
    label_smoothing : float, default 0.0
        The share of each target that is spread over all classes.
    inplace_backward : bool, default False
        Write the gradient over the logits, which are lost. Where torch's own function is called
        this does nothing.

    Returns
    -------
    Tensor
        The loss.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import cross_entropy
    >>> logits = torch.zeros(1000, 4, requires_grad=True)
    >>> loss = cross_entropy(logits, torch.arange(1000) % 4)
    >>> loss.backward()
    >>> round(loss.item(), 5)
    1.38629
    """
    args = (
        input, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing,
    )  # fmt: skip
    if torch.compiler.is_compiling():
        return _compiled.cross_entropy(*args)
    reason = (
        too_small(input)
        or deprecated(size_average, reduce)
        or scores_reason(input)
        or constant_reason("target", target)
        or (weight is not None and constant_reason("weight", weight))
        or option_reason(reduction, ignore_index, label_smoothing)
    )
    if reason:
        return _own("cross_entropy", reason, args)
    scores, labels = (input[None], target[None]) if input.ndim == 1 else (input, target)
    soft = labels.shape == scores.shape
    floats = tuple(t for t in (labels if soft else None, weight) if t is not None)
    dtype = result_dtype(input, floats)
    reason = shape_reason(scores, labels, weight, soft, ignore_index)
    if dtype is None or reason:
        return _own("cross_entropy", reason or "the dtypes differ", args)
    own = partial(
        OWN.cross_entropy, ignore_index=ignore_index, reduction=reduction,
        label_smoothing=label_smoothing,
    )  # fmt: skip
    call = Call(
        fastxent.categorical_cross_entropy_with_logits,
        fastxent.categorical_cross_entropy_value_and_grad,
        own,
        reduction,
        dtype,
        {
            "axis": 1,
            "ignore_index": None if soft else ignored(labels, ignore_index),
            "label_smoothing": float(label_smoothing),
        },
        axis=1,
        weights=("class_weight",),
        count=scores.numel() // scores.shape[1] if soft and reduction == "mean" else None,
        inplace=bool(inplace_backward),
    )
    result = _evaluate("cross_entropy", call, (scores, labels, weight), args)
    return result[0] if input.ndim == 1 and reduction == "none" and result.ndim else result


def binary_cross_entropy_with_logits(
    input: Any,  # noqa: A002
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
    *,
    inplace_backward: bool = False,
) -> Any:
    """As ``torch.nn.functional.binary_cross_entropy_with_logits``.

    Parameters
    ----------
    input : Tensor
        Logits.
    target : Tensor
        Of the same shape: 0, 1, or between.
    weight : Tensor, optional
        A weight for each element, or what broadcasts to them.
    size_average, reduce : bool, optional
        Deprecated in torch: its own function is called where one is given.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean is divided by the number of elements.
    pos_weight : Tensor, optional
        What the term of a target 1 is multiplied by; it broadcasts.
    inplace_backward : bool, default False
        Write the gradient over the logits, which are lost. Where torch's own function is called
        this does nothing.

    Returns
    -------
    Tensor
        The loss.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import binary_cross_entropy_with_logits
    >>> loss = binary_cross_entropy_with_logits(torch.zeros(2000), torch.ones(2000))
    >>> round(loss.item(), 6)
    0.693147
    """
    args = (input, target, weight, size_average, reduce, reduction, pos_weight)
    if torch.compiler.is_compiling():
        return _compiled.binary_cross_entropy_with_logits(*args)
    weights = [(n, t) for n, t in (("weight", weight), ("pos_weight", pos_weight)) if t is not None]
    reason = (
        too_small(input, "logits")
        or deprecated(size_average, reduce)
        or scores_reason(input)
        or constant_reason("target", target)
        or next(filter(None, (constant_reason(*pair) for pair in weights)), None)
        or option_reason(reduction)
        or broadcast_reason(input, target, weights)
    )
    dtype = None if reason else result_dtype(input, (target, *(t for _, t in weights)))
    if reason or dtype is None:
        return _own("binary_cross_entropy_with_logits", reason or "the dtypes differ", args)

    def own(scores: Any, target: Any, weight: Any, pos_weight: Any) -> Any:
        return OWN.binary_cross_entropy_with_logits(
            scores, target, weight, reduction=reduction, pos_weight=pos_weight
        )

    call = Call(
        fastxent.binary_cross_entropy_with_logits,
        fastxent.binary_cross_entropy_value_and_grad,
        own,
        reduction,
        dtype,
        {},
        weights=("sample_weight", "pos_weight"),
        count=input.numel() if weight is not None and reduction == "mean" else None,
        inplace=bool(inplace_backward),
    )
    return _evaluate(
        "binary_cross_entropy_with_logits", call, (input, target, weight, pos_weight), args
    )


def binary_cross_entropy(
    input: Any,  # noqa: A002
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """As ``torch.nn.functional.binary_cross_entropy``: no logarithm is below -100.

    Parameters
    ----------
    input : Tensor
        Probabilities.
    target : Tensor
        Of the same shape: 0, 1, or between.
    weight : Tensor, optional
        A weight for each element, or what broadcasts to them.
    size_average, reduce : bool, optional
        Deprecated in torch: its own function is called where one is given.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean is divided by the number of elements.

    Returns
    -------
    Tensor
        The loss.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import binary_cross_entropy
    >>> loss = binary_cross_entropy(torch.full((2000,), 0.5), torch.ones(2000))
    >>> round(loss.item(), 6)
    0.693147
    """
    args = (input, target, weight, size_average, reduce, reduction)
    if torch.compiler.is_compiling():
        return OWN.binary_cross_entropy(*args)
    weights = [] if weight is None else [("weight", weight)]
    reason = (
        too_small(input, "probabilities")
        or deprecated(size_average, reduce)
        or scores_reason(input)
        or constant_reason("target", target)
        or (weight is not None and constant_reason("weight", weight))
        or option_reason(reduction)
        or broadcast_reason(input, target, weights)
    )
    if not reason and any(t.dtype is not input.dtype for t in (target, *(t for _, t in weights))):
        reason = "the dtypes differ"
    if not reason and input.dtype in HALF and torch.is_autocast_enabled("cpu"):
        reason = "autocast casts half precision"
    if reason:
        return _own("binary_cross_entropy", reason, args)
    call = Call(
        partial(fastxent.binary_cross_entropy, eps=LOG_EPS),
        _no_gradient,
        OWN.binary_cross_entropy,
        reduction,
        input.dtype,
        {},
        weights=("sample_weight",),
        count=input.numel() if weight is not None and reduction == "mean" else None,
    )
    tensors = (input, target, weight)
    return _evaluate("binary_cross_entropy", call, tensors, args, BinaryCrossEntropy)


def gaussian_nll_loss(
    input: Any,  # noqa: A002
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """As ``torch.nn.functional.gaussian_nll_loss``.

    Parameters
    ----------
    input : Tensor
        Means.
    target : Tensor
        Observations.
    var : Tensor or float
        Variances: of the shape of `input`, or one for each of its rows.
    full : bool, default False
        Add the constant.
    eps : float, default 1e-6
        Variances below count as this.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean is divided by the number of elements.

    Returns
    -------
    Tensor
        The loss.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import gaussian_nll_loss
    >>> loss = gaussian_nll_loss(torch.zeros(10_000), torch.ones(10_000), torch.ones(10_000))
    >>> round(loss.item(), 6)
    0.5
    """
    args = (input, target, var, full, eps, reduction)
    if torch.compiler.is_compiling():
        return OWN.gaussian_nll_loss(*args)
    reason = (
        too_small(input, "gaussian")
        or scores_reason(input)
        or tensor_reason("target", target)
        or tensor_reason("var", var)
        or option_reason(reduction)
        or gaussian_reason(input, target, var, full, eps)
    )
    if reason:
        return _own("gaussian_nll_loss", reason, args)
    if var.shape == input.shape[:-1]:
        var = var.unsqueeze(-1)
    call = Call(
        partial(_gaussian, full=full),
        _no_gradient,
        OWN.gaussian_nll_loss,
        reduction,
        input.dtype,
        {},
        weights=("var",),
        count=input.numel() if reduction == "mean" else None,
    )
    return _evaluate("gaussian_nll_loss", call, (input, target, var), args, GaussianNLL)


def nll_loss(
    input: Any,  # noqa: A002
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """As ``torch.nn.functional.nll_loss``: its operator, with the gradient in memory of NumPy's.

    Parameters
    ----------
    input : Tensor
        Log-probabilities. Where they are a ``log_softmax``, `cross_entropy` of the logits saves it.
    target : Tensor
        Class indices.
    weight : Tensor, optional
        A weight for each class.
    size_average, reduce : bool, optional
        Deprecated in torch.
    ignore_index : int, default -100
        A class index that does not count.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean's denominator is the sum of the targets' weights.

    Returns
    -------
    Tensor
        The loss.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import nll_loss
    >>> nll_loss(torch.tensor([[-1.0, -2.0]]), torch.tensor([1])).item()
    2.0
    """
    args = (input, target, weight, size_average, ignore_index, reduce, reduction)
    if torch.compiler.is_compiling():
        return OWN.nll_loss(*args)
    reason = (
        too_small(input, "picks")
        or deprecated(size_average, reduce)
        or scores_reason(input)
        or constant_reason("target", target)
        or (weight is not None and constant_reason("weight", weight))
        or option_reason(reduction, ignore_index)
        or pick_reason(input, target)
    )
    if reason:
        return _own("nll_loss", reason, args)
    options = (AT_REDUCTIONS.index(reduction), ignore_index)
    return apply(NLL, options, input, target, weight)[0]


def kl_div(
    input: Any,  # noqa: A002
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """As ``torch.nn.functional.kl_div``.

    Parameters
    ----------
    input : Tensor
        Log-probabilities.
    target : Tensor
        Probabilities, or their logarithms.
    size_average, reduce : bool, optional
        Deprecated in torch.
    reduction : {"mean", "batchmean", "sum", "none"}, default "mean"
        "mean" is divided by the number of elements, "batchmean" by the first dimension.
    log_target : bool, default False
        Whether `target` has logarithms.

    Returns
    -------
    Tensor
        The divergence.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import kl_div
    >>> p = torch.tensor([[0.5, 0.5]])
    >>> kl_div(p.log(), p, reduction="batchmean").item()
    0.0
    """
    args = (input, target, size_average, reduce, reduction, log_target)
    if torch.compiler.is_compiling():
        return OWN.kl_div(*args)
    reason = (
        too_small(input, "divergences")
        or deprecated(size_average, reduce)
        or scores_reason(input)
        or constant_reason("target", target)
        or divergence_reason(input, target, reduction, log_target)
    )
    if reason:
        return _own("kl_div", reason, args)
    if reduction == "mean":  # torch has a warning, which is that of the installed version
        OWN.kl_div(torch.zeros(1), torch.zeros(1), reduction=reduction)
    call = Call(
        _divergence,
        _no_gradient,
        OWN.kl_div,
        "sum" if reduction == "sum" else "mean",
        input.dtype,
        {},
        count={"mean": input.numel(), "batchmean": len(input)}.get(reduction),
    )
    return _evaluate("kl_div", call, (input, target), args, KLDiv)


def poisson_nll_loss(
    input: Any,  # noqa: A002
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """As ``torch.nn.functional.poisson_nll_loss``.

    Parameters
    ----------
    input : Tensor
        Rates, or their logarithms.
    target : Tensor
        Counts.
    log_input : bool, default True
        Whether `input` has logarithms.
    full : bool, default False
        Add Stirling's approximation of log(target!).
    size_average, reduce : bool, optional
        Deprecated in torch.
    eps : float, default 1e-8
        Added to a rate before its logarithm is taken.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean is divided by the number of elements.

    Returns
    -------
    Tensor
        The loss.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import poisson_nll_loss
    >>> poisson_nll_loss(torch.zeros(3), torch.ones(3)).item()
    1.0
    """
    args = (input, target, log_input, full, size_average, eps, reduce, reduction)
    if torch.compiler.is_compiling():
        return OWN.poisson_nll_loss(*args)
    reason = (
        too_small(input, "logits")
        or deprecated(size_average, reduce)
        or scores_reason(input)
        or constant_reason("target", target)
        or option_reason(reduction)
        or broadcast_reason(input, target, [])
        or poisson_reason(input, target, log_input, full)
    )
    if reason:
        return _own("poisson_nll_loss", reason, args)
    call = Call(
        fastxent.poisson_nll,
        fastxent.poisson_nll_value_and_grad,
        partial(OWN.poisson_nll_loss, reduction=reduction),
        reduction,
        input.dtype,
        {},
    )
    args = (input, target, True, False, None, eps, None, reduction)
    result = _evaluate("poisson_nll_loss", call, (input, target), args)
    return result + _stirling(target, reduction) if full else result


def sigmoid_focal_loss(
    inputs: Any, targets: Any, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> Any:
    """As ``torchvision.ops.sigmoid_focal_loss``.

    Parameters
    ----------
    inputs : Tensor
        Logits.
    targets : Tensor
        Of the same shape: 0 or 1.
    alpha : float, default 0.25
        The weight of a target 1, that of a 0 being the rest; -1: both weigh 1.
    gamma : float, default 2.0
        The larger, the more well-classified examples are down-weighted.
    reduction : {"none", "mean", "sum"}, default "none"
        The mean is divided by the number of elements.

    Returns
    -------
    Tensor
        The loss.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import sigmoid_focal_loss
    >>> loss = sigmoid_focal_loss(torch.zeros(2000), torch.ones(2000), alpha=-1, reduction="mean")
    >>> round(loss.item(), 6)
    0.173287
    """
    if not 0 <= alpha <= 1 and alpha != -1:
        raise ValueError(f"alpha={alpha} is not in [0, 1]: pass -1 for no weights")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r} is unknown: use one of {', '.join(REDUCTIONS)}")
    own = partial(_focal, alpha=alpha, gamma=gamma, reduction=reduction)
    if torch.compiler.is_compiling():
        return own(inputs, targets)
    reason = (
        too_small(inputs, "logits")
        or scores_reason(inputs)
        or constant_reason("targets", targets)
        or broadcast_reason(inputs, targets, [])
    )
    dtype = None if reason else result_dtype(inputs, (targets,))
    if reason or dtype is None:
        note("sigmoid_focal_loss", reason or "the dtypes differ")
        return own(inputs, targets)
    call = Call(
        fastxent.binary_focal_loss,
        fastxent.binary_focal_loss_value_and_grad,
        own,
        reduction,
        dtype,
        {"alpha": None if alpha < 0 else float(alpha), "gamma": float(gamma)},
    )
    return _evaluate("sigmoid_focal_loss", call, (inputs, targets), (inputs, targets))


# ---- how a call is decided -------------------------------------------------------------------


def _evaluate(
    name: str, call: Call, tensors: tuple[Any, ...], args: tuple[Any, ...], node: Any = LogitsLoss
) -> Any:
    """The loss by fastxent, or by torch's own function where fastxent refuses a value."""
    try:
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
            return apply(node, call, *tensors)
        return call.value(*tensors)
    except ValueError as error:
        reason = str(error)
    note(name, reason)
    return (getattr(OWN, name, None) or call.own)(*args)


def _own(name: str, reason: str, args: tuple[Any, ...]) -> Any:
    note(name, reason)
    own: Callable[..., Any] = getattr(OWN, name)
    return own(*args)


def _divergence(target: Any, scores: Any, *, reduction: str, workers: int) -> float:
    """The sum of q log q - q x, where x are log-probabilities."""
    del reduction  # always "sum"
    entropy = fastxent.entropy(target, reduction="sum", workers=workers)
    cut = target.size - target.size % 1024  # short sums: float32 is enough for them
    q, x = target.reshape(-1), scores.reshape(-1)
    short = np.vecdot(q[:cut].reshape(-1, 1024), x[:cut].reshape(-1, 1024))
    return -entropy - float(short.sum(dtype=np.float64)) - float(np.vecdot(q[cut:], x[cut:]))


def _stirling(target: Any, reduction: str) -> Any:
    """The approximation of log y! that torch has: 0 for a count up to 1."""
    terms = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
    terms = terms.masked_fill(target <= 1, 0)
    return terms if reduction == "none" else getattr(terms, reduction)()


def _gaussian(target: Any, mean: Any, *, var: Any, **options: Any) -> Any:
    return fastxent.gaussian_nll(target, mean, var, **options)


def _no_gradient(*_: Any, **__: Any) -> Any:
    raise AssertionError("this loss has no gradient in fastxent: its node makes it")


def _focal(inputs: Any, targets: Any, *, alpha: float, gamma: float, reduction: str) -> Any:
    """The focal loss in torch's operations."""
    losses = OWN.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    proba = torch.sigmoid(inputs)
    one_minus_p = proba + targets - 2 * proba * targets  # of the target's own class
    losses = losses * one_minus_p**gamma
    if alpha >= 0:
        losses = losses * (alpha * targets + (1 - alpha) * (1 - targets))
    return losses if reduction == "none" else getattr(losses, reduction)()


_compiled.EAGER.update(
    cross_entropy=cross_entropy,
    binary_cross_entropy_with_logits=binary_cross_entropy_with_logits,
)

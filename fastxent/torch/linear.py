"""torch's linear_cross_entropy: hidden states in, and the logits are never stored."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.autograd.function import Function

from fastxent._linear.linear import LinearCall
from fastxent._linear.operands import LinearOperands, LinearOptions
from fastxent._linear.products import Product, parts_of
from fastxent.torch._calls import operand
from fastxent.torch._handover import constant_reason, note, scores_reason, tensor_reason
from fastxent.torch._rules import option_reason


def linear_cross_entropy(
    input: Any,  # noqa: A002
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Any:
    """As ``torch.nn.functional.linear_cross_entropy``, in at most 64 MiB beside the gradients.

    Those of half precision are summed in float32, which takes twice their memory meanwhile. The
    product of bfloat16 is torch's where the processor has instructions for it, so logits are rounded
    to bfloat16 as torch's own are; any other product is that of NumPy's BLAS.

    Parameters
    ----------
    input : Tensor of shape (N, D)
        Hidden states. For another number of dimensions torch's own function is called, as on other
        devices, for other dtypes, under torch.func or torch.compile, and for values that it judges.
    linear_weight : Tensor of shape (C, D)
        The weights of the last layer.
    target : Tensor
        Class indices of shape (N,), or probabilities of shape (N, C).
    linear_bias : Tensor of shape (C,), optional
        Its bias.
    weight : Tensor of shape (C,), optional
        A weight for each class.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean's denominator is torch's: the sum of the targets' weights for class indices, N for
        probabilities.
    ignore_index : int, optional
        A class index that does not count; None: -100.
    label_smoothing : float, default 0.0
        The share of each target that is spread over all classes.
    options : LinearCrossEntropyOptions, optional
        For torch's own function. The blocks of fastxent follow from the sizes.

    Returns
    -------
    Tensor
        The loss, in the dtype of `input`.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import linear_cross_entropy
    >>> hidden = torch.eye(3, requires_grad=True)
    >>> loss = linear_cross_entropy(hidden, torch.zeros(4, 3), torch.tensor([0, 1, 2]))
    >>> loss.backward()
    >>> round(loss.item(), 5)
    1.38629
    """
    tensors = (input, linear_weight, linear_bias, target, weight)
    own = partial(
        _own, reduction=reduction, ignore_index=ignore_index, label_smoothing=label_smoothing,
        options=options,
    )  # fmt: skip
    index = -100 if ignore_index is None else ignore_index
    reason = _reason(*tensors) or option_reason(reduction, index, label_smoothing)
    soft = target.ndim == 2
    if reason is None and soft and ignore_index is not None:
        reason = "ignore_index is for class indices"
    if reason:
        note("linear_cross_entropy", reason)
        return own(*tensors)
    call = _Call(own, reduction, soft, index, label_smoothing)
    try:
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
            return LinearLoss.apply(call, *tensors)
        return call.value(*tensors)
    except ValueError as error:
        note("linear_cross_entropy", str(error))
        return own(*tensors)


def _own(hidden: Any, layer: Any, bias: Any, target: Any, weight: Any, **options: Any) -> Any:
    """Torch's own function, which few versions have."""
    function = torch.nn.functional.linear_cross_entropy
    return function(hidden, layer, target, linear_bias=bias, weight=weight, **options)


def _reason(hidden: Any, layer: Any, bias: Any, target: Any, weight: Any) -> str | None:
    """Why fastxent cannot read the tensors, or None."""
    if torch.compiler.is_compiling():
        return "torch.compile traces it"
    named = {"linear_weight": layer, "linear_bias": bias}
    reasons = [scores_reason(hidden)]
    reasons += [tensor_reason(name, t) for name, t in named.items() if t is not None]
    constants = {"target": target, "weight": weight}
    reasons += [constant_reason(name, t) for name, t in constants.items() if t is not None]
    found = next((reason for reason in reasons if reason), None)
    if found is None and hidden.ndim != 2:
        return f"input has shape {tuple(hidden.shape)}"
    floats = [t for t in (layer, bias, weight) if t is not None]
    floats += [target] if target.is_floating_point() else []
    if found is None and any(t.dtype is not hidden.dtype for t in floats):
        return "the dtypes differ"
    if found is None and target.ndim == 1 and target.dtype not in (torch.int64, torch.uint8):
        return f"target has dtype {target.dtype}"
    return found


class Bfloat16Product(Product):
    """Products by torch, which has those of the processor for bfloat16; NumPy's BLAS has none.

    Each is rounded to bfloat16, as torch's own logits are.

    Parameters
    ----------
    operands : LinearOperands
    """

    def __init__(self, operands: LinearOperands) -> None:
        super().__init__(operands)
        self.dtype = operands.weight.dtype

    def step(self, rows: int) -> int:
        """How many words are multiplied at a time."""
        return parts_of(rows * self.dtype.itemsize)

    def multiply(self, a: Any, b: Any, out: Any) -> None:
        """Write a @ b."""
        torch.from_numpy(out).copy_(torch.mm(_as_bfloat16(a), _as_bfloat16(b)))


def _multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it; without them, widened blocks are faster."""
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def _as_bfloat16(array: Any) -> Any:
    if array.dtype.itemsize == 2:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array).bfloat16()


class _Call:
    """Options of one call, and between its forward and its backward the gradients."""

    def __init__(
        self, own: Any, reduction: str, soft: bool, ignore_index: int, smoothing: float
    ) -> None:
        self.own, self.reduction, self.soft = own, reduction, soft
        self.ignore_index = None if soft else ignore_index
        self.smoothing = smoothing
        self.gradients: Any = None

    def linear(self, hidden: Any, weight: Any, bias: Any, target: Any, classes: Any) -> LinearCall:
        options = LinearOptions(
            class_weight=None if classes is None else operand(classes),
            ignore_index=self.ignore_index,
            label_smoothing=self.smoothing,
        )
        wide = None if bias is None else operand(bias)
        call = LinearCall(operand(target), operand(hidden), operand(weight), wide, options)
        if hidden.dtype is torch.bfloat16 and _multiplies_bfloat16():
            call.product = Bfloat16Product
        # A mean over probabilities is divided by their number, which is not fastxent's rule.
        reduction = "sum" if self.soft and self.reduction == "mean" else self.reduction
        call.check("propagate", reduction, torch.get_num_threads())
        return call

    def result(self, call: LinearCall, hidden: Any) -> Any:
        """The value as a tensor."""
        value = call.value()
        if self.reduction == "none":
            return torch.from_numpy(value).to(hidden.dtype)
        return torch.tensor(value / self.divisor(hidden), dtype=hidden.dtype)

    def divisor(self, hidden: Any) -> float:
        """What the mean is still to be divided by."""
        rows = float(hidden.shape[0]) if self.soft and self.reduction == "mean" else 1.0
        return rows or math.nan

    def value(self, hidden: Any, *others: Any) -> Any:
        """The loss."""
        call = self.linear(hidden, *others)
        call.find_losses()
        return self.result(call, hidden)

    def value_keeping_gradients(self, hidden: Any, *others: Any) -> Any:
        """The loss; that of a mean or a sum has its gradients computed with it."""
        if self.reduction == "none":
            return self.value(hidden, *others)
        call = self.linear(hidden, *others)
        self.gradients = call.find_gradients(call.factor() / self.divisor(hidden))
        return self.result(call, hidden)

    def scaled_gradients(self, grad_output: Any, tensors: tuple[Any, ...]) -> list[Any]:
        """The gradients by the hidden states, the weights and the bias."""
        scale = 1.0
        found, self.gradients = self.gradients, None
        if found is None:
            call = self.linear(*tensors)
            factor = call.factor() / self.divisor(tensors[0])
            if self.reduction == "none":
                factor = factor * grad_output.double().numpy()[call.operands.rows]
            found = call.find_gradients(factor)
        if self.reduction != "none":
            scale = grad_output.item()
        arrays = found.hidden, found.weight, found.bias
        return [
            None if a is None else torch.from_numpy(a).mul_(scale).to(tensors[0].dtype)
            for a in arrays
        ]


class LinearLoss(Function):  # type: ignore[misc]
    """The loss, whose forward has computed its gradients, which the backward only scales.

    Where the backward itself is to be differentiated, torch's own function is.
    """

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Any) -> Any:
        """The loss."""
        ctx.call = call
        ctx.save_for_backward(*tensors)
        return call.value_keeping_gradients(*tensors)

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> tuple[Any, ...]:
        """The gradients by the hidden states, the weights and the bias."""
        tensors, wanted = ctx.saved_tensors, ctx.needs_input_grad[1:4]
        if torch.is_grad_enabled():
            inputs = [t for t, w in zip(tensors[:3], wanted, strict=True) if w]
            loss = ctx.call.own(*tensors)
            grads = iter(torch.autograd.grad(loss, inputs, grad_output, create_graph=True))
            return None, *(next(grads) if w else None for w in wanted), None, None
        found = ctx.call.scaled_gradients(grad_output, tensors)
        return None, *(g if w else None for g, w in zip(found, wanted, strict=True)), None, None

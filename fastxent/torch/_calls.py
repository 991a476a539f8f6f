"""One call of a loss of logits: its options, its value, and its gradient by the logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from fastxent.torch._handover import bfloat16
from fastxent.torch._memory import empty_like


@dataclass(slots=True)
class Call:
    """Options of one call, and between its forward and its backward the gradient.

    Parameters
    ----------
    loss, value_and_grad : callable
        fastxent's functions.
    own : callable
        torch's own, of the same tensors: the scores, the target and the weights.
    reduction : str
    dtype : torch.dtype
        Of the result.
    options : dict
        What fastxent's functions take beside the weights.
    axis : int or None
        The classes' axis.
    weights : tuple of str
        What fastxent calls the tensors after the target.
    count : int or None
        What the mean is divided by; None: by the sum of the weights, which is fastxent's own rule.
    inplace : bool
        Whether the gradient overwrites the logits.
    """

    loss: Callable[..., Any]
    value_and_grad: Callable[..., Any]
    own: Callable[..., Any]
    reduction: str
    dtype: Any
    options: dict[str, Any]
    axis: int | None = None
    weights: tuple[str, ...] = ()
    count: int | None = None
    inplace: bool = False
    gradient: Any = field(default=None, init=False)
    scale: float = field(default=1.0, init=False)  # what the gradient is still to be multiplied by

    def value(self, scores: Any, target: Any, *weights: Any) -> Any:
        """The loss, as torch's own function returns it."""
        options = self._operands(scores, weights)
        options["reduction"] = "sum" if self.count else self.reduction
        return self._result(self.loss(operand(target), operand(scores), **options), self.count or 1)

    def value_keeping_gradient(self, scores: Any, target: Any, *weights: Any) -> Any:
        """The loss; its gradient becomes `gradient`."""
        divisor = self._late_divisor(scores, target, weights)
        options = self._operands(scores, weights)
        options["reduction"] = self.reduction if divisor is None else "sum"
        self.gradient = scores.detach() if self.inplace else empty_like(scores.detach())
        options["out"] = operand(self.gradient)
        value, _ = self.value_and_grad(operand(target), operand(scores), **options)
        self.scale = 1 / divisor if divisor else 1.0
        return self._result(value, 1.0 if divisor is None else divisor)

    def scaled_gradient(self, grad_output: Any) -> Any:
        """The gradient times that of the result, in its own memory; it is given away once."""
        grad, self.gradient = self.gradient, None
        if grad_output.ndim:
            return grad.mul_(grad_output if self.axis is None else grad_output.unsqueeze(self.axis))
        scale = grad_output.item() * self.scale
        return grad if scale == 1.0 else grad.mul_(scale)

    def _operands(self, scores: Any, weights: tuple[Any, ...]) -> dict[str, Any]:
        options = {**self.options, "workers": torch.get_num_threads()}
        for name, weight in zip(self.weights, weights, strict=True):
            if weight is not None:
                whole = weight.expand(scores.shape) if name == "sample_weight" else weight
                options[name] = operand(whole)
        return options

    def _result(self, value: Any, divisor: float) -> Any:
        if self.reduction == "none":
            return torch.from_numpy(value).to(self.dtype)
        return torch.tensor(value / divisor if divisor else math.nan, dtype=self.dtype)

    def _late_divisor(self, scores: Any, target: Any, weights: tuple[Any, ...]) -> float | None:
        """What the sum, and in the backward its gradient, is divided by; None: fastxent divides.

        The gradient of a mean would underflow in float16 before a loss scaler could multiply it.
        """
        if self.reduction != "mean" or (self.count is None and scores.dtype is not torch.float16):
            return None
        if self.axis is None or self.count:
            return self.count or target.numel()
        ignored = self.options["ignore_index"]
        kept = target >= 0 if ignored is None else target != ignored
        if weights[0] is None:
            return float(kept.sum())
        return float(weights[0].double()[target[kept].long()].sum())


def operand(tensor: Any) -> Any:
    """The tensor's memory as an array."""
    tensor = tensor.detach()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(bfloat16())
    return tensor.numpy()

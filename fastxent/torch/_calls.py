"""One call of a loss of logits: its options, its value, and its gradient by the logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from fastxent.torch._handover import HALF

#: Elements of half precision whose float32 gradient is made at a time: it stays in the cache.
BLOCK = 1 << 19


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
        scores = scores.detach()
        if scores.dtype in HALF:
            return self._by_blocks(scores, target, weights)
        options = self._operands(scores, weights)
        options["reduction"] = "sum" if self.count else self.reduction
        logits = operand(scores)
        # Else NumPy makes the array: of huge pages, where there are such.
        options["out"] = logits if self.inplace else None
        value, grad = self.value_and_grad(operand(target), logits, **options)
        self.gradient = scores if self.inplace else torch.from_numpy(grad)
        self.scale = 1 / (self.count or 1)
        return self._result(value, self.count or 1)

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
                wide = weight.float() if weight.dtype in HALF else weight
                options[name] = operand(
                    wide.expand(scores.shape) if name == "sample_weight" else wide
                )
        return options

    def _result(self, value: Any, divisor: float) -> Any:
        if self.reduction == "none":
            return torch.from_numpy(value).to(self.dtype)
        return torch.tensor(value / divisor if divisor else math.nan, dtype=self.dtype)

    def _by_blocks(self, scores: Any, target: Any, weights: tuple[Any, ...]) -> Any:
        """The same for half precision, whose gradients are float32 in fastxent.

        Made block by block they need no more memory than the gradient that torch wants. It is
        scaled in the backward: that of a mean would underflow in float16 before a loss scaler
        could multiply it.
        """
        each = self.reduction == "none"
        found = []
        if self.inplace:  # what is bad has to be found before anything is overwritten
            self.value(scores, target, *weights)
        self.gradient = scores if self.inplace else empty_like(scores)
        losses = target.shape if self.axis is None else _without(scores.shape, self.axis)
        values = torch.empty(losses, dtype=self.dtype) if each else None
        buffer = None
        for cut in _cuts(scores.shape, self.axis):
            rows = cut if self.axis is None else _without(cut, self.axis)
            logits, labels = scores[cut], target[cut if target.shape == scores.shape else rows]
            options = self._operands(logits, self._cut_weights(weights, scores.shape, cut))
            options["reduction"] = "none" if each else "sum"
            options["out"] = buffer if buffer is not None and buffer.shape == logits.shape else None
            value, buffer = self.value_and_grad(operand(labels), operand(logits), **options)
            self.gradient[cut] = torch.from_numpy(buffer)
            if values is None:
                found.append(value)
            else:
                values[rows] = torch.from_numpy(value)
        if values is not None:
            self.scale = 1.0
            return values
        divisor = self._divisor(target, weights) if self.reduction == "mean" else 1.0
        self.scale = 1 / divisor if divisor else 1.0
        return self._result(math.fsum(found), divisor)

    def _cut_weights(
        self, weights: tuple[Any, ...], shape: Any, cut: tuple[slice, ...]
    ) -> tuple[Any, ...]:
        return tuple(
            weight if weight is None or name == "class_weight" else weight.expand(shape)[cut]
            for name, weight in zip(self.weights, weights, strict=True)
        )

    def _divisor(self, target: Any, weights: tuple[Any, ...]) -> float:
        """What the mean is divided by: how often a class counts, times its weight."""
        if self.axis is None or self.count:
            return self.count or target.numel()
        ignored = self.options["ignore_index"]
        kept = target >= 0 if ignored is None else target != ignored
        if weights[0] is None:
            return float(kept.sum())
        return float(weights[0].double()[target[kept].long()].sum())


def operand(tensor: Any) -> Any:
    """The tensor's memory, as fastxent takes it."""
    tensor = tensor.detach()
    return tensor if tensor.dtype is torch.bfloat16 else tensor.numpy()


def empty_like(tensor: Any) -> Any:
    """Memory that NumPy asks for: it gets huge pages where torch's allocator does not."""
    bits = np.empty(tensor.shape, np.int16)
    return torch.from_numpy(bits).view(tensor.dtype)


def _without(items: Any, axis: int) -> Any:
    return (*items[:axis], *items[axis + 1 :])


def _cuts(shape: tuple[int, ...], axis: int | None) -> Iterator[tuple[slice, ...]]:
    """Cut across the longest dimension that is not the classes'."""
    sizes = [0 if a == axis else n for a, n in enumerate(shape)]
    along = sizes.index(max(sizes))
    step = max(1, BLOCK * sizes[along] // math.prod(shape))
    for start in range(0, sizes[along], step):
        yield (
            *[slice(None)] * along,
            slice(start, start + step),
            *[slice(None)] * (len(shape) - along - 1),
        )

"""Losses as nodes of torch's graph."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.autograd.function import Function

from fastxent.torch._calls import Call
from fastxent.torch._memory import empty_like


def apply(node: type[Function], *args: Any) -> Any:
    """As ``node.apply``, but for binding default arguments that no node has: half of a small call.

    It does for torch.func what nobody needs here, where its transforms are not active.
    """
    return super(Function, node).apply(*args)


class LogitsLoss(Function):  # type: ignore[misc]
    """A loss whose forward has computed its gradient, which the backward only scales.

    The gradient is made in one pass with the loss, kept apart from the saved tensors, and given away
    at the first backward, so it can be scaled where it lies. Whoever goes backward again, or has
    hooks for the saved tensors (which are there to save memory), gets it computed again. Where the
    backward itself is to be differentiated, torch's own function is.
    """

    @staticmethod
    def forward(call: Call, scores: Any, target: Any, *weights: Any) -> Any:
        """The loss."""
        if has_saved_tensors_hooks() and not call.inplace:
            return call.value(scores, target, *weights)
        return call.value_keeping_gradient(scores, target, *weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        """Keep what a second backward needs."""
        ctx.call, scores, *others = inputs
        if ctx.call.inplace:
            torch.autograd.graph.increment_version(scores)
        else:
            ctx.save_for_backward(scores, *others)

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> tuple[Any, ...]:
        """The gradient by the scores."""
        call, nothing = ctx.call, [None] * (len(ctx.needs_input_grad) - 2)
        if call.inplace and (torch.is_grad_enabled() or call.gradient is None):
            raise RuntimeError(
                "inplace_backward=True has overwritten the logits, so there is no second backward: "
                "pass inplace_backward=False"
            )
        if torch.is_grad_enabled():
            return None, _differentiable(call, ctx.saved_tensors, grad_output), *nothing
        if call.gradient is None:
            call.value_keeping_gradient(*ctx.saved_tensors)
        return None, call.scaled_gradient(grad_output), *nothing


def _differentiable(call: Call, tensors: tuple[Any, ...], grad_output: Any) -> Any:
    loss = call.own(*tensors)
    (grad,) = torch.autograd.grad(loss, tensors[0], grad_output, create_graph=True)
    return grad


AT_REDUCTIONS = ("none", "mean", "sum")  # the order of aten's enumeration


class BinaryCrossEntropy(Function):  # type: ignore[misc]
    """BCE of probabilities; its backward is torch's own operator."""

    @staticmethod
    def forward(call: Call, proba: Any, target: Any, weight: Any) -> Any:
        """The loss."""
        return call.value(proba, target, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        """Keep the inputs."""
        call, *tensors = inputs
        ctx.reduction = AT_REDUCTIONS.index(call.reduction)
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> tuple[Any, ...]:
        """The gradient by the probabilities."""
        backward = torch.ops.aten.binary_cross_entropy_backward
        args = (grad_output, *ctx.saved_tensors, ctx.reduction)
        return None, _written(backward, ctx.saved_tensors[0], args), None, None


class NLL(Function):  # type: ignore[misc]
    """The pick from a table of log-probabilities: torch's own operators, in memory of NumPy's."""

    @staticmethod
    def forward(options: tuple[int, int], scores: Any, target: Any, weight: Any) -> Any:
        """The loss, and the sum of the weights."""
        return _nll(scores, "forward")(scores, target, weight, *options)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep the inputs."""
        ctx.options, *tensors = inputs
        ctx.save_for_backward(*tensors, output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, grad_output: Any, _: Any) -> tuple[Any, ...]:
        """The gradient by the log-probabilities."""
        scores, target, weight, total = ctx.saved_tensors
        args = (grad_output, scores, target, weight, *ctx.options, total)
        return None, _written(_nll(scores, "backward"), scores, args), None, None


class KLDiv(Function):  # type: ignore[misc]
    """KL of log-probabilities; its backward is of torch's operations."""

    @staticmethod
    def forward(call: Call, scores: Any, target: Any) -> Any:
        """The loss."""
        return call.value(scores, target)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        """Keep the target."""
        ctx.count = inputs[0].count or 1
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> tuple[Any, ...]:
        """The gradient by the log-probabilities."""
        (target,) = ctx.saved_tensors
        factor = grad_output / -ctx.count
        if torch.is_grad_enabled():
            return None, target * factor, None
        return None, torch.mul(target, factor, out=empty_like(target)), None


def _nll(scores: Any, direction: str) -> Any:
    kind = "nll_loss" if scores.ndim == 2 else "nll_loss2d"
    return getattr(torch.ops.aten, f"{kind}_{direction}")


def _written(operator: Any, scores: Any, args: tuple[Any, ...]) -> Any:
    """What one of torch's operators gives, unless it is to be differentiated in our own memory."""
    if torch.is_grad_enabled():
        return operator(*args)
    return operator.grad_input(*args, grad_input=empty_like(scores))


class GaussianNLL(Function):  # type: ignore[misc]
    """The Gaussian's negative log-likelihood; its backward is of torch's operations."""

    @staticmethod
    def forward(call: Call, mean: Any, target: Any, var: Any) -> Any:
        """The loss."""
        return call.value(mean, target, var)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        """Keep the inputs."""
        call, *tensors = inputs
        ctx.count = call.count or 1  # that of "mean"
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> tuple[Any, ...]:
        """The gradients by all three."""
        mean, target, var = ctx.saved_tensors
        _, by_mean, by_target, by_var = ctx.needs_input_grad
        if ctx.count != 1:
            grad_output = grad_output / ctx.count
        if torch.is_grad_enabled():
            scaled = (mean - target) / var
        else:
            scaled = torch.sub(mean, target, out=empty_like(mean)).div_(var)
        grad_var = None
        if by_var:
            each = (1 / var - scaled.square()) * (grad_output / 2)
            grad_var = each.sum_to_size(var.shape)
        grad = scaled * grad_output if torch.is_grad_enabled() else scaled.mul_(grad_output)
        return None, grad if by_mean else None, -grad if by_target else None, grad_var


def has_saved_tensors_hooks() -> bool:
    """Whether saved tensors are packed, by activation checkpointing for example.

    torch 2.6 does not say. Its checkpoints then keep the gradient, which is memory, not a wrong result.
    """
    hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return hooks is not None and hooks(True) is not None


LOG_EPS = math.exp(-100)  # where torch's BCE stops the logarithm

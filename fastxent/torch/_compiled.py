"""The losses of logits as operators that torch.compile does not look into.

An operator gives the loss alone, and its backward computes the gradient from the inputs: as a second
result it would be wrong where the backward is differentiated, without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fastxent.torch._handover import HALF, OWN, result_dtype

_DTYPES = (torch.float32, torch.float64, *HALF)


def cross_entropy(
    scores: Any, target: Any, weight: Any, size_average: Any, ignore_index: Any, reduce: Any,
    reduction: Any, label_smoothing: Any,
) -> Any:  # fmt: skip
    """As `functional.cross_entropy`, while torch.compile looks."""
    tensors = (scores, target) if weight is None else (scores, target, weight)
    if (
        not _fits(scores, tensors[1:], size_average, reduce)
        or scores.ndim < 2
        or target.dtype is not torch.int64
        or (weight is not None and weight.dtype is not scores.dtype)
    ):
        return OWN.cross_entropy(
            scores, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing
        )
    options = (weight, ignore_index, reduction, label_smoothing)
    return torch.ops.fastxent.cross_entropy(scores, target, *options)


def binary_cross_entropy_with_logits(
    scores: Any, target: Any, weight: Any, size_average: Any, reduce: Any, reduction: Any,
    pos_weight: Any,
) -> Any:  # fmt: skip
    """As `functional.binary_cross_entropy_with_logits`, while torch.compile looks."""
    others = tuple(t for t in (target, weight, pos_weight) if t is not None)
    if (
        not _fits(scores, others, size_average, reduce)
        or target.shape != scores.shape
        or result_dtype(scores, others) is None
    ):
        return OWN.binary_cross_entropy_with_logits(
            scores, target, weight, size_average, reduce, reduction, pos_weight
        )
    options = (weight, pos_weight, reduction)
    return torch.ops.fastxent.binary_cross_entropy_with_logits(scores, target, *options)


def _fits(scores: Any, others: tuple[Any, ...], *deprecated: Any) -> bool:
    """Whether the operators are for these tensors."""
    tensors = (scores, *others)
    return (
        deprecated == (None, None)
        and scores.dtype in _DTYPES
        and all(t.device.type == "cpu" and t.layout is torch.strided for t in tensors)
        and not any(t.requires_grad for t in others)
        and not (scores.dtype in HALF and torch.is_autocast_enabled("cpu"))
    )


# ---- the operators ---------------------------------------------------------------------------


#: The functions of `functional`, which imports this module and puts them here.
EAGER: dict[str, Callable[..., Any]] = {}


def _cross_entropy(
    scores: Any, target: Any, weight: Any, ignore_index: int, reduction: str, label_smoothing: float
) -> Any:
    return EAGER["cross_entropy"](
        scores, target, weight, ignore_index=ignore_index, reduction=reduction,
        label_smoothing=label_smoothing,
    )  # fmt: skip


def _binary(scores: Any, target: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    return EAGER["binary_cross_entropy_with_logits"](
        scores, target, weight, reduction=reduction, pos_weight=pos_weight
    )


def _gradient(loss: Any, grad_output: Any, scores: Any, *rest: Any) -> Any:
    """The gradient by the scores, below autograd, where an operator's kernel runs."""
    keys = torch._C.DispatchKey
    excluded = torch._C._dispatch_tls_local_exclude_set()
    for key in (keys.AutogradFunctionality, keys.AutogradOther, keys.ADInplaceOrView):
        excluded = excluded.remove(key)
    included = torch._C._dispatch_tls_local_include_set()
    with torch._C._ForceDispatchKeyGuard(included, excluded), torch.enable_grad():
        scores = scores.detach().requires_grad_()
        (grad,) = torch.autograd.grad(loss(scores, *rest), scores, grad_output.detach())
    return grad


def _register(name: str, loss: Any, arguments: str, shape: Any) -> None:
    """A loss, its gradient, what they look like, and how they belong together."""
    forward = torch.library.custom_op(
        f"fastxent::{name}", mutates_args=(), schema=f"(Tensor input, {arguments}) -> Tensor"
    )(loss)
    backward = torch.library.custom_op(
        f"fastxent::{name}_backward",
        mutates_args=(),
        schema=f"(Tensor grad_output, Tensor input, {arguments}) -> Tensor",
    )(lambda *args: _gradient(loss, *args))
    forward.register_fake(shape)
    backward.register_fake(lambda _, scores, *__: torch.empty_like(scores))

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
        tensors = [v for v in inputs if isinstance(v, torch.Tensor)]
        ctx.rest = [None if isinstance(v, torch.Tensor) else (v,) for v in inputs]
        ctx.save_for_backward(*tensors)

    def gradients(ctx: Any, grad_output: Any) -> tuple[Any, ...]:
        tensors = iter(ctx.saved_tensors)
        inputs = [next(tensors) if v is None else v[0] for v in ctx.rest]
        grad = backward(grad_output, *inputs)
        return (grad, *[None] * (len(inputs) - 1))

    forward.register_autograd(gradients, setup_context=setup_context)


def _fake_cross_entropy(
    scores: Any, target: Any, weight: Any, ignore_index: Any, reduction: str, label_smoothing: Any
) -> Any:
    del weight, ignore_index, label_smoothing
    return scores.new_empty(target.shape if reduction == "none" else ())


def _fake_binary(scores: Any, target: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    del target, weight, pos_weight
    return scores.new_empty(scores.shape if reduction == "none" else ())


_register(
    "cross_entropy",
    _cross_entropy,
    "Tensor target, Tensor? weight, int ignore_index, str reduction, float label_smoothing",
    _fake_cross_entropy,
)
_register(
    "binary_cross_entropy_with_logits",
    _binary,
    "Tensor target, Tensor? weight, Tensor? pos_weight, str reduction",
    _fake_binary,
)

"""When torch's own function is called because of sizes, shapes, options or dtypes."""

from __future__ import annotations

from typing import Any

import torch

from fastxent.torch._handover import HALF

#: Elements below which torch's own functions take fewer microseconds: without and with a gradient.
LEAST = {
    "few classes": (1 << 11, 1 << 13),
    "many classes": (1 << 15, 1 << 16),
    "logits": (1 << 13, 1 << 16),
    "probabilities": (1 << 10, 1 << 12),
    "gaussian": (1 << 9, 1 << 9),
    "picks": (1 << 62, 1 << 20),  # without a gradient there is nothing to gain
    "divergences": (1 << 12, 1 << 12),
}
_FEW = 32  # classes

REDUCTIONS = ("mean", "sum", "none")


def too_small(scores: Any, kind: str | None = None) -> str | None:
    """Why torch's own function is the faster one, or None; by the kind in `LEAST`."""
    if torch._C._get_tracing_state() is not None:  # sizes are tensors then
        return "torch.jit.trace is active"
    if type(scores) is not torch.Tensor:
        return None
    if kind is None:
        shape = scores.shape
        many = len(shape) and shape[len(shape) > 1] > _FEW
        kind = "many classes" if many else "few classes"
    if scores.numel() < LEAST[kind][scores.requires_grad]:
        return f"it is faster with {scores.numel()} elements"
    return None


def ignored(target: Any, ignore_index: int) -> int | None:
    """The index to ignore, or None where it is in no target: one pass less over the weights."""
    return None if ignore_index < 0 <= int(target.numpy().min()) else ignore_index


def deprecated(*given: Any) -> str | None:
    return None if given == (None, None) else "size_average and reduce are deprecated"


def option_reason(
    reduction: Any, ignore_index: Any = -100, label_smoothing: Any = 0.0
) -> str | None:
    """Why an option is torch's to judge, or None."""
    if reduction not in REDUCTIONS:
        return f"reduction={reduction!r}"
    if type(ignore_index) is not int or type(label_smoothing) not in (float, int):
        return "an option is not a plain number"
    return None


def shape_reason(
    scores: Any, target: Any, weight: Any, soft: bool, ignore_index: int
) -> str | None:
    """Why shapes and integers are torch's to judge, or None."""
    if weight is not None and weight.shape != scores.shape[1:2]:
        return f"weight has shape {tuple(weight.shape)}"
    if soft:
        return "ignore_index is for class indices" if ignore_index >= 0 else None
    if target.shape != scores.shape[:1] + scores.shape[2:]:
        return f"target has shape {tuple(target.shape)}"
    if target.dtype is torch.int64 or (target.dtype is torch.uint8 and scores.ndim == 2):
        return None
    return f"target has dtype {target.dtype}"


def broadcast_reason(scores: Any, target: Any, weights: list[tuple[str, Any]]) -> str | None:
    """Why shapes are torch's to judge, or None."""
    if target.shape != scores.shape:
        return f"target has shape {tuple(target.shape)}"
    for name, weight in weights:
        fits = zip(reversed(weight.shape), reversed(scores.shape), strict=False)
        if weight.ndim > scores.ndim or any(n not in (1, m) for n, m in fits):
            return f"{name} has shape {tuple(weight.shape)}"
    return None


def gaussian_reason(mean: Any, target: Any, var: Any, full: Any, eps: Any) -> str | None:
    """Why a Gaussian is torch's own, or None."""
    if mean.dtype in HALF or not mean.dtype is target.dtype is var.dtype:
        return "the dtypes are half precision, or differ"
    if target.shape != mean.shape:
        return f"target has shape {tuple(target.shape)}"
    if var.shape not in (mean.shape, mean.shape[:-1], (*mean.shape[:-1], 1)):
        return f"var has shape {tuple(var.shape)}"
    if type(full) is not bool or type(eps) is not float:
        return "an option is not a plain number"
    return None if var.min().item() >= max(eps, 0.0) > 0 else "a variance is below eps"


def pick_reason(scores: Any, target: Any) -> str | None:
    """Why an nll_loss is torch's own, or None."""
    if scores.ndim not in (2, 4) or target.dtype is not torch.int64:
        return f"input has shape {tuple(scores.shape)}, target dtype {target.dtype}"
    return None if scores.requires_grad and torch.is_grad_enabled() else "no gradient is needed"


def divergence_reason(scores: Any, target: Any, reduction: Any, log_target: Any) -> str | None:
    """Why a kl_div is torch's own, or None."""
    if log_target is not False or reduction not in ("mean", "sum", "batchmean"):
        return f"log_target={log_target!r}, reduction={reduction!r}"
    if target.shape != scores.shape or target.dtype is not scores.dtype or scores.dtype in HALF:
        return f"target has shape {tuple(target.shape)} and dtype {target.dtype}"
    contiguous = scores.is_contiguous() and target.is_contiguous()
    return None if contiguous else "an argument is not contiguous"


def poisson_reason(scores: Any, target: Any, log_input: Any, full: Any) -> str | None:
    """Why a poisson_nll_loss is torch's own, or None."""
    if log_input is not True or type(full) is not bool:
        return f"log_input={log_input!r}, full={full!r}"
    if target.dtype is not scores.dtype or (full and scores.dtype in HALF):
        return f"target has dtype {target.dtype}"
    if scores.dtype in HALF and torch.is_autocast_enabled("cpu"):
        return "autocast casts half precision"
    return None

"""When torch's own function is called instead, and the switch that says so."""

from __future__ import annotations

import importlib.util
import logging
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

#: torch's own functions, which stay the same where `patched` puts others in their places.
OWN = SimpleNamespace(**{
    name: getattr(torch.nn.functional, name)
    for name in (
        "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
        "kl_div", "gaussian_nll_loss", "poisson_nll_loss",
    )
})  # fmt: skip

_logger = logging.getLogger("fastxent.torch")
_debug = False

_TYPES = (torch.Tensor, torch.nn.Parameter)  # a subclass may mean something else by an operation
HALF = (torch.bfloat16, torch.float16)
_FLOATS = (torch.float32, torch.float64, *HALF)


def set_debug(enabled: bool = True) -> None:
    """Say when torch's own function is called, and why.

    Each such call is a warning of the logger ``fastxent.torch``.

    Parameters
    ----------
    enabled : bool, default True
        False: say nothing.

    Examples
    --------
    >>> import torch
    >>> import fastxent.torch
    >>> fastxent.torch.set_debug()
    >>> z, y = torch.zeros(2, 3), torch.tensor([0, 2])
    >>> loss = fastxent.torch.cross_entropy(z, y)  # logs "cross_entropy: torch's own, as ..."
    >>> fastxent.torch.set_debug(False)
    """
    global _debug  # noqa: PLW0603
    _debug = bool(enabled)


def note(name: str, reason: str) -> None:
    """Log, where that is wanted, why torch's own function computes."""
    if _debug:
        _logger.warning("%s: torch's own, as %s", name, reason)


def context_reason() -> str | None:
    """Why nothing may bypass torch's dispatcher at the moment, or None."""
    if torch._C._are_functorch_transforms_active():
        return "a transform of torch.func is active"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is active"
    if torch._C._len_torch_dispatch_stack():
        return "a TorchDispatchMode is active"
    if torch._C._len_torch_function_stack() and not all(
        isinstance(mode, DeviceContext) for mode in _get_current_function_mode_stack()
    ):
        return "a TorchFunctionMode is active"
    return None


def tensor_reason(name: str, tensor: Any) -> str | None:
    """Why the memory of this argument cannot be read as it is, or None."""
    if type(tensor) not in _TYPES:
        return f"{name} is a {type(tensor).__name__}"
    if not tensor.is_cpu:
        return f"{name} is on {tensor.device}"
    if tensor.layout is not torch.strided:
        return f"{name} has layout {tensor.layout}"
    return f"{name} is a lazy negation" if tensor.is_neg() else None


def scores_reason(scores: Any) -> str | None:
    """Why fastxent cannot read the scores, or None."""
    reason = tensor_reason("input", scores) or context_reason()
    if reason is None and not (scores.ndim and scores.numel()):
        return "input has no dimension, or no element"
    if reason is None and scores.dtype not in _FLOATS:
        return f"input has dtype {scores.dtype}"
    if reason is None and scores.dtype is torch.bfloat16 and bfloat16() is None:
        return "bfloat16 needs the package ml_dtypes"
    return reason


def constant_reason(name: str, tensor: Any) -> str | None:
    """Why this argument cannot be a constant, or None."""
    reason = tensor_reason(name, tensor)
    if reason is None and tensor.requires_grad and torch.is_grad_enabled():
        return f"{name} requires a gradient"
    return reason


def result_dtype(scores: Any, others: tuple[Any, ...]) -> Any:
    """The dtype of torch's result, or None where operands of several dtypes are torch's to judge."""
    dtypes = {other.dtype for other in others}
    if torch.is_autocast_enabled("cpu") and scores.dtype is not torch.float64:
        # These losses are among those that autocast computes in float32.
        return None if torch.float64 in dtypes else torch.float32
    return scores.dtype if dtypes <= {scores.dtype} else None


@cache
def bfloat16() -> Any:
    """NumPy's dtype of that name, or None where ml_dtypes is absent."""
    if importlib.util.find_spec("ml_dtypes") is None:
        return None
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16)

"""Other libraries' arrays become ndarrays over the same memory, or are refused with a way to do it."""

from __future__ import annotations

from typing import Any

import numpy as np

_CPU = 1  # kDLCPU of dlpack.h


def as_array(value: Any, name: str, *, scalars: bool = False) -> np.ndarray:
    """An ndarray over the same memory, where the value has memory that NumPy can see."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass {name}.data, and where=~{name}.mask")
    try:
        array = np.from_dlpack(value) if _has_dlpack_alone(value) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise type(error)(f"{name} cannot be read as an array: {error}{_advice(value)}") from error
    if not array.ndim and not scalars:
        raise ValueError(
            f"{name} is a scalar ({value!r:.60}): at least one dimension is needed, "
            f"so pass [{name}]"
        )
    return array


def _has_dlpack_alone(value: Any) -> bool:
    """Whether NumPy would take it for an object, or copy it number by number."""
    return hasattr(value, "__dlpack__") and not (
        hasattr(value, "__array__") or hasattr(value, "__array_interface__")
    )


def _advice(value: Any) -> str:
    """What to do about another library's array that NumPy cannot read."""
    steps = ".detach()" if getattr(value, "requires_grad", False) else ""
    device = getattr(getattr(value, "device", None), "type", "cpu")
    if device != "cpu" or (_has_dlpack_alone(value) and value.__dlpack_device__()[0] != _CPU):
        steps += ".cpu()"
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":
        steps += ".view(torch.uint16).numpy().view(ml_dtypes.bfloat16), which copies nothing, or .float()"
    return steps and f"; pass {steps}"


def missing(array: np.ndarray) -> str:
    """What to do about the objects that columns with missing values become."""
    if array.dtype.kind != "O":
        return ""
    return (
        " (if values are missing: drop them, or make them nan and pass nan_policy, or pass where)"
    )

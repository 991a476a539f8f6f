"""Other libraries' arrays become ndarrays over the same memory; errors say how to convert others."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

_CPU = 1  # kDLCPU of dlpack.h


def as_array(value: Any, name: str, *, scalars: bool = False) -> np.ndarray:
    """An ndarray; over the same memory if NumPy can view it."""
    if type(value) is np.ndarray and value.ndim:  # fast path for arrays
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass {name}.data, and where=~{name}.mask")
    try:
        array = np.from_dlpack(value) if _has_dlpack_alone(value) else np.asarray(_bits(value))
    except MemoryError:
        raise
    except Exception as error:  # another library may raise anything
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{name} cannot be read as an array: {error}{_hint(value)}") from error
    if array.dtype.kind == "O" and array.ndim == 2:
        array = _nullable_columns(value, array)
    if not array.ndim and array.dtype.kind not in "biuf":
        raise TypeError(f"{name} is a {type(value).__name__}: pass {_array_of(value, name)}")
    if not array.ndim and not scalars:
        raise ValueError(
            f"{name} is a scalar ({value!r:.60}): at least one dimension is needed, "
            f"so pass [{name}]"
        )
    return array


def _nullable_columns(value: Any, array: np.ndarray) -> np.ndarray:
    """A frame of pandas whose columns are all numbers that may be missing, which become nan."""
    kinds = {getattr(dtype, "kind", "O") for dtype in getattr(value, "dtypes", ())}
    if kinds and kinds <= set("biuf") and hasattr(value, "to_numpy"):
        return np.asarray(value.to_numpy(np.float64, na_value=np.nan))
    return array


def _bits(value: Any) -> Any:
    """A bfloat16 tensor of torch, which NumPy refuses, as ml_dtypes' bfloat16 over the same memory."""
    torch: Any = sys.modules.get("torch")
    dtype = getattr(torch, "bfloat16", None)
    if dtype is None or getattr(value, "dtype", None) is not dtype or value.requires_grad:
        return value  # where a gradient is required, NumPy's error says so
    bits = np.asarray(value.view(torch.int16))
    try:
        import ml_dtypes  # noqa: PLC0415 (nobody else needs it)
    except ImportError:
        raise TypeError("its bfloat16 needs the package ml_dtypes: install it") from None
    return bits.view(ml_dtypes.bfloat16)


def _has_dlpack_alone(value: Any) -> bool:
    """Whether np.asarray would make it one object, or copy it number by number."""
    return hasattr(value, "__dlpack__") and not (
        hasattr(value, "__array__") or hasattr(value, "__array_interface__")
    )


def _array_of(value: Any, name: str) -> str:
    """How to get the numbers out of a value that NumPy takes for one object."""
    if hasattr(value, "toarray"):  # a sparse array
        return f"{name}.toarray()"
    if hasattr(value, "__next__"):
        return f"list({name})"
    return "an array, or a list of numbers"


def _hint(value: Any) -> str:
    """How to convert another library's array that NumPy cannot read."""
    if "Tracer" in type(value).__name__:
        return "; pass numbers: call it outside of jax.jit and jax.grad, or by jax.pure_callback"
    try:
        steps = ".detach()" if getattr(value, "requires_grad", False) else ""
        device = getattr(getattr(value, "device", None), "type", "cpu")
        if device != "cpu" or (_has_dlpack_alone(value) and value.__dlpack_device__()[0] != _CPU):
            steps += ".cpu()"
        dtype = str(getattr(value, "dtype", ""))
    except Exception:  # the value may be broken altogether: the first error is reported
        return ""
    if dtype.startswith("torch.float8"):
        steps += ".float()"
    return steps and f"; pass {steps}"


def missing_values_hint(
    array: np.ndarray,
    remedies: str = "drop them, or make them nan and pass nan_policy, or pass where",
) -> str:
    """What to do about arrays of objects, which columns with missing values become."""
    return f" (if values are missing: {remedies})" if array.dtype.kind == "O" else ""


def strings_hint(array: np.ndarray, name: str) -> str:
    """What to do about labels that are strings, as columns of categories become, too."""
    first = array.flat[0] if array.dtype.kind == "O" and array.size else None
    if array.dtype.kind not in "UST" and not isinstance(first, (str, bytes)):
        return ""
    return (
        f": fastxent.log_loss takes strings, and np.unique({name}, return_inverse=True)[1] gives the "
        f"codes of the sorted ones"
    )

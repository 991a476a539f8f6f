"""Arguments become ndarrays that the kernels can read; errors name the argument.

Elements are not read in Python: the kernels report the first bad one, and `errors` words it.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from fastxent._core.arrays import as_array, missing_values_hint, strings_hint
from fastxent._core.dispatch import NAN_POLICIES
from fastxent._core.errors import ElementError, ErrorKind
from fastxent._core.loss import Loss
from fastxent._core.scalars import UNIT, Interval, as_float, as_index

REDUCTIONS = ("mean", "sum", "none")

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_BOOL = np.dtype(np.bool_)

_FILL = "fill them, or drop those elements"  # the hint where nan_policy does not apply
_AUTO = "auto"
_EPS = Interval(0.0, 0.5, open_upper=True)

#: Machine epsilon by dtype.char: what eps="auto" means. ml_dtypes' bfloat16 has an "E".
_EPSILONS = {"d": 2.0**-52, "f": 2.0**-23, "e": 2.0**-10, "E": 2.0**-7}


# ---- arrays ----------------------------------------------------------------------------------


def is_bfloat16(array: np.ndarray) -> bool:
    """Whether the dtype is ml_dtypes' bfloat16."""
    return array.dtype.kind == "V" and array.dtype.name == "bfloat16"


def as_scores(value: Any, name: str) -> np.ndarray:
    """An array of a float type; integers become float64."""
    array = value if type(value) is np.ndarray and value.ndim else as_array(value, name)
    dtype = array.dtype
    if dtype is _FLOAT32 or dtype is _FLOAT64:
        return array  # fast path for the common dtypes
    if dtype.char in "fde":
        return array
    kind = dtype.kind
    if kind in "iub":
        return array.astype(np.float64)
    if is_bfloat16(array):
        return array
    if array.size == 0 and kind == "O":
        return array.astype(np.float64)
    raise TypeError(
        f"{name} has dtype {array.dtype}: use float16, bfloat16, float32, float64 or integers"
        f"{missing_values_hint(array)}"
    )


def as_labels(value: Any, name: str) -> np.ndarray:
    """An array of booleans, integers or floats."""
    array = value if type(value) is np.ndarray and value.ndim else as_array(value, name)
    dtype = array.dtype
    if dtype is _BOOL or dtype is _FLOAT32:
        return array  # fast path for common dtypes
    if dtype.char in "?bBhHiIlLqQefd" or is_bfloat16(array):
        return array
    hint = strings_hint(array, name) or missing_values_hint(array)
    raise TypeError(f"{name} has dtype {array.dtype}: use booleans, integers or floats{hint}")


def class_axis(scores: np.ndarray, axis: Any, name: str) -> int:
    """The axis of the classes, from 0 on."""
    number = as_index(axis, "axis")
    if not -scores.ndim <= number < scores.ndim:
        raise ValueError(
            f"axis={number} is out of range: {name} of shape {scores.shape} has {scores.ndim} dimensions"
        )
    number %= scores.ndim
    if scores.shape[number] == 0:
        raise ValueError(f"{name} of shape {scores.shape} has no classes along axis={axis}")
    return number


def raise_shapes(loss: Loss, y: np.ndarray, scores: np.ndarray) -> NoReturn:
    """Raise for labels and scores whose shapes differ, in a loss of one number per position."""
    name = loss.scores_name
    hint = "use reshape(-1)"
    if scores.shape == (*y.shape, 2) and loss.formula.scores is UNIT:
        hint = (
            f"pass {name}[..., 1], the probability of label 1"
            if y.ndim != 1
            else (f"pass {name}[:, 1], the probability of label 1")
        )
    elif scores.shape == (*y.shape, 1):
        hint = f"pass {name}.reshape(-1) or {name}[:, 0]" if y.ndim == 1 else f"pass {name}[..., 0]"
    elif y.shape == (*scores.shape, 1):
        hint = f"pass {loss.y_true_name}.reshape({name}.shape)"
    raise ValueError(
        f"{loss.y_true_name} has shape {y.shape} but {name} has shape {scores.shape}: they must be "
        f"equal, nothing is broadcast; {hint}"
    )


def takes_indices(loss: Loss, y: np.ndarray, scores: np.ndarray, axis: int) -> bool:
    """Whether the labels are class indices rather than a distribution per row."""
    if y.shape == scores.shape:
        return False
    if not loss.class_indices:
        raise ValueError(
            f"{loss.y_true_name} has shape {y.shape} but {loss.scores_name} has shape {scores.shape}: "
            f"they must be equal, nothing is broadcast"
        )
    rows = scores.shape[:axis] + scores.shape[axis + 1 :]
    if y.shape != rows:
        raise ValueError(
            f"{loss.y_true_name} has shape {y.shape} but {loss.scores_name} has shape {scores.shape} "
            f"with the classes along axis {axis}: pass class indices of shape {rows}, or a "
            f"distribution of shape {scores.shape}"
        )
    return True


def as_weight(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One weight per loss, or one per leading index of the losses."""
    array = value if type(value) is np.ndarray and value.ndim else as_array(value, name)
    if array.dtype.char not in "fdebBhHiIlLqQ?" and not is_bfloat16(array):
        raise TypeError(
            f"{name} has dtype {array.dtype}: use integers, float16, bfloat16, float32 or float64"
            f"{missing_values_hint(array, _FILL)}"
        )
    if array.shape != shape and array.shape != shape[: array.ndim]:
        raise ValueError(
            f"{name} has shape {array.shape}, but the losses have shape {shape}: give one weight per "
            f"loss, or one per leading index"
        )
    return array


def as_mask(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A boolean array of the losses' shape."""
    array = as_array(value, "where", scalars=True)
    if array.dtype != _BOOL:
        raise TypeError(
            f"where has dtype {array.dtype}: use booleans{missing_values_hint(array, _FILL)}"
        )
    return array if array.shape == shape else _broadcast(array, "where", shape)


def as_scale(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """pos_weight or var, broadcast to the losses' shape.

    One number for all has a kernel of its own. Values decide, not strides: the layout changes no bit.
    """
    array = as_array(value, name, scalars=True)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if (array.dtype.kind != "f" or array.dtype.itemsize > 8) and not is_bfloat16(array):
        raise TypeError(
            f"{name} has dtype {array.dtype}: use integers, float16, bfloat16, float32 or float64"
            f"{missing_values_hint(array, _FILL)}"
        )
    whole = array if array.shape == shape else _broadcast(array, name, shape)
    if array.ndim and _is_one_number(array):
        return np.broadcast_to(array.flat[0], shape)
    return whole


def _is_one_number(array: np.ndarray) -> bool:
    """Whether all elements are equal."""
    if array.size == 0 or array.flat[0] != array.flat[array.size - 1]:
        return False
    return bool(array.min() == array.max())


def _broadcast(array: np.ndarray, name: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{name} has shape {array.shape}, which does not broadcast to the losses' shape {shape}"
        ) from None


def broadcast_leading(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One value per leading index becomes one per loss, without a copy."""
    missing = len(shape) - array.ndim
    return np.broadcast_to(array.reshape(array.shape + (1,) * missing), shape)


def as_class_weight(value: Any, classes: int) -> np.ndarray:
    """One weight per class; classes that a dict does not name have weight 1, as in scikit-learn."""
    if isinstance(value, dict):
        weights = np.ones(classes)
        for key, weight in value.items():
            index = as_index(key, "a key of class_weight")
            if not 0 <= index < classes:
                raise ValueError(
                    f"class_weight names class {index}, but there are {classes} classes"
                )
            weights[index] = as_float(weight, f"class_weight[{index}]")
    else:
        weights = _numbers(value, "class_weight")
    return _one_per_class(weights, "class_weight", classes)


def as_class_alpha(value: Any, classes: int) -> np.ndarray:
    """The factor of each class's term; one number holds for all."""
    alpha = _numbers(value, "alpha")
    return _one_per_class(alpha if alpha.ndim else np.full(classes, alpha), "alpha", classes)


def _numbers(value: Any, name: str) -> np.ndarray:
    array = as_array(value, name, scalars=True)
    if array.dtype.kind not in "iubf" and not is_bfloat16(array):
        raise TypeError(
            f"{name} has dtype {array.dtype}: use numbers{missing_values_hint(array, _FILL)}"
        )
    with np.errstate(invalid="ignore"):  # a signaling NaN, which is reported below
        return np.array(array, np.float64, order="C")  # a copy: `out` may share the memory


def _one_per_class(weights: np.ndarray, name: str, classes: int) -> np.ndarray:
    if weights.shape != (classes,):
        raise ValueError(
            f"{name} has shape {weights.shape}: one weight for each of the {classes} classes is "
            f"needed"
        )
    bad = np.flatnonzero(~((weights >= 0.0) & (weights < np.inf)))
    if bad.size:
        first = int(bad[0])
        raise ElementError(name, (first,), weights[first], ErrorKind.WEIGHT)
    return weights


def as_output(
    out: Any, name: str, shape: tuple[int, ...], dtype: np.dtype, inputs: tuple[Any, ...]
) -> np.ndarray:
    """`out` itself, if the results can be written there."""
    if not isinstance(out, np.ndarray):
        raise TypeError(
            f"{name} is a {type(out).__name__}: pass an ndarray, such as the .numpy() of a tensor"
        )
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"{name} has shape {out.shape} and dtype {out.dtype}: the results have shape {shape} and "
            f"dtype {dtype}"
        )
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only: pass an array that can be written to")
    if out.size and any(_clobbers(out, array) for array in inputs):
        raise ValueError(
            f"{name} overlaps an input, but is not the same array: pass separate memory"
        )
    if _overlaps_itself(out):
        raise ValueError(
            f"{name} has elements that share memory: pass an array without strides of 0"
        )
    return out


def _overlaps_itself(out: np.ndarray) -> bool:
    """Whether two elements may share memory, as in arrays made by `as_strided`."""
    reach = out.itemsize
    for stride, n in sorted((abs(s), n) for s, n in zip(out.strides, out.shape, strict=True)):
        if n > 1 and stride < reach:
            return bool(out.size)
        reach += (n - 1) * stride
    return False


def _clobbers(out: np.ndarray, array: Any) -> bool:
    """Whether writing to `out` would change elements of an input before they are read."""
    if not isinstance(array, np.ndarray) or not np.may_share_memory(out, array):
        return False
    same = (
        out.__array_interface__["data"][0] == array.__array_interface__["data"][0]
        and out.strides == array.strides
        and out.shape == array.shape
        and out.itemsize == array.itemsize
    )
    return not same and np.shares_memory(out, array)


def output_dtype(scores: np.ndarray) -> np.dtype:
    """The scores' dtype; float32 for half precision."""
    return _FLOAT64 if scores.dtype.itemsize == 8 else _FLOAT32


def gradient_dtype(scores: np.ndarray, out: Any) -> np.dtype:
    """The same, or half precision where `out` and the scores have it."""
    own = scores.dtype.newbyteorder("=")
    return own if getattr(out, "dtype", None) == own else output_dtype(scores)


# ---- options ---------------------------------------------------------------------------------


def nan_policy_code(nan_policy: Any) -> int:
    """Its number for the kernels."""
    try:
        return NAN_POLICIES[nan_policy]
    except (KeyError, TypeError):
        raise ValueError(
            f"nan_policy={nan_policy!r} is unknown: use one of {', '.join(map(repr, NAN_POLICIES))}"
        ) from None


def check_reduction(reduction: Any, out: Any) -> None:
    """One of the three; `out` needs "none"."""
    try:
        known = reduction in REDUCTIONS
    except ValueError:  # the elements of an array were compared
        known = False
    if not known:
        raise ValueError(
            f"reduction={reduction!r} is unknown: use one of {', '.join(map(repr, REDUCTIONS))}"
        )
    if out is not None and reduction != "none":
        raise ValueError(f'out is given with reduction={reduction!r}: it needs reduction="none"')


def as_eps(eps: Any, scores: np.ndarray) -> float:
    """The bound that probabilities are clipped to."""
    if eps is _AUTO or (isinstance(eps, str) and eps == _AUTO):
        return _EPSILONS[scores.dtype.char]
    if isinstance(eps, str):
        raise ValueError(f'eps={eps!r} is unknown: use "auto" or a number')
    return _EPS.checked(eps, "eps")


def as_ignore_index(ignore_index: Any, index_labels: bool, labels: np.ndarray) -> int:
    """A label, which need not be one of the classes."""
    if not index_labels:
        raise ValueError(
            f"ignore_index is given, but the labels of shape {labels.shape} are distributions, not "
            f"class indices"
        )
    return as_index(ignore_index, "ignore_index")


def as_workers(workers: Any) -> int:
    """A positive number, or -1 for every CPU."""
    number = as_index(workers, "workers")
    if number < 1 and number != -1:
        raise ValueError(f"workers={number} is neither positive nor -1 (every CPU)")
    return number

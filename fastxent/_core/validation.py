"""What comes in becomes ndarrays that the kernels can read; what cannot is refused here, by name.

Elements are not looked at in Python: the kernels report the first bad one, and `errors` words it.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fastxent._core.arrays import as_array, missing
from fastxent._core.errors import ElementError, ErrorKind
from fastxent._core.loss import NAN_POLICIES, REDUCTIONS, Loss

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_BOOL = np.dtype(np.bool_)

_FILLED = "fill them, or drop those elements"  # what to do where nan_policy is no way

#: Machine epsilon by dtype.char: what eps="auto" means. ml_dtypes' bfloat16 has an "E".
_EPSILONS = {"d": 2.0**-52, "f": 2.0**-23, "e": 2.0**-10, "E": 2.0**-7}


# ---- numbers ---------------------------------------------------------------------------------


def as_index(value: Any, name: str) -> int:
    """A whole number that fits into 64 bits."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r:.60} is no integer: pass one") from None
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name}={number} does not fit into 64 bits")
    return number


def as_float(value: Any, name: str) -> float:
    """A real number."""
    if type(value) is float:
        return value
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError  # float would read it
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}={value!r:.60} is no number: pass one") from None
    except OverflowError:
        raise ValueError(f"{name}={value!r:.60} is too large for a float") from None


def as_flag(value: Any, name: str) -> bool:
    """True or False, and nothing that would be taken for them."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={value!r:.60} is no boolean: pass True or False")
    return bool(value)


# ---- arrays ----------------------------------------------------------------------------------


def is_bfloat16(array: np.ndarray) -> bool:
    """Whether the dtype is ml_dtypes' bfloat16."""
    return array.dtype.kind == "V" and array.dtype.name == "bfloat16"


def as_scores(value: Any, name: str) -> np.ndarray:
    """An array of a float type; integers become float64."""
    array = value if type(value) is np.ndarray and value.ndim else as_array(value, name)
    if array.dtype is _FLOAT32 or array.dtype is _FLOAT64:
        return array  # what comes most is let pass at once
    kind = array.dtype.kind
    if kind == "f" and array.dtype.itemsize <= 8:
        return array
    if kind in "iub":
        return array.astype(np.float64)
    if is_bfloat16(array):
        return array
    if array.size == 0 and array.dtype.kind == "O":
        return array.astype(np.float64)
    raise TypeError(
        f"{name} has dtype {array.dtype}: use float16, bfloat16, float32, float64 or integers"
        f"{missing(array)}"
    )


def as_labels(value: Any, name: str) -> np.ndarray:
    """An array of booleans, integers or floats."""
    array = value if type(value) is np.ndarray and value.ndim else as_array(value, name)
    if array.dtype is _FLOAT32 or array.dtype is _FLOAT64:
        return array
    kind = array.dtype.kind
    if (kind in "iubf" and array.dtype.itemsize <= 8) or is_bfloat16(array):
        return array
    raise TypeError(
        f"{name} has dtype {array.dtype}: use booleans, integers or floats{missing(array)}"
    )


def losses_shape(scores: np.ndarray, axis: int) -> tuple[int, ...]:
    """The shape without the classes."""
    return scores.shape if axis < 0 else scores.shape[:axis] + scores.shape[axis + 1 :]


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


def check_shapes(loss: Loss, y: np.ndarray, scores: np.ndarray) -> None:
    """Truth and scores of a loss of one number per position have one shape."""
    if y.shape != scores.shape:
        raise ValueError(
            f"{loss.truth} has shape {y.shape} but {loss.scores} has shape {scores.shape}: they "
            f"must be equal (nothing is broadcast; use reshape(-1) or [:, 0])"
        )


def takes_indices(loss: Loss, y: np.ndarray, scores: np.ndarray, axis: int) -> bool:
    """Whether the labels are class indices rather than a distribution per row."""
    rows = losses_shape(scores, axis)
    if y.shape == scores.shape:
        return False
    if y.shape != rows:
        raise ValueError(
            f"{loss.truth} has shape {y.shape} but {loss.scores} has shape {scores.shape} with the "
            f"classes along axis {axis}: pass class indices of shape {rows}, or a distribution of "
            f"shape {scores.shape}"
        )
    if y.dtype.kind not in "iub":
        what = f"dtype {y.dtype}" if y.size == 0 else f"dtype {y.dtype} (first: {y.flat[0]!s})"
        raise ValueError(
            f"{loss.truth} of shape {y.shape} holds class indices but has {what}: convert to "
            f"integers (nan to one that ignore_index names), or pass a distribution of shape "
            f"{scores.shape}"
        )
    return True


def as_weight(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One weight per loss, or one per leading index of the losses."""
    array = as_array(value, name)
    if array.dtype.kind not in "iubf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"{name} has dtype {array.dtype}: use integers, float16, float32 or float64"
            f"{missing(array, _FILLED)}"
        )
    if array.shape != shape[: array.ndim]:
        raise ValueError(
            f"{name} has shape {array.shape}, but the losses have shape {shape}: give one weight per "
            f"loss, or one per leading index"
        )
    return array


def as_mask(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A boolean array of the losses' shape."""
    array = as_array(value, "where", scalars=True)
    if array.dtype != _BOOL:
        raise TypeError(f"where has dtype {array.dtype}: use booleans{missing(array, _FILLED)}")
    return array if array.shape == shape else _spread(array, "where", shape)


def as_scale(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """pos_weight or var: numbers that are spread over the losses."""
    array = as_array(value, name, scalars=True)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise TypeError(
            f"{name} has dtype {array.dtype}: use integers, float16, float32 or float64"
            f"{missing(array, _FILLED)}"
        )
    return array if array.shape == shape else _spread(array, name, shape)


def _spread(array: np.ndarray, name: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{name} has shape {array.shape}, which does not broadcast to the losses' shape {shape}"
        ) from None


def as_class_weight(value: Any, classes: int) -> np.ndarray:
    """One weight per class; a dict as scikit-learn's, in which what is missing weighs 1."""
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
    """What the term of each class is multiplied by; one number is that of all."""
    alpha = _numbers(value, "alpha")
    return _one_per_class(alpha if alpha.ndim else np.full(classes, alpha), "alpha", classes)


def _numbers(value: Any, name: str) -> np.ndarray:
    array = as_array(value, name, scalars=True)
    if array.dtype.kind not in "iubf":
        raise TypeError(f"{name} has dtype {array.dtype}: use numbers{missing(array, _FILLED)}")
    with np.errstate(invalid="ignore"):  # of a signaling NaN, which is named below
        return np.array(array, np.float64, order="C")  # a copy: `out` may lie in the same memory


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
    """`out` itself, if the results may be written there."""
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
    if out.size and any(_is_hit(out, array) for array in inputs):
        raise ValueError(f"{name} overlaps an input without being it: pass memory of its own")
    if _overlaps_itself(out):
        raise ValueError(
            f"{name} has elements that share memory: pass an array without strides of 0"
        )
    return out


def _overlaps_itself(out: np.ndarray) -> bool:
    """Whether two elements may lie in the same place, as `as_strided` can make them."""
    reach = out.itemsize
    for stride, n in sorted((abs(s), n) for s, n in zip(out.strides, out.shape, strict=True)):
        if n > 1 and stride < reach:
            return bool(out.size)
        reach += (n - 1) * stride
    return False


def _is_hit(out: np.ndarray, array: Any) -> bool:
    """Whether writing `out` would change elements of an input that are still to be read."""
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


# ---- options ---------------------------------------------------------------------------------


def nan_policy_number(nan_policy: Any) -> int:
    """Its number in NanPolicy of job.pxd."""
    try:
        return NAN_POLICIES.index(nan_policy)
    except ValueError:
        raise ValueError(
            f"nan_policy={nan_policy!r} is unknown: use one of {', '.join(map(repr, NAN_POLICIES))}"
        ) from None


def check_reduction(reduction: Any, out: Any) -> None:
    """One of the three; `out` needs "none"."""
    try:
        known = reduction in REDUCTIONS
    except ValueError:  # an array's elements were compared
        known = False
    if not known:
        raise ValueError(
            f"reduction={reduction!r} is unknown: use one of {', '.join(map(repr, REDUCTIONS))}"
        )
    if out is not None and reduction != "none":
        raise ValueError(f'out is given with reduction={reduction!r}: it needs reduction="none"')


def epsilon(eps: Any, scores: np.ndarray) -> float:
    """The least probability that is told from 0."""
    if isinstance(eps, str):
        if eps != "auto":
            raise ValueError(f'eps={eps!r} is unknown: use "auto" or a number')
        return _EPSILONS[scores.dtype.char]
    value = as_float(eps, "eps")
    if not 0.0 <= value < 0.5:
        raise ValueError(f"eps={value} is not in [0, 0.5)")
    return value


def smoothing(label_smoothing: Any) -> float:
    """A float in [0, 1]."""
    value = as_float(label_smoothing, "label_smoothing")
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"label_smoothing={value} is not in [0, 1]")
    return value


def focusing(gamma: Any) -> float:
    """The exponent of a focal loss: finite, and at least 0."""
    value = as_float(gamma, "gamma")
    if not 0.0 <= value < np.inf:
        raise ValueError(f"gamma={value} is not a finite number of at least 0")
    return value


def binary_alpha(alpha: Any) -> float:
    """The share of label 1, in [0, 1]."""
    value = as_float(alpha, "alpha")
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"alpha={value} is not in [0, 1]: it is for label 1, 1 - alpha for 0")
    return value


def hessian_floor(hess_floor: Any) -> float:
    """The least second derivative: a number, which may be -inf for none."""
    value = as_float(hess_floor, "hess_floor")
    if not value < np.inf:
        raise ValueError(f"hess_floor={value} is not a number below inf")
    return value


def ignored(ignore_index: Any, indices: bool, labels: np.ndarray) -> int:
    """A class index, which need not be one of the classes."""
    if not indices:
        raise ValueError(
            f"ignore_index is given, but the labels of shape {labels.shape} are distributions, not "
            f"class indices"
        )
    return as_index(ignore_index, "ignore_index")


def workers_wanted(workers: Any) -> int:
    """As given: 1, another positive number, or -1 for every CPU."""
    number = as_index(workers, "workers")
    if number < 1 and number != -1:
        raise ValueError(f"workers={number} is neither positive nor -1 (every CPU)")
    return number

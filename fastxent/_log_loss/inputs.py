"""The arguments of ``log_loss`` as arrays: probabilities, labels and their classes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

_IN_CACHE = 1 << 16  # labels that are compared with each class while they are in L2
_FEW = 16  # up to so many classes, comparing with each in turn beats a binary search
_MATRIX = (
    "np.matrix is not supported. Please convert to a numpy array with np.asarray. For more "
    "information see: https://numpy.org/doc/stable/reference/generated/numpy.matrix.html"
)


def as_array(value: Any) -> np.ndarray:
    if isinstance(value, np.matrix):
        raise TypeError(_MATRIX)
    dtype = getattr(value, "dtype", None)
    if getattr(dtype, "kind", "O") in "biuf" and not isinstance(dtype, np.dtype):
        value = value.to_numpy(dtype=np.float64, na_value=np.nan)  # pandas' nullable columns
    return np.asarray(value)


def dtype_read_as(value: Any, array: np.ndarray) -> np.dtype:
    """Return the dtype to which scikit-learn converts scores that NumPy converts to `array`.

    It keeps three dtypes of NumPy arrays and pandas objects. Everything else becomes float64,
    even a torch tensor of float32.
    """
    own = isinstance(getattr(value, "dtype", None), np.dtype) or hasattr(value, "iloc")
    keep = own and array.dtype in (np.float64, np.float32, np.float16)
    return array.dtype if keep else np.dtype(np.float64)


def blocks(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


class Scores:
    """The probabilities, of shape (N,) or (N, K); what they are read as, and their epsilon."""

    def __init__(self, y_proba: Any) -> None:
        array = as_array(y_proba)
        if array.ndim not in (1, 2) or array.dtype.kind in "cmMV":
            raise TypeError(
                f"y_proba of dtype {array.dtype} and {array.ndim} dimensions cannot hold probabilities"
            )
        self.dtype = dtype_read_as(y_proba, array)
        self.eps = float(np.finfo(self.dtype).eps)
        self.array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
        self.classes = 2 if self.array.ndim == 1 else self.array.shape[1]

    def __len__(self) -> int:
        return len(self.array)

    def rows(self, rows: slice) -> np.ndarray:
        return np.asarray(self.array[rows], dtype=self.dtype)

    def sum_to_one(self, deviation: float) -> bool:
        """Say whether rows whose sums are at most so far from one count as normalized."""
        return deviation <= math.sqrt(self.eps) + 1e-8


def is_probability(p: np.ndarray) -> bool:
    """Say whether all of `p` is in [0, 1]."""
    # The bits of nonnegative floats, as integers, sort like the floats; negative numbers and NaNs
    # have larger ones than 1. So one pass is enough, and it is fast in float16.
    bits = np.dtype(f"u{p.itemsize}")
    if p.view(bits).max() <= np.ones((), p.dtype).view(bits):
        return True
    return bool(p.min() >= 0 and p.max() <= 1)  # -0.0 has a sign


def deviation_of(p: np.ndarray) -> float:
    """Return the greatest distance of a row's sum from one; a single column always sums to one."""
    return float(np.abs(p.sum(axis=1) - 1).max()) if p.ndim == 2 else 0.0


def as_labels(y: Any) -> np.ndarray:
    """Return labels as an array, of two dimensions only where there are several columns."""
    array = as_array(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    kind = array.dtype.kind
    if array.ndim not in (1, 2) or array.size == 0 or kind in "cSV":
        raise TypeError(
            f"the labels have dtype {array.dtype} and shape {array.shape}: pass numbers or strings"
        )
    if kind == "O" and not isinstance(array.flat[0], str):
        raise TypeError("the labels are objects other than strings: pass numbers or strings")
    if kind == "U" and is_mixed(y):
        raise ValueError("the labels mix strings and numbers")
    return array


def is_mixed(y: Any) -> bool:
    """Say whether a sequence (an array has but one type) holds strings and other things."""
    return not hasattr(y, "__array__") and not all(isinstance(label, str) for label in y)


def is_integral(values: np.ndarray) -> bool:
    if values.dtype.kind != "f":
        return True
    with np.errstate(invalid="ignore"):
        return bool(np.all(values.astype(np.int64).astype(values.dtype) == values))


def is_indicator(array: np.ndarray) -> bool:
    if array.dtype.kind not in "biuf":
        return False
    seen = distinct(array.reshape(-1), 3)
    return len(seen) < 3 and is_integral(seen)


def distinct(labels: np.ndarray, enough: int | None = None) -> np.ndarray:
    """Return the distinct labels, sorted, looking no further once there are `enough`."""
    seen = labels[:0]
    for rows in blocks(len(labels), 4096):
        block = labels[rows]
        new = block[encode(block, seen) < 0]
        if len(new):
            seen = np.unique(np.concatenate([seen, new]))
            if enough is not None and len(seen) >= enough:
                break
    return seen


def encode(block: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the index of each label in the sorted `classes`, or -1."""
    if len(classes) <= _FEW:
        codes = np.full(len(block), -1, dtype=np.int8)
        for rows in blocks(len(block), _IN_CACHE):
            for code, label in enumerate(classes):
                same = np.asarray(block[rows] == label, dtype=bool).view(np.int8)
                codes[rows] += same if code == 0 else np.multiply(same, code + 1, dtype=np.int8)
        return codes
    indices = np.minimum(np.searchsorted(classes, block), len(classes) - 1)
    indices[classes[indices] != block] = -1
    return indices


def label_order_warning(labels: Any, classes: np.ndarray) -> str:
    return (
        f"Labels passed were {labels}. But this function assumes labels are ordered "
        f"lexicographically. Pass the ordered labels={classes.tolist()} and ensure that the "
        "columns of y_prob correspond to this ordering."
    )


NOT_NORMALIZED = "The y_prob values do not sum to one. Make sure to pass probabilities."

"""scikit-learn's complaints about the arguments of ``log_loss``, in its order and its words.

`check_parameters` goes before every call; the rest runs only after a call has failed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastxent._log_loss.inputs import (
    UNSUMMED,
    Scores,
    as_array,
    blocks,
    distinct,
    dtype_read_as,
    encode,
    is_indicator,
    is_integral,
    is_mixed,
    misordered,
)

_BYTES = (
    "Support for labels represented as bytes is not supported. Convert the labels to a string or "
    "integer format."
)
_RAGGED = (
    "You appear to be using a legacy multi-label data representation. Sequence of sequences are "
    "no longer supported; use a binary array or sparse matrix instead - the MultiLabelBinarizer "
    "transformer can convert to this format."
)


class InvalidParameterError(ValueError, TypeError):
    """An argument of a wrong kind; both a ValueError and a TypeError, as in scikit-learn."""


def check_parameters(**parameters: Any) -> None:
    """Raise where an argument is of a wrong kind altogether."""
    for name, value in parameters.items():
        optional = name in ("sample_weight", "labels")
        if name == "normalize":
            if isinstance(value, (bool, np.bool_)):
                continue
            wanted = "an instance of 'bool' or an instance of 'numpy.bool'"
        elif _is_array_like(value) or (optional and value is None):
            continue
        else:
            wanted = "an array-like or None" if optional else "an array-like"
        raise InvalidParameterError(
            f"The {name!r} parameter of log_loss must be {wanted}. Got {value!r} instead."
        )


def _is_array_like(value: Any) -> bool:
    if np.isscalar(value) or type(value).__module__.startswith("scipy.sparse"):
        return False
    return any(hasattr(value, name) for name in ("__len__", "shape", "__array__"))


def explain(y_true: Any, y_proba: Any, sample_weight: Any, labels: Any) -> None:
    """Raise what scikit-learn would raise."""
    scores = _check_scores(y_proba)
    lengths = [_length(x) for x in (y_proba, y_true, sample_weight) if x is not None]
    if len(set(lengths)) > 1:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {lengths!r}")
    if sample_weight is not None:
        _check_weights(sample_weight, lengths[0])
    classes = _check_labels(y_true, labels)
    if len(classes) == scores.classes:
        return
    if not all(scores.sum_to_one(scores.rows(r)) for r in blocks(lengths[0], 4096)):
        warnings.warn(UNSUMMED, UserWarning, stacklevel=3)
    if labels is None:
        raise ValueError(
            "y_true and y_prob contain different number of classes: "
            f"{len(classes)} vs {scores.classes}. Please provide the true labels explicitly "
            f"through the labels argument. Classes found in y_true: {classes}"
        )
    raise ValueError(
        "The number of classes in labels is different from that in y_prob. "
        f"Classes found in labels: {classes}"
    )


def _check_scores(y_proba: Any) -> Scores:
    array = _as_numbers(y_proba)
    if array.ndim > 2:
        raise ValueError(f"Found array with dim {array.ndim}, while dim <= 2 is required.")
    _check_finite(array)
    if _length(array) == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    if array.ndim == 2 and array.shape[1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    if array.max() > 1:
        raise ValueError(f"y_prob contains values greater than 1: {array.max()}")
    if array.min() < 0:
        raise ValueError(f"y_prob contains values lower than 0: {array.min()}")
    return Scores(y_proba)


def _as_numbers(value: Any) -> np.ndarray:
    array = as_array(value)
    if array.dtype.kind == "c" and hasattr(value, "dtype"):
        raise ValueError(f"Complex data not supported\n{array}\n")
    return np.asarray(value, dtype=dtype_read_as(value, array))


def _check_finite(array: np.ndarray, name: str = "") -> None:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    odd = array[~np.isfinite(array)]
    # In an array without gaps scikit-learn names what comes first, otherwise NaN before infinity.
    if array.flags.forc and array.dtype in (np.float64, np.float32):
        odd = odd[:1]
    what = "NaN" if np.isnan(odd).any() else f"infinity or a value too large for {array.dtype!r}"
    raise ValueError(f"Input {name}contains {what}.")


def _length(value: Any) -> int:
    shape = getattr(value, "shape", None)
    if shape is None:
        return len(value)
    if len(shape) == 0:
        raise TypeError(
            "Input should have at least 1 dimension i.e. satisfy `len(x.shape) > 0`, got scalar "
            f"`{value!r}` instead."
        )
    return int(shape[0])


def _check_weights(sample_weight: Any, n: int) -> None:
    w = as_array(sample_weight)
    if w.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{w}\n")
    if w.ndim > 2:
        raise ValueError(f"Found array with dim {w.ndim}, while dim <= 2 is required.")
    _check_finite(w, "sample_weight ")
    if w.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar, got {w.ndim}D array. Expected either a "
            f"scalar value or a 1D array of length {n}."
        )
    if np.all(w == 0):
        raise ValueError("Sample weights must contain at least one non-zero number.")


def _check_labels(y_true: Any, labels: Any) -> np.ndarray:
    """Return the classes, of which there are two or more."""
    if labels is None:
        classes = _check_target(y_true)
        if len(classes) < 2:
            raise ValueError(
                f"y_true contains only one label ({classes[0]}). Please provide the list of all "
                "expected class labels explicitly through the labels argument."
            )
        return classes
    classes = _check_target(labels)
    if not np.all(classes == np.asarray(labels)):
        warnings.warn(misordered(labels, classes), UserWarning, stacklevel=4)
    array = as_array(y_true)
    if len(classes) and (encode(array.ravel(), classes) < 0).any():
        raise ValueError(
            f"y_true contains values {set(y_true) - set(labels)} not belonging to the passed "
            f"labels {labels}."
        )
    if len(classes) < 2:
        raise ValueError(f"The labels array needs to contain at least two labels, got {classes}.")
    kind = _target_kind(y_true)
    if kind == "indicator":
        raise ValueError("The object was not fitted with multilabel input.")
    if kind == "unknown":
        raise ValueError("The type of target data is not known")
    return classes


def _check_target(y: Any) -> np.ndarray:
    """Return the sorted classes of labels, where that is what `y` holds."""
    kind = _target_kind(y)
    if kind == "multioutput":
        raise ValueError("Multioutput target data is not supported with label binarization")
    if _length(y) == 0:
        raise ValueError(f"y has 0 samples: {y!r}")
    if kind in ("unknown", "continuous"):
        raise ValueError(f"Unknown label type: {(y,)!r}")
    array = as_array(y)
    if kind == "indicator":
        return np.arange(array.shape[1])
    classes = distinct(array.ravel())
    if array.dtype.kind == "U" and is_mixed(y):
        raise ValueError(f"Mix of label input types (string and number); Got {classes}.")
    # Strings kept as objects print as scikit-learn prints them: as an array of strings.
    return np.asarray(classes.tolist()) if classes.dtype == object else classes


def _target_kind(y: Any) -> str:
    if not isinstance(y, Sequence) and not hasattr(y, "__array__"):
        raise ValueError(f"Expected array-like (array or non-string sequence), got {y!r}")
    try:
        array = as_array(y)
    except ValueError:  # sequences of unequal lengths
        raise ValueError(_RAGGED) from None
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{array}\n")
    if array.dtype.kind == "S":
        raise TypeError(_BYTES)
    if array.size == 0 and array.ndim == 1:
        return "classes"
    strange = array.dtype == object and array.size and not isinstance(array.flat[0], str)
    if array.ndim not in (1, 2) or array.size == 0 or strange:
        return "unknown"
    if array.ndim == 2 and array.shape[1] > 1:
        return "indicator" if is_indicator(array) else "multioutput"
    if not is_integral(array):
        _check_finite(array, "y ")
        return "continuous"
    return "classes"

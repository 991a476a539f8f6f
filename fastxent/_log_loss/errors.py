"""Errors of ``log_loss``: scikit-learn's own where it is installed, short ones elsewhere."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np

from fastxent._core.errors import ElementError


class InvalidParameterError(ValueError, TypeError):
    """An argument of a wrong kind; both a ValueError and a TypeError, as in scikit-learn."""


def check_parameters(**parameters: Any) -> None:
    """Raise where an argument is of a wrong kind altogether."""
    for name, value in parameters.items():
        if name == "normalize":
            valid, wanted = isinstance(value, (bool, np.bool_)), "a bool"
        elif name in ("sample_weight", "labels"):
            valid, wanted = value is None or _is_array_like(value), "an array or None"
        else:
            valid, wanted = _is_array_like(value), "an array"
        if not valid:
            raise InvalidParameterError(f"{name} must be {wanted}, got {value!r}")


def _is_array_like(value: Any) -> bool:
    if np.isscalar(value) or type(value).__module__.startswith("scipy.sparse"):
        return False
    return any(hasattr(value, name) for name in ("__len__", "shape", "__array__"))


def raise_sklearn_error(name: str, *args: Any, stacklevel: int, **options: Any) -> None:
    """Raise what the installed scikit-learn raises for these arguments of a metric.

    Return without scikit-learn, or where it accepts them. Its warnings are issued again, at the
    line of our caller. Its RuntimeWarnings are NumPy's about casts, and are not.
    """
    try:
        metric = getattr(importlib.import_module("sklearn.metrics"), name)
    except (ImportError, AttributeError):  # d2_log_loss_score came with version 1.5
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            metric(*args, **options)
            accepted = True
        except Exception as error:
            accepted, raised = False, error
    if accepted:
        return
    for warning in caught:
        if not issubclass(warning.category, RuntimeWarning):
            warnings.warn(str(warning.message), warning.category, stacklevel=stacklevel + 1)
    raise raised


def warn_undefined(message: str, stacklevel: int) -> None:
    """Warn with scikit-learn's category for undefined metrics, which is a UserWarning."""
    try:
        category = importlib.import_module("sklearn.exceptions").UndefinedMetricWarning
    except ImportError:
        category = UserWarning
    warnings.warn(message, category, stacklevel=stacklevel + 1)


def in_whole_array(error: ElementError, first: int) -> ElementError:
    """The error of a block that begins at row `first`, with the index in the whole array."""
    index = (first + error.index[0], *error.index[1:])
    return ElementError(error.argument, index, error.value, error.kind, error.hint)


def raise_not_probability(p: np.ndarray, first: int) -> None:
    """Name the first score that is not in [0, 1]; `first` is the row at which `p` begins."""
    index = tuple(int(i) for i in np.argwhere(~((p >= 0) & (p <= 1)))[0])
    place = ", ".join(map(str, (first + index[0], *index[1:])))
    raise ValueError(f"y_proba[{place}] = {p[index]} is not a probability: it must be in [0, 1]")


def raise_unknown_label(y: np.ndarray, codes: np.ndarray, classes: np.ndarray, first: int) -> None:
    """Name the first label that is none of the classes."""
    row = int(np.argmin(codes))
    raise ValueError(
        f"y_true[{first + row}] = {y[row]!r} is none of the classes {classes.tolist()}: pass all "
        "of them as labels"
    )

"""What the kernels report about the first bad element becomes an ElementError."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

import numpy as np

from fastxent._core.dispatch import ERROR_CODES
from fastxent._core.errors import ElementError, ErrorKind
from fastxent._core.loss import Loss
from fastxent._core.scalars import UNIT

_NAN_SCORE, _BAD_SCORE, _NAN_LABEL, _BAD_LABEL, _BAD_WEIGHT, _BAD_SCALE = (
    ERROR_CODES[name]
    for name in ("NAN_SCORE", "BAD_SCORE", "NAN_LABEL", "BAD_LABEL", "BAD_WEIGHT", "BAD_SCALE")
)


class Gathered(Protocol):
    """What an error needs to know of a call's operands."""

    loss: Loss
    scores: np.ndarray
    labels: np.ndarray
    axis: int
    index_labels: bool
    given: dict[str, Any]

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def classes(self) -> int: ...


def raise_error(operands: Gathered, code: int, position: int, category: int) -> NoReturn:
    """Raise the ElementError for what the kernels found.

    Parameters
    ----------
    operands : Gathered
    code : int
        One of engine.ERROR_CODES.
    position : int
        Which of the losses, in C order.
    category : int
        The class, or -1.
    """
    loss, scores, axis = operands.loss, operands.scores, operands.axis
    index = tuple(int(i) for i in np.unravel_index(position, operands.shape))
    at_class = index if category < 0 else (*index[:axis], category, *index[axis:])
    name, array, kind, hint = loss.scores_name, scores, ErrorKind.NAN, ""
    if code in (_NAN_SCORE, _BAD_SCORE):
        index = at_class
        if code == _BAD_SCORE:
            kind = ErrorKind.OUTSIDE
            if loss.logits_variant:
                hint = f": is it a logit? Then call {loss.logits_variant}"
            elif loss.formula.scores != UNIT:
                kind, hint = ErrorKind.DOMAIN, f" {loss.formula.scores}"
    elif code in (_NAN_LABEL, _BAD_LABEL):
        name, array = loss.y_true_name, operands.labels
        index = index if operands.index_labels else at_class
        if code == _BAD_LABEL:
            kind, hint = _bad_label(operands, array[index])
    elif code == _BAD_WEIGHT:
        name, array, kind = "sample_weight", operands.given["sample_weight"], ErrorKind.WEIGHT
        index = index[: array.ndim]
    elif code == _BAD_SCALE:
        name, array = str(loss.scale), operands.given[str(loss.scale)]
        kind, hint = ErrorKind.SCALE, f" {loss.formula.scale}"
    else:
        raise ElementError(name, index, None, ErrorKind.UNDEFINED_ROW)
    raise ElementError(name, index, array[index], kind, hint)


def _bad_label(operands: Gathered, label: Any) -> tuple[ErrorKind, str]:
    if operands.index_labels:
        classes, name = operands.classes, operands.loss.scores_name
        if label != np.trunc(np.float64(label)):
            return ErrorKind.CLASS_INDEX, (
                f": pass whole numbers from 0 to {classes - 1}, or a distribution per row, in the "
                f"shape of {name}, {operands.scores.shape}"
            )
        return ErrorKind.CLASS_INDEX, (
            f": {name} has {classes} classes, 0 to {classes - 1}; to leave elements out, pass "
            f"ignore_index or where"
        )
    domain = operands.loss.formula.labels
    if domain != UNIT:
        return ErrorKind.DOMAIN, f" {domain}"
    if operands.labels.dtype.kind in "iub":
        return ErrorKind.LABEL, ""
    return ErrorKind.OUTSIDE, ": a label is 0, 1, or a probability between"

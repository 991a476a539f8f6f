"""The first bad element that the kernels found becomes an error: which one, what is wrong, what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from fastxent._kernels import engine

if TYPE_CHECKING:
    from fastxent._core.operands import Operands

_NAN_SCORE, _BAD_SCORE, _NAN_LABEL, _BAD_LABEL, _BAD_WEIGHT, _BAD_SCALE = (
    engine.ERROR_CODES[name]
    for name in ("NAN_SCORE", "BAD_SCORE", "NAN_LABEL", "BAD_LABEL", "BAD_WEIGHT", "BAD_SCALE")
)


class ErrorKind(StrEnum):
    """What is wrong with an element."""

    NAN = "nan"
    OUTSIDE = "outside"
    LABEL = "label"
    CLASS_INDEX = "class_index"
    WEIGHT = "weight"
    SCALE = "scale"
    UNDEFINED_ROW = "undefined_row"


_SENTENCES = {
    ErrorKind.NAN: 'is NaN: fix it, or pass nan_policy="propagate" or "omit", or where=',
    ErrorKind.OUTSIDE: "is outside [0, 1]",
    ErrorKind.LABEL: "is not a valid label: use 0 or 1",
    ErrorKind.CLASS_INDEX: "is not a valid class index",
    ErrorKind.WEIGHT: "is not a finite number of at least 0",
    ErrorKind.SCALE: "is not",  # and the hint names the domain
    ErrorKind.UNDEFINED_ROW: (
        "has no finite maximum (only -inf, or several +inf), so its loss is undefined: pass "
        'nan_policy="propagate" to get nan, or "omit" to leave it out'
    ),
}


class ElementError(ValueError):
    """An element that a loss cannot take. It is a ValueError that also carries data.

    Parameters
    ----------
    argument : str
        The argument that holds the element.
    index : tuple of int
        The index of the element in that argument.
    value : numpy scalar or None
        The element; None for a whole row.
    kind : str
        ``"nan"``, ``"outside"`` (of [0, 1]), ``"label"``, ``"class_index"``, ``"weight"``,
        ``"scale"`` (`pos_weight` or `var`) or ``"undefined_row"``.
    hint : str
        What the message says at its end.

    Examples
    --------
    >>> import fastxent
    >>> try:
    ...     fastxent.binary_cross_entropy([0, 1], [0.5, 1.5])
    ... except fastxent.ElementError as error:
    ...     print(error.argument, error.index, error.value, error.kind)
    y_proba (1,) 1.5 outside
    """

    def __init__(
        self, argument: str, index: tuple[int, ...], value: Any, kind: str, hint: str = ""
    ) -> None:
        self.argument, self.index, self.value = argument, index, value
        self.kind, self.hint = ErrorKind(kind), hint
        super().__init__(sentence(self))

    def __reduce__(self) -> tuple[Any, ...]:
        data = (self.argument, self.index, self.value, str(self.kind), self.hint)
        return type(self), data


def sentence(error: ElementError) -> str:
    """The message of an error."""
    element = f"{error.argument}[{', '.join(map(str, error.index))}]"
    if error.kind not in (ErrorKind.NAN, ErrorKind.UNDEFINED_ROW):
        element += f" = {error.value!s}"
    return f"{element} {_SENTENCES[error.kind]}{error.hint}"


def raise_error(operands: Operands, code: int, position: int, category: int) -> NoReturn:
    """Raise the ElementError for what the kernels found.

    Parameters
    ----------
    operands : Operands
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
            hint = (
                f": is it a logit? Then call {loss.logits_variant}" if loss.logits_variant else ""
            )
    elif code in (_NAN_LABEL, _BAD_LABEL):
        name, array = loss.y_true_name, operands.labels
        index = index if operands.index_labels else at_class
        if code == _BAD_LABEL:
            kind, hint = _bad_label(operands)
    elif code == _BAD_WEIGHT:
        name, array, kind = "sample_weight", operands.given["sample_weight"], ErrorKind.WEIGHT
        index = index[: array.ndim]
    elif code == _BAD_SCALE:
        name, array = str(loss.scale), operands.given[str(loss.scale)]
        kind, hint = ErrorKind.SCALE, f" {loss.formula.scale}"
    else:
        raise ElementError(name, index, None, ErrorKind.UNDEFINED_ROW)
    raise ElementError(name, index, array[index], kind, hint)


def _bad_label(operands: Operands) -> tuple[ErrorKind, str]:
    if operands.index_labels:
        classes = operands.classes
        return ErrorKind.CLASS_INDEX, (
            f": {operands.loss.scores_name} has {classes} classes, 0 to {classes - 1}; to leave "
            f"elements out, pass ignore_index or where"
        )
    if operands.labels.dtype.kind in "iub":
        return ErrorKind.LABEL, ""
    return ErrorKind.OUTSIDE, ": a label is 0, 1, or a probability between"

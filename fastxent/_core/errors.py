"""The first bad element that the kernels found becomes an error: which one, what is wrong, what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NoReturn

import numpy as np

from fastxent._core.loss import Loss

# The numbers of ErrorCode in job.pxd.
_NAN_SCORE, _NAN_LABEL, _BAD_SCORE, _BAD_LABEL, _BAD_WEIGHT, _BAD_SCALE, _UNDEFINED_ROW = range(
    1, 8
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
    ErrorKind.SCALE: "is not a finite number",
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


def raise_error(
    loss: Loss, code: int, position: int, category: int, axis: int, arrays: dict[str, Any]
) -> NoReturn:
    """Raise the ElementError for what the kernels found.

    Parameters
    ----------
    loss : Loss
    code : int
        A member of ErrorCode in job.pxd.
    position : int
        Which of the losses, in C order.
    category : int
        The class, or -1.
    axis : int
        The class axis of the scores, or -1.
    arrays : dict
        "scores", "labels", "weight" and "scale" as the kernels got them.
    """
    scores, labels = arrays["scores"], arrays["labels"]
    shape = scores.shape if axis < 0 else scores.shape[:axis] + scores.shape[axis + 1 :]
    index = tuple(int(i) for i in np.unravel_index(position, shape))
    at_class = index if category < 0 else (*index[:axis], category, *index[axis:])
    if code in (_NAN_SCORE, _BAD_SCORE):
        kind, hint = ErrorKind.NAN, ""
        if code == _BAD_SCORE:
            kind = ErrorKind.OUTSIDE
            hint = f": is it a logit? Then call {loss.sibling}" if loss.sibling else ""
        raise ElementError(loss.scores, at_class, scores[at_class], kind, hint)
    if code in (_NAN_LABEL, _BAD_LABEL):
        at_label = at_class if labels.ndim == scores.ndim else index
        kind, hint = ErrorKind.NAN, ""
        if code == _BAD_LABEL:
            kind, hint = _bad_label(loss, labels, scores, axis)
        raise ElementError(loss.truth, at_label, labels[at_label], kind, hint)
    if code == _BAD_WEIGHT:
        index = index[: arrays["weight"].ndim]
        raise ElementError("sample_weight", index, arrays["weight"][index], ErrorKind.WEIGHT)
    if code == _BAD_SCALE:
        name = loss.scale_name or ""
        hint = " above 0" if name == "var" else " of at least 0"
        raise ElementError(name, index, arrays["scale"][index], ErrorKind.SCALE, hint)
    raise ElementError(loss.scores, index, None, ErrorKind.UNDEFINED_ROW)


def _bad_label(
    loss: Loss, labels: np.ndarray, scores: np.ndarray, axis: int
) -> tuple[ErrorKind, str]:
    if loss.rows and labels.ndim != scores.ndim:
        classes = scores.shape[axis]
        return ErrorKind.CLASS_INDEX, (
            f": {loss.scores} has {classes} classes, 0 to {classes - 1}; to leave elements out, "
            f"pass ignore_index or where"
        )
    if labels.dtype.kind in "iub":
        return ErrorKind.LABEL, ""
    return ErrorKind.OUTSIDE, ": a label is 0, 1, or a probability between"

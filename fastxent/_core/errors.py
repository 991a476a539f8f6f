"""The error for a bad element: which one, what is wrong, what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class ErrorKind(StrEnum):
    """What is wrong with an element."""

    NAN = "nan"
    OUTSIDE = "outside"
    DOMAIN = "domain"
    LABEL = "label"
    CLASS_INDEX = "class_index"
    WEIGHT = "weight"
    SCALE = "scale"
    UNDEFINED_ROW = "undefined_row"


_SENTENCES = {
    ErrorKind.NAN: 'is NaN: fix it, or pass nan_policy="propagate" or "omit", or where=',
    ErrorKind.OUTSIDE: "is outside [0, 1]",
    ErrorKind.DOMAIN: "is not",  # and the hint names the domain
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
        ``"nan"``, ``"outside"`` (of [0, 1]), ``"domain"`` (of the loss), ``"label"``,
        ``"class_index"``, ``"weight"``,
        ``"scale"`` (`pos_weight` or `var`) or ``"undefined_row"``.
    hint : str
        The end of the message.
    place : str
        The part of the data that holds the element, at the beginning of the message: a partition.

    Examples
    --------
    >>> import fastxent
    >>> try:
    ...     fastxent.binary_cross_entropy([0, 1], [0.5, 1.5])
    ... except fastxent.ElementError as error:
    ...     print(error.argument, error.index, error.value, error.kind)
    y_proba (1,) 1.5 outside
    """

    __module__ = "fastxent"  # its public name

    def __init__(
        self,
        argument: str,
        index: tuple[int, ...],
        value: Any,
        kind: str,
        hint: str = "",
        place: str = "",
    ) -> None:
        self.argument, self.index, self.value = argument, index, value
        self.kind, self.hint, self.place = ErrorKind(kind), hint, place
        super().__init__(sentence(self))

    def __reduce__(self) -> tuple[Any, ...]:
        data = (self.argument, self.index, self.value, str(self.kind), self.hint, self.place)
        return type(self), data


def sentence(error: ElementError) -> str:
    """The message of an error."""
    element = f"{error.argument}[{', '.join(map(str, error.index))}]"
    if error.kind not in (ErrorKind.NAN, ErrorKind.UNDEFINED_ROW):
        element += f" = {error.value!s}"
    place = f"{error.place}: " if error.place else ""
    return f"{place}{element} {_SENTENCES[error.kind]}{error.hint}"


def in_place(error: Exception, place: str) -> Exception:
    """The same error, with the part of the data that it is about."""
    if isinstance(error, ElementError):
        data = error.argument, error.index, error.value, error.kind, error.hint
        return ElementError(*data, place)
    return type(error)(f"{place}: {error}")

"""Labels that are names ("yes", "cat") as the numbers that a loss takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

#: Strings that are 0 and 1 without --positive.
_BINARY = {"0": 0, "1": 1, "false": 0, "true": 1}


class LabelError(ValueError):
    """A label that has no number, and its place in the list of names."""

    def __init__(self, place: int, text: str) -> None:
        super().__init__(text)
        self.place = place


class LabelNames:
    """Numbers the labels of all batches alike.

    Parameters
    ----------
    positive : str or None
        The value that counts as 1.
    classes : list of str or None
        The value of each class, in the order of the scores.
    words : tuple of str
        How the two are given, for messages.
    """

    def __init__(
        self,
        positive: str | None,
        classes: list[str] | None,
        words: tuple[str, str] = ("--positive ", "--classes "),
    ) -> None:
        self._positive, self._classes, self._words = positive, classes, words
        self._negative: str | None = None  # the one other value, once it has been seen

    @property
    def given(self) -> bool:
        """Whether an option names the labels, so that numbers are names, too."""
        return self._positive is not None or self._classes is not None

    def numbers(self, names: list[Any], columns: list[str], n_classes: int | None) -> np.ndarray:
        """The number of each name.

        Parameters
        ----------
        names : list
            Distinct labels as the file has them.
        columns : list of str
            The score columns.
        n_classes : int or None
            None for binary labels.

        Raises
        ------
        LabelError
        """
        texts = [label_text(name) for name in names]
        if n_classes is None:
            number = self._binary
        else:
            table = self._table(columns, n_classes)

            def number(i: int, texts: list[str]) -> int:
                if texts[i] in table:
                    return table[texts[i]]
                option = ""
                if not self._classes:
                    option = f"; name them in this order with {self._words[1].strip()}"
                raise LabelError(
                    i, f"{texts[i]!r} is none of the classes {', '.join(table)}{option}"
                )

        return np.array([number(i, texts) for i in range(len(texts))], np.int64)

    def _table(self, columns: list[str], n_classes: int) -> dict[str, int]:
        names = self._classes or columns
        if len(names) != n_classes:
            hint = f"name as many with {self._words[1].strip()}"
            raise LabelError(0, f"{len(names)} names for {n_classes} columns of scores: {hint}")
        return {name: i for i, name in enumerate(names)}

    def _binary(self, i: int, texts: list[str]) -> int:
        text = texts[i]
        if self._classes is not None:
            return self._of_two(i, text)
        if self._positive is None:
            if text.lower() in _BINARY:
                return _BINARY[text.lower()]
            other = next((repr(t) for t in texts if t != text), "others")
            option = self._words[0].strip()
            raise LabelError(
                i, f"labels {text!r} and {other}: name the one that counts as 1 with {option}"
            )
        if text == self._positive:
            return 1
        self._negative = text if self._negative is None else self._negative
        if text != self._negative:
            raise LabelError(i, f"a third label {text!r}, besides {self._both()}")
        return 0

    def _both(self) -> str:
        given = f"{self._words[0]}{self._positive!r}"
        return f"{self._negative!r} and {given}: binary labels have two values"

    def _of_two(self, i: int, text: str) -> int:
        assert self._classes is not None
        if len(self._classes) != 2 or text not in self._classes:
            names = ", ".join(self._classes)
            raise LabelError(i, f"{text!r} is none of two classes, of which {names} are given")
        return self._classes.index(text)

    def merge(self, other: LabelNames) -> None:
        """Add what another one has seen: binary labels have two values everywhere.

        Raises
        ------
        ValueError
        """
        self._negative = other._negative if self._negative is None else self._negative
        if other._negative not in (None, self._negative):
            raise ValueError(f"a third label {other._negative!r}, besides {self._both()}")


def label_names(positive: Any, classes: Iterable[Any] | None) -> LabelNames:
    """Of the arguments of a function.

    Raises
    ------
    ValueError
        If both are given.
    """
    if positive is not None and classes is not None:
        raise ValueError("positive is for binary labels, classes for several: pass one of them")
    return LabelNames(
        None if positive is None else label_text(positive),
        None if classes is None else [label_text(name) for name in classes],
        ("positive=", "classes="),
    )


class CodedLabels(NamedTuple):
    """The labels of a column as codes, and the names that they index; a null is below 0."""

    codes: np.ndarray
    names: list[Any]

    def numbers(
        self, names: LabelNames, columns: list[str], n_classes: int | None, where: Any, omit: bool
    ) -> tuple[np.ndarray, Any]:
        """The labels as numbers, and the mask of those that count.

        Parameters
        ----------
        names : LabelNames
        columns : list of str
            The score columns.
        n_classes : int or None
            None for binary labels.
        where : array_like or None
            What it excludes is not looked at.
        omit : bool
            Whether nulls are left out.

        Raises
        ------
        ValueError
        """
        known = self.codes >= 0
        used = known if where is None else known & np.asarray(where, bool)
        if not known.all():
            null = ~known if where is None else ~known & np.asarray(where, bool)
            if omit:
                where = used
            elif null.any():
                raise ValueError(
                    f"y_true[{int(np.argmax(null))}] is null: fill it in, or pass "
                    f'nan_policy="omit" or where='
                )
        present = np.flatnonzero(np.bincount(self.codes[used], minlength=len(self.names)))
        table = np.zeros(len(self.names) + 1, np.int64)
        try:
            table[present] = names.numbers([self.names[i] for i in present], columns, n_classes)
        except LabelError as error:
            row = np.argmax(used & (self.codes == present[error.place])) if present.size else 0
            raise ValueError(f"y_true[{int(row)}]: {error}") from None
        labels: np.ndarray = table[self.codes]
        return labels, where


def label_text(name: Any) -> str:
    """A label as text: true, 1, yes."""
    if isinstance(name, bool):
        return str(name).lower()
    if isinstance(name, bytes):
        return name.decode(errors="replace")
    return str(int(name)) if isinstance(name, float) and name.is_integer() else str(name)

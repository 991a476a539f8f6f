"""Labels that are names ("yes", "cat") as the numbers that a loss takes."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Strings that are 0 and 1 without --positive.
_BINARY = {"0": 0, "1": 1, "false": 0, "true": 1}


class LabelError(Exception):
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
    """

    def __init__(self, positive: str | None, classes: list[str] | None) -> None:
        self._positive, self._classes = positive, classes
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
                option = "" if self._classes else "; name them in this order with --classes"
                raise LabelError(
                    i, f"{texts[i]!r} is none of the classes {', '.join(table)}{option}"
                )

        return np.array([number(i, texts) for i in range(len(texts))], np.int64)

    def _table(self, columns: list[str], n_classes: int) -> dict[str, int]:
        names = self._classes or columns
        if len(names) != n_classes:
            hint = "name as many with --classes"
            raise LabelError(0, f"{len(names)} names for {n_classes} columns of scores: {hint}")
        return {name: i for i, name in enumerate(names)}

    def _binary(self, i: int, texts: list[str]) -> int:
        text = texts[i]
        if self._positive is None:
            if text.lower() in _BINARY:
                return _BINARY[text.lower()]
            other = next((repr(t) for t in texts if t != text), "others")
            raise LabelError(
                i, f"labels {text!r} and {other}: name the one that counts as 1 with --positive"
            )
        if text == self._positive:
            return 1
        self._negative = text if self._negative is None else self._negative
        if text != self._negative:
            raise LabelError(
                i,
                f"a third label {text!r}, besides {self._negative!r} and --positive "
                f"{self._positive!r}: binary labels have two values",
            )
        return 0


def label_text(name: Any) -> str:
    """A label as text: true, 1, yes."""
    if isinstance(name, bool):
        return str(name).lower()
    if isinstance(name, bytes):
        return name.decode(errors="replace")
    return str(int(name)) if isinstance(name, float) and name.is_integer() else str(name)

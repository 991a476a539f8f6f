"""Errors of the command line: one line each, exit status 2; and text that a terminal may show."""

from __future__ import annotations

#: Characters of a message: some libraries list all that they have tried.
_LONGEST = 500


class InputError(Exception):
    """Input or options that cannot be scored, in one line."""


class FileError(InputError):
    """What is wrong with a file, in one line: where, and what."""

    def __init__(
        self, path: object, text: object, row: int | None = None, column: str | None = None
    ) -> None:
        where = [str(path)]
        if row is not None:
            where.append(f"row {row:,}")
        if column is not None:
            where.append(f"column {column}")
        words = " ".join(str(text).split())
        if len(words) > _LONGEST:
            words = words[: _LONGEST - 1] + "…"
        super().__init__(f"{', '.join(where)}: {words}")


def printable(value: object) -> str:
    """The text of a value, with control characters escaped; None is empty."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

"""Errors of the command line: one line each, exit status 2."""

from __future__ import annotations

from pathlib import Path


class InputError(Exception):
    """Input or options that cannot be scored, in one line."""


class FileError(InputError):
    """What is wrong with a file, in one line: where, and what."""

    def __init__(
        self, path: Path | str, text: object, row: int | None = None, column: str | None = None
    ) -> None:
        where = [str(path)]
        if row is not None:
            where.append(f"row {row:,}")
        if column is not None:
            where.append(f"column {column}")
        super().__init__(f"{', '.join(where)}: {' '.join(str(text).split())}")

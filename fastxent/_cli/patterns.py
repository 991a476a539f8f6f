"""Score columns by pattern: ``--proba 'p_*'``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from fastxent._cli.errors import FileError
from fastxent._cli.sources import Source


def is_pattern(name: str) -> bool:
    """Whether a name may stand for several columns."""
    return any(c in name for c in "*?[")


def matching(
    source: Source, names: Sequence[str], present: list[str], others: set[str]
) -> list[str]:
    """The names, with each pattern replaced by the columns that match, in the order of the file.

    Parameters
    ----------
    source : Source
    names : sequence of str
    present : list of str
        The columns of the file.
    others : set of str
        The columns of other roles, which no pattern matches.

    Raises
    ------
    FileError
        If a pattern matches nothing.
    """
    found: list[str] = []
    for name in names:
        if name in present or not is_pattern(name):
            found.append(name)
            continue
        matches = [p for p in present if p not in others and fnmatchcase(p, name)]
        if not matches:
            close = difflib.get_close_matches(name, present, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            shown = ", ".join(present[:12]) + (", …" if len(present) > 12 else "")
            raise FileError(source, f"no column matches {name!r}: the columns are {shown}{hint}")
        found += matches
    return list(dict.fromkeys(found))

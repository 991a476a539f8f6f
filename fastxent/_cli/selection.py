"""Which columns and rows of a file are read, and in what dialect if it is CSV."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from fastxent._cli.errors import FileError
from fastxent._cli.filters import RowFilter
from fastxent._cli.sources import Source

#: Values in a batch: a few MiB, whatever the number of columns.
_VALUES = 1 << 20
_MAX_ROWS = 1 << 16  # the columns stay in the cache


class CsvDialect(NamedTuple):
    """How a CSV file is written."""

    delimiter: str | None = None  # None: found in the first line
    decimal: str = "."
    header: bool = True
    names: tuple[str, ...] = ()  # of the columns, where there is no header

    def found_in(self, name: str, head: bytes) -> CsvDialect:
        """The dialect with what the name and the first line of a file tell."""
        lines = head[: 1 << 16].decode("utf-8-sig", "replace").splitlines()
        line = next(filter(None, lines), "")
        delimiter = self.delimiter or self._likely_delimiter(name, line)
        if self.header:
            return self._replace(delimiter=delimiter)
        width = len(next(csv.reader([line], delimiter=delimiter), ()))
        return self._replace(delimiter=delimiter, names=tuple(map(str, range(max(1, width)))))

    def _likely_delimiter(self, name: str, line: str) -> str:
        """The delimiter that the first line has most often outside of quotes."""
        if ".tsv" in name.lower():
            return "\t"
        bare = re.sub(r'"[^"]*"', "", line)
        known = [d for d in ",;\t|" if d != self.decimal]
        if not self.header:  # commas may be decimal commas
            known.sort(key=",".__eq__)
            return next((d for d in known if d in bare), ",")
        return max(known, key=bare.count)


class ColumnSelection(NamedTuple):
    """The columns to read, and the rows."""

    names: tuple[str, ...]
    numeric: frozenset[str] = frozenset()  # read as float64 from a text file
    keys: frozenset[str] = frozenset()  # text in a CSV file; may be read as a dictionary
    labels: frozenset[str] = frozenset()  # text in a CSV file if the first block has text
    csv: CsvDialect = CsvDialect()
    only: tuple[RowFilter, ...] = ()

    def among(self, source: Source, present: Sequence[str]) -> ColumnSelection:
        """The selection without the columns that folders give and the file has not.

        Raises
        ------
        FileError
            For the first name that is missing or ambiguous.
        """
        names = tuple(n for n in self.names if n in present or n not in source.keys)
        for name in names:
            if name not in present:
                known = [*present, *source.keys]
                close = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
                raise FileError(source, f"no column {name!r}: the columns are {shown}{hint}")
            if present.count(name) > 1:
                raise FileError(source, f"{present.count(name)} columns are called {name!r}")
        return self._replace(names=names)

    def strings(self, schema: Any) -> list[str]:
        """The columns of strings that may be read as dictionaries."""
        keys = self.keys | self.labels
        return [n for n in self.names if n in keys and _is_string(schema.field(n).type)]

    def rows(self, values: int) -> int:
        """Rows of a batch, given the number of values in a row."""
        return max(64, min(_MAX_ROWS, _VALUES // max(1, values)))

    def width(self, schema: Any) -> int:
        """Values in a row of the selected columns."""
        return sum(_width(schema.field(name).type) for name in self.names)


def _width(kind: Any) -> int:
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    return 256 if pa.types.is_nested(kind) else 1


def _is_string(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))

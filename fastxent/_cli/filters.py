"""``--only COLUMN=VALUE,...``: the rows to read, by the values of a column."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fastxent._cli.errors import FileError, InputError
from fastxent._cli.sources import Source


class RowFilter(NamedTuple):
    """Keeps the rows in which a column has one of these values; an empty value is null, too."""

    column: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.column}={','.join(self.values)}"

    def keeps(self, value: str | None) -> bool:
        """Whether a file is read whose folder has this value."""
        return (value or "") in self.values

    def wanted(self, source: Source, kind: Any) -> Any:
        """The values as an array of the type of the column.

        Raises
        ------
        FileError
            If one of them is no value of this type.
        """
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        values: list[Any] = []
        for text in self.values:
            if text == "":
                values.append(None)
            if text or _is_text(kind):
                values.append(self._value(source, text, kind))
        return pa.array(values, kind)

    def _value(self, source: Source, text: str, kind: Any) -> Any:
        try:
            return pa.scalar(text).cast(kind)
        except pa.ArrowException:
            message = f"--only {self}: {text!r} is not a value of a column of {kind}"
            raise FileError(source, message, column=self.column) from None

    def mask(self, source: Source, column: Any) -> np.ndarray:
        """The rows to keep."""
        if isinstance(column, np.ndarray):
            column = arrow_array(column)
        wanted = self.wanted(source, column.type)
        pc = importlib.import_module("pyarrow.compute")
        if pa.types.is_dictionary(column.type):
            inside = pc.is_in(column.dictionary, wanted)
            found = inside.take(column.indices).fill_null("" in self.values)
        else:
            found = pc.is_in(column, wanted)
        mask: np.ndarray = found.cast(pa.uint8()).to_numpy().view(np.bool_)
        return mask


def arrow_array(values: np.ndarray) -> Any:
    """An array of NumPy as one of Arrow, which has native numbers only."""
    return pa.array(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))


def expression(filters: tuple[RowFilter, ...], source: Source, schema: Any) -> Any:
    """The filters of columns in the file as one expression of pyarrow.dataset, or None."""
    ds = importlib.import_module("pyarrow.dataset")
    whole = None
    for one in filters:
        if one.column in schema.names:
            kind = schema.field(one.column).type
            part = ds.field(one.column).isin(one.wanted(source, kind))
            whole = part if whole is None else whole & part
    return whole


def chosen(sources: list[Source], filters: tuple[RowFilter, ...]) -> list[Source]:
    """The files whose folders no filter excludes.

    Raises
    ------
    InputError
        If there is none.
    """
    found = [
        source
        for source in sources
        if all(f.column not in source.keys or f.keeps(source.keys[f.column]) for f in filters)
    ]
    if not found:
        more = f" and {len(sources) - 1:,} more" if len(sources) > 1 else ""
        raise no_rows(f"{sources[0]}{more}", filters)
    return found


def no_rows(where: str, filters: tuple[RowFilter, ...]) -> InputError:
    """The error that nothing is there to score."""
    return InputError(" with ".join([f"{where}: no rows", *map(str, filters)]))


def _is_text(kind: Any) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )

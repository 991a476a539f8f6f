"""Readers of CSV and JSON lines, plain or compressed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json

from fastxent._cli.chunks import Chunk, columns, slices
from fastxent._cli.errors import FileError
from fastxent._cli.formats import compression, text_head
from fastxent._cli.selection import ColumnSelection, CsvDialect
from fastxent._cli.sources import Source

_BLOCK = 1 << 20
#: Keys and labels: encoded as they are read, by the thread that reads.
_TEXT = pa.dictionary(pa.int32(), pa.string())


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[tuple[Any, Any]]:
    """The text, and the raw stream below it, whose position is how far the file has been read."""
    packed = compression(source)
    with contextlib.ExitStack() as stack:
        raw = text = stack.enter_context(source.stream())
        if packed:
            text = stack.enter_context(pa.CompressedInputStream(raw, packed))
        yield text, raw


def _fraction(raw: Any, source: Source) -> float:
    return min(1.0, raw.tell() / source.size) if source.size else 0.0


# ---- CSV -----------------------------------------------------------------------------------------

#: How pyarrow names a row of a CSV file; its row 1 is the header.
_CSV_ERROR = re.compile(
    r"(?:In CSV column #(\d+): )?(?:CSV parse error: )?Row #(\d+): (.*)", re.DOTALL
)


@contextlib.contextmanager
def _csv_errors(source: Source, dialect: CsvDialect, names: Sequence[str] = ()) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        found = _CSV_ERROR.search(str(error))
        if not found:
            raise
        column, row, text = found.groups()
        name = names[int(column)] if column else None
        if re.search(r"invalid value '-?\d*,\d+'", text):
            text += ": a decimal comma? Then use --decimal ,"
        raise FileError(source, text, int(row) - dialect.header, name) from None


def _csv(
    text: Any, dialect: CsvDialect, types: dict[str, Any], names: Sequence[str] | None = None
) -> Any:
    return pa.csv.open_csv(
        text,
        # One thread: pyarrow names the row of an error only then.
        pa.csv.ReadOptions(block_size=_BLOCK, use_threads=False, column_names=list(dialect.names)),
        pa.csv.ParseOptions(delimiter=dialect.delimiter or ",", newlines_in_values=True),
        pa.csv.ConvertOptions(
            include_columns=names,
            decimal_point=dialect.decimal,
            column_types=types,
            null_values=["", "NA", "N/A", "NULL", "null"],
        ),
    )


def _csv_head(source: Source, selection: ColumnSelection) -> tuple[CsvDialect, Any]:
    """The dialect, and the schema that the first block gives."""
    head = text_head(source, _BLOCK)
    dialect = selection.csv.found_in(source.name, head)
    with _csv_errors(source, dialect), _csv(pa.BufferReader(head), dialect, {}) as file:
        return dialect, file.schema


def csv_names(source: Source, selection: ColumnSelection) -> list[str]:
    """The names of the columns."""
    names: list[str] = _csv_head(source, selection)[1].names
    return names


def read_csv(source: Source, selection: ColumnSelection) -> Iterator[Chunk]:
    """Read a CSV file block by block."""
    if not text_head(source, 1):
        return
    dialect, schema = _csv_head(source, selection)
    selection = selection.among(source, schema.names)
    types = {}
    for name in selection.names:
        kind = schema.field(name).type
        if name in selection.labels and pa.types.is_string(kind):
            types[name] = _TEXT
        elif name in selection.numeric and not pa.types.is_boolean(kind):
            types[name] = pa.float64()
        elif name in selection.keys:  # "01234" is not 1234
            types[name] = _TEXT
    with (
        _opened(source) as (text, raw),
        _csv_errors(source, dialect, schema.names),
        _csv(text, dialect, types, list(selection.names)) as file,
    ):
        for block in file:
            for batch in slices(block, selection):
                yield Chunk(_fraction(raw, source), columns(batch, selection))


# ---- JSON lines ----------------------------------------------------------------------------------

#: How pyarrow names a row of a block of JSON lines; its row 0 is the first.
_JSON_ERROR = re.compile(r"JSON parse error: (?:Column\(/?(.*?)\) )?(.*) in row (\d+)", re.DOTALL)


@contextlib.contextmanager
def _json_errors(source: Source, first: list[int]) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        found = _JSON_ERROR.search(str(error))
        if not found:
            raise
        column, text, row = found.groups()
        if column == "" and "to array" in text:
            text = "an array: JSON lines are read, one object per line"
        raise FileError(source, text, first[0] + int(row) + 1, column or None) from None


def _json(text: Any, schema: Any = None) -> Any:
    return pa.json.open_json(
        text,
        # Several threads, too, give one block after the other: an error is in the next one.
        pa.json.ReadOptions(block_size=_BLOCK),
        pa.json.ParseOptions(
            explicit_schema=schema,
            unexpected_field_behavior="infer" if schema is None else "ignore",
        ),
    )


def _json_schema(source: Source) -> Any:
    with _json_errors(source, [0]), _json(pa.BufferReader(text_head(source, _BLOCK))) as file:
        return file.schema


def json_names(source: Source, selection: ColumnSelection) -> list[str]:  # noqa: ARG001
    """The names of the columns, in the order in which they appear."""
    names: list[str] = _json_schema(source).names
    return names


def read_json(source: Source, selection: ColumnSelection) -> Iterator[Chunk]:
    """Read JSON lines block by block."""
    if not text_head(source, 1):
        return
    schema = _json_schema(source)
    selection = selection.among(source, schema.names)
    fields = {}
    for name in selection.names:
        kind = schema.field(name).type
        if name in selection.numeric | selection.labels and _becomes_float(kind):
            kind = pa.float64()
        elif pa.types.is_timestamp(kind):  # a key that looks like a time stays as it is written
            kind = pa.string()
        fields[name] = kind
    first = [0]
    with (
        _opened(source) as (text, raw),
        _json_errors(source, first),
        _json(text, pa.schema(fields)) as file,
    ):
        for block in file:
            for batch in slices(block, selection):
                yield Chunk(_fraction(raw, source), columns(batch, selection))
            first[0] += block.num_rows


def _becomes_float(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_null(kind))

"""Readers of Parquet, Arrow IPC and ORC."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fastxent._cli.chunks import Chunk, check_codes, checked, columns, slices
from fastxent._cli.filters import expression
from fastxent._cli.selection import ColumnSelection
from fastxent._cli.sources import Source

#: Bytes of the largest dictionary that writers make by default.
_DICTIONARY = 1 << 20
#: Bytes of a Parquet file whose columns are read whole.
_SMALL = 1 << 24
#: Columns that one thread decodes sooner than they are handed out to several.
_FEW = 4

# ---- Parquet -------------------------------------------------------------------------------------


def parquet_names(source: Source, selection: ColumnSelection) -> list[str]:  # noqa: ARG001
    """The names of the columns."""
    with source.open() as file:
        names: list[str] = pq.read_schema(file).names
        return names


def read_parquet(source: Source, selection: ColumnSelection) -> Iterator[Chunk]:
    """Read a Parquet file, a page of each column at a time where it is local.

    `pyarrow.dataset` finds the row groups that --only needs. It does not read them: for 20 million
    rows it took twice as long and 90 MiB more, as it decodes a row group's columns side by side.
    """
    # pyarrow takes the memory that the header of a page asks for, up to 2 GiB if it is damaged. It does
    # not where whole columns are read, as of small files. Pages would be copied from a larger buffer.
    buffer = 0 if source.size <= _SMALL else 1 << 16
    with source.open() as file:
        metadata = pq.read_metadata(file)
        schema = metadata.schema.to_arrow_schema()
        selection = selection.among(source, schema.names)
        rows = selection.rows(selection.width(schema))
        names = list(selection.names)
        probe = pq.ParquetFile(file, metadata=metadata, buffer_size=buffer)
        with pq.ParquetFile(
            file,
            metadata=metadata,
            read_dictionary=_dictionaries(probe, selection.strings(schema)),
            pre_buffer=not source.is_local,  # one request per column; it keeps what it has read
            buffer_size=buffer,
        ) as parquet:
            total = max(1, metadata.num_rows)
            for first, groups in _row_groups(source, metadata, schema, selection):
                row = first
                for batch in parquet.iter_batches(
                    rows, row_groups=groups, columns=names, use_threads=len(names) > _FEW
                ):
                    check_codes(batch)
                    yield Chunk((row + batch.num_rows) / total, columns(batch, selection), row)
                    row += batch.num_rows


def _dictionaries(parquet: Any, strings: list[str]) -> list[str]:
    """The columns that are read as dictionaries: those whose strings repeat.

    Of many different strings a writer gives up its dictionary, and pyarrow would make one, as large
    as a row group. It cannot so read those of deltas.
    """
    metadata, names = parquet.metadata, set(strings)
    places = [j for j in range(metadata.num_columns) if metadata.schema.column(j).path in names]
    n = metadata.num_row_groups if names else 0
    for i in {0, n - 1} if n else ():  # a writer encodes the others like these
        # Reading raises an error for a damaged column. `group.column` ends the process.
        next(parquet.iter_batches(1, [i], strings), None)
        group = metadata.row_group(i)
        for j in places:
            column = group.column(j)
            plain = column.total_uncompressed_size > _DICTIONARY + 4 * column.num_values
            if plain or "DELTA_BYTE_ARRAY" in column.encodings:
                names.discard(column.path_in_schema)
    return sorted(names)


def _row_groups(
    source: Source, metadata: Any, schema: Any, selection: ColumnSelection
) -> Iterator[tuple[int, list[int]]]:
    """The row groups to read at once, with the number of rows before them."""
    n = metadata.num_row_groups
    keep = list(range(n))
    wanted = expression(selection.only, source, schema) if selection.only else None
    if wanted is not None:
        ds = importlib.import_module("pyarrow.dataset")
        fragment = ds.ParquetFileFormat().make_fragment(source.path, source.filesystem)
        keep = [group.id for group in fragment.subset(wanted, schema=schema).row_groups]
    elif source.is_local:
        yield 0, keep
        return
    starts = list(accumulate((metadata.row_group(i).num_rows for i in range(n)), initial=0))
    for i in keep:
        yield starts[i], [i]


# ---- Arrow IPC -----------------------------------------------------------------------------------


def arrow_names(source: Source, selection: ColumnSelection) -> list[str]:  # noqa: ARG001
    """The names of the columns of a file with a footer."""
    with source.open() as file, pa.ipc.open_file(file) as reader:
        names: list[str] = reader.schema.names
        return names


def read_arrow(source: Source, selection: ColumnSelection) -> Iterator[Chunk]:
    """Read a file with a footer (Feather) batch by batch."""
    with source.open() as file:
        selection = selection.among(source, pa.ipc.open_file(file).schema.names)
        options = _include_fields(pa.ipc.open_file(file).schema, selection)
        with pa.ipc.open_file(file, options=options) as reader:
            for i in range(reader.num_record_batches):
                for batch in slices(checked(reader.get_batch(i)), selection):
                    yield Chunk((i + 1) / reader.num_record_batches, columns(batch, selection))


def arrow_stream_names(source: Source, selection: ColumnSelection) -> list[str]:  # noqa: ARG001
    """The names of the columns of a stream."""
    with source.stream() as stream, pa.ipc.open_stream(stream) as reader:
        names: list[str] = reader.schema.names
        return names


def read_arrow_stream(source: Source, selection: ColumnSelection) -> Iterator[Chunk]:
    """Read a stream batch by batch."""
    with source.stream() as stream, pa.ipc.open_stream(stream) as reader:
        selection = selection.among(source, reader.schema.names)
        options = _include_fields(reader.schema, selection)
    with source.stream() as stream, pa.ipc.open_stream(stream, options=options) as reader:
        for whole in reader:
            for batch in slices(checked(whole), selection):
                fraction = stream.tell() / source.size if source.size else 0.0
                yield Chunk(fraction, columns(batch, selection))


def _include_fields(schema: Any, selection: ColumnSelection) -> Any:
    places = sorted(schema.get_field_index(name) for name in selection.names)
    return pa.ipc.IpcReadOptions(included_fields=places)


# ---- ORC -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _orc(source: Source) -> Iterator[Any]:
    with source.open():  # standard input gets its file
        ds = importlib.import_module("pyarrow.dataset")
        yield ds.OrcFileFormat().make_fragment(source.path, source.filesystem)


def orc_names(source: Source, selection: ColumnSelection) -> list[str]:  # noqa: ARG001
    """The names of the columns."""
    with _orc(source) as fragment:
        names: list[str] = fragment.physical_schema.names
        return names


def read_orc(source: Source, selection: ColumnSelection) -> Iterator[Chunk]:
    """Read an ORC file by `pyarrow.dataset`, as `pyarrow.orc` reads whole stripes."""
    with _orc(source) as fragment:
        schema = fragment.physical_schema
        selection = selection.among(source, schema.names)
        rows = selection.rows(selection.width(schema))
        total, row = max(1, fragment.count_rows()), 0
        for batch in fragment.to_batches(
            columns=list(selection.names), batch_size=rows, batch_readahead=1
        ):
            row += batch.num_rows
            yield Chunk(row / total, columns(checked(batch), selection))

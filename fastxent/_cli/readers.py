"""The readers by format. Only the selected columns are read, one batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from fastxent._cli import columnar_readers, numpy_readers, text_readers
from fastxent._cli.chunks import Chunk
from fastxent._cli.selection import ColumnSelection
from fastxent._cli.sources import Source


class Reader(NamedTuple):
    """What a format needs: the names of all columns, and the rows."""

    names: Callable[[Source, ColumnSelection], list[str]]
    read: Callable[[Source, ColumnSelection], Iterator[Chunk]]


READERS = {
    "Parquet": Reader(columnar_readers.parquet_names, columnar_readers.read_parquet),
    "Arrow": Reader(columnar_readers.arrow_names, columnar_readers.read_arrow),
    "Arrow stream": Reader(columnar_readers.arrow_stream_names, columnar_readers.read_arrow_stream),
    "ORC": Reader(columnar_readers.orc_names, columnar_readers.read_orc),
    "CSV": Reader(text_readers.csv_names, text_readers.read_csv),
    "JSON lines": Reader(text_readers.json_names, text_readers.read_json),
    "NumPy": Reader(numpy_readers.npy_names, numpy_readers.read_npy),
    "NPZ": Reader(numpy_readers.npz_names, numpy_readers.read_npz),
}

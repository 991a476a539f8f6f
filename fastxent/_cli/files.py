"""Reads the columns of files batch by batch, with a thread that reads ahead."""

from __future__ import annotations

import contextlib
import queue
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fastxent._cli.chunks import Chunk
from fastxent._cli.errors import FileError
from fastxent._cli.formats import detect
from fastxent._cli.readers import READERS
from fastxent._cli.selection import ColumnSelection
from fastxent._cli.sources import Source


class Batch(NamedTuple):
    """Rows of one file: an Arrow array or an ndarray for each selected column."""

    path: Source
    first: int  # number of rows of the file before this batch
    rows: int
    columns: dict[str, Any]
    fraction: float  # of the file, read up to the end of this batch
    kept: np.ndarray | None = (
        None  # the places of its rows after `first`; None: one after the other
    )

    def row(self, i: int) -> int:
        """The number in the file, from 1, of a row of the batch."""
        return self.first + 1 + int(i if self.kept is None else self.kept[i])


@contextlib.contextmanager
def _errors(source: Source, rows: list[int]) -> Iterator[None]:
    """Make what libraries raise for a bad file a FileError; `rows` is how many were read."""
    try:
        yield
    except (
        OSError,
        EOFError,
        MemoryError,
        UnicodeError,
        pa.ArrowException,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        if isinstance(error, OSError) and error.strerror:
            raise FileError(source, error.strerror.lower()) from None
        after = f" (after row {rows[0]:,})" if rows[0] else ""
        raise FileError(source, f"cannot be read{after}: {error}") from None


def column_names(source: Source, selection: ColumnSelection) -> list[str]:
    """The names of all columns of a file, in its order, then those of its folders.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    with _errors(source, [0]):
        names = READERS[detect(source)].names(source, selection)
    return [*names, *(key for key in source.keys if key not in names)]


def read(source: Source, selection: ColumnSelection) -> Iterator[Batch]:
    """Read a file batch by batch.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    row = [0]
    with _errors(source, row):
        for chunk in READERS[detect(source)].read(source, selection):
            batch = _batch(source, row[0], chunk, selection)
            row[0] = batch.first + batch.rows
            for one in selection.only:
                batch = filtered(batch, one.mask(source, batch.columns[one.column]))
            if batch.rows:
                yield batch


def _batch(source: Source, row: int, chunk: Chunk, selection: ColumnSelection) -> Batch:
    rows = len(next(iter(chunk.columns.values())))
    columns = {
        name: chunk.columns[name] if name in chunk.columns else _constant(source.keys[name], rows)
        for name in selection.names
    }
    return Batch(source, row if chunk.first is None else chunk.first, rows, columns, chunk.fraction)


def _constant(value: str | None, rows: int) -> Any:
    """A column of one value."""
    places = np.zeros(rows, np.int32)
    return pa.DictionaryArray.from_arrays(places, pa.array([value], pa.string()))


def filtered(batch: Batch, mask: np.ndarray) -> Batch:
    """The rows of a batch that a mask keeps."""
    if mask.all():
        return batch
    chosen = np.flatnonzero(mask)
    columns = {
        name: column[chosen] if isinstance(column, np.ndarray) else column.take(pa.array(chosen))
        for name, column in batch.columns.items()
    }
    kept = chosen if batch.kept is None else batch.kept[chosen]
    return batch._replace(columns=columns, rows=len(chosen), kept=kept)


# ---- ahead ---------------------------------------------------------------------------------------


def ahead(batches: Iterator[Batch], depth: int = 2) -> Iterator[Batch]:
    """The same batches, read ahead by another thread."""
    ready: queue.Queue[Any] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: Any) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def run() -> None:
        try:
            for batch in batches:
                put(batch)
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:  # raised in the caller's thread
            put(error)

    thread = threading.Thread(target=run, name="fastxent reader", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join(1.0)

"""Finds the files, and reads their columns batch by batch, with a thread that reads ahead."""

from __future__ import annotations

import contextlib
import glob
import queue
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from fastxent._cli.errors import FileError
from fastxent._cli.readers import READERS, ColumnSelection

ENDINGS = {
    "Parquet": (".parquet", ".pq"),
    "Arrow": (".arrow", ".arrows", ".feather", ".ipc"),
    "CSV": (".csv", ".csv.gz", ".csv.bz2", ".csv.zst", ".tsv", ".tsv.gz", ".txt"),
    "NumPy": (".npy", ".npz"),
}


class Batch(NamedTuple):
    """Rows of one file: an Arrow array or an ndarray for each selected column."""

    path: Path
    first: int  # number of rows of the file before this batch
    rows: int
    columns: dict[str, Any]
    fraction: float  # of the file, read up to the end of this batch


# ---- which files ---------------------------------------------------------------------------------


def expand(names: Iterable[str]) -> list[Path]:
    """Expand directories and patterns to files, each once."""
    found: dict[Path, Path] = {}  # by the resolved path
    for name in names:
        path = Path(name)
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if _is_data(p, path))
            if not files:
                endings = " ".join(e for group in ENDINGS.values() for e in group)
                raise FileError(path, f"no file in this directory ends in one of {endings}")
        elif path.exists():
            files = [path]
        elif glob.has_magic(name):
            matches = glob.glob(name, recursive=True)  # noqa: PTH207 - absolute patterns, too
            files = sorted(p for p in map(Path, matches) if p.is_file())
            if not files:
                raise FileError(path, "no file matches this pattern")
        else:
            raise FileError(path, "no such file or directory")
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _is_data(path: Path, root: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in path.relative_to(root).parts)
    return not hidden and _kind_by_name(path) is not None and path.is_file()


def _kind_by_name(path: Path) -> str | None:
    name = path.name.lower()
    return next((kind for kind, endings in ENDINGS.items() if name.endswith(endings)), None)


def _kind(path: Path) -> str:
    """The format, by the first bytes or else by the name."""
    with path.open("rb") as stream:
        start = stream.read(8)
    if not start:
        raise FileError(path, "the file is empty")
    for kind, magic in (
        ("Parquet", b"PAR1"),
        ("Arrow", b"ARROW1"),
        ("NumPy", b"\x93NUMPY"),
        ("NPZ", b"PK\x03\x04"),
    ):
        if start.startswith(magic):
            return kind
    by_name = _kind_by_name(path)
    if by_name == "Arrow" and not path.name.lower().endswith(".feather"):
        return "Arrow stream"
    if by_name == "CSV":
        return "CSV"
    if by_name:
        raise FileError(path, f"not a {by_name} file (wrong magic bytes)")
    raise FileError(
        path,
        "unrecognised format: expected Parquet, Arrow, NPY, NPZ, or a file named .csv, .tsv or .txt "
        "(or .csv.gz, .csv.bz2, .csv.zst)",
    )


# ---- reading -------------------------------------------------------------------------------------


def read(path: Path, selection: ColumnSelection) -> Iterator[Batch]:
    """Read a file batch by batch.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    row = 0
    try:
        for fraction, columns in READERS[_kind(path)](path, selection):
            rows = len(next(iter(columns.values())))
            yield Batch(path, row, rows, columns, fraction)
            row += rows
    except (OSError, pa.ArrowException, zipfile.BadZipFile, zlib.error, EOFError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise FileError(path, error.strerror.lower()) from None
        after = f" (after row {row:,})" if row else ""
        raise FileError(path, f"cannot be read{after}: {error}") from None


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

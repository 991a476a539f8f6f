"""One reader per format: Parquet, Arrow IPC and CSV through pyarrow, NPY and NPZ.

Only the columns that are asked for are read, and of these only a batch at a time.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from fastxent._cli.errors import InputError

Part = tuple[float, dict[str, Any]]  # how much of the file has been read; the next rows, by column

#: Numbers in a batch: some MiB, whatever the number of columns.
_VALUES = 1 << 20
_MOST_ROWS = 1 << 16  # the columns stay in the cache
_CSV_BLOCK = 1 << 22


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


class Wanted(NamedTuple):
    """The columns to be read."""

    names: tuple[str, ...]
    numbers: frozenset[str] = frozenset()  # those to be read as float64 from a CSV file
    keys: frozenset[str] = frozenset()  # those whose strings may come as places in a dictionary

    def check(self, path: Path, there: Sequence[str]) -> None:
        """Raise for the first name that is not there, or that is there twice."""
        for name in self.names:
            if name not in there:
                close = difflib.get_close_matches(name, there, 1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                shown = ", ".join(there[:12]) + (", …" if len(there) > 12 else "")
                raise FileError(path, f"no column {name!r}: the columns are {shown}{hint}")
            if there.count(name) > 1:
                raise FileError(path, f"{there.count(name)} columns are called {name!r}")

    def rows(self, values: int) -> int:
        """Rows of a batch, where each has so many values."""
        return max(64, min(_MOST_ROWS, _VALUES // max(1, values)))


# ---- Parquet, Arrow, CSV --------------------------------------------------------------------------


#: What pyarrow says of a row of a CSV file; its first row is the header.
_CSV_FAULT = re.compile(
    r"(?:In CSV column #(\d+): )?(?:CSV parse error: )?Row #(\d+): (.*)", re.DOTALL
)


@contextlib.contextmanager
def _csv_faults(path: Path, names: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        found = _CSV_FAULT.search(str(error))
        if not found:
            raise
        column, row, text = found.groups()
        name = names[int(column)] if column else None
        raise FileError(path, text, int(row) - 1, name) from None


def _read_parquet(path: Path, wanted: Wanted) -> Iterator[Part]:
    with contextlib.closing(pa.OSFile(str(path))) as source:
        schema = pa.parquet.read_schema(source)
        wanted.check(path, schema.names)
        source.seek(0)
        width = _width(schema, wanted)
        strings = [k for k in wanted.keys if _is_string(schema.field(k).type)]
        # With a buffer, the pages of a column come one by one, and not the column as a whole.
        with pa.parquet.ParquetFile(
            source,
            read_dictionary=strings,
            buffer_size=max(1 << 14, min(1 << 20, (1 << 24) // len(wanted.names))),
            pre_buffer=False,  # it keeps what it has read
        ) as file:
            total, row = max(1, file.metadata.num_rows), 0
            for batch in file.iter_batches(wanted.rows(width), columns=list(wanted.names)):
                row += batch.num_rows
                yield row / total, _columns(batch, wanted)


def _read_arrow(path: Path, wanted: Wanted) -> Iterator[Part]:
    with pa.OSFile(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
        with pa.ipc.open_file(source, options=_only(schema, path, wanted)) as file:
            for i in range(file.num_record_batches):
                for batch in _cut(file.get_batch(i), wanted):
                    yield (i + 1) / file.num_record_batches, _columns(batch, wanted)


def _read_arrow_stream(path: Path, wanted: Wanted) -> Iterator[Part]:
    size = path.stat().st_size
    with pa.OSFile(str(path)) as source:
        with pa.ipc.open_stream(source) as file:
            options = _only(file.schema, path, wanted)
        source.seek(0)
        with pa.ipc.open_stream(source, options=options) as file:
            for whole in file:
                for batch in _cut(whole, wanted):
                    yield source.tell() / size, _columns(batch, wanted)


def _only(schema: Any, path: Path, wanted: Wanted) -> Any:
    wanted.check(path, schema.names)
    places = sorted(schema.get_field_index(name) for name in wanted.names)
    return pa.ipc.IpcReadOptions(included_fields=places)


def _cut(batch: Any, wanted: Wanted) -> Iterator[Any]:
    rows = wanted.rows(_width(batch.schema, wanted))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _read_csv(path: Path, wanted: Wanted) -> Iterator[Part]:
    types: dict[str, Any] = {}
    with _csv_faults(path, []), _csv(path, types) as (file, _):  # looks at the first block
        wanted.check(path, file.schema.names)
        for field in file.schema:
            if field.name in wanted.numbers and not pa.types.is_boolean(field.type):
                types[field.name] = pa.float64()
        names = file.schema.names
    size = path.stat().st_size
    with _csv_faults(path, names), _csv(path, types, list(wanted.names)) as (file, raw):
        for whole in file:
            for batch in _cut(whole, wanted):
                yield min(1.0, raw.tell() / size), _columns(batch, wanted)


@contextlib.contextmanager
def _csv(
    path: Path, types: dict[str, Any], names: list[str] | None = None
) -> Iterator[tuple[Any, IO[bytes]]]:
    """Open a CSV file; its raw stream says how far it has been read."""
    inside = path.name.lower().rsplit(".", 2)
    delimiter = "\t" if "tsv" in inside[1:] else ","
    packed = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}.get(inside[-1])
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        source: Any = pa.PythonFile(raw, mode="r")
        if packed:
            source = stack.enter_context(pa.CompressedInputStream(source, packed))
        file = pa.csv.open_csv(
            source,
            # One thread: then errors name the row.
            pa.csv.ReadOptions(block_size=_CSV_BLOCK, use_threads=False),
            pa.csv.ParseOptions(delimiter=delimiter),
            pa.csv.ConvertOptions(
                include_columns=names,
                column_types=types,
                null_values=["", "NA", "N/A", "NULL", "null"],
            ),
        )
        stack.enter_context(file)
        yield file, raw


def _width(schema: Any, wanted: Wanted) -> int:
    """Values in a row of the columns that are read."""
    width = 0
    for name in wanted.names:
        kind = schema.field(name).type
        if pa.types.is_fixed_size_list(kind):
            width += kind.list_size
        else:
            width += 256 if pa.types.is_nested(kind) else 1
    return width


def _is_string(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _columns(batch: Any, wanted: Wanted) -> dict[str, Any]:
    return {name: batch.column(batch.schema.get_field_index(name)) for name in wanted.names}


# ---- NumPy's files -------------------------------------------------------------------------------


class _Stored:
    """An array in a stream, row by row.

    Attributes
    ----------
    dtype, shape
        As the header has them.
    """

    def __init__(self, stream: IO[bytes], path: Path, name: str | None) -> None:
        self._stream, self._path, self._name = stream, path, name
        try:
            version = np.lib.format.read_magic(stream)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            self.shape, fortran, self.dtype = header(stream)
        except ValueError as error:
            raise FileError(path, f"cannot be read: {error}", column=name) from None
        if self.dtype.hasobject:
            raise FileError(path, "holds Python objects: store numbers or strings", column=name)
        if not self.shape or len(self.shape) > 2:
            raise FileError(path, f"has shape {self.shape}: use a column, or rows", column=name)
        self._whole = None
        if fortran and len(self.shape) == 2:  # its rows lie apart: it is read as a whole
            self._whole = self._read(self.shape[::-1]).T
        self._at = 0

    @property
    def width(self) -> int:
        """Values in a row."""
        return self.shape[1] if len(self.shape) == 2 else 1

    def rows(self, n: int) -> np.ndarray:
        """The next rows, fewer at the end."""
        n = min(n, self.shape[0] - self._at)
        self._at += n
        if self._whole is not None:
            return self._whole[self._at - n : self._at]
        return self._read((n, *self.shape[1:]))

    def _read(self, shape: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape)) * self.dtype.itemsize
        data = self._stream.read(size)
        if len(data) < size:
            raise FileError(self._path, "the file is cut off: data are missing", column=self._name)
        return np.frombuffer(data, self.dtype).reshape(shape)


def _read_npy(path: Path, wanted: Wanted) -> Iterator[Part]:
    """Columns by name, or by number from 0 on."""
    with path.open("rb") as stream:
        array = _Stored(stream, path, None)
        fields = array.dtype.names
        wanted.check(path, fields or list(map(str, range(array.width))))
        for share, rows in _blocks({"": array}, wanted):
            block = rows[""]
            if not fields and block.ndim == 2:
                block = block.T
            elif not fields:
                block = block[None]
            yield share, {name: block[name if fields else int(name)] for name in wanted.names}


def _read_npz(path: Path, wanted: Wanted) -> Iterator[Part]:
    """The columns are the arrays, which may have two dimensions."""
    with zipfile.ZipFile(path) as archive, contextlib.ExitStack() as stack:
        there = [name.removesuffix(".npy") for name in archive.namelist()]
        wanted.check(path, there)
        arrays = {
            name: _Stored(stack.enter_context(archive.open(f"{name}.npy")), path, name)
            for name in wanted.names
        }
        lengths = {name: array.shape[0] for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name} {n:,}" for name, n in lengths.items())
            raise FileError(path, f"the arrays differ in length: {shown}")
        yield from _blocks(arrays, wanted)


def _blocks(arrays: dict[str, _Stored], wanted: Wanted) -> Iterator[Part]:
    total = min(array.shape[0] for array in arrays.values())
    step = wanted.rows(sum(array.width for array in arrays.values()))
    for start in range(0, total, step):
        share = min(1.0, (start + step) / total)
        yield share, {name: array.rows(step) for name, array in arrays.items()}


READERS: dict[str, Callable[[Path, Wanted], Iterator[Part]]] = {
    "Parquet": _read_parquet,
    "Arrow": _read_arrow,
    "Arrow stream": _read_arrow_stream,
    "CSV": _read_csv,
    "NumPy": _read_npy,
    "NPZ": _read_npz,
}

"""One reader per format: Parquet, Arrow IPC and CSV through pyarrow, NPY and NPZ.

Only the selected columns are read, one batch at a time.
"""

from __future__ import annotations

import contextlib
import csv
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

from fastxent._cli.errors import FileError

Chunk = tuple[float, dict[str, Any]]  # the fraction of the file read so far; columns by name

#: Values in a batch: a few MiB, whatever the number of columns.
_VALUES = 1 << 20
_MAX_ROWS = 1 << 16  # the columns stay in the cache
_CSV_BLOCK = 1 << 22


class CsvDialect(NamedTuple):
    """How a CSV file is written."""

    delimiter: str | None = None  # None: found in the first line
    decimal: str = "."
    header: bool = True
    names: tuple[str, ...] = ()  # of the columns, where there is no header

    def found_in(self, path: Path) -> CsvDialect:
        """The dialect with what the name and the first line of a file tell."""
        line = _first_line(path)
        delimiter = self.delimiter or _delimiter(path, line, self)
        if self.header:
            return self._replace(delimiter=delimiter)
        width = len(next(csv.reader([line], delimiter=delimiter)))
        return self._replace(delimiter=delimiter, names=tuple(map(str, range(max(1, width)))))


class ColumnSelection(NamedTuple):
    """The columns to read."""

    names: tuple[str, ...]
    numeric: frozenset[str] = frozenset()  # read as float64 from a CSV file
    keys: frozenset[str] = frozenset()  # text in a CSV file; may be read as a dictionary
    labels: frozenset[str] = frozenset()  # text in a CSV file if the first block has text

    csv: CsvDialect = CsvDialect()

    def check(self, path: Path, present: Sequence[str]) -> None:
        """Raise for the first name that is missing or ambiguous."""
        for name in self.names:
            if name not in present:
                close = difflib.get_close_matches(name, present, 1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                shown = ", ".join(present[:12]) + (", …" if len(present) > 12 else "")
                raise FileError(path, f"no column {name!r}: the columns are {shown}{hint}")
            if present.count(name) > 1:
                raise FileError(path, f"{present.count(name)} columns are called {name!r}")

    def rows(self, values: int) -> int:
        """Rows of a batch, given the number of values in a row."""
        return max(64, min(_MAX_ROWS, _VALUES // max(1, values)))


# ---- Parquet, Arrow, CSV --------------------------------------------------------------------------


#: How pyarrow names a row of a CSV file; its row 1 is the header.
_CSV_ERROR = re.compile(
    r"(?:In CSV column #(\d+): )?(?:CSV parse error: )?Row #(\d+): (.*)", re.DOTALL
)


@contextlib.contextmanager
def _csv_errors(path: Path, dialect: CsvDialect, names: Sequence[str] = ()) -> Iterator[None]:
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
        raise FileError(path, text, int(row) - dialect.header, name) from None


def _read_parquet(path: Path, selection: ColumnSelection) -> Iterator[Chunk]:
    with contextlib.closing(pa.OSFile(str(path))) as source:
        schema = pa.parquet.read_schema(source)
        selection.check(path, schema.names)
        source.seek(0)
        width = _width(schema, selection)
        strings = [k for k in selection.keys | selection.labels if _is_string(schema.field(k).type)]
        # With a buffer, a column is read page by page instead of as a whole.
        with pa.parquet.ParquetFile(
            source,
            read_dictionary=strings,
            buffer_size=max(1 << 14, min(1 << 20, (1 << 24) // len(selection.names))),
            pre_buffer=False,  # it would keep what it has read
        ) as file:
            total, row = max(1, file.metadata.num_rows), 0
            for batch in file.iter_batches(selection.rows(width), columns=list(selection.names)):
                row += batch.num_rows
                yield row / total, _columns(batch, selection)


def _read_arrow(path: Path, selection: ColumnSelection) -> Iterator[Chunk]:
    with pa.OSFile(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
        with pa.ipc.open_file(source, options=_include_fields(schema, path, selection)) as file:
            for i in range(file.num_record_batches):
                for batch in _slices(file.get_batch(i), selection):
                    yield (i + 1) / file.num_record_batches, _columns(batch, selection)


def _read_arrow_stream(path: Path, selection: ColumnSelection) -> Iterator[Chunk]:
    size = path.stat().st_size
    with pa.OSFile(str(path)) as source:
        with pa.ipc.open_stream(source) as file:
            options = _include_fields(file.schema, path, selection)
        source.seek(0)
        with pa.ipc.open_stream(source, options=options) as file:
            for whole in file:
                for batch in _slices(whole, selection):
                    yield source.tell() / size, _columns(batch, selection)


def _include_fields(schema: Any, path: Path, selection: ColumnSelection) -> Any:
    selection.check(path, schema.names)
    places = sorted(schema.get_field_index(name) for name in selection.names)
    return pa.ipc.IpcReadOptions(included_fields=places)


def _slices(batch: Any, selection: ColumnSelection) -> Iterator[Any]:
    rows = selection.rows(_width(batch.schema, selection))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _read_csv(path: Path, selection: ColumnSelection) -> Iterator[Chunk]:
    types: dict[str, Any] = {}
    dialect = selection.csv.found_in(path)
    with _csv_errors(path, dialect), _csv(path, dialect, types) as (file, _):
        # The first block gives the types.
        selection.check(path, file.schema.names)
        for field in file.schema:
            if field.name in selection.labels and pa.types.is_string(field.type):
                types[field.name] = pa.string()
            elif field.name in selection.numeric and not pa.types.is_boolean(field.type):
                types[field.name] = pa.float64()
            elif field.name in selection.keys:  # "01234" is not 1234
                types[field.name] = pa.string()
        names = file.schema.names
    size = path.stat().st_size
    with (
        _csv_errors(path, dialect, names),
        _csv(path, dialect, types, list(selection.names)) as (file, raw),
    ):
        for whole in file:
            for batch in _slices(whole, selection):
                yield min(1.0, raw.tell() / size), _columns(batch, selection)


def _compression(path: Path) -> str | None:
    return {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}.get(path.suffix.lower())


def _first_line(path: Path) -> str:
    with contextlib.ExitStack() as stack:
        source: Any = stack.enter_context(pa.OSFile(str(path)))
        packed = _compression(path)
        if packed:
            source = stack.enter_context(pa.CompressedInputStream(source, packed))
        lines = bytes(source.read(1 << 16)).decode("utf-8-sig", "replace").splitlines()
    return next(filter(None, lines), "")


def _delimiter(path: Path, line: str, dialect: CsvDialect) -> str:
    """The delimiter that the first line has most often outside of quotes."""
    if ".tsv" in path.name.lower():
        return "\t"
    bare = re.sub(r'"[^"]*"', "", line)
    known = [d for d in ",;\t|" if d != dialect.decimal]
    if not dialect.header:  # commas may be decimal commas
        known.sort(key=",".__eq__)
        return next((d for d in known if d in bare), ",")
    return max(known, key=bare.count)


@contextlib.contextmanager
def _csv(
    path: Path, dialect: CsvDialect, types: dict[str, Any], names: list[str] | None = None
) -> Iterator[tuple[Any, IO[bytes]]]:
    """Open a CSV file; the position of its raw stream is how far it has been read."""
    packed = _compression(path)
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        source: Any = pa.PythonFile(raw, mode="r")
        if packed:
            source = stack.enter_context(pa.CompressedInputStream(source, packed))
        file = pa.csv.open_csv(
            source,
            # One thread: pyarrow names the row of an error only then.
            pa.csv.ReadOptions(
                block_size=_CSV_BLOCK, use_threads=False, column_names=list(dialect.names)
            ),
            pa.csv.ParseOptions(delimiter=dialect.delimiter or ","),
            pa.csv.ConvertOptions(
                include_columns=names,
                decimal_point=dialect.decimal,
                column_types=types,
                null_values=["", "NA", "N/A", "NULL", "null"],
            ),
        )
        stack.enter_context(file)
        yield file, raw


def _width(schema: Any, selection: ColumnSelection) -> int:
    """Values in a row of the selected columns."""
    width = 0
    for name in selection.names:
        kind = schema.field(name).type
        if pa.types.is_fixed_size_list(kind):
            width += kind.list_size
        else:
            width += 256 if pa.types.is_nested(kind) else 1
    return width


def _is_string(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _columns(batch: Any, selection: ColumnSelection) -> dict[str, Any]:
    return {name: batch.column(batch.schema.get_field_index(name)) for name in selection.names}


# ---- NumPy's files -------------------------------------------------------------------------------


class _NpyStream:
    """An array in a stream, row by row.

    Attributes
    ----------
    dtype, shape
        From the header.
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
        if fortran and len(self.shape) == 2:  # its rows are not contiguous: read it as a whole
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


def _read_npy(path: Path, selection: ColumnSelection) -> Iterator[Chunk]:
    """Columns by name, or by number from 0."""
    with path.open("rb") as stream:
        array = _NpyStream(stream, path, None)
        fields = array.dtype.names
        selection.check(path, fields or list(map(str, range(array.width))))
        for fraction, rows in _row_blocks({"": array}, selection):
            block = rows[""]
            if not fields and block.ndim == 2:
                block = block.T
            elif not fields:
                block = block[None]
            yield fraction, {name: block[name if fields else int(name)] for name in selection.names}


def _read_npz(path: Path, selection: ColumnSelection) -> Iterator[Chunk]:
    """The columns are the arrays, which may have two dimensions."""
    with zipfile.ZipFile(path) as archive, contextlib.ExitStack() as stack:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        selection.check(path, names)
        arrays = {
            name: _NpyStream(stack.enter_context(archive.open(f"{name}.npy")), path, name)
            for name in selection.names
        }
        lengths = {name: array.shape[0] for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name} {n:,}" for name, n in lengths.items())
            raise FileError(path, f"the arrays differ in length: {shown}")
        yield from _row_blocks(arrays, selection)


def _row_blocks(arrays: dict[str, _NpyStream], selection: ColumnSelection) -> Iterator[Chunk]:
    total = min(array.shape[0] for array in arrays.values())
    step = selection.rows(sum(array.width for array in arrays.values()))
    for start in range(0, total, step):
        fraction = min(1.0, (start + step) / total)
        yield fraction, {name: array.rows(step) for name, array in arrays.items()}


READERS: dict[str, Callable[[Path, ColumnSelection], Iterator[Chunk]]] = {
    "Parquet": _read_parquet,
    "Arrow": _read_arrow,
    "Arrow stream": _read_arrow_stream,
    "CSV": _read_csv,
    "NumPy": _read_npy,
    "NPZ": _read_npz,
}

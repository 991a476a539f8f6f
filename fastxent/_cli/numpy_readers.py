"""Readers of NPY and NPZ."""

from __future__ import annotations

import contextlib
import lzma
import math
import struct
import tokenize
import zipfile
from collections.abc import Iterator
from typing import IO, NoReturn

import numpy as np

from fastxent._cli.chunks import Chunk
from fastxent._cli.errors import FileError
from fastxent._cli.selection import ColumnSelection
from fastxent._cli.sources import Source

#: What NumPy's parser of headers raises besides ValueError.
_HEADER_ERRORS = (
    *(ValueError, SyntaxError, TypeError, KeyError, IndexError, OverflowError, MemoryError),
    *(RecursionError, tokenize.TokenError),
)
#: What zipfile raises besides BadZipFile: RuntimeError where a password is needed.
_ZIP_ERRORS = (
    NotImplementedError,
    RuntimeError,
    ValueError,
    KeyError,
    struct.error,
    lzma.LZMAError,
)


@contextlib.contextmanager
def _zip_errors(source: Source) -> Iterator[None]:
    try:
        yield
    except _ZIP_ERRORS as error:
        raise FileError(source, f"cannot be read: {error}") from None


class _NpyStream:
    """An array in a stream, row by row.

    Attributes
    ----------
    dtype, shape
        From the header.
    """

    def __init__(self, stream: IO[bytes], size: int, source: Source, name: str | None) -> None:
        self._stream, self._source, self._name = stream, source, name
        try:
            version = np.lib.format.read_magic(stream)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            self.shape, fortran, self.dtype = header(stream)
        except _HEADER_ERRORS as error:
            raise FileError(source, f"cannot be read: {error}", column=name) from None
        if self.dtype.hasobject:
            raise FileError(source, "holds Python objects: store numbers or strings", column=name)
        if not self.shape or len(self.shape) > 2 or min(self.shape) < 0:
            raise FileError(source, f"has shape {self.shape}: use a column, or rows", column=name)
        if math.prod(self.shape) * self.dtype.itemsize > size - stream.tell():
            self._fail_cut_off()
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
        size = math.prod(shape) * self.dtype.itemsize
        data = self._stream.read(size)
        if len(data) < size:
            self._fail_cut_off()
        return (
            np.frombuffer(data, self.dtype).reshape(shape) if size else np.empty(shape, self.dtype)
        )

    def _fail_cut_off(self) -> NoReturn:
        text = "the file is cut off: data are missing"
        raise FileError(self._source, text, column=self._name)


def _npy_names(array: _NpyStream) -> list[str]:
    return list(array.dtype.names or map(str, range(array.width)))


def npy_names(source: Source, selection: ColumnSelection) -> list[str]:  # noqa: ARG001
    """The names of the fields, or the numbers of the columns from 0."""
    with source.open() as stream:
        return _npy_names(_NpyStream(stream, source.size, source, None))


def read_npy(source: Source, selection: ColumnSelection) -> Iterator[Chunk]:
    """Read an array: its columns have the names of its fields, or numbers from 0."""
    with source.open() as stream:
        array = _NpyStream(stream, source.size, source, None)
        selection = selection.among(source, _npy_names(array))
        fields = array.dtype.names
        for fraction, rows in _row_blocks({"": array}, selection):
            block = rows[""]
            if not fields:
                block = block.T if block.ndim == 2 else block[None]
            columns = {name: block[name if fields else int(name)] for name in selection.names}
            yield Chunk(fraction, columns)


def _array_names(archive: zipfile.ZipFile) -> list[str]:
    names = archive.namelist()
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def npz_names(source: Source, selection: ColumnSelection) -> list[str]:  # noqa: ARG001
    """The names of the arrays."""
    with _zip_errors(source), source.open() as stream, zipfile.ZipFile(stream) as archive:
        return _array_names(archive)


def read_npz(source: Source, selection: ColumnSelection) -> Iterator[Chunk]:
    """Read an archive: the columns are its arrays, which may have two dimensions."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_zip_errors(source))
        archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(source.open())))
        selection = selection.among(source, _array_names(archive))
        arrays = {}
        for name in selection.names:
            info = archive.getinfo(f"{name}.npy")
            stream = stack.enter_context(archive.open(info))
            arrays[name] = _NpyStream(stream, info.file_size, source, name)
        lengths = {name: array.shape[0] for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name} {n:,}" for name, n in lengths.items())
            raise FileError(source, f"the arrays differ in length: {shown}")
        for fraction, columns in _row_blocks(arrays, selection):
            yield Chunk(fraction, columns)


def _row_blocks(
    arrays: dict[str, _NpyStream], selection: ColumnSelection
) -> Iterator[tuple[float, dict[str, np.ndarray]]]:
    total = min(array.shape[0] for array in arrays.values())
    step = selection.rows(sum(array.width for array in arrays.values()))
    for start in range(0, total, step):
        fraction = min(1.0, (start + step) / total)
        yield fraction, {name: array.rows(step) for name, array in arrays.items()}

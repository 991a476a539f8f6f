"""A file to read: a local one, a remote one, or standard input."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.fs

LOCAL = pa.fs.LocalFileSystem()
#: Bytes that tell the format.
_MAGIC = 64
#: Bytes of standard input that are kept, so that they can be read twice.
_HEAD = 1 << 22


class Source:
    """A file: its name in messages, and how it is opened.

    Attributes
    ----------
    keys : dict
        The columns that its folders name, ``key=value``; a value is a string or None.
    """

    def __init__(self, name: str, path: str, size: int, filesystem: Any = LOCAL) -> None:
        self.name, self.path, self.size, self.filesystem = name, path, size, filesystem
        self.keys = _folder_keys(path)
        self._start = b""

    def __str__(self) -> str:
        return self.name

    @property
    def is_local(self) -> bool:
        """Whether reading in small pieces is cheap."""
        return bool(self.filesystem == LOCAL)

    def head(self, size: int) -> bytes:
        """The first bytes; the few that tell the format are read once."""
        if len(self._start) >= min(size, self.size):
            return self._start[:size]
        with self.stream() as stream:
            data = bytes(stream.read(max(size, _MAGIC)))
        self._start = data[:_MAGIC]
        return data[:size]

    def stream(self) -> Any:
        """Open to read from the start to the end."""
        return self.open()  # unlike a stream it can tell its position

    def open(self) -> Any:
        """Open to read anywhere."""
        return self.filesystem.open_input_file(self.path)


class StandardInput(Source):
    """Standard input, which is read once; what is read anywhere goes through a temporary file."""

    def __init__(self) -> None:
        super().__init__("standard input", "", 0)
        self._file: Any = None

    def head(self, size: int) -> bytes:
        """The first bytes."""
        if not self._start:
            self._start = sys.stdin.buffer.read(_HEAD)
        return self._start[:size]

    def stream(self) -> Any:
        """Open to read from the start to the end: only once beyond its head."""
        return pa.PythonFile(_Replay(self.head(_HEAD)), mode="r")

    def open(self) -> Any:
        """Open a temporary file that holds all of it."""
        if self._file is None:
            self._file = tempfile.NamedTemporaryFile(prefix="fastxent-")  # noqa: SIM115
            replay = _Replay(self.head(_HEAD))
            while data := replay.read(_HEAD):
                self._file.write(data)
            self._file.flush()
            self.path, self.size = self._file.name, self._file.tell()
        return super().open()


class _Replay:
    """Standard input with its head again."""

    closed = False

    def __init__(self, head: bytes) -> None:
        self._head, self._at = head, 0

    def read(self, size: int) -> bytes:
        data = self._head[self._at : self._at + size]
        if len(data) < size:
            data += sys.stdin.buffer.read(size - len(data))
        self._at += len(data)
        return data

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self.closed = True


def _folder_keys(path: str) -> dict[str, str | None]:
    folders = [part for part in PurePosixPath(path).parts[:-1] if "=" in part]
    if not folders:
        return {}
    ds = importlib.import_module("pyarrow.dataset")
    # All are text: "01234" is not 1234.
    schema = pa.schema({folder.partition("=")[0]: pa.string() for folder in folders})
    partitioning = ds.HivePartitioning(schema)
    keys = ds.get_partition_keys(partitioning.parse("/".join([*folders, "file"])))
    return dict(keys)

"""The format of a file, by its first bytes or else by its name."""

from __future__ import annotations

import pyarrow as pa

from fastxent._cli.errors import FileError
from fastxent._cli.sources import Source

COMPRESSED = (".gz", ".bz2", ".zst")
ENDINGS = {
    "Parquet": (".parquet", ".pq"),
    "Arrow": (".arrow", ".arrows", ".feather", ".ipc"),
    "ORC": (".orc",),
    "CSV": (".csv", ".tsv", ".txt"),
    "JSON lines": (".json", ".jsonl", ".ndjson"),
    "NumPy": (".npy", ".npz"),
}
#: Formats of text, which may be compressed.
TEXT = ("CSV", "JSON lines")
_MAGIC = {
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"ORC": "ORC",
    b"\x93NUMPY": "NumPy",
    b"PK\x03\x04": "NPZ",
}
_COMPRESSION_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_UNKNOWN = (
    "unrecognised format: expected Parquet, Arrow, ORC, NPY, NPZ, or a file named .csv, .tsv, .txt, "
    ".json, .jsonl or .ndjson (each also .gz, .bz2 or .zst)"
)


def is_data_by_name(name: str) -> bool:
    """Whether the ending of a name is one of ours."""
    return _by_name(name) is not None


def is_text_by_name(name: str) -> bool:
    """Whether the ending of a name is one of a text format."""
    return _by_name(name) in TEXT


def is_data_by_content(start: bytes) -> bool:
    """Whether a file begins like one of data, whatever its name."""
    return start.startswith((b"PAR1", b"ARROW1", b"ORC"))


def _by_name(name: str) -> str | None:
    name = name.lower()
    plain = next((name.removesuffix(end) for end in COMPRESSED if name.endswith(end)), name)
    for kind, endings in ENDINGS.items():
        if (plain if kind in TEXT else name).endswith(endings):
            return kind
    return None


def compression(source: Source) -> str | None:
    """How a text file is compressed, by its first bytes."""
    start = source.head(4)
    if source.name.lower().endswith(COMPRESSED) or source.name == "standard input":
        return next(
            (how for magic, how in _COMPRESSION_MAGIC.items() if start.startswith(magic)), None
        )
    return None


def text_head(source: Source, size: int) -> bytes:
    """The first bytes of a text file, decompressed, and cut after a line if there are more."""
    packed = compression(source)
    if packed is None:
        data = source.head(size)
    else:
        with source.stream() as stream, pa.CompressedInputStream(stream, packed) as plain:
            data = bytes(plain.read(size))
    return data[: data.rfind(b"\n") + 1 or None] if len(data) == size else data


def detect(source: Source) -> str:
    """The format of a file, a key of `readers.READERS`.

    Raises
    ------
    FileError
        If it is not one of ours.
    """
    start = source.head(8)
    if not start:
        raise FileError(source, "the file is empty")
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    by_name = _by_name(source.name)
    if by_name == "Arrow" and not source.name.lower().endswith(".feather"):
        return "Arrow stream"
    if by_name in TEXT:
        return by_name
    if by_name:
        raise FileError(source, f"not a {by_name} file (wrong magic bytes)")
    if source.name == "standard input":
        if start.startswith(b"\xff\xff\xff\xff"):
            return "Arrow stream"
        return (
            "JSON lines"
            if text_head(source, 1 << 12).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in b"{["
            else "CSV"
        )
    raise FileError(source, _UNKNOWN)

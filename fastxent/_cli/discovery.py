"""Finds the files that are named: by their paths, directories, patterns, or URIs."""

from __future__ import annotations

import glob
import importlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs

from fastxent._cli.errors import FileError
from fastxent._cli.formats import ENDINGS, is_data_by_content, is_data_by_name, is_text_by_name
from fastxent._cli.sources import LOCAL, Source, StandardInput

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def find(names: Iterable[str]) -> list[Source]:
    """The files that are named, those of directories and of patterns, each once.

    Raises
    ------
    FileError
        For a name without a file.
    """
    found: dict[Any, Source] = {}
    for name in names:
        for source in _named(name):
            where = source.filesystem.type_name, source.path
            if source.is_local:
                where = "local", os.path.realpath(source.path)
            found.setdefault(where, source)
    return list(found.values())


def _named(name: str) -> Iterator[Source]:
    if name == "-":
        yield StandardInput()
        return
    try:
        if _URI.match(name):
            filesystem, path, shown = _remote(name)
            if "*" not in path or _is_there(filesystem, path):
                yield from _at(filesystem, path, shown)
            else:
                yield from _matching(name, filesystem, _remote_matches(filesystem, path), shown)
        elif Path(name).exists() or not glob.has_magic(name):
            yield from _at(LOCAL, name, "")
        else:
            matches = glob.glob(name, recursive=True)  # noqa: PTH207 - absolute ones, too
            yield from _matching(name, LOCAL, matches, "")
    except (OSError, pa.ArrowException, ImportError, ValueError) as error:
        clean = _without_secrets(name)
        reason = getattr(error, "strerror", None)
        raise FileError(
            clean, reason.lower() if reason else str(error).replace(name, clean)
        ) from None


def _without_secrets(name: str) -> str:
    """A URI without the user, the password and the query."""
    return re.sub(r"^([^:/]+://)(?:[^/@]*@)?([^?]*).*", r"\1\2", name) if _URI.match(name) else name


def _remote(uri: str) -> tuple[Any, str, str]:
    """The file system, the path in it, and what precedes the path in messages."""
    scheme = uri.partition("://")[0]
    try:
        filesystem, path = pa.fs.FileSystem.from_uri(uri)
    except pa.ArrowInvalid as error:
        try:
            fsspec = importlib.import_module("fsspec.core")
            known, path = fsspec.url_to_fs(uri)
        except ModuleNotFoundError as missing:
            if missing.name == "fsspec":
                raise error from None
            raise
        except ValueError:  # fsspec does not know it either
            raise error from None
        filesystem = pa.fs.PyFileSystem(pa.fs.FSSpecHandler(known))
    return filesystem, path, "" if scheme == "file" else f"{scheme}://"


def _is_there(filesystem: Any, path: str) -> bool:
    return bool(filesystem.get_file_info(path).type != pa.fs.FileType.NotFound)


def _remote_matches(filesystem: Any, pattern: str) -> list[str]:
    """The paths that match, where * stands for any part of a name, and ** for any folders."""
    parent = pattern.partition("*")[0].rpartition("/")[0]
    wanted = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    selector = pa.fs.FileSelector(parent, recursive=True, allow_not_found=True)
    paths = (str(info.path) for info in filesystem.get_file_info(selector))
    return [path for path in paths if re.fullmatch(wanted, path)]


def _matching(name: str, filesystem: Any, matches: list[str], scheme: str) -> Iterator[Source]:
    """The files of a pattern."""
    if not matches:
        raise FileError(_without_secrets(name), "no file matches this pattern")
    for match in sorted(matches):
        yield from _at(filesystem, match, scheme, whole=len(matches) == 1)


def _at(filesystem: Any, path: str, scheme: str, whole: bool = True) -> Iterator[Source]:
    """The file at a path, or the files of a directory, which must have some if it is the `whole`."""
    info = filesystem.get_file_info(path)
    kind = pa.fs.FileType
    if info.type == kind.NotFound:
        raise FileError(f"{scheme}{path}", "no such file or directory")
    if info.type != kind.Directory:
        yield Source(f"{scheme}{path}", path, info.size or 0, filesystem)
        return
    inside = filesystem.get_file_info(pa.fs.FileSelector(path, recursive=True))
    files = sorted((i for i in inside if i.type == kind.File), key=lambda i: str(i.path))
    sources = [Source(f"{scheme}{i.path}", i.path, i.size or 0, filesystem) for i in files]
    data = [source for source in sources if _is_data(source, path)]
    if whole and not data:
        endings = " ".join(e for group in ENDINGS.values() for e in group)
        raise FileError(f"{scheme}{path}", f"no file in this directory ends in one of {endings}")
    yield from data


def _is_data(source: Source, directory: str) -> bool:
    """Whether a file in a directory holds rows: an empty text file is one of none."""
    inside = source.path[len(directory) :].split("/")
    if any(part.startswith((".", "_")) for part in inside):
        return False
    if is_data_by_name(source.name):
        return source.size > 0 or not is_text_by_name(source.name)
    return source.size > 0 and is_data_by_content(source.head(8))

"""Columns of a batch become arrays: numbers, or the keys of groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from fastxent._cli.errors import FileError
from fastxent._cli.files import Batch


def numbers(batch: Batch, name: str, keep_null: bool = False) -> tuple[np.ndarray, Any]:
    """A column as numbers, of one or two dimensions, and a mask of what is not null (or None).

    Raises
    ------
    FileError
        For another type; and for a null, unless nulls are kept: then they are 0.
    """
    column = batch.columns[name]
    if isinstance(column, np.ndarray):
        if column.dtype.kind not in "biuf":
            raise FileError(batch.path, _no_number(column.dtype), column=name)
        return column, None
    kind = column.type
    if pa.types.is_dictionary(kind):
        return numbers(batch._replace(columns={name: column.dictionary_decode()}), name, keep_null)
    valid = None
    if column.null_count:
        valid = _as_numpy(column.is_valid())
        if not keep_null:
            row = batch.first + int(np.argmin(valid)) + 1
            text = "null: mend it, or leave such rows out with --nan-policy omit"
            raise FileError(batch.path, text, row, name)
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _rows(batch, name, column, valid), valid
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise FileError(batch.path, _no_number(kind), column=name)
    if valid is not None:
        column = column.fill_null(False if pa.types.is_boolean(kind) else 0)
    return _as_numpy(column), valid


def _as_numpy(column: Any) -> np.ndarray:
    """An Arrow array of numbers without nulls. (Its own to_numpy imports pandas, which takes long.)"""
    if pa.types.is_boolean(column.type):
        return _as_numpy(column.cast(pa.uint8())).view(np.bool_)
    dtype = np.dtype(column.type.to_pandas_dtype())
    start = column.offset * dtype.itemsize
    return np.frombuffer(column.buffers()[1], dtype, len(column), start)


def _no_number(kind: object) -> str:
    return f"the type is {kind}: numbers are needed"


def _rows(batch: Batch, name: str, column: Any, valid: Any) -> np.ndarray:
    """Lists of one length, as the rows of an array."""
    if valid is not None:
        raise FileError(batch.path, "a list is null", batch.first + int(np.argmin(valid)) + 1, name)
    lengths = _as_numpy(column.value_lengths())
    other = np.flatnonzero(lengths != lengths[0])
    if other.size:
        text = f"{lengths[other[0]]} values, where the first row has {lengths[0]}"
        raise FileError(batch.path, text, batch.first + int(other[0]) + 1, name)
    values, _ = numbers(batch._replace(columns={name: column.flatten()}), name)
    return values.reshape(len(column), -1)


def keys(batch: Batch, name: str) -> tuple[np.ndarray, list[Any]]:
    """A column as places in a list of values, the last of which is None."""
    column = batch.columns[name]
    if isinstance(column, np.ndarray):
        column = pa.array(np.ascontiguousarray(column))
    if pa.types.is_dictionary(column.type) and len(column.dictionary) > len(column):
        column = column.dictionary_decode()  # most values are not in this batch
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    names = column.dictionary.to_pylist()
    places = column.indices.fill_null(len(names)) if column.null_count else column.indices
    return _as_numpy(places), [*names, None]

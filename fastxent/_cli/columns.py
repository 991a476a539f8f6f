"""Columns of a batch as arrays: labels, scores and weights as numbers, and keys of groups."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa

from fastxent._aggregate.label_names import LabelError, LabelNames, label_text
from fastxent._cli.errors import FileError
from fastxent._cli.files import Batch
from fastxent._cli.filters import arrow_array


class ColumnRoles(NamedTuple):
    """The role of each column."""

    label: str
    models: list[list[str]]  # the score columns of each model
    weight: str | None
    by: list[str]  # the keys of the groups
    cluster: str | None = None

    def names(self) -> tuple[str, ...]:
        """The names of the columns, each once."""
        scores = [name for model in self.models for name in model]
        given = [self.label, *scores, self.weight, *self.by, self.cluster]
        return tuple(dict.fromkeys(name for name in given if name is not None))

    def column_of(self, argument: str, category: int) -> str | None:
        """The column behind an argument of a loss."""
        if argument == "sample_weight":
            return self.weight
        if argument in ("y_true", "q"):
            return self.label
        model = self.models[-1 if argument == "scores_b" else 0]
        return model[category] if len(model) > 1 else model[0]


class BatchColumns:
    """The arrays of a batch.

    Attributes
    ----------
    valid : ndarray or None
        Masks the rows without a null; None if there are no nulls.
    """

    def __init__(self, batch: Batch, keep_null: bool) -> None:
        self._batch, self._keep_null = batch, keep_null
        self.valid: np.ndarray | None = None

    def _numbers(self, name: str) -> np.ndarray:
        values, valid = numbers(self._batch, name, self._keep_null)
        self._apply_mask(valid)
        return values

    def _apply_mask(self, valid: np.ndarray | None) -> None:
        if valid is not None:
            self.valid = valid if self.valid is None else self.valid & valid

    def vector(self, name: str) -> np.ndarray:
        """A column of one number per row."""
        values = self._numbers(name)
        if values.ndim != 1:
            self._fail(name, "expected one number in each row, found lists")
        return values

    def scores(self, names: list[str]) -> np.ndarray:
        """One column as it is, or several stacked as the columns of a matrix."""
        if len(names) == 1:
            return self._numbers(names[0])
        return np.stack([self.vector(name) for name in names], axis=1)

    def labels(self, roles: ColumnRoles, scores: np.ndarray, names: LabelNames) -> np.ndarray:
        """The labels as numbers; floats become class indices where there are several classes."""
        name = roles.label
        if names.given or _holds_names(self._batch.columns[name]):
            return self._named_labels(roles, scores, names)
        labels = self._numbers(name)
        if scores.ndim == 1 or labels.ndim == 2:
            if labels.shape != scores.shape:
                self._fail(name, f"has shape {labels.shape}, but the scores have {scores.shape}")
            return labels
        if labels.dtype.kind != "f":
            return labels
        if self._keep_null:
            known = ~np.isnan(labels)
            if not known.all():
                self._apply_mask(known)
                labels = np.where(known, labels, 0.0)
        whole = labels == np.floor(labels)
        if not whole.all():
            row = int(np.argmin(whole))
            self._fail(name, f"{labels[row]} is not a class index: use 0, 1, 2, …", row)
        indices: np.ndarray = np.clip(labels, -1, 2.0**62).astype(np.int64)
        return indices

    def _named_labels(
        self, roles: ColumnRoles, scores: np.ndarray, names: LabelNames
    ) -> np.ndarray:
        codes, keys = _column_keys(self._batch, roles.label, DictionaryValues())
        present = np.bincount(codes, minlength=len(keys)) > 0
        if keys[-1] is None:
            present[-1] = False
            known = codes != len(keys) - 1
            if not self._keep_null:
                text = "null: fill it in, or leave such rows out with --nan-policy omit"
                self._fail(roles.label, text, int(np.argmin(known)))
            self._apply_mask(known)
        used = np.flatnonzero(present)
        table = np.zeros(len(keys), np.int64)
        n_classes = None if scores.ndim == 1 else scores.shape[1]
        try:
            found = names.numbers([keys[i] for i in used], roles.models[0], n_classes)
        except LabelError as error:
            row = int(np.argmax(codes == used[error.place])) if used.size else None
            self._fail(roles.label, str(error), row)
        table[used] = found
        labels: np.ndarray = table[codes]
        return labels

    def _fail(self, name: str, text: str, row: int | None = None) -> NoReturn:
        at = None if row is None else self._batch.row(row)
        raise FileError(self._batch.path, text, at, name)


def numbers(batch: Batch, name: str, keep_null: bool = False) -> tuple[np.ndarray, Any]:
    """A column as a numeric array of one or two dimensions, and a mask of its valid rows or None.

    Raises
    ------
    FileError
        For other types; and for a null, unless `keep_null`: nulls are 0 then.
    """
    column = batch.columns[name]
    if isinstance(column, np.ndarray):
        if column.dtype.kind not in "biuf":
            raise FileError(batch.path, _not_numeric(column.dtype), column=name)
        return column, None
    kind = column.type
    if pa.types.is_dictionary(kind):
        return numbers(batch._replace(columns={name: column.dictionary_decode()}), name, keep_null)
    valid = None
    if column.null_count:
        valid = _as_numpy(column.is_valid())
        if not keep_null:
            row = batch.row(int(np.argmin(valid)))
            text = "null: fill it in, or leave such rows out with --nan-policy omit"
            raise FileError(batch.path, text, row, name)
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _rows(batch, name, column, valid), valid
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise FileError(batch.path, _not_numeric(kind), column=name)
    if valid is not None:
        column = column.fill_null(False if pa.types.is_boolean(kind) else 0)
    return _as_numpy(column), valid


def _holds_names(column: Any) -> bool:
    """Whether a column is of strings, or of categories that are strings."""
    if isinstance(column, np.ndarray):
        return column.dtype.kind in "US"
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
    )


def _as_numpy(column: Any) -> np.ndarray:
    """A numeric Arrow array without nulls. (`Array.to_numpy` imports pandas, which is slow.)"""
    if pa.types.is_boolean(column.type):
        return _as_numpy(column.cast(pa.uint8())).view(np.bool_)
    dtype = np.dtype(column.type.to_pandas_dtype())
    start = column.offset * dtype.itemsize
    return np.frombuffer(column.buffers()[1], dtype, len(column), start)


def _not_numeric(kind: Any) -> str:
    text = str(kind)
    found = f"strings ({text})" if "string" in text or text.startswith("<U") else text
    return f"expected numbers, found {found}"


def _rows(batch: Batch, name: str, column: Any, valid: Any) -> np.ndarray:
    """Lists of equal length as the rows of an array."""
    if valid is not None:
        raise FileError(batch.path, "a list is null", batch.row(int(np.argmin(valid))), name)
    lengths = _as_numpy(column.value_lengths())
    other = np.flatnonzero(lengths != lengths[0])
    if other.size:
        text = f"{lengths[other[0]]} values, but the first row has {lengths[0]}"
        raise FileError(batch.path, text, batch.row(int(other[0])), name)
    values, _ = numbers(batch._replace(columns={name: column.flatten()}), name)
    return values.reshape(len(column), -1)


class DictionaryValues:
    """The values of one dictionary after the other: equal ones give the same list."""

    def __init__(self) -> None:
        self._dictionary: Any = None
        self._values: list[Any] = []

    def __call__(self, dictionary: Any) -> list[Any]:
        if self._dictionary is None or not self._dictionary.equals(dictionary):
            self._dictionary, self._values = dictionary, dictionary.to_pylist()
        return self._values


class GroupColumns:
    """The columns of the keys, in files that may differ in their types."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._types: dict[str, type] = {}  # of the keys of the first file
        self._values = {name: DictionaryValues() for name in names}

    def keys(self, batch: Batch) -> tuple[np.ndarray, list[Any]]:
        """The groups of a batch as codes, and the list of keys that they index.

        A key is a value, or a tuple where there are several columns.
        """
        codes, keys = self._keys(batch, self._names[0])
        if len(self._names) == 1:
            return codes, keys
        combined = [(key,) for key in keys]
        for name in self._names[1:]:
            more, keys = self._keys(batch, name)
            # Only the combinations in the batch get codes, so the product cannot overflow.
            product = codes.astype(np.int64) * len(keys) + more
            present, codes = np.unique(product, return_inverse=True)
            pairs = zip(*np.divmod(present, len(keys)), strict=True)
            combined = [(*combined[i], keys[j]) for i, j in pairs]
        return codes, combined

    def _keys(self, batch: Batch, name: str) -> tuple[np.ndarray, list[Any]]:
        codes, keys = _column_keys(batch, name, self._values[name])
        if keys[0] is None:
            return codes, keys
        first = self._types.setdefault(name, type(keys[0]))
        if first is not type(keys[0]):
            keys = [_as_type(key, first) for key in keys]
        return codes, keys


def _as_type(key: Any, wanted: type) -> Any:
    """The key of another file as one of the first file, where it has the same text."""
    text = None if key is None else label_text(key)
    if text is None or wanted is str:
        return text
    if wanted is int and text.lstrip("-").isdecimal() and str(int(text)) == text:
        return int(text)
    if wanted is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return key


def _column_keys(batch: Batch, name: str, values: DictionaryValues) -> tuple[np.ndarray, list[Any]]:
    """A column as codes, and the list of keys that they index; the last is None if some are null."""
    column = batch.columns[name]
    if isinstance(column, np.ndarray):
        column = arrow_array(column)
    if pa.types.is_dictionary(column.type) and len(column.dictionary) > len(column):
        column = column.dictionary_decode()  # most of its values are not in this batch
    if not pa.types.is_dictionary(column.type):
        column, values = column.dictionary_encode(), DictionaryValues()
    try:
        names = values(column.dictionary)
    except UnicodeDecodeError as error:
        raise FileError(batch.path, f"cannot be read as text: {error}", column=name) from None
    if not column.null_count:
        return _as_numpy(column.indices), names
    return _as_numpy(column.indices.fill_null(len(names))), [*names, None]

"""Predictions and truth in two files: joined by a key, with the truth in memory."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from fastxent._aggregate.label_names import label_text
from fastxent._cli import discovery, files
from fastxent._cli.columns import ColumnRoles
from fastxent._cli.errors import FileError, InputError
from fastxent._cli.files import Batch
from fastxent._cli.filters import RowFilter, arrow_array
from fastxent._cli.selection import ColumnSelection, CsvDialect


class KeyPlaces:
    """The place of each key in a column: integers by bisection, others by their text."""

    def __init__(self, keys: Any) -> None:
        self._keys = keys
        self._numeric = pa.types.is_integer(keys.type)

    @functools.cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        values = _as_numbers(self._keys)
        order = np.argsort(values, kind="stable")
        return values[order], order

    @functools.cached_property
    def _by_text(self) -> dict[str, int]:
        places: dict[str, int] = {}
        for i, key in enumerate(self._keys.to_pylist()):
            places.setdefault(label_text(key), i)
        return places

    def first_repeated(self) -> tuple[int, Any]:
        """How many rows have the key of an earlier row, and the first such key."""
        first = self.find(self._keys)
        repeated = np.flatnonzero(first != np.arange(len(first)))
        return len(repeated), self._keys[int(repeated[0])].as_py() if repeated.size else None

    def find(self, keys: Any) -> np.ndarray:
        """The first place of each key; -1 where there is none."""
        if self._numeric and pa.types.is_integer(keys.type):
            values, (known, order) = _as_numbers(keys), self._sorted
            if not known.size:
                return np.full(len(values), -1)
            at = np.minimum(np.searchsorted(known, values), len(known) - 1)
            return np.where(known[at] == values, order[at], -1)
        places = (self._by_text.get(label_text(key), -1) for key in keys.to_pylist())
        return np.fromiter(places, np.intp, len(keys))


def _as_numbers(keys: Any) -> np.ndarray:
    kind = pa.uint64() if keys.type == pa.uint64() else pa.int64()
    return np.asarray(keys.cast(kind).to_numpy(zero_copy_only=False))


class Truth:
    """The columns of the truth: the labels, and weights and groups that it has.

    Parameters
    ----------
    name : str
        Of the file.
    on : str
        The column of the key, here and in the predictions.
    roles : ColumnRoles
    dialect : CsvDialect
    filters : tuple of RowFilter
        Of the columns here and of those of the predictions.

    Attributes
    ----------
    columns : list of str
        The columns that come from here.
    filters : tuple of RowFilter
        Of the columns here.
    """

    def __init__(
        self,
        name: str,
        on: str,
        roles: ColumnRoles,
        dialect: CsvDialect,
        filters: tuple[RowFilter, ...] = (),
    ) -> None:
        self._name, self._on = name, on
        sources = discovery.find([name])
        present = files.column_names(sources[0], ColumnSelection((), csv=dialect))
        self.filters = tuple(one for one in filters if one.column in present)
        self._whole = len(self.filters) == len(filters)
        keys = {*roles.by, *([roles.cluster] if roles.cluster else [])}
        others = {n for n in (roles.weight, *keys) if n is not None and n in present}
        self.columns = sorted({roles.label, *others} - {on})
        names = dict.fromkeys([on, *self.columns, *(one.column for one in self.filters)])
        numeric = {n for n in self.columns if n in (roles.label, roles.weight) and n not in keys}
        selection = ColumnSelection(
            tuple(names),
            frozenset(numeric),
            frozenset(names) - numeric,
            frozenset([roles.label]) & numeric,
            dialect,
        )
        self._table = _table([b for source in sources for b in files.read(source, selection)], name)
        key = self._table[on]
        self._wanted = np.ones(len(key), bool)
        for one in self.filters:
            self._wanted &= one.mask(sources[0], self._table[one.column])
        _check_null(name, on, key)
        self._places = KeyPlaces(key)
        repeated, first = self._places.first_repeated()
        if repeated:
            raise FileError(
                name, f"{repeated:,} rows have the key of an earlier row, the first: {first!r}",
                column=on,
            )  # fmt: skip
        self._seen = np.zeros(len(key), bool)
        self._missing, self._repeated, self._rows = 0, 0, 0
        self._first_missing = self._first_repeated = ""

    def joined(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches with the columns of the truth.

        From the first key that is missing or repeated on, they are only counted.

        Raises
        ------
        InputError
            At the end, unless each key of the truth came once, and no other. Where a filter of the
            predictions leaves some out, not every key has to come.
        """
        for batch in batches:
            keys = _arrow(batch.columns[self._on])
            _check_null(batch.path, self._on, keys, batch)
            places = self._places.find(keys)
            self._count(batch, keys, places)
            if not (self._missing or self._repeated):
                taken = {name: self._table[name].take(pa.array(places)) for name in self.columns}
                joined = batch._replace(columns={**batch.columns, **taken})
                joined = files.filtered(joined, self._wanted[places])
                if joined.rows:
                    yield joined
        self._check()

    def _count(self, batch: Batch, keys: Any, places: np.ndarray) -> None:
        def shown(i: int) -> str:
            return f"{batch.path}, row {batch.row(i):,}: {keys[i].as_py()!r}"

        self._rows += batch.rows
        missing = np.flatnonzero(places < 0)
        if missing.size and not self._missing:
            self._first_missing = shown(int(missing[0]))
        self._missing += missing.size
        known = np.flatnonzero(places >= 0)
        _, first = np.unique(places[known], return_index=True)
        repeated = self._seen[places[known]]
        once = np.zeros(len(known), bool)
        once[first] = True
        repeated = np.flatnonzero(repeated | ~once)
        if repeated.size and not self._repeated:
            self._first_repeated = shown(int(known[repeated[0]]))
        self._repeated += repeated.size
        self._seen[places[known]] = True

    def _check(self) -> None:
        found = []
        if self._missing:
            found.append(
                f"{self._missing:,} of {self._rows:,} predictions have no truth in {self._name} "
                f"(the first: {self._first_missing})"
            )
        if self._repeated:
            found.append(
                f"{self._repeated:,} predictions have the key of an earlier one "
                f"(the first: {self._first_repeated})"
            )
        without = np.flatnonzero(self._wanted & ~self._seen)
        n = len(without)
        if n and self._rows and self._whole:
            first = self._table[self._on][int(without[0])].as_py()
            found.append(
                f"{n:,} of {len(self._seen):,} rows of {self._name} have no prediction "
                f"(the first: {first!r})"
            )
        if found:
            raise InputError(f"--on {self._on}: {'; '.join(found)}")


def _check_null(path: object, on: str, keys: Any, batch: Batch | None = None) -> None:
    if keys.null_count:
        i = int(np.argmin(np.asarray(keys.is_valid())))
        raise FileError(path, "null: a key is needed", i + 1 if batch is None else batch.row(i), on)


def _table(batches: list[Batch], name: str) -> dict[str, Any]:
    """The columns of all batches, each as one array."""
    tables = [
        pa.table({column: _arrow(values) for column, values in batch.columns.items()})
        for batch in batches
    ]
    if not tables:
        raise InputError(f"{name}: no rows")
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise FileError(name, f"the files differ in their columns: {error}") from None
    columns = {column: table[column].combine_chunks() for column in table.column_names}
    return {
        column: values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        for column, values in columns.items()
    }


def _arrow(values: Any) -> Any:
    """A column as an array of Arrow that is no dictionary."""
    if isinstance(values, np.ndarray):
        return arrow_array(values)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values

"""The groups of a batch: keys become numbers, and sums are indexed by them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from fastxent._aggregate.elementwise import BLOCK, Array, broadcast_leading
from fastxent._core.arrays import as_array

#: Integer keys are used as numbers directly if their range is at most this.
_DENSE = 1 << 20


class KeyIndex(dict[Any, int]):
    """The keys that have been seen, and their numbers from 0 on. All NaNs count as the same key."""

    __slots__ = ("_nan", "name")

    def __init__(self, keys: Iterable[Any] = (), name: str = "groups") -> None:
        super().__init__()
        self.name = name  # of the argument, for the message
        self._nan: int | None = None
        for key in keys:
            self[key]

    def __missing__(self, key: Any) -> int:
        if key != key:  # noqa: PLR0124
            if self._nan is None:
                self._nan = self.setdefault(key, len(self))
            return self._nan
        return self.setdefault(key, len(self))

    def find(self, key: Any) -> int | None:
        """The number of a key, or None."""
        return self._nan if key != key else self.get(key)  # noqa: PLR0124

    def encode(self, values: Array) -> Array:
        """Number the elements of a flat array."""
        if values.dtype.kind in "iub":
            present, places = np.unique(values, return_inverse=True)
            return self.encode(present.astype(object))[places]
        items = list(values) if values.dtype.kind in "mM" else values.tolist()
        try:
            return np.fromiter(map(self.__getitem__, items), np.int64, len(items))
        except TypeError as error:
            raise TypeError(f"{self.name} holds what cannot be a key: {error}") from None


class BlockGroups(NamedTuple):
    """The groups of one block.

    Attributes
    ----------
    codes : ndarray of int64, or None
        The number of each loss's group, plus `low`; None where all are one group.
    low : int
    n : int
        How many groups there are so far.
    """

    codes: Array | None
    low: int
    n: int


class GroupKeys:
    """The groups of one batch: a key per loss, or per leading index of the losses.

    Its length is how many groups there may be, as far as is known.

    Parameters
    ----------
    groups : array_like, list of hashable values, pandas Categorical or pyarrow DictionaryArray
        Or None: then all losses are one group, whose key is None.
    shape : tuple of int
        Of the losses.
    name : str
        Of the argument, for the messages.
    """

    __slots__ = ("_codes", "_length", "_low", "_names", "_values")

    def __init__(self, groups: Any, shape: tuple[int, ...], name: str = "groups") -> None:
        self._values: Array | None = None
        self._names: Any = None
        self._codes: KeyIndex | None = None  # unless the keys are numbers from `_low` on
        self._low, self._length = 0, 1
        if groups is None:
            return
        array, self._names = _array_and_names(groups, name)
        if array.shape != shape[: array.ndim] or not array.ndim:
            raise ValueError(
                f"{name} has shape {array.shape}, but the losses have shape {shape}: give one "
                f"key per loss, or one per leading index"
            )
        self._values = broadcast_leading(array, shape)
        if array.dtype.kind in "iub" and array.size:
            self._low, highest = _range(array)
            self._length = highest - self._low + 1
        if array.dtype.kind not in "iub" or self._length > min(_DENSE, 1024 + array.size):
            self._codes = KeyIndex(name=name)

    def __len__(self) -> int:
        return self._length if self._codes is None else len(self._codes)

    def block_groups(self, cut: tuple[slice, ...]) -> BlockGroups:
        """The groups of one block."""
        if self._values is None:
            return BlockGroups(None, 0, 1)
        values = self._values[cut].ravel()
        if self._codes is not None:
            return BlockGroups(self._codes.encode(values), 0, len(self))
        if values.dtype == np.uint64:
            values = values - np.uint64(self._low)
            return BlockGroups(values.astype(np.int64), 0, len(self))
        return BlockGroups(values.astype(np.int64, copy=False), self._low, len(self))

    def used(self, counts: Array) -> tuple[Array, list[Any]]:
        """The numbers of the groups with at least one loss that counts, and their keys."""
        if self._values is None:
            return np.zeros(1, np.intp), [None]
        at = np.flatnonzero(counts)
        if self._codes is not None:
            seen = list(self._codes)
            keys = [seen[i] for i in at.tolist()]
        else:
            keys = [i + self._low for i in at.tolist()]
        if self._names is not None:
            keys = [None if k < 0 else self._names[k] for k in keys]
        elif self._values.dtype == np.bool_:
            keys = [bool(k) for k in keys]
        return at, keys


class StreamGroupKeys:
    """The groups of many batches with common numbers; the keys are indices into a list.

    Has what `GroupKeys` has.
    """

    __slots__ = ("_codes", "_numbers", "_places")

    def __init__(self) -> None:
        self._codes = KeyIndex()
        self._numbers = self._places = np.zeros(0, np.int64)

    def set_batch(self, places: Array, names: list[Any]) -> None:
        """Number the keys of a batch. Not every name has to occur in it, and one may come twice."""
        self._numbers = np.fromiter(map(self._codes.__getitem__, names), np.int64, len(names))
        self._places = places

    def __len__(self) -> int:
        return len(self._codes)

    def block_groups(self, cut: tuple[slice, ...]) -> BlockGroups:
        """The groups of one block."""
        places = self._places[cut].astype(np.intp, copy=False)  # as an index twice as fast as int32
        return BlockGroups(self._numbers[places], 0, len(self))

    def used(self, counts: Array) -> tuple[Array, list[Any]]:
        """The numbers of the groups with at least one loss that counts, and their keys."""
        return np.flatnonzero(counts), list(compress(self._codes, (counts > 0).data))


def _range(keys: Array) -> tuple[int, int]:
    """The smallest and the largest key, each part being read from memory once."""
    step = max(1, BLOCK // max(1, keys[0].size))
    parts = [keys[i : i + step] for i in range(0, len(keys), step)]
    lows, highs = zip(*((int(part.min()), int(part.max())) for part in parts), strict=True)
    return min(lows), max(highs)


def _array_and_names(groups: Any, name: str) -> tuple[Array, list[Any] | None]:
    """An array of keys, or of indices into a list of names, where -1 stands for None."""
    if hasattr(groups, "cat"):  # a pandas Series
        groups = groups.array
    if hasattr(groups, "categories"):
        return np.asarray(groups.codes), groups.categories.tolist()
    if hasattr(groups, "dictionary"):
        places = groups.indices.fill_null(-1) if groups.null_count else groups.indices
        return np.asarray(places), groups.dictionary.to_pylist()
    if isinstance(groups, (list, tuple)):
        return np.fromiter(groups, object, len(groups)), None  # nothing is converted
    return as_array(groups, name, scalars=True), None

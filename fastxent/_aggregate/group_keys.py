"""The groups of a batch: keys become numbers, and sums are indexed by them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import compress
from typing import Any

import numpy as np

from fastxent._aggregate.elementwise import Array, broadcast_leading
from fastxent._core.arrays import as_array

#: Integer keys are used as numbers directly if their range is at most this.
_DENSE = 1 << 20
#: At most this many groups are summed in several lanes, so that additions do not wait for each other.
_FEW, _LANES = 32, 8


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
            return np.fromiter(map(self.__getitem__, items), np.intp, len(items))
        except TypeError as error:
            raise TypeError(f"{self.name} holds what cannot be a key: {error}") from None


class BlockGroups:
    """The groups of one block, as numbers below `n`; None where all losses are one group.

    Attributes
    ----------
    codes : ndarray or None
    n : int
    at : ndarray or slice
        The number among all groups of each of the `n`.
    total : int
        How many groups there are in all.
    """

    __slots__ = ("_laned", "at", "codes", "n", "total")

    def __init__(
        self, codes: Array | None, n: int, at: Array | None = None, total: int = 0
    ) -> None:
        self.codes, self.n = codes, n
        self.at: Any = slice(n) if at is None else at
        self.total = max(n, total)
        self._laned = codes
        if codes is not None and n <= _FEW:
            self._laned = codes * _LANES
            whole = len(codes) // _LANES * _LANES
            self._laned[:whole].reshape(-1, _LANES)[...] += np.arange(_LANES)

    def _sum(self, codes: Array, values: Array | None) -> Array:
        if self.n > _FEW:
            return np.bincount(codes, values, self.n)
        lanes = np.bincount(codes, values, self.n * _LANES).reshape(self.n, _LANES)
        return np.asarray(lanes.sum(1))

    def sum(self, values: Array) -> Array:
        """The sums by group."""
        return np.array([values.sum()]) if self._laned is None else self._sum(self._laned, values)

    def count(self, which: Array | None, length: int) -> Array:
        """The number of elements in each group that the mask includes."""
        if self._laned is None:
            return np.array([length if which is None else np.count_nonzero(which)])
        return self._sum(self._laned if which is None else self._laned[which], None)

    def sum_pairs(self, values: Array) -> tuple[Array, Array]:
        """The sums by group, as pairs.

        The remainder of a value after a large power of two is added and subtracted again
        again, has so few bits that no sum of such rounds; the rest is so small that its sum may.
        """
        if self._laned is None:  # NumPy adds by pairs
            return self.sum(values), np.zeros(1)
        top = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
        power = math.frexp(top)[1] + len(values).bit_length()
        if not 0.0 < top < math.inf or power > 1000:
            return self.sum(values), np.zeros(self.n)
        large = math.ldexp(1.0, power)
        coarse = values + large
        coarse -= large
        total = self.sum(coarse)
        return total, self.sum(np.subtract(values, coarse, out=coarse))


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
            self._low = int(array.min())
            self._length = int(array.max()) - self._low + 1
        if array.dtype.kind not in "iub" or self._length > min(_DENSE, 1024 + array.size):
            self._codes = KeyIndex(name=name)

    def __len__(self) -> int:
        return self._length if self._codes is None else len(self._codes)

    def min_block(self, start: int) -> int:
        """How many losses from `start` make a block large enough: several of each group.

        It does not use the final number of groups, since when that is known depends on the speed of
        the workers.
        """
        return self._length if self._codes is None else min(_DENSE, start // 8)

    def block_groups(self, cut: tuple[slice, ...]) -> BlockGroups:
        """The groups of one block."""
        if self._values is None:
            return BlockGroups(None, 1)
        values = self._values[cut].ravel()
        if self._codes is not None:
            codes = self._codes.encode(values)
        elif values.dtype == np.uint64:
            codes = (values - np.uint64(self._low)).astype(np.intp)
        else:
            codes = np.subtract(values, self._low, dtype=np.intp)
        return BlockGroups(codes, len(self))

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
        self._numbers = self._places = np.zeros(0, np.intp)

    def set_batch(self, places: Array, names: list[Any]) -> None:
        """Number the keys of a batch. Not every name has to occur in it, and one may come twice."""
        self._numbers = np.fromiter(map(self._codes.__getitem__, names), np.intp, len(names))
        self._places = places
        different, once = np.unique(self._numbers, return_inverse=True)
        if len(different) < len(names):
            self._numbers, self._places = different, once[places]

    def __len__(self) -> int:
        return len(self._codes)

    def min_block(self, start: int) -> int:
        """As for `GroupKeys`, of the groups of the batch."""
        del start
        return min(len(self), len(self._numbers))

    def block_groups(self, cut: tuple[slice, ...]) -> BlockGroups:
        """The groups of one block: those of its batch."""
        return BlockGroups(
            self._places[cut].astype(np.intp), len(self._numbers), self._numbers, len(self)
        )

    def used(self, counts: Array) -> tuple[Array, list[Any]]:
        """The numbers of the groups with at least one loss that counts, and their keys."""
        return np.flatnonzero(counts), list(compress(self._codes, counts.tolist()))


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

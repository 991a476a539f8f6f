"""Sums by group: the keys of a batch get numbers, and arrays hold the sums by number."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from fastxent._call import Array, Block, Call, spread
from fastxent._evaluate import Sums

Record = TypeVar("Record", bound=tuple[Any, ...])

#: Integer keys are numbers as they are, unless they lie too far apart.
_DENSE = 1 << 20
#: So few groups are summed in several lanes: an addition need not wait for the one before.
_FEW, _LANES = 32, 8


class GroupRecord(NamedTuple):
    """The losses of one group."""

    mean: float
    sum: float
    weight: float
    count: int  # type: ignore[assignment]  # tuple has a method of that name


class ByGroup(Mapping[Any, Record], Generic[Record]):
    """What was found of each group: a mapping from the group's key to a named tuple.

    The groups are in sorted order where their keys can be sorted, else in the order in which they
    were first seen; None and nan come last.

    Attributes
    ----------
    columns : dict of str to ndarray or list
        The same as columns, the keys first, under the name "group": what
        ``pandas.DataFrame``, ``polars.DataFrame`` and ``pyarrow.table`` take.
    """

    __slots__ = ("_place", "_record", "columns")

    def __init__(self, record: type[Record], keys: list[Any], *values: Array) -> None:
        order = _order(keys)
        self._record = record
        names = record._fields  # type: ignore[attr-defined]
        self.columns: dict[str, Any] = {"group": [keys[i] for i in order]}
        self.columns.update(zip(names, (v[order] for v in values), strict=True))
        self._place = Codes(self.columns["group"])

    def __getitem__(self, key: Any) -> Record:
        found = self._place.find(key)
        if found is None:
            raise KeyError(key)
        _, *values = self.columns.values()
        return self._record(*(v[found].item() for v in values))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.columns["group"])

    def __len__(self) -> int:
        return len(self.columns["group"])

    def __reduce__(self) -> tuple[Any, ...]:
        return ByGroup, (self._record, *self.columns.values())

    def __repr__(self) -> str:
        shown = [f"{key!r}: {self[key]}" for key, _ in zip(self, range(20), strict=False)]
        if len(self) > len(shown):
            shown.append(f"… {len(self) - len(shown)} more")
        return "{" + ",\n ".join(shown) + "}"


def _order(keys: list[Any]) -> list[int]:
    """Sorted where that is possible, else as they are; None and nan last."""
    missing = [key is None or key != key for key in keys]  # noqa: PLR0124 - only nan differs
    present = [i for i, no in enumerate(missing) if not no]
    with contextlib.suppress(TypeError):
        present.sort(key=keys.__getitem__)
    return present + [i for i, no in enumerate(missing) if no]


class Codes(dict[Any, int]):
    """The keys that have been seen, and their numbers from 0 on. All nan are one key."""

    __slots__ = ("_nan",)

    def __init__(self, keys: Iterable[Any] = ()) -> None:
        super().__init__()
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
        """The key's number, if it has one."""
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
            raise TypeError(f"groups holds what cannot be a key: {error}") from None


class Bins:
    """The groups of one block, as numbers below `n`; None where all losses are one group."""

    __slots__ = ("_laned", "codes", "n")

    def __init__(self, codes: Array | None, n: int) -> None:
        self.codes, self.n = codes, n
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
        """How many there are by group, of those in a mask."""
        if self._laned is None:
            return np.array([length if which is None else np.count_nonzero(which)])
        return self._sum(self._laned if which is None else self._laned[which], None)

    def sum_pairs(self, values: Array) -> tuple[Array, Array]:
        """The sums by group, as pairs.

        What is left of a value once it has been added to a large power of two, and that taken off
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


class Keys:
    """The groups of one batch: a key per loss, or per leading index of the losses.

    Its length is how many groups there may be, as far as is known.

    Parameters
    ----------
    groups : array_like, list of hashable values, pandas Categorical or pyarrow DictionaryArray
        Or None: then all losses are one group, whose key is None.
    shape : tuple of int
        Of the losses.
    """

    __slots__ = ("_codes", "_length", "_low", "_names", "_values")

    def __init__(self, groups: Any, shape: tuple[int, ...]) -> None:
        self._values: Array | None = None
        self._names: Any = None
        self._codes: Codes | None = None  # where the keys are not numbers from `_low` on
        self._low, self._length = 0, 1
        if groups is None:
            return
        array, self._names = _array_and_names(groups)
        if array.shape != shape[: array.ndim] or not array.ndim:
            raise ValueError(
                f"groups has shape {array.shape}, but the losses have shape {shape}: give one "
                f"key per loss, or one per leading index"
            )
        self._values = spread(array, shape)
        if array.dtype.kind in "iub" and array.size:
            self._low = int(array.min())
            self._length = int(array.max()) - self._low + 1
        if array.dtype.kind not in "iub" or self._length > min(_DENSE, 1024 + array.size):
            self._codes = Codes()

    def __len__(self) -> int:
        return self._length if self._codes is None else len(self._codes)

    def least(self, start: int) -> int:
        """How many losses from `start` on are worth a block: some of each group.

        How many groups there will be is not asked: that is known sooner or later, as it happens
        that the workers are faster or slower.
        """
        return self._length if self._codes is None else min(_DENSE, start // 8)

    def bins(self, cut: tuple[slice, ...]) -> Bins:
        """The groups of one cut."""
        if self._values is None:
            return Bins(None, 1)
        values = self._values[cut].ravel()
        if self._codes is not None:
            codes = self._codes.encode(values)
        elif values.dtype == np.uint64:
            codes = (values - np.uint64(self._low)).astype(np.intp)
        else:
            codes = np.subtract(values, self._low, dtype=np.intp)
        return Bins(codes, len(self))

    def used(self, counts: Array) -> tuple[Array, list[Any]]:
        """The numbers of the groups in which something counts, and their keys."""
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


class SharedKeys:
    """The groups of many batches, all numbered alike; the keys come as places in a list.

    Has what `Keys` has.
    """

    __slots__ = ("_codes", "_numbers", "_places")

    def __init__(self) -> None:
        self._codes = Codes()
        self._numbers = self._places = np.zeros(0, np.intp)

    def take(self, places: Array, names: list[Any]) -> None:
        """Number the keys of a batch, of which not every name need be there."""
        self._numbers = np.array([self._codes[name] for name in names], np.intp)
        self._places = places

    def __len__(self) -> int:
        return len(self._codes)

    def least(self, start: int) -> int:
        """As of `Keys`: every group of the batch is known."""
        del start
        return len(self)

    def bins(self, cut: tuple[slice, ...]) -> Bins:
        """The groups of one cut of the batch."""
        return Bins(self._numbers[self._places[cut]], len(self))

    def used(self, counts: Array) -> tuple[Array, list[Any]]:
        """The numbers of the groups in which something counts, and their keys."""
        at, seen = np.flatnonzero(counts), list(self._codes)
        return at, [seen[i] for i in at.tolist()]


def _array_and_names(groups: Any) -> tuple[Array, list[Any] | None]:
    """An array of keys; or of places in a list of names, in which -1 stands for None."""
    if hasattr(groups, "cat"):  # a pandas Series
        groups = groups.array
    if hasattr(groups, "categories"):
        return np.asarray(groups.codes), groups.categories.tolist()
    if hasattr(groups, "dictionary"):
        places = groups.indices.fill_null(-1) if groups.null_count else groups.indices
        return np.asarray(places), groups.dictionary.to_pylist()
    if isinstance(groups, (list, tuple)):
        return np.fromiter(groups, object, len(groups)), None  # nothing is converted
    return np.asarray(groups), None


# ---- sums ------------------------------------------------------------------------------------


def add_pairs(hi: Array, lo: Array, values: Array) -> None:
    """Add `values` to the unevaluated sums hi + lo, in place (Knuth's two-sum)."""
    with np.errstate(invalid="ignore", over="ignore"):
        total = hi + values
        part = total - hi
        error = (hi - (total - part)) + (values - part)
    hi[...] = total
    lo += np.where(np.isnan(error), 0.0, error)  # an infinite sum has none


def grown(sums: Array, n: int) -> Array:
    """Zeros for the groups that are new."""
    missing = n - sums.shape[-1]
    return np.pad(sums, [(0, 0)] * (sums.ndim - 1) + [(0, missing)]) if missing > 0 else sums


def divided(a: Array, b: Array) -> Array:
    """The quotients; nan where b is 0."""
    quotients = np.full(len(a), np.nan)
    np.divide(a, b, out=quotients, where=b != 0.0)
    return quotients


class Totals:
    """The sums of a batch, by the number of the group.

    Attributes
    ----------
    pairs : ndarray of shape (4, groups)
        total, its low part, weight, its low part.
    counts : ndarray of shape (groups,)
    """

    __slots__ = ("counts", "pairs")

    def __init__(self, n: int) -> None:
        self.pairs = np.zeros((4, n))
        self.counts = np.zeros(n, np.int64)

    def add(self, block: Block, bins: Bins) -> tuple[Array, Array]:
        """Add one block; return its own totals and weights."""
        self.pairs, self.counts = grown(self.pairs, bins.n), grown(self.counts, bins.n)
        counts = bins.count(block.kept, len(block.losses))
        self.counts += counts
        total = self._add_pairs(0, *bins.sum_pairs(block.losses))
        if block.weights is None:
            return total, self._add_pairs(2, counts.astype(np.float64), np.zeros(bins.n))
        return total, self._add_pairs(2, *bins.sum_pairs(block.weights))

    def _add_pairs(self, row: int, values: Array, low: Array) -> Array:
        add_pairs(self.pairs[row], self.pairs[row + 1], values)
        add_pairs(self.pairs[row], self.pairs[row + 1], low)
        both: Array = values + low
        return both

    def of(self, at: Array) -> Totals:
        """Of some groups."""
        some = Totals(0)
        some.pairs, some.counts = self.pairs[:, at], self.counts[at]
        return some

    def totals(self) -> Array:
        """The sum of weight times loss by group."""
        total: Array = self.pairs[0] + self.pairs[1]
        return total

    def weights(self) -> Array:
        """The sum of the weights by group."""
        weight: Array = self.pairs[2] + self.pairs[3]
        return weight

    def means(self) -> Array:
        """The weighted means by group."""
        return divided(self.totals(), self.weights())

    def whole(self) -> Sums:
        """The sums over all groups."""
        total, weight = _whole(self.pairs[:2]), _whole(self.pairs[2:])
        return Sums(*total, *weight, int(self.counts.sum()))


def _whole(pairs: Array) -> tuple[float, float]:
    values = pairs.ravel().tolist()
    total = math.fsum(values)
    return total, math.fsum([*values, -total]) if math.isfinite(total) else 0.0


class GroupSums(NamedTuple):
    """The keys of the groups, and their sums."""

    keys: list[Any]
    totals: Totals

    def merged(self, other: GroupSums) -> GroupSums:
        """Both together; neither changes."""
        codes = Codes([*self.keys, *other.keys])
        both = Totals(len(codes))
        for keys, totals in (self, other):
            at = np.array([codes[key] for key in keys], np.intp)
            pairs = both.pairs[:, at]
            for i in range(4):
                add_pairs(pairs[i & 2], pairs[i & 2 | 1], totals.pairs[i])
            both.pairs[:, at] = pairs
            both.counts[at] += totals.counts
        return GroupSums(list(codes), both)

    def result(self) -> ByGroup[GroupRecord]:
        """Mean, sum, weight and count by group."""
        found = self.totals
        columns = (found.means(), found.totals(), found.weights(), found.counts.copy())
        return ByGroup(GroupRecord, self.keys, *columns)


def group_sums(call: Call, y_true: Any, scores: Any, groups: Any, **batch: Any) -> GroupSums:
    """The sums of one batch by group."""
    elements = call.elements(y_true, scores, **batch)
    keys = Keys(groups, elements.shape)
    totals = Totals(len(keys))
    for block in elements.blocks(keys.least):
        totals.add(block, keys.bins(block.cut))
    at, used = keys.used(totals.counts)
    return GroupSums(used, totals.of(at))


def grouped(
    loss: Any,
    y_true: Any,
    scores: Any,
    groups: Any,
    *,
    sample_weight: Any = None,
    where: Any = None,
    var: Any = None,
    **options: Any,
) -> ByGroup[GroupRecord]:
    """Mean loss by group, in one pass.

    Parameters
    ----------
    loss : callable or str
        One of the losses of fastxent, or its name.
    y_true, scores : array_like
        As the loss takes them. `scores` is None for `fastxent.entropy`, which takes one array.
    groups : array_like or list of hashable values
        The key of each loss, or one per leading index where the losses have more dimensions.
        Integers are the fastest; a pandas Categorical and a pyarrow DictionaryArray count as that.
        In a list nothing is converted.
    sample_weight, where : array_like, optional
        As the loss takes them.
    var : array_like, optional
        For `fastxent.gaussian_nll`.
    **options
        The options of the loss, without `reduction` and `out`.

    Returns
    -------
    ByGroup
        A mapping from each key to a named tuple (mean, sum, weight, count); its attribute
        ``columns`` is a dict of columns, for a data frame. The mean is the weighted mean. A
        group in which nothing counts is not there.

    See Also
    --------
    LossAccumulator : The same over batches.
    compare : Two models, by group.

    Notes
    -----
    Each loss is computed in float64, in blocks: the memory used does not grow with their number.

    Examples
    --------
    >>> import fastxent
    >>> countries = ["ch", "at", "at", "ch"]
    >>> by_country = fastxent.grouped(
    ...     fastxent.binary_cross_entropy, [1, 0, 1, 1], [0.9, 0.2, 0.8, 0.3], countries
    ... )
    >>> round(by_country["ch"].mean, 4)
    0.6547
    >>> [(country, record.count) for country, record in by_country.items()]
    [('at', 2), ('ch', 2)]
    >>> list(by_country.columns)
    ['group', 'mean', 'sum', 'weight', 'count']
    """
    call = Call(loss, options, "grouped")
    batch = {"sample_weight": sample_weight, "where": where, "var": var}
    return group_sums(call, y_true, scores, groups, **batch).result()

"""Sums by group: the keys get numbers as they are seen, and arrays hold the sums by number."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from fastxent._call import Array, Block, Call, spread
from fastxent._evaluate import Sums

Record = TypeVar("Record", bound=tuple[Any, ...])

#: Integer keys that lie within so many of each other are counted, not sorted.
_TABLE = 1 << 17


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

    def encode(self, values: Array, names: Any = None) -> Array:
        """Number the elements of a flat array; where there are names, they are places in those."""
        if values.dtype.kind in "iub" and values.size:
            return self._encode_integers(values, names)
        items = list(values) if values.dtype.kind in "mM" else values.tolist()
        try:
            return np.fromiter(map(self.__getitem__, items), np.intp, len(items))
        except TypeError as error:
            raise TypeError(f"groups holds what cannot be a key: {error}") from None

    def _encode_integers(self, values: Array, names: Any) -> Array:
        low, high = int(values.min()), int(values.max())
        if high - low >= _TABLE:
            present, places = np.unique(values, return_inverse=True)
            return self._numbers(present, names)[places]
        wide = values.astype(np.uint64 if values.dtype.kind == "u" else np.int64)
        offsets = (wide - low).astype(np.intp)
        present = np.flatnonzero(np.bincount(offsets))
        numbers = np.zeros(high - low + 1, np.intp)
        keys = (present.astype(wide.dtype) + low).astype(values.dtype)
        numbers[present] = self._numbers(keys, names)
        return numbers[offsets]

    def _numbers(self, present: Array, names: Any) -> Array:
        keys = present.tolist()
        if names is not None:
            keys = [None if k < 0 else names[k] for k in keys]
        return np.array([self[k] for k in keys], np.intp)


class Keys:
    """The groups of one batch: a key per loss, or per leading index of the losses.

    Parameters
    ----------
    groups : array_like, list of hashable values, pandas Categorical or pyarrow DictionaryArray
        Or None: then all losses are one group, whose number is None.
    shape : tuple of int
        Of the losses.
    """

    def __init__(self, groups: Any, shape: tuple[int, ...]) -> None:
        self.names: Any = None
        self.values: Array | None = None
        if groups is None:
            return
        groups = getattr(groups, "array", groups) if hasattr(groups, "cat") else groups
        if hasattr(groups, "categories"):
            groups, self.names = groups.codes, groups.categories.tolist()
        elif hasattr(groups, "dictionary"):
            groups, self.names = groups.indices, groups.dictionary.to_pylist()
            groups = groups.fill_null(-1) if groups.null_count else groups
        if isinstance(groups, (list, tuple)):
            array = np.fromiter(groups, object, len(groups))  # nothing is converted
        else:
            array = np.asarray(groups)
        if array.shape != shape[: array.ndim] or not array.ndim:
            raise ValueError(
                f"groups has shape {array.shape}, but the losses have shape {shape}: give one "
                f"key per loss, or one per leading index"
            )
        self.values = spread(array, shape)

    def encode(self, cut: tuple[slice, ...], codes: Codes) -> Array | None:
        """Number the keys of one cut."""
        if self.values is None:
            return None
        return codes.encode(self.values[cut].ravel(), self.names)


# ---- sums ------------------------------------------------------------------------------------


def add_pairs(hi: Array, lo: Array, values: Array) -> None:
    """Add `values` to the unevaluated sums hi + lo, in place (Knuth's two-sum)."""
    with np.errstate(invalid="ignore", over="ignore"):
        total = hi + values
        part = total - hi
        error = (hi - (total - part)) + (values - part)
    hi[...] = total
    lo += np.where(np.isnan(error), 0.0, error)  # an infinite sum has none


def sum_by(values: Array, codes: Array | None, n_groups: int) -> Array:
    """The sums by group; of the one group where the codes are None."""
    if codes is None:
        return np.array([values.sum()])
    return np.bincount(codes, values, n_groups)


def _sum_pairs(values: Array, codes: Array | None, n_groups: int) -> tuple[Array, Array]:
    """The sums by group, as pairs.

    What is left of a value once it has been added to a large power of two, and that taken off
    again, has so few bits that no sum of such rounds; the rest is so small that its sum may.
    """
    top = float(np.abs(values).max(initial=0.0))
    power = math.frexp(top)[1] + len(values).bit_length()
    if not 0.0 < top < math.inf or power > 1000:
        return sum_by(values, codes, n_groups), np.zeros(n_groups)
    large = math.ldexp(1.0, power)
    coarse = (values + large) - large
    return sum_by(coarse, codes, n_groups), sum_by(values - coarse, codes, n_groups)


def grown(sums: Array, n_groups: int) -> Array:
    """Zeros for the groups that are new."""
    missing = n_groups - sums.shape[-1]
    return np.pad(sums, [(0, 0)] * (sums.ndim - 1) + [(0, missing)]) if missing else sums


class GroupSums:
    """Sums by group, and the numbers of the groups' keys.

    Attributes
    ----------
    codes : Codes
    pairs : ndarray of shape (4, groups)
        total, its low part, weight, its low part.
    counts : ndarray of shape (groups,)
    """

    __slots__ = ("codes", "counts", "pairs")

    def __init__(self, keys: Iterable[Any] = ()) -> None:
        self.codes = Codes(keys)
        self.pairs = np.zeros((4, len(self.codes)))
        self.counts = np.zeros(len(self.codes), np.int64)

    def _grow(self) -> None:
        """Room for every key."""
        self.pairs = grown(self.pairs, len(self.codes))
        self.counts = grown(self.counts, len(self.codes))

    def update(self, call: Call, y_true: Any, scores: Any, groups: Any, **batch: Any) -> None:
        """Add one batch."""
        keys = None
        for block in call.blocks(y_true, scores, least=self.codes.__len__, **batch):
            keys = keys or Keys(groups, block.shape)
            self.add(block, keys.encode(block.cut, self.codes))

    def add(self, block: Block, codes: Array | None) -> None:
        """Add one block."""
        self._grow()
        n_groups = len(self.counts)
        if codes is None:
            counts = np.array([block.n_kept()])
        else:
            counts = np.bincount(codes if block.kept is None else codes[block.kept], None, n_groups)
        self.counts += counts
        self._add_pairs(0, *_sum_pairs(block.losses, codes, n_groups))
        if block.weights is None:
            self._add_pairs(2, counts.astype(np.float64), np.zeros(n_groups))
        else:
            self._add_pairs(2, *_sum_pairs(block.weights, codes, n_groups))

    def _add_pairs(self, row: int, values: Array, low: Array) -> None:
        add_pairs(self.pairs[row], self.pairs[row + 1], values)
        add_pairs(self.pairs[row], self.pairs[row + 1], low)

    def merged(self, other: GroupSums) -> GroupSums:
        """Both together; neither changes."""
        result = GroupSums()
        for sums in (self, other):
            at = np.array([result.codes[key] for key in sums.codes], np.intp)
            result._grow()
            pairs = result.pairs[:, at]
            for i in range(4):
                add_pairs(pairs[i & 2], pairs[i & 2 | 1], sums.pairs[i])
            result.pairs[:, at] = pairs
            result.counts[at] += sums.counts
        return result

    def whole(self) -> Sums:
        """The sums over all groups."""
        total, weight = _whole(self.pairs[:2]), _whole(self.pairs[2:])
        return Sums(*total, *weight, int(self.counts.sum()))

    def totals(self) -> Array:
        """The sum of weight times loss by group."""
        total: Array = self.pairs[0] + self.pairs[1]
        return total

    def weights(self) -> Array:
        """The sum of the weights by group."""
        weight: Array = self.pairs[2] + self.pairs[3]
        return weight

    def means(self) -> Array:
        """The weighted means by group; nan where nothing counts."""
        return divided(self.totals(), self.weights())

    def result(self) -> ByGroup[GroupRecord]:
        """Mean, sum, weight and count by group."""
        columns = (self.means(), self.totals(), self.weights(), self.counts.copy())
        return ByGroup(GroupRecord, list(self.codes), *columns)

    def __getstate__(self) -> tuple[Any, ...]:
        return list(self.codes), self.pairs, self.counts

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        keys, self.pairs, self.counts = state
        self.codes = Codes(keys)


def divided(a: Array, b: Array) -> Array:
    """The quotients; nan where b is 0."""
    quotients = np.full(len(a), np.nan)
    np.divide(a, b, out=quotients, where=b != 0.0)
    return quotients


def _whole(pairs: Array) -> tuple[float, float]:
    values = pairs.ravel().tolist()
    total = math.fsum(values)
    return total, math.fsum([*values, -total]) if math.isfinite(total) else 0.0


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
        ``columns`` is a dict of columns, for a data frame. The mean is the weighted mean; that
        of a group in which nothing counts is nan.

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
    sums = GroupSums()
    call = Call(loss, options, "grouped")
    sums.update(call, y_true, scores, groups, sample_weight=sample_weight, where=where, var=var)
    return sums.result()

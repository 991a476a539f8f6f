"""Sums by group, in arrays indexed by the number of the group, and the means from them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from fastxent._aggregate.bound_loss import BoundLoss
from fastxent._aggregate.elementwise import Array, Block
from fastxent._aggregate.group_keys import BlockGroups, GroupKeys, KeyIndex
from fastxent._core.evaluate import Sums, checked_weight_sum

Record = TypeVar("Record", bound=tuple[Any, ...])


class GroupMean(NamedTuple):
    """The losses of one group."""

    mean: float
    sum: float
    weight: float
    count: int  # type: ignore[assignment]  # tuple has a method of that name


class ByGroup(Mapping[Any, Record], Generic[Record]):
    """The result of each group: a mapping from the group's key to a named tuple.

    The groups are in the order of `key_order`.

    Attributes
    ----------
    columns : dict of str to ndarray or list
        The same as columns, the keys first, under the name "group": what
        ``pandas.DataFrame``, ``polars.DataFrame`` and ``pyarrow.table`` take.
    """

    __slots__ = ("_place", "_record", "columns")

    def __init__(self, record: type[Record], keys: list[Any], *values: Array) -> None:
        self._record = record
        names = record._fields  # type: ignore[attr-defined]
        self.columns: dict[str, Any] = {"group": keys, **dict(zip(names, values, strict=True))}
        self._place: KeyIndex | None = None  # made when it is needed: it takes much memory

    def __getitem__(self, key: Any) -> Record:
        if self._place is None:
            self._place = KeyIndex(self.columns["group"])
        found = self._place.find(key)
        if found is None:
            raise KeyError(key)
        return self.record(found)

    def record(self, place: int) -> Record:
        """The result of a group by its place in the order."""
        _, *values = self.columns.values()
        return self._record(*(v[place].item() for v in values))

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


def key_order(keys: list[Any]) -> list[int]:
    """The order of the keys.

    Sorted where that is possible, else in the order in which they were first seen; None and nan come
    last.
    """
    missing = [i for i, key in enumerate(keys) if key is None or key != key]  # noqa: PLR0124
    present = list(range(len(keys)))
    for i in reversed(missing):
        del present[i]
    with contextlib.suppress(TypeError):
        present.sort(key=keys.__getitem__)
    return present + missing


def add_pairs(hi: Array, lo: Array, values: Array) -> None:
    """Add `values` to the unevaluated sums hi + lo, in place (Knuth's two-sum)."""
    with np.errstate(invalid="ignore", over="ignore"):
        total = hi + values
        part = total - hi
        error = (hi - (total - part)) + (values - part)
    hi[...] = total
    lo += np.where(np.isnan(error), 0.0, error)  # an infinite sum has none


def zero_padded(sums: Array, n: int) -> Array:
    """The sums, with zeros for new groups and for others that may follow."""
    known = sums.shape[-1]
    if n <= known:
        return sums
    longer = np.zeros((*sums.shape[:-1], max(n, 2 * known)), sums.dtype)
    longer[..., :known] = sums
    return longer


def check_divisors(sums: Array, what: str = "weights") -> None:
    """Raise if there are sums of weights that float64 cannot divide by."""
    some = sums > 0.0
    if some.any():
        for extreme in (sums.min(where=some, initial=np.inf), sums.max(where=some, initial=0.0)):
            checked_weight_sum(float(extreme), what)


def divided(a: Array, b: Array) -> Array:
    """The quotients by weights; nan where b is 0."""
    check_divisors(b)
    quotients = np.full(len(a), np.nan)
    np.divide(a, b, out=quotients, where=b != 0.0)
    return quotients


class GroupTotals:
    """The sums of a batch, by the number of the group.

    Attributes
    ----------
    pairs : ndarray of shape (4, groups)
        total, its low part, weight, its low part. Zeros may follow, and so they may in `counts`.
    counts : ndarray of shape (groups,)
    """

    __slots__ = ("counts", "pairs")

    def __init__(self, n: int) -> None:
        self.pairs = np.zeros((4, n))
        self.counts = np.zeros(n, np.int64)

    def add(self, block: Block, groups: BlockGroups) -> tuple[Array, Array]:
        """Add one block; return its own totals and weights."""
        self.pairs, self.counts = (
            zero_padded(self.pairs, groups.total),
            zero_padded(self.counts, groups.total),
        )
        counts, at = groups.count(block.valid, len(block.losses)), groups.at
        self.counts[at] += counts
        total = self._add_pairs(0, at, *groups.sum_pairs(block.losses))
        if block.weights is None:
            return total, self._add_pairs(2, at, counts.astype(np.float64), np.zeros(groups.n))
        return total, self._add_pairs(2, at, *groups.sum_pairs(block.weights))

    def _add_pairs(self, row: int, at: Any, values: Array, low: Array) -> Array:
        hi, lo = self.pairs[row, at], self.pairs[row + 1, at]  # copies, where `at` is an array
        add_pairs(hi, lo, values)
        add_pairs(hi, lo, low)
        self.pairs[row, at], self.pairs[row + 1, at] = hi, lo
        both: Array = values + low
        return both

    def select(self, at: Any) -> GroupTotals:
        """The totals of some groups."""
        some = GroupTotals(0)
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

    def combined(self) -> Sums:
        """The sums over all groups."""
        total, weight = _combined(self.pairs[:2]), _combined(self.pairs[2:])
        return Sums(*total, *weight, int(self.counts.sum()))


def _combined(pairs: Array) -> tuple[float, float]:
    values = pairs.ravel().data  # gives one float at a time: there may be millions
    total = math.fsum(values)
    return total, math.fsum(chain(values, [-total])) if math.isfinite(total) else 0.0


class GroupSums(NamedTuple):
    """The keys of the groups, and their sums."""

    keys: list[Any]
    totals: GroupTotals

    def merged(self, other: GroupSums) -> GroupSums:
        """The sum of both; neither changes."""
        codes = KeyIndex([*self.keys, *other.keys])
        both = GroupTotals(len(codes))
        for keys, totals in (self, other):
            at = np.array([codes[key] for key in keys], np.intp)
            pairs = both.pairs[:, at]
            for i in range(4):
                add_pairs(pairs[i & 2], pairs[i & 2 | 1], totals.pairs[i])
            both.pairs[:, at] = pairs
            both.counts[at] += totals.counts
        return GroupSums(list(codes), both)

    def result(self) -> ByGroup[GroupMean]:
        """Mean, sum, weight and count by group."""
        found = self.totals
        order = key_order(self.keys)
        columns = (found.means(), found.totals(), found.weights(), found.counts)
        keys = [self.keys[i] for i in order]
        return ByGroup(GroupMean, keys, *(column[order] for column in columns))


def group_sums(
    call: BoundLoss, y_true: Any, scores: Any, groups: Any, name: str = "groups", **batch: Any
) -> GroupSums:
    """The sums of one batch by group. The name is that of the argument `groups`."""
    elements = call.elements(y_true, scores, **batch)
    keys = GroupKeys(groups, elements.shape, name)
    totals = GroupTotals(len(keys))
    for block in elements.blocks(keys.min_block):
        totals.add(block, keys.block_groups(block.index))
    at, used = keys.used(totals.counts)
    return GroupSums(used, totals.select(at))


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
) -> ByGroup[GroupMean]:
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
    call = BoundLoss(loss, options, "grouped")
    batch = {"sample_weight": sample_weight, "where": where, "var": var}
    return group_sums(call, y_true, scores, groups, **batch).result()

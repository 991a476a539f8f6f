"""Means by group, from sums by group."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from fastxent._aggregate.bound_loss import BoundLoss
from fastxent._aggregate.elementwise import Array
from fastxent._aggregate.group_keys import GroupKeys, KeyIndex
from fastxent._aggregate.group_totals import GroupTotals, add_pairs
from fastxent._aggregate.linear_loss import bind
from fastxent._aggregate.running_variance import RunningVariance

Record = TypeVar("Record", bound=tuple[Any, ...])


class GroupMean(NamedTuple):
    """The losses of one group."""

    mean: float
    sum: float
    weight: float
    count: int  # type: ignore[assignment]  # tuple has a method of that name
    standard_error: float
    degrees_of_freedom: float


class ByGroup(Mapping[Any, Record], Generic[Record]):
    """The result of each group: a mapping from the group's key to a named tuple.

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
    """The order of the keys in a `ByGroup`."""
    missing = [i for i, key in enumerate(keys) if key is None or key != key]  # noqa: PLR0124
    present = list(range(len(keys)))
    for i in reversed(missing):
        del present[i]
    with contextlib.suppress(TypeError):
        present.sort(key=keys.__getitem__)
    return present + missing


class GroupSums(NamedTuple):
    """The keys of the groups, their sums, and their squares where these are wanted."""

    keys: list[Any]
    totals: GroupTotals
    variance: RunningVariance | None

    def merged(self, other: GroupSums) -> GroupSums:
        """The sum of both; neither changes."""
        codes = KeyIndex([*self.keys, *other.keys])
        both = GroupTotals(len(codes))
        places = [np.array([codes[key] for key in part.keys], np.intp) for part in (self, other)]
        for at, part in zip(places, (self, other), strict=True):
            pairs = both.pairs[:, at]
            for i in range(4):
                add_pairs(pairs[i & 2], pairs[i & 2 | 1], part.totals.pairs[i])
            both.pairs[:, at] = pairs
            both.rows[at, 4] += part.totals.rows[:, 4]
        if self.variance is None and other.variance is None:
            return GroupSums(list(codes), both, None)
        variance = RunningVariance(len(codes))
        centres = both.centres()
        for at, part in zip(places, (self, other), strict=True):
            if part.variance is not None:
                variance.add_shifted(part.variance, at, centres)
        return GroupSums(list(codes), both, variance)

    def result(self) -> ByGroup[GroupMean]:
        """Mean, sum, weight, count and standard error by group."""
        found, variance = self.totals, self.variance or RunningVariance(0)
        means, weights = found.means(), found.weights()
        error = variance.standard_error(means, weights)
        freedom = variance.degrees_of_freedom()
        columns = (means, found.totals(), weights, found.counts, error, freedom)
        order = key_order(self.keys)
        keys = [self.keys[i] for i in order]
        return ByGroup(GroupMean, keys, *(column[order] for column in columns))


def group_sums(
    call: BoundLoss, y_true: Any, scores: Any, groups: Any, name: str = "groups", **batch: Any
) -> GroupSums:
    """The sums of one batch by group, with squares if they are groups; `name` is the argument's."""
    elements = call.elements(y_true, scores, **batch)
    keys = GroupKeys(groups, elements.shape, name)
    totals = GroupTotals(len(keys))
    variance = RunningVariance(len(keys)) if name == "groups" else None
    for block in elements.blocks():
        numbers = keys.block_groups(block.index)
        if variance is None:
            totals.add(block, numbers)
        else:
            variance.add(block, numbers, totals)
    at, used = keys.used(totals.counts)
    return GroupSums(used, totals.select(at), variance and variance.select(at))


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
        A mapping from each key to a named tuple (mean, sum, weight, count, standard_error,
        degrees_of_freedom); its attribute ``columns`` is a dict of columns, for a data frame. The
        mean is the weighted mean, the standard error that of `fastxent.score`. A group in which
        nothing counts is not there.

    See Also
    --------
    LossAccumulator : The same over batches.
    compare : Two models, by group.

    Notes
    -----
    The losses are those of ``reduction="none"``, in the precision of the scores; their sums are of
    float64 and carry their rounding errors. They are computed in blocks: the memory used does not
    grow with their number.

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
    ['group', 'mean', 'sum', 'weight', 'count', 'standard_error', 'degrees_of_freedom']
    """
    call = bind(loss, options, "grouped")
    batch = {"sample_weight": sample_weight, "where": where, "var": var}
    return group_sums(call, y_true, scores, groups, **batch).result()

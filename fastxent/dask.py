"""Losses of Dask arrays and data frames: one accumulator per block, added as a tree.

Needs ``dask[array]``, and ``dask[dataframe]`` for data frames: the extra ``fastxent[dask]``.
"""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Iterable, Iterator
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import Delayed, delayed

from fastxent._aggregate.accumulator import LossAccumulator
from fastxent._aggregate.bound_loss import BoundLoss
from fastxent._aggregate.column_names import Columns
from fastxent._aggregate.label_names import CodedLabels, LabelNames, label_names
from fastxent._aggregate.named_sums import NamedSums
from fastxent._core import validation
from fastxent._core.errors import in_place

__all__ = ["accumulate", "accumulate_frame"]

#: Accumulators that one task adds.
_FAN_IN = 16

Chunks = tuple[tuple[float, ...], ...]


def accumulate(
    loss: Any,
    y_true: Any,
    scores: Any = None,
    *,
    sample_weight: Any = None,
    where: Any = None,
    groups: Any = None,
    clusters: Any = None,
    var: Any = None,
    **options: Any,
) -> Delayed:
    """Accumulate the losses of Dask arrays, lazily.

    Parameters
    ----------
    loss : callable or str
        One of the losses of fastxent, or its name.
    y_true, scores : dask.array.Array or array_like
        As the loss takes them, in any chunks. The others are cut like the scores; where chunks are
        of unknown size there must be as many of each. `fastxent.entropy` takes one array.
    sample_weight, where, groups, clusters, var : dask.array.Array or array_like, optional
        As `fastxent.LossAccumulator.update` takes them.
    **options
        The options of `fastxent.LossAccumulator`.

    Returns
    -------
    dask.delayed.Delayed
        Of a `fastxent.LossAccumulator`. What is asked of it is lazy, too: ``.result()`` is the
        weighted mean over everything, never a mean of means.

    Examples
    --------
    >>> import dask.array as da
    >>> import fastxent.dask
    >>> y = da.from_array([1, 0, 1], chunks=2)
    >>> p = da.from_array([0.9, 0.2, 0.5], chunks=(1, 2))
    >>> acc = fastxent.dask.accumulate("binary_cross_entropy", y, p)
    >>> round(acc.result().compute(), 6)
    0.34055
    """
    empty = LossAccumulator(loss, **options)
    call = BoundLoss(loss, options, "accumulate")
    call.operands(y_true, scores)
    truth, first = da.asarray(y_true), da.asarray(y_true if scores is None else scores)
    axis = -1
    if call.loss.per_row:
        axis = validation.class_axis(first, call.options["axis"], call.loss.scores_name)
        first = first.rechunk({axis: -1})
    cuts = first.chunks if axis < 0 else first.chunks[:axis] + first.chunks[axis + 1 :]
    per_row = axis >= 0 and truth.ndim == first.ndim
    arrays = {"y_true": _cut(truth, call.loss.y_true_name, first.chunks if per_row else cuts)}
    if scores is not None:
        arrays["scores"] = first.to_delayed()
    per_loss = {"sample_weight": sample_weight, "where": where, "var": var}
    per_loss |= {"groups": groups, "clusters": clusters}
    for name, array in per_loss.items():
        if array is not None:
            arrays[name] = _cut(da.asarray(array), name, cuts)
    shape = tuple(map(len, cuts))
    update = delayed(_update, pure=False)
    parts = (
        update(empty, place, {k: _at(place, a, shape, axis) for k, a in arrays.items()})
        for place in np.ndindex(shape)
    )
    return _summed(empty, parts)


def accumulate_frame(
    loss: Any,
    frame: Any,
    y_true: str | list[str],
    scores: str | list[str] | None = None,
    *,
    sample_weight: str | None = None,
    where: str | None = None,
    groups: str | None = None,
    clusters: str | None = None,
    var: str | None = None,
    positive: Any = None,
    classes: Iterable[Any] | None = None,
    **options: Any,
) -> Delayed:
    """Accumulate the losses of a Dask data frame, lazily.

    Parameters
    ----------
    loss : callable or str
        One of the losses of fastxent, or its name.
    frame : dask.dataframe.DataFrame
    y_true, scores : str or list of str
        The columns; several are the classes, in this order.
    sample_weight, where, groups, clusters, var : str, optional
        The columns that are the arguments of `fastxent.LossAccumulator.update`.
    positive : str, optional
        The label that counts as 1, where labels are two other values ("yes" and "no").
    classes : list of str, optional
        The labels of the classes, in the order of the scores. By default labels that are strings
        are matched with the names of the score columns.
    **options
        The options of `fastxent.LossAccumulator`.

    Returns
    -------
    dask.delayed.Delayed
        Of a `fastxent.LossAccumulator`, as from `accumulate`; its ``groups()`` has the means by
        group.

    Examples
    --------
    >>> import dask.dataframe as dd, pandas as pd
    >>> import fastxent.dask
    >>> table = pd.DataFrame({"y": [1, 0, 1], "p": [0.9, 0.2, 0.5], "country": ["ch", "at", "ch"]})
    >>> acc = fastxent.dask.accumulate_frame(
    ...     "binary_cross_entropy", dd.from_pandas(table, npartitions=2), "y", "p", groups="country"
    ... )
    >>> round(acc.compute().groups()["ch"].mean, 6)
    0.399254

    Labels that are strings:

    >>> table["y"] = ["yes", "no", "yes"]
    >>> frame = dd.from_pandas(table, npartitions=2)
    >>> acc = fastxent.dask.accumulate_frame(
    ...     "binary_cross_entropy", frame, "y", "p", positive="yes"
    ... )
    >>> round(acc.result().compute(), 6)
    0.34055
    """
    empty = NamedSums(loss, options, label_names(positive, classes))
    columns = Columns(y_true, scores, sample_weight, where, groups, clusters, var)
    needed = frame[columns.needed(frame.columns)]
    update = delayed(_update_columns, pure=False)
    parts = (update(empty, n, part, columns) for n, part in enumerate(needed.to_delayed()))
    return _summed(empty, parts).accumulator


def _cut(array: Any, name: str, cuts: Chunks) -> Any:
    """The blocks of an array, cut like the losses along the dimensions that it has."""
    wanted = cuts[: array.ndim]
    known = not np.isnan(sum(map(sum, wanted + array.chunks)))
    if len(wanted) < array.ndim or (known and array.shape != tuple(map(sum, wanted))):
        shape = tuple(map(sum, cuts))
        raise ValueError(f"{name} has shape {array.shape}, but shape {shape} is needed")
    if known:
        return array.rechunk(wanted).to_delayed()
    if array.numblocks != tuple(map(len, wanted)):
        raise ValueError(
            f"{name} has {array.numblocks} chunks where {tuple(map(len, wanted))} are needed, and "
            f"sizes that are not known: call compute_chunk_sizes() on it and on the scores"
        )
    return array.to_delayed()


def _at(place: tuple[int, ...], blocks: Any, shape: tuple[int, ...], axis: int) -> Any:
    """The block at an index; the class axis is one block."""
    if blocks.ndim > len(shape):
        place = (*place[:axis], 0, *place[axis:])
    return blocks[place[: blocks.ndim]]


def _update(empty: LossAccumulator, place: Any, arguments: dict[str, Any]) -> LossAccumulator:
    accumulator = copy.copy(empty)
    try:
        accumulator.update(**arguments)
    except (TypeError, ValueError) as error:
        raise in_place(error, f"in block {place}") from error
    return accumulator


def _update_columns(empty: NamedSums, number: int, part: Any, columns: Columns) -> NamedSums:
    sums = empty.copy()
    if not len(part):
        return sums  # an empty partition may have any dtypes
    try:
        arguments = columns.taken(lambda name: _column(part, name))
        sums.update(arguments, columns.score_names(), _coded_labels(part, columns, sums.names))
    except (TypeError, ValueError) as error:
        raise in_place(error, f"in partition {number}") from error
    return sums


def _coded_labels(part: Any, columns: Columns, names: LabelNames) -> CodedLabels | None:
    """The labels if they are names."""
    if not isinstance(columns.y_true, str):
        return None
    column = part[columns.y_true]
    kind = column.cat.categories.dtype if hasattr(column, "cat") else column.dtype
    if not names.given and kind.kind not in "OUS":
        return None
    codes, found = column.factorize()
    return CodedLabels(codes, list(found))


def _column(part: Any, name: str | list[str]) -> Any:
    """A categorical column as it is, with its codes."""
    column = part[name]
    return column if hasattr(column, "cat") else column.to_numpy()


def _add(parts: list[Any]) -> Any:
    return functools.reduce(operator.add, parts)


def _summed(empty: Any, parts: Iterator[Delayed]) -> Delayed:
    """The sum as a tree, whose shape depends on the number of parts alone."""
    add = delayed(_add, pure=False)
    row = [*parts] or [delayed(empty)]
    while len(row) > 1:
        row = [add(row[i : i + _FAN_IN]) for i in range(0, len(row), _FAN_IN)]
    return row[0]

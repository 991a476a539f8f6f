"""Losses of Spark data frames: one accumulator per partition, in Python workers fed by Arrow.

Needs pyspark and pyarrow: the extra ``fastxent[spark]``, on the driver and on the executors.
"""

from __future__ import annotations

import functools
import operator
import pickle
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fastxent._aggregate.accumulator import LossAccumulator
from fastxent._aggregate.column_names import Columns
from fastxent._aggregate.label_names import CodedLabels, LabelNames, label_names
from fastxent._aggregate.named_sums import NamedSums
from fastxent._core.errors import in_place

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["accumulate"]


def accumulate(
    loss: Any,
    frame: DataFrame,
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
) -> LossAccumulator:
    """Accumulate the losses of a Spark data frame: one job, one row back for each partition.

    Parameters
    ----------
    loss : callable or str
        One of the losses of fastxent, or its name.
    frame : pyspark.sql.DataFrame
    y_true, scores : str or list of str
        The columns. Several are the classes, in this order, and so is one column of arrays: what
        ``pyspark.ml.functions.vector_to_array`` makes of a column of vectors. A null is a NaN.
    sample_weight, where, groups, clusters, var : str, optional
        The columns that are the arguments of `fastxent.LossAccumulator.update`. Null is a group or
        a cluster, too.
    positive : str, optional
        The label that counts as 1, where labels are two other values ("yes" and "no").
    classes : list of str, optional
        The labels of the classes, in the order of the scores. By default labels that are strings
        are matched with the names of the score columns.
    **options
        The options of `fastxent.LossAccumulator`.

    Returns
    -------
    LossAccumulator
        Over all rows: its ``result()`` is the weighted mean, never a mean of means, and its
        ``groups()`` has the means by group.

    Examples
    --------
    >>> import fastxent.spark
    >>> frame = spark.createDataFrame(
    ...     [(1, 0.9, "ch"), (0, 0.2, "at"), (1, 0.5, "ch")], "y int, p double, country string"
    ... )  # doctest: +SKIP
    >>> acc = fastxent.spark.accumulate(
    ...     "binary_cross_entropy", frame, "y", "p", groups="country"
    ... )  # doctest: +SKIP
    >>> acc.result(), acc.groups()["ch"].mean  # doctest: +SKIP
    (0.3405504158439941, 0.399253848054509)
    """
    empty = NamedSums(loss, options, label_names(positive, classes))
    columns = Columns(y_true, scores, sample_weight, where, groups, clusters, var)
    names = columns.needed(frame.columns)
    # Spark cannot map columns that have a dot in their names.
    quoted = (name.replace("`", "``") for name in names)
    needed = frame.selectExpr(*(f"`{name}` as c{i}" for i, name in enumerate(quoted)))
    work = functools.partial(_partial, empty, columns, names)
    partials = needed.mapInArrow(work, "partial binary")
    parts = (pickle.loads(row.partial) for row in partials.collect())
    return functools.reduce(operator.add, parts, empty).accumulator


def _partial(
    empty: NamedSums,
    columns: Columns,
    names: list[str],
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """In a worker: the accumulator of one partition."""
    sums, rows = empty.copy(), 0
    for batch in batches:
        if not batch.num_rows:
            continue
        try:
            named = pa.RecordBatch.from_arrays(batch.columns, names)
            labels = _coded_labels(columns, named, sums.names)
            sums.update(_arguments(columns, named), columns.score_names(), labels)
        except (TypeError, ValueError) as error:
            raise in_place(error, f"in the batch at row {rows} of a partition") from error
        rows += batch.num_rows
    yield pa.RecordBatch.from_pydict({"partial": [pickle.dumps(sums)]})


def _coded_labels(columns: Columns, batch: pa.RecordBatch, names: LabelNames) -> CodedLabels | None:
    """The labels if they are names."""
    if not isinstance(columns.y_true, str):
        return None
    column = batch.column(columns.y_true)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not names.given and not is_text:
        return None
    column = column.dictionary_encode()
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return CodedLabels(codes, column.dictionary.to_pylist())


def _arguments(columns: Columns, batch: pa.RecordBatch) -> dict[str, Any]:
    arguments = columns.taken(functools.partial(_array, batch))
    for name in ("groups", "clusters"):
        if name in arguments:
            arguments[name] = batch.column(getattr(columns, name)).dictionary_encode()
    return arguments


def _array(batch: pa.RecordBatch, name: str | list[str]) -> Any:
    """A column as a vector, several as a matrix, one of lists as a matrix too."""
    if not isinstance(name, str):
        return np.column_stack([_array(batch, one) for one in name])
    column = batch.column(name)
    if not pa.types.is_list(column.type):
        return column.to_numpy(zero_copy_only=False)
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    if np.any(lengths != lengths[0]):
        raise ValueError(f"the arrays in column {name!r} are not all of one length")
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)

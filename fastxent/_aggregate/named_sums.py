"""An accumulator with the labels that it has seen, for the partitions of a data frame."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from fastxent._aggregate.accumulator import LossAccumulator
from fastxent._aggregate.bound_loss import BoundLoss
from fastxent._aggregate.label_names import CodedLabels, LabelNames


class NamedSums:
    """An accumulator, and the names of its labels; they are added up together.

    Parameters
    ----------
    loss, options
        As `LossAccumulator` takes them.
    names : LabelNames
    """

    def __init__(self, loss: Any, options: dict[str, Any], names: LabelNames) -> None:
        call = BoundLoss(loss, options, "accumulate")
        self.accumulator, self.names = LossAccumulator(loss, **options), names
        self._per_row = call.loss.per_row
        self._omit = call.options.get("nan_policy") == "omit"

    def copy(self) -> NamedSums:
        """A copy to which a partition is added."""
        other = copy.copy(self)
        other.accumulator, other.names = copy.copy(self.accumulator), copy.copy(self.names)
        return other

    def update(
        self, arguments: dict[str, Any], columns: list[str], labels: CodedLabels | None
    ) -> None:
        """Add a batch, whose labels are names unless None."""
        if labels is not None:
            shape = np.shape(arguments["scores"])
            n_classes = shape[1] if self._per_row and len(shape) == 2 else None
            arguments["y_true"], arguments["where"] = labels.numbers(
                self.names, columns, n_classes, arguments.get("where"), self._omit
            )
        self.accumulator.update(**arguments)

    def __add__(self, other: NamedSums) -> NamedSums:
        both = self.copy()
        both.names.merge(other.names)
        both.accumulator += other.accumulator
        return both

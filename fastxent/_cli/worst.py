"""The rows of the largest losses, with their labels and scores, over all files."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastxent._aggregate.elementwise import Block
from fastxent._aggregate.largest_losses import LargestSelection
from fastxent._cli.columns import ColumnRoles
from fastxent._cli.files import Batch


class WorstRows:
    """The n rows of the largest losses of the first model.

    Parameters
    ----------
    n : int
    roles : ColumnRoles
    """

    def __init__(self, n: int, roles: ColumnRoles) -> None:
        self._roles = roles
        self._selection = LargestSelection(n)
        self._rows: dict[int, dict[str, Any]] = {}  # by the number of the row among all
        self._batch: Batch | None = None
        self._before = 0  # rows before the batch, in all files

    def start(self, batch: Batch) -> None:
        """The blocks that follow are those of this batch."""
        if self._batch is not None:
            self._before += self._batch.rows
        self._batch = batch

    def add(self, block: Block) -> None:
        """Add a block of the batch."""
        assert self._batch is not None
        first = self._before + (block.index[0].start or 0)
        numbers = np.arange(first, first + len(block.losses))
        if not self._selection.add(block.losses, numbers, block.valid):
            return
        kept = self._selection.result().indices.tolist()
        self._rows = {
            i: self._rows.get(i) or self._row(self._batch, i - self._before) for i in kept
        }

    def _row(self, batch: Batch, i: int) -> dict[str, Any]:
        names = dict.fromkeys(name for model in self._roles.models for name in model)
        return {
            "file": str(batch.path),
            "row": batch.row(i),
            "label": _value(batch, self._roles.label, i),
            "scores": {name: _value(batch, name, i) for name in names},
        }

    def result(self) -> list[dict[str, Any]]:
        """Loss, file, row, label and scores of each row, largest loss first."""
        losses, numbers = self._selection.result()
        return [
            {"loss": loss, **self._rows[i]}
            for loss, i in zip(losses.tolist(), numbers.tolist(), strict=True)
        ]


def _value(batch: Batch, name: str, i: int) -> Any:
    """A value as the file has it."""
    column = batch.columns[name]
    return column[i].tolist() if isinstance(column, np.ndarray) else column[i].as_py()

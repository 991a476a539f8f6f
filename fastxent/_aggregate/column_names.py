"""Columns by name, for the data frames of Dask and Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Columns(NamedTuple):
    """The names of the columns that are the arguments of `LossAccumulator.update`."""

    y_true: str | list[str]
    scores: str | list[str] | None = None
    sample_weight: str | None = None
    where: str | None = None
    groups: str | None = None
    clusters: str | None = None
    var: str | None = None

    def needed(self, there: Iterable[str]) -> list[str]:
        """All the names, once each; ValueError if there is no such column."""
        there = list(there)
        names: dict[str, None] = {}
        for given in self:
            names.update(dict.fromkeys([given] if isinstance(given, str) else given or []))
        for name in names:
            if name not in there:
                columns = ", ".join(map(str, there))
                raise ValueError(f"there is no column {name!r}: the columns are {columns}")
        return list(names)

    def score_names(self) -> list[str]:
        """The columns of the scores."""
        return [self.scores] if isinstance(self.scores, str) else self.scores or []

    def taken(self, column: Callable[[Any], Any]) -> dict[str, Any]:
        """The arguments: `column` of each name or list of names."""
        return {k: column(name) for k, name in self._asdict().items() if name is not None}

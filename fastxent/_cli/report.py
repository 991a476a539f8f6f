"""Output of ``fastxent score``: tab-separated columns or JSON, and what `tables` shows."""

from __future__ import annotations

import functools
import importlib
import json
import math
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastxent._aggregate import student_t
from fastxent._aggregate.standard_error import Comparison, GroupResults
from fastxent._cli.errors import printable
from fastxent._cli.progress import Progress

CONFIDENCE = 0.95


class Result(NamedTuple):
    """All that is printed."""

    loss: str
    reduction: str
    by: list[str]  # the columns of the keys
    models: list[str]  # the score columns of each
    clipped: list[int]  # rows of each model
    read: Progress
    groups: GroupResults
    worst: list[dict[str, Any]] | None  # None: not asked for
    warnings: list[str]
    overall: Any  # the Score or Comparison over all groups; None where it is not shown
    calibration: dict[str, float] | None = None  # of the only record; None: not asked for

    @property
    def about(self) -> dict[str, Any]:
        """What was read."""
        about: dict[str, Any] = {
            "loss": self.loss,
            "files": self.read.files,
            "rows": self.read.rows,
        }
        if any(self.clipped):
            about["clipped"] = self.clipped if len(self.clipped) > 1 else self.clipped[0]
        return about

    def records(self, places: Sequence[int] | None = None) -> Iterator[dict[str, Any]]:
        """One record for each group, or for the given ones; without groups one record."""
        keys = self.groups.keys
        places = range(len(keys)) if places is None else places
        for i, values in zip(places, self.groups.records(places), strict=True):
            yield {**self._group(keys[i]), **self.values(values), **(self.calibration or {})}

    def largest_groups(self, n: int) -> list[int]:
        """The places of the groups of the largest weight."""
        order = np.argsort(-self.groups.weights(), kind="stable")
        places: list[int] = order[:n].tolist()
        return places

    def as_dict(self) -> dict[str, Any]:
        """What JSON has."""
        groups = {"groups": list(self.records())} if self.by else next(self.records())
        return {**self.about, **groups, **({} if self.worst is None else {"worst": self.worst})}

    def keys(self, place: int) -> dict[str, str]:
        """The key of a group as text, by the names of its columns."""
        key = self.groups.keys[place]
        keys = key if len(self.by) > 1 else (key,)
        return {name: key_text(k) for name, k in zip(self.by, keys, strict=True)}

    def _group(self, key: Any) -> dict[str, Any]:
        """The key; of several columns, a dictionary by their names."""
        if not self.by:
            return {}
        several = len(self.by) > 1
        return {"group": dict(zip(self.by, key, strict=True)) if several else key}

    def values(self, record: Any) -> dict[str, Any]:
        """What is printed of a Score or Comparison."""
        values = record._asdict()
        df = values.pop("degrees_of_freedom")
        if self.reduction == "sum":
            total = record.mean * record.weight if record.weight else 0.0
            return {"sum": total, "weight": record.weight, "count": record.count}
        compared = isinstance(record, Comparison)
        middle = record.difference if compared else record.mean
        margin = _critical_value(df) * record.standard_error
        rest = {k: values.pop(k) for k in ("weight", "count")}
        values |= {"ci_lower": middle - margin, "ci_upper": middle + margin}
        if compared:
            values |= {"t": record.t, "p_value": record.p_value}
        return {**values, **rest}


@functools.lru_cache(1 << 16)  # of many groups, many have the same size
def _critical_value(degrees_of_freedom: float) -> float:
    return student_t.critical_value(CONFIDENCE, degrees_of_freedom)


def partial_summary(read: Progress, result: Result | None) -> str:
    """Summary printed after Ctrl-C."""
    text = f"{read.rows:,} rows, {100 * read.fraction:.0f} % of the input"
    if result is None or result.by or result.reduction == "none":
        return text
    record = next(result.records())
    values = ", ".join(f"{heading(result, k)} {short(v)}" for k, v in record.items())
    return f"{text}; partial result: {values}"


def write(result: Result, as_json: bool) -> None:
    """Print the result on standard output."""
    if as_json:
        sys.stdout.writelines(_json(result))
    elif sys.stdout.isatty():
        importlib.import_module("fastxent._cli.tables").show(result)  # rich is slow to import
    else:
        sys.stdout.writelines(_plain(result))


# ---- JSON ----------------------------------------------------------------------------------------


def _json(result: Result) -> Iterator[str]:
    """The text in pieces, a line for each group: there may be millions."""
    if not result.by:
        yield _json_text(result.as_dict()) + "\n"
        return
    yield _json_text(result.about).removesuffix("\n}") + ',\n  "groups": ['
    separator = "\n"
    for record in result.records():
        yield f"{separator}    {_json_text(record, indent=None)}"
        separator = ",\n"
    yield "\n  ]"
    if result.worst is not None:
        worst = textwrap.indent(_json_text(result.worst), "  ").lstrip()
        yield f',\n  "worst": {worst}'
    yield "\n}\n"


def _json_text(value: Any, indent: int | None = 2) -> str:
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=False, default=printable)
    # What JSON leaves and a terminal obeys: DEL and the control characters beyond ASCII.
    return re.sub(r"[^\n -~]", _json_printable, text)


def _json_printable(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def _finite(value: Any) -> Any:
    """None for nan and inf, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list) else value


# ---- tab-separated columns -----------------------------------------------------------------------


def _plain(result: Result) -> Iterator[str]:
    """The number alone, or tab-separated columns; after an empty line, the worst rows."""
    if not result.by and len(result.models) == 1 and result.calibration is None:
        yield repr(next(iter(next(result.records()).values()))) + "\n"
    else:
        yield from _tab_separated(map(_flat, result.records()))
    if result.worst is not None:
        yield "\n"
        yield from _tab_separated(map(_with_scores_apart, result.worst))


def _tab_separated(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    for i, record in enumerate(records):
        if i == 0:
            yield "\t".join(map(printable, record)) + "\n"
        yield "\t".join(map(_cell, record.values())) + "\n"


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """The record with a column for each of several keys."""
    group = record.get("group")
    if not isinstance(group, dict):
        return record
    return {**group, **{k: v for k, v in record.items() if k != "group"}}


def _with_scores_apart(row: dict[str, Any]) -> dict[str, Any]:
    """The row with a column for each score."""
    return {**{k: v for k, v in row.items() if k != "scores"}, **row["scores"]}


def _cell(value: Any) -> str:
    return repr(value) if isinstance(value, float) else printable(value)


# ---- values in words -----------------------------------------------------------------------------

HEADINGS = {
    "standard_error": "std. error",
    "mean_a": "mean",
    "mean_b": "mean",
    "difference": "diff.",
    "p_value": "p-value",
    "calibration_error_bound": "miscalibration, at most more",
    "interval": f"{CONFIDENCE:.0%} interval".replace("%", " %"),
}


def heading(result: Result, key: str) -> str:
    """The heading of a value; the mean of one of two models names its score columns."""
    if key in ("mean_a", "mean_b"):
        return f"mean of {printable(result.models[key == 'mean_b'])}"
    return HEADINGS.get(key, key)


def with_interval(record: dict[str, Any], digits: int) -> dict[str, Any]:
    """The record with both ends of the interval as one text."""
    both = "ci_lower" in record
    shown = {}
    for key, value in record.items():
        if key == "ci_lower":
            shown["interval"] = f"{value:.{digits}g} to {record['ci_upper']:.{digits}g}"
        elif not both or key != "ci_upper":
            shown[key] = value
    return shown


def title(result: Result) -> str:
    """The name of the loss."""
    return result.loss.replace("_", " ").replace("with logits", "of logits")


def scores_text(scores: dict[str, Any]) -> str:
    """The scores of a row in short: the first ones by name."""
    pairs: list[tuple[str, Any]] = []
    for name, value in scores.items():
        values = value if isinstance(value, list) else [value]
        names = [f"{name}[{i}]" for i in range(len(values))] if value is values else [name]
        pairs += zip(names, values, strict=True)
    shown = [f"{printable(name)} {short(value)}" for name, value in pairs[:8]]
    return ", ".join(shown) + (f", … {len(pairs) - 8:,} more" if len(pairs) > 8 else "")


def key_text(key: Any) -> str:
    """The key of a group."""
    return "(null)" if key is None else "(empty)" if key == "" else printable(key)


def short(value: Any) -> str:
    """A value in few characters."""
    return number(value, 5)


def number(value: Any, digits: int) -> str:
    """A value, a float with this many digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.{digits}g}" if isinstance(value, float) else printable(value)

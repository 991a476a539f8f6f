"""Output of ``fastxent score``: a progress bar, then a table, tab-separated columns, or JSON."""

from __future__ import annotations

import json
import math
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import rich.box
import rich.console
import rich.markup
import rich.progress
import rich.table
import rich.text

from fastxent._aggregate.groups import ByGroup
from fastxent._aggregate.standard_error import Comparison

if TYPE_CHECKING:
    from fastxent._cli.files import Batch
    from fastxent._cli.sources import Source

WIDTH = 80
REFRESH = 0.1  # seconds between two updates of the bar


class Progress:
    """How far the files have been read; a bar on standard error if that is a terminal.

    Attributes
    ----------
    files, rows : int
    fraction : float
        Of the bytes of all files.
    seconds : float
    """

    def __init__(self, sources: list[Source], quiet: bool) -> None:
        self._total = max(1, sum(source.size for source in sources))
        self._done = 0
        self._current: Source | None = None
        self.files = len(sources)
        self.rows, self.fraction, self.seconds = 0, 0.0, 0.0
        self._bar: rich.progress.Progress | None = None
        if sys.stderr.isatty() and not quiet:
            self._bar = rich.progress.Progress(
                rich.progress.BarColumn(24),
                rich.progress.TaskProgressColumn(),
                rich.progress.TextColumn("{task.fields[text]}"),
                rich.progress.TimeRemainingColumn(compact=True),
                console=rich.console.Console(stderr=True, highlight=False),
                transient=True,
                auto_refresh=False,
            )

    def __enter__(self) -> Self:
        self._start = self._shown = time.perf_counter()
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=1.0, text="")
            self._bar.refresh()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._start
        if self._bar is not None:
            if error[0] is None:
                self._refresh()
            self._bar.stop()

    def show(self, batch: Batch) -> None:
        """Count a batch as scored."""
        if batch.path is not self._current:
            self._done += self._current.size if self._current else 0
            self._current = batch.path
        self.rows += batch.rows
        self.fraction = min(1.0, (self._done + batch.fraction * batch.path.size) / self._total)
        if self._bar is not None and time.perf_counter() - self._shown > REFRESH:
            self._refresh()

    def _refresh(self) -> None:
        assert self._bar is not None
        self._shown = time.perf_counter()
        rate = self.rows / max(1e-9, self._shown - self._start)
        text = f"{self.rows:,} rows, {rate:,.0f} rows/s"
        self._bar.update(self._task, completed=self.fraction, text=text, refresh=True)


class Result(NamedTuple):
    """All that is printed."""

    loss: str
    reduction: str
    by: list[str]  # the columns of the keys
    models: list[str]  # the score columns of each
    clipped: list[int]  # rows of each model
    read: Progress
    by_group: ByGroup[Any]

    def records(self) -> list[dict[str, Any]]:
        """One record per group, or a single record."""
        records = []
        for key, record in self.by_group.items():
            records.append({**self._group(key), **self._values(record)})
        return records

    def _group(self, key: Any) -> dict[str, Any]:
        """The key; of several columns, a dictionary by their names."""
        if not self.by:
            return {}
        several = len(self.by) > 1
        return {"group": dict(zip(self.by, key, strict=True)) if several else key}

    def _values(self, record: Any) -> dict[str, Any]:
        values = record._asdict()
        values.pop("degrees_of_freedom")
        if isinstance(record, Comparison):
            rest = {k: values.pop(k) for k in ("weight", "count")}
            return {**values, "t": record.t, "p_value": record.p_value, **rest}
        if self.reduction == "sum":
            total = record.mean * record.weight if record.weight else 0.0
            return {"sum": total, "weight": record.weight, "count": record.count}
        return dict(values)


def partial_summary(read: Progress, result: Result | None) -> str:
    """Summary printed after Ctrl-C."""
    text = f"{read.rows:,} rows, {100 * read.fraction:.0f} % of the input"
    if result is None or result.by or result.reduction == "none":
        return text
    record = result.records()[0]
    values = ", ".join(f"{_heading(result, k)} {_short(v)}" for k, v in record.items())
    return f"{text}; partial result: {values}"


def write(result: Result, as_json: bool) -> None:
    """Print the result on standard output."""
    if as_json:
        print(_json(result))
    elif sys.stdout.isatty():
        _print_table(result)
    else:
        print(_plain(result))


def _json(result: Result) -> str:
    about: dict[str, Any] = {
        "loss": result.loss,
        "files": result.read.files,
        "rows": result.read.rows,
    }
    records = [{k: _finite(v) for k, v in r.items()} for r in result.records()]
    if any(result.clipped):
        about["clipped"] = result.clipped if len(result.clipped) > 1 else result.clipped[0]
    whole = records[0] if not result.by else {"groups": records}
    return json.dumps({**about, **whole}, indent=2, ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    """None for nan and inf, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(result: Result) -> str:
    """The number alone, or tab-separated columns."""
    records = result.records()
    if not result.by and len(records[0]) <= 4:
        return repr(next(iter(records[0].values())))
    lines = ["\t".join(_flat(records[0]))] if records else []
    lines += ["\t".join(map(_cell, _flat(record).values())) for record in records]
    return "\n".join(lines)


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """The record with a column for each of several keys."""
    group = record.get("group")
    if not isinstance(group, dict):
        return record
    return {_printable(k): v for k, v in group.items()} | {
        k: v for k, v in record.items() if k != "group"
    }


def _cell(value: Any) -> str:
    return repr(value) if isinstance(value, float) else _printable(value)


def _printable(value: Any) -> str:
    """A key with control characters escaped."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


HEADINGS = {
    "standard_error": "std. error",
    "mean_a": "mean",
    "mean_b": "mean",
    "difference": "diff.",
    "p_value": "p-value",
}


def _heading(result: Result, key: str) -> str:
    """The heading of a value; the mean of one of two models names its score columns."""
    if key in ("mean_a", "mean_b"):
        return f"mean of {result.models[key == 'mean_b']}"
    return HEADINGS.get(key, key)


def _print_table(result: Result) -> None:
    console = rich.console.Console(highlight=False)
    console = rich.console.Console(highlight=False, width=min(console.width, WIDTH))
    name = result.loss.replace("_", " ").replace("with logits", "of logits")
    table = rich.table.Table(box=rich.box.SIMPLE, title=name, title_justify="left")
    records = result.records()
    if not result.by:
        table.show_header = False
        table.add_column()
        table.add_column(justify="right")
        for key, value in records[0].items():
            table.add_row(rich.text.Text(_heading(result, key)), _long(value))
    else:
        _add_groups(table, result, records)
    console.print(table)
    read = result.read
    rate = read.rows / max(read.seconds, 1e-9)
    files = "1 file" if read.files == 1 else f"{read.files:,} files"
    console.print(
        f"{read.rows:,} rows of {files} in {read.seconds:.1f} s: {rate:,.0f} rows per second"
    )
    if result.by_group.columns.get("difference") is not None:
        a, b = map(rich.markup.escape, result.models)
        console.print(f"The difference is {a} - {b}: negative where {a} is better.")


def _add_groups(table: Any, result: Result, records: list[dict[str, Any]]) -> None:
    left_out = {"t"} if records and "t" in records[0] else set()
    if all(r["weight"] == r["count"] for r in records) or left_out:
        left_out.add("weight")
    for name in ["group"] if len(result.by) == 1 else result.by:
        heading = rich.text.Text(_printable(name))
        table.add_column(heading, no_wrap=True, overflow="ellipsis", min_width=4)
    names = [k for k in (records[0] if records else {}) if k not in {"group", *left_out}]
    for name in names:
        short = {"mean_a": result.models[0], "mean_b": result.models[-1]}
        heading = rich.text.Text(short.get(name) or HEADINGS.get(name, name))
        table.add_column(heading, justify="right", no_wrap=True, overflow="ellipsis")
    for record in records:
        group = record["group"]
        keys = group.values() if isinstance(group, dict) else [group]
        cells = [*map(_key, keys), *(_short(record[name]) for name in names)]
        table.add_row(*map(rich.text.Text, cells))


def _key(key: Any) -> str:
    return "(null)" if key is None else "(empty)" if key == "" else _printable(key)


def _short(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"


def _long(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.9g}"

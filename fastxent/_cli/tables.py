"""Tables of a result for a terminal."""

from __future__ import annotations

from typing import Any

import rich.box
import rich.console
import rich.markup
import rich.table
import rich.text

from fastxent._cli.errors import printable
from fastxent._cli.report import (
    HEADINGS,
    Result,
    heading,
    key_text,
    number,
    scores_text,
    short,
    title,
    with_interval,
)

WIDTH = 80
#: A terminal shows all groups up to MANY, and of more the FEW largest.
MANY, FEW = 50, 20


def show(result: Result) -> None:
    """Print the result as tables."""
    console = rich.console.Console(highlight=False)
    console = rich.console.Console(highlight=False, width=min(console.width, WIDTH))
    table = rich.table.Table(box=rich.box.SIMPLE, title=title(result), title_justify="left")
    if not result.by:
        table.show_header = False
        table.add_column()
        table.add_column(justify="right")
        for key, value in with_interval(next(result.records()), 9).items():
            table.add_row(rich.text.Text(heading(result, key)), number(value, 9))
        console.print(table)
    else:
        n = len(result.groups.keys)
        more = n - FEW if n > MANY else 0
        places = result.largest_groups(FEW) if more else None
        _add_groups(table, result, list(result.records(places)))
        console.print(table)
        if more:
            console.print(
                f"… and {more:,} more groups: these are the {FEW} largest; "
                "--json and a pipe have them all."
            )
    if result.worst:
        console.print(_worst_table(result.worst))
    _print_about(console, result)


def _print_about(console: Any, result: Result) -> None:
    read = result.read
    rate = read.rows / max(read.seconds, 1e-9)
    files = "1 file" if read.files == 1 else f"{read.files:,} files"
    console.print(
        f"{read.rows:,} rows of {files} in {read.seconds:.1f} s: {rate:,.0f} rows per second"
    )
    if len(result.models) == 2:
        a, b = (rich.markup.escape(printable(model)) for model in result.models)
        console.print(f"The difference is {a} - {b}: negative where {a} is better.")


def _add_groups(table: Any, result: Result, records: list[dict[str, Any]]) -> None:
    compared = len(result.models) == 2
    left_out = {"group"} | ({"t", "interval", "weight"} if compared else set())
    if all(r["weight"] == r["count"] for r in records):
        left_out.add("weight")
    for name in ["group"] if len(result.by) == 1 else result.by:
        column = rich.text.Text(printable(name))
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=4)
    shown = [with_interval(record, 4) for record in records]
    names = [k for k in (shown[0] if shown else {}) if k not in left_out]
    for name in names:
        models = {"mean_a": result.models[0], "mean_b": result.models[-1]}
        column = rich.text.Text(printable(models.get(name) or HEADINGS.get(name, name)))
        table.add_column(column, justify="right", no_wrap=True, overflow="ellipsis")
    for record in shown:
        group = record["group"]
        keys = group.values() if isinstance(group, dict) else [group]
        cells = [*map(key_text, keys), *(short(record[name]) for name in names)]
        table.add_row(*map(rich.text.Text, cells))


def _worst_table(rows: list[dict[str, Any]]) -> Any:
    table = rich.table.Table(box=rich.box.SIMPLE, title="largest losses", title_justify="left")
    table.add_column("loss", justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    table.add_column("row", justify="right", no_wrap=True)
    table.add_column("label", no_wrap=True, overflow="ellipsis")
    table.add_column("scores", overflow="ellipsis")
    for row in rows:
        cells = [short(row["loss"]), printable(row["file"]), short(row["row"])]
        cells += [short(row["label"]), scores_text(row["scores"])]
        table.add_row(*map(rich.text.Text, cells))
    return table

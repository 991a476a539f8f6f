"""Tables that are made of what they are about: the options, and the figures in benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from fastxent._core.loss import DEFAULTS
from fastxent._losses import LOSSES

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


Row = dict[str, Any]


class Table(SphinxDirective):
    """A table, of which the subclass says what is in it."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(__file__)
        return self.parse_text_to_nodes("\n".join(list_table(self.title(), self.rows())))

    def title(self) -> str:
        return ""

    def read(self, name: str) -> Any:
        """What the benchmarks have found."""
        path = RESULTS / f"{name}.json"
        self.env.note_dependency(path)
        return json.loads(path.read_text("utf-8"))


def list_table(title: str, rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield f".. list-table:: {title}".rstrip()
    yield "   :header-rows: 1"
    yield ""
    for row in rows:
        first, *others = row
        yield f"   * - {first}"
        yield from (f"     - {cell}".rstrip() for cell in others)


class Accuracy(Table):
    """Errors against mpmath."""

    def rows(self):
        rows = self.read("accuracy")["rows"]
        yield rows[0]
        yield from (row.values() for row in rows)


class Speed(Table):
    """Beside memory, float32 ("half precision"), or the peers ("others")."""

    required_arguments = 1
    final_argument_whitespace = True

    def title(self):
        machine, clock = self.read("figures")["machine"], self.read("headline")["clock"]
        text = (
            "One thread of {cpu} ({level}), Python {python}, NumPy {numpy}, {clock} time, float32"
        )
        return text.format(**machine, clock=clock)

    def rows(self):
        title = self.arguments[0]
        yield "loss", "scores", "ms", ""
        for row in self.read("headline")["rows"]:
            if title == table_of(row):
                yield work(row), f"{row['size']:,}", f"{row['seconds'] * 1e3:.3g}", against(row)


def table_of(row: Row) -> str:
    if row["against"] == "float32":
        return "half precision"
    return "memory" if row["slower"] else "others"


def work(row: Row) -> str:
    return row["work"] if row["dtype"] == "float32" else f"{row['work']}, {row['dtype']}"


def against(row: Row) -> str:
    by, figure = row["against"], row["figure"]
    return f"{figure:.2f} × {by}" if row["slower"] else f"{figure:.3g} × faster than {by}"


class Meaning(Table):
    """The first table under a heading of README.md."""

    required_arguments = 1
    final_argument_whitespace = True

    def rows(self):
        path = ROOT / "README.md"
        self.env.note_dependency(path)
        heading = self.arguments[0]
        _, _, text = path.read_text("utf-8").partition(f"\n## {heading}\n\n")
        table, _, _ = text.partition("\n\n")
        yield "", heading
        for line in table.splitlines()[2:]:
            yield [cell.strip().replace("`", "``") for cell in line.strip("|").split("|")]


class Options(Table):
    """Which loss takes which option."""

    def rows(self):
        yield "option", "default", "taken by"
        for option, default in DEFAULTS.items():
            takers = [loss.name for loss in LOSSES if option in loss.takes]
            if len(takers) == len(LOSSES):
                taken = "every loss"
            else:
                taken = ", ".join(f":func:`~fastxent.{name}`" for name in takers)
            yield f"``{option}``", f"``{default!r}``", taken


def setup(app):
    for table in (Accuracy, Meaning, Options, Speed):
        app.add_directive(f"{table.__name__.lower()}-table", table)
    return {"parallel_read_safe": True}

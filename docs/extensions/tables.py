"""Directives that render the measurements in benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

Row = dict[str, Any]


class Measured(SphinxDirective):
    """A directive whose text depends on the measurements."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(__file__)
        return self.parse_text_to_nodes("\n".join(self.lines()))

    def lines(self) -> Iterable[str]:
        raise NotImplementedError

    def read(self, name: str) -> Any:
        """The measurements in one of the files."""
        path = RESULTS / f"{name}.json"
        self.env.note_dependency(path)
        return json.loads(path.read_text("utf-8"))


class Table(Measured):
    """A table whose title and rows the subclass yields."""

    def lines(self):
        return list_table(self.title(), self.rows())

    def title(self) -> str:
        return ""


def list_table(title: str, rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield f".. list-table:: {title}".rstrip()
    yield "   :header-rows: 1"
    yield ""
    for row in rows:
        first, *others = row
        yield f"   * - {first}"
        yield from (f"     - {cell}".rstrip() for cell in others)


class Accuracy(Table):
    """Errors relative to mpmath."""

    def rows(self):
        rows = self.read("accuracy")["rows"]
        yield rows[0]
        yield from (row.values() for row in rows)


class Speed(Table):
    """Times against "memory" bandwidth, float32 ("half precision"), "plain" calls or "others"."""

    required_arguments = 1
    final_argument_whitespace = True

    def title(self):
        found = self.read("targets")
        text = (
            "One thread of {cpu} ({level}), Python {python}, NumPy {numpy}, {clock} time, float32"
        )
        return text.format(**found["machine"], clock=found["clock"])

    def rows(self):
        title = self.arguments[0]
        yield "loss", "scores", "ms", ""
        for row in self.read("targets")["rows"]:
            if title == table_of(row):
                yield work(row), f"{row['size']:,}", f"{row['seconds'] * 1e3:.3g}", against(row)


def table_of(row: Row) -> str:
    if row["against"] == "float32":
        return "half precision"
    if row["against"] == "the plain call" or row["against"].startswith("BCE"):
        return "plain"
    return "memory" if row["slower"] else "others"


def work(row: Row) -> str:
    return row["work"] if row["dtype"] == "float32" else f"{row['work']}, {row['dtype']}"


def against(row: Row) -> str:
    by, figure = row["against"], row["figure"]
    return f"{figure:.2f} × {by}" if row["slower"] else f"{figure:.3g} × faster than {by}"


class Sweep(Table):
    """Times of JAX over fastxent's: of losses by elements ("elements"), or by classes, of a dtype."""

    required_arguments = 1

    def title(self):
        about = self.read("sweep")["about"]
        return "JAX {jax} over fastxent ({level}), one thread, {clock} time".format(**about)

    def rows(self):
        asked, cases = self.arguments[0], self.read("sweep")["cases"]
        if asked == "elements":
            chosen = [(c["work"], c["dtype"], c["ratio"]) for c in cases if not c["classes"]]
        else:
            chosen = [
                (c["work"], f"{c['classes']:,}", c["ratio"])
                for c in cases
                if c["classes"] and c["dtype"] == asked
            ]
        columns = dict.fromkeys(column for _, column, _ in chosen)
        yield "loss", *columns
        for name in dict.fromkeys(work for work, _, _ in chosen):
            found = {column: ratio for work, column, ratio in chosen if work == name}
            yield name, *(f"{found[c]:.2g}" if c in found else "" for c in columns)


class SecondCpu(Measured):
    """The sentence about two threads."""

    def lines(self):
        found = self.read("targets")["scaling"]
        if not found:
            yield "The effect of a second CPU was not measured: only one was available."
            return
        gains = {name.replace(", ", " with "): f"{gain:.2f} ×" for name, gain in found.items()}
        computing, reading = gains.pop("computing"), gains.pop("reading")
        yield "On the machine of the tables below, a second thread speeds up pure arithmetic"
        yield f"{computing} and memory reads {reading}. Measured alternately with these,"
        yield f"``workers=2`` speeds up {' and '.join(map(' '.join, gains.items()))}."


def setup(app):
    app.add_directive("accuracy-table", Accuracy)
    app.add_directive("second-cpu", SecondCpu)
    app.add_directive("speed-table", Speed)
    app.add_directive("sweep-table", Sweep)
    return {"parallel_read_safe": True}

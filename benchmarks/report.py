"""From figures.json and targets.json: tables in Markdown, and two charts.

python benchmarks/report.py [DIR]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import charts

Record = dict[str, Any]

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"


def write(folder: Path) -> None:
    """Write results.md, peers.svg and levels.svg beside the figures, and the chart of README.md."""
    found = read(folder, "figures")
    figures = found["figures"]
    text = "\n".join(page(found["machine"], figures, read(folder, "targets")["rows"]))
    (folder / "results.md").write_text(text + "\n", "utf-8")
    charts.peers([f for f in figures if f["of"] == "peers"], folder / "peers.svg")
    charts.levels([f for f in figures if f["of"] == "losses"], folder / "levels.svg")
    if folder.resolve() == RESULTS:
        README.write_text(readme(README.read_text("utf-8")), "utf-8")


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


# ---- README --------------------------------------------------------------------------------


def readme(text: str) -> str:
    """README.md with the chart and the machine of results/; the pages have the tables."""
    machine = read(RESULTS, "figures")["machine"]
    before, mark, rest = text.partition("<!-- speed: written by benchmarks/report.py -->\n")
    _, end, after = rest.partition("<!-- end -->")
    return "".join([before, mark, *(f"{line}\n" for line in speed(machine)), end, after])


def speed(machine: Record) -> Iterator[str]:
    yield "![Time per score of fastxent and its peers](benchmarks/results/peers.svg)\n"
    yield f"One thread of {machine['cpu']} ({machine['level']}), Python {machine['python']}, NumPy"
    yield f"{machine['numpy']}. BCE is the binary and CE the categorical cross entropy."


# ---- tables --------------------------------------------------------------------------------


def page(machine: Record, figures: list[Record], targets: list[Record]) -> Iterator[str]:
    """Yield the lines of results.md."""
    yield "# Benchmarks\n"
    yield "Made by `make bench`; do not edit. " + "; ".join(f"{k} {v}" for k, v in machine.items())
    yield "\n`× reading` is how often `np.max` could have read the same arrays, interleaved with"
    yield "the call; the median of the ratios. One thread unless it says otherwise.\n"
    yield "## Against memory and peers: what is aimed at, and what has to hold\n"
    yield from table(
        ("work", "dtype", "scores", "against", "ms", "its ms", "measured", "goal", "bar"),
        (target_row(r) for r in targets),
    )
    for title, of, shape in (
        ("Every loss, dtype, size and level", "losses", losses_rows),
        ("Against the peers", "peers", peers_rows),
        ("Two workers over one", "workers", workers_rows),
    ):
        chosen = [f for f in figures if f["of"] == of]
        if chosen:
            yield f"\n## {title}\n"
            yield from table(*shape(chosen))


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join([' --- '] + [' ---: '] * (len(head) - 1))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def target_row(r: Record) -> list[str]:
    times = "" if r["slower"] else "×"
    return [
        r["work"],
        r["dtype"],
        f"{r['size']:,}",
        r["against"],
        ms(r["seconds"]),
        ms(r["other_seconds"]),
        f"**{r['figure']:.3g}{times}**",
        f"{r['goal']:g}{times}",
        f"{r['bar']:g}{times}",
    ]


def losses_rows(figures: list[Record]) -> tuple[list[str], Iterator[list[str]]]:
    levels = list(dict.fromkeys(f["level"] for f in figures))  # in the order of `run`
    cells: dict[tuple[str, str, int], dict[str, Record]] = {}
    for f in figures:
        cells.setdefault((f["work"], f["dtype"], f["size"]), {})[f["level"]] = f
    head = ["work", "dtype", "scores"]
    head += [f"{level}: {unit}" for level in levels for unit in ("ms", "× reading")]

    def rows() -> Iterator[list[str]]:
        for (work, dtype, size), by_level in cells.items():
            row = [work, dtype, f"{size:,}"]
            for level in levels:
                f = by_level.get(level)
                row += [ms(f["seconds"]), f"{f['ratio']:.3g}"] if f else ["", ""]
            yield row

    return head, rows()


def peers_rows(figures: list[Record]) -> tuple[list[str], Iterator[list[str]]]:
    ours = {key(f): f["seconds"] for f in figures if f["who"] == "fastxent"}

    def rows() -> Iterator[list[str]]:
        for f in figures:
            times = f["seconds"] / ours[key(f)] if key(f) in ours else float("nan")
            yield [
                f["work"],
                f["who"],
                f["dtype"],
                f"{f['size']:,}",
                ms(f["seconds"]),
                f"{f['ratio']:.3g}",
                f"{times:.3g}×",
            ]

    return ["work", "by", "dtype", "scores", "ms", "× reading", "over fastxent"], rows()


def workers_rows(figures: list[Record]) -> tuple[list[str], Iterator[list[str]]]:
    rows = (
        [f["work"], f"{f['size']:,}", ms(f["seconds"]), f"{1 / f['ratio']:.2f}×"] for f in figures
    )
    return ["work", "scores", "ms with two", "faster than one"], rows


def key(f: Record) -> tuple[str, str, int]:
    return f["work"], f["dtype"], f["size"]


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS)

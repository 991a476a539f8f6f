"""From figures.json and headline.json: tables in Markdown, and two charts.

python benchmarks/report.py [DIR]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

Record = dict[str, Any]

CHARTED = (  # of the peers' works, those that the README shows
    "BCE",
    "BCE of logits",
    "CE of logits, 10 classes",
    "CE of logits, 1,000 classes",
)
LEVELS = ("baseline", "avx2", "avx512")
OURS, THEIRS, FLOOR = "#c2410c", "#94a3b8", "#0f766e"
STYLE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "svg.hashsalt": "fastxent",  # the same figures give the same file
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
}


def write(folder: Path) -> None:
    """Write results.md, peers.svg and levels.svg beside the figures."""
    found = json.loads((folder / "figures.json").read_text("utf-8"))
    headline = folder / "headline.json"
    rows = json.loads(headline.read_text("utf-8"))["rows"] if headline.exists() else []
    figures = found["figures"]
    text = "\n".join(page(found["machine"], figures, rows))
    (folder / "results.md").write_text(text + "\n", "utf-8")
    with mpl.rc_context(STYLE):
        peers_chart([f for f in figures if f["of"] == "peers"], folder / "peers.svg")
        levels_chart([f for f in figures if f["of"] == "losses"], folder / "levels.svg")


# ---- tables --------------------------------------------------------------------------------


def page(machine: Record, figures: list[Record], headline: list[Record]) -> Iterator[str]:
    """Yield the lines of results.md."""
    yield "# Benchmarks\n"
    yield "Made by `make bench`; do not edit. " + "; ".join(f"{k} {v}" for k, v in machine.items())
    yield "\n`× reading` is how often `np.max` could have read the same arrays, timed by turns with"
    yield "the call; the median of the ratios. One thread unless it says otherwise.\n"
    if headline:
        yield "## Against memory and peers: what is aimed at, and what has to hold\n"
        yield from table(
            ("work", "dtype", "scores", "against", "ms", "its ms", "measured", "goal", "bar"),
            (headline_row(r) for r in headline),
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


def headline_row(r: Record) -> list[str]:
    times = "" if r["against"] in ("reading", "np.multiply", "read and write") else "×"
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
    levels = [level for level in LEVELS if any(f["level"] == level for f in figures)]
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


# ---- charts --------------------------------------------------------------------------------


def peers_chart(figures: list[Record], to: Path) -> None:
    """Time per score of each peer, log scale, and the time to read the same bytes."""
    single = [f for f in figures if f["dtype"] == "float32" and f["work"] in CHARTED]
    works = [w for w in CHARTED if any(f["work"] == w for f in single)]
    if not works:
        return
    groups = []
    for work in works:
        of_work = [f for f in single if f["work"] == work]
        largest = max(f["size"] for f in of_work)
        groups.append(
            sorted((f for f in of_work if f["size"] == largest), key=lambda f: f["seconds"])
        )
    heights = [len(g) + 1.2 for g in groups]
    figure, axes = plt.subplots(
        len(works),
        sharex=True,
        squeeze=False,
        figsize=(7.6, 0.2 * sum(heights) + 0.7),
        height_ratios=heights,
        layout="constrained",
    )
    for ax, group in zip(axes[:, 0], groups, strict=True):
        bars(ax, group)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", frameon=False)
    axes[-1, 0].set_xlabel("nanoseconds per score, one thread (log scale; less is better)")
    save(figure, to)


def bars(ax: Any, group: list[Record]) -> None:
    size = group[0]["size"]
    nanoseconds = [f["seconds"] / size * 1e9 for f in group]
    colors = [OURS if f["who"] == "fastxent" else THEIRS for f in group]
    places = range(len(group))
    ax.barh(places, nanoseconds, color=colors, height=0.72)
    for place, ns in zip(places, nanoseconds, strict=True):
        ax.annotate(
            f"{ns:.2g} ns" if ns < 10 else f"{ns:.0f} ns",
            (ns, place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
        )
    floors = [f["seconds"] / f["ratio"] / size * 1e9 for f in group]
    floor = sorted(floors)[len(floors) // 2]
    ax.axvline(floor, color=FLOOR, linestyle="--", linewidth=1.3, label="reading the same bytes")
    ax.set_xscale("log")
    ax.set_xlim(0.05, 400)
    ax.set_yticks(places, [f["who"] for f in group])
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.set_title(f"{group[0]['work']}: {size / 1e6:.1f} million float32 scores")


def levels_chart(figures: list[Record], to: Path) -> None:
    """Time per score over the size, for each level, and the time to read the same bytes."""
    single = [f for f in figures if f["dtype"] == "float32" and f["work"] in CHARTED]
    works = [w for w in CHARTED if any(f["work"] == w for f in single)]
    if not works:
        return
    figure, axes = plt.subplots(
        1, len(works), sharey=True, squeeze=False, figsize=(10, 3), layout="constrained"
    )
    for ax, work in zip(axes[0], works, strict=True):
        of_work = [f for f in single if f["work"] == work]
        for level, color in zip(LEVELS, ("#94a3b8", "#3b82f6", OURS), strict=True):
            points = sorted((f["size"], f["seconds"]) for f in of_work if f["level"] == level)
            ax.plot(
                [n for n, _ in points],
                [s / n * 1e9 for n, s in points],
                marker="o",
                markersize=3,
                color=color,
                label=level,
            )
        floor = sorted((f["size"], f["seconds"] / f["ratio"]) for f in of_work)
        sizes = sorted({n for n, _ in floor})
        least = [min(s for n, s in floor if n == size) / size * 1e9 for size in sizes]
        ax.plot(sizes, least, color=FLOOR, linestyle="--", linewidth=1.3, label="reading")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_title(work)
        ax.set_xlabel("scores")
    axes[0, 0].set_ylabel("nanoseconds per score (log scale)")
    axes[0, -1].legend(frameon=False)
    save(figure, to)


def save(figure: Any, to: Path) -> None:
    figure.savefig(to, metadata={"Date": None}, facecolor="white")
    plt.close(figure)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results")

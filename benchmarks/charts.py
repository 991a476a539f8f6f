"""Two charts of the figures: beside the peers, and over the sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

Record = dict[str, Any]

CHARTED = (  # the peers' workloads that the README shows
    "BCE",
    "BCE of logits",
    "CE of logits, 10 classes",
    "CE of logits, 1,000 classes",
)
OURS, THEIRS, FLOOR = "#c2410c", "#94a3b8", "#0f766e"
COLORS = (THEIRS, "#3b82f6", OURS, "#7c3aed")  # of the levels
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
mpl.rcParams.update(STYLE)


def peers(figures: list[Record], to: Path) -> None:
    """Time per score of each peer, log scale, and the time to read the same bytes."""
    single = [f for f in figures if f["dtype"] == "float32" and f["work"] in CHARTED]
    workloads = [w for w in CHARTED if any(f["work"] == w for f in single)]
    if not workloads:
        return
    groups = []
    for work in workloads:
        of_work = [f for f in single if f["work"] == work]
        largest = max(f["size"] for f in of_work)
        groups.append(
            sorted((f for f in of_work if f["size"] == largest), key=lambda f: f["seconds"])
        )
    heights = [len(g) + 1.2 for g in groups]
    figure, axes = plt.subplots(
        len(workloads),
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
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
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


def levels(figures: list[Record], to: Path) -> None:
    """Time per score over the size, for each level, and the time to read the same bytes."""
    single = [f for f in figures if f["dtype"] == "float32" and f["work"] in CHARTED]
    workloads = [w for w in CHARTED if any(f["work"] == w for f in single)]
    if not workloads:
        return
    figure, axes = plt.subplots(
        1, len(workloads), sharey=True, squeeze=False, figsize=(10, 3), layout="constrained"
    )
    for ax, work in zip(axes[0], workloads, strict=True):
        of_work = [f for f in single if f["work"] == work]
        found = dict.fromkeys(f["level"] for f in of_work)  # in the order of `run`
        for level, color in zip(found, COLORS, strict=False):
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

"""Reliability diagrams and histograms of the losses, as pictures and as SVG."""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fastxent._calibration.histogram import Curve
from fastxent._cli.counts import BINS, EDGES, Panel, Series, wilson_interval
from fastxent._cli.errors import printable
from fastxent.plot import consistency_band

COLORS = ("#0072B2", "#D55E00")  # of the models: told apart also by those who see no red
_BEYOND = 4, 9  # the bin below the edges, in bins to their left


def problem(path: Path) -> str | None:
    """Why no picture can be written to the path; None if it can."""
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        return f"unknown picture format: use one of {' '.join('.' + k for k in sorted(known))}"
    return unwritable(path)


def unwritable(path: Path) -> str | None:
    """Why no file can be written to the path; None if it can."""
    if not path.parent.is_dir():
        return "no such directory"
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        return "not writable"
    return None


def draw(path: Path, panels: list[Panel], loss: str) -> None:
    """Write the picture: a row for each panel."""
    with _style():
        figure = Figure(figsize=(10, 5.2 * len(panels)), dpi=120, layout="constrained")
        rows = figure.subfigures(len(panels), 1, squeeze=False)[:, 0]
        for row, panel in zip(rows, panels, strict=True):
            left, right = row.subfigures(1, 2)
            draw_calibration(left, panel, loss)
            draw_losses(right, panel, loss)
            if len(panels) > 1:
                row.suptitle(printable(panel.name))
        figure.savefig(path)


def svg(drawing: Callable[[Any, Panel, str], None], panel: Panel, loss: str, prefix: str) -> str:
    """A drawing as an SVG element; the prefix keeps its ids apart from those of others."""
    with _style():
        figure = Figure(figsize=(4.8, 4.6), layout="constrained")
        drawing(figure, panel, loss)
        file = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing, transparent=True)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{prefix}", text)


@contextlib.contextmanager
def _style() -> Iterator[None]:
    options = {
        "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False,
        "svg.fonttype": "none", "svg.hashsalt": "fastxent", "font.size": 9.0,
    }  # fmt: skip
    with mpl.rc_context(options), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # names in any script
        yield


# ---- calibration ---------------------------------------------------------------------------------


def draw_calibration(figure: Any, panel: Panel, loss: str) -> None:
    """The observed frequency in each bin of the predicted probability; below, the rows."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1.4))
    above.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="perfectly calibrated")
    if panel.curve is not None:
        _draw_curve(above, panel.curve, COLORS[0])
    for (name, series), color in zip(panel.series, COLORS, strict=False):
        _draw_frequencies(
            above, series, f"{_label(name)}, 95 % intervals", color, joined=panel.curve is None
        )
    binary = loss.startswith("binary")
    outcome = "label 1" if binary else "the top class"
    above.set(ylabel=f"observed frequency of {outcome}", xlim=(0, 1), ylim=(-0.02, 1.02))
    n = int(panel.series[0][1].sums[0].sum())
    parts = panel.parts or {}
    names = [f"{k} {v:.4g}" for k, v in parts.items() if k != "calibration_error_bound"]
    title = "\n".join([f"Calibration, n = {n:,}", *([", ".join(names)] if names else [])])
    above.set_title(title, fontsize="medium" if names else None)
    _draw_rows(below, panel)
    below.set_xlabel(
        "predicted probability of label 1" if binary
        else "confidence (predicted probability of the top class)"
    )  # fmt: skip
    _legend(figure, above)


def _draw_curve(axes: Any, curve: Curve, color: str) -> None:
    """The isotonic recalibration, and where it lies if the model is calibrated."""
    whole = np.all(curve.counts == np.round(curve.counts))
    if len(curve.at) and whole:  # labels are simulated for whole rows only
        at, low, high = consistency_band(curve.at, curve.counts.astype(np.int64), 0.95)
        axes.fill_between(
            at, low, high, color="0.5", alpha=0.25, linewidth=0, label="95 % consistency band"
        )
    ends = np.stack([curve.lower, curve.upper], axis=1).ravel()
    axes.plot(
        ends, np.repeat(curve.frequency, 2), color=color, alpha=0.6, linewidth=2.2,
        label="isotonic recalibration",
    )  # fmt: skip


def _draw_frequencies(axes: Any, series: Series, name: str, color: str, *, joined: bool) -> None:
    _, weight, p, truth, squares = series.sums[:, series.sums[1] > 0.0]
    frequency = np.clip(truth / weight, 0.0, 1.0)
    low, high = wilson_interval(frequency, weight * weight / squares)
    axes.errorbar(
        p / weight, frequency,
        np.maximum([frequency - low, high - frequency], 0.0),
        marker="o", markersize=4, linewidth=1.2 * joined, elinewidth=1, capsize=2, color=color,
        label=name,
    )  # fmt: skip


def _draw_rows(axes: Any, panel: Panel) -> None:
    """How many rows each bin has, as bars with the numbers; as steps for two models."""
    edges = np.linspace(0.0, 1.0, BINS + 1)
    for (_, series), color in zip(panel.series, COLORS, strict=False):
        axes.stairs(series.sums[0], edges, fill=len(panel.series) == 1, color=color, alpha=0.6)
    rows = panel.series[0][1].sums[0]
    top = max(1.0, *(series.sums[0].max() for _, series in panel.series))
    if len(panel.series) == 1:
        for middle, n in zip(edges[:-1] + 0.5 / BINS, rows.tolist(), strict=True):
            axes.annotate(
                _short(n), (middle, n), (0, 2), textcoords="offset points", rotation=90,
                ha="center", va="bottom", fontsize=6.5,
            )  # fmt: skip
        axes.set(yticks=[])
    else:
        axes.yaxis.set_major_locator(MaxNLocator(2))
        axes.yaxis.set_major_formatter(lambda n, _: _short(n))
    # Room for the numbers, or for the line.
    axes.set(ylabel="rows", ylim=(0, (1.9 if len(panel.series) == 1 else 1.05) * top))


def _short(n: float) -> str:
    """A number of rows in at most four characters."""
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= 0.9995 * power:
            return f"{n / power:.3g}{letter}" if n < 99.95 * power else f"{n / power:.0f}{letter}"
    return f"{n:.0f}"


# ---- losses --------------------------------------------------------------------------------------


def draw_losses(figure: Any, panel: Panel, loss: str) -> None:
    """The histogram of the losses on a logarithmic scale, with a bin on either side for the rest."""
    axes = figure.subplots()
    near, far = _BEYOND
    last = len(EDGES) - 1
    left, right = (-far, -near), (last + near, last + far)
    above = any(series.losses[-1] > 0.0 for _, series in panel.series)
    for (name, series), color in zip(panel.series, COLORS, strict=False):
        share = 100.0 * series.losses / max(series.losses.sum(), 1e-300)
        fill = {"fill": len(panel.series) == 1, "color": color, "alpha": 0.75}
        axes.stairs(share[1:-1], np.arange(last + 1), label=_label(name), **fill)
        axes.stairs(share[:1], left, **fill)
        if above:
            axes.stairs(share[-1:], right, **fill)
        if np.isfinite(series.mean):
            place = float(
                np.interp(np.log(max(series.mean, 1e-300)), np.log(EDGES), range(last + 1))
            )
            axes.axvline(place, color=color, linewidth=1.4, linestyle="--",
                         label=f"mean {series.mean:.4g}")  # fmt: skip
    ticks = [(sum(left) / 2, "<10⁻⁴"), *((10 * i, _power(i - 4)) for i in range(7))]
    if above:
        ticks.append((sum(right) / 2, ">100"))
    axes.set_xticks(*zip(*ticks, strict=True))
    axes.set(xlabel=f"{loss.replace('_', ' ')} in nats", ylabel="% of weight", title="Losses")
    _legend(figure, axes)


def _power(i: int) -> str:
    return ["0.01", "0.1", "1", "10", "100"][i + 2] if i >= -2 else "10" + ["⁻⁴", "⁻³"][i + 4]


# ---- both ----------------------------------------------------------------------------------------


def _label(name: str) -> str:
    """A model's name in a legend; one that begins with an underscore would be left out there."""
    text = printable(name)
    return (text if len(text) <= 40 else text[:39] + "…").removeprefix("_") or "_"


def _legend(figure: Any, axes: Any) -> None:
    """The legend below the axes, so that it hides no data."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", frameon=False, ncols=2, fontsize=8)

"""A picture of how far the probabilities can be trusted, and of how the losses are spread.

Both are drawn from counts, so their memory does not grow with the rows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from fastxent._aggregate.elementwise import Array, Block

BINS = 20
EDGES = np.geomspace(1e-4, 100.0, 61)  # of the losses; what lies beyond is in the outer bins


def problem(path: Path) -> str | None:
    """Why no picture can be written there."""
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        return f"no picture of this kind: use one of {' '.join('.' + k for k in sorted(known))}"
    if not path.parent.is_dir():
        return "there is no such directory"
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        return "this cannot be written"
    return None


class Counts:
    """The weights of the rows by probability and by loss.

    Attributes
    ----------
    sums : ndarray of shape (4, BINS)
        Of the weight, and of weight times probability, times truth, and times weight.
    losses : ndarray
        Of the weight, between EDGES.
    total : float
        Of weight times loss.
    """

    def __init__(self) -> None:
        self.sums = np.zeros((4, BINS))
        self.losses = np.zeros(len(EDGES) - 1)
        self.total = 0.0

    def add(self, labels: Array, scores: Array, block: Block, logits: bool) -> None:
        """Add a block, and what its losses are of."""
        p, truth = believed(labels, scores, logits)
        w = np.ones(len(p)) if block.weights is None else block.weights
        known = ~(np.isnan(p) | np.isnan(truth) | np.isnan(block.losses)) & (w > 0.0)
        p, truth, w, losses = p[known], truth[known], w[known], block.losses[known]
        bins = np.minimum((p * BINS).astype(np.intp), BINS - 1)
        for i, values in enumerate((w, w * p, w * truth, w * w)):
            self.sums[i] += np.bincount(bins, values, BINS)
        self.total += float(losses.sum())
        inside = np.clip(losses / w, EDGES[0], EDGES[-1])
        self.losses += np.histogram(inside, EDGES, weights=w)[0]

    def draw(self, path: Path, loss: str) -> None:
        """Write the picture."""
        figure = Figure(figsize=(10, 4.8), dpi=120, layout="constrained")
        places = figure.add_gridspec(2, 2, height_ratios=(4, 1), hspace=0.02, wspace=0.06)
        above = figure.add_subplot(places[0, 0])
        below = figure.add_subplot(places[1, 0], sharex=above)
        self._draw_calibration(above, loss.startswith("binary"))
        self._draw_shares(below, loss.startswith("binary"))
        self._draw_losses(figure.add_subplot(places[:, 1]), loss)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path)

    def _draw_calibration(self, axes: Any, binary: bool) -> None:
        """The share that came true of each bin, with two standard errors either way."""
        weight, p, truth, squares = self.sums[:, self.sums[0] > 0.0]
        share = truth / weight
        error = np.sqrt(np.maximum(share * (1.0 - share), 0.0) * squares) / weight
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="perfectly calibrated")
        axes.errorbar(
            p / weight, share, 2.0 * error,
            marker="o", markersize=4, linewidth=1.2, elinewidth=1, color="C0",
            label="this model, ± 2 standard errors",
        )  # fmt: skip
        truth_name = "label is 1" if binary else "that class is right"
        axes.set(title="Calibration", ylabel=f"share where {truth_name}", ylim=(-0.02, 1.02))
        axes.tick_params(labelbottom=False)
        axes.legend(loc="upper left", frameon=False)

    def _draw_shares(self, axes: Any, binary: bool) -> None:
        weight = self.sums[0]
        middles = (np.arange(BINS) + 0.5) / BINS
        axes.bar(middles, 100.0 * weight / max(weight.sum(), 1e-300), 0.9 / BINS, color="0.75")
        given = "label 1" if binary else "the likeliest class"
        axes.set(xlabel=f"probability given to {given}", ylabel="% of weight", xlim=(0, 1))

    def _draw_losses(self, axes: Any, loss: str) -> None:
        weight = max(self.losses.sum(), 1e-300)
        axes.stairs(100.0 * self.losses / weight, EDGES, fill=True, color="C0", alpha=0.75)
        mean = self.total / weight
        if np.isfinite(mean):
            axes.axvline(mean, color="C3", linewidth=1.2, label=f"mean {mean:.4g}")
            axes.legend(loc="upper left", frameon=False)
        axes.set(
            title="Losses",
            xlabel=f"{loss.replace('_', ' ')} in nats",
            ylabel="% of weight",
            xscale="log",
            xlim=(EDGES[0], EDGES[-1]),
        )


def believed(labels: Array, scores: Array, logits: bool) -> tuple[Array, Array]:
    """What probability was given, and whether it came true, row by row."""
    scores = scores.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if scores.ndim == 1:
            p = 1.0 / (1.0 + np.exp(-scores)) if logits else scores
            return p, labels.astype(np.float64)
        best = scores.argmax(axis=1)
        top = scores.max(axis=1)
        p = 1.0 / np.exp(scores - top[:, None]).sum(axis=1) if logits else top
    if labels.ndim == 2:
        return p, labels[np.arange(len(best)), best].astype(np.float64)
    return p, (labels == best).astype(np.float64)

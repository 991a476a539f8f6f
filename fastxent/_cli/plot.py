"""Reliability diagram and histogram of the losses.

Both are drawn from binned counts, so memory does not grow with the rows.
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
EDGES = np.geomspace(1e-4, 100.0, 61)  # of the losses; the outer bins hold everything beyond


def problem(path: Path) -> str | None:
    """Why no picture can be written to the path; None if it can."""
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        return f"unknown picture format: use one of {' '.join('.' + k for k in sorted(known))}"
    if not path.parent.is_dir():
        return "no such directory"
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        return "not writable"
    return None


class Counts:
    """The weights of the rows by probability and by loss.

    Attributes
    ----------
    sums : ndarray of shape (4, BINS)
        Sums of the weight w, w * confidence, w * outcome, and w².
    losses : ndarray
        Sums of the weight by loss, between EDGES.
    total : float
        Sum of weight times loss.
    """

    def __init__(self) -> None:
        self.sums = np.zeros((4, BINS))
        self.losses = np.zeros(len(EDGES) - 1)
        self.total = 0.0

    def add(self, labels: Array, scores: Array, block: Block, logits: bool) -> None:
        """Add a block with its labels and scores."""
        p, truth = confidence_and_outcome(labels, scores, logits)
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
        self._draw_weights(below, loss.startswith("binary"))
        self._draw_losses(figure.add_subplot(places[:, 1]), loss)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path)

    def _draw_calibration(self, axes: Any, binary: bool) -> None:
        """The observed frequency in each bin, with two standard errors on either side."""
        weight, p, truth, squares = self.sums[:, self.sums[0] > 0.0]
        frequency = truth / weight
        error = np.sqrt(np.maximum(frequency * (1.0 - frequency), 0.0) * squares) / weight
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="perfectly calibrated")
        axes.errorbar(
            p / weight, frequency, 2.0 * error,
            marker="o", markersize=4, linewidth=1.2, elinewidth=1, color="C0",
            label="this model, ± 2 standard errors",
        )  # fmt: skip
        outcome = "label 1" if binary else "the top class"
        axes.set(title="Calibration", ylabel=f"observed frequency of {outcome}", ylim=(-0.02, 1.02))
        axes.tick_params(labelbottom=False)
        axes.legend(loc="upper left", frameon=False)

    def _draw_weights(self, axes: Any, binary: bool) -> None:
        weight = self.sums[0]
        middles = (np.arange(BINS) + 0.5) / BINS
        axes.bar(middles, 100.0 * weight / max(weight.sum(), 1e-300), 0.9 / BINS, color="0.75")
        xlabel = "predicted probability of label 1"
        if not binary:
            xlabel = "confidence (predicted probability of the top class)"
        axes.set(xlabel=xlabel, ylabel="% of weight", xlim=(0, 1))

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


def confidence_and_outcome(labels: Array, scores: Array, logits: bool) -> tuple[Array, Array]:
    """The predicted probability (of label 1 or of the top class) and the outcome, row by row."""
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

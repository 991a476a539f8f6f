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

from fastxent._call import Array, Block

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
    sums : ndarray of shape (3, BINS)
        Of the weight; of weight times probability; of weight times truth.
    losses : ndarray
        Of the weight, between EDGES.
    """

    def __init__(self) -> None:
        self.sums = np.zeros((3, BINS))
        self.losses = np.zeros(len(EDGES) - 1)

    def add(self, labels: Array, scores: Array, block: Block, logits: bool) -> None:
        """Add a block, and what its losses are of."""
        p, truth = believed(labels, scores, logits)
        w = np.ones(len(p)) if block.weights is None else block.weights
        known = ~(np.isnan(p) | np.isnan(truth) | np.isnan(block.losses)) & (w > 0.0)
        p, truth, w, losses = p[known], truth[known], w[known], block.losses[known]
        bins = np.minimum((p * BINS).astype(np.intp), BINS - 1)
        for i, values in enumerate((w, w * p, w * truth)):
            self.sums[i] += np.bincount(bins, values, BINS)
        inside = np.clip(losses / w, EDGES[0], EDGES[-1])
        self.losses += np.histogram(inside, EDGES, weights=w)[0]

    def draw(self, path: Path, loss: str) -> None:
        """Write the picture."""
        figure = Figure(figsize=(10, 4.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        self._draw_calibration(left, loss.startswith("binary"))
        self._draw_losses(right, loss)
        figure.savefig(path)

    def _draw_calibration(self, axes: Any, binary: bool) -> None:
        weight, p, truth = self.sums[:, self.sums[0] > 0.0]
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="as it should be")
        axes.plot(p / weight, truth / weight, marker="o", markersize=4, label="found")
        axes.bar(
            (np.arange(BINS) + 0.5) / BINS,
            0.25 * self.sums[0] / max(self.sums[0].max(), 1e-300),
            0.9 / BINS,
            color="0.85",
            zorder=0,
            label="share of the rows",
        )
        axes.set(
            title="calibration",
            xlabel="probability given to 1" if binary else "probability of the likeliest class",
            ylabel="share of 1" if binary else "share of rows where it is the class",
            xlim=(0, 1),
            ylim=(0, 1.02),
        )
        axes.legend(loc="upper left", frameon=False)

    def _draw_losses(self, axes: Any, loss: str) -> None:
        share = self.losses / max(self.losses.sum(), 1e-300)
        axes.stairs(100.0 * share, EDGES, fill=True)
        axes.set(
            title="losses",
            xlabel=loss.replace("_", " "),
            ylabel="% of the rows",
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

"""What ``--calibration`` adds: the parts of the log loss, from counts by probability."""

from __future__ import annotations

import numpy as np

from fastxent._aggregate.elementwise import Array, Block
from fastxent._calibration.histogram import Curve, ScoreHistogram


class Calibration:
    """Counts of the labels by probability, in memory that does not grow with the rows."""

    def __init__(self) -> None:
        self._histogram = ScoreHistogram()

    def add(self, labels: Array, scores: Array, block: Block, logits: bool) -> None:
        """Add a block with its labels and scores."""
        labels, scores = labels.astype(np.float64), scores.astype(np.float64)
        weights = block.weights
        known = ~(np.isnan(scores) | np.isnan(labels))
        if block.valid is not None:
            known &= block.valid
        if not known.all():
            labels, scores = labels[known], scores[known]
            weights = None if weights is None else weights[known]
        if not len(scores):
            return
        if logits:
            exps = np.exp(-np.abs(scores))
            distance, above = exps / (1.0 + exps), scores > 0.0
        else:
            above = scores > 0.5
            distance = np.where(above, 1.0 - scores, scores)
        self._histogram.add(labels, distance, above, weights)

    def curve(self) -> Curve:
        """The isotonic curve of the picture."""
        return self._histogram.curve()

    def result(self, mean: float) -> dict[str, float]:
        """The parts by their names."""
        found = self._histogram.result(mean)
        parts = found.parts._asdict()
        del parts["loss"]
        parts["calibration_error_bound"] = found.error_bound
        return {name: float(value) for name, value in parts.items()}

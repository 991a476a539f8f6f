"""Checks of probabilities that are valid but may not be meant: clipped, or no distribution."""

from __future__ import annotations

import numpy as np

from fastxent._aggregate.elementwise import Array
from fastxent._cli.files import Batch

#: How far the probabilities of a row may sum from 1: rounding to three decimals passes.
TOLERANCE = 5e-3


class ProbabilityChecks:
    """Counts the rows whose probabilities are clipped or do not sum to 1.

    Parameters
    ----------
    models : list of list of str
        The score columns of each model.

    Attributes
    ----------
    clipped : list of int
        For each model, the rows whose true label has a probability below eps.
    """

    def __init__(self, models: list[list[str]]) -> None:
        self._models = models
        self._lowest = 0.0  # the largest eps in use: files may differ in type
        self.clipped = [0] * len(models)
        self._unnormalized = 0
        self._first = ""

    def add(
        self,
        batch: Batch,
        labels: Array,
        scores: list[Array],
        eps: list[float],
        valid: Array | None,
    ) -> None:
        """Check the rows of a batch that are not masked; `eps` is that of each model."""
        for i, p in enumerate(scores):
            clipped = _clipped(labels, p, eps[i])
            if clipped is not None:
                self._lowest = max(self._lowest, eps[i])
                self.clipped[i] += int(np.count_nonzero(_masked(clipped, valid)))
            if p.ndim == 2:
                self._check_sums(batch, p, self._models[i], valid)

    def _check_sums(self, batch: Batch, p: Array, names: list[str], valid: Array | None) -> None:
        sums = p.sum(axis=1, dtype=np.float64)
        wrong = _masked(np.abs(sums - 1.0) > TOLERANCE, valid)
        if not wrong.any():
            return
        if not self._unnormalized:
            row = int(np.argmax(wrong))
            columns = ",".join(names)
            self._first = f"{batch.path}, row {batch.row(row):,}: {columns} sum to {sums[row]:.6g}"
        self._unnormalized += int(np.count_nonzero(wrong))

    def warnings(self) -> list[str]:
        """One line for each kind of finding."""
        found = []
        if self._unnormalized:
            text = (
                f"{self._unnormalized:,} rows of probabilities do not sum to 1, "
                f"the first: {self._first}"
            )
            if len(self._models) == 1 and len(self._models[0]) == 2:
                a, b = self._models[0]
                text += f"; if these are two models, use --proba {a} --compare {b}"
            found.append(text)
        for names, n in zip(self._models, self.clipped, strict=True):
            if n:
                found.append(
                    f"{','.join(names)}: {n:,} rows give their label a probability below "
                    f"{self._lowest:.3g} and were clipped to that, a loss of "
                    f"{-np.log(self._lowest):.4g}: see --eps"
                )
        return found


def _masked(rows: Array, valid: Array | None) -> Array:
    return rows if valid is None else rows & valid


def _clipped(labels: Array, p: Array, eps: float) -> Array | None:
    """The rows whose label has a probability below eps; None if there is none."""
    if eps == 0.0 or not p.size:
        return None
    clipped: Array
    if p.ndim == 1:
        if p.min() >= eps and p.max() <= 1.0 - eps:  # the usual case, at the speed of memory
            return None
        clipped = ((p < eps) & (labels > 0)) | ((p > 1.0 - eps) & (labels < 1))
    elif labels.ndim == 2:
        clipped = np.asarray(np.any((p < eps) & (labels > 0), axis=1))
    else:
        if p.min() >= eps:
            return None
        chosen = np.clip(labels, 0, p.shape[1] - 1)  # masked rows may hold anything
        clipped = np.take_along_axis(p, chosen[:, None], axis=1)[:, 0] < eps
    return clipped if clipped.any() else None

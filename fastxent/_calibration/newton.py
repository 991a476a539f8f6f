"""Passes over the data: a mean loss with its derivatives by the parameters that multiply the logits."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from fastxent._core import threads, validation
from fastxent._core.evaluate import checked_weight_sum
from fastxent._core.kernel_errors import raise_error
from fastxent._core.loss import Loss
from fastxent._core.operands import Operands

#: Parameters are first fitted to every so-manieth chunk, if that leaves at least so many chunks.
SAMPLE_STEP, _MIN_SAMPLE = 16, 4


class Moments(NamedTuple):
    """Means over the data at one choice of the parameters.

    Attributes
    ----------
    loss : float
    derivatives : tuple of float
        What the kernels sum beside it, divided by the weight.
    weight : float
        The sum of the weights.
    """

    loss: float
    derivatives: tuple[float, ...]
    weight: float


class Passes:
    """One task that is run again and again, each time with other parameters.

    Parameters
    ----------
    loss : Loss
    y_true, logits : array_like
    options : dict
        Those of the loss, and `workers`.

    Attributes
    ----------
    count : int
        How many passes there were over all of the data.
    """

    def __init__(self, loss: Loss, y_true: Any, logits: Any, options: dict[str, Any]) -> None:
        self.workers = validation.as_workers(options.pop("workers"))
        self.operands = Operands(loss, y_true, logits, options)
        self.task = self.operands.task("raise")
        self.count = 0

    @property
    def has_sample(self) -> bool:
        """Whether the data are so many that a part of them is worth a fit of its own."""
        return self.task.chunks >= SAMPLE_STEP * _MIN_SAMPLE

    def at(self, beta: float, offset: float = 0.0) -> Moments:
        """The moments of all of the data."""
        self.count += 1
        self.task.set_moments(beta, offset)
        threads.run(self.task, self.workers)
        return self._moments(1)

    def at_sample(self, beta: float, offset: float = 0.0) -> Moments:
        """Those of the sample, chunks that are spread over the data."""
        self.task.set_moments(beta, offset)
        for number in range(0, self.task.chunks, SAMPLE_STEP):
            self.task.run(number, number + 1)
        return self._moments(SAMPLE_STEP)

    def _moments(self, step: int) -> Moments:
        found = self.task.sums(step)
        if len(found) == 3:
            raise_error(self.operands, *found)
        total, total_lo, weight, weight_lo, _ = found
        weight = checked_weight_sum(weight + weight_lo)
        if not weight > 0.0:
            return Moments(math.nan, (math.nan,), weight)
        derivatives = tuple(value / weight for value in self.task.moments(step))
        return Moments((total + total_lo) / weight, derivatives, weight)

"""The one path of the data: checked operands, a task for the kernels, its chunks, one result."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from fastxent._core import validation
from fastxent._core.loss import Loss
from fastxent._core.operands import Operands

_SMALLEST, _LARGEST = sys.float_info.min, sys.float_info.max
_MEAN = "mean"  # the default is compared by identity; other strings by value


class Sums(NamedTuple):
    """What can be added up over batches. Each sum is an unevaluated pair, value + low part."""

    total: float
    total_lo: float
    weight: float
    weight_lo: float
    count: int  # type: ignore[assignment] # hides a method of tuples, on purpose

    def mean(self) -> float:
        """The weighted mean; nan if no element counts."""
        weight = checked_weight_sum(self.weight + self.weight_lo)
        return (self.total + self.total_lo) / weight if weight else math.nan


def checked_weight_sum(weight: float, what: str = "weights") -> float:
    """A sum of weights, if float64 can divide by it."""
    if _SMALLEST <= weight <= _LARGEST or not weight or math.isnan(weight):
        return weight
    raise ValueError(
        f"sample_weight or class_weight: the {what} sum to {weight}, which float64 cannot divide "
        f"by; multiply all weights by one number, which changes no mean"
    )


def evaluate(
    loss: Loss,
    y_true: Any,
    y_scores: Any,
    options: dict[str, Any],
    nan_policy: Any,
    reduction: Any,
    out: Any,
    workers: Any,
) -> Any:
    """The mean, the sum, or the losses themselves.

    The signatures of the public functions decide which options a loss takes.
    """
    losses = None
    if reduction is not _MEAN or out is not None:
        validation.check_reduction(reduction, out)
    operands = Operands(loss, y_true, y_scores, options)
    task = operands.task(nan_policy)
    if reduction is not _MEAN and reduction == "none":
        losses = operands.losses_output(out)
        task.set_losses(losses)
    total, total_lo, weight, weight_lo, _ = operands.run(task, workers)
    if losses is not None:
        return losses
    if reduction is not _MEAN and reduction == "sum":
        return total + total_lo
    weight += weight_lo
    if not _SMALLEST <= weight <= _LARGEST:
        checked_weight_sum(weight)
    return (total + total_lo) / weight if weight else math.nan


def evaluate_sums(
    loss: Loss,
    y_true: Any,
    y_scores: Any,
    options: dict[str, Any],
    nan_policy: Any = "raise",
    workers: Any = 1,
    *,
    want_losses: bool = False,
    gradients: Any = None,
    weights_only: bool = False,
) -> tuple[Sums, np.ndarray | None]:
    """Sum one batch, and return its losses if they are wanted.

    `gradients` is a GradientOutputs. `weights_only` reads no scores if the labels are class
    indices: then only the sum of the weights is right.
    """
    operands = Operands(loss, y_true, y_scores, options)
    task = operands.task(nan_policy)
    losses = None
    if want_losses:
        losses = operands.losses_output(None)
        task.set_losses(losses)
    if weights_only and operands.index_labels:
        task.set_weights_only()
    if gradients is not None:
        gradients.attach(task, operands)
    return Sums._make(operands.run(task, workers)), losses


def evaluate_checked(
    loss: Loss, y_true: Any, y_scores: Any, options: dict[str, Any]
) -> tuple[Sums, float]:
    """Sum one batch of rows of probabilities, all of which are checked.

    The second result is the greatest distance of a row's sum from 1.
    """
    operands = Operands(loss, y_true, y_scores, options)
    task = operands.task("raise")
    task.set_row_check()
    return Sums._make(operands.run(task, 1)), task.deviation

"""The one way that data flows: checks, a task for the kernels, its chunks run, one result."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from fastxent._core import errors, threads, validation
from fastxent._core.dispatch import Task
from fastxent._core.loss import Loss

_LEAST, _LARGEST = sys.float_info.min, sys.float_info.max


class Sums(NamedTuple):
    """What can be added up over batches. Each sum is an unevaluated pair, value + low part."""

    total: float
    total_lo: float
    weight: float
    weight_lo: float
    count: int  # type: ignore[assignment] # hides a method of tuples, on purpose

    def mean(self) -> float:
        """The weighted mean; nan over nothing."""
        weight = checked_weight_sum(self.weight + self.weight_lo)
        return (self.total + self.total_lo) / weight if weight else math.nan


def checked_weight_sum(weight: float, what: str = "weights") -> float:
    """A sum of weights, if float64 can divide by it."""
    if _LEAST <= weight <= _LARGEST or not weight or math.isnan(weight):
        return weight
    raise ValueError(
        f"sample_weight or class_weight: the {what} sum to {weight}, which float64 cannot divide "
        f"by; multiply all weights by one number, which changes no mean"
    )


SUMS = object()  # instead of a reduction: the sums and the losses
_MEAN = "mean"  # what comes most is told by its identity, and any other string by what it says


def evaluate(  # noqa: C901  # one line for each option that is there
    loss: Loss,
    y_true: Any,
    y_scores: Any,
    *,
    reduction: Any = SUMS,
    axis: Any = -1,
    class_weight: Any = None,
    ignore_index: Any = None,
    scale: Any = None,
    alpha: Any = None,
    gamma: Any = None,
    full: bool = False,
    sample_weight: Any = None,
    where: Any = None,
    label_smoothing: Any = 0.0,
    eps: Any = 0.0,
    nan_policy: Any = "raise",
    out: Any = None,
    want_losses: bool = False,
    slopes: Any = None,
    weights_only: bool = False,
    workers: Any = 1,
) -> Any:
    """The mean, the sum, or the losses themselves; `evaluate_sums` asks for no reduction, and gets all.

    `scale` is pos_weight, or the variance of a Gaussian. The options are those of the public
    functions; whether a loss takes them is settled by the signatures of those. `slopes` makes, or
    checks, the arrays of the derivatives. `weights_only` looks at no scores where the labels are class
    indices: of what is summed then only the weight is right.
    """
    if reduction is not _MEAN or out is not None:
        if reduction is not SUMS:
            validation.check_reduction(reduction, out)
        want_losses = want_losses or reduction == "none"
    scores = validation.as_scores(y_scores, loss.scores)
    labels = validation.as_labels(y_true, loss.truth)
    indices = False
    if loss.rows:
        axis = validation.class_axis(scores, axis, loss.scores)
        indices = validation.takes_indices(loss, labels, scores, axis)
    else:
        axis = -1
        validation.check_shapes(loss, labels, scores)
    shape = validation.losses_shape(scores, axis)
    weight = mask = scales = classes = class_alpha = None
    balance = -1.0
    if sample_weight is not None:
        weight = validation.as_weight(sample_weight, "sample_weight", shape)
    if where is not None:
        mask = validation.as_mask(where, shape)
    if scale is not None:
        scales = validation.as_scale(scale, "var" if "full" in loss.takes else "pos_weight", shape)
    if class_weight is not None:
        classes = validation.as_class_weight(class_weight, scores.shape[axis])
    if alpha is not None:
        if loss.rows:
            class_alpha = validation.as_class_alpha(alpha, scores.shape[axis])
        else:
            balance = validation.binary_alpha(alpha)
    if ignore_index is not None:
        ignore_index = validation.ignored(ignore_index, indices, labels)
    if want_losses:
        dtype = validation.output_dtype(scores)
        if out is None:
            out = np.empty(shape, dtype)
        else:
            inputs = (scores, labels, weight, mask, scales)
            out = validation.as_output(out, "out", shape, dtype, inputs)
    outputs: tuple[Any, ...] = (None, None, 1.0, 0.0, True) if weights_only and indices else ()
    if slopes is not None:
        outputs = slopes.operands(scores, shape, (scores, labels, weight, mask, scales))
    task = Task(
        loss.kernel,
        validation.nan_policy_number(nan_policy),
        scores,
        labels,
        axis,
        indices,
        weight,
        mask,
        scales,
        out if want_losses else None,
        validation.epsilon(eps, scores),
        validation.smoothing(label_smoothing),
        full is not False and validation.as_flag(full, "full"),
        ignore_index,
        classes,
        0.0 if gamma is None else validation.focusing(gamma),
        balance,
        class_alpha,
        *outputs,
    )
    if workers == 1:
        task.run(0, task.chunks)
    else:
        threads.run(task, validation.workers_wanted(workers))
    result = task.sums()
    if len(result) == 3:
        arrays = {"scores": scores, "labels": labels, "weight": weight, "scale": scales}
        errors.raise_error(loss, *result, axis, arrays)
    if reduction is SUMS:
        return result, out
    if want_losses:
        return out
    total, total_lo, weight_sum, weight_lo, _ = result
    if reduction == "sum":
        return total + total_lo
    weight_sum += weight_lo
    if not _LEAST <= weight_sum <= _LARGEST:
        checked_weight_sum(weight_sum)
    return (total + total_lo) / weight_sum if weight_sum else math.nan


def evaluate_sums(
    loss: Loss, y_true: Any, y_scores: Any, **options: Any
) -> tuple[Sums, np.ndarray | None]:
    """Sum one batch, and write its losses where they are wanted; options as of `evaluate`."""
    found, losses = evaluate(loss, y_true, y_scores, **options)
    return Sums._make(found), losses

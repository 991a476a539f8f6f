"""The one way that data flows: checks, a task for the kernels, its chunks run, one result."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from fastxent import _checks, _faults, _workers
from fastxent._kernels.engine import Task
from fastxent._options import Loss

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
        weight = divisor(self.weight + self.weight_lo)
        return (self.total + self.total_lo) / weight if weight else math.nan


def divisor(weight: float, what: str = "weights") -> float:
    """A sum of weights, if float64 can divide by it."""
    if _LEAST <= weight <= _LARGEST or not weight or math.isnan(weight):
        return weight
    raise ValueError(
        f"sample_weight or class_weight: the {what} sum to {weight}, which float64 cannot divide "
        f"by; multiply all weights by one number, which changes no mean"
    )


_ALL = object()  # instead of a reduction: the sums and the losses
_MEAN = "mean"  # what comes most is told by its identity, and any other string by what it says


def reduced(  # noqa: C901  # one line for each option that is there
    loss: Loss,
    y_true: Any,
    y_scores: Any,
    *,
    reduction: Any = _ALL,
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
    """The mean, the sum, or the losses themselves; `sums` asks for no reduction, and gets all.

    `scale` is pos_weight, or the variance of a Gaussian. The options are those of the public
    functions; whether a loss takes them is settled by the signatures of those. `slopes` makes, or
    checks, the arrays of the derivatives. `weights_only` looks at no scores where the labels are class
    indices: of what is summed then only the weight is right.
    """
    if reduction is not _MEAN or out is not None:
        if reduction is not _ALL:
            _checks.check_reduction(reduction, out)
        want_losses = want_losses or reduction == "none"
    scores = _checks.as_scores(y_scores, loss.scores)
    labels = _checks.as_labels(y_true, loss.truth)
    indices = False
    if loss.rows:
        axis = _checks.class_axis(scores, axis, loss.scores)
        indices = _checks.takes_indices(loss, labels, scores, axis)
    else:
        axis = -1
        _checks.check_shapes(loss, labels, scores)
    shape = _checks.losses_shape(scores, axis)
    weight = mask = scales = classes = class_alpha = None
    balance = -1.0
    if sample_weight is not None:
        weight = _checks.as_weight(sample_weight, "sample_weight", shape)
    if where is not None:
        mask = _checks.as_mask(where, shape)
    if scale is not None:
        scales = _checks.as_scale(scale, "var" if "full" in loss.takes else "pos_weight", shape)
    if class_weight is not None:
        classes = _checks.as_class_weight(class_weight, scores.shape[axis])
    if alpha is not None:
        if loss.rows:
            class_alpha = _checks.as_class_alpha(alpha, scores.shape[axis])
        else:
            balance = _checks.binary_alpha(alpha)
    if ignore_index is not None:
        ignore_index = _checks.ignored(ignore_index, indices, labels)
    if want_losses:
        dtype = _checks.output_dtype(scores)
        if out is None:
            out = np.empty(shape, dtype)
        else:
            inputs = (scores, labels, weight, mask, scales)
            out = _checks.as_output(out, "out", shape, dtype, inputs)
    outputs: tuple[Any, ...] = (None, None, 1.0, 0.0, True) if weights_only and indices else ()
    if slopes is not None:
        outputs = slopes.operands(scores, shape, (scores, labels, weight, mask, scales))
    task = Task(
        loss.kernel,
        _checks.nan_policy_number(nan_policy),
        scores,
        labels,
        axis,
        indices,
        weight,
        mask,
        scales,
        out if want_losses else None,
        _checks.epsilon(eps, scores),
        _checks.smoothing(label_smoothing),
        full is not False and _checks.as_flag(full, "full"),
        ignore_index,
        classes,
        0.0 if gamma is None else _checks.focusing(gamma),
        balance,
        class_alpha,
        *outputs,
    )
    if workers == 1:
        task.run(0, task.chunks)
    else:
        _workers.run(task, _checks.workers_wanted(workers))
    result = task.sums()
    if len(result) == 3:
        arrays = {"scores": scores, "labels": labels, "weight": weight, "scale": scales}
        _faults.refuse(loss, *result, axis, arrays)
    if reduction is _ALL:
        return result, out
    if want_losses:
        return out
    total, total_lo, weight_sum, weight_lo, _ = result
    if reduction == "sum":
        return total + total_lo
    weight_sum += weight_lo
    if not _LEAST <= weight_sum <= _LARGEST:
        divisor(weight_sum)
    return (total + total_lo) / weight_sum if weight_sum else math.nan


def sums(loss: Loss, y_true: Any, y_scores: Any, **options: Any) -> tuple[Sums, np.ndarray | None]:
    """Sum one batch, and write its losses where they are wanted; options as of `reduced`."""
    found, losses = reduced(loss, y_true, y_scores, **options)
    return Sums._make(found), losses

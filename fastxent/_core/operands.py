"""The arrays and options of one call, checked and brought to the form that the kernels take."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastxent._core import threads, validation
from fastxent._core.dispatch import Task, changed
from fastxent._core.kernel_errors import raise_error
from fastxent._core.loss import Loss
from fastxent._core.options import OPTIONS

Array = np.ndarray[Any, Any]
Found = tuple[float, float, float, float, int]

#: Options that are arguments of their own on the way to the kernels.
_APART = {"axis", "eps", "nan_policy", "reduction", "out", "workers"}

#: The options that `given` may hold, with the values that change nothing.
_NEUTRAL = {name: option.neutral for name, option in OPTIONS.items() if name not in _APART}

#: The value that the kernels take, from the caller's and the operands, for each option.
_OPERAND = {name: option.operand for name, option in OPTIONS.items()}


class Operands:
    """What one call computes with.

    Parameters
    ----------
    loss : Loss
    y_true, scores : array_like
    options : dict
        The options of the loss as the caller gave them.

    Attributes
    ----------
    scores, labels : ndarray
    axis : int
        The class axis, from 0; -1 for losses of one number per position.
    index_labels : bool
        Whether the labels are class indices rather than a distribution per row.
    given : dict
        The other options that change something, as the kernels take them.
    """

    __slots__ = ("axis", "eps", "given", "index_labels", "labels", "loss", "scores")

    def __init__(self, loss: Loss, y_true: Any, scores: Any, options: dict[str, Any]) -> None:
        self.loss = loss
        self.scores = scores = validation.as_scores(scores, loss.scores_name)
        as_labels = validation.as_labels if loss.class_indices else validation.as_scores
        self.labels = labels = as_labels(y_true, loss.y_true_name)
        self.axis, self.index_labels = -1, False
        if loss.per_row:
            axis = validation.class_axis(scores, options.get("axis", -1), loss.scores_name)
            self.axis = axis
            self.index_labels = validation.takes_indices(loss, labels, scores, axis)
        elif labels.shape != scores.shape:
            validation.raise_shapes(loss, labels, scores)
        self.eps = validation.as_eps(options["eps"], scores) if "eps" in options else 0.0
        self.given = given = changed(options, _NEUTRAL)
        if given:  # asked first, for the call without options
            for name, value in given.items():
                given[name] = _OPERAND[name](value, self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the losses."""
        shape, axis = self.scores.shape, self.axis
        return shape if axis < 0 else shape[:axis] + shape[axis + 1 :]

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.scores.shape[self.axis])

    @property
    def scale(self) -> Array | None:
        """pos_weight, or the variances."""
        return self.given.get(self.loss.scale) if self.loss.scale else None

    def inputs(self) -> tuple[Any, ...]:
        """The arrays that are read position by position: no output may overlap one."""
        given = self.given
        if not given:  # a fast path for the call without options
            return self.scores, self.labels
        return (
            self.scores,
            self.labels,
            given.get("sample_weight"),
            given.get("where"),
            self.scale,
        )

    def task(self, nan_policy: Any) -> Task:
        """What the kernels are to do, without any output."""
        task = Task(
            self.loss.formula,
            validation.nan_policy_code(nan_policy),
            self.scores,
            self.labels,
            self.axis,
            self.index_labels,
            self.eps,
        )
        if self.given:
            task.set_options(self.given)
        return task

    def losses_output(self, out: Any) -> Array:
        """Where the losses are written: `out`, or a new array."""
        dtype = validation.output_dtype(self.scores)
        if out is None:
            return np.empty(self.shape, dtype)
        return validation.as_output(out, "out", self.shape, dtype, self.inputs())

    def run(self, task: Task, workers: Any) -> Found:
        """Run the chunks; raise for the first bad element."""
        if workers == 1:
            task.run(0, task.chunks)
        else:
            threads.run(task, validation.as_workers(workers))
        found = task.sums()
        if len(found) == 3:
            raise_error(self, *found)
        return found

"""Gradients: their memory, their divisor, and the order of the steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastxent._core import validation
from fastxent._core.arrays import as_array
from fastxent._core.dispatch import Task
from fastxent._core.evaluate import checked_weight_sum, evaluate_sums
from fastxent._core.loss import Loss
from fastxent._core.operands import Operands
from fastxent._core.scalars import Interval

Array = np.ndarray[Any, Any]

_HESS_FLOOR = Interval(-np.inf, np.inf, open_upper=True)


class GradientOutputs:
    """The arrays that derivatives are written to, made or checked once the operands are known.

    Parameters
    ----------
    outs : sequence of ndarray or None
        For the gradient, and for the Hessian's diagonal if it is wanted; None: a new array.
    names : tuple of str
        What the messages call them.
    divisor : float or None
        What the gradient is divided by; None: the number of losses.
    hess_floor : float
        The lower bound of the second derivatives.
    """

    def __init__(
        self,
        outs: tuple[Any, ...],
        names: tuple[str, ...],
        divisor: float | None,
        hess_floor: float = 0.0,
    ) -> None:
        self.outs = outs
        self.names = names
        self.divisor = divisor
        self.hess_floor = hess_floor
        self.arrays: list[Array] = []

    def attach(self, task: Task, operands: Operands) -> None:
        """Let the task write to the arrays."""
        scores, inputs = operands.scores, operands.inputs()
        for out, name in zip(self.outs, self.names, strict=True):
            dtype = validation.gradient_dtype(scores, out)
            if out is None:
                out = np.empty_like(scores, dtype, "K", subok=False)  # noqa: PLW2901
            else:
                validation.as_output(out, name, scores.shape, dtype, inputs)
            if any(np.shares_memory(out, array) for array in self.arrays):
                raise ValueError("out[0] and out[1] overlap: pass two arrays of separate memory")
            self.arrays.append(out)
        count = float(np.prod(operands.shape)) if self.divisor is None else self.divisor
        hess = self.arrays[1] if len(self.arrays) > 1 else None
        task.set_gradients(self.arrays[0], hess, 1.0 / count if count else 1.0, self.hess_floor)


def value_and_grad(
    loss: Loss,
    y_true: Any,
    logits: Any,
    options: dict[str, Any],
    nan_policy: Any,
    reduction: Any,
    out: Any,
    workers: Any,
) -> tuple[Any, Array]:
    """The loss, and its gradient with respect to the logits."""
    validation.check_reduction(reduction, None)
    call = (loss, y_true, logits, options, nan_policy, workers)
    divisor: float | None = 1.0
    if reduction == "mean":
        divisor = None
        if nan_policy == "omit" or is_weighted(options):
            # With nan_policy="omit" the weight depends on the scores.
            weights_only = loss.per_row and nan_policy != "omit"
            found, _ = evaluate_sums(*call, weights_only=weights_only)
            divisor = checked_weight_sum(found.weight + found.weight_lo)
    if overwrites(loss, (out,), y_true, logits, options):
        # Validate first: the output overwrites an input.
        evaluate_sums(*call)
    gradients = GradientOutputs((out,), ("out",), divisor)
    found, losses = evaluate_sums(*call, want_losses=reduction == "none", gradients=gradients)
    if reduction == "none":
        assert losses is not None
        return losses, gradients.arrays[0]
    value = found.mean() if reduction == "mean" else found.total + found.total_lo
    return value, gradients.arrays[0]


def grad_hess(
    loss: Loss,
    y_true: Any,
    logits: Any,
    options: dict[str, Any],
    nan_policy: Any,
    out: Any,
    workers: Any,
    hess_floor: Any = 0.0,
) -> tuple[Array, Array]:
    """The gradient of each loss, and the diagonal of its Hessian."""
    if out is not None and not isinstance(out, (tuple, list)):
        raise TypeError(f"out is a {type(out).__name__}: pass two arrays, gradient and Hessian")
    outs = (None, None) if out is None else tuple(out)
    if len(outs) != 2:
        raise ValueError(f"out has {len(outs)} arrays: pass two, for the gradient and the Hessian")
    call = (loss, y_true, logits, options, nan_policy, workers)
    if overwrites(loss, outs, y_true, logits, options):
        evaluate_sums(*call)
    floor = _HESS_FLOOR.checked(hess_floor, "hess_floor")
    gradients = GradientOutputs(outs, ("out[0]", "out[1]"), 1.0, floor)
    evaluate_sums(*call, gradients=gradients)
    grad, hess = gradients.arrays
    return grad, hess


def is_weighted(options: dict[str, Any]) -> bool:
    """Whether the sum of the weights may differ from the number of losses."""
    weights = ("sample_weight", "where", "class_weight", "ignore_index")
    return any(options.get(name) is not None for name in weights)


def overwrites(
    loss: Loss, outs: tuple[Any, ...], y_true: Any, logits: Any, options: dict[str, Any]
) -> bool:
    """Whether an output may share memory with an input."""
    outs = tuple(out for out in outs if isinstance(out, np.ndarray))
    if not outs:
        return False
    names = ("sample_weight", "where", loss.scale)
    inputs = {loss.y_true_name: y_true, loss.scores_name: logits}
    inputs |= {name: options.get(name) for name in names if name}
    arrays = [as_array(a, name, scalars=True) for name, a in inputs.items() if a is not None]
    return any(np.may_share_memory(out, array) for out in outs for array in arrays)

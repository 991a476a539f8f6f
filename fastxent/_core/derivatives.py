"""How gradients are asked for: their memory, what they are divided by, and in which order."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastxent._core import validation
from fastxent._core.arrays import as_array
from fastxent._core.evaluate import checked_weight_sum, evaluate_sums
from fastxent._core.loss import Loss

Array = np.ndarray[Any, Any]


class Slopes:
    """The arrays that derivatives are written to, once the inputs are known.

    Parameters
    ----------
    outs : sequence of ndarray or None
        For the gradient, and the Hessian's diagonal where that is wanted; None: to be made.
    weight : float or None
        What the gradient is divided by; None: the number of losses.
    floor : float
        The least second derivative.
    """

    def __init__(
        self,
        outs: tuple[Any, ...],
        names: tuple[str, ...],
        weight: float | None,
        floor: float = 0.0,
    ) -> None:
        self.outs = outs
        self.names = names
        self.weight = weight
        self.floor = floor
        self.arrays: list[Array] = []

    def operands(
        self, scores: Array, losses: tuple[int, ...], inputs: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """The last arguments of a Task: gradient, Hessian, scale and floor."""
        dtype = validation.output_dtype(scores)
        for out, name in zip(self.outs, self.names, strict=True):
            if out is None:
                out = np.empty_like(scores, dtype, "K", subok=False)  # noqa: PLW2901
            else:
                validation.as_output(out, name, scores.shape, dtype, inputs)
            if any(np.shares_memory(out, array) for array in self.arrays):
                raise ValueError("out[0] and out[1] overlap: each result needs memory of its own")
            self.arrays.append(out)
        count = float(np.prod(losses)) if self.weight is None else self.weight
        grad, hess = (*self.arrays, None)[:2]
        return grad, hess, 1.0 / count if count else 1.0, self.floor


def value_and_grad(
    loss: Loss, y_true: Any, logits: Any, *, reduction: Any, out: Any, **options: Any
) -> tuple[Any, Array]:
    """The loss, and its gradient by the logits."""
    validation.check_reduction(reduction, None)
    weight: float | None = 1.0
    if reduction == "mean":
        weight = None
        if is_weighted(options):
            # Where NaN is left out, what weighs is known of the scores alone.
            only = loss.rows and options["nan_policy"] != "omit"
            found, _ = evaluate_sums(loss, y_true, logits, weights_only=only, **options)
            weight = checked_weight_sum(found.weight + found.weight_lo)
    if overwrites(loss, (out,), y_true, logits, options):
        # What is bad has to be found before anything is overwritten.
        evaluate_sums(loss, y_true, logits, **options)
    slopes = Slopes((out,), ("out",), weight)
    found, losses = evaluate_sums(
        loss, y_true, logits, want_losses=reduction == "none", slopes=slopes, **options
    )
    if reduction == "none":
        assert losses is not None
        return losses, slopes.arrays[0]
    value = found.mean() if reduction == "mean" else found.total + found.total_lo
    return value, slopes.arrays[0]


def grad_hess(
    loss: Loss, y_true: Any, logits: Any, *, out: Any, hess_floor: Any = 0.0, **options: Any
) -> tuple[Array, Array]:
    """The gradient of each loss, and the diagonal of its Hessian."""
    if out is not None and not isinstance(out, (tuple, list)):
        raise TypeError(f"out is a {type(out).__name__}: pass two arrays, gradient and Hessian")
    outs = (None, None) if out is None else tuple(out)
    if len(outs) != 2:
        raise ValueError(f"out has {len(outs)} arrays: pass two, for the gradient and the Hessian")
    if overwrites(loss, outs, y_true, logits, options):
        evaluate_sums(loss, y_true, logits, **options)
    slopes = Slopes(outs, ("out[0]", "out[1]"), 1.0, validation.hessian_floor(hess_floor))
    evaluate_sums(loss, y_true, logits, slopes=slopes, **options)
    grad, hess = slopes.arrays
    return grad, hess


def is_weighted(options: dict[str, Any]) -> bool:
    """Whether the weights may sum to anything but the number of losses."""
    weights = ("sample_weight", "where", "class_weight", "ignore_index")
    return options["nan_policy"] == "omit" or any(options.get(w) is not None for w in weights)


def overwrites(
    loss: Loss, outs: tuple[Any, ...], y_true: Any, logits: Any, options: dict[str, Any]
) -> bool:
    """Whether an output is also an input."""
    outs = tuple(out for out in outs if isinstance(out, np.ndarray))
    if not outs:
        return False
    inputs = {
        loss.truth: y_true,
        loss.scores: logits,
        "sample_weight": options.get("sample_weight"),
        "where": options.get("where"),
        "pos_weight": options.get("scale"),
    }
    arrays = [as_array(a, name, scalars=True) for name, a in inputs.items() if a is not None]
    return any(np.may_share_memory(out, array) for out in outs for array in arrays)


def whole_numbers(y_true: Any, logits: Any) -> Any:
    """Class indices that came as floats, which is what boosted trees hand over, as integers."""
    labels = as_array(y_true, "y_true", scalars=True)
    if labels.dtype.kind != "f" or labels.ndim != as_array(logits, "logits", scalars=True).ndim - 1:
        return y_true
    with np.errstate(invalid="ignore"):  # what is not finite, or too large, is not equal then
        whole = labels.astype(np.int64)
    return whole if np.array_equal(whole, labels) else y_true

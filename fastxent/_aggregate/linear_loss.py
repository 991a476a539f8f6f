"""The loss of a linear layer, whose weights are the same for all batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastxent._aggregate.bound_loss import BoundLoss, equal
from fastxent._aggregate.elementwise import Block, Elements, cuts
from fastxent._core import validation
from fastxent._core.evaluate import Sums
from fastxent._core.loss import Loss
from fastxent._linear.linear import LINEAR, LinearCall, linear_cross_entropy
from fastxent._linear.operands import LinearOptions


def bind(loss: Any, options: dict[str, Any], user: str) -> BoundLoss:
    """Bind a loss, by name or as the function, to its options; `user` is who takes them."""
    if loss is linear_cross_entropy or loss == LINEAR.name:
        return BoundLinearLoss(loss, options, user)
    return BoundLoss(loss, options, user)


class BoundLinearLoss(BoundLoss):
    """A linear layer's loss with the options, and the layer, that are the same for all batches.

    The layer's arrays are not copied: they may be larger than all else.

    Parameters
    ----------
    loss : callable or str
    options : dict
        As the caller gave them, with `weight`, and `bias` if there is one.
    user : str
        Who takes them: for the messages.
    """

    __slots__ = ("layer",)

    def __init__(self, loss: Any, options: dict[str, Any], user: str) -> None:
        given = {name: options.get(name) for name in ("weight", "bias")}
        if given["weight"] is None:
            raise TypeError(f"{LINEAR.name} needs weight: pass {user} the weights of the layer")
        self.layer = {
            name: validation.as_scores(value, name)
            for name, value in given.items()
            if value is not None
        }
        super().__init__(loss, {k: v for k, v in options.items() if k not in given}, user)

    @staticmethod
    def row(loss: Any) -> Loss:  # noqa: ARG004
        """What the loss is."""
        return LINEAR

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BoundLinearLoss)
            and super().__eq__(other)
            and all(equal(self.layer.get(k), other.layer.get(k)) for k in ("weight", "bias"))
        )

    __hash__ = None

    def with_scores_name(self, scores: str) -> BoundLoss:  # noqa: ARG002
        """The same call: its messages say `hidden`."""
        return self

    def non_default(self) -> dict[str, Any]:
        """The layer, and the options that are not the defaults."""
        return {**self.layer, **super().non_default()}

    def sums(self, y_true: Any, scores: Any, **batch: Any) -> Sums:
        """Sum one batch."""
        return self._call(y_true, scores, batch, "sum").sums()

    def elements(self, y_true: Any, scores: Any, **batch: Any) -> Elements:
        """The single losses of one batch."""
        return LinearElements(self._call(y_true, scores, batch, "none"))

    def _call(self, y_true: Any, scores: Any, batch: dict[str, Any], reduction: str) -> LinearCall:
        """A call whose losses are found."""
        labels, hidden = self.operands(y_true, scores)
        options = self._with_batch(batch)
        own = LinearOptions(**{k: v for k, v in options.items() if k in LinearOptions._fields})
        call = LinearCall(labels, hidden, self.layer["weight"], self.layer.get("bias"), own)
        call.check(options["nan_policy"], reduction, options["workers"])
        call.find_losses()
        return call


class LinearElements:
    """The single losses of one batch.

    Parameters
    ----------
    call : LinearCall
        Its losses are found.
    """

    eps = 0.0  # there are no probabilities

    def __init__(self, call: LinearCall) -> None:
        self.shape = call.operands.shape
        self.losses = call.value()
        self.weights, self.valid = np.zeros(self.shape), np.zeros(self.shape, bool)
        self.weights.reshape(-1)[call.operands.rows] = call.loss_weights()
        self.valid.reshape(-1)[call.operands.rows] = True

    def blocks(self) -> Iterator[Block]:
        """Yield them block by block."""
        for cut in cuts(self.shape):
            arrays = self.losses, self.weights, self.valid
            yield Block(cut, *(array[cut].ravel() for array in arrays))

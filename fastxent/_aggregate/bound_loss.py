"""A loss with its options, checked once and called for many batches."""

from __future__ import annotations

from types import NoneType
from typing import Any

import numpy as np

from fastxent._aggregate.elementwise import Elements, ElementwiseLosses
from fastxent._core.arrays import as_array
from fastxent._core.evaluate import Sums, evaluate_sums
from fastxent._core.loss import Loss
from fastxent._core.options import OPTIONS, Scope
from fastxent._losses import get_loss


class BoundLoss:
    """A loss, by name or as the function, with the options that are the same for all batches.

    Parameters
    ----------
    loss : callable or str
    options : dict
        As the caller gave them.
    user : str
        Who takes them: for the messages.
    """

    __slots__ = ("loss", "options")

    def __init__(self, loss: Any, options: dict[str, Any], user: str) -> None:
        self.loss = self.row(loss)
        self.options = _validated(self.loss, options, user)

    @staticmethod
    def row(loss: Any) -> Loss:
        """What the loss is."""
        return get_loss(loss)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BoundLoss)
            and self.loss == other.loss
            and all(equal(v, other.options[k]) for k, v in self.options.items() if k != "workers")
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return ", ".join(
            [self.loss.name, *(f"{k}={v!r:.60}" for k, v in self.non_default().items())]
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.loss.name, self.non_default(), "")

    def with_scores_name(self, scores: str) -> BoundLoss:
        """The same call, with another name for the scores: for the messages."""
        call = BoundLoss.__new__(BoundLoss)
        call.loss, call.options = self.loss._replace(scores_name=scores), self.options
        return call

    def non_default(self) -> dict[str, Any]:
        """The options that are not the defaults."""
        defaults = _defaults(self.loss)
        return {k: v for k, v in self.options.items() if not equal(v, defaults[k])}

    def operands(self, y_true: Any, scores: Any) -> tuple[Any, Any]:
        """Labels and scores, which are the same array for a loss of a single argument."""
        loss = self.loss
        if (scores is None) != loss.single_argument:
            needs = f"{loss.y_true_name} and {loss.scores_name}"
            if loss.single_argument:
                needs = f"{loss.y_true_name} alone"
            raise TypeError(f"{loss.name} takes {needs}")
        return y_true, y_true if scores is None else scores

    def sums(self, y_true: Any, scores: Any, **batch: Any) -> Sums:
        """Sum one batch."""
        y_true, scores = self.operands(y_true, scores)
        options = self._with_batch(batch)
        policy, workers = options["nan_policy"], options["workers"]
        return evaluate_sums(self.loss, y_true, scores, options, policy, workers)[0]

    def _with_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The options of all batches and those of one."""
        given = {name: value for name, value in batch.items() if value is not None}
        if "var" in given and self.loss.scale != "var":
            raise TypeError(f"{self.loss.name} takes no var: it is gaussian_nll's")
        return {**self.options, **given}

    def elements(self, y_true: Any, scores: Any, **batch: Any) -> Elements:
        """The single losses of one batch."""
        labels, scores = self.operands(y_true, scores)
        return ElementwiseLosses(
            self.loss,
            labels,
            scores,
            self._with_batch(batch),
            lambda: self.sums(y_true, None if self.loss.single_argument else scores, **batch),
        )


def _defaults(loss: Loss) -> dict[str, Any]:
    """The options that may be set once for all batches."""
    names = [name for name in loss.options if OPTIONS[name].scope is Scope.LOSS]
    if loss.scale and loss.scale not in names:
        names.append(loss.scale)
    defaults = {name: OPTIONS[name].default for name in names}
    return defaults | ({"eps": loss.eps} if "eps" in defaults else {})


def _validated(loss: Loss, given: dict[str, Any], user: str) -> dict[str, Any]:
    """Check the options by name, and by value as far as that needs no data."""
    options = _defaults(loss)
    for name, value in given.items():
        scope = OPTIONS[name].scope if name in OPTIONS else None
        if scope is Scope.RESULT:
            raise TypeError(f"{user} takes no {name}: it returns sums, not an array of losses")
        if scope is Scope.BATCH:
            raise TypeError(f"{name} belongs to a batch: pass it to update")
        if name not in options:
            takes = ", ".join(options)
            raise TypeError(f"{loss.name} takes no option {name!r}: it takes {takes}")
        options[name] = value
        if not isinstance(value, (str, dict, NoneType)):
            array = as_array(value, name, scalars=True)
            # The caller's array may change; this one must not.
            options[name] = array.copy() if array.ndim else value
    for name, value in options.items():
        check = OPTIONS[name].check
        if check is not None:
            check(value)
    return options


def equal(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and np.array_equal(a, b))

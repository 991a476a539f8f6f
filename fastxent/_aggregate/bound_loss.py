"""A loss with its options, checked once and called for many batches."""

from __future__ import annotations

from types import NoneType
from typing import Any

import numpy as np

from fastxent._aggregate.elementwise import Elements
from fastxent._core import validation
from fastxent._core.arrays import as_array
from fastxent._core.evaluate import Sums, evaluate_sums
from fastxent._core.loss import DEFAULTS, Loss
from fastxent._losses import get_loss
from fastxent._losses.gaussian import GAUSSIAN
from fastxent._losses.information import ENTROPY

#: What comes with each batch alone, as it has one element for every loss.
_PER_BATCH = ("sample_weight", "where")


class Call:
    """A loss, named or given as the function, and the options that stay the same for all batches.

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
        self.loss = get_loss(loss)
        self.options = _settled(self.loss, options, user)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Call)
            and self.loss == other.loss
            and all(_same(v, other.options[k]) for k, v in self.options.items() if k != "workers")
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return ", ".join([self.loss.name, *(f"{k}={v!r:.60}" for k, v in self.changed().items())])

    def __reduce__(self) -> tuple[Any, ...]:
        return Call, (self.loss.name, self.changed(), "")

    def of(self, scores: str) -> Call:
        """The same call, with another name for the scores: for the messages."""
        call = Call.__new__(Call)
        call.loss, call.options = self.loss._replace(scores=scores), self.options
        return call

    def changed(self) -> dict[str, Any]:
        """The options that are not the defaults."""
        defaults = _defaults(self.loss)
        return {k: v for k, v in self.options.items() if not _same(v, defaults[k])}

    def pair(self, y_true: Any, scores: Any) -> tuple[Any, Any]:
        """Truth and scores; the entropy of p, which is given once, has p for both."""
        if (scores is None) != (self.loss.name == ENTROPY.name):
            needs = "p alone" if scores is not None else f"{self.loss.truth} and {self.loss.scores}"
            raise TypeError(f"{self.loss.name} is of {needs}")
        return y_true, y_true if scores is None else scores

    def sums(self, y_true: Any, scores: Any, **batch: Any) -> Sums:
        """Sum one batch."""
        y_true, scores = self.pair(y_true, scores)
        return evaluate_sums(self.loss, y_true, scores, **self._kernel_options(batch))[0]

    def _kernel_options(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As `evaluate_sums` names them: what scales a loss is pos_weight, or the variance."""
        if batch.get("var") is not None and self.loss.name != GAUSSIAN.name:
            raise TypeError(f"{self.loss.name} takes no var: it is gaussian_nll's")
        options = {**self.options, **{k: v for k, v in batch.items() if v is not None}}
        name = self.loss.scale_name
        if name:
            options["scale"] = options.pop(name)
        return options

    def elements(self, y_true: Any, scores: Any, **batch: Any) -> Elements:
        """One batch, whose losses are wanted one by one."""
        options = self._kernel_options(batch)
        return Elements(
            self.loss,
            options,
            self.pair(y_true, scores),
            lambda: self.sums(y_true, scores, **batch),
        )


def _defaults(loss: Loss) -> dict[str, Any]:
    """The options that may be set once for all batches."""
    left_out = (*_PER_BATCH, "reduction", "out")
    defaults = {k: DEFAULTS[k] for k in loss.takes if k not in left_out}
    if loss.name == GAUSSIAN.name:
        defaults["var"] = 1.0
    return defaults


def _settled(loss: Loss, given: dict[str, Any], user: str) -> dict[str, Any]:
    """Check the options by name, and by value where no data are needed for that."""
    options = _defaults(loss)
    for name, value in given.items():
        if name in ("reduction", "out"):
            raise TypeError(f"{user} takes no {name}: it has the sums, and no array of losses")
        if name in _PER_BATCH:
            raise TypeError(f"{name} belongs to a batch: pass it to update")
        if name not in options:
            takes = ", ".join(options)
            raise TypeError(f"{loss.name} takes no option {name!r}: it takes {takes}")
        options[name] = value
        if not isinstance(value, (str, dict, NoneType)):
            array = as_array(value, name, scalars=True)
            # The caller's array may change; this one must not.
            options[name] = array.copy() if array.ndim else value
    validation.nan_policy_number(options["nan_policy"])
    validation.workers_wanted(options["workers"])
    if "eps" in options:
        validation.epsilon(options["eps"], np.empty(0))
    if "gamma" in options:
        validation.focusing(options["gamma"])
    if "label_smoothing" in options:
        validation.smoothing(options["label_smoothing"])
    return options


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and np.array_equal(a, b))

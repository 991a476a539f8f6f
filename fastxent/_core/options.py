"""What an option is: one entry says its default, its words, and how its values are checked."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from fastxent._core import validation
from fastxent._core.dispatch import NAN_POLICIES
from fastxent._core.scalars import MODERATE, NON_NEGATIVE, UNIT, as_bool
from fastxent._core.validation import REDUCTIONS


class Scope(Enum):
    """What a value belongs to."""

    LOSS = "all batches of a loss"
    BATCH = "one batch"
    RESULT = "the result of one call"
    ARGUMENT = "the arguments of the loss"  # not an option


class Option(NamedTuple):
    """One option of the losses.

    Attributes
    ----------
    default : object
        The default in the signatures.
    type, text : str
        For docstrings; {default} is the default.
    neutral : object
        The value that changes nothing, besides None: it does not reach the kernels.
    check : callable or None
        The value that the kernels take, if it does not depend on the data; raises for a bad one.
    gather : callable or None
        That value from the caller's and the `Operands`, if it does.
    scope : Scope
    row_type, row_text : str or None
        The words where a loss has rows of classes.
    """

    default: Any
    type: str
    text: str
    neutral: Any = None
    check: Callable[[Any], Any] | None = None
    gather: Callable[[Any, Any], Any] | None = None
    scope: Scope = Scope.LOSS
    row_type: str | None = None
    row_text: str | None = None

    @property
    def operand(self) -> Callable[[Any, Any], Any]:
        """The function from the caller's value and the operands to the value that the kernels take."""
        if self.gather is not None:
            return self.gather
        check = self.check
        return lambda value, _: value if check is None else check(value)


def _alpha(value: Any, operands: Any) -> Any:
    if operands.loss.per_row:
        return validation.as_class_alpha(value, operands.classes)
    return UNIT.checked(value, "alpha", ": it is for label 1, 1 - alpha for 0")


def as_gamma(gamma: Any) -> float:
    """The exponent of a focal loss."""
    return NON_NEGATIVE.checked(gamma, "gamma")


def as_label_smoothing(label_smoothing: Any) -> float:
    """A share of a label."""
    return UNIT.checked(label_smoothing, "label_smoothing")


def as_softcap(softcap: Any) -> float | None:
    """The bound of logits."""
    return None if softcap is None else MODERATE.checked(softcap, "softcap", "; None: no cap")


def as_z_loss(z_loss: Any) -> float:
    """The factor of the squared log-sum-exp."""
    return NON_NEGATIVE.checked(z_loss, "z_loss")


def _choices(values: tuple[str, ...]) -> str:
    return "{" + ", ".join(f'"{value}"' for value in values) + '}, default "{default}"'


#: Every option, in the order of the signatures, and the arguments that scale a loss.
OPTIONS = {
    "axis": Option(
        -1, "int, default {default}", "Class axis. No choice of axis requires a copy."
    ),
    "class_weight": Option(
        None,
        "array-like or dict, optional",
        """
        A weight per class. It multiplies the class's term in the loss and, with the label's share
        of that class, the weight in the mean. Classes that a dict does not name have weight 1.
        """,
        gather=lambda value, operands: validation.as_class_weight(value, operands.classes),
    ),
    "ignore_index": Option(
        None,
        "int, optional",
        "A label that counts neither in the sum nor in the weight; class indices only.",
        gather=lambda value, operands: validation.as_ignore_index(
            value, operands.index_labels, operands.labels
        ),
    ),
    "pos_weight": Option(
        None,
        "array-like, optional",
        """
        The factor of the term of label 1: one number, or an array that broadcasts to the losses'
        shape. The denominator of the mean does not change.
        """,
        gather=lambda value, operands: validation.as_scale(value, "pos_weight", operands.shape),
    ),
    "var": Option(
        1.0,
        "array-like, default {default}",
        """
        The variance of the Gaussian, above 0: one number, or an array that broadcasts to the shape
        of `mean`.
        """,
        neutral=1.0,
        gather=lambda value, operands: validation.as_scale(value, "var", operands.shape),
        scope=Scope.ARGUMENT,
    ),
    "alpha": Option(
        None,
        "float, optional",
        """
        From 0 to 1: the factor of the loss of label 1; that of label 0 is 1 - alpha, and a soft
        label has its share of both. None: no factor. The denominator of the mean does not change.
        """,
        gather=_alpha,
        row_type="float or array-like, optional",
        row_text="""
        The factor of the term of each class: one number per class, or one for all. Unlike
        `class_weight` it does not change the denominator of the mean.
        """,
    ),
    "gamma": Option(
        2.0,
        "float, default {default}",
        """
        Focusing parameter, at least 0: the larger, the more well-classified examples are
        down-weighted; 0 is the cross entropy.
        """,
        neutral=0.0,
        check=as_gamma,
    ),
    "full": Option(
        False,
        "bool, default {default}",
        "Add the constant log(2π)/2.",
        neutral=False,
        check=lambda value: as_bool(value, "full"),
    ),
    "sample_weight": Option(
        None,
        "array-like, optional",
        """
        A weight for each loss, or for each leading index of the losses; 0 or more. Elements of
        weight 0 are still validated; elements masked out by `where` are not.
        """,
        gather=lambda value, operands: validation.as_weight(
            value, "sample_weight", operands.shape
        ),
        scope=Scope.BATCH,
    ),
    "where": Option(
        None,
        "array-like of bool, optional",
        """
        Boolean mask of the losses, in their shape or broadcast to it. Elements where it is False
        are skipped, not even validated: they may be NaN or bad labels.
        """,
        gather=lambda value, operands: validation.as_mask(value, operands.shape),
        scope=Scope.BATCH,
    ),
    "label_smoothing": Option(
        0.0,
        "float, default {default}",
        "From 0 to 1: a label y becomes ``y * (1 - label_smoothing) + label_smoothing / 2``.",
        neutral=0.0,
        check=as_label_smoothing,
        row_text="""
        From 0 to 1: that share of every label is spread evenly over all classes, the target
        included.
        """,
    ),
    "softcap": Option(
        None,
        "float, optional",
        """
        From 1e-30 to 1e30: the logits become ``softcap * tanh(logits / softcap)`` first. None: no
        cap.
        """,
        check=as_softcap,
    ),
    "z_loss": Option(
        0.0,
        "float, default {default}",
        """
        At least 0: adds ``z_loss * (log Σ exp(z)) ** 2`` to each loss before its weight.
        """,
        neutral=0.0,
        check=as_z_loss,
    ),
    "eps": Option(
        "auto",
        '"auto" or float, default "{default}"',
        """
        Clip probabilities to ``[eps, 1 - eps]``. "auto" is the machine epsilon of the scores'
        dtype. 0 disables clipping: a wrong prediction made with certainty has infinite loss.
        """,
        check=lambda value: validation.as_eps(value, np.empty(0)),
    ),
    "nan_policy": Option(
        "raise",
        _choices(tuple(NAN_POLICIES)),
        """
        What to do with NaN: raise a ValueError that says where it is, return nan, or count the
        element neither in the sum nor in the weight.
        """,
        check=validation.nan_policy_code,
    ),
    "reduction": Option(
        "mean",
        _choices(REDUCTIONS),
        """
        The mean weighted by `sample_weight`, the weighted sum, or the weighted losses themselves,
        with 0 for those that do not count.
        """,
        scope=Scope.RESULT,
    ),
    "out": Option(
        None,
        "ndarray, optional",
        'Output array for the losses of ``reduction="none"``: of their shape and dtype.',
        scope=Scope.RESULT,
    ),
    "workers": Option(
        1,
        "int, default {default}",
        """
        Number of threads; -1 uses every CPU available to the process. The result has the same
        bits.
        """,
        check=validation.as_workers,
    ),
}  # fmt: skip


#: The defaults of the options, in the order of the signatures.
DEFAULTS = {
    name: option.default for name, option in OPTIONS.items() if option.scope is not Scope.ARGUMENT
}

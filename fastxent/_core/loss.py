"""What a loss is. Each loss is one row of this kind, beside its public functions in `_losses`."""

from __future__ import annotations

from typing import NamedTuple, Self

from fastxent._core.dispatch import Kernel
from fastxent._core.scalars import NON_NEGATIVE, REAL, UNIT, Interval
from fastxent._core.types import Epsilon

COMMON_OPTIONS = ("sample_weight", "where", "nan_policy", "reduction", "out", "workers")
BINARY_OPTIONS = (*COMMON_OPTIONS, "label_smoothing")
ROW_OPTIONS = (*COMMON_OPTIONS, "axis")
CATEGORICAL_OPTIONS = (*ROW_OPTIONS, "class_weight", "ignore_index", "label_smoothing")
FOCAL_OPTIONS = ("alpha", "gamma")
LOGIT_OPTIONS = ("softcap", "z_loss")


class Formula(Kernel):
    """A formula of the kernels, and the domains of what goes in.

    Parameters
    ----------
    name : str
        A member of Loss in job.pxd.
    scores, labels, scale : Interval
        Of the elements; class indices are checked against the number of classes instead.
    """

    __slots__ = ("labels", "scale", "scores")

    scores: Interval
    labels: Interval
    scale: Interval

    def __new__(
        cls,
        name: str,
        scores: Interval = REAL,
        labels: Interval = UNIT,
        scale: Interval = NON_NEGATIVE,
    ) -> Self:
        self = super().__new__(cls, name, scores.bounds(), labels.bounds(), scale.bounds())
        self.scores, self.labels, self.scale = scores, labels, scale
        return self


class Loss(NamedTuple):
    """What the checks, the messages and the kernels have to know of a loss."""

    name: str
    formula: Formula
    y_true_name: str
    scores_name: str
    options: tuple[str, ...]
    per_row: bool = False  # one loss per row of classes
    scale: str | None = None  # the argument that scales the loss: "pos_weight" or "var"
    logits_variant: str | None = None  # the loss to call where probabilities look like logits
    class_indices: bool = True  # labels may be class indices, if per_row
    single_argument: bool = False  # the scores are also the labels
    eps: Epsilon = "auto"  # the default of that option

"""The one table: which loss takes which option, and what each option may be."""

from __future__ import annotations

from typing import NamedTuple

REDUCTIONS = ("mean", "sum", "none")
NAN_POLICIES = ("raise", "propagate", "omit")  # the order is that of NanPolicy in job.pxd

#: Every option, in the order of the signatures, with its default.
DEFAULTS = {
    "axis": -1,
    "class_weight": None,
    "ignore_index": None,
    "pos_weight": None,
    "alpha": None,
    "gamma": 2.0,
    "full": False,
    "sample_weight": None,
    "where": None,
    "label_smoothing": 0.0,
    "eps": "auto",
    "nan_policy": "raise",
    "reduction": "mean",
    "out": None,
    "workers": 1,
}

COMMON_OPTIONS = ("sample_weight", "where", "nan_policy", "reduction", "out", "workers")
BINARY_OPTIONS = (*COMMON_OPTIONS, "label_smoothing")
ROW_OPTIONS = (*COMMON_OPTIONS, "axis")
CATEGORICAL_OPTIONS = (*ROW_OPTIONS, "class_weight", "ignore_index", "label_smoothing")
FOCAL_OPTIONS = ("alpha", "gamma")


class Loss(NamedTuple):
    """What the checks and the kernels have to know of a loss."""

    name: str
    kernel: int  # a member of Loss in job.pxd
    truth: str  # name of the first argument
    scores: str  # name of the second
    takes: tuple[str, ...]
    rows: bool = False  # one loss per row of classes
    sibling: str | None = None  # the loss to call where probabilities look like logits

    @property
    def scale_name(self) -> str | None:
        """The argument that scales a loss: pos_weight, or a Gaussian's variance."""
        if "full" in self.takes:
            return "var"
        return "pos_weight" if "pos_weight" in self.takes else None

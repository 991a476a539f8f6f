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

_COMMON = ("sample_weight", "where", "nan_policy", "reduction", "out", "workers")
_BINARY = (*_COMMON, "label_smoothing")
_ROWS = (*_COMMON, "axis")
_CATEGORICAL = (*_ROWS, "class_weight", "ignore_index", "label_smoothing")
_FOCAL = ("alpha", "gamma")


class Loss(NamedTuple):
    """What the checks and the kernels have to know of a loss."""

    name: str
    kernel: int  # a member of Loss in job.pxd
    truth: str  # name of the first argument
    scores: str  # name of the second
    takes: tuple[str, ...]
    rows: bool = False  # one loss per row of classes
    sibling: str | None = None  # the loss to call where probabilities look like logits


BINARY = Loss(
    "binary_cross_entropy", 0, "y_true", "y_proba", (*_BINARY, "eps"),
    sibling="binary_cross_entropy_with_logits",
)  # fmt: skip
BINARY_LOGITS = Loss(
    "binary_cross_entropy_with_logits", 1, "y_true", "logits", (*_BINARY, "pos_weight")
)
CATEGORICAL = Loss(
    "categorical_cross_entropy", 2, "y_true", "y_proba", (*_CATEGORICAL, "eps"), rows=True,
    sibling="categorical_cross_entropy_with_logits",
)  # fmt: skip
CATEGORICAL_LOGITS = Loss(
    "categorical_cross_entropy_with_logits", 3, "y_true", "logits", _CATEGORICAL, rows=True
)
GAUSSIAN = Loss("gaussian_nll", 4, "y_true", "mean", (*_COMMON, "full"))
# The entropy of p is its cross entropy against itself.
ENTROPY = Loss("entropy", 2, "p", "p", _ROWS, rows=True)
KL = Loss("kl_divergence", 5, "q", "p", (*_ROWS, "eps"), rows=True)
BINARY_FOCAL = Loss("binary_focal_loss", 6, "y_true", "logits", (*_BINARY, *_FOCAL))
CATEGORICAL_FOCAL = Loss(
    "categorical_focal_loss", 7, "y_true", "logits", (*_CATEGORICAL, *_FOCAL), rows=True
)

LOSSES = (
    BINARY, BINARY_LOGITS, CATEGORICAL, CATEGORICAL_LOGITS, GAUSSIAN, ENTROPY, KL, BINARY_FOCAL,
    CATEGORICAL_FOCAL,
)  # fmt: skip

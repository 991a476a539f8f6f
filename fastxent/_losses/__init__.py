"""The losses. A loss is added here: its row and its public functions stand in one file."""

from __future__ import annotations

from typing import Any

from fastxent._core.loss import Loss
from fastxent._losses.binary import (
    BINARY,
    BINARY_LOGITS,
    binary_cross_entropy,
    binary_cross_entropy_grad_hess,
    binary_cross_entropy_value_and_grad,
    binary_cross_entropy_with_logits,
)
from fastxent._losses.categorical import (
    CATEGORICAL,
    CATEGORICAL_LOGITS,
    categorical_cross_entropy,
    categorical_cross_entropy_grad_hess,
    categorical_cross_entropy_value_and_grad,
    categorical_cross_entropy_with_logits,
)
from fastxent._losses.focal import (
    BINARY_FOCAL,
    CATEGORICAL_FOCAL,
    binary_focal_loss,
    binary_focal_loss_grad_hess,
    binary_focal_loss_value_and_grad,
    categorical_focal_loss,
    categorical_focal_loss_grad_hess,
    categorical_focal_loss_value_and_grad,
)
from fastxent._losses.gaussian import GAUSSIAN, gaussian_nll
from fastxent._losses.information import ENTROPY, KL, entropy, kl_divergence
from fastxent._losses.kl_logits import (
    KL_LOGITS,
    kl_divergence_with_logits,
    kl_divergence_with_logits_value_and_grad,
)
from fastxent._losses.poisson import (
    POISSON,
    poisson_nll,
    poisson_nll_grad_hess,
    poisson_nll_value_and_grad,
)
from fastxent._losses.statistics import LogitStatistics, logit_statistics

#: Every loss, in the order of the reference.
LOSSES = (
    BINARY, BINARY_LOGITS, CATEGORICAL, CATEGORICAL_LOGITS, GAUSSIAN, ENTROPY, KL, BINARY_FOCAL,
    CATEGORICAL_FOCAL, POISSON, KL_LOGITS,
)  # fmt: skip

__all__ = [
    "LOSSES",
    "LogitStatistics",
    "binary_cross_entropy",
    "binary_cross_entropy_grad_hess",
    "binary_cross_entropy_value_and_grad",
    "binary_cross_entropy_with_logits",
    "binary_focal_loss",
    "binary_focal_loss_grad_hess",
    "binary_focal_loss_value_and_grad",
    "categorical_cross_entropy",
    "categorical_cross_entropy_grad_hess",
    "categorical_cross_entropy_value_and_grad",
    "categorical_cross_entropy_with_logits",
    "categorical_focal_loss",
    "categorical_focal_loss_grad_hess",
    "categorical_focal_loss_value_and_grad",
    "entropy",
    "gaussian_nll",
    "get_loss",
    "kl_divergence",
    "kl_divergence_with_logits",
    "kl_divergence_with_logits_value_and_grad",
    "logit_statistics",
    "poisson_nll",
    "poisson_nll_grad_hess",
    "poisson_nll_value_and_grad",
]


def get_loss(loss: Any) -> Loss:
    """The row of the loss of that name, or of the loss whose public function it is."""
    public = globals()
    for row in LOSSES:
        if loss == row.name or loss is public[row.name]:
            return row
    names = ", ".join(row.name for row in LOSSES)
    raise ValueError(f"loss={loss!r:.60} is unknown: use one of {names}")

"""Cross-entropy of large batches on a CPU: at the speed of memory, the same bits everywhere."""

from fastxent._log_loss import log_loss
from fastxent._losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    categorical_cross_entropy,
    categorical_cross_entropy_with_logits,
    entropy,
    gaussian_nll,
    kl_divergence,
)
from fastxent._simd import simd_level

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "categorical_cross_entropy",
    "categorical_cross_entropy_with_logits",
    "entropy",
    "gaussian_nll",
    "kl_divergence",
    "log_loss",
    "simd_level",
]

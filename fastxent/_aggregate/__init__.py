"""What is built on the losses: many batches, groups, standard errors, two models."""

from fastxent._aggregate.accumulator import LossAccumulator, bits_per_byte
from fastxent._aggregate.groups import grouped
from fastxent._aggregate.largest_losses import largest_losses
from fastxent._aggregate.score import compare, score

__all__ = [
    "LossAccumulator",
    "bits_per_byte",
    "compare",
    "grouped",
    "largest_losses",
    "score",
]

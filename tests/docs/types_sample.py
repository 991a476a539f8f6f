"""Code that uses fastxent, checked by mypy: `test_docs.py` checks it, and nothing runs it."""

from typing import Any, Literal, assert_type

import numpy as np

import fastxent
from fastxent.typing import Array, ByGroup, Comparison, GroupMean, LargestLosses, Score

y = np.array([0, 1])
p = np.array([0.2, 0.7])

# A mean or a sum is a float, losses are an array.
assert_type(fastxent.binary_cross_entropy(y, p), float)
assert_type(fastxent.binary_cross_entropy([0, 1], [0.2, 0.7], reduction="sum"), float)
assert_type(fastxent.binary_cross_entropy(y, p, reduction="none"), Array)
assert_type(fastxent.binary_cross_entropy(y, p, reduction="none", out=np.empty(2)), Array)
assert_type(fastxent.categorical_cross_entropy_with_logits(y, p, class_weight={0: 2.0}), float)
assert_type(fastxent.gaussian_nll(p, p, 2.0, full=True), float)
assert_type(fastxent.entropy(p, axis=np.intp(0)), float)
assert_type(fastxent.log_loss(["a", "b"], p), float)
assert_type(fastxent.binary_cross_entropy_value_and_grad(y, p), tuple[float, Array])
each = fastxent.binary_cross_entropy_value_and_grad(y, p, reduction="none", out=np.empty(2))
assert_type(each, tuple[Array, Array])
assert_type(fastxent.binary_cross_entropy_grad_hess(y, p, p), tuple[Array, Array])

# By group there is one of each; without groups there is one.
assert_type(fastxent.score("binary_cross_entropy", y, p), Score)
assert_type(
    fastxent.score("binary_cross_entropy", y, p, groups=None, eps=0.0).standard_error, float
)
assert_type(fastxent.score("binary_cross_entropy", y, p, groups=y), ByGroup[Score])
assert_type(fastxent.largest_losses("binary_cross_entropy", y, p, 1), LargestLosses)
assert_type(fastxent.compare("binary_cross_entropy", y, p, p), Comparison)
assert_type(fastxent.compare("binary_cross_entropy", y, p, p, where=p > 0.5).p_value, float)
assert_type(fastxent.compare("binary_cross_entropy", y, p, p, ["a", "b"]), ByGroup[Comparison])
assert_type(fastxent.compare("binary_cross_entropy", y, p, p, groups=y)[0].t, float)
assert_type(fastxent.grouped("binary_cross_entropy", y, p, y), ByGroup[GroupMean])
assert_type(fastxent.grouped("binary_cross_entropy", y, p, ["a", "b"])["a"].mean, float)

# Streams.
acc = fastxent.LossAccumulator(fastxent.binary_cross_entropy, eps=0.0)
acc.update(y, p, sample_weight=p)
acc.merge(acc + acc)
assert_type(sum([acc, acc]), fastxent.LossAccumulator | Literal[0])
assert_type(acc.result(), float)
assert_type(acc.total / acc.weight, float)
assert_type(acc.count, int)
assert_type(fastxent.bits_per_byte(acc.total, 100), float)
assert_type(acc.groups(), ByGroup[GroupMean])
assert_type(fastxent.simd_level(), str)

# Mistakes are errors before the code runs.
fastxent.binary_cross_entropy(y, p, out=np.empty(2))  # type: ignore[call-overload]
fastxent.binary_cross_entropy(y, p, reduction="max")  # type: ignore[call-overload]
fastxent.binary_cross_entropy(y, p, pos_weight=2.0)  # type: ignore[call-overload]
fastxent.binary_cross_entropy(y, p, nan_policy="ignore")  # type: ignore[call-overload]


def any_reduction(reduction: Any) -> None:
    """Where the reduction is not known, nor is the type."""
    fastxent.binary_cross_entropy(y, p, reduction=reduction)

# Made of information.py by tools/write_stubs.py: do not edit.

from typing import Literal, SupportsIndex, overload

from numpy.typing import ArrayLike

from fastxent._core.loss import Loss
from fastxent._core.types import Array, Epsilon, NanPolicy

ENTROPY: Loss
KL: Loss

@overload
def entropy(
    p: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float: ...
@overload
def entropy(
    p: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...
@overload
def kl_divergence(
    q: ArrayLike,
    p: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    eps: Epsilon = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float: ...
@overload
def kl_divergence(
    q: ArrayLike,
    p: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    eps: Epsilon = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...

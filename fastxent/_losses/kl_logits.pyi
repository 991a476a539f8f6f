# Made of kl_logits.py by tools/write_stubs.py: do not edit.

from typing import Literal, SupportsIndex, overload

from numpy.typing import ArrayLike

from fastxent._core.loss import Loss
from fastxent._core.types import Array, NanPolicy

KL_LOGITS: Loss

@overload
def kl_divergence_with_logits(
    q_logits: ArrayLike,
    p_logits: ArrayLike,
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
def kl_divergence_with_logits(
    q_logits: ArrayLike,
    p_logits: ArrayLike,
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
def kl_divergence_with_logits_value_and_grad(
    q_logits: ArrayLike,
    p_logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[float, Array]: ...
@overload
def kl_divergence_with_logits_value_and_grad(
    q_logits: ArrayLike,
    p_logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]: ...

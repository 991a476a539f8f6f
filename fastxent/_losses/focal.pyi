# Made of focal.py by tools/write_stubs.py: do not edit.

from typing import Literal, SupportsIndex, overload

from numpy.typing import ArrayLike

from fastxent._core.loss import Loss
from fastxent._core.types import Array, ClassWeight, NanPolicy

BINARY_FOCAL: Loss
CATEGORICAL_FOCAL: Loss

@overload
def binary_focal_loss(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    alpha: float | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float: ...
@overload
def binary_focal_loss(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    alpha: float | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...
@overload
def categorical_focal_loss(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    alpha: ArrayLike | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float: ...
@overload
def categorical_focal_loss(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    alpha: ArrayLike | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...
@overload
def binary_focal_loss_value_and_grad(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    alpha: float | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[float, Array]: ...
@overload
def binary_focal_loss_value_and_grad(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    alpha: float | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]: ...
@overload
def categorical_focal_loss_value_and_grad(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    alpha: ArrayLike | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[float, Array]: ...
@overload
def categorical_focal_loss_value_and_grad(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    alpha: ArrayLike | None = None,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]: ...
def binary_focal_loss_grad_hess(
    y_true: ArrayLike,
    logits: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    alpha: float | None = None,
    gamma: float = 2.0,
    hess_floor: float = 1e-16,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    out: tuple[Array, Array] | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]: ...
def categorical_focal_loss_grad_hess(
    y_true: ArrayLike,
    logits: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    axis: SupportsIndex = -1,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    alpha: ArrayLike | None = None,
    gamma: float = 2.0,
    hess_floor: float = 1e-16,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    nan_policy: NanPolicy = "raise",
    out: tuple[Array, Array] | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]: ...

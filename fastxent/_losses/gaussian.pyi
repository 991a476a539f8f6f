# Made of gaussian.py by tools/write_stubs.py: do not edit.

from typing import Literal, SupportsIndex, overload

from numpy.typing import ArrayLike

from fastxent._core.loss import Loss
from fastxent._core.types import Array, NanPolicy

GAUSSIAN: Loss

@overload
def gaussian_nll(
    y_true: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike = 1.0,
    *,
    full: bool = False,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: None = None,
    workers: SupportsIndex = 1,
) -> float: ...
@overload
def gaussian_nll(
    y_true: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike = 1.0,
    *,
    full: bool = False,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...

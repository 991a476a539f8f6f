# Made of poisson.py by tools/write_stubs.py: do not edit.

from typing import Literal, SupportsIndex, overload

from numpy.typing import ArrayLike

from fastxent._core.loss import Loss
from fastxent._core.types import Array, NanPolicy

POISSON: Loss

@overload
def poisson_nll(
    y_true: ArrayLike,
    log_rate: ArrayLike,
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
def poisson_nll(
    y_true: ArrayLike,
    log_rate: ArrayLike,
    *,
    full: bool = False,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Array: ...
@overload
def poisson_nll_value_and_grad(
    y_true: ArrayLike,
    log_rate: ArrayLike,
    *,
    full: bool = False,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["mean", "sum"] = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[float, Array]: ...
@overload
def poisson_nll_value_and_grad(
    y_true: ArrayLike,
    log_rate: ArrayLike,
    *,
    full: bool = False,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Literal["none"],
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]: ...
def poisson_nll_grad_hess(
    y_true: ArrayLike,
    log_rate: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    full: bool = False,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    out: tuple[Array, Array] | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]: ...

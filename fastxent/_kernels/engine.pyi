from typing import Any, Self, final

import numpy as np
from typing_extensions import disjoint_base

version: str
compiler: str
build_flags: dict[str, str]

LOSSES: dict[str, int]
NAN_POLICIES: dict[str, int]
ERROR_CODES: dict[str, int]

def supported_levels() -> tuple[str, ...]: ...
def set_kernels(capsule: object) -> None: ...
def cap_logits(array: np.ndarray[Any, Any], softcap: float) -> None: ...
def fma_arrays(capsule: object, kind: int, *arrays: np.ndarray[Any, Any]) -> None: ...
def changed(options: dict[str, Any], neutral: dict[str, Any]) -> dict[str, Any]: ...

@disjoint_base
class Kernel:
    def __new__(
        cls,
        loss: str,
        scores: tuple[float, float],
        labels: tuple[float, float],
        scale: tuple[float, float],
    ) -> Self: ...

@final
class Task:
    @property
    def chunks(self) -> int: ...
    @property
    def elements(self) -> int: ...
    def __new__(
        cls,
        kernel: Kernel,
        nan_policy: int,
        scores: np.ndarray,
        labels: np.ndarray,
        axis: int,
        index_labels: bool,
        eps: float,
    ) -> Self: ...
    def set_options(self, given: dict[str, Any]) -> None: ...
    def set_weights_only(self) -> None: ...
    def set_row_check(self) -> None: ...
    def set_losses(self, out: np.ndarray) -> None: ...
    def set_statistics(
        self,
        nll: np.ndarray,
        logsumexp: np.ndarray,
        entropy: np.ndarray,
        argmax: np.ndarray,
        rank: np.ndarray,
    ) -> None: ...
    def set_moments(self, beta: float, offset: float) -> None: ...
    def set_gradients(
        self, grad: np.ndarray, hess: np.ndarray | None, scale: float, hess_floor: float
    ) -> None: ...
    def run(self, first: int, last: int) -> None: ...
    def moments(self, step: int) -> tuple[float, float, float, float, float]: ...
    @property
    def deviation(self) -> float: ...
    def sums(
        self, step: int = 1
    ) -> tuple[float, float, float, float, int] | tuple[int, int, int]: ...

import numpy as np

def set_group_kernels(capsule: object) -> None: ...
def add_losses(
    losses: np.ndarray,
    weight: np.ndarray | None,
    valid: np.ndarray | None,
    code: np.ndarray | None,
    low: int,
    sums: np.ndarray,
    squares: np.ndarray | None,
) -> None: ...
def add_differences(
    losses: np.ndarray,
    other: np.ndarray,
    weight: np.ndarray | None,
    code: np.ndarray | None,
    low: int,
    sums: np.ndarray,
    other_sums: np.ndarray,
    squares: np.ndarray,
) -> None: ...
def shift_centres(centres: np.ndarray, squares: np.ndarray) -> None: ...

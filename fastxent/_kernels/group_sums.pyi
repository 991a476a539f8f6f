import numpy as np

def set_kernels(capsule: object) -> None: ...
def add_sums(
    losses: np.ndarray,
    weight: np.ndarray | None,
    valid: np.ndarray | None,
    code: np.ndarray | None,
    low: int,
    sums: np.ndarray,
) -> None: ...
def add_squares(
    losses: np.ndarray,
    other: np.ndarray | None,
    weight: np.ndarray | None,
    code: np.ndarray | None,
    low: int,
    squares: np.ndarray,
) -> None: ...
def follow_means(
    squares: np.ndarray,
    sums: np.ndarray,
    other: np.ndarray | None,
    groups: int,
    code: np.ndarray | None,
    low: int,
) -> None: ...
def shift_centres(centres: np.ndarray, squares: np.ndarray) -> None: ...

"""The types in the signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import ArrayLike, NDArray  # slow to import

Array: TypeAlias = "NDArray[np.floating[Any]]"
Value: TypeAlias = "float | Array"  # an array with reduction="none"
ClassWeight: TypeAlias = "ArrayLike | dict[int, float]"
Epsilon: TypeAlias = float | Literal["auto"]
NanPolicy: TypeAlias = Literal["raise", "propagate", "omit"]
Reduction: TypeAlias = Literal["mean", "sum", "none"]

"""The formulas at forty digits, one element at a time: what accuracy in ulps is measured against."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
from numpy.typing import ArrayLike

mp = mpmath.mp.clone()
mp.dps = 40


def exact(x: Any) -> Any:
    return mp.mpf(float(x))


def exact_binary(y: float, p: float, eps: float = 0.0) -> Any:
    y, p = exact(y), min(max(exact(p), exact(eps)), 1 - exact(eps))
    return (-y * mp.log(p) if y else 0) + (-(1 - y) * mp.log1p(-p) if y != 1 else 0)


def exact_binary_logits(y: float, z: float, pos_weight: float = 1.0) -> Any:
    y, z = exact(y), exact(z)
    return y * exact(pos_weight) * mp.log1p(mp.exp(-z)) + (1 - y) * mp.log1p(mp.exp(z))


def exact_softmax(row: ArrayLike) -> list[Any]:
    e = [mp.exp(exact(z)) for z in np.asarray(row)]
    total = mp.fsum(e)
    return [x / total for x in e]


def exact_row_logits(target: int, row: ArrayLike) -> Any:
    """-log softmax of the target: log1p of the other classes' exponentials over its own."""
    z = [exact(x) for x in np.asarray(row)]
    odds = mp.fsum(mp.exp(x - z[target]) for c, x in enumerate(z) if c != target)
    return mp.log1p(odds)


def exact_binary_gradient(y: float, z: float) -> Any:
    """σ(z) - y, and its derivative."""
    y, z = exact(y), exact(z)
    return (1 - y) / (1 + mp.exp(-z)) - y / (1 + mp.exp(z))


def exact_row_gradients(target: int, row: ArrayLike) -> list[Any]:
    """softmax - onehot; the target's as minus the sum of the others: nothing cancels."""
    p = exact_softmax(row)
    others = mp.fsum(x for c, x in enumerate(p) if c != target)
    return [-others if c == target else x for c, x in enumerate(p)]


def ulps(got: ArrayLike, want: Any, dtype: Any) -> float:
    """The largest distance of `got` from the exact values, in units of its own last place.

    `want` holds mpmath's numbers, or is an array of longdouble.
    """
    flat = np.ravel(got)
    unit = np.spacing(np.abs(np.array([float(w) for w in np.ravel(want)], dtype)))
    if isinstance(want, np.ndarray):
        return float(
            (np.abs(flat.astype(np.longdouble) - want.ravel()) / unit.astype(np.longdouble)).max()
        )
    return max(
        float(abs(exact(g) - w) / exact(u)) for g, w, u in zip(flat, want, unit, strict=True)
    )

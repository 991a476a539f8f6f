"""The layouts in memory that one array can have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def contiguous(a: Array) -> Array:
    return np.array(a, order="C")


def fortran(a: Array) -> Array:
    return np.array(a, order="F")


def strided(a: Array) -> Array:
    """Every third of a longer last axis, as a column of predict_proba is every second."""
    wide = np.zeros((*a.shape[:-1], a.shape[-1] * 3 + 1), a.dtype)
    view = wide[..., 1::3]
    view[...] = a
    return view


def rows_apart(a: Array) -> Array:
    """Rows that are contiguous in themselves, with a gap after each."""
    wide = np.zeros((*a.shape[:-1], a.shape[-1] + 5), a.dtype)
    view = wide[..., : a.shape[-1]]
    view[...] = a
    return view


def backwards(a: Array) -> Array:
    flip = (slice(None, None, -1),) * a.ndim
    return np.array(a[flip], order="C")[flip]


def read_only(a: Array) -> Array:
    b = np.array(a, order="C")
    b.flags.writeable = False
    return b


def swapped(a: Array) -> Array:
    return a.astype(a.dtype.newbyteorder()) if a.dtype.isbuiltin == 1 else contiguous(a)


def swapped_strided(a: Array) -> Array:
    return strided(swapped(a))


def unaligned(a: Array) -> Array:
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    f.__name__: f
    for f in (
        contiguous,
        fortran,
        strided,
        rows_apart,
        backwards,
        read_only,
        swapped,
        swapped_strided,
        unaligned,
    )
}

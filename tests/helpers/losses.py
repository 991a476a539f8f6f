"""The losses by name, and by what they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastxent

PROBABILITIES = ("binary_cross_entropy", "categorical_cross_entropy")
LOGITS = tuple(name + "_with_logits" for name in PROBABILITIES)
LOSSES = PROBABILITIES + LOGITS
BINARY = tuple(name for name in LOSSES if name.startswith("binary"))
CATEGORICAL = tuple(name for name in LOSSES if name.startswith("categorical"))
LEVELS = ("baseline", "avx2", "avx512")
INTEGERS = tuple("int8 int16 int32 int64 uint8 uint16 uint32 uint64".split())


def loss(name: str) -> Callable[..., Any]:
    return getattr(fastxent, name)


def bfloat16() -> np.dtype[Any]:
    return np.dtype(pytest.importorskip("ml_dtypes", reason="no ml_dtypes: no bfloat16").bfloat16)

"""Counting the bytes that a call needs beside its input."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.layouts import Array
from helpers.losses import BINARY

N = 2_000_000
LIMIT = 2**20


def values(name: str, n: int = N) -> tuple[Array, Array]:
    """Labels and scores of some megabytes."""
    if name in BINARY:
        return np.zeros(n, np.int64), np.full(n, 0.25)
    return np.zeros(n // 4, np.int64), np.full((n // 4, 4), 0.25)


def peak(call: Callable[[], Any]) -> int:
    """What Python and NumPy ask for; a copy of the input would be megabytes."""
    call()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


#: For a process of its own: what a call adds to its resident pages, whoever asked for them.
RESIDENT = """
import sys
import numpy as np
import fastxent

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024

def fresh(shape, dtype):
    a = np.empty(shape, dtype)
    a.fill(0)  # every page is there before the call; no temporary
    return a

def cost(call):
    call()
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")  # the peak starts anew
    before = status("VmRSS")
    call()
    return status("VmHWM") - before
"""


def assert_free(f: Callable[..., Any], y: Any, scores: Any, want: float) -> None:
    assert f(y, scores) == want
    assert peak(lambda: f(y, scores)) < LIMIT

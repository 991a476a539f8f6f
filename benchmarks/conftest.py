"""What the benchmarks share: the sizes, and figures as multiples of reading the same bytes."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from timing import Call, loops, reading, timed
from workloads import Inputs

import fastxent

FULL = os.environ.get("BENCH") == "full"

Measure = Callable[..., Any]


@pytest.fixture
def measure(benchmark: Any) -> Measure:
    """Time a call; after each round, reading what it read, or another call to compare it with."""

    def run(call: Call, inputs: Inputs, other: Call | None = None, **about: Any) -> Any:
        other = other or reading(*inputs.read)
        others: list[float] = []
        (n, seconds), (m, more) = loops(call), loops(other)
        budget, most = (1.0, 200) if FULL else (0.12, 50)
        rounds = int(min(max(budget / (seconds + more), 3), most))
        result = benchmark.pedantic(
            call, rounds=rounds, iterations=n, teardown=lambda: others.append(timed(other, m))
        )
        ours = benchmark.stats.stats.data
        ratio = statistics.median(a / b for a, b in zip(ours, others, strict=False))
        benchmark.extra_info.update(
            about, level=fastxent.simd_level(), size=inputs.scores.size, ratio=round(ratio, 4)
        )
        return result

    return run


def pytest_report_header() -> str:
    """Say what runs."""
    mode = "full" if FULL else "short (BENCH=full for the full one)"
    return f"fastxent: {fastxent.simd_level()}, {fastxent.__file__}; numpy {np.__version__}; {mode}"

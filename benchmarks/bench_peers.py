"""The same workloads by fastxent and by its peers, one thread each. Their results have to agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from workloads import WORKLOADS

from conftest import FULL, Measure
from peers import PEERS

SIZES = [1 << n for n in ((5, 10, 15, 20, 24) if FULL else (5, 24))]
DTYPES = ["float32", "float64"] if FULL else ["float32"]


def cases() -> Iterator[tuple[str, str, int, str]]:
    for name, peers in PEERS.items():
        for dtype in DTYPES:
            for size in SIZES:
                if dtype in WORKLOADS[name].dtypes and WORKLOADS[name].fits(size):
                    yield from ((name, dtype, size, who) for who in ("fastxent", *peers))


@pytest.mark.parametrize("name, dtype, size, who", list(cases()))
def test_peer(measure: Measure, name: str, dtype: str, size: int, who: str) -> None:
    work = WORKLOADS[name]
    if not work.exists:
        pytest.skip(f"fastxent has no {work.function}")
    inputs = work.inputs(size, dtype)
    ours = call = work.call(inputs)
    if who != "fastxent":
        try:
            call = PEERS[name][who](inputs)
        except ImportError as error:
            pytest.skip(f"{who} is not installed: {error}")
    result = measure(call, inputs, work=name, dtype=dtype, who=who)
    agree(ours(), result)


def agree(ours: Any, theirs: Any) -> None:
    """A value is compared; where there is a gradient, that stands in the tests."""
    if isinstance(ours, float) and np.ndim(theirs) == 0:
        assert float(theirs) == pytest.approx(ours, rel=2e-3)

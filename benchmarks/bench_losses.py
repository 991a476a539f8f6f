"""Every loss × dtype × size, on the level that this process runs."""

from __future__ import annotations

import pytest
from workloads import WORKLOADS

from conftest import FULL, Measure

# From a call that is all overhead, over the caches, to past the last of them.
SIZES = [1 << n for n in ((5, 10, 15, 18, 20, 22, 24) if FULL else (5, 15, 24))]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "name, dtype", [(name, dtype) for name, work in WORKLOADS.items() for dtype in work.dtypes]
)
def test_loss(measure: Measure, name: str, dtype: str, size: int) -> None:
    work = WORKLOADS[name]
    if not work.exists:
        pytest.skip(f"fastxent has no {work.function}")
    if not work.fits(size):
        pytest.skip("too few scores")
    inputs = work.inputs(size, dtype)
    measure(work.call(inputs), inputs, work=name, dtype=dtype, who="fastxent")

"""Several workers against one, interleaved: the ratio is to one worker, not to reading."""

from __future__ import annotations

import os

import pytest
from workloads import WORKLOADS

from conftest import Measure


@pytest.mark.parametrize("size", [1 << 20, 1 << 24])
@pytest.mark.parametrize(
    "name", ["BCE", "BCE of logits", "CE of logits, 10 classes", "CE of logits, 1,000 classes"]
)
def test_two_workers(measure: Measure, name: str, size: int) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one CPU")
    work = WORKLOADS[name]
    inputs = work.inputs(size, "float32")
    alone, together = work.call(inputs), work.call(inputs, workers=2)
    assert (
        measure(together, inputs, alone, work=name, dtype="float32", who="two workers") == alone()
    )

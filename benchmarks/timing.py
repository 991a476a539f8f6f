"""Two calls, interleaved: other load on the machine affects both alike, so their ratio holds."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

Call = Callable[[], Any]
Clock = Callable[[], float]
#: On a machine that others use as well, a CPU's own time leaves out what they took of it.
CLOCKS: dict[str, Clock] = {"wall": perf_counter, "cpu": process_time}
LEAST = 50e-6  # seconds timed at a time: a thousand times the cost of the clock
SLOW = 0.3  # seconds; a longer call needs no warm-up


class Pair(NamedTuple):
    """Medians of two calls that were timed interleaved; `ratio` is the median of the ratios."""

    seconds: float
    other: float
    ratio: float
    rounds: int


def interleaved(
    call: Call, other: Call, budget: float = 1.0, rounds: int = 101, clock: Clock = perf_counter
) -> Pair:
    """Time both until the budget (in seconds) or the rounds are spent, three times at least."""
    (calls, seconds), (others, more) = loops(call), loops(other)
    calls *= repeats(more / seconds)
    others *= repeats(seconds / more)
    ours: list[float] = []
    theirs: list[float] = []
    end = perf_counter() + budget
    while len(ours) < 3 or (len(ours) < rounds and perf_counter() < end):
        theirs.append(timed(other, others, clock))
        ours.append(timed(call, calls, clock))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Pair(statistics.median(ours), statistics.median(theirs), ratio, len(ours))


def repeats(times_shorter: float) -> int:
    """How often the shorter of two calls is timed at least: one outlier must not decide."""
    return max(1, min(10, round(0.1 * times_shorter)))


def timed(call: Call, calls: int = 1, clock: Clock = perf_counter) -> float:
    """Seconds per call."""
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls


def loops(call: Call) -> tuple[int, float]:
    """How many calls are long enough to be timed, and the seconds that these take."""
    seconds = timed(call)
    if seconds < SLOW:  # the first call was to warm up
        seconds = timed(call)
    calls = max(1, round(LEAST / max(seconds, 1e-7)))
    return calls, calls * seconds


def reading(*arrays: np.ndarray[Any, Any]) -> Call:
    """A call that only reads: beyond the caches no loss can be faster."""
    views = [a.view(f"i{a.itemsize}") if a.dtype.itemsize <= 2 else a for a in arrays]

    def read() -> None:
        for view in views:
            np.max(view)

    return read

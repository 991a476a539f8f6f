"""What a second CPU brings, whatever runs on it: more than that no second worker can gain.

    python benchmarks/second_cpu.py

The CPUs of a virtual machine may be two threads of one core, and have one memory between them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from timing import Call, by_turns, reading
from works import WORKS

IN_CACHE = 1 << 17  # logits that a core's own cache holds
LARGE = 1 << 24


def gains(budget: float = 1.0) -> dict[str, float]:
    """How many times as much two threads compute, and read, as one; empty where there is one CPU."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return {}
    return {"computing": gain(computing, budget), "reading": gain(reading_memory, budget)}


def computing() -> Call:
    """A call that does not leave the caches."""
    work = WORKS["BCE of logits, bool labels"]
    return repeated(work.call(work.make(IN_CACHE, np.dtype(np.float32))), 2 * LARGE // IN_CACHE)


def reading_memory() -> Call:
    return repeated(reading(np.ones(LARGE, np.float32)), 4)


def repeated(call: Call, times: int) -> Call:
    """Some ten milliseconds, beside which it is nothing to wake a thread."""

    def repeat() -> None:
        for _ in range(times):
            call()

    return repeat


def gain(make: Callable[[], Call], budget: float) -> float:
    """Two calls at a time, each in a thread on a CPU of its own, over one after the other."""
    calls = make(), make()
    cpus = sorted(os.sched_getaffinity(0))[:2]
    begin = threading.Barrier(2)  # or else the thread that is first takes both

    def run(cpu: int, call: Call) -> None:
        os.sched_setaffinity(0, {cpu})
        begin.wait()
        call()

    def one_by_one() -> None:
        for call in calls:
            call()

    with ThreadPoolExecutor(2) as threads:
        pair = by_turns(lambda: list(threads.map(run, cpus, calls)), one_by_one, budget)
    return 1 / pair.ratio


def sentence(found: dict[str, float]) -> str:
    if not found:
        return "There is one CPU."
    times = " and ".join(f"{what} {gain:.2f} times" for what, gain in found.items())
    return f"Two threads, each with a CPU of its own, gain in {times}."


if __name__ == "__main__":
    print(sentence(gains()))

"""What a second CPU brings: the limit of what a second worker can gain.

    python benchmarks/scaling.py

The CPUs of a virtual machine may be two threads of one core, and have one memory between them.
"""

from __future__ import annotations

import os
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np
from timing import Call, reading, timed
from workloads import WORKLOADS

IN_CACHE = 1 << 17  # logits that a core's own cache holds
LARGE = 1 << 24


def gains(budget: float = 2.0) -> dict[str, float]:
    """How many times as much two threads do as one, interleaved.

    Empty where there is one CPU, or no way to give a thread one of its own.
    """
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return {}
    with ThreadPoolExecutor(2) as threads:
        pairs = {
            "computing": one_by_one_and_together(computing(), computing(), threads),
            "reading": one_by_one_and_together(reading_memory(), reading_memory(), threads),
            "BCE of logits": one_worker_and_two("BCE of logits"),
            "BCE of logits, bool labels": one_worker_and_two("BCE of logits, bool labels"),
        }
        ratios: dict[str, list[float]] = {name: [] for name in pairs}
        end = perf_counter() + budget
        while len(ratios["reading"]) < 3 or perf_counter() < end:
            for name, (alone, together) in pairs.items():
                ratios[name].append(timed(alone) / timed(together))
    return {name: statistics.median(found) for name, found in ratios.items()}


def one_worker_and_two(name: str) -> tuple[Call, Call]:
    work = WORKLOADS[name]
    inputs = work.make(LARGE, np.dtype(np.float32))
    return work.call(inputs, workers=1), work.call(inputs, workers=2)


def one_by_one_and_together(a: Call, b: Call, threads: ThreadPoolExecutor) -> tuple[Call, Call]:
    """Two calls one after the other, and at a time, each in a thread on a CPU of its own."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    begin = threading.Barrier(2)  # or else the thread that is first takes both

    def run(cpu: int, call: Call) -> None:
        os.sched_setaffinity(0, {cpu})
        begin.wait()
        call()

    def one_by_one() -> None:
        a()
        b()

    return one_by_one, lambda: list(threads.map(run, cpus, (a, b)))


def computing() -> Call:
    """A call that does not leave the caches."""
    work = WORKLOADS["BCE of logits, bool labels"]
    return repeated(work.call(work.make(IN_CACHE, np.dtype(np.float32))), 2 * LARGE // IN_CACHE)


def reading_memory() -> Call:
    return repeated(reading(np.ones(LARGE, np.float32)), 4)


def repeated(call: Call, times: int) -> Call:
    """Some ten milliseconds: the time to wake a thread is negligible."""

    def repeat() -> None:
        for _ in range(times):
            call()

    return repeat


def sentence(found: dict[str, float]) -> str:
    if not found:
        return (
            "What a second CPU brings was not measured: no second CPU is available to this process."
        )
    (computing, reading, *workers) = (f"{name} {gain:.2f} times" for name, gain in found.items())
    return (
        f"Two threads, each with a CPU of its own, gain in {computing} and {reading}; "
        f"interleaved with them, two workers in {' and '.join(workers)}."
    )


if __name__ == "__main__":
    print(sentence(gains()))

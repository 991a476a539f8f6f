"""A job's chunks over threads: the kernels run without the GIL."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from fastxent._kernels.engine import Task

#: Elements below which a thread costs more than it brings.
_LEAST_PER_WORKER = 1 << 18
#: Parts per worker: enough that one slow core does not hold up the others.
_PARTS = 4


class _Pools:
    """The pools by their size, and the lock under which they are made."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_size: dict[int, ThreadPoolExecutor] = {}

    def get(self, size: int) -> ThreadPoolExecutor:
        """Make the pool on its first use."""
        with self.lock:
            if size not in self.by_size:
                self.by_size[size] = ThreadPoolExecutor(size, "fastxent")
            return self.by_size[size]


_pools = _Pools()
if hasattr(os, "register_at_fork"):
    # In a forked child the threads of the parent's pools do not exist, and its lock may be held.
    os.register_at_fork(after_in_child=_pools.__init__)  # type: ignore[misc]


def available() -> int:
    """The CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(task: Task, workers: int) -> None:
    """Run every chunk, on the caller's thread or on as many as are worth their while."""
    if workers == 1:
        task.run(0, task.chunks)
        return
    if workers < 0:
        workers = available()
    workers = min(workers, task.chunks, task.elements // _LEAST_PER_WORKER)
    if workers <= 1:
        task.run(0, task.chunks)
        return
    _run_in_pool(task, workers)


def _run_in_pool(task: Task, workers: int) -> None:
    """Parts in a row, the last of them on the caller's thread; all have ended when this returns."""
    parts = min(_PARTS * workers, task.chunks)
    bounds = [task.chunks * part // parts for part in range(parts + 1)]
    remaining = itertools.pairwise(bounds)
    turn = threading.Lock()

    def work() -> None:
        while True:
            with turn:
                part = next(remaining, None)
            if part is None:
                return
            task.run(*part)

    helpers = _start(work, workers - 1)
    try:
        work()
    finally:
        for helper in helpers:
            helper.result()


def _start(work: Callable[[], None], helpers: int) -> list[Future[None]]:
    """As many helpers as can be had: none once the interpreter is shutting down."""
    started: list[Future[None]] = []
    try:
        pool = _pools.get(helpers)
        started.extend(pool.submit(work) for _ in range(helpers))
    except RuntimeError:
        pass  # the caller's thread does all of it
    return started

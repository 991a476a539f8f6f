"""A job's chunks over threads: the kernels run without the GIL."""

from __future__ import annotations

import itertools
import os
from _queue import SimpleQueue
from _thread import allocate_lock, start_new_thread
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from fastxent._core.dispatch import Task

Item = TypeVar("Item")
Result = TypeVar("Result")

#: With fewer elements a thread costs more than it gains.
_LEAST_PER_WORKER = 1 << 18
#: Parts per worker: enough that one slow core does not delay the others.
_PARTS = 4


class _Pool:
    """Threads that wait for work, started when they are first needed.

    `queue` and `threading` take two milliseconds to import; what they are made of takes none.
    concurrent.futures would take half of the time to import fastxent. Importing it when it is first
    needed does not help: a process forked during that import would deadlock.
    """

    def __init__(self) -> None:
        self.lock = allocate_lock()
        self.queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.threads = 0

    def grow(self, threads: int) -> int:
        """Start threads up to that number, or as many as the system allows; return their number."""
        with self.lock:
            try:
                while self.threads < threads:
                    start_new_thread(_serve, (self.queue,))
                    self.threads += 1
            except RuntimeError:
                pass  # the interpreter is shutting down, or may have no threads
            return self.threads


def _serve(queue: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        queue.get()()


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    # In a forked child the parent's threads do not exist, and the lock may be held.
    os.register_at_fork(after_in_child=_pool.__init__)  # type: ignore[misc]


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
    """Parts in a row, by the caller's thread too; nobody works on any when this returns."""
    parts = min(_PARTS * workers, task.chunks)
    bounds = [task.chunks * part // parts for part in range(parts + 1)]
    remaining = itertools.pairwise(bounds)
    turn = allocate_lock()
    helping = 0
    ended: SimpleQueue[None] = SimpleQueue()

    def work() -> None:
        while True:
            with turn:
                part = next(remaining, None)
            if part is None:
                return
            task.run(*part)

    def help_out() -> None:
        nonlocal helping
        with turn:
            if helping < 0:
                return  # the others are done already
            helping += 1
        try:
            work()
        finally:
            ended.put(None)

    _pool.grow(workers - 1)
    for _ in range(workers - 1):
        _pool.queue.put(help_out)
    try:
        work()
    finally:
        with turn:
            begun, helping = helping, -1
        for _ in range(begun):
            ended.get()


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """The results in the order of the items; threads work some items ahead of the caller.

    `work` must not use the threads itself.
    """
    helpers = (available() if workers < 0 else workers) - 1
    if helpers < 1 or not _pool.grow(helpers):
        yield from map(work, items)
        return
    ended = False

    def answer(item: Item, answers: SimpleQueue[Any]) -> None:
        try:
            answers.put((None, None) if ended else (work(item), None))
        except BaseException as error:  # the caller raises it
            answers.put((None, error))

    ahead: deque[SimpleQueue[Any]] = deque()
    try:
        for item in items:
            ahead.append(SimpleQueue())
            _pool.queue.put(partial(answer, item, ahead[-1]))
            if len(ahead) > helpers + 1:
                yield _outcome(ahead.popleft())
        while ahead:
            yield _outcome(ahead.popleft())
    finally:  # nobody reads the caller's arrays once this has ended
        ended = True
        for answers in ahead:
            answers.get()


def _outcome(answers: SimpleQueue[Any]) -> Any:
    result, error = answers.get()
    if error is not None:
        raise error
    return result

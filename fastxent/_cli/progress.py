"""How far the files have been read, with a bar on a terminal."""

from __future__ import annotations

import importlib
import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from fastxent._cli.files import Batch
    from fastxent._cli.sources import Source

REFRESH = 0.1  # seconds between two updates of the bar


class Progress:
    """How far the files have been read; a bar on standard error if that is a terminal.

    Attributes
    ----------
    files, rows : int
    fraction : float
        Of the bytes of all files.
    seconds : float
    """

    def __init__(self, sources: list[Source], quiet: bool) -> None:
        self._total = max(1, sum(source.size for source in sources))
        self._done = 0
        self._current: Source | None = None
        self.files = len(sources)
        self.rows, self.fraction, self.seconds = 0, 0.0, 0.0
        self._bar = _bar() if sys.stderr.isatty() and not quiet else None

    def __enter__(self) -> Self:
        self._start = self._shown = time.perf_counter()
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=1.0, text="")
            self._bar.refresh()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._start
        if self._bar is not None:
            if error[0] is None:
                self._refresh()
            self._bar.stop()

    def show(self, batch: Batch) -> None:
        """Count a batch as scored."""
        if batch.path is not self._current:
            self._done += self._current.size if self._current else 0
            self._current = batch.path
        self.rows += batch.rows
        self.fraction = min(1.0, (self._done + batch.fraction * batch.path.size) / self._total)
        if self._bar is not None and time.perf_counter() - self._shown > REFRESH:
            self._refresh()

    def _refresh(self) -> None:
        assert self._bar is not None
        self._shown = time.perf_counter()
        rate = self.rows / max(1e-9, self._shown - self._start)
        text = f"{self.rows:,} rows, {rate:,.0f} rows/s"
        self._bar.update(self._task, completed=self.fraction, text=text, refresh=True)


def _bar() -> Any:
    console = importlib.import_module("rich.console")  # slow to import
    progress = importlib.import_module("rich.progress")
    return progress.Progress(
        progress.BarColumn(24),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[text]}"),
        progress.TimeRemainingColumn(compact=True),
        console=console.Console(stderr=True, highlight=False),
        transient=True,
        auto_refresh=False,
    )

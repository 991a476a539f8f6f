"""``fastxent score``: columns of files become losses, and these a result."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastxent._aggregate.bound_loss import BoundLoss
from fastxent._aggregate.elementwise import Array, Block
from fastxent._aggregate.group_keys import GroupKeys, StreamGroupKeys
from fastxent._aggregate.standard_error import MeanAndError
from fastxent._cli import files, report
from fastxent._cli.columns import keys, numbers
from fastxent._cli.errors import FileError, InputError
from fastxent._cli.files import Batch
from fastxent._cli.readers import Wanted

if TYPE_CHECKING:
    from fastxent._cli.plot import Counts

#: What a loss says is wrong: the argument, the row, the class, and the rest.
FAULT = re.compile(r"(\w+)\[(\d+)(?:, (\d+))?\](?: =)? (.*)", re.DOTALL)


def run(options: argparse.Namespace) -> int:
    """Read, score and show; return the exit status."""
    counts = _counts(options.plot)
    paths = files.expand(options.files)
    work = Run(options, counts)
    with (
        _interrupts() as stop,
        report.Progress(paths, quiet=options.reduction == "none") as progress,
    ):
        for batch in work.batches(paths):
            work.add(batch)
            progress.show(batch)
            if stop:
                break
    if stop:
        sys.stdout.flush()
        so_far = report.so_far(progress, work.result(progress))
        print(f"fastxent: interrupted after {so_far}", file=sys.stderr)
        return 130
    result = work.result(progress)
    if result is None:
        more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        raise InputError(f"{paths[0]}{more}: there are no rows")
    if options.reduction != "none":
        report.write(result, as_json=options.json)
    if counts is not None:
        counts.draw(options.plot, work.loss)
    return 0


def _counts(path: Path | None) -> Counts | None:
    """What a picture is drawn from; refuses a file that cannot be written before all is read."""
    if path is None:
        return None
    plot = importlib.import_module("fastxent._cli.plot")  # needs matplotlib
    problem = plot.problem(path)
    if problem:
        raise InputError(f"{path}: {problem}")
    counts: Counts = plot.Counts()
    return counts


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that the first Ctrl-C puts something into; the second one interrupts."""
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def note(number: int, frame: Any) -> None:
        if seen:
            signal.default_int_handler(number, frame)
        seen.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


class Roles(NamedTuple):
    """Which columns are what."""

    label: str
    models: list[list[str]]  # the columns of the scores of each model
    weight: str | None
    by: str | None

    def names(self) -> tuple[str, ...]:
        """Each column once."""
        scores = [name for model in self.models for name in model]
        given = [self.label, *scores, self.weight, self.by]
        return tuple(dict.fromkeys(name for name in given if name is not None))

    def column_of(self, argument: str, category: int) -> str | None:
        """The column that an error of a loss is about."""
        if argument == "sample_weight":
            return self.weight
        if argument in ("y_true", "q"):
            return self.label
        model = self.models[-1 if argument == "scores_b" else 0]
        return model[category] if len(model) > 1 else model[0]


class Run:
    """What the options ask for, of all batches."""

    def __init__(self, options: argparse.Namespace, counts: Counts | None) -> None:
        models = [options.proba or options.logits] + ([options.compare] if options.compare else [])
        self.roles = Roles(options.label, models, options.weight, options.by)
        self.logits = options.logits is not None
        self.nan_policy = options.nan_policy
        self.loss = ""  # is chosen by the first scores
        self._reduction = options.reduction
        self._counts = counts
        self._calls: list[BoundLoss] = []
        self._groups = StreamGroupKeys() if options.by else None
        self._results = MeanAndError(len(models), 1)

    def batches(self, paths: list[Path]) -> Iterator[Batch]:
        """All files, read ahead by another thread."""
        names = self.roles.names()
        keys = frozenset(name for name in names if name == self.roles.by)
        wanted = Wanted(names, frozenset(names) - keys, keys)
        return files.ahead(b for path in paths for b in files.read(path, wanted))

    def add(self, batch: Batch) -> None:
        """Add the losses of a batch."""
        columns = _Columns(batch, self.nan_policy == "omit")
        scores = [columns.scores(model) for model in self.roles.models]
        self._choose(batch, scores)
        labels = columns.labels(self.roles.label, scores[0])
        weight = None if self.roles.weight is None else columns.vector(self.roles.weight)
        if self._groups is not None and self.roles.by is not None:
            self._groups.set_batch(*keys(batch, self.roles.by))
        try:
            elements = [
                call.elements(labels, s, sample_weight=weight, where=columns.valid)
                for call, s in zip(self._calls, scores, strict=True)
            ]
            self._results.add(elements, self._keys(), self._each(labels, scores[0]))
        except (ValueError, TypeError) as error:
            raise self._located(batch, scores[0], str(error)) from None

    def result(self, progress: report.Progress) -> report.Result | None:
        """What has been found; None of no rows."""
        if not self._calls:
            return None
        found = self._results.result(self._keys())
        return report.Result(self.loss, self._reduction, self._groups is not None, progress, found)

    def _keys(self) -> GroupKeys | StreamGroupKeys:
        return GroupKeys(None, ()) if self._groups is None else self._groups

    def _choose(self, batch: Batch, scores: list[Array]) -> None:
        """The loss, which all models and batches have in common."""
        kind = "categorical" if scores[0].ndim == 2 else "binary"
        loss = f"{kind}_cross_entropy{'_with_logits' if self.logits else ''}"
        if len({s.shape[1:] for s in scores}) > 1 or self.loss not in ("", loss):
            text = "the scores are for different numbers of classes"
            raise FileError(batch.path, text, column=self.roles.models[-1][0])
        if not self._calls:
            self.loss = loss
            call = BoundLoss(loss, {"nan_policy": self.nan_policy}, "score")
            names = ["y_proba"] if len(scores) == 1 else ["scores_a", "scores_b"]
            self._calls = [call.with_scores_name(name) for name in names]

    def _each(self, labels: Array, scores: Array) -> Callable[[Block], None] | None:
        """What is done with the losses themselves."""
        if self._counts is None and self._reduction != "none":
            return None

        def use(block: Block) -> None:
            if self._counts is not None:
                self._counts.add(labels[block.index], scores[block.index], block, self.logits)
            if self._reduction == "none":
                sys.stdout.write("".join(f"{loss!r}\n" for loss in block.losses.tolist()))

        return use

    def _located(self, batch: Batch, scores: Array, text: str) -> Exception:
        """What a loss refuses, with the file's row and column for its own."""
        found = FAULT.match(text)
        if not found:
            return FileError(batch.path, text)
        argument, row, category, rest = found.groups()
        column = self.roles.column_of(argument, int(category or 0))
        fact = rest.split(":")[0].split(";")[0]
        advice = ""
        if "is NaN" in fact:
            advice = ": fix it, or see --nan-policy"
        elif column == self.roles.label and scores.ndim == 1:
            advice = ": labels are 0 and 1, or probabilities"
        elif "outside" in fact and column != self.roles.label:
            advice = ": is it a logit? Then use --logits"
        elif "class index" in fact:
            classes = scores.shape[1]
            advice = f": there are {classes} columns of scores, so labels are 0 to {classes - 1}"
        return FileError(batch.path, fact + advice, batch.first + int(row) + 1, column)


class _Columns:
    """The arrays of a batch; `valid` masks the rows in which something was null."""

    def __init__(self, batch: Batch, keep_null: bool) -> None:
        self._batch, self._keep_null = batch, keep_null
        self.valid: Array | None = None

    def _numbers(self, name: str) -> Array:
        values, valid = numbers(self._batch, name, self._keep_null)
        self._leave_out(valid)
        return values

    def _leave_out(self, valid: Array | None) -> None:
        if valid is not None:
            self.valid = valid if self.valid is None else self.valid & valid

    def vector(self, name: str) -> Array:
        """A column that holds one number in each row."""
        values = self._numbers(name)
        if values.ndim != 1:
            self._refuse(name, "holds several numbers in each row: one is needed")
        return values

    def scores(self, names: list[str]) -> Array:
        """One column as it is, or several side by side."""
        if len(names) == 1:
            return self._numbers(names[0])
        return np.stack([self.vector(name) for name in names], axis=1)

    def labels(self, name: str, scores: Array) -> Array:
        """As they are; class numbers may be stored as floats."""
        labels = self._numbers(name)
        if scores.ndim == 1 or labels.ndim == 2:
            if labels.shape != scores.shape:
                self._refuse(name, f"has shape {labels.shape}, but the scores {scores.shape}")
            return labels
        if labels.dtype.kind != "f":
            return labels
        if self._keep_null:
            known = ~np.isnan(labels)
            if not known.all():
                self._leave_out(known)
                labels = np.where(known, labels, 0.0)
        whole = labels == np.floor(labels)
        if not whole.all():
            row = int(np.argmin(whole))
            self._refuse(name, f"{labels[row]} is no class number: use 0, 1, 2, …", row)
        return np.clip(labels, -1, 2.0**62).astype(np.int64)

    def _refuse(self, name: str, text: str, row: int | None = None) -> None:
        at = None if row is None else self._batch.first + row + 1
        raise FileError(self._batch.path, text, at, name)

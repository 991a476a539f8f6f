"""``fastxent score``: reads files batch by batch, scores them, and prints the result."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from fastxent._aggregate.bound_loss import BoundLoss
from fastxent._aggregate.elementwise import Array, Block
from fastxent._aggregate.group_keys import GroupKeys, StreamGroupKeys
from fastxent._aggregate.label_names import LabelNames
from fastxent._aggregate.standard_error import MeanAndError
from fastxent._cli import discovery, files, patterns, report
from fastxent._cli.calibration import Calibration
from fastxent._cli.checks import ProbabilityChecks
from fastxent._cli.columns import BatchColumns, ColumnRoles, GroupColumns
from fastxent._cli.counts import MAX_GROUPS, Counts, Panel
from fastxent._cli.errors import FileError, InputError, printable
from fastxent._cli.files import Batch
from fastxent._cli.filters import RowFilter, chosen, no_rows
from fastxent._cli.progress import Progress
from fastxent._cli.selection import ColumnSelection, CsvDialect
from fastxent._cli.sources import Source
from fastxent._cli.truth import Truth
from fastxent._cli.worst import WorstRows
from fastxent._core.errors import ElementError, ErrorKind

#: How many groups are drawn.
PANELS = 5
#: The worst rows of a page, if --worst does not say how many.
WORST = 10
#: Groups whose sums are not moved as more are seen: memory is taken as it is used.
ROOM = 1 << 20
#: What is wrong with an element, after its value.
FACTS = {
    ErrorKind.NAN: "NaN: fix it, or see --nan-policy",
    ErrorKind.OUTSIDE: "is outside [0, 1]",
    ErrorKind.LABEL: "is not a valid label",
    ErrorKind.CLASS_INDEX: "is not a valid class index",
    ErrorKind.WEIGHT: "is not a finite number of at least 0",
    ErrorKind.SCALE: "is not a finite number",
    ErrorKind.UNDEFINED_ROW: "the logits have no finite maximum: fix them, or see --nan-policy",
}


def run(options: argparse.Namespace) -> int:
    """Read, score and print; return the exit status."""
    with _interrupts() as stop:
        result = score(options, stop)
    if stop:
        return 130
    for warning in result.warnings:
        print(f"fastxent: warning: {printable(warning)}", file=sys.stderr)
    if options.reduction != "none":
        report.write(result, as_json=options.json)
    return 0


def score(
    options: argparse.Namespace, stop: Sequence[int] = (), *, quiet: bool = False
) -> report.Result:
    """Read and score, and draw the picture. A `stop` that is no longer empty ends the reading."""
    counts = _counts(options)
    filters = tuple(RowFilter(*one) for one in options.only)
    paths = chosen(discovery.find(options.files), filters)
    scorer = Scorer(options, counts, _models(options, paths[0]), filters)
    with Progress(paths, quiet=quiet or options.reduction == "none") as progress:
        for batch in scorer.batches(paths):
            scorer.add(batch)
            progress.show(batch)
            if stop:
                break
    result = scorer.result(progress)
    if stop:
        sys.stdout.flush()
        summary = report.partial_summary(progress, result)
        print(f"fastxent: interrupted after {summary}", file=sys.stderr)
    elif result is None:
        more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        raise no_rows(f"{paths[0]}{more}", filters)
    elif options.plot or options.report:
        draw(options, result, scorer.panels(result), paths)
    if result is not None and not options.worst:
        result = result._replace(worst=None)  # they were for the page
    return result  # type: ignore[return-value] # None only where it is not used


def _dialect(options: argparse.Namespace) -> CsvDialect:
    return CsvDialect(options.delimiter, options.decimal, not options.no_header)


def _models(options: argparse.Namespace, first: Source) -> list[list[str]]:
    """The score columns of each model: patterns are those of the first file."""
    models = [options.proba or options.logits] + ([options.compare] if options.compare else [])
    given = [name for model in models for name in model]
    if not any(map(patterns.is_pattern, given)):
        return models
    present = files.column_names(first, ColumnSelection((), csv=_dialect(options)))
    others = {options.label, options.weight, options.cluster, *options.by}
    others |= {column for column, _ in options.only}
    found = [patterns.matching(first, model, present, others) for model in models]
    if options.verbose:
        for model, names in zip(models, found, strict=True):
            print(printable(f"fastxent: {','.join(model)}: {', '.join(names)}"), file=sys.stderr)
    return found


def _counts(options: argparse.Namespace) -> Counts | None:
    """Counts for the pictures; an unwritable file is an error before anything is read."""
    if not (options.plot or options.report):
        return None
    plot = importlib.import_module("fastxent._cli.plot")  # needs matplotlib
    for path, check in ((options.plot, plot.problem), (options.report, plot.unwritable)):
        problem = path and check(path)
        if problem:
            raise InputError(f"{path}: {problem}")
    return Counts(2 if options.compare else 1, options.logits is not None)


def draw(
    options: argparse.Namespace, result: report.Result, panels: list[Panel], paths: list[Source]
) -> None:
    """Write the picture and the page."""
    if options.plot:
        plot = importlib.import_module("fastxent._cli.plot")
        try:
            plot.draw(options.plot, panels, result.loss)
        except OSError as error:
            text = (error.strerror or str(error)).lower()
            raise InputError(f"{options.plot}: {text}") from None
    if options.report:
        page = importlib.import_module("fastxent._cli.page")
        page.write(options.report, result, panels, options, paths)


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that the first Ctrl-C appends to; the second one interrupts."""
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


class Scorer:
    """Scores all batches as the options ask."""

    def __init__(
        self,
        options: argparse.Namespace,
        counts: Counts | None,
        models: list[list[str]],
        filters: tuple[RowFilter, ...],
    ) -> None:
        self.roles = ColumnRoles(options.label, models, options.weight, options.by, options.cluster)
        self.label_names = LabelNames(options.positive, options.classes)
        self.logits = options.logits is not None
        self.nan_policy = options.nan_policy
        self.loss = ""  # chosen by the shape of the first scores
        self._options = {"nan_policy": options.nan_policy}
        self.checks: ProbabilityChecks | None = None
        if not self.logits:
            self._options["eps"] = options.eps
            self.checks = ProbabilityChecks(self.roles.models)
        self._csv = _dialect(options)
        self._on = options.on
        self._truth, self._only = None, filters
        if options.truth:
            self._truth = Truth(options.truth, options.on, self.roles, self._csv, filters)
            self._only = tuple(one for one in filters if one not in self._truth.filters)
        self._reduction = options.reduction
        self._counts = counts
        worst = options.worst or (WORST if options.report else 0)
        self._worst = WorstRows(worst, self.roles) if worst else None
        self._calls: list[BoundLoss] = []
        self._group_columns = GroupColumns(options.by)
        self._groups = StreamGroupKeys() if options.by else None
        self._cluster_column = GroupColumns([options.cluster]) if options.cluster else None
        self._clusters = StreamGroupKeys() if options.cluster else None
        self._calibration = Calibration() if options.calibration else None
        self._whole = bool(options.calibration or options.report)
        self._results = MeanAndError(len(models), ROOM if options.by else 1, bool(options.cluster))

    def batches(self, paths: list[Source]) -> Iterator[Batch]:
        """The batches of all files, read ahead by another thread."""
        label = frozenset([self.roles.label])
        keys = frozenset([*self.roles.by, *([self.roles.cluster] if self.roles.cluster else [])])
        keys |= label if self.label_names.given else frozenset()
        numeric = frozenset(self.roles.names()) - keys
        keys |= {one.column for one in self._only} - numeric
        elsewhere = frozenset(self._truth.columns if self._truth else ())
        if self._truth:
            keys |= {self._on}
        names = tuple(dict.fromkeys(n for n in (*self.roles.names(), *keys) if n not in elsewhere))
        numeric, labels = numeric - elsewhere - keys, label - keys - elsewhere
        selection = ColumnSelection(names, numeric, keys - elsewhere, labels, self._csv, self._only)
        batches = (b for path in paths for b in files.read(path, selection))
        return files.ahead(self._truth.joined(batches) if self._truth else batches)

    def add(self, batch: Batch) -> None:
        """Add the losses of a batch."""
        columns = BatchColumns(batch, self.nan_policy == "omit")
        scores = [columns.scores(model) for model in self.roles.models]
        self._choose(batch, scores)
        labels = columns.labels(self.roles, scores[0], self.label_names)
        weight = None if self.roles.weight is None else columns.vector(self.roles.weight)
        if self._worst is not None:
            self._worst.start(batch)
        if self._groups is not None:
            self._groups.set_batch(*self._group_columns.keys(batch))
        if self._clusters is not None and self._cluster_column is not None:
            self._clusters.set_batch(*self._cluster_column.keys(batch))
        try:
            elements = [
                call.elements(labels, s, sample_weight=weight, where=columns.valid)
                for call, s in zip(self._calls, scores, strict=True)
            ]
            each = self._each(labels, scores)
            self._results.add(elements, self._keys(), each, self._clusters)
        except ElementError as error:
            raise self._located(batch, scores[0], error) from None
        except (ValueError, TypeError) as error:
            raise FileError(batch.path, error) from None
        if self.checks is not None:
            eps = [e.eps for e in elements]
            self.checks.add(batch, labels, scores, eps, columns.valid)

    def result(self, progress: Progress) -> report.Result | None:
        """The result so far; None without any rows."""
        if not self._calls:
            return None
        clipped = self.checks.clipped if self.checks else [0] * len(self.roles.models)
        pa.default_memory_pool().release_unused()  # of malloc, too, if it is the system's
        groups = self._results.groups(self._taken_keys())
        models = [",".join(names) for names in self.roles.models]
        worst = None if self._worst is None else self._worst.result()
        overall: Any = (
            self._results.combined().result(GroupKeys(None, ()))[None] if self._whole else None
        )
        return report.Result(
            self.loss, self._reduction, self.roles.by, models, clipped, progress, groups, worst,
            self.checks.warnings() if self.checks else [], overall,
            None if self._calibration is None else self._calibration.result(overall.mean),
        )  # fmt: skip

    def panels(self, result: report.Result) -> list[Panel]:
        """What is drawn: all rows, then the largest groups."""
        counts = self._counts
        assert counts is not None

        def panel(name: str, number: int | None = None) -> Panel:
            return Panel(name, list(zip(result.models, counts.series(number), strict=True)))

        if not self.roles.by:
            curve = None if self._calibration is None else self._calibration.curve()
            return [panel("all rows")._replace(parts=result.calibration, curve=curve)]
        if not counts.by_group:
            return [panel(f"all rows, of more than {MAX_GROUPS:,} groups")]
        keys = result.groups.keys
        places = result.largest_groups(PANELS)
        more = len(keys) - len(places)
        first = (
            f"all rows, of {len(keys):,} groups: the {PANELS} largest follow"
            if more
            else "all rows"
        )
        names = {i: ", ".join(f"{k} = {v}" for k, v in result.keys(i).items()) for i in places}
        return [panel(first), *(panel(names[i], result.groups.numbers[i]) for i in places)]

    def _taken_keys(self) -> GroupKeys | StreamGroupKeys:
        """The groups, which are no longer held here."""
        keys, self._groups = self._keys(), None
        return keys

    def _keys(self) -> GroupKeys | StreamGroupKeys:
        return GroupKeys(None, ()) if self._groups is None else self._groups

    def _choose(self, batch: Batch, scores: list[Array]) -> None:
        """Choose the loss, the same for all models and batches."""
        kind = "categorical" if scores[0].ndim == 2 else "binary"
        loss = f"{kind}_cross_entropy{'_with_logits' if self.logits else ''}"
        if len({s.shape[1:] for s in scores}) > 1 or self.loss not in ("", loss):
            text = "the models have different numbers of classes"
            raise FileError(batch.path, text, column=self.roles.models[-1][0])
        if self._calibration is not None and kind != "binary":
            text = "--calibration is for binary losses: pass one column of scores"
            raise FileError(batch.path, text, column=self.roles.models[0][0])
        if not self._calls:
            self.loss = loss
            call = BoundLoss(loss, self._options, "score")
            names = ["y_proba"] if len(scores) == 1 else ["scores_a", "scores_b"]
            self._calls = [call.with_scores_name(name) for name in names]

    def _each(self, labels: Array, scores: list[Array]) -> Callable[..., None] | None:
        """A function for the losses of each block, or None."""
        wanted = self._counts, self._worst, self._calibration
        if wanted == (None, None, None) and self._reduction != "none":
            return None

        def use(*blocks: Block) -> None:
            first = blocks[0]
            if self._counts is not None:
                groups = None if self._groups is None else self._groups.block_groups(first.index)
                self._counts.add(labels, scores, blocks, groups)
            if self._calibration is not None:
                at = first.index
                self._calibration.add(labels[at], scores[0][at], first, self.logits)
            if self._worst is not None:
                self._worst.add(first)
            if self._reduction == "none":
                sys.stdout.write("".join(f"{loss!r}\n" for loss in first.losses.tolist()))

        return use

    def _located(self, batch: Batch, scores: Array, error: ElementError) -> FileError:
        """The same error with the row and the column of the file."""
        row, *category = error.index
        column = self.roles.column_of(error.argument, category[0] if category else 0)
        fact = f"{error.value!s} {FACTS[error.kind]}"
        if error.kind in (ErrorKind.NAN, ErrorKind.UNDEFINED_ROW):
            fact = FACTS[error.kind]
        elif error.kind == ErrorKind.CLASS_INDEX:
            classes = scores.shape[1]
            fact += f": there are {classes} columns of scores, so labels are 0 to {classes - 1}"
        elif column == self.roles.label and scores.ndim == 1:
            fact += ": labels are 0 and 1, or probabilities"
        elif error.kind == ErrorKind.OUTSIDE and column != self.roles.label:
            fact += ": is it a logit? Then use --logits"
        return FileError(batch.path, fact, batch.row(row), column)

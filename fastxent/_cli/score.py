"""Arguments of ``fastxent score``. Scoring itself is in `scoring`, which needs pyarrow."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from fastxent._cli.errors import InputError, printable
from fastxent._core.dispatch import NAN_POLICIES
from fastxent._core.validation import REDUCTIONS

DESCRIPTION = """\
Score the predictions in files: the mean cross-entropy with its standard error, by group, and
whether one model is better than another. Files may be far larger than memory.

FILE is Parquet, Arrow IPC (Feather), ORC, CSV, JSON lines, NPY or NPZ; a directory, which is
searched; a quoted pattern; a URI (s3://bucket/run); or -, standard input. Folders that are called
key=value are columns of their files. The columns of an .npz are its arrays, which may have two
dimensions; those of an .npy are numbered from 0. A column of lists of one length counts as that
many columns; a quoted pattern of names ('p_*') is its columns in their order in the file."""

EPILOG = """\
examples:
  the mean loss of binary predictions, p being the probability of label 1
    fastxent score predictions.parquet --label y --proba p
  three classes, with labels 0, 1 and 2 in the order of the columns
    fastxent score predictions.csv --label y --proba cat,dog,bird
  many files, by country, weighted, as JSON
    fastxent score 'run/*.parquet' --label y --logits z --by country --weight w --json
  labels that are strings: yes and no; or the names of the columns of three classes
    fastxent score predictions.csv --label answer --proba p --positive yes
    fastxent score predictions.csv --label animal --proba cat,dog,bird
  the test rows of a partitioned data set: every column that begins with p_ is a class
    fastxent score s3://bucket/run --label y --proba 'p_*' --only split=test --by country
  the labels are in another file
    fastxent score predictions.parquet --truth truth.csv --on id --label y --proba p
  is the new model better than the old one?
    fastxent score run/ --label y --proba new --compare old
  the ten rows of the largest losses
    fastxent score predictions.parquet --label y --proba p --worst 10
  rows of one user may depend on each other
    fastxent score predictions.parquet --label y --proba new --compare old --cluster user
  how much of the loss is miscalibration?
    fastxent score predictions.parquet --label y --proba p --calibration
  plot a reliability (calibration) diagram
    fastxent score predictions.parquet --label y --proba p --plot calibration.png
  a page to hand to a colleague
    fastxent score predictions.parquet --label y --proba p --by country --report report.html

On a terminal the result is a table. In a pipe it is the number alone, or tab-separated columns
with a header line; with --json, JSON. Errors name the file, the column and the row; rows are
counted from 1, not counting the CSV header. Exit status: 0; 2 for an error; 130 after Ctrl-C.
"""

MISSING = "fastxent score needs {}: pip install 'fastxent[{}]'"


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the subparsers of ``fastxent``."""
    p: argparse.ArgumentParser = commands.add_parser(
        "score",
        help="score predictions in files: Parquet, Arrow, ORC, CSV, JSON lines, NPY, NPZ",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.add_argument(
        "files", nargs="+", metavar="FILE", help="files, directories, patterns, URIs, or -"
    )
    _add_label_options(p)
    scores = p.add_mutually_exclusive_group(required=True)
    scores.add_argument("--proba", type=_names, metavar="COLS", help="score columns: probabilities")
    scores.add_argument("--logits", type=_names, metavar="COLS", help="score columns: logits")
    p.add_argument(
        "--compare", type=_names, metavar="COLS", help="the same columns of a second model"
    )
    p.add_argument("--weight", metavar="COL", help="weights of the rows")
    p.add_argument(
        "--by", action="append", default=[], metavar="COL",
        help="a result for each value of this column; repeated: for each combination of values",
    )  # fmt: skip
    p.add_argument(
        "--reduction", choices=REDUCTIONS, default="mean",
        help="mean (default), sum, or none: weight times loss of every row, one per line",
    )  # fmt: skip
    p.add_argument(
        "--nan-policy", choices=NAN_POLICIES, default="raise",
        help="what a NaN does: raise an error (default), propagate to the result, or omit its row; a "
        "null (an empty field) is an error unless rows are omitted",
    )  # fmt: skip
    p.add_argument(
        "--eps", type=_eps, default="auto", metavar="EPS",
        help="clip probabilities to [EPS, 1 - EPS]; by default the machine epsilon of their type: "
        "2.2e-16 for float64 and CSV, 1.2e-7 for float32",
    )  # fmt: skip
    _add_input_options(p)
    _add_output_options(p)
    p.set_defaults(run=run, error=p.error, default=p.get_default)
    return p


def _eps(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        eps = float(text)
    except ValueError:
        eps = -1.0
    if not 0.0 <= eps < 0.5:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number in [0, 0.5)")
    return eps


def _only(text: str) -> tuple[str, tuple[str, ...]]:
    column, sign, values = text.partition("=")
    if not column or not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE")
    return column, tuple(values.split(","))


def _add_label_options(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--label",
        required=True,
        metavar="COL",
        help="labels: 0 and 1, class indices from 0, or strings",
    )
    p.add_argument(
        "--positive", metavar="VALUE", help="the label that counts as 1, where it is not 1 or true"
    )
    p.add_argument(
        "--classes", type=_names, metavar="VALUE,VALUE...",
        help="the labels in the order of the score columns; by default strings are matched with the "
        "names of the columns",
    )  # fmt: skip


def _add_output_options(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--cluster", metavar="COL",
        help="rows with the same value in this column may depend on each other: standard errors of "
        "clusters",
    )  # fmt: skip
    p.add_argument(
        "--calibration", action="store_true",
        help="how much of a binary loss is miscalibration, discrimination and uncertainty",
    )  # fmt: skip
    p.add_argument(
        "--worst", type=_count, metavar="N",
        help="also the N rows of the largest losses (weight times loss), of the first model",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument(
        "--plot", type=Path, metavar="FILE", help="write calibration and loss plots to FILE"
    )
    p.add_argument(
        "--report", type=Path, metavar="FILE",
        help="write a page (HTML) to FILE: what was scored, plots, groups, and the worst rows",
    )  # fmt: skip


def _add_input_options(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--truth", metavar="FILE",
        help="the labels are in this file; so are the columns of weights, groups, clusters and --only "
        "that it has",
    )  # fmt: skip
    p.add_argument(
        "--on", metavar="COL", help="the key that joins predictions and truth: once in each"
    )
    p.add_argument(
        "--only", action="append", type=_only, default=[], metavar="COL=VALUE[,VALUE...]",
        help="score the rows with one of these values in this column; repeated: that meet each",
    )  # fmt: skip
    p.add_argument("--verbose", action="store_true", help="list the columns that patterns match")
    p.add_argument(
        "--delimiter", type=_character, metavar="CHAR",
        help="between the columns of CSV files; by default found in the first line: , ; tab or |",
    )  # fmt: skip
    p.add_argument("--decimal", choices=(".", ","), default=".", help="decimal point of CSV files")
    p.add_argument(
        "--no-header", action="store_true",
        help="CSV files have no header line: their columns are numbered from 0",
    )  # fmt: skip


def _character(text: str) -> str:
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) != 1 or not text.isascii() or text in '"\r\n':
        raise argparse.ArgumentTypeError(f"{text!r} is not a delimiter: use one character, or tab")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 1 to 1000000")
    return int(text)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} names no column: use COL or COL,COL,...")
    return names


def run(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    _check(options)
    try:
        # pyarrow's own pool keeps 60 MiB that it has freed; its threads ask this at its first import.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
        _check_modules(options)
        return int(importlib.import_module("fastxent._cli.scoring").run(options))
    except InputError as error:
        print(f"fastxent: {printable(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # the second Ctrl-C
        print("fastxent: interrupted", file=sys.stderr)
        return 130


def score(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """What the command prints, as a dictionary, and its warnings.

    Raises
    ------
    ValueError
        With the line that the command prints.
    """
    try:
        return _scored(arguments)
    except InputError as error:
        raise ValueError(printable(error)) from None


def _scored(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    p = add_parser(argparse.ArgumentParser().add_subparsers(parser_class=_RaisingParser))
    options = p.parse_args(arguments)
    if options.reduction == "none":
        p.error('reduction="none" returns no result: use "mean" or "sum"')
    _check(options)
    _check_modules(options)
    result = importlib.import_module("fastxent._cli.scoring").score(options, quiet=True)
    return result.as_dict(), result.warnings


class _RaisingParser(argparse.ArgumentParser):
    """For calls from Python: an error does not exit."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def _check(options: argparse.Namespace) -> None:
    """Exit with a usage error where options exclude each other."""
    if options.reduction == "none" and (options.by or options.compare or options.json):
        options.error("--reduction none goes with neither --by, --compare nor --json")
    if options.reduction == "none" and options.worst:
        options.error("--reduction none prints every loss: leave --worst out")
    if (options.truth is None) != (options.on is None):
        options.error("--truth and --on go together")
    if options.report and options.reduction != "mean":
        options.error("--report shows means: leave --reduction out")
    if options.delimiter == options.decimal:
        options.error("--delimiter and --decimal are the same")
    if options.positive is not None and options.classes:
        options.error("--positive is for binary labels, --classes for several: use one of them")
    if options.logits and options.eps != "auto":
        options.error("--eps clips probabilities: logits need none")
    if options.compare and options.reduction != "mean":
        options.error("--compare compares means: leave --reduction out")
    _check_means(options)


def _check_means(options: argparse.Namespace) -> None:
    if options.calibration and (options.by or options.compare or options.reduction != "mean"):
        options.error("--calibration is of one mean: leave --by, --compare and --reduction out")
    if options.cluster and options.reduction != "mean":
        options.error("--cluster is for the standard error of a mean: leave --reduction out")


def _check_modules(options: argparse.Namespace) -> None:
    for module, extra in (("pyarrow", "cli"), ("rich", "cli"), ("matplotlib", "plot")):
        if extra == "cli" or options.plot or options.report:
            try:
                importlib.import_module(module)
            except ImportError:
                raise InputError(MISSING.format(module, extra)) from None

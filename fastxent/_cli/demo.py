"""``fastxent demo``: scores real predictions, then times ten million rows."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fastxent

TOLERANCE = 1e-12  # relative, from the losses that scikit-learn gave
DATA_SETS = {"breast cancer": "breast_cancer.npz", "digits": "digits.npz"}


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the subparsers of ``fastxent``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "demo",
        help="score the predictions that ship with fastxent, and time a large batch",
        description="Score real predictions and compare with scikit-learn's recorded losses, then "
        "time a large batch against the NumPy formula. The exit status is 1 if a loss differs from "
        "the recorded one.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--rows", type=int, default=10_000_000, help="rows of the large batch (default 10000000)"
    )
    parser.add_argument(
        "--runs", type=int, default=9, help="timed runs; the median counts (default 9)"
    )
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print both parts; return 1 if a loss is not the recorded one, otherwise 0."""
    agree = show_predictions()
    show_speed(options.rows, options.runs)
    return 0 if agree else 1


# Real predictions --------------------------------------------------------------------------------


def show_predictions() -> bool:
    """Print the losses of the shipped predictions; return whether all are the recorded ones."""
    print("Real predictions of logistic regression, each row by a model fitted without it")
    agree = True
    for name, file in DATA_SETS.items():
        data = load(file)
        print(f"\n{name}: {' x '.join(map(str, data['proba'].shape))}")
        print(f"{'':37}  {'fastxent':14}  {'scikit-learn':14}  {'rel. diff':>9}")
        for function, loss, record in losses(data):
            difference = abs(loss - record) / abs(record)
            agree &= difference <= TOLERANCE
            print(f"{function:37}  {loss:<14.12f}  {record:<14.12f}  {difference:9.1e}")
    verdict = "All are" if agree else "NOT all are"
    # Flushed, since the timing that follows takes long.
    print(f"\n{verdict} within {TOLERANCE:.0e} of the record.", flush=True)
    return agree


def load(file: str) -> dict[str, np.ndarray]:
    """Read one of the files that examples/make_predictions.py writes."""
    with np.load(Path(fastxent.__file__).with_name("data") / file) as archive:
        return dict(archive)


def losses(data: dict[str, np.ndarray]) -> Iterator[tuple[str, float, float]]:
    """Score one file with every applicable function; yield name, loss and recorded loss."""
    y, proba, logits = data["y_true"], data["proba"], data["logits"]
    kind = "binary" if logits.ndim == 1 else "categorical"
    of_proba, of_logits = float(data["loss_of_proba"]), float(data["loss_of_logits"])
    name = f"{kind}_cross_entropy"
    score: Callable[..., float] = getattr(fastxent, name)
    yield name, score(y, proba[:, 1] if kind == "binary" else proba), of_proba
    name = f"{kind}_cross_entropy_with_logits"
    score = getattr(fastxent, name)
    yield name, score(y, logits), of_logits
    names = data["class_names"]
    in_order = proba[
        :, np.argsort(names)
    ]  # log_loss expects columns in the order of the sorted labels
    yield f"log_loss, labels {names[y[0]]!s}, ...", fastxent.log_loss(names[y], in_order), of_proba


# A large batch -----------------------------------------------------------------------------------


def show_speed(rows: int, runs: int) -> None:
    """Print how fast fastxent and the NumPy formula score the same random batch."""
    rng = np.random.default_rng(0)
    p = rng.random(rows, dtype=np.float32)
    np.clip(p, 1e-6, 1 - 1e-6, out=p)
    y = (rng.random(rows, dtype=np.float32) < p).astype(np.float32)
    print(
        f"\n{rows:,} rows, float32, {fastxent.simd_level()} kernels, one thread: "
        f"the median of {runs} runs"
    )
    race("binary_cross_entropy", numpy_from_proba, y, p, runs)
    race("binary_cross_entropy_with_logits", numpy_from_logits, y, np.log(p / (1 - p)), runs)


def numpy_from_proba(y: np.ndarray, p: np.ndarray) -> float:
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))


def numpy_from_logits(y: np.ndarray, z: np.ndarray) -> float:
    return float(np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))))


def race(
    name: str, formula: Callable[..., float], y: np.ndarray, scores: np.ndarray, runs: int
) -> None:
    """Time both alternately, so that other load on the machine affects both alike."""
    function: Callable[..., float] = getattr(fastxent, name)
    ours, theirs = [], []
    for _ in range(max(runs, 1)):
        loss, seconds = timed(function, y, scores)
        ours.append(seconds)
        expected, seconds = timed(formula, y, scores)
        theirs.append(seconds)
    times = np.median([b / a for a, b in zip(ours, theirs, strict=True)])
    print(f"\n{'':37}  {'loss':8}  {'ms':>9}  {'rows per second':>15}")
    for label, value, seconds in (
        (name, loss, np.median(ours)),
        ("the same in NumPy", expected, np.median(theirs)),
    ):
        rate = len(scores) / seconds
        print(f"{label:37}  {value:8.6f}  {seconds * 1e3:9.1f}  {rate:15,.0f}")
    print(f"{'NumPy takes':37}  {f'{times:.0f} times as long':>36}")


def timed(function: Callable[..., float], *arguments: Any) -> tuple[float, float]:
    """Call the function; return its result and the seconds it took."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start

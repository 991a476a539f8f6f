"""The figures that fastxent stands by: each measured interleaved with what it is compared to.

    python benchmarks/targets.py [part of a row's name ...] [--seconds 1] [--clock cpu] [--strict]
        [--json FILE]

`reading` is np.max over the arrays that the call reads. `torch, huge pages` is torch in a process of
its own where it asks for huge pages, as NumPy does without being asked: without, much of its time for
many classes are the page faults of its temporaries. The goal is what is aimed at, the bar what has to
hold. FASTXENT_SIMD forces a level. A row of which the peer, or fastxent's function, is absent says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from machine import machine
from scaling import gains, sentence
from timing import CLOCKS, Call, Clock, interleaved, reading
from workloads import WORKLOADS, Inputs

import fastxent
from peers import PEERS

HUGE = "torch, huge pages"
LARGE = 1 << 24
TEN = (1 << 21) * 10
THOUSAND = (1 << 14) * 1000
VOCABULARY = 128 * 128256


#: Calls without options, which those with options are compared to.
PLAIN = ("BCE, bool labels", "BCE of logits, bool labels")


class Row(NamedTuple):
    """A call, what it is compared to, and what the comparison is to show."""

    work: str
    size: int
    against: (
        str  # reading, np.multiply, float32, the plain call, one worker, a peer, or one of PLAIN
    )
    goal: float
    bar: float
    dtype: str = "float32"

    @property
    def name(self) -> str:
        return f"{self.work}, {self.dtype}, {self.size:,}"

    @property
    def slower(self) -> bool:
        """Whether the figure is how much longer fastxent takes, rather than how much less."""
        return self.against in OTHERS


def labels(dtype: str) -> Iterator[Row]:
    yield Row("BCE", LARGE, "reading", 1.05, 1.15, dtype)
    yield Row("BCE, int8 labels", LARGE, "reading", 1.05, 1.5, dtype)
    yield Row("BCE, bool labels", LARGE, "reading", 1.05, 1.25, dtype)
    yield Row("BCE, int64 labels", LARGE, "reading", 1.05, 1.25, dtype)


def half(dtype: str) -> Iterator[Row]:
    yield Row("BCE", LARGE, "float32", 1, 1, dtype)
    yield Row("BCE, bool labels", LARGE, "float32", 1, 1, dtype)
    yield Row("BCE of logits", LARGE, "float32", 1, 1, dtype)
    yield Row("BCE of logits, bool labels", LARGE, "float32", 1, 1, dtype)
    yield Row("CE, 10 classes", TEN, "float32", 1, 1, dtype)
    yield Row("CE of logits, 10 classes", TEN, "float32", 1, 1, dtype)
    yield Row("CE of logits, 1,000 classes", THOUSAND, "float32", 1, 1, dtype)
    yield Row("CE of logits, 128,256 classes", VOCABULARY, "float32", 1, 1, dtype)


def categorical_options() -> Iterator[Row]:
    """What an option costs, beside the plain call of the same logits: figures of one thread, AVX-512."""
    grad = "CE, value and gradient"
    for size, classes, bars in (
        (THOUSAND, "1,000 classes", THOUSAND_BARS),
        (TEN, "10 classes", TEN_BARS),
    ):
        for work, bar in bars.items():
            name = work.replace("*", classes).replace("gradient of", grad)
            yield Row(name, size, "the plain call", round(0.85 * bar, 2), bar)


#: The bar of each option of 16,384 x 1,000 and of 2,097,152 x 10: times the plain call.
THOUSAND_BARS = {
    "CE of logits, *, smoothing": 1.4,
    "CE of logits, *, distributions": 1.8,
    "gradient of, *, smoothing": 3.0,
    "gradient of, *, distributions": 4.1,
    "CE, gradient and Hessian, *": 4.5,
    "CE of logits, *, Fortran order": 2.5,
    "CE, *, distributions": 1.8,
    "CE, *, smoothing": 1.8,
    "entropy, *": 1.4,
    "KL divergence, *": 1.8,
}
TEN_BARS = {
    "CE of logits, *, ignore_index": 1.25,
    "CE of logits, *, where": 1.25,
    "CE of logits, *, smoothing": 1.4,
    "CE of logits, *, distributions": 1.7,
    "gradient of, *, ignore_index": 3.0,
    "gradient of, *, smoothing": 3.0,
    "gradient of, *, distributions": 3.8,
    "CE, gradient and Hessian, *": 3.3,
    "entropy, *": 0.85,
    "KL divergence, *": 1.15,
}


def binary_options() -> Iterator[Row]:
    """What an option costs, over the plain call."""
    bce, logits = PLAIN
    yield Row("BCE, bool labels, where", LARGE, bce, 2, 2.5)
    yield Row("BCE, bool labels, NaN omitted", LARGE, bce, 2, 2.5)
    yield Row("BCE, bool labels, label_smoothing", LARGE, bce, 2, 2.9)
    yield Row("score of BCE, bool labels", LARGE, bce, 4.2, 5)
    yield Row("compare of BCE, bool labels", LARGE, bce, 8.5, 10)
    yield Row("grouped BCE, bool labels, 200 groups", LARGE, bce, 10.6, 12.5)
    yield Row("BCE of logits, bool labels, where", LARGE, logits, 1.3, 1.45)
    yield Row("BCE of logits, bool labels, label_smoothing", LARGE, logits, 1.25, 1.36)
    yield Row("BCE of logits, soft labels", LARGE, logits, 1.3, 1.5)
    yield Row("BCE of logits, bool labels, pos_weight", LARGE, logits, 1.4, 1.64)
    yield Row("Gaussian NLL", LARGE, "reading", 1.2, 1.4)
    yield Row("Gaussian NLL, variances", LARGE, logits, 1.5, 2.2)
    yield Row("focal, bool labels", LARGE, logits, 2.5, 2.9)
    yield Row("BCE, bool labels, gradient and Hessian", LARGE, logits, 2, 2.5)


ROWS = [
    *labels("float32"),
    *labels("float64"),
    Row("BCE, weights", LARGE, "reading", 1.5, 2.5),
    Row("BCE, soft labels", LARGE, "reading", 1.5, 3.0),
    Row("BCE of logits", LARGE, "reading", 1.6, 2.3),
    Row("BCE, each", LARGE, "np.multiply", 1.2, 2.0),
    Row("BCE of logits, each", LARGE, "np.multiply", 1.2, 2.0),
    *binary_options(),
    Row("CE of logits, 1,000 classes", THOUSAND, "reading", 1.8, 3.0),
    Row("CE of logits, 128,256 classes", VOCABULARY, "reading", 1.8, 2.8),
    Row("CE of logits, 10 classes", TEN, "reading", 2.5, 4.5),
    Row("CE, 10 classes", TEN, "reading", 1.1, 1.5),
    Row("BCE", 32, "torch", 3, 2),
    Row("log_loss, int64 labels", LARGE, "scikit-learn log_loss", 250, 150),
    Row("log_loss, bool labels", LARGE, "scikit-learn log_loss", 400, 250),
    Row("log_loss, int8 labels", LARGE, "scikit-learn log_loss", 400, 250),
    Row("log_loss, 10 classes", TEN, "scikit-learn log_loss", 60, 20),
    Row("BCE", LARGE, "torch", 100, 50),
    Row("BCE of logits", LARGE, "torch", 20, 12),
    Row("CE of logits, 10 classes", TEN, "torch", 50, 25),
    Row("CE of logits, 1,000 classes", THOUSAND, "torch", 10, 6),
    Row("CE of logits, 128,256 classes", VOCABULARY, "torch", 12, 7),
    Row("BCE", LARGE, HUGE, 100, 40),
    Row("BCE of logits", LARGE, HUGE, 8, 5),
    Row("CE of logits, 10 classes", TEN, HUGE, 50, 15),
    Row("CE of logits, 1,000 classes", THOUSAND, HUGE, 3, 2),
    Row("CE of logits, 128,256 classes", VOCABULARY, HUGE, 3, 2),
    Row("CE, value and gradient, 1,000 classes", THOUSAND, HUGE, 3, 2),
    Row("CE of logits, 1,000 classes", THOUSAND, "ONNX LogSoftmax", 2, 1.6),
    Row("CE of logits, 1,000 classes", THOUSAND, "optax", 2.5, 2.2),
    Row("BCE", LARGE, "jax", 3, 2.6),
    Row("BCE of logits", LARGE, "one worker", 1.9, 1.6),
    Row("BCE of logits, bool labels", LARGE, "one worker", 1.9, 1.6),
    Row("CE, value and gradient, 1,000 classes", THOUSAND, "torch", 8, 5),
    Row("CE, value and gradient, 1,000 classes", THOUSAND, "read and write", 1.5, 2.2),
    Row("BCE, value and gradient", LARGE, "torch", 15, 10),
    *half("float16"),
    *half("bfloat16"),
    *categorical_options(),
]


class Result(NamedTuple):
    """What came out of a row: `figure` is in the words of the table, 15.2 times faster, say."""

    row: Row
    seconds: float
    other: float
    figure: float
    rounds: int

    @property
    def verdict(self) -> str:
        row, sign = self.row, 1 if self.row.slower else -1
        if sign * self.figure <= sign * row.goal:
            return "goal"
        return "bar" if sign * self.figure <= sign * row.bar else "MISSED"


def measure(row: Row, budget: float, clock: Clock) -> Result:
    """Raise ImportError or AttributeError where something is not there."""
    if row.against == HUGE:
        return with_huge_pages(row, budget, clock)
    work = WORKLOADS[row.work]
    inputs = work.inputs(row.size, row.dtype)
    if row.against == "one worker":
        call, other = work.call(inputs, workers=2), work.call(inputs, workers=1)
        clock = CLOCKS["wall"]
    else:
        call, other = in_place(row, inputs), OTHERS.get(row.against, peer)(row, inputs)
    pair = interleaved(call, other, budget, clock=clock)
    figure = pair.ratio if row.slower else 1 / pair.ratio
    return Result(row, pair.seconds, pair.other, figure, pair.rounds)


def with_huge_pages(row: Row, budget: float, clock: Clock) -> Result:
    """The row against torch, measured where torch asks for huge pages from its first array on."""
    import torch  # noqa: F401 - where it is absent, the row says so here

    child = (
        f"import json, targets, timing; row = targets.Row(*json.loads({json.dumps([*row])!r}))\n"
        f"found = targets.measure(row._replace(against='torch'), {budget}, "
        f"timing.{clock.__name__})\nprint(json.dumps(found[1:]))"
    )
    folders = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {
        "THP_MEM_ALLOC_ENABLE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, folders)),
    }
    done = subprocess.run(
        [sys.executable, "-c", child], env=env, stdout=subprocess.PIPE, text=True, check=True
    )
    return Result(row, *json.loads(done.stdout))


def in_place(row: Row, inputs: Inputs) -> Call:
    """The call; against a pass that writes into an array, it writes into one as well."""
    more = {"out": np.empty_like(inputs.scores)} if row.against == "read and write" else {}
    return WORKLOADS[row.work].call(inputs, **more)


def peer(row: Row, inputs: Inputs) -> Call:
    return PEERS[row.work][row.against](inputs)


def multiply(_: Row, inputs: Inputs) -> Call:
    y, scores, out = inputs.y, inputs.scores, np.empty_like(inputs.scores)
    return lambda: np.multiply(y, scores, out=out)


def read_and_write(_: Row, inputs: Inputs) -> Call:
    scores, out = inputs.scores, np.empty_like(inputs.scores)
    return lambda: np.negative(scores, out=out)


def of_float32(row: Row, _: Inputs) -> Call:
    """The same work; where labels are of the scores' dtype, they are float32 as well."""
    return WORKLOADS[row.work].call(WORKLOADS[row.work].inputs(row.size, "float32"))


def plain(_: Row, inputs: Inputs) -> Call:
    """The cross entropy of as many logits against class indices."""
    z = np.ascontiguousarray(inputs.scores)
    y = np.arange(len(z)) * 7 % z.shape[1]
    return lambda: fastxent.categorical_cross_entropy_with_logits(y, z)


def without_options(row: Row, _: Inputs) -> Call:
    """The call without options, of inputs as large."""
    return WORKLOADS[row.against].call(WORKLOADS[row.against].inputs(row.size, row.dtype))


OTHERS: dict[str, Callable[[Row, Inputs], Call]] = {
    "reading": lambda _, inputs: reading(*inputs.read),
    "np.multiply": multiply,
    "read and write": read_and_write,
    "float32": of_float32,
    "the plain call": plain,
    **dict.fromkeys(PLAIN, without_options),
}


# ---- the table -----------------------------------------------------------------------------

HEAD = ("work", "against", "ms", "its ms", "figure", "goal", "bar", "")
LINE = "| {:72} | {:21} | {:>9} | {:>9} | {:>7} | {:>5} | {:>5} | {:6} |"


def line(result: Result) -> str:
    row = result.row
    return LINE.format(
        row.name,
        row.against,
        f"{result.seconds * 1e3:.4g}",
        f"{result.other * 1e3:.4g}",
        f"{result.figure:.3g}{'' if row.slower else '×'}",
        f"{row.goal:g}",
        f"{row.bar:g}",
        result.verdict,
    )


def as_json(result: Result) -> dict[str, Any]:
    return {
        **result.row._asdict(),
        "slower": result.row.slower,
        "seconds": result.seconds,
        "other_seconds": result.other,
        "figure": round(result.figure, 4),
        "rounds": result.rounds,
        "verdict": result.verdict,
    }


def main() -> int:
    """Print the table; with --strict, return 1 where a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="rows of which the name contains one of these")
    parser.add_argument("--seconds", type=float, default=1.0, help="to spend on each row")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: on a busy machine")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a bar is missed")
    options = parser.parse_args()
    print(f"fastxent on {fastxent.simd_level()}, numpy {np.__version__}, one thread,", end=" ")
    print(f"{options.clock} time\n")
    print(LINE.format(*HEAD), LINE.format(*["---"] * len(HEAD)), sep="\n")
    results = []
    scaling = {}
    for row in ROWS:
        if options.names and not any(n in f"{row.name} {row.against}" for n in options.names):
            continue
        try:
            results.append(measure(row, options.seconds, CLOCKS[options.clock]))
        except (ImportError, AttributeError) as error:
            print(f"| {row.name:72} | {row.against:21} | {type(error).__name__}: {error} |")
        else:
            print(line(results[-1]), flush=True)
        if row.against == "one worker" and not scaling:  # in the same process
            scaling = gains(2 * options.seconds)
    if scaling:
        print(f"\n{sentence(scaling)}")
    if options.json:
        table = {
            "machine": machine(),
            "clock": options.clock,
            "scaling": scaling,
            "rows": [as_json(r) for r in results],
        }
        options.json.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
    return int(options.strict and any(r.verdict == "MISSED" for r in results))


if __name__ == "__main__":
    sys.exit(main())

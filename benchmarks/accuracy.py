"""How far the losses are from the exact ones, beside the peers: against mpmath at 40 digits.

    python benchmarks/accuracy.py [--size 20000] [--json FILE]

Of the mean: the relative error. Of the losses one by one: the worst, in ulps of the result's dtype.
"Sure" are scores of a classifier that is right and knows it: losses of 1e-5 or less.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mpmath import mp
from workloads import BCE, BCE_Z, CE, CE_Z, Array, Inputs, binary, dtype_of, rows

import fastxent
from peers import PEERS

mp.dps = 40
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


class Case(NamedTuple):
    """A loss, its inputs, and its exact value for one position."""

    name: str
    function: str
    make: Callable[[int, np.dtype[Any]], Inputs]
    exact: Callable[[Any, Any, float], Any]
    work: str  # of PEERS


def sure(*, of_logits: bool) -> Callable[[int, np.dtype[Any]], Inputs]:
    def make(size: int, dtype: np.dtype[Any]) -> Inputs:
        rng = np.random.default_rng(2)
        y = rng.random(size) < 0.5
        z = 16 + 8 * rng.random(size)
        wrong = 1e-5 * rng.random(size) if dtype == np.float32 else 1e-7 * rng.random(size)
        scores = np.where(y, z, -z) if of_logits else np.where(y, 1 - wrong, wrong)
        return Inputs(y.astype(dtype), scores.astype(dtype))

    return make


def sure_rows(size: int, dtype: np.dtype[Any]) -> Inputs:
    inputs = rows(10, of_logits=True)(size, dtype)
    inputs.scores[np.arange(len(inputs.y)), inputs.y] += 40
    return inputs


def binary_exact(y: Any, p: Any, eps: float) -> Any:
    p = min(max(mp.mpf(float(p)), mp.mpf(eps)), 1 - mp.mpf(eps))
    return -mp.log(p) if y else -mp.log1p(-p)


def logits_exact(y: Any, z: Any, _: float) -> Any:
    return mp.log1p(mp.exp(mp.mpf(float(-z if y else z))))


def row_exact(y: Any, row: Any, eps: float) -> Any:
    return binary_exact(1, row[y], eps)


def row_logits_exact(y: Any, row: Any, _: float) -> Any:
    z = [mp.mpf(float(x)) for x in row]
    return mp.log1p(mp.fsum(mp.exp(x - z[y]) for c, x in enumerate(z) if c != y))


CASES = (
    Case("BCE", BCE, binary(), binary_exact, "BCE"),
    Case("BCE, sure", BCE, sure(of_logits=False), binary_exact, "BCE"),
    Case("BCE of logits", BCE_Z, binary(of_logits=True), logits_exact, "BCE of logits"),
    Case("BCE of logits, sure", BCE_Z, sure(of_logits=True), logits_exact, "BCE of logits"),
    Case("CE, 10 classes", CE, rows(10), row_exact, "CE, 10 classes"),
    Case(
        "CE of logits, 10 classes",
        CE_Z,
        rows(10, of_logits=True),
        row_logits_exact,
        "CE of logits, 10 classes",
    ),
    Case("CE of logits, sure", CE_Z, sure_rows, row_logits_exact, "CE of logits, 10 classes"),
)
BESIDE = ("NumPy", "scikit-learn log_loss", "torch")


def measure(case: Case, dtype: str, size: int) -> dict[str, Any]:
    """The errors of fastxent, and of the means of those peers that have the loss."""
    inputs = case.make(size, dtype_of(dtype))
    exact = [case.exact(y, s, EPS[dtype]) for y, s in zip(inputs.y, inputs.scores, strict=True)]
    mean = mp.fsum(exact) / len(exact)
    function = getattr(fastxent, case.function)
    found = {
        "loss": case.name,
        "dtype": dtype,
        "mean loss": f"{float(mean):.2g}",
        "worst ulp": f"{ulps(function(*inputs[:2], reduction='none'), exact):.2f}",
        "fastxent": error(function(*inputs[:2]), mean),
    }
    for who in BESIDE:
        found[who] = ""
        if who in PEERS[case.work]:
            try:
                with np.errstate(all="ignore"):
                    found[who] = error(PEERS[case.work][who](inputs)(), mean)
            except ImportError as missing:
                found[who] = f"no {missing.name}"
    return found


def error(value: Any, mean: Any) -> str:
    return f"{float(abs(mp.mpf(float(value)) - mean) / mean):.1e}"


def ulps(losses: Array, exact: list[Any]) -> float:
    units = np.spacing(np.abs(np.array([float(e) for e in exact], losses.dtype)))
    return max(
        float(abs(mp.mpf(float(loss)) - e) / mp.mpf(float(unit)))
        for loss, e, unit in zip(losses, exact, units, strict=True)
    )


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=20000, help="scores of each case")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of peers, of rows that do not sum to 1 in float32
    found = [measure(case, dtype, options.size) for case in CASES for dtype in EPS]
    print(f"| {' | '.join(found[0])} |", "|" + " --- |" * len(found[0]), sep="\n")
    for row in found:
        print(f"| {' | '.join(row.values())} |")
    if options.json:
        table = {"size": options.size, "rows": found}
        options.json.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Derive the constants of _kernels/numeric, print them, and check that they stand there.

Run `python tools/fit_polynomials.py` (it needs mpmath and takes a minute). Each polynomial makes
the greatest relative error of its function small, by Lawson's algorithm: least squares, where the
weight of each point is multiplied by its error until all errors are alike. Coefficients are rounded
one at a time, the lowest first, and those that remain are fitted again to make up for it.

float32 errors are a thousand times larger than what a sum over many elements shall have, so there
they also have to cancel: the mean error of e^r is held at zero over r < 0 and over r > 0.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mpmath import mp, mpf

mp.prec = 160

Function = Callable[[mpf], mpf]
NUMERIC = Path(__file__).parents[1] / "fastxent" / "_kernels" / "numeric"


def to_wide(x: mpf) -> float:
    """Round to float64."""
    return float(x)


def to_narrow(x: mpf) -> float:
    """Round to float32."""
    return float(struct.unpack("f", struct.pack("f", float(x)))[0])


def nodes(low: mpf, high: mpf, count: int = 120) -> list[mpf]:
    """Chebyshev's points between low and high."""
    middle, half = (low + high) / 2, (high - low) / 2
    return [middle - half * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]


def least_squares(
    rows: Sequence[Sequence[mpf]],
    wanted: Sequence[mpf],
    weights: Sequence[mpf],
    equations: Sequence[tuple[Sequence[mpf], mpf]],
) -> list[mpf]:
    """Coefficients c of least sum w (row c - wanted)^2 that meet the equations (row, value)."""
    n, m = len(rows[0]), len(equations)
    matrix, right = mp.zeros(n + m), mp.zeros(n + m, 1)
    for i in range(n):
        weighted = [w * row[i] for w, row in zip(weights, rows, strict=True)]
        right[i] = mp.fdot(weighted, wanted)
        for j in range(n):
            matrix[i, j] = mp.fdot(weighted, [row[j] for row in rows])
    for e, (row, value) in enumerate(equations, start=n):
        right[e] = value
        for j in range(n):
            matrix[e, j] = matrix[j, e] = row[j]
    return list(mp.lu_solve(matrix, right))[:n]


def fit(
    function: Function,
    weight: Function,
    points: Sequence[mpf],
    given: Sequence[float],
    terms: int,
    balanced: Sequence[Sequence[mpf]] = (),
) -> list[mpf]:
    """The coefficients after the given ones: max |weight (function - polynomial)| is small.

    The mean of that error is zero over each of the balanced sets of points.
    """

    def row(x: mpf) -> list[mpf]:
        return [weight(x) * x**i for i in range(len(given), terms)]

    def rest(x: mpf) -> mpf:
        return weight(x) * (function(x) - sum(mpf(c) * x**i for i, c in enumerate(given)))

    rows, wanted = [row(x) for x in points], [rest(x) for x in points]
    equations = [
        (
            [mp.fsum(column) for column in zip(*map(row, part), strict=True)],
            mp.fsum(map(rest, part)),
        )
        for part in balanced[: terms - len(given)]
    ]
    weights = [mpf(1)] * len(points)
    for _ in range(40):
        coefficients = least_squares(rows, wanted, weights, equations)
        errors = [abs(mp.fdot(r, coefficients) - v) for r, v in zip(rows, wanted, strict=True)]
        largest = max(errors)
        weights = [w * (e / largest + mpf("0.01")) for w, e in zip(weights, errors, strict=True)]
        largest = max(weights)
        weights = [w / largest for w in weights]
    return coefficients


def report(name: str, constants: Sequence[float], note: str = "") -> bool:
    """Print the constants; whether all of them stand in the files."""
    print(f"{name}  {note}")
    source = "".join(path.read_text() for path in sorted(NUMERIC.glob("*.pxd")))
    for constant in constants:
        found = repr(constant) in source
        print(f"    {constant!r}{'' if found else '    NOT IN _kernels/numeric'}")
    return all(repr(constant) in source for constant in constants)


def polynomial(
    name: str,
    function: Function,
    weight: Function,
    low: mpf,
    high: mpf,
    given: Sequence[float],
    terms: int,
    rounded: Callable[[mpf], float],
    balanced: Sequence[Sequence[mpf]] = (),
) -> bool:
    """Fit, round, report."""
    points, coefficients = nodes(low, high), list(given)
    while len(coefficients) < terms:
        free = fit(function, weight, points, coefficients, terms, balanced)
        coefficients.append(rounded(free[0]))
    worst = max(
        abs(weight(x) * (function(x) - sum(mpf(c) * x**i for i, c in enumerate(coefficients))))
        for x in nodes(low, high, 1000)
    )
    return report(name, coefficients, f"relative error {mp.nstr(worst, 3)}")


def exp_part(r: mpf) -> mpf:
    """(e^r - 1 - r) / r^2."""
    return (mp.exp(r) - 1 - r) / r**2


def exp_weight(r: mpf) -> mpf:
    """What an error of exp_part does to e^r."""
    return r**2 / mp.exp(r)


def exp2_part(g: mpf) -> mpf:
    """(2^g - 1) / g."""
    return (mpf(2) ** g - 1) / g


def exp2_weight(g: mpf) -> mpf:
    """What an error of exp2_part does to 2^g."""
    return g / mpf(2) ** g


def log_part(z: mpf) -> mpf:
    """(log((1 + s) / (1 - s)) / s - 2) / z, z = s^2."""
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) / s - 2) / z


def log_weight(z: mpf) -> mpf:
    """What an error of log_part does to the logarithm, about 2s."""
    return z / 2


def divergence_weight(z: mpf) -> mpf:
    """What an error of log_part does to q log(q/p) - q + p, about s^2 q."""
    return mp.sqrt(z) / 4


def two_parts(x: mpf, fraction_bits: int, rounded: Callable[[mpf], float]) -> list[float]:
    """x as a sum: one part with few bits, so that k times it is exact, and the rest."""
    high = mp.floor(x * 2**fraction_bits) / 2**fraction_bits
    return [rounded(high), rounded(x - high)]


def main() -> int:
    """Print all constants; 1 where one of them is missing in the files."""
    ln2 = mp.log(2)
    edge = ln2 / 2 * mpf("1.0001")
    largest = (3 - 2 * mp.sqrt(2)) ** 2 * mpf("1.0001")
    ninth, near = mpf("1.0001") / 9, mpf("0.04") * mpf("1.0001")
    half = mpf("0.50005")
    halves2 = [[sign * half * (i + mpf("0.5")) / 500 for i in range(500)] for sign in (-1, 1)]
    halves = [[sign * edge * (i + mpf("0.5")) / 500 for i in range(500)] for sign in (-1, 1)]
    good = [
        report("ln 2, float64", two_parts(ln2, 41, to_wide)),
        report("ln 2, float32", two_parts(ln2, 15, to_narrow)),
        report("1 / ln 2", [to_wide(1 / ln2), to_narrow(1 / ln2)]),
        report("1 / ln 2, its rest", [to_narrow(1 / ln2 - mpf(to_narrow(1 / ln2)))]),
        polynomial("exp, float64", exp_part, exp_weight, -edge, edge, [0.5, 1 / 6], 10, to_wide),
        polynomial("exp, float32", exp_part, exp_weight, -edge, edge, [], 5, to_narrow, halves),
        polynomial("2^g, float32", exp2_part, exp2_weight, -half, half, [], 6, to_narrow, halves2),
        polynomial("log, float64", log_part, log_weight, mpf(0), largest, [], 7, to_wide),
        polynomial("log, float32", log_part, log_weight, mpf(0), largest, [], 3, to_narrow),
        polynomial("log1p, float32", log_part, log_weight, mpf(0), ninth, [], 5, to_narrow),
        polynomial("ratio, float64", log_part, divergence_weight, mpf(0), near, [], 8, to_wide),
        polynomial("ratio, float32", log_part, divergence_weight, mpf(0), near, [], 3, to_narrow),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())

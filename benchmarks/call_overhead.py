"""What one wheel for every Python costs: calls on 32 elements, abi3 against a build for this Python.

    python benchmarks/call_overhead.py [rounds]

Builds fastxent twice, into two folders (a minute). Each round starts both, one after the other,
each in its own process that makes many calls. It prints the medians, and the median of the
rounds' ratios.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
VARIANTS = {"abi3": "0", "this Python only": "1"}
CALLS = {
    "binary_cross_entropy, float32 and bool": "f.binary_cross_entropy(y, p)",
    "the same of logits": "f.binary_cross_entropy_with_logits(y, p)",
    'the same, reduction="none", out': 'f.binary_cross_entropy(y, p, reduction="none", out=out)',
}
PROGRAM = f"""
import timeit, numpy as np, fastxent as f
rng = np.random.default_rng(0)
p, y, out = rng.random(32, np.float32), rng.random(32) < 0.5, np.empty(32, np.float32)
for call in {list(CALLS.values())!r}:
    print(min(timeit.repeat(call, globals=globals(), number=2000, repeat=7)) / 2000)
"""


def build(folder: str, no_abi3: str) -> None:
    """Install into the folder, which holds nothing else."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    subprocess.run([*command, ROOT], check=True, env=os.environ | {"FASTXENT_NO_ABI3": no_abi3})


def seconds(folder: str) -> list[float]:
    env = os.environ | {"PYTHONPATH": folder}
    done = subprocess.check_output([sys.executable, "-P", "-c", PROGRAM], env=env, text=True)
    return [float(line) for line in done.split()]


def main(rounds: int = 7) -> None:
    """Build, measure, print."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = [f"{scratch}/{number}" for number in range(len(VARIANTS))]
        for folder, no_abi3 in zip(folders, VARIANTS.values(), strict=True):
            build(folder, no_abi3)
        measured = [[seconds(folder) for folder in folders] for _ in range(rounds)]
    print(
        f"{'32 elements, ns a call':<42}{''.join(f'{name:>18}' for name in VARIANTS)}{'ratio':>8}"
    )
    for number, name in enumerate(CALLS):
        ours, theirs = ([one[v][number] for one in measured] for v in range(2))
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        medians = [statistics.median(times) * 1e9 for times in (ours, theirs)]
        print(f"{name:<42}{''.join(f'{ns:>18.0f}' for ns in medians)}{ratio:>8.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

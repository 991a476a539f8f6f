"""Run every benchmark and write benchmarks/results/: the figures, tables of them, and charts.

    python benchmarks/run.py [--results DIR] [--clock cpu] [pytest's arguments]

A level is chosen when fastxent is imported, so each gets a process of its own. BENCH=full takes an
hour or so instead of minutes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import report
from machine import machine

from fastxent._kernels.engine import build_flags

HERE = Path(__file__).parent
# The tree's own fastxent has no compiled modules: it must not be found before the installed one.
ENVIRONMENT = {**os.environ, "PYTHONSAFEPATH": "1"}


def python(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**ENVIRONMENT, "PYTHONPATH": path, **env},
        text=True,
        check=False,
    )


def runnable() -> Iterator[str]:
    """The levels that were built and run here; for the others, Python says on stderr why not."""
    for level in build_flags:
        if python("-c", "import fastxent", FASTXENT_SIMD=level).returncode == 0:
            yield level
        else:
            print(f"{level} is left out: see above")


def bench(file: str, arguments: list[str], **env: str) -> dict[str, Any]:
    """Run one of the benchmark files; return what pytest-benchmark wrote."""
    print(f"\n{file} {' '.join(env.values())}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "benchmark.json")
        # No pytest.ini of the tests': its filters make errors of the peers' own warnings.
        done = python(
            *("-m", "pytest", HERE / file, "-q", "-c", os.devnull, "--rootdir", HERE),
            *("--benchmark-json", written, "--benchmark-quiet", *arguments),
            **env,
        )
        if done.returncode not in (0, 5):  # 5: nothing was selected
            sys.exit(f"{file} failed")
        return json.loads(written.read_text("utf-8") or "{}") if written.exists() else {}


def figures(of: str, arguments: list[str], **env: str) -> Iterator[dict[str, Any]]:
    """One record per benchmark, without what nobody reads again."""
    for one in bench(f"bench_{of}.py", arguments, **env).get("benchmarks", ()):
        stats = one["stats"]
        yield {
            "of": of,
            **one["extra_info"],
            "seconds": float(f"{stats['median']:.4g}"),
            "iqr": float(f"{stats['iqr']:.2g}"),
            "rounds": stats["rounds"],
        }


def main() -> None:
    """Run all, and write all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument(
        "--clock", default="wall", help="of targets.py and sweep.py; cpu: on a busy machine"
    )
    options, arguments = parser.parse_known_args()
    options.results.mkdir(exist_ok=True, parents=True)
    records: list[dict[str, Any]] = []
    for level in runnable():
        records += figures("losses", arguments, FASTXENT_SIMD=level)
    records += [*figures("peers", arguments), *figures("workers", arguments)]
    clock = ["--clock", options.clock]
    for script, more in (("targets", clock), ("sweep", clock), ("accuracy", [])):
        if script == "sweep" and importlib.util.find_spec("jax") is None:
            print("sweep.py is left out: jax is not installed")
            continue
        print(f"\n{script}.py", flush=True)
        done = python(HERE / f"{script}.py", "--json", options.results / f"{script}.json", *more)
        if done.returncode:
            sys.exit(f"{script}.py failed")
    one_a_line = ",\n".join(map(json.dumps, records))
    about = {**machine(), "mode": os.environ.get("BENCH", "short")}
    found = f'{{"machine": {json.dumps(about)},\n"figures": [\n{one_a_line}\n]}}\n'
    (options.results / "figures.json").write_text(found, "utf-8")
    report.write(options.results)


if __name__ == "__main__":
    main()

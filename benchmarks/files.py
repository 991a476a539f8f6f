"""Sixty million rows of Parquet: fastxent score beside DuckDB, polars, pandas, and reading alone.

A sixth of them as CSV and a twelfth as JSON lines are read beside pyarrow's own readers. Two models are
compared by a million keys.

    python benchmarks/files.py [--rows N] [--rounds N] [--results DIR]

Each runs in its own process, in turn; the time is that of the whole process, imports included, and
the memory its peak. Writes files.md, and fails where fastxent misses a promise.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import machine

HERE = Path(__file__).parent
STEP = 1_000_000
GROUPS = 200
KEYS, KEYED_ROWS = 1_000_000, 3_000_000
MIB_ALLOWED, SHARE_OF_READING, ERROR_ALLOWED = 200, 0.8, 1e-13
MIB_OF_KEYS = 400e6 / 2**20
THREADS = 2  # of DuckDB

READING = "pyarrow, reading alone"
READ = """
import sys, pyarrow.parquet as pq
for batch in pq.ParquetFile(sys.argv[1]).iter_batches(columns={columns}):
    pass
"""
READ_CSV = """
import sys, pyarrow.csv as csv
columns = csv.ConvertOptions(include_columns={columns})
for batch in csv.open_csv(sys.argv[1], convert_options=columns):
    pass
"""
READ_JSON = """
import sys, pyarrow as pa, pyarrow.json
columns = pyarrow.json.ParseOptions(
    explicit_schema=pa.schema({"y": pa.int64(), "p": pa.float64()}),
    unexpected_field_behavior="ignore",
)
for batch in pyarrow.json.open_json(sys.argv[1], parse_options=columns):
    pass
"""
# The loss as their users write it, clipped like fastxent's.
DUCKDB = """
import sys, duckdb
duckdb.sql("set threads = {threads}")
loss = "-ln(greatest(case y when 1 then p else 1 - p end, 2.220446049250313e-16))"
query = f"select {key} avg({loss}) from read_parquet('{sys.argv[1]}') {group}"
print(duckdb.sql(query).fetchall()[0][-1])
"""
# What fastxent prints: the mean of each group with its standard error.
DUCKDB_ERRORS = """
import sys, duckdb
duckdb.sql("set threads = {threads}")
loss = "-ln(greatest(case y when 1 then p else 1 - p end, 2.220446049250313e-16)) as loss"
rows = f"select country, {loss} from read_parquet('{sys.argv[1]}')"
values = "country, avg(loss), stddev_samp(loss) / sqrt(count(*)), count(*)"
print(duckdb.sql(f"select {values} from ({rows}) group by country").fetchall()[0][1])
"""
POLARS = """
import sys, polars as pl
p = pl.col("p")
right = pl.when(pl.col("y") == 1).then(p).otherwise(1 - p)
loss = -right.clip(lower_bound=2.220446049250313e-16).log().mean()
frame = pl.scan_parquet(sys.argv[1])
frame = {frame}
print(frame.collect(engine="streaming")["p"][0])
"""
PANDAS = """
import sys, numpy as np, pandas as pd
frame = pd.read_parquet(sys.argv[1], columns={columns})
right = np.where(frame.y == 1, frame.p, 1 - frame.p)
loss = pd.Series(-np.log(np.maximum(right, 2.220446049250313e-16)))
print({result})
"""
ONE, BY = ["p", "y"], ["p", "y", "country"]
CODE = {
    "mean": {
        READING: READ.format(columns=ONE),
        "DuckDB": DUCKDB.replace("{key}", "").replace("{group}", ""),
        "polars, streaming": POLARS.replace("{frame}", "frame.select(p=loss)"),
        "pandas": PANDAS.format(columns=ONE, result="loss.mean()"),
    },
    "by": {
        READING: READ.format(columns=BY),
        "DuckDB": DUCKDB.replace("{key}", "country,").replace("{group}", "group by country"),
        "DuckDB, with standard errors": DUCKDB_ERRORS,
        "polars, streaming": POLARS.replace("{frame}", 'frame.group_by("country").agg(p=loss)'),
        "pandas": PANDAS.format(
            columns=BY, result="loss.groupby(frame.country, observed=True).mean().iloc[0]"
        ),
    },
    "CSV": {READING: READ_CSV.format(columns=ONE)},
    "CSV by": {READING: READ_CSV.format(columns=BY)},
    "JSON": {READING: READ_JSON},
}
NAMES = {
    "mean": "the mean",
    "by": "by group",
    "CSV": "CSV",
    "CSV by": "CSV by group",
    "JSON": "JSON lines",
}


class Run(NamedTuple):
    """A process that has ended."""

    seconds: float
    mib: float
    output: str


def main() -> None:
    """Make the file, run everything in turn, check, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "predictions.parquet")
        # By another process: a child's peak memory counts what its parent had when it was forked.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            want = pool.apply(make, (path, options.rows))
        others = {"CSV": path.with_suffix(".csv"), "JSON": path.with_suffix(".jsonl")}
        convert(path, others, options.rows)
        jobs = {
            (of, who): command
            for of in CODE
            for who, command in commands(of, others.get(of.removesuffix(" by"), path))
        }
        rounds = [{job: run(c) for job, c in jobs.items()} for _ in range(options.rounds)]
        size = path.stat().st_size
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(make_keyed, (path,))
        of_keys = run([*score(path), "--compare", "q", "--by", "key"])
    problems = [*missed(rounds, want), *missed_by_key(of_keys)]
    options.results.mkdir(exist_ok=True, parents=True)
    lines = [*page(rounds, options.rows, size, want), *page_by_key(of_keys)]
    (options.results / "files.md").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join([*lines, *problems]))
    sys.exit(bool(problems))


def make(path: Path, rows: int) -> float:
    """Write float64 probabilities, int8 labels and a column of strings; return the mean loss."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import fastxent

    rng = np.random.default_rng(0)
    names = pa.array([f"country {i:03}" for i in range(GROUPS)])
    schema = pa.schema({"y": pa.int8(), "p": pa.float64(), "country": pa.string()})
    labels, scores = np.empty(rows, np.int8), np.empty(rows)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, STEP):
            n = min(STEP, rows - start)
            p = 1.0 / (1.0 + np.exp(-rng.normal(0.0, 2.0, n)))
            y = (rng.random(n) < p).astype(np.int8)
            country = names.take(pa.array(rng.integers(0, GROUPS, n)))
            writer.write_table(pa.table({"y": y, "p": p, "country": country}, schema))
            labels[start : start + n], scores[start : start + n] = y, p
    return fastxent.binary_cross_entropy(labels, scores)


def make_keyed(path: Path) -> None:
    """Write two models' probabilities, labels, and keys of which each comes at least once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(1)
    n = KEYED_ROWS
    key = rng.permutation(np.concatenate([np.arange(KEYS), rng.integers(0, KEYS, n - KEYS)]))
    names = pa.array([f"user {i:07}" for i in range(KEYS)])
    y = rng.integers(0, 2, n).astype(np.int8)
    table = {"y": y, "p": rng.random(n), "q": rng.random(n), "key": names.take(pa.array(key))}
    pq.write_table(pa.table(table), path)


def convert(path: Path, others: dict[str, Path], rows: int) -> None:
    """The first rows as CSV and as JSON lines, by DuckDB: it is fast."""
    code = "import duckdb, sys; duckdb.sql(sys.argv[1])"
    for name, share, options in (("CSV", 6, "header"), ("JSON", 12, "format json")):
        some = f"select * from read_parquet('{path}') limit {rows // share}"
        query = f"copy ({some}) to '{others[name]}' ({options})"
        subprocess.run([sys.executable, "-c", code, query], check=True)


def commands(of: str, path: Path) -> Iterator[tuple[str, list[str]]]:
    yield "fastxent score", [*score(path), *(["--by", "country"] if of.endswith("by") else [])]
    for who, code in CODE[of].items():
        code = code.replace("{threads}", str(THREADS))
        yield who, [sys.executable, "-c", code, str(path)]


def score(path: Path) -> list[str]:
    command = ["-m", "fastxent", "score", str(path), "--label", "y", "--proba", "p", "--json"]
    return [sys.executable, *command]


def run(command: list[str]) -> Run:
    # Of the tree's own fastxent there are no compiled modules.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{command[:3]} failed")
        output.seek(0)
        per_mib = 1 << (20 if sys.platform == "darwin" else 10)
        return Run(seconds, usage.ru_maxrss / per_mib, output.read())


Rounds = list[dict[tuple[str, str], Run]]


def share_of_reading(rounds: Rounds, of: str, who: str) -> float:
    """The median of the ratios: 1 means as fast as reading alone."""
    return ratio(rounds, of, READING, who)


def ratio(rounds: Rounds, of: str, other: str, who: str) -> float:
    return statistics.median(r[of, other].seconds / r[of, who].seconds for r in rounds)


def error(rounds: Rounds, want: float) -> float:
    """Relative, of the mean of the file; the groups' means are put together for it, too."""
    found = json.loads(rounds[0]["mean", "fastxent score"].output)
    groups = json.loads(rounds[0]["by", "fastxent score"].output)["groups"]
    together = sum(g["mean"] * g["weight"] for g in groups) / sum(g["weight"] for g in groups)
    return max(abs(mean / want - 1.0) for mean in (found["mean"], together))


def missed(rounds: Rounds, want: float) -> Iterator[str]:
    if error(rounds, want) > ERROR_ALLOWED:
        yield f"the mean is off by {error(rounds, want):.1e}"
    for of in CODE:
        mib = max(r[of, "fastxent score"].mib for r in rounds)
        share = share_of_reading(rounds, of, "fastxent score")
        if mib > MIB_ALLOWED:
            yield f"{of}: {mib:.0f} MiB are more than {MIB_ALLOWED}"
        if share < SHARE_OF_READING:
            yield f"{of}: {share:.2f} of the speed of reading is less than {SHARE_OF_READING}"
    if ratio(rounds, "by", "DuckDB", "fastxent score") < 1.0:
        yield f"by: slower than DuckDB on {THREADS} threads"


def missed_by_key(of_keys: Run) -> Iterator[str]:
    if len(json.loads(of_keys.output)["groups"]) != KEYS:
        yield f"not all of {KEYS:,} keys"
    if of_keys.mib > MIB_OF_KEYS:
        yield f"{KEYS:,} keys: {of_keys.mib:.0f} MiB are more than {MIB_OF_KEYS:.0f}"


def page_by_key(of_keys: Run) -> Iterator[str]:
    yield f"""
{KEYED_ROWS:,} rows of {KEYS:,} different strings as keys, two models compared by key, all groups written
as JSON: {of_keys.seconds:.0f} s and {of_keys.mib:.0f} MiB."""


def page(rounds: Rounds, rows: int, size: int, want: float) -> Iterator[str]:
    about = machine()
    yield f"""# A file of predictions

{rows:,} rows of Parquet ({size / 1e6:,.0f} MB): float64 probabilities, int8 labels and
{GROUPS} different strings, on {about["cpus"]} CPUs of {about["cpu"]}. Whole processes, imports and all,
by turns: the median of {len(rounds)}. Reading alone is
`pyarrow.parquet.ParquetFile(path).iter_batches(columns=...)` of the columns that are needed,
`pyarrow.csv.open_csv` for CSV (a sixth of the rows), `pyarrow.json.open_json` for JSON lines (a
twelfth). DuckDB has {THREADS} threads. The mean of fastxent is within
{max(error(rounds, want), 1e-17):.0e} of that of the whole array in memory.
`python benchmarks/files.py` measures these again.
"""
    yield "| | seconds | peak MiB | speed of reading alone |"
    yield "| --- | ---: | ---: | ---: |"
    for of, who in rounds[0]:
        runs = [r[of, who] for r in rounds]
        seconds = statistics.median(r.seconds for r in runs)
        mib = max(r.mib for r in runs)
        share = share_of_reading(rounds, of, who)
        yield f"| {NAMES[of]}: {who} | {seconds:.2f} | {mib:,.0f} | {share:.2f} × |"


if __name__ == "__main__":
    main()

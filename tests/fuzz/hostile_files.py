"""Hostile files for ``fastxent score``: real ones of every format, with bytes that are changed.

`main` scores many of them. Of each it is asked that the exit status is 0 or 2, that an error is one
line, that nothing takes 10 s, and that the process stays under 1 GiB.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gzip
import io
import json
import re
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq

from fastxent.__main__ import main as fastxent

SECONDS, MIB = 10, 1024
N = 300
RNG = np.random.default_rng(2)
P = RNG.random(N)
Y = RNG.integers(0, 2, N)
COLUMNS = {
    "y": Y,
    "p": P,
    "w": RNG.random(N).astype(np.float32),
    "answer": np.where(Y, "yes", "no"),
    "key": np.array(["at", "ch", "de"])[RNG.integers(0, 3, N)],
}
PAIRS = pa.ListArray.from_arrays(np.arange(0, 2 * N + 1, 2), np.stack([1 - P, P], 1).ravel())
TABLE = pa.table(COLUMNS).append_column("pair", PAIRS)
FLAT = TABLE.drop_columns("pair")
OPTIONS = [
    ["--label", "y", "--proba", "p"],
    ["--label", "answer", "--proba", "p", "--positive", "yes", "--weight", "w"],
    ["--label", "y", "--proba", "p", "--by", "key", "--json"],
    ["--label", "y", "--proba", "p", "--only", "key=at,ch", "--nan-policy", "omit"],
    ["--label", "y", "--proba", "pair", "--by", "key", "--by", "answer"],
    ["--label", "y", "--logits", "p*", "--verbose"],
    ["--label", "y", "--proba", "p", "--compare", "w"],
]
NUMBERED = ["--label", "0", "--proba", "1"]


def lines(table: pa.Table, path: str) -> None:
    text = "".join(json.dumps(row) + "\n" for row in table.to_pylist())
    Path(path).write_text(text, "utf-8")


def stream(table: pa.Table, path: str) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)


def parquet(**options: object) -> Callable[[pa.Table, str], None]:
    return lambda table, path: pq.write_table(table, path, **options)


def feather(how: str) -> Callable[[pa.Table, str], None]:
    return lambda table, path: pyarrow.feather.write_feather(table, path, how, chunksize=100)


def orc(how: str) -> Callable[[pa.Table, str], None]:
    return lambda table, path: pyarrow.orc.write_table(table, path, compression=how)


def arrays(save: Callable[..., None]) -> Callable[[pa.Table, str], None]:
    pair = np.stack([1 - P, P], 1)
    return lambda _, path: save(path, **{**COLUMNS, "pair": np.asfortranarray(pair)})


def zipped(_: pa.Table, path: str) -> None:
    out = io.BytesIO()
    pyarrow.csv.write_csv(FLAT, out)
    Path(path).write_bytes(gzip.compress(out.getvalue()))


def packed(table: pa.Table, path: str) -> None:
    text = "".join(json.dumps(row) + "\n" for row in table.to_pylist())
    with pa.CompressedOutputStream(path, "zstd") as out:
        out.write(text.encode())


#: How each file is written, by its name.
FILES: dict[str, Callable[[pa.Table, str], None]] = {
    "snappy.parquet": parquet(row_group_size=100),
    "plain.parquet": parquet(compression="none", use_dictionary=False, data_page_version="2.0"),
    "zstd.parquet": parquet(compression="zstd", write_page_index=True),
    "lz4.feather": feather("lz4"),
    "plain.feather": feather("uncompressed"),
    "stream.arrows": stream,
    "zlib.orc": orc("zlib"),
    "plain.orc": orc("uncompressed"),
    "plain.csv": lambda _, path: pyarrow.csv.write_csv(FLAT, path),
    "packed.csv.gz": zipped,
    "plain.jsonl": lines,
    "packed.jsonl.zst": packed,
    "matrix.npy": lambda _, path: np.save(path, np.stack([Y, P], 1)),
    "fortran.npy": lambda _, path: np.save(path, np.asfortranarray(np.stack([Y, P], 1))),
    "plain.npz": arrays(np.savez),
    "packed.npz": arrays(np.savez_compressed),
}


# ------------------------------------------------------------------------------------- mutations


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one to four changes."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not out:
            break
        [flip, noise, number, cut, drop, repeat, insert][int(rng.integers(7))](out, rng)
    return bytes(out)


def place(out: bytearray, rng: np.random.Generator) -> int:
    """Anywhere, but half the time near an end, where the footers and headers are."""
    n = len(out)
    near = min(n, 600)
    return int(
        [rng.integers(n), rng.integers(n), rng.integers(near), n - 1 - rng.integers(near)][
            int(rng.integers(4))
        ]
    )


def flip(out: bytearray, rng: np.random.Generator) -> None:
    out[place(out, rng)] ^= 1 << int(rng.integers(8))


def noise(out: bytearray, rng: np.random.Generator) -> None:
    at = place(out, rng)
    out[at : at + 4] = rng.bytes(min(4, len(out) - at))


def number(out: bytearray, rng: np.random.Generator) -> None:
    """A length that is none."""
    size = int(rng.choice([1, 2, 4, 8]))
    at = place(out, rng)
    value = int(rng.choice([0, -1, 127, 2**15, 2**31 - 1, 2**31, 2**40, -(2**31), 2**62]))
    out[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")[: len(out) - at]


def cut(out: bytearray, rng: np.random.Generator) -> None:
    del out[place(out, rng) :]


def drop(out: bytearray, rng: np.random.Generator) -> None:
    at = place(out, rng)
    del out[at : at + int(rng.integers(1, 40))]


def repeat(out: bytearray, rng: np.random.Generator) -> None:
    at = place(out, rng)
    out[at:at] = out[at : at + int(rng.integers(1, 200))]


def insert(out: bytearray, rng: np.random.Generator) -> None:
    at = place(out, rng)
    out[at:at] = rng.bytes(int(rng.integers(1, 20)))


# --------------------------------------------------------------------------------------- scoring


def outcome(path: Path, options: list[str]) -> int:
    """Score a file; the exit status, once the output has been checked."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = fastxent(["score", str(path), *options])
    text = err.getvalue()
    assert status in (0, 2), (status, text)
    assert all(line.startswith("fastxent: ") for line in text.splitlines()), text
    if status == 2:
        assert out.getvalue() == "" and "Traceback" not in text, text
        assert sum(f"fastxent: {path}" in line for line in text.splitlines()) >= 1, text
    return status


def peak() -> int:
    """The most memory that this process has had, in MiB: `ru_maxrss` counts its parent's, too."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        assert found is not None
        return int(found[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def trials(name: str, first: int, count: int, folder: Path) -> Iterator[tuple[int, int]]:
    """The number of each trial, and its exit status."""
    path = folder / name
    FILES[name](TABLE, str(path))
    data = path.read_bytes()
    for i in range(first, first + count):
        rng = np.random.default_rng([i, list(FILES).index(name)])
        options = NUMBERED if name.endswith(".npy") else OPTIONS[i % len(OPTIONS)]
        path.write_bytes(mutated(data, rng))
        print(i, file=sys.stderr, flush=True)  # after a crash the last one is known
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        status = outcome(path, options)
        faulthandler.cancel_dump_traceback_later()
        assert peak() < MIB, f"{name}, trial {i}: {peak():,} MiB"
        yield i, status


def main() -> None:
    """A file of `FILES`, the first trial, and their number are the program's arguments."""
    faulthandler.enable()
    name, first, count = sys.argv[1], *map(int, sys.argv[2:])
    with tempfile.TemporaryDirectory() as folder:
        statuses = [status for _, status in trials(name, first, count, Path(folder))]
    print(statuses.count(0), statuses.count(2), peak())

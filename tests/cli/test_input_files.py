"""Files as people have them: rows and columns that are chosen, data sets, formats, pipes."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastxent
from fastxent.__main__ import main

pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq

pytestmark = pytest.mark.peers

N = 90_000  # several batches
RNG = np.random.default_rng(17)
Z = RNG.normal(0, 2, (N, 3))
P3 = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
CLASSES = RNG.integers(0, 3, N)
Y = (CLASSES == 0).astype(np.int8)
P = P3[:, 0].copy()
COUNTRY = np.array(["at", "ch", "01", "de,at"])[RNG.integers(0, 4, N)]
SPLIT = np.array(["test", "train"])[RNG.integers(0, 2, N)]
YEAR = RNG.integers(2020, 2023, N)
COLUMNS = {"country": COUNTRY, "y": Y, "p": P, "split": SPLIT, "year": YEAR, "class": CLASSES}
TABLE = pa.table({**COLUMNS, **{f"p_{k}": P3[:, i] for i, k in enumerate("cab")}})
COMMAND = ("--label", "y", "--proba", "p")


def jsonl(table, path):
    names = table.column_names
    rows = zip(*(table[name].to_pylist() for name in names), strict=True)
    lines = [json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows]
    Path(path).write_text("".join(lines), "utf-8")


def stream(table, path):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=20_000)


def compressed(write, ending, how):
    def write_compressed(table, path):
        plain = path.removesuffix(ending)
        write(table, plain)
        with pa.CompressedOutputStream(path, how) as out:
            out.write(Path(plain).read_bytes())

    return write_compressed


WRITERS = {
    "a.parquet": lambda table, path: pq.write_table(table, path, row_group_size=20_000),
    "a.feather": pyarrow.feather.write_feather,
    "a.arrows": stream,
    "a.orc": pyarrow.orc.write_table,
    "a.csv": pyarrow.csv.write_csv,
    "a.csv.gz": compressed(pyarrow.csv.write_csv, ".gz", "gzip"),
    "a.csv.zst": compressed(pyarrow.csv.write_csv, ".zst", "zstd"),
    "a.jsonl": jsonl,
    "a.json.gz": compressed(jsonl, ".gz", "gzip"),
    "a.ndjson.zst": compressed(jsonl, ".zst", "zstd"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, write in WRITERS.items():
        write(TABLE, str(folder / name))
    np.savez(folder / "a.npz", **COLUMNS)
    return folder


def record(capsys, *arguments):
    assert main(["score", *map(str, arguments), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def fault(capsys, *arguments):
    """The one line, without the name of the program."""
    assert main(["score", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err.removeprefix("fastxent: ").rstrip()


def loss(rows):
    return fastxent.binary_cross_entropy(Y[rows], P[rows])


# ---- --only --------------------------------------------------------------------------------------

ONLY = [
    (("split=test",), SPLIT == "test"),
    (("country=at,ch",), np.isin(COUNTRY, ["at", "ch"])),
    (("country=01", "year=2021"), (COUNTRY == "01") & (YEAR == 2021)),
    (("country=01", "country=at,01"), COUNTRY == "01"),
    (("y=1",), Y == 1),
]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrows", "a.orc", "a.csv", "a.jsonl", "a.npz"])
@pytest.mark.parametrize("only, rows", ONLY)
def test_only_some_rows(folder, capsys, name, only, rows):
    more = [argument for one in only for argument in ("--only", one)]
    got = record(capsys, folder / name, *COMMAND, *more)
    assert got["rows"] == got["count"] == rows.sum()
    assert got["mean"] == pytest.approx(loss(rows), rel=1e-13)


@pytest.mark.parametrize("name", ["a.parquet", "a.orc", "a.csv", "a.jsonl"])
def test_errors_of_chosen_rows_name_the_row_of_the_file(tmp_path, capsys, name):
    p = P.copy()
    p[70_000] = 1.5
    where = np.where(np.arange(N) >= 65_001, "b", "a")
    WRITERS[name](pa.table({"y": Y, "p": p, "key": where}), str(tmp_path / name))
    text = fault(capsys, tmp_path / name, *COMMAND, "--only", "key=b")
    assert text.startswith(f"{tmp_path / name}, row 70,001, column p: 1.5 is outside")
    assert record(capsys, tmp_path / name, *COMMAND, "--only", "key=a")["rows"] == 65_001


def test_only_reads_the_row_groups_that_it_needs(tmp_path, capsys):
    table = pa.table({"y": Y, "p": P, "key": np.arange(N) // 30_000, "text": SPLIT})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=30_000, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(1)
    data[column.data_page_offset] ^= 0xFF
    path.write_bytes(data)
    fault(capsys, path, *COMMAND)
    got = record(capsys, path, *COMMAND, "--only", "key=2")
    assert got["mean"] == pytest.approx(loss(slice(60_000, None)), rel=1e-13)


def test_only_null_and_empty(tmp_path, capsys):
    table = pa.table({"y": [1, 0, 1], "p": [0.5, 0.25, 0.5], "key": ["", None, "a"]})
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        WRITERS[name](table, str(tmp_path / name))
        assert record(capsys, tmp_path / name, *COMMAND, "--only", "key=")["rows"] == 2
        assert record(capsys, tmp_path / name, *COMMAND, "--only", "key=a,")["rows"] == 3


def test_only_of_other_types(tmp_path, capsys):
    columns = {
        "bool": pa.array([True, False, None]),
        "float": pa.array([0.5, 1.0, 2.0], pa.float32()),
        "date": pa.array([0, 1, 2], pa.date32()),
        "category": pa.array(["a", "b", None]).dictionary_encode(),
        "decimal": pa.array([0, 1, 2]).cast(pa.decimal128(20, 1)),
    }
    pq.write_table(pa.table({"y": [1, 0, 1], "p": [0.5, 0.25, 0.5], **columns}), tmp_path / "a.pq")
    for only in ("bool=true", "float=0.5", "date=1970-01-01", "category=a", "decimal=0"):
        got = record(capsys, tmp_path / "a.pq", *COMMAND, "--only", only)
        assert (got["rows"], got["mean"]) == (1, pytest.approx(np.log(2), rel=1e-14)), only
    text = fault(capsys, tmp_path / "a.pq", *COMMAND, "--only", "bool=maybe")
    assert text.endswith(
        "column bool: --only bool=maybe: 'maybe' is not a value of a column of bool"
    )


def test_only_nothing(folder, capsys):
    path = folder / "a.parquet"
    text = fault(capsys, path, *COMMAND, "--only", "split=tset", "--only", "y=1")
    assert text == f"{path}: no rows with split=tset with y=1"
    assert "no column 'spilt'" in fault(capsys, path, *COMMAND, "--only", "spilt=test")
    with pytest.raises(SystemExit):
        main(["score", str(path), *COMMAND, "--only", "split"])
    assert "'split' is not COLUMN=VALUE" in capsys.readouterr().err


# ---- patterns of columns -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.parquet", "a.arrows", "a.orc", "a.csv", "a.jsonl"])
def test_columns_by_pattern_are_in_the_order_of_the_file(folder, capsys, name):
    command = ["score", str(folder / name), "--label", "class", "--proba", "p_*", "--verbose"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert float(out) == pytest.approx(fastxent.categorical_cross_entropy(CLASSES, P3), rel=1e-13)
    assert err == "fastxent: p_*: p_c, p_a, p_b\n"


def test_names_that_match_a_pattern_are_printable(tmp_path, capsys):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"y": [1], "p\x1b[2J\n": [0.5]}), path)
    assert main(["score", str(path), "--label", "y", "--proba", "p*", "--verbose"]) == 0
    assert capsys.readouterr().err == "fastxent: p*: p\\x1b[2J\\n\n"


def test_patterns_leave_other_roles_out_and_must_match(tmp_path, capsys):
    table = pa.table({"p_true": CLASSES, **{f"p_{i}": P3[:, i] for i in range(3)}, "p*": P})
    pq.write_table(table, tmp_path / "a.parquet")
    got = record(capsys, tmp_path / "a.parquet", "--label", "p_true", "--proba", "p_*")
    want = fastxent.categorical_cross_entropy(CLASSES, P3)
    assert got["mean"] == pytest.approx(want, rel=1e-13)
    text = fault(capsys, tmp_path / "a.parquet", "--label", "p_true", "--proba", "q_*")
    assert "no column matches 'q_*': the columns are p_true, p_0, p_1, p_2, p*" in text
    pq.write_table(pa.table({"y": Y, "p*": P, "p2": P}), tmp_path / "b.parquet")  # a name after all
    got = record(capsys, tmp_path / "b.parquet", "--label", "y", "--proba", "p*")
    assert got["loss"] == "binary_cross_entropy"


# ---- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*WRITERS, "a.npz"])
def test_formats_by_name_and_from_standard_input(folder, capsys, monkeypatch, name):
    assert record(capsys, folder / name, *COMMAND)["mean"] == pytest.approx(loss(...), rel=1e-13)
    data = io.BytesIO((folder / name).read_bytes())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(data))
    assert record(capsys, "-", *COMMAND)["mean"] == pytest.approx(loss(...), rel=1e-13)


def test_a_pipe_of_many_blocks():
    code = (
        "import sys\nout = sys.stdout.buffer\nout.write(b'y,p\\n')\n"
        "for _ in range(300): out.write(b'1,0.5\\n0,0.25\\n' * 5000)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    command = [sys.executable, "-P", "-m", "fastxent", "score", "-", *COMMAND, "--json"]
    done = subprocess.run(command, stdin=writer.stdout, capture_output=True, text=True)
    writer.stdout.close()
    assert writer.wait() == 0 and done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["rows"] == 3_000_000
    assert got["mean"] == pytest.approx((np.log(2) - np.log(0.75)) / 2, rel=1e-13)


@pytest.mark.parametrize("name", ["a.parquet", "a.orc", "a.feather"])
def test_content_counts_whatever_the_name(folder, tmp_path, capsys, name):
    data = (folder / name).read_bytes()
    for other in ("part-0", "b.csv", "c.dat"):
        (tmp_path / other).write_bytes(data)
        got = record(capsys, tmp_path / other, *COMMAND)
        assert got["mean"] == pytest.approx(loss(...), rel=1e-13)
    assert record(capsys, tmp_path, *COMMAND)["files"] == 3


JSON = [
    (b'{"y":1,"p":0.5}\n{"y":0,"p":"x"}\n', ", row 2, column p: changed from number to string"),
    (b'{"y":1,"p":0.5}\n{"y":0,"p":0.5\n', ", row 2: Missing a comma or '}'"),
    (b'[{"y":1,"p":0.5}]', ", row 1: an array: JSON lines are read, one object per line"),
    (b'{"y":1,"p":0.5}\n{"y":0}\n', ", row 2, column p: null"),
    (b'{"y":1,"p":1.5}\n', ", row 1, column p: 1.5 is outside"),
]


@pytest.mark.parametrize("data, text", JSON)
def test_lines_of_json(tmp_path, capsys, data, text):
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    assert fault(capsys, path, *COMMAND).startswith(f"{path}{text}")


def test_the_row_of_a_json_error_in_a_later_block(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    good = b'{"y":1,"p":0.5}\n' * 600_000
    path.write_bytes(good + b'{"y":1,"p":"x"}\n' + good)
    assert fault(capsys, path, *COMMAND).startswith(f"{path}, row 600,001, column p: changed")


def test_values_of_json(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"y":true,"p":[1,0],"when":"2020-01-01"}\n\n{"p":[0.25,0.75],"y":false,"when":"x"}\n'
    )
    got = record(
        capsys, path, "--label", "y", "--proba", "p", "--by", "when", "--classes", "true,false"
    )
    assert {g["group"]: g["mean"] for g in got["groups"]} == pytest.approx(
        {"2020-01-01": 0.0, "x": -np.log(0.75)}, abs=1e-12
    )


# ---- data sets -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def partitioned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    schema = pa.schema([("split", pa.string()), ("country", pa.string())])
    partitioning = ds.partitioning(schema, flavor="hive")
    ds.write_dataset(TABLE, folder, format="parquet", partitioning=partitioning)
    (folder / "_SUCCESS").touch()
    (folder / "README").write_text("not data")
    (folder / "split=test" / ".part.crc").write_bytes(b"crc")
    return folder


def test_folders_are_columns(partitioned, capsys):
    got = record(capsys, partitioned, *COMMAND, "--by", "country")
    assert (got["files"], got["rows"]) == (8, N)
    groups = {g["group"]: g["mean"] for g in got["groups"]}
    assert groups == pytest.approx({c: loss(c == COUNTRY) for c in np.unique(COUNTRY)}, rel=1e-13)
    got = record(capsys, partitioned, *COMMAND, "--only", "split=test", "--only", "country=01,at")
    rows = (SPLIT == "test") & np.isin(COUNTRY, ["01", "at"])
    assert (got["rows"], got["mean"]) == (rows.sum(), pytest.approx(loss(rows), rel=1e-13))
    text = fault(capsys, partitioned, *COMMAND, "--by", "countri")
    assert text.endswith("country, split; did you mean 'country'?")


def test_folders_that_do_not_match_are_not_opened(tmp_path, capsys):
    for key in ("a", "b"):
        (tmp_path / f"key={key}").mkdir()
        pq.write_table(TABLE, tmp_path / f"key={key}" / "a.parquet")
    bad = tmp_path / "key=b" / "a.parquet"
    bad.write_bytes(bad.read_bytes()[:1000])
    assert record(capsys, tmp_path, *COMMAND, "--only", "key=a")["rows"] == N
    fault(capsys, tmp_path, *COMMAND)


def test_empty_text_files_of_a_directory_have_no_rows(tmp_path, capsys):
    pyarrow.csv.write_csv(TABLE, tmp_path / "part-0.csv")
    (tmp_path / "part-1.csv").touch()
    (tmp_path / "part-2.jsonl").touch()
    with pa.CompressedOutputStream(tmp_path / "part-3.csv.gz", "gzip") as out:
        out.write(b"")
    (tmp_path / "part-4.csv").write_text("y,p\n")
    got = record(capsys, tmp_path, *COMMAND)
    assert (got["rows"], got["mean"]) == (N, pytest.approx(loss(...), rel=1e-13))
    assert fault(capsys, tmp_path / "part-1.csv", *COMMAND).endswith("the file is empty")
    assert fault(capsys, tmp_path / "part-3.csv.gz", *COMMAND).endswith(": no rows")


def test_files_of_other_orders_and_types(tmp_path, capsys):
    half = N // 2
    first = pa.table({"y": Y[:half], "p": P[:half], "year": YEAR[:half]})
    second = {"year": YEAR[half:].astype(str), "p": P[half:], "y": Y[half:] == 1}
    for names in (("a.parquet", "b.csv"), ("b.csv", "c.orc"), ("c.jsonl", "a.arrows")):
        for name in names:
            ending = "a." + name.rpartition(".")[2]
            table = first if name == names[0] else pa.table(second)
            WRITERS[ending](table, str(tmp_path / name))
        got = record(capsys, *(tmp_path / name for name in names), *COMMAND, "--by", "year")
        groups = {str(g["group"]): g["mean"] for g in got["groups"]}
        assert groups == pytest.approx({str(y): loss(y == YEAR) for y in range(2020, 2023)})


def test_uris(folder, capsys):
    fsspec = pytest.importorskip("fsspec", reason="memory:// is one of fsspec's")
    got = record(capsys, f"file://{folder}/a.parquet", folder / "a.parquet", *COMMAND)
    assert (got["files"], got["rows"]) == (1, N)
    memory = fsspec.filesystem("memory")
    memory.pipe("/run/key=a/x.csv", b"y,p\n1,0.5\n")
    memory.pipe("/run/key=b/y.parquet", (folder / "a.parquet").read_bytes())
    got = record(capsys, "memory://run", *COMMAND, "--by", "key")
    assert [(g["group"], g["count"]) for g in got["groups"]] == [("a", 1), ("b", N)]
    got = record(capsys, "memory://run/key=b", *COMMAND)
    assert got["mean"] == pytest.approx(loss(...), rel=1e-13)
    assert "no such file" in fault(capsys, "memory://no", *COMMAND)
    assert fault(capsys, "zz://user:secret@x/y?z", *COMMAND) == (
        "zz://x/y: Unrecognized filesystem type in URI: zz://x/y"
    )
    assert "no such file" in fault(capsys, f"file://{folder}/no?.parquet", *COMMAND)
    for pattern in (
        f"{folder}/a.p*",
        f"{folder}/*.parquet",
        f"{folder.parent}/**/{folder.name}/a.p*",
    ):
        assert record(capsys, f"file://{pattern}", *COMMAND)["rows"] == N
    text = f"file://{folder}/*.none: no file matches this pattern"
    assert fault(capsys, f"file://{folder}/*.none", *COMMAND) == text

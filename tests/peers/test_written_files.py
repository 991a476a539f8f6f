"""Some 60 files, as other programs write the same rows: each is scored to the same number."""

import csv
import gzip
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import fastxent
from fastxent.__main__ import main

pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")
pytest.importorskip("pandas", reason="files are written by pandas")
pytest.importorskip("polars", reason="files are written by polars")
pytest.importorskip("duckdb", reason="files are written by DuckDB")

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq

pytestmark = pytest.mark.peers

N = 500
RNG = np.random.default_rng(60)
P = RNG.random(N)
Y = (RNG.random(N) < P).astype(np.int64)
ANSWER = np.where(Y == 1, "yes", "no")
COUNTRY = np.array(["at", "ch", "de, at", 'a "b"', "01"])[RNG.integers(0, 5, N)]
COLUMNS = {"y": Y, "p": P, "answer": ANSWER, "country": COUNTRY}
FRAME, POLARS, TABLE = pd.DataFrame(COLUMNS), pl.DataFrame(COLUMNS), pa.table(COLUMNS)
WANTED = fastxent.binary_cross_entropy(Y, P)

PLAIN = ("--label", "y", "--proba", "p")
YES = ("--label", "answer", "--proba", "p", "--positive", "yes")
COMMA = (*PLAIN, "--decimal", ",")


def case(writer, name, write, *options):
    """A file by its writer, its name, how it is written, and the options that it needs."""
    return pytest.param(name, write, options or PLAIN, id=f"{writer}: {name}")


def pandas_files():
    def of(name, write, *options):
        return case("pandas", name, write, *options)

    mixed = FRAME.astype({"y": "Int8", "p": "Float64", "answer": "category", "country": "string"})
    yield of("index.csv", FRAME.to_csv)
    yield of("plain.csv", lambda path: FRAME.to_csv(path, index=False), *YES)
    yield of("plain.csv.gz", lambda path: FRAME.to_csv(path, index=False))
    yield of("plain.csv.bz2", lambda path: FRAME.to_csv(path, index=False))
    yield of("plain.tsv", lambda path: FRAME.to_csv(path, index=False, sep="\t"))
    yield of("bar.txt", lambda path: FRAME.to_csv(path, index=False, sep="|"), *YES)
    yield of(
        "german.csv", lambda path: FRAME.to_csv(path, index=False, sep=";", decimal=","), *COMMA
    )
    yield of("quoted.csv", lambda path: FRAME.to_csv(path, index=False, quoting=csv.QUOTE_ALL))
    yield of("bool.csv", lambda path: FRAME.assign(y=FRAME.y == 1).to_csv(path, index=False))
    yield of("float.csv", lambda path: FRAME.assign(y=FRAME.y * 1.0).to_csv(path, index=False))
    yield of(
        "nothing.csv",
        lambda path: FRAME.to_csv(path, index=False, header=False),
        *("--label", "0", "--proba", "1", "--no-header"),
    )
    yield of("utf8.csv", lambda path: FRAME.to_csv(path, index=False, encoding="utf-8-sig"), *YES)

    def lines(path):
        FRAME.to_json(path, orient="records", lines=True, double_precision=15)

    yield of("lines.jsonl", lines, *YES)
    yield of("lines.json.gz", lines)
    yield of("plain.parquet", FRAME.to_parquet, *YES)
    yield of("mixed.parquet", mixed.to_parquet, *YES)
    yield of("index.parquet", FRAME.set_index("country").to_parquet)
    yield of("folders", lambda path: FRAME.to_parquet(path, partition_cols=["country"]), *YES)
    yield of("plain.feather", FRAME.to_feather)
    yield of("mixed.feather", mixed.to_feather, *YES)
    yield of("plain.orc", FRAME.to_orc, *YES)


def polars_files():
    def of(name, write, *options):
        return case("polars", name, write, *options)

    mixed = POLARS.with_columns(
        pl.col("answer").cast(pl.Enum(["no", "yes"])), pl.col("country").cast(pl.Categorical)
    )
    yield of("plain.csv", POLARS.write_csv, *YES)
    yield of("german.csv", lambda path: POLARS.write_csv(path, separator=";"))
    yield of("quoted.csv", lambda path: POLARS.write_csv(path, quote_style="always"), *YES)
    yield of(
        "bom.csv", lambda path: POLARS.write_csv(path, include_bom=True, line_terminator="\r\n")
    )
    yield of("lines.ndjson", POLARS.write_ndjson, *YES)
    for how in ("zstd", "snappy", "gzip", "brotli", "lz4", "uncompressed"):
        yield of(
            f"{how}.parquet",
            lambda path, how=how: POLARS.write_parquet(path, compression=how),
            *YES,
        )
    yield of("mixed.parquet", mixed.write_parquet, *YES)
    yield of("plain.arrow", POLARS.write_ipc, *YES)
    yield of("zstd.arrow", lambda path: mixed.write_ipc(path, compression="zstd"), *YES)
    yield of("stream.arrows", POLARS.write_ipc_stream, *YES)


def duckdb_files():
    def of(name, options, select="*", *more):
        def write(path):
            with duckdb.connect() as connection:
                connection.register("rows", TABLE)
                connection.sql(f"copy (select {select} from rows) to '{path}' ({options})")

        return case("DuckDB", name, write, *more)

    yield of("plain.csv", "header", "*", *YES)
    yield of("german.csv", "header, delimiter ';'")
    yield of("plain.csv.gz", "header, compression gzip")
    yield of("plain.csv.zst", "header, compression zstd")
    yield of("nothing.csv", "header false", "*", "--label", "0", "--proba", "1", "--no-header")
    yield of("lines.json", "format json", "*", *YES)
    yield of("lines.json.gz", "format json, compression gzip")
    yield of("plain.parquet", "format parquet", "*", *YES)
    yield of("zstd.parquet", "format parquet, compression zstd, row_group_size 100")
    yield of("second.parquet", "format parquet, parquet_version v2", "*", *YES)
    yield of(
        "mixed.parquet",
        "format parquet",
        "y::utinyint::decimal(3, 1) as y, p, answer::enum('no', 'yes') as answer",
    )
    yield of("bool.parquet", "format parquet", "y = 1 as y, p")
    yield of("folders", "format parquet, partition_by (country)", "*", *YES)
    yield of("text folders", "format csv, partition_by (answer)", "*", *YES)


def arrow_files():
    def of(name, write, *options):
        return case("pyarrow", name, write, *options)

    def parquet(table=TABLE, **options):
        return lambda path: pq.write_table(table, path, **options)

    def typed(y, p=None):
        return pa.table({"y": y, "p": P if p is None else p})

    yield of("first.parquet", parquet(version="1.0"), *YES)
    yield of("pages.parquet", parquet(data_page_version="2.0", data_page_size=512), *YES)
    encoded = {"y": "DELTA_BINARY_PACKED", "p": "BYTE_STREAM_SPLIT", "answer": "DELTA_BYTE_ARRAY"}
    yield of("encoded.parquet", parquet(use_dictionary=False, column_encoding=encoded), *YES)
    large = TABLE.schema.set(2, pa.field("answer", pa.large_string()))
    yield of("text", parquet(TABLE.cast(large)), *YES)
    yield of("decimal.parquet", parquet(typed(pa.array(Y).cast(pa.decimal128(20, 1)))))
    yield of("unsigned.parquet", parquet(typed(pa.array(Y, pa.uint16()))))
    pairs = pa.FixedSizeListArray.from_arrays(pa.array(np.stack([1 - P, P], 1).ravel()), 2)
    yield of("list.parquet", parquet(typed(Y, pairs)))
    for how in ("uncompressed", "lz4", "zstd"):
        yield of(
            f"{how}.feather",
            lambda path, how=how: pyarrow.feather.write_feather(TABLE, str(path), compression=how),
            *YES,
        )
    for how in ("uncompressed", "zlib", "snappy", "zstd"):
        yield of(
            f"{how}.orc",
            lambda path, how=how: pyarrow.orc.write_table(TABLE, str(path), compression=how),
            *YES,
        )
    yield of("plain.csv", lambda path: pyarrow.csv.write_csv(TABLE, str(path)), *YES)

    def folders(path):
        keys = ds.partitioning(pa.schema([("country", pa.string())]), flavor="hive")
        ds.write_dataset(TABLE, path, format="ipc", partitioning=keys)

    yield of("folders", folders, *YES)


def other_files():
    def lines(path, separators=None, quoting=csv.QUOTE_MINIMAL, dialect="excel", **options):
        with Path(path).open("w", newline="", **options) as file:
            writer = csv.writer(file, dialect, quoting=quoting, delimiter=separators or ",")
            writer.writerow(COLUMNS)
            decimal = "," if separators == ";" else "."
            for y, p, answer, country in zip(
                *map(np.ndarray.tolist, COLUMNS.values()), strict=True
            ):
                writer.writerow([y, repr(p).replace(".", decimal), answer, country])

    def json_lines(path):
        with gzip.open(path, "wt", encoding="utf-8") as file:
            for i, row in enumerate(zip(*map(np.ndarray.tolist, COLUMNS.values()), strict=True)):
                named = list(zip(COLUMNS, row, strict=True))
                file.write(json.dumps(dict(named[:: -1 if i % 2 else 1]), indent=None) + "\r\n")

    def sheet(path):  # as a spreadsheet saves "CSV UTF-8" where numbers have decimal commas
        lines(path, ";", encoding="utf-8-sig")

    yield case("csv module", "excel.csv", lines, *YES)
    yield case("csv module", "unix.csv", lambda p: lines(p, quoting=csv.QUOTE_ALL, dialect="unix"))
    yield case("spreadsheet", "sheet.csv", sheet, *COMMA)
    yield case("spreadsheet", "tabs.txt", lambda path: lines(path, "\t", encoding="utf-8"), *YES)
    yield case("json module", "lines.jsonl.gz", json_lines, *YES)
    header = {"delimiter": ",", "header": "y,p", "comments": "", "fmt": "%.17g"}
    pair = np.stack([Y, P], 1)
    yield case("NumPy", "text.csv", lambda path: np.savetxt(path, pair, **header))
    numbered = ("--label", "0", "--proba", "1")
    yield case("NumPy", "matrix.npy", lambda path: np.save(path, pair), *numbered)
    record = np.rec.fromarrays([Y, P], names="y,p")
    yield case("NumPy", "fields.npy", lambda path: np.save(path, record))
    yield case("NumPy", "arrays.npz", lambda path: np.savez(path, **COLUMNS), *YES)
    yield case("NumPy", "packed.npz", lambda path: np.savez_compressed(path, y=Y, p=P))


CASES = [
    *pandas_files(),
    *polars_files(),
    *duckdb_files(),
    *arrow_files(),
    *other_files(),
]


def mean(capsys, path, options):
    status = main(["score", str(path), *options])
    out, err = capsys.readouterr()
    assert (status, err) == (0, ""), err
    return float(out)


@pytest.mark.parametrize("name, write, options", CASES)
def test_a_file_of_another_program(tmp_path, capsys, name, write, options):
    write(tmp_path / name)
    assert mean(capsys, tmp_path / name, options) == pytest.approx(WANTED, rel=1e-12)


def form(name):
    """The format of a file by the end of its name, a folder's by its name."""
    path = Path(name)
    return "".join(path.suffixes[-2:]) if ".gz" in name or ".zst" in name else path.suffix or name


def test_the_table_of_writers_and_formats(capsys):
    ids = [param.id.split(": ") for param in CASES]
    assert len(ids) >= 60
    writers = list(dict.fromkeys(writer for writer, _ in ids))
    with capsys.disabled():
        print()
        for ending in sorted({form(name) for _, name in ids}):
            counts = [sum(w == writer and form(n) == ending for w, n in ids) for writer in writers]
            cells = (f"{writer} {n}" for writer, n in zip(writers, counts, strict=True) if n)
            print(f"{ending:14}", ", ".join(cells))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:PySpark does not yet:FutureWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_data_sets_of_spark(tmp_path, capsys, monkeypatch):
    pytest.importorskip("pyspark", reason="Spark writes data sets")
    if shutil.which("java") is None:
        pytest.skip("no java: Spark cannot be started")
    from pyspark.sql import SparkSession

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    FRAME.to_parquet(tmp_path / "rows.parquet")
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.getOrCreate()
    try:
        frame = spark.read.parquet(str(tmp_path / "rows.parquet")).repartition(3)
        for kind in ("parquet", "orc", "json", "csv"):
            for keys in ([], ["answer"], ["answer", "country"]):
                folder = tmp_path / "-".join([kind, *keys])
                writer = frame.write.partitionBy(*keys) if keys else frame.write
                writer.format(kind).option("header", "true").save(str(folder))
                assert (folder / "_SUCCESS").exists()
                got = mean(capsys, folder, YES)
                assert got == pytest.approx(WANTED, rel=1e-12), folder
        empty = tmp_path / "empty partitions"
        frame.where("y = 1").repartition(8, "answer").write.option("header", "true").csv(str(empty))
        got = mean(capsys, empty, PLAIN)
        want = fastxent.binary_cross_entropy(Y, P, where=Y == 1)
        assert got == pytest.approx(want, rel=1e-12)
    finally:
        spark.stop()

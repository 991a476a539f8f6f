"""``fastxent score`` of bad input: one line that says where and what, exit status 2."""

import re
import sys

import numpy as np
import pytest

from fastxent.__main__ import main

pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

pytestmark = pytest.mark.peers

N = 2000
Y = np.arange(N) % 2
P = np.linspace(0.01, 0.99, N)
NAMES = np.array(["a", "b"])[Y]
GOOD = {"y": Y, "p": P, "q": P, "name": NAMES}
COMMAND = ("--label", "y", "--proba", "p")


def changed(name, at, value):
    column = pa.array([*GOOD[name][:at].tolist(), value, *GOOD[name][at + 1 :].tolist()])
    return pa.table({**GOOD, name: column})


def fault(capsys, *arguments):
    """The one line, without the name of the program."""
    assert main(["score", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err.removeprefix("fastxent: ").rstrip()


@pytest.fixture
def file(tmp_path):
    def write(table, name="a.parquet"):
        path = str(tmp_path / name)
        if name.endswith(".parquet"):
            pq.write_table(table, path)
        elif name.endswith(".feather"):
            pyarrow.feather.write_feather(table, path)
        else:
            pyarrow.csv.write_csv(table, path)
        return path

    return write


ROWS = [
    ("p", 1.5, (), "column p: 1.5 is outside [0, 1]: is it a logit? Then use --logits"),
    ("p", None, (), "column p: null: fill it in, or leave such rows out with --nan-policy omit"),
    ("y", 2, (), "column y: 2 is not a valid label: labels are 0 and 1, or probabilities"),
    ("q", 7.0, ("--compare", "q"), "column q: 7.0 is outside [0, 1]: is it a logit?"),
    ("q", -1.0, ("--weight", "q"), "column q: -1.0 is not a finite number of at least 0"),
]


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.csv"])
@pytest.mark.parametrize("column, value, more, text", ROWS)
def test_a_bad_value(file, capsys, name, column, value, more, text):
    path = file(changed(column, 1233, value), name)
    if name == "a.csv":  # whose numbers are all floats
        text = text.replace("2 is not a valid label", "2.0 is outside [0, 1]")
    assert fault(capsys, path, *COMMAND, *more).startswith(f"{path}, row 1,234, {text}")


def test_nan(file, capsys):
    path = file(changed("p", 5, float("nan")))
    assert fault(capsys, path, *COMMAND) == (
        f"{path}, row 6, column p: NaN: fix it, or see --nan-policy"
    )


def test_a_probability_above_1_in_row_ten_million(tmp_path, capsys):
    path, n = tmp_path / "long.parquet", 10_000_001
    p = np.full(n, 0.25)
    p[9_999_999] = 1.25
    pq.write_table(pa.table({"y": np.ones(n, np.int8), "p": p}), path)
    text = f"{path}, row 10,000,000, column p: 1.25 is outside [0, 1]"
    assert fault(capsys, path, *COMMAND).startswith(text)


def test_the_file_is_the_one_of_several(file, capsys):
    good, bad = file(pa.table(GOOD)), file(changed("p", 3, 9.0), "b.csv")
    last = file(pa.table(GOOD), "c.csv")
    assert fault(capsys, good, bad, last, *COMMAND).startswith(f"{bad}, row 4, column p: 9.0")


def test_classes(file, capsys):
    path = file(pa.table({"y": [0, 1, 2], "p": [0.5, 0.5, 0.5], "q": [0.5, 0.5, 0.5]}))
    assert fault(capsys, path, "--label", "y", "--proba", "p,q").startswith(
        f"{path}, row 3, column y: 2 is not a valid class index: there are 2 columns of scores"
    )
    text = "0.5 is not a class index: use 0, 1, 2, …"
    assert (
        fault(capsys, path, "--label", "p", "--proba", "p,q") == f"{path}, row 1, column p: {text}"
    )


CSV = [
    (
        "1,0.5\nx,0.5\n",
        ", row 2, column y: labels 'x' and '1': name the one that counts as 1 with --positive",
    ),
    ("1,0.5\n1\n", ", row 2: Expected 2 columns, got 1: 1"),
    ("1,0.5\n0,0.5,1\n", ", row 2: Expected 2 columns, got 3: 0,0.5,1"),
    ("", ": no rows"),
]


@pytest.mark.parametrize("rows, text", CSV)
def test_lines_of_csv(tmp_path, capsys, rows, text):
    path = tmp_path / "a.csv"
    path.write_text("y,p\n" + rows)
    assert fault(capsys, path, *COMMAND) == f"{path}{text}"


def test_columns(file, capsys):
    path = file(pa.table(GOOD))
    text = f"{path}: no column 'names': the columns are y, p, q, name; did you mean 'name'?"
    assert fault(capsys, path, *COMMAND, "--by", "names") == text
    text = f"{path}, column name: expected numbers, found strings (string)"
    assert fault(capsys, path, "--label", "y", "--proba", "name") == text
    twice = file(pa.Table.from_arrays([pa.array([1]), pa.array([1])], ["y", "y"]))
    assert fault(capsys, twice, *COMMAND) == f"{twice}: 2 columns are called 'y'"


def test_files_that_are_not_there(tmp_path, capsys):
    path = tmp_path / "none.csv"
    assert fault(capsys, path, *COMMAND) == f"{path}: no such file or directory"
    assert fault(capsys, f"{path}*", *COMMAND) == f"{path}*: no file matches this pattern"
    assert fault(capsys, tmp_path, *COMMAND).startswith(f"{tmp_path}: no file in this directory")


@pytest.mark.parametrize("ending", ["parquet", "feather", "arrows", "csv", "csv.gz", "npy", "npz"])
def test_empty_files(tmp_path, capsys, ending):
    path = tmp_path / f"a.{ending}"
    path.touch()
    assert fault(capsys, path, *COMMAND) == f"{path}: the file is empty"


@pytest.mark.parametrize("ending", ["parquet", "feather", "npz", "npy", "csv.gz"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_truncated_files(tmp_path, capsys, ending, share):
    path = tmp_path / f"a.{ending}"
    table = pa.table({"y": Y, "p": P})
    if ending == "parquet":
        pq.write_table(table, path)
    elif ending == "feather":
        pyarrow.feather.write_feather(table, str(path))
    elif ending == "csv.gz":
        with pa.CompressedOutputStream(str(path), "gzip") as file:
            pyarrow.csv.write_csv(table, file)
    elif ending == "npz":
        np.savez(path, y=Y, p=P)
    else:
        np.save(path, np.stack([Y, P], 1))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    command = ("--label", "0", "--proba", "1") if ending == "npy" else COMMAND
    assert fault(capsys, path, *command).startswith(f"{path}")


@pytest.mark.parametrize("ending", ["parquet", "feather", "csv", "npy", "npz", "bin"])
def test_noise(tmp_path, capsys, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    assert fault(capsys, path, *COMMAND).startswith(f"{path}")


def test_arrays_of_an_archive(tmp_path, capsys):
    path = tmp_path / "a.npz"
    np.savez(path, y=Y, p=P[:-1])
    assert fault(capsys, path, *COMMAND) == f"{path}: the arrays differ in length: y 2,000, p 1,999"
    np.savez(path, y=Y.astype(object), p=P)
    assert "holds Python objects" in fault(capsys, path, *COMMAND)


@pytest.mark.parametrize(
    "module, extra", [("pyarrow", "cli"), ("rich", "cli"), ("matplotlib", "plot")]
)
def test_what_is_not_installed(file, capsys, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    text = f"fastxent score needs {module}: pip install 'fastxent[{extra}]'"
    assert fault(capsys, file(pa.table(GOOD)), *COMMAND, "--plot", "a.png") == text


def test_a_picture_that_cannot_be_written_is_refused_first(file, capsys, tmp_path):
    pytest.importorskip("matplotlib", reason="--plot draws with matplotlib")
    path = file(changed("p", 0, 5.0))
    for name, text in (("a.xyz", "unknown picture format"), ("no/a.png", "no such directory")):
        assert text in fault(capsys, path, *COMMAND, "--plot", tmp_path / name)


@pytest.mark.parametrize(
    "arguments, text",
    [
        ([], "the following arguments are required"),
        (["--label", "y"], "one of the arguments --proba --logits is required"),
        (["--label", "y", "--proba", "p,,q"], "'p,,q' names no column"),
        ([*COMMAND, "--reduction", "none", "--json"], "--reduction none goes with neither"),
        ([*COMMAND, "--compare", "q", "--reduction", "sum"], "--compare compares means"),
        ([*COMMAND, "--reduction", "none", "--worst", "3"], "--reduction none prints every loss"),
        ([*COMMAND, "--worst", "0"], "'0' is not an integer from 1 to 1000000"),
    ],
)
def test_options(capsys, arguments, text):
    with pytest.raises(SystemExit) as exit_:
        main(["score", "a.csv", *arguments])
    assert exit_.value.code == 2
    assert text in capsys.readouterr().err


def test_labels_that_are_names(file, capsys):
    path = file(pa.table(GOOD))
    named = (path, "--label", "name", "--proba", "p")
    text = f"{path}, row 1, column name: labels 'a' and 'b': name the one that counts as 1"
    assert fault(capsys, *named).startswith(text)
    third = file(changed("name", 41, "c"), "b.parquet")
    text = f"{third}, row 42, column name: a third label 'c', besides 'a' and --positive 'b'"
    assert fault(capsys, third, *named[1:], "--positive", "b").startswith(text)
    classes = ("--label", "name", "--proba", "p,q")
    text = f"{path}, row 1, column name: 'a' is none of the classes p, q; name them in this order"
    assert fault(capsys, path, *classes).startswith(text)
    text = f"{third}, row 42, column name: 'c' is none of the classes a, b"
    assert fault(capsys, third, *classes, "--classes", "a,b") == text


def test_rows_and_commas_of_csv_files(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("1,0.5\n0,1.5\n")
    command = (path, "--label", "0", "--proba", "1", "--no-header")
    assert fault(capsys, *command).startswith(f"{path}, row 2, column 1: 1.5 is outside")
    path.write_text("y;p\n1;0,5\n")
    assert fault(capsys, path, *COMMAND).endswith("a decimal comma? Then use --decimal ,")
    path.write_text("1,0.5\n0,0.5,1\n")
    assert fault(capsys, *command).startswith(f"{path}, row 2: Expected 2 columns, got 3")


def test_a_code_beyond_the_dictionary_of_a_column(tmp_path, capsys):
    path, n = tmp_path / "a.parquet", 304
    keys = pa.array(["a", "b", "c"]).take(pa.array(np.arange(n) % 3))
    table = pa.table({"y": np.ones(n, np.int8), "p": np.full(n, 0.5), "key": keys})
    pq.write_table(table, path, compression="none")
    column = pq.read_metadata(path).row_group(0).column(2)
    data = bytearray(path.read_bytes())
    # Four codes of two bits each: there is no value 3.
    data[column.dictionary_page_offset + column.total_compressed_size - 1] = 0xFF
    path.write_bytes(data)
    for more in (["--by", "key"], ["--only", "key=a"], ["--cluster", "key"]):
        assert "out of bounds: 3" in fault(capsys, path, *COMMAND, *more)


def test_a_page_that_is_shorter_than_it_says_takes_no_memory(tmp_path, capsys):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"y": Y, "p": P}), path, compression="none", use_dictionary=False)
    data = path.read_bytes()
    # A data page, its length, and its compressed length: three fields of a Thrift struct.
    header = re.compile(rb"\x15\x00(\x15[\x80-\xff]*[\x00-\x7f])(\x15[\x80-\xff]*[\x00-\x7f])")
    at = header.search(data).span(2)
    path.write_bytes(data[: at[0]] + b"\x15\x80\x80\x80\x80\x08" + data[at[1] :])  # 1 GiB
    assert "Page was smaller" in fault(capsys, path, *COMMAND)
    assert pa.default_memory_pool().max_memory() < 1 << 30


def test_a_column_of_damaged_metadata_does_not_end_the_process(tmp_path, capsys):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"y": Y, "p": P, "key": NAMES}), path)
    # The repetition type and the name of a column: required, while there are counts of nulls.
    data = path.read_bytes().replace(b"\x25\x02\x18\x03key", b"\x25\x00\x18\x03key")
    path.write_bytes(data)
    assert fault(capsys, path, *COMMAND, "--by", "key").startswith(f"{path}")

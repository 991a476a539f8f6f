"""``fastxent score``: worst rows, intervals, and the same from Python."""

import json
import math

import numpy as np
import pytest

import fastxent
from fastxent.__main__ import main

pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

pytestmark = pytest.mark.peers

N = 150_000  # several batches
RNG = np.random.default_rng(17)
P3 = RNG.dirichlet(np.ones(3), N)
CLASSES = RNG.integers(0, 3, N)
Y = (CLASSES == 0).astype(np.int8)
P, Q = P3[:, 0].copy(), P3[:, 1].copy()
KEYS = np.array(["at", "ch", "de"])[RNG.integers(0, 3, N)]
TABLE = pa.table({"y": Y, "p": P, "q": Q, "class": CLASSES, "country": KEYS})
LISTS = pa.FixedSizeListArray.from_arrays(pa.array(P3.ravel()), 3)
WRITERS = {
    "parquet": pq.write_table,
    "feather": pyarrow.feather.write_feather,
    "csv": pyarrow.csv.write_csv,
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "a.parquet"
    pq.write_table(TABLE.append_column("all", LISTS), path, row_group_size=70_000)
    np.savez(path.with_suffix(".npz"), y=Y, all=P3)
    return path


def score(capsys, *arguments):
    assert main(["score", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def record(capsys, *arguments):
    return json.loads(score(capsys, *arguments, "--json"))


# ------------------------------------------------------------------------------------- --worst


def worst_of(losses, n):
    order = np.lexsort((np.arange(len(losses)), -losses))[:n]
    return order, losses[order]


@pytest.mark.parametrize("names", [("a.parquet",), ("a.csv", "a.feather", "b.parquet")])
@pytest.mark.parametrize("n", [7, 2000])
def test_worst_rows_of_all_files(tmp_path, capsys, names, n):
    step = N // len(names)
    for i, name in enumerate(names):
        write = WRITERS[name.rpartition(".")[2]]
        write(TABLE.slice(i * step, step), str(tmp_path / name))
    files = [tmp_path / name for name in names]
    got = record(capsys, *files, "--label", "y", "--proba", "p", "--worst", n)["worst"]
    order, losses = worst_of(fastxent.binary_cross_entropy(Y, P, reduction="none"), n)
    assert [row["row"] for row in got] == (order % step + 1).tolist()
    assert [row["file"] for row in got] == [str(files[i // step]) for i in order]
    assert [row["loss"] for row in got] == pytest.approx(losses, rel=1e-12)
    assert [row["scores"]["p"] for row in got] == pytest.approx(P[order], rel=1e-14)
    assert [row["label"] for row in got] == Y[order].tolist()


def test_worst_rows_are_weighted_and_without_what_is_left_out(tmp_path, capsys):
    table = pa.table(
        {"y": ["yes", "no", "yes", "yes", None], "p": [0.5, None, 0.9, 0.4, 0.01],
         "q": [0.6, 0.5, 0.4, 0.3, 0.2], "w": [1.0, 9.0, 90.0, 1.0, 1.0]}
    )  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    command = (tmp_path / "a.parquet", "--label", "y", "--positive", "yes", "--proba", "p")
    command += ("--weight", "w", "--compare", "q", "--nan-policy", "omit", "--worst", 9)
    got = record(capsys, *command)["worst"]
    assert [(row["row"], row["label"]) for row in got] == [(3, "yes"), (4, "yes"), (1, "yes")]
    assert got[0]["loss"] == pytest.approx(-90 * math.log(0.9), rel=1e-14)
    assert got[0]["scores"] == {"p": 0.9, "q": 0.4}
    header, *rows = score(capsys, *command).split("\n\n")[1].splitlines()
    assert header.split("\t") == ["loss", "file", "row", "label", "p", "q"]
    assert rows[2].split("\t")[2:] == ["1", "yes", "0.5", "0.6"]


def test_worst_rows_of_classes(file, capsys):
    command = ("--label", "class", "--proba", "all", "--worst", 1)
    row = record(capsys, file.with_suffix(".npz"), *command, "--label", "y")
    assert list(row["worst"][0]["scores"]) == ["all"]
    got = record(capsys, file, *command)["worst"][0]
    order, _ = worst_of(-np.log(P3[np.arange(N), CLASSES]), 1)
    assert got["row"] == order[0] + 1 and got["label"] == CLASSES[order[0]]
    assert got["scores"]["all"] == pytest.approx(P3[order[0]], rel=1e-14)


def test_the_confidence_interval_is_that_of_score(file, capsys):
    command = (file, "--label", "y", "--proba", "p")
    want = fastxent.score("binary_cross_entropy", Y, P).confidence_interval()
    got = record(capsys, *command)
    assert (got["ci_lower"], got["ci_upper"]) == pytest.approx(want, rel=1e-12)
    want = fastxent.compare("binary_cross_entropy", Y, P, Q).confidence_interval()
    got = record(capsys, *command, "--compare", "q")
    assert (got["ci_lower"], got["ci_upper"]) == pytest.approx(want, rel=1e-9)


# ------------------------------------------------------------------------------------- score_files


@pytest.mark.parametrize(
    "options, arguments",
    [
        ({"label": "y", "proba": "p"}, "--label y --proba p"),
        ({"label": "y", "proba": ["p"], "by": "country"}, "--label y --proba p --by country"),
        (
            {"label": "class", "logits": ["p", "q"], "classes": ["0", "1", "2"][:2], "worst": 2},
            "--label class --logits p,q --classes 0,1 --worst 2",
        ),
        (
            {"label": "y", "proba": "p", "compare": "q", "by": ["class", "country"], "eps": 1e-9},
            "--label y --proba p --compare q --by class --by country --eps 1e-9",
        ),
        (
            {"label": "y", "proba": "p", "reduction": "sum", "weight": "q", "positive": "1"},
            "--label y --proba p --reduction sum --weight q --positive 1",
        ),
    ],
)
def test_score_files_returns_what_the_command_prints(file, capsys, options, arguments):
    if "classes" in options:
        two = pq.read_table(file).filter(pa.compute.less(pa.array(CLASSES), 2))
        file = file.with_name("two.parquet")
        pq.write_table(two, file)
    want = record(capsys, file, *arguments.split())
    assert fastxent.score_files(file, **options) == want
    assert fastxent.score_files([str(file)], **options) == want
    assert capsys.readouterr().out == ""


def test_score_files_raises_and_warns(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("1;0\n0;0,5\n")
    path, csv = tmp_path / "a.csv", {"decimal": ",", "no_header": True}
    with pytest.warns(UserWarning, match="1: 1 rows give their label a probability below"):
        got = fastxent.score_files(path, label="0", proba="1", **csv)
    assert got["count"] == 2
    with pytest.warns(UserWarning, match="clipped"):
        infinite = fastxent.score_files(path, label="0", proba="1", eps=1e-300, **csv)
    assert infinite["mean"] > 300
    for files, options, text in (
        (path, {"label": "y", "proba": "1", **csv}, "no column 'y'"),
        (path, {"label": "y"}, "one of the arguments --proba --logits is required"),
        (path, {"label": "y", "proba": "p", "colour": 1}, "unrecognized arguments: --colour=1"),
        (path, {"label": "y", "proba": "p", "eps": 3}, "'3' is not a number in"),
        (path, {"label": "y", "proba": "p", "reduction": "none"}, "returns no result"),
        ([], {"label": "y", "proba": "p"}, "arguments are required: FILE"),
        (tmp_path / "b.csv", {"label": "y", "proba": "p"}, "no such file"),
    ):
        with pytest.raises(ValueError, match=text):
            fastxent.score_files(files, **options)
    assert capsys.readouterr() == ("", "")

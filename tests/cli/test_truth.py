"""``fastxent score --truth --on``: predictions and truth in two files."""

import json

import numpy as np
import pytest

import fastxent
from fastxent.__main__ import main

pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

pytestmark = pytest.mark.peers

N = 150_000  # several batches
RNG = np.random.default_rng(17)
P, Q = RNG.uniform(0.01, 0.99, (2, N))
Y = (RNG.random(N) < P).astype(np.int8)
W = RNG.uniform(0, 3, N)
COUNTRY = np.array(["at", "ch", "de"])[RNG.integers(0, 3, N)]
ORDER = RNG.permutation(N)
IDS = {
    "integers": np.arange(N) * 7 - 1000,
    "unsigned": (2**64 - 1 - np.arange(N, dtype=np.uint64)),
    "strings": np.array([f"row-{i}" for i in range(N)]),
}


def written(table, path):
    (pyarrow.csv.write_csv if path.suffix == ".csv" else pq.write_table)(table, str(path))
    return path


def fault(capsys, *arguments):
    assert main(["score", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err.removeprefix("fastxent: ").rstrip()


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("endings", [("parquet", "parquet"), ("parquet", "csv"), ("csv", "csv")])
def test_joined_by_key(tmp_path, ids, endings):
    ids = IDS[ids]
    half = N // 2
    files = [
        written(pa.table({"id": ids[part], "p": P[part]}), tmp_path / f"{name}.{endings[0]}")
        for name, part in (("a", slice(half)), ("b", slice(half, N)))
    ]
    truth = pa.table({"id": ids[ORDER], "y": Y[ORDER], "w": W[ORDER], "country": COUNTRY[ORDER]})
    truth = written(truth, tmp_path / f"truth.{endings[1]}")
    options = {"label": "y", "proba": "p", "truth": truth, "on": "id"}
    got = fastxent.score_files(files, **options)
    want = fastxent.score("binary_cross_entropy", Y, P)
    assert got["mean"] == pytest.approx(want.mean, rel=1e-13) and got["rows"] == N
    got = fastxent.score_files(files, **options, weight="w", by="country", worst=1)
    want = fastxent.score("binary_cross_entropy", Y, P, sample_weight=W, groups=list(COUNTRY))
    for group in got["groups"]:
        assert group["mean"] == pytest.approx(want[group["group"]].mean, rel=1e-13)
        assert group["count"] == want[group["group"]].count
    worst = fastxent.largest_losses("binary_cross_entropy", Y, P, 1, sample_weight=W)
    row = int(worst.indices[0])
    assert got["worst"][0]["row"] == row % half + 1
    assert got["worst"][0]["file"] == str(files[row // half])


def test_labels_that_are_names_dictionaries_and_several_files(tmp_path):
    labels = pa.array(np.where(Y, "yes", "no")).dictionary_encode()
    (tmp_path / "truth").mkdir()
    table = pa.table({"id": IDS["strings"], "y": labels, "p": Q})
    pq.write_table(table.slice(0, 1000), tmp_path / "truth" / "a.parquet")
    pq.write_table(table.slice(1000), tmp_path / "truth" / "b.parquet")
    predictions = pa.table(
        {"id": pa.array(IDS["strings"]).dictionary_encode(), "p": P, "c": COUNTRY}
    )
    path = written(predictions, tmp_path / "a.parquet")
    got = fastxent.score_files(
        path, label="y", positive="yes", proba="p", truth=tmp_path / "truth", on="id", by="c"
    )
    want = fastxent.score("binary_cross_entropy", Y, P, groups=list(COUNTRY))
    assert [g["mean"] for g in got["groups"]] == pytest.approx([w.mean for w in want.values()])


def test_the_key_may_be_the_group(tmp_path):
    path = written(pa.table({"id": ["a", "b"], "p": [0.5, 0.25]}), tmp_path / "a.csv")
    truth = written(pa.table({"id": ["b", "a"], "y": [1, 0]}), tmp_path / "t.csv")
    got = fastxent.score_files(path, label="y", proba="p", truth=truth, on="id", by="id")
    assert [(g["group"], g["mean"]) for g in got["groups"]] == [
        ("a", pytest.approx(-np.log(0.5))),
        ("b", pytest.approx(-np.log(0.25))),
    ]


def test_missing_and_repeated_keys_are_counted(tmp_path, capsys):
    files = {
        "a.csv": "id,p\n1,0.5\n2,0.5\n9,0.5\n2,0.5\n8,0.5\n",
        "b.csv": "id,p\n1,0.5\n",
        "truth.csv": "id,y\n1,1\n2,0\n3,1\n4,1\n",
        "twice.csv": "id,y\n1,1\n2,0\n1,1\n1,0\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    a, b, truth, twice = (tmp_path / name for name in files)
    null = written(
        pa.table({"id": ["1", None], "y": [1, 0], "p": [0.5, 0.5]}), tmp_path / "n.parquet"
    )
    command = ("--label", "y", "--proba", "p", "--on", "id")
    assert fault(capsys, a, b, *command, "--truth", truth) == (
        f"--on id: 2 of 6 predictions have no truth in {truth} (the first: {a}, row 3: '9'); "
        f"2 predictions have the key of an earlier one (the first: {a}, row 4: '2'); "
        f"2 of 4 rows of {truth} have no prediction (the first: '3')"
    )
    assert fault(capsys, a, *command, "--truth", twice) == (
        f"{twice}, column id: 2 rows have the key of an earlier row, the first: '1'"
    )
    text = "null: a key is needed"
    assert fault(capsys, a, *command, "--truth", null) == f"{null}, row 2, column id: {text}"
    assert fault(capsys, null, *command, "--truth", truth) == f"{null}, row 2, column id: {text}"
    assert "no column 'key'" in fault(capsys, a, *command[:5], "key", "--truth", truth)
    assert "no such file" in fault(capsys, a, *command, "--truth", tmp_path / "none.csv")


def test_a_wrong_label_in_the_truth(tmp_path, capsys):
    path = written(pa.table({"id": [1, 2], "p": [0.5, 0.25]}), tmp_path / "a.parquet")
    truth = written(pa.table({"id": [2, 1], "y": [1, 3]}), tmp_path / "t.parquet")
    command = ("--label", "y", "--proba", "p", "--on", "id", "--truth", truth)
    assert fault(capsys, path, *command).startswith(f"{path}, row 1, column y: 3 is not a valid")


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_only_some_rows(tmp_path, capsys, ending):
    ids, half, fold = IDS["integers"], np.arange(N) < N // 2, np.arange(N) % 3
    predictions = pa.table({"id": ids, "p": P, "fold": fold})
    path = written(predictions, tmp_path / f"a.{ending}")
    truth = pa.table({"id": ids, "y": Y, "country": COUNTRY, "user": W}).take(ORDER)
    truth_path = written(truth, tmp_path / f"t.{ending}")
    options = {"label": "y", "proba": "p", "truth": truth_path, "on": "id"}
    for only, rows in (
        ("fold=0,2", fold != 1),  # of the predictions: the truth has more rows than are needed
        ("country=at", COUNTRY == "at"),  # of the truth
        ("y=1", Y == 1),
    ):
        got = fastxent.score_files(path, only=only, **options)
        assert got["rows"] == rows.sum()
        assert got["mean"] == pytest.approx(
            fastxent.binary_cross_entropy(Y[rows], P[rows]), rel=1e-13
        )
    got = fastxent.score_files(path, only=["fold=1", "country=ch"], cluster="user", **options)
    assert got["rows"] == np.sum((fold == 1) & (COUNTRY == "ch"))
    some = written(predictions.filter(pa.array(half)), tmp_path / f"half.{ending}")
    command = ("--label", "y", "--proba", "p", "--on", "id", "--truth", truth_path, "--only")
    without = np.sum(~half & (COUNTRY == "at"))
    text = f"{without:,} of {N:,} rows of {truth_path} have no prediction"
    assert text in fault(capsys, some, *command, "country=at")
    text = "'x' is not a value of a column"
    if ending == "parquet":
        assert text in fault(capsys, some, *command, "y=x")
    assert "no rows with country=fr" in fault(capsys, path, *command, "country=fr")


@pytest.mark.parametrize(
    "more, text",
    [
        (["--on", "id"], "--truth and --on go together"),
        (["--truth", "t.csv"], "--truth and --on go together"),
    ],
)
def test_options(capsys, more, text):
    with pytest.raises(SystemExit):
        main(["score", "a.csv", "--label", "y", "--proba", "p", *more])
    assert text in capsys.readouterr().err


def test_standard_output_of_json(tmp_path, capsys):
    path = written(pa.table({"id": [1, 2], "p": [0.5, 0.25]}), tmp_path / "a.parquet")
    truth = written(pa.table({"id": [2, 1], "y": [1, 0]}), tmp_path / "t.parquet")
    command = ["score", path, "--label", "y", "--proba", "p", "--on", "id", "--truth", truth]
    assert main([*map(str, command), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 2

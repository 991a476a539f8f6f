"""``fastxent score``: every format gives the numbers of the arrays that were written."""

import gzip
import json
import math
import re
import shlex
from pathlib import Path

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
RNG = np.random.default_rng(5)
Z = RNG.normal(0, 2, (N, 3))
P3 = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
CLASSES = RNG.integers(0, 3, N)
Y = (CLASSES == 0).astype(np.int8)
P, Q, W = P3[:, 0].copy(), P3[:, 1].copy(), RNG.uniform(0, 3, N)
KEYS = RNG.integers(0, 3, N)
COUNTRIES = np.array(["at", "ch", None], object)[KEYS]
COLUMNS = {"y": Y, "p": P, "q": Q, "w": W, "z": Z[:, 0], "class": CLASSES, "country": COUNTRIES}
TABLE = pa.table({**COLUMNS, **{f"p{i}": P3[:, i] for i in range(3)}}).append_column(
    "all", pa.FixedSizeListArray.from_arrays(pa.array(P3.ravel()), 3)
)
FLAT = TABLE.drop_columns("all")


def stream(table, path):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def npz(table, path):
    np.savez(path, **{name: table[name].to_numpy() for name in ("y", "p", "w")}, all=P3)


def gz(table, path):
    with gzip.open(path, "wb", compresslevel=1) as file:
        pyarrow.csv.write_csv(table, file)


WRITERS = {
    "a.parquet": lambda table, path: pq.write_table(table, path, row_group_size=70_000),
    "a.feather": pyarrow.feather.write_feather,
    "a.arrows": stream,
    "a.csv": pyarrow.csv.write_csv,
    "a.csv.gz": gz,
    "a.tsv": lambda table, path: pyarrow.csv.write_csv(
        table, path, pyarrow.csv.WriteOptions(delimiter="\t")
    ),
    "a.npz": npz,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, write in WRITERS.items():
        write(TABLE if name.endswith("parquet") else FLAT, str(folder / name))
    np.save(folder / "a.npy", np.stack([Y, P], 1))
    np.save(folder / "fortran.npy", np.stack([Y, P], 1).copy(order="F"))
    fields = np.zeros(N, [("y", "i1"), ("p", ">f8")])
    fields["y"], fields["p"] = Y, P
    np.save(folder / "fields.npy", fields)
    return folder


def score(capsys, *arguments):
    assert main(["score", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def record(capsys, *arguments):
    return json.loads(score(capsys, *arguments, "--json"))


BCE = fastxent.binary_cross_entropy(Y, P)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format(folder, capsys, name):
    got = float(score(capsys, folder / name, "--label", "y", "--proba", "p"))
    assert got == pytest.approx(BCE, rel=1e-13)


@pytest.mark.parametrize("name, label, p", [("a", 0, 1), ("fortran", 0, 1), ("fields", "y", "p")])
def test_columns_of_npy_have_numbers_or_names(folder, capsys, name, label, p):
    got = float(score(capsys, folder / f"{name}.npy", "--label", label, "--proba", p))
    assert got == pytest.approx(BCE, rel=1e-13)


def test_the_record_is_that_of_score(folder, capsys):
    got = record(capsys, folder / "a.parquet", "--label", "y", "--proba", "p", "--weight", "w")
    want = fastxent.score("binary_cross_entropy", Y, P, sample_weight=W)
    assert (got["loss"], got["files"], got["rows"]) == ("binary_cross_entropy", 1, N)
    for name in ("mean", "standard_error", "weight", "count"):
        assert got[name] == pytest.approx(getattr(want, name), rel=1e-12), name


def test_logits(folder, capsys):
    got = float(score(capsys, folder / "a.parquet", "--label", "y", "--logits", "z"))
    want = fastxent.binary_cross_entropy_with_logits(Y, Z[:, 0])
    assert got == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("scores", ["p0,p1,p2", "all"])
def test_classes_side_by_side_or_as_lists(folder, capsys, scores):
    got = float(score(capsys, folder / "a.parquet", "--label", "class", "--proba", scores))
    assert got == pytest.approx(fastxent.categorical_cross_entropy(CLASSES, P3), rel=1e-13)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.feather"])
def test_by_group(folder, capsys, name):
    got = record(capsys, folder / name, "--label", "y", "--proba", "p", "--by", "country")
    want = fastxent.score("binary_cross_entropy", Y, P, groups=list(COUNTRIES))
    nothing = "" if name == "a.csv" else None  # a CSV file cannot tell them apart
    assert {g["group"] for g in got["groups"]} == {"at", "ch", nothing}
    for group in got["groups"]:
        expected = want[group["group"] or None]
        assert group["mean"] == pytest.approx(expected.mean, rel=1e-13)
        assert group["standard_error"] == pytest.approx(expected.standard_error, rel=1e-12)
        assert group["count"] == expected.count


def test_a_file_counts_once_however_often_it_is_named(tmp_path, monkeypatch, capsys):
    pq.write_table(TABLE, tmp_path / "a.parquet")
    monkeypatch.chdir(tmp_path)
    named = ["a.parquet", tmp_path, "./a.parquet", "*.parquet"]
    got = record(capsys, *named, "--label", "y", "--proba", "p")
    assert (got["files"], got["rows"], got["count"]) == (1, N, N)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_by_several_columns_is_by_their_combinations(folder, capsys, name):
    command = (folder / name, "--label", "y", "--proba", "p", "--by", "class", "--by", "country")
    groups = record(capsys, *command)["groups"]
    key = list(zip(CLASSES.tolist(), COUNTRIES.tolist(), strict=True))
    want = fastxent.score("binary_cross_entropy", Y, P, groups=key)
    assert len(groups) == len(want) == 9
    for group in groups:
        keys = group["group"]
        assert list(keys) == ["class", "country"]
        expected = want[int(keys["class"]), keys["country"] or None]
        assert group["count"] == expected.count
        assert group["mean"] == pytest.approx(expected.mean, rel=1e-12)
    header, *rows = score(capsys, *command).splitlines()
    assert header.split("\t")[:3] == ["class", "country", "mean"] and len(rows) == 9


def test_keys_of_csv_files_are_text(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("y,p,zip\n1,0.5,01234\n0,0.5,1234\n")
    got = record(capsys, tmp_path / "a.csv", "--label", "y", "--proba", "p", "--by", "zip")
    assert [group["group"] for group in got["groups"]] == ["01234", "1234"]


def test_clipped_rows_are_counted_and_eps_is_an_option(tmp_path, capsys):
    p = np.array([0.0, 1.0, 0.5, 1e-20, 1.0], np.float32)
    pq.write_table(pa.table({"y": [1, 0, 1, 0, 1], "p": p}), tmp_path / "a.parquet")
    pyarrow.csv.write_csv(pa.table({"y": [1, 0, 1, 0, 1], "p": p}), str(tmp_path / "a.csv"))
    means = []
    for name, eps in (
        ("a.parquet", "auto"),
        ("a.csv", "auto"),
        ("a.parquet", 1e-6),
        ("a.csv", 1e-6),
    ):
        more = () if eps == "auto" else ("--eps", eps)
        command = ["score", tmp_path / name, "--label", "y", "--proba", "p", "--json", *more]
        assert main(list(map(str, command))) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["clipped"] == 2
        assert err.startswith("fastxent: warning: p: 2 rows give their label a probability below")
        means.append(json.loads(out)["mean"])
    assert means[1] > 1.5 * means[0]
    assert means[2] == pytest.approx(means[3], rel=1e-6)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16])
def test_probabilities_of_other_types_are_those_of_the_loss(tmp_path, capsys, dtype):
    y, p = [1, 0, 1], np.array([1, 0, 0], dtype)
    pq.write_table(pa.table({"y": y, "p": p}), tmp_path / "a.parquet")
    assert main(["score", str(tmp_path / "a.parquet"), "--label", "y", "--proba", "p"]) == 0
    out, err = capsys.readouterr()
    assert float(out) == pytest.approx(fastxent.binary_cross_entropy(y, p), rel=1e-6)
    assert err.startswith("fastxent: warning: p: 1 rows give their label a probability below")


def test_rows_that_do_not_sum_to_1_are_a_warning(folder, capsys):
    command = ["score", str(folder / "a.parquet"), "--label", "y", "--proba", "p,q"]
    assert main(command) == 0
    err = capsys.readouterr().err
    wrong = np.abs(P + Q - 1) > 5e-3
    assert err.startswith(
        f"fastxent: warning: {wrong.sum():,} rows of probabilities do not sum to 1"
    )
    assert f"row {np.argmax(wrong) + 1:,}: p,q sum to" in err
    assert err.endswith("if these are two models, use --proba p --compare q\n")
    assert err.count("\n") == 1


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0 and capsys.readouterr().out.startswith("fastxent")


NAMED = {
    "bool": (pa.array(Y == 1), None),
    "text": (pa.array(np.where(Y, "1", "0")), None),
    "True": (pa.array(np.where(Y, "True", "False")), None),
    "yes": (pa.array(np.where(Y, "yes", "no")), "yes"),
    "category": (pa.array(np.where(Y, "yes", "no")).dictionary_encode(), "yes"),
    "large": (pa.array(np.where(Y, "yes", "no"), pa.large_string()), "yes"),
    "1 and 2": (pa.array(Y + 1), "2"),
    "decimal": (pa.array(Y).cast(pa.decimal128(3, 0)), None),
    "float": (pa.array(Y, pa.float32()), "1"),
}


@pytest.mark.parametrize("ending", ["parquet", "feather", "csv"])
@pytest.mark.parametrize("name", NAMED)
def test_binary_labels_that_are_names(tmp_path, capsys, name, ending):
    labels, positive = NAMED[name]
    path = tmp_path / f"a.{ending}"
    WRITERS[f"a.{ending}"](pa.table({"y": labels, "p": P}), str(path))
    more = ("--positive", positive) if positive else ()
    got = float(score(capsys, path, "--label", "y", "--proba", "p", *more))
    assert got == pytest.approx(BCE, rel=1e-13)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("classes", [None, "c,d,b"])
def test_classes_that_are_names(tmp_path, capsys, ending, classes):
    names = classes.split(",") if classes else ["cat", "dog", "bird"]
    columns = {name: P3[:, i] for i, name in enumerate(["cat", "dog", "bird"])}
    table = pa.table({"animal": np.array(names)[CLASSES], **columns})
    path = tmp_path / f"a.{ending}"
    WRITERS[f"a.{ending}"](table, str(path))
    more = ("--classes", classes) if classes else ()
    got = float(score(capsys, path, "--label", "animal", "--proba", "cat,dog,bird", *more))
    assert got == pytest.approx(fastxent.categorical_cross_entropy(CLASSES, P3), rel=1e-13)


DIALECTS = {
    "y;p\n1;0.5\n0;0.25\n": (),
    "y\tp\n1\t0.5\n0\t0.25\n": (),
    "y|p\n1|0.5\n0|0.25\n": (),
    "y p\n1 0.5\n0 0.25\n": ("--delimiter", " "),
    '"a,b,c";y;p\nx;1;0.5\nx;0;0.25\n': (),
    "y;p\n1;0,5\n0;0,25\n": ("--decimal", ","),
    "1;0,5\n0;0,25\n": ("--decimal", ",", "--no-header"),
    "1,0.5\n0,0.25\n": ("--no-header",),
    "\ufeffy;p\r\n1;0.5\r\n0;0.25\r\n": (),
}


@pytest.mark.parametrize("text", DIALECTS)
def test_dialects_of_csv(tmp_path, capsys, text):
    path, more = tmp_path / "a.csv", DIALECTS[text]
    path.write_bytes(text.encode())
    label, p = ("0", "1") if "--no-header" in more else ("y", "p")
    got = float(score(capsys, path, "--label", label, "--proba", p, *more))
    assert got == pytest.approx((math.log(2) - math.log(0.75)) / 2, rel=1e-14)


def test_compare(folder, capsys):
    command = (folder / "a.parquet", "--label", "y", "--proba", "p", "--compare", "q")
    got, want = record(capsys, *command), fastxent.compare("binary_cross_entropy", Y, P, Q)
    for name in ("mean_a", "mean_b", "difference", "standard_error", "t", "p_value", "count"):
        assert got[name] == pytest.approx(getattr(want, name), rel=1e-10), name
    header, values = score(capsys, *command).splitlines()
    assert dict(zip(header.split("\t"), values.split("\t"), strict=True))["count"] == str(N)


def test_reductions(folder, capsys):
    command = (folder / "a.parquet", "--label", "y", "--proba", "p", "--reduction")
    assert float(score(capsys, *command, "sum")) == pytest.approx(BCE * N, rel=1e-13)
    lines = score(capsys, *command, "none").splitlines()
    each = fastxent.binary_cross_entropy(Y, P, reduction="none")
    np.testing.assert_array_equal(np.array(lines, float), each)


def test_directories_patterns_and_lists_of_files(tmp_path, capsys):
    third = N // 3
    for i, name in enumerate(["a.parquet", "sub/b.feather", "sub/c.csv"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write = WRITERS["a." + name.rpartition(".")[2]]
        write(FLAT.slice(i * third, third), str(tmp_path / name))
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "notes.md").write_text("none of ours")
    files = sorted(p for p in tmp_path.rglob("*") if p.suffix in (".parquet", ".feather", ".csv"))
    for given in ([tmp_path], [f"{tmp_path}/**/*.[pfc]*"], files):
        got = record(capsys, *given, "--label", "y", "--proba", "p")
        assert (got["files"], got["rows"]) == (3, N)
        assert got["mean"] == pytest.approx(BCE, rel=1e-13)


def test_rows_with_nulls_and_nans_are_left_out_where_asked(tmp_path, capsys):
    p = [0.5, None, math.nan, 0.25]
    pq.write_table(pa.table({"y": [1, 0, 1, 0], "p": p}), tmp_path / "a.parquet")
    command = (tmp_path / "a.parquet", "--label", "y", "--proba", "p", "--nan-policy", "omit")
    got = record(capsys, *command)
    assert got["count"] == 2
    assert got["mean"] == pytest.approx((math.log(2) - math.log(0.75)) / 2, rel=1e-14)


@pytest.mark.parametrize("scores", ["p", "p0,p1,p2"])
def test_the_picture(folder, tmp_path, capsys, scores):
    pytest.importorskip("matplotlib", reason="--plot draws with matplotlib")
    image = tmp_path / "plot.png"
    label = "y" if scores == "p" else "class"
    score(capsys, folder / "a.parquet", "--label", label, "--proba", scores, "--plot", image)
    assert image.read_bytes().startswith(b"\x89PNG")


def test_the_commands_of_readme(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="--plot draws with matplotlib")
    readme = Path(__file__).parents[2] / "README.md"
    if not readme.exists():
        pytest.skip("no README.md: the tests run apart from the sources")
    commands = re.findall(r"^fastxent (score .*)$", readme.read_text("utf-8"), re.MULTILINE)
    assert len(commands) >= 5
    monkeypatch.chdir(tmp_path)
    renamed = {"new": P, "old": Q, "cat": Z[:, 0], "dog": Z[:, 1], "bird": Z[:, 2], **COLUMNS}
    pq.write_table(pa.table(renamed), "predictions.parquet")
    Path("run").mkdir()
    pyarrow.csv.write_csv(pa.table({**renamed, "y": CLASSES}), "run/a.csv")
    for command in commands:
        assert main(shlex.split(command)) == 0, command
    assert Path("calibration.png").exists()
    assert capsys.readouterr().err == ""

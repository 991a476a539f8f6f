"""``fastxent score --cluster`` and ``--calibration``: the numbers of the functions."""

import json
import math

import numpy as np
import pytest

import fastxent
from fastxent.__main__ import main
from fastxent._aggregate.bound_loss import BoundLoss
from fastxent._aggregate.group_keys import GroupKeys
from fastxent._aggregate.standard_error import MeanAndError
from fastxent._calibration.histogram import ScoreHistogram
from fastxent._calibration.isotonic import isotonic_pools

pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")

import pyarrow as pa
import pyarrow.parquet as pq

pytestmark = pytest.mark.peers

N = 100_000
RNG = np.random.default_rng(9)
USER = RNG.integers(0, 5000, N)
Z = RNG.normal(0, 2, N) + RNG.normal(0, 1, 5000)[USER]
P = 1 / (1 + np.exp(-Z))
Y = (RNG.random(N) < P**1.3).astype(np.int8)
Q, W, COUNTRY = P**1.2, RNG.uniform(0, 2, N), RNG.integers(0, 3, N)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files, whose users are in both."""
    folder = tmp_path_factory.mktemp("files")
    users = pa.array([f"u{u}" for u in USER])
    columns = {"y": Y, "p": P, "q": Q, "z": Z, "w": W, "user": users, "country": COUNTRY}
    table = pa.table({**columns, "tenths": P.round(1)})
    pq.write_table(table.slice(0, 30_000), folder / "a.parquet", row_group_size=7000)
    pq.write_table(table.slice(30_000), folder / "b.parquet")
    return folder


@pytest.fixture
def score(folder, capsys):
    def run(*args):
        assert main(["score", str(folder), "--label", "y", *args, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_cluster(score):
    found = score("--proba", "p", "--cluster", "user", "--weight", "w")
    want = fastxent.score("binary_cross_entropy", Y, P, clusters=USER, sample_weight=W)
    assert found["standard_error"] == pytest.approx(want.standard_error, rel=1e-12)
    interval = want.confidence_interval()
    assert [found["ci_lower"], found["ci_upper"]] == pytest.approx(interval, rel=1e-12)


def test_cluster_of_two_models_by_group(score):
    found = score("--proba", "p", "--compare", "q", "--by", "country", "--cluster", "user")
    want = fastxent.compare("binary_cross_entropy", Y, P, Q, COUNTRY, clusters=USER)
    for record in found["groups"]:
        one = want[record["group"]]
        assert record["standard_error"] == pytest.approx(one.standard_error, rel=1e-12)
        assert record["p_value"] == pytest.approx(one.p_value, rel=1e-9)


def test_from_python(folder):
    found = fastxent.score_files(folder, label="y", proba="p", by="country", cluster="user")
    assert len(found["groups"]) == 3
    found = fastxent.score_files(folder, label="y", proba="p", cluster="user", calibration=True)
    assert found["miscalibration"] > 0


def test_all_groups_as_one():
    """What a page says of all rows, from the groups."""
    elements = BoundLoss("binary_cross_entropy", {}, "test").elements(Y, P)
    keys = GroupKeys(COUNTRY, (N,))
    results = MeanAndError(1, len(keys), True)
    results.add([elements], keys, clusters=GroupKeys(USER, (N,)))
    found = results.combined().result(GroupKeys(None, ()))[None]
    assert found == pytest.approx(
        fastxent.score("binary_cross_entropy", Y, P, clusters=USER), rel=1e-12
    )


@pytest.mark.parametrize(
    "column, scores", [("--proba", "p"), ("--logits", "z"), ("--proba", "tenths")]
)
def test_calibration(score, column, scores):
    found = score(column, scores, "--calibration")
    want = fastxent.decompose(Y, P.round(1) if scores == "tenths" else P)
    bound = found["calibration_error_bound"]
    assert 0 <= bound < (1e-15 if scores == "tenths" else 2e-3)
    assert found["uncertainty"] == pytest.approx(want.uncertainty, rel=1e-12)
    assert -1e-12 <= want.miscalibration - found["miscalibration"] <= bound + 1e-12
    assert -1e-12 <= want.discrimination - found["discrimination"] <= bound + 1e-12
    parts = found["uncertainty"] - found["discrimination"] + found["miscalibration"]
    assert found["mean"] == pytest.approx(parts, abs=1e-14)


def test_calibration_with_weights(score):
    found = score("--proba", "p", "--calibration", "--weight", "w")
    want = fastxent.decompose(Y, P, sample_weight=W)
    assert found["miscalibration"] == pytest.approx(want.miscalibration, abs=2e-3)
    assert found["uncertainty"] == pytest.approx(want.uncertainty, rel=1e-12)


def test_scores_at_the_ends():
    histogram = ScoreHistogram()
    p = np.array([0.0, 0.0, 0.5, 1.0, 1e-300, 1 - 2**-53])
    above = p > 0.5
    y = np.array([0, 1, 1, 1, 0, 1])
    histogram.add(y, np.where(above, 1 - p, p), above, None)
    found = histogram.result(fastxent.binary_cross_entropy(y, p))
    assert found.parts == pytest.approx(fastxent.decompose(y, p), abs=1e-12)
    assert found.error_bound == 0


@pytest.mark.parametrize("weights", [None, np.full(20_000, 2.0), np.full(20_000, 1.5)])
def test_the_curve_is_the_isotonic_recalibration_at_the_resolution_of_the_buckets(weights):
    rng = np.random.default_rng(3)
    p = rng.random(20_000)
    y = (rng.random(len(p)) < p**2).astype(float)
    counts, above = ScoreHistogram(), p > 0.5
    counts.add(y, np.where(above, 1 - p, p), above, weights)
    curve, want = counts.curve(), isotonic_pools(y, p, weights)
    assert (curve.lower <= curve.upper).all() and (np.diff(curve.frequency) > 0).all()
    at = np.linspace(0.05, 0.95, 19)
    ours, theirs = (
        np.interp(at, np.ravel([c.lower, c.upper], "F"), np.repeat(c.frequency, 2))
        for c in (curve, want)
    )
    assert np.abs(ours - theirs).max() < 0.02
    assert curve.counts.sum() == pytest.approx(len(p) if weights is None else weights.sum())


def test_plain_and_picture(folder, capsys, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib draws the picture")
    args = ["score", str(folder), "--label", "y", "--proba", "p", "--calibration"]
    assert main([*args, "--plot", str(tmp_path / "a.png")]) == 0
    head, values = capsys.readouterr().out.splitlines()
    assert "miscalibration" in head.split("\t") and len(values.split("\t")) == len(head.split("\t"))
    assert all(math.isfinite(float(value)) for value in values.split("\t"))
    assert (tmp_path / "a.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "args, message",
    [
        (["--proba", "p", "--calibration", "--by", "user"], "--calibration is of one mean"),
        (["--proba", "p", "--calibration", "--compare", "q"], "--calibration is of one mean"),
        (["--proba", "p", "--cluster", "user", "--reduction", "sum"], "leave --reduction out"),
        (["--proba", "p,q", "--calibration"], "pass one column of scores"),
        (["--proba", "p", "--cluster", "nobody"], "nobody"),
    ],
)
def test_refuses(folder, capsys, args, message):
    try:
        status = main(["score", str(folder), "--label", "y", *args])
    except SystemExit as stop:
        status = stop.code
    assert status == 2 and message in capsys.readouterr().err

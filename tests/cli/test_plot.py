"""The pictures of ``fastxent score --plot``: what they count, and what they show."""

import numpy as np
import pytest

import fastxent
from fastxent.__main__ import main

pytest.importorskip("pyarrow", reason="fastxent score reads files through pyarrow")
pytest.importorskip("rich", reason="fastxent score shows its results with rich")
pytest.importorskip("matplotlib", reason="--plot draws with matplotlib")

import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from fastxent._aggregate.bound_loss import BoundLoss
from fastxent._aggregate.group_keys import GroupKeys, StreamGroupKeys
from fastxent._aggregate.standard_error import MeanAndError
from fastxent._calibration.histogram import ScoreHistogram
from fastxent._cli import plot
from fastxent._cli.counts import BINS, EDGES, MAX_GROUPS, Counts, Panel, wilson_interval

pytestmark = pytest.mark.peers

N = 150_000
RNG = np.random.default_rng(17)
Z, NOISE = RNG.normal(0, 3, (2, N))
P, Q = 1 / (1 + np.exp(-Z)), 1 / (1 + np.exp(-0.6 * Z - 0.3 * NOISE))
Y = (RNG.random(N) < P).astype(np.int8)
W = RNG.uniform(0, 3, N)
KEYS = RNG.integers(0, 30, N) ** 2 // 30


def counted(scores, keys, groups=None, weight=None, loss="binary_cross_entropy"):
    counts = Counts(len(scores), logits=False)
    elements = [BoundLoss(loss, {}, "").elements(Y, s, sample_weight=weight) for s in scores]
    results = MeanAndError(len(scores), len(keys))
    results.add(
        elements,
        keys,
        lambda *blocks: counts.add(
            Y, scores, blocks, groups and groups.block_groups(blocks[0].index)
        ),
    )
    return counts


def check(series, p, y, w):
    bins = np.linspace(0, 1, BINS + 1)
    for got, values in zip(series.sums, (np.ones(len(p)), w, w * p, w * y, w * w), strict=True):
        np.testing.assert_allclose(got, np.histogram(p, bins, weights=values)[0], rtol=1e-10)
    losses = fastxent.binary_cross_entropy(y, p, reduction="none")
    edges = [0, *EDGES, np.inf]
    np.testing.assert_allclose(
        series.losses, np.histogram(losses, edges, weights=w)[0], rtol=1e-10, atol=1e-9
    )
    assert series.total == pytest.approx(np.sum(w * losses), rel=1e-12)
    assert series.mean == pytest.approx(np.average(losses, weights=w), rel=1e-12)


def test_what_is_counted():
    counts = counted([P, Q], GroupKeys(None, (N,)), weight=W)
    for series, p in zip(counts.series(), (P, Q), strict=True):
        check(series, p, Y, W)


@pytest.mark.parametrize("n", [30, 3 * MAX_GROUPS])
def test_what_is_counted_by_group(n):
    key = RNG.integers(0, n, N)
    groups = StreamGroupKeys()
    groups.set_batch(key, list(range(n)))
    counts = counted([P], groups, groups)
    check(counts.series()[0], P, Y, np.ones(N))
    assert counts.by_group == (n == 30)
    if counts.by_group:
        for k in (0, 29):
            rows = key == k
            check(counts.series(k)[0], P[rows], Y[rows], np.ones(rows.sum()))


def test_wilson_interval_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats", reason="the interval is compared with SciPy's")
    for k, n in ((0, 7), (3, 10), (10, 10), (550, 1000)):
        want = stats.binomtest(k, n).proportion_ci(method="wilson")
        got = wilson_interval(np.array([k / n]), np.array([float(n)]))
        assert (got[0][0], got[1][0]) == pytest.approx(tuple(want), abs=1e-7)


def panel(scores, names):
    return Panel(
        "all", list(zip(names, counted(scores, GroupKeys(None, (N,))).series(), strict=True))
    )


def drawn(drawing, *arguments):
    figure = Figure(figsize=(5, 5), layout="constrained")
    drawing(figure, *arguments, "binary_cross_entropy")
    figure.canvas.draw()
    return figure


@pytest.mark.parametrize("scores, names", [([P], ["p"]), ([P, Q], ["new", "_old$x^2$"])])
def test_every_bin_has_an_interval_and_the_legend_hides_nothing(scores, names):
    figure = drawn(plot.draw_calibration, panel(scores, names))
    above, below = figure.axes
    assert above.get_title() == f"Calibration, n = {N:,}"
    assert len(above.containers) == len(scores)
    for container in above.containers:
        (bars,) = container.lines[2]
        segments = np.array(bars.get_segments())
        assert len(segments) == BINS and (segments[:, 1, 1] > segments[:, 0, 1]).all()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    for axes in figure.axes:
        assert not box.overlaps(axes.get_window_extent())
    if len(scores) == 1:  # the number of rows on each bar
        numbers = [text.get_text() for text in below.texts]
        assert len(numbers) == BINS and numbers[0].endswith("k")


@pytest.mark.parametrize("scale, band", [(1, True), (1.5, False)])
def test_the_isotonic_curve_is_beside_the_bins_and_has_a_band_for_whole_rows(scale, band):
    counts = ScoreHistogram()
    counts.add(Y.astype(float), np.minimum(P, 1 - P), P > 0.5, np.full(N, float(scale)))
    figure = drawn(plot.draw_calibration, panel([P], ["p"])._replace(curve=counts.curve()))
    _, labels = figure.axes[0].get_legend_handles_labels()
    assert "isotonic recalibration" in labels and "p, 95 % intervals" in labels
    assert ("95 % consistency band" in labels) == band


def test_losses_beyond_the_edges_are_in_bins_with_labels():
    figure = drawn(plot.draw_losses, panel([P], ["p"]))
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["<10⁻⁴", "10⁻⁴", "10⁻³", "0.01", "0.1", "1", "10", "100"]
    below = 100 * np.mean(fastxent.binary_cross_entropy(Y, P, reduction="none") < 1e-4)
    values = [patch.get_data().values for patch in axes.patches]
    assert values[1] == pytest.approx([below], rel=1e-9)
    assert sum(map(sum, values)) == pytest.approx(100)
    (legend,) = figure.legends
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())


def test_short_numbers():
    numbers = (0, 7, 999, 1000, 1234, 99_949, 99_950, 999_499, 999_500, 2e6, 123e6, 4e9)
    assert [plot._short(float(n)) for n in numbers] == [
        "0", "7", "999", "1k", "1.23k", "99.9k", "100k", "999k", "1M", "2M", "123M", "4G",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "ending, more",
    [
        ("png", []),
        ("svg", ["--compare", "q"]),
        ("svg", ["--by", "key", "--by", "y", "--compare", "q", "--weight", "w"]),
    ],
)
def test_groups_and_models_are_drawn(tmp_path, capsys, ending, more):
    keys = np.array([f"$\\group_{k}^\n<é漢" for k in range(30)])[KEYS]
    pq.write_table(pa.table({"y": Y, "p": P, "q": Q, "w": W, "key": keys}), tmp_path / "a.parquet")
    image = tmp_path / f"a.{ending}"
    command = ["score", tmp_path / "a.parquet", "--label", "y", "--proba", "p", "--plot", image]
    assert main(list(map(str, [*command, *more]))) == 0
    assert capsys.readouterr().err == ""
    if ending == "svg":
        text = image.read_text("utf-8")
        assert text.count("Calibration, n = ") == 1 + 5 * ("--by" in more)
        if "--by" in more:
            assert f"all rows, of {2 * len(set(KEYS))} groups: the 5 largest follow" in text


def test_a_picture_on_a_full_disk(tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plot, "draw", full)
    pq.write_table(pa.table({"y": Y, "p": P}), tmp_path / "a.parquet")
    image = str(tmp_path / "a.png")
    command = ["score", str(tmp_path / "a.parquet"), "--label", "y", "--proba", "p"]
    assert main([*command, "--plot", image]) == 2
    assert capsys.readouterr().err == f"fastxent: {image}: no space left on device\n"

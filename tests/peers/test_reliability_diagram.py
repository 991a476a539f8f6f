"""The reliability diagram: what is drawn is what was computed."""

import numpy as np
import pytest

import fastxent

pytest.importorskip("matplotlib", reason="matplotlib draws the diagram")
import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt

from fastxent.plot import consistency_band, reliability_diagram

pytestmark = pytest.mark.uncounted
RNG = np.random.default_rng(5)
P = RNG.beta(1, 1.5, 3000)
Y = RNG.random(3000) < P**1.5


@pytest.fixture
def ax():
    yield plt.subplots()[1]
    plt.close("all")


def test_the_curve_is_the_recalibration(ax):
    assert reliability_diagram(Y, P, ax=ax) is ax
    line = ax.lines[1]
    order = np.argsort(P)
    isotonic = pytest.importorskip("sklearn.isotonic", reason="the peer of the curve")
    want = isotonic.IsotonicRegression().fit_transform(P[order], Y[order])
    assert np.interp(P[order], *line.get_data()) == pytest.approx(want, abs=1e-12)
    parts = fastxent.decompose(Y, P)
    text = ax.get_legend().get_texts()[0].get_text()
    assert text == f"loss {parts.loss:.4f}, miscalibration {parts.miscalibration:.4f}"


def test_several_models(ax):
    reliability_diagram(Y, {"a": P, "b": P**1.5}, ax=ax, bins=0)
    assert [t.get_text()[0] for t in ax.get_legend().get_texts()] == ["a", "b"]
    assert len(ax.lines) == 3 and len(ax.collections) == 2


def test_a_new_figure():
    ax = reliability_diagram([0, 1, 1], [0.2, 0.4, 0.9])
    assert ax.get_xlabel() == "predicted probability"
    plt.close("all")


@pytest.mark.parametrize("n, digits", [(200, 15), (5000, 15), (5000, 2)])
def test_the_band_covers_calibrated_models(n, digits):
    p = np.round(RNG.beta(1, 1.5, n), digits)
    at, low, high = consistency_band(*np.unique(p, return_counts=True), 0.9)
    assert (low <= high).all()
    inside = []
    for _ in range(40):
        y = RNG.random(n) < p
        pools = fastxent._calibration.isotonic.isotonic_pools(y, p, None)
        curve = np.interp(
            at, np.ravel([pools.lower, pools.upper], "F"), np.repeat(pools.frequency, 2)
        )
        inside.append(np.average((low <= curve) & (curve <= high)))
    assert 0.84 < np.mean(inside) < 0.97


@pytest.mark.parametrize(
    "args, options, message",
    [
        (([0, 1], [0.5, 1.5]), {}, r"y_proba\[1\] = 1.5 is outside"),
        (([], []), {}, "nothing to draw"),
        (([0], [0.5]), {"bins": -1}, "bins=-1 is below 0"),
        (([0], [0.5]), {"confidence": 1.0}, "confidence=1.0 is not in"),
    ],
)
def test_refuses(args, options, message):
    with pytest.raises(ValueError, match=message):
        reliability_diagram(*args, **options)

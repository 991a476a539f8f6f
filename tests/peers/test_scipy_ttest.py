"""compare is scipy's paired t-test, without the losses of each model in memory."""

import numpy as np
import pytest

import fastxent

stats = pytest.importorskip("scipy.stats", reason="scipy.stats.ttest_rel is the peer of compare")

pytestmark = pytest.mark.uncounted


@pytest.mark.parametrize("n", [3, 1000, 300_000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ttest_rel(n, dtype):
    rng = np.random.default_rng(n)
    z = rng.normal(0, 2, n)
    y = rng.integers(0, 2, n)
    a, b = (1 / (1 + np.exp(-z - rng.normal(0, 0.5, n))) for _ in "ab")
    a, b = a.astype(dtype), b.astype(dtype)
    bce = fastxent.binary_cross_entropy
    losses = (bce(y, p, reduction="none").astype(float) for p in (a, b))
    want = stats.ttest_rel(*losses)
    got = fastxent.compare(bce, y, a, b)
    assert got.t == pytest.approx(want.statistic, rel=1e-12, abs=1e-12)
    assert got.p_value == pytest.approx(want.pvalue, rel=1e-9)
    interval = want.confidence_interval()
    assert got.confidence_interval() == pytest.approx([interval.low, interval.high], rel=1e-9)


def test_by_group():
    rng = np.random.default_rng(0)
    n = 100_000
    y, z, keys = rng.integers(0, 4, n), rng.normal(size=(2, n, 4)), rng.integers(0, 10, n)
    cce = fastxent.categorical_cross_entropy_with_logits
    got = fastxent.compare(cce, y, *z, keys)
    each = [cce(y, scores, reduction="none") for scores in z]
    for key, comparison in got.items():
        want = stats.ttest_rel(*(losses[keys == key] for losses in each))
        assert comparison.t == pytest.approx(want.statistic, rel=1e-12)

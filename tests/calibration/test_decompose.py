"""decompose: the parts of a log loss, against a plain isotonic regression written out here."""

import math

import numpy as np
import pytest

import fastxent
import fastxent.typing
from fastxent import binary_cross_entropy, decompose
from fastxent._calibration import isotonic
from helpers.losses import INTEGERS, bfloat16

RNG = np.random.default_rng(18)


def data(n, *, ties=False, dtype=np.float64):
    z = RNG.normal(0, 2, n)
    y = (RNG.random(n) < 1 / (1 + np.exp(-0.6 * z - 0.3))).astype(np.int8)
    p = 1 / (1 + np.exp(-z))
    return y, (np.round(p, 2) if ties else p).astype(dtype)


def recalibrated(y, p, w):
    """Isotonic regression by definition: the largest mean from the left, smallest from the right."""
    scores = np.unique(p)
    hits = np.array([(w * y)[p == s].sum() for s in scores])
    total = np.array([w[p == s].sum() for s in scores])
    h, t = np.append(0, hits.cumsum()), np.append(0, total.cumsum())
    n = len(scores)
    fit = [
        max(min((h[b] - h[a]) / (t[b] - t[a]) for b in range(i + 1, n + 1)) for a in range(i + 1))
        for i in range(n)
    ]
    return np.array(fit)[np.searchsorted(scores, p)]


def mean(y, p, w):
    with np.errstate(divide="ignore", invalid="ignore"):
        hit = np.where(y > 0, y * np.log(p), 0.0)
        miss = np.where(y < 1, (1 - y) * np.log1p(-p), 0.0)
    return -np.average(hit + miss, weights=w)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_by_definition(ties, soft, weighted):
    y, p = data(150, ties=ties)
    p = p.clip(0.01, 0.99)
    y = y * 0.9 + 0.05 if soft else y
    w = RNG.integers(1, 4, 150) * 0.5 if weighted else np.ones(150)
    found = decompose(y, p, sample_weight=w if weighted else None)
    r, base = recalibrated(y, p, w), np.full(150, np.average(y, weights=w))
    loss, least, uncertainty = (mean(y, q, w) for q in (p, r, base))
    want = (loss, loss - least, uncertainty - least, uncertainty)
    assert found == pytest.approx(want, abs=1e-14, rel=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3, 1000, 100_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_identity(n, dtype):
    y, p = data(n, dtype=dtype)
    loss, miscalibration, discrimination, uncertainty = decompose(y, p)
    assert loss == binary_cross_entropy(y, p)
    assert loss == pytest.approx(uncertainty - discrimination + miscalibration, abs=1e-14)
    assert miscalibration >= -1e-15 and discrimination >= -1e-15


@pytest.mark.parametrize("ties", [False, True])
def test_one_answer_by_either_way(ties):
    """Weights of 1 take the sort; they change nothing."""
    y, p = data(20_000, ties=ties)
    want = decompose(y, p)
    assert decompose(y, p, sample_weight=np.ones(len(y))) == pytest.approx(want, rel=1e-13)
    order = RNG.permutation(len(y))
    assert decompose(y[order], p[order]) == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smallest", [0.5, 1e-3, 1e-30, 0.0])
@pytest.mark.parametrize("per_bucket", [1, 16, 1000, 10**9])
def test_buckets(dtype, smallest, per_bucket, monkeypatch):
    """The pools are those of the sort, whatever the buckets."""
    monkeypatch.setattr(isotonic, "_PER_BUCKET", per_bucket)
    p = RNG.uniform(smallest, 1, 10_000).astype(dtype) ** 2
    for y in (RNG.integers(0, 2, 10_000), RNG.random(10_000) < p, RNG.random(10_000) < 0.01 * p):
        want = isotonic.isotonic_pools(y, p, None)
        found = isotonic.pooled_labels(y, p, None)
        assert all(map(np.array_equal, found, want[:2]))
        assert (np.diff(want.frequency) > 0).all()
        assert (want.lower[1:] > want.upper[:-1]).all() and (want.lower <= want.upper).all()


def test_calibrated_and_useless():
    y = np.repeat([0, 1, 0, 1], [8, 2, 3, 7])
    p = np.repeat([0.2, 0.7], 10)
    parts = decompose(y, p)
    assert parts.miscalibration == pytest.approx(0, abs=1e-15)
    assert decompose(y, np.full(20, 0.3)).discrimination == pytest.approx(0, abs=1e-15)
    assert decompose(y, 1 - p).discrimination == pytest.approx(0, abs=1e-15)


def test_a_perfect_model():
    parts = decompose([0, 1, 1], [0.0, 1.0, 1.0])
    assert parts.loss == pytest.approx(0, abs=1e-15)
    assert parts.discrimination == pytest.approx(parts.uncertainty)
    assert decompose([1, 1], [0.5, 0.5]).uncertainty == 0


def test_edges_of_the_interval():
    """0, -0 and 1 are scores as others are; the certain and wrong is clipped."""
    y, p = np.array([1, 0, 0, 1]), np.array([-0.0, 0.0, 1.0, 1.0])
    found = decompose(y, p)
    assert found.loss == binary_cross_entropy(y, p)
    assert found.discrimination == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool", "float16", "float64", "bfloat16"])
def test_labels_of_any_dtype(dtype):
    y, p = data(3000)
    labels = y.astype(bfloat16() if dtype == "bfloat16" else dtype)
    assert decompose(labels, p) == decompose(y, p)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", ">f4", ">f8"])
def test_scores_of_any_dtype(dtype):
    y, p = data(3000)
    p = p.astype(bfloat16() if dtype == "bfloat16" else dtype)
    found = decompose(y, p)
    assert found.loss == binary_cross_entropy(y, p)
    wide = decompose(y, p.astype(np.float64))
    assert found[2:] == pytest.approx(wide[2:], rel=1e-13)


def test_layout_and_mask():
    y, p = data(6000)
    table = np.stack([1 - p, p], axis=1)
    assert decompose(y, table[:, 1]) == decompose(y, p)
    square = decompose(y.reshape(60, 100), p.reshape(60, 100).copy("F"))
    assert square == decompose(y, p)
    mask = RNG.random(6000) < 0.5
    hidden = np.where(mask, p, np.nan)
    assert decompose(y, hidden, where=mask) == decompose(y[mask], p[mask])
    per_row = RNG.uniform(0, 2, 60)
    found = decompose(y.reshape(60, 100), p.reshape(60, 100), sample_weight=per_row)
    assert found == pytest.approx(decompose(y, p, sample_weight=np.repeat(per_row, 100)), rel=1e-13)


def test_weights_repeat_elements():
    y, p = data(3000, ties=True)
    times = RNG.integers(0, 4, 3000)
    want = decompose(np.repeat(y, times), np.repeat(p, times))
    assert decompose(y, p, sample_weight=times) == pytest.approx(want, rel=1e-12)


def test_nothing_counts():
    assert all(map(math.isnan, decompose([], [])))
    assert all(map(math.isnan, decompose([1, 0], [0.5, 0.5], sample_weight=[0, 0])))
    assert all(map(math.isnan, decompose([1, 0], [0.5, 0.5], where=[False, False])))


@pytest.mark.parametrize(
    "y, p, message",
    [
        ([1, 0], [0.5, 1.5], r"y_proba\[1\] = 1.5 is outside"),
        ([1, 0], [0.5, math.nan], r"y_proba\[1\] is NaN"),
        ([1, 2], [0.5, 0.5], r"y_true\[1\] = 2 is not a valid label"),
        ([1], [0.5, 0.5], "nothing is broadcast"),
    ],
)
def test_refuses(y, p, message):
    with pytest.raises(ValueError, match=message):
        decompose(y, p)


def test_the_arrays_stay_as_they_are():
    y, p = data(1000)
    before = y.copy(), p.copy()
    decompose(y, p)
    decompose(y, p, sample_weight=np.ones(1000))
    assert np.array_equal(y, before[0]) and np.array_equal(p, before[1])
    p.flags.writeable = False
    decompose(y, p)


def test_type():
    assert isinstance(decompose([0, 1], [0.5, 0.5]), fastxent.typing.Decomposition)

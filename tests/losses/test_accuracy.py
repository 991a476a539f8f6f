"""Accuracy: against mpmath at forty digits, and in bulk against longdouble.

The bounds are the contract's: a float64 mean within 4e-16 of itself (where it is at least 0.01),
1e-13 where every loss is tiny; float32 logits 2e-9, rows of them 5e-9; each loss within 2 ulp.
"""

import numpy as np
import pytest

from helpers import reference
from helpers.losses import bfloat16, loss
from helpers.reference import EXTENDED, LD
from helpers.reference_mpmath import (
    exact,
    exact_binary,
    exact_binary_logits,
    exact_row_logits,
    mp,
    ulps,
)

bulk = pytest.mark.skipif(
    not EXTENDED, reason="longdouble is float64 here: nothing to compare with"
)
N = 1000
MANY = 100_003
BCE, BCE_LOGITS = "binary_cross_entropy", "binary_cross_entropy_with_logits"
CCE, CCE_LOGITS = "categorical_cross_entropy", "categorical_cross_entropy_with_logits"


def relative(got, want):
    return float(abs(exact(got) - want) / abs(want))


def exact_mean(losses):
    return mp.fsum(losses) / len(losses)


def exact_losses(name, y, scores):
    one = {BCE: exact_binary, BCE_LOGITS: exact_binary_logits, CCE_LOGITS: exact_row_logits}[name]
    return [one(k, x) for k, x in zip(y.tolist(), scores, strict=True)]


def uniform(low, high, n=N, seed=1):
    return np.random.default_rng(seed).uniform(low, high, n)


def coin(n=N, seed=2):
    return np.random.default_rng(seed).integers(0, 2, n)


#: From a classifier that guesses to one that is almost certain, right or wrong.
PROBABILITIES = {
    "guessing": lambda n: uniform(0.3, 0.7, n),
    "anything": lambda n: uniform(0, 1, n),
    "near 0": lambda n: 10.0 ** uniform(-15, -1, n),
    "near 1": lambda n: 1 - 10.0 ** uniform(-15, -1, n),
    "wrong by far": lambda n: 10.0 ** uniform(-307, -200, n),
    "around 1/2": lambda n: 0.5 + uniform(-1e-9, 1e-9, n),
    "around sqrt(1/2)": lambda n: 0.5**0.5 + uniform(-1e-7, 1e-7, n),
}
LOGITS = {
    "guessing": lambda n: uniform(-0.1, 0.1, n),
    "anything": lambda n: uniform(-8, 8, n),
    "certain": lambda n: uniform(-40, 40, n),
    "all but overflowing": lambda n: uniform(-745, 745, n),
    "tiny": lambda n: uniform(-1, 1, n) * 10.0 ** uniform(-30, -3, n),
    "halves": lambda n: np.round(uniform(-60, 60, n)) / 2,
    "multiples of log 2": lambda n: np.log(2) * np.round(uniform(-50, 50, n)),
}


def right(scores, middle):
    """The labels that make every loss smallest."""
    return (np.asarray(scores, float) > middle).astype(np.int64)


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


# ------------------------------------------------------------------------------------- means


@pytest.mark.parametrize("regime", ["guessing", "anything", "around 1/2", "around sqrt(1/2)"])
def test_mean_from_probabilities(regime):
    p, y = PROBABILITIES[regime](N), coin()
    want = exact_mean(exact_losses(BCE, y, p))
    assert want > 0.01
    assert relative(loss(BCE)(y, p), want) < 4e-16


@pytest.mark.parametrize("regime", ["guessing", "anything", "certain", "multiples of log 2"])
def test_mean_from_logits(regime):
    z, y = LOGITS[regime](N), coin()
    want = exact_mean(exact_losses(BCE_LOGITS, y, z))
    assert want > 0.01
    assert relative(loss(BCE_LOGITS)(y, z), want) < 4e-16


@pytest.mark.parametrize("dtype", ["int8", "float64"])
@pytest.mark.parametrize("miss", [1e-2, 1e-4, 1e-7, 1e-10, 2e-15])
def test_mean_of_tiny_losses_from_probabilities(miss, dtype):
    """A classifier that is right with p = 1 - miss."""
    y = coin()
    p = np.where(y == 1, 1 - miss * uniform(0.5, 1.5), miss * uniform(0.5, 1.5))
    want = exact_mean(exact_losses(BCE, y, p))
    assert relative(loss(BCE)(y.astype(dtype), p), want) < 1e-13


@pytest.mark.parametrize("size", [3, 12, 25, 40, 100, 600])
def test_mean_of_tiny_losses_from_logits(size):
    y = coin()
    z = np.where(y == 1, 1, -1) * size * uniform(0.9, 1.1)
    want = exact_mean(exact_losses(BCE_LOGITS, y, z))
    assert relative(loss(BCE_LOGITS)(y, z), want) < 1e-13


@pytest.mark.parametrize("classes", [2, 3, 10, 32, 33, 100, 1000])
@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
def test_mean_of_rows(classes, scale):
    rng = np.random.default_rng(3)
    z = rng.normal(0, scale, (max(10, 2000 // classes), classes))
    y = rng.integers(0, classes, len(z))
    want = exact_mean(exact_losses(CCE_LOGITS, y, z))
    assert relative(loss(CCE_LOGITS)(y, z), want) < 4e-16
    p = softmax(z)
    chosen = np.maximum(p[np.arange(len(y)), y], 2.0**-52)
    want = exact_mean([-mp.log(exact(q)) for q in chosen])
    assert relative(loss(CCE)(y, p), want) < 4e-16


@pytest.mark.parametrize("classes", [2, 10, 33, 1000])
@pytest.mark.parametrize("lead", [8, 20, 40, 300])
def test_mean_of_tiny_losses_of_rows(classes, lead):
    rng = np.random.default_rng(4)
    z = rng.normal(0, 1, (max(10, 1000 // classes), classes))
    y = rng.integers(0, classes, len(z))
    z[np.arange(len(y)), y] += lead
    want = exact_mean(exact_losses(CCE_LOGITS, y, z))
    assert relative(loss(CCE_LOGITS)(y, z), want) < 1e-13


@bulk
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", [BCE, BCE_LOGITS])
def test_means_in_bulk(name, soft, weighted):
    z = uniform(-6, 6, 400_003)
    scores = z if name == BCE_LOGITS else 1 / (1 + np.exp(-z))
    y = uniform(0, 1, z.size) if soft else coin(z.size)
    options = {"sample_weight": uniform(0, 3, z.size)} if weighted else {}
    want = getattr(reference, name)(y, scores, **options)
    for workers in (1, 2):
        got = loss(name)(y, scores, workers=workers, **options)
        assert abs(got / want - 1) < 5e-16  # the reference itself is a float here


@bulk
@pytest.mark.parametrize("scale", [0.1, 1, 5, 20])
def test_float32_logits_in_bulk(scale):
    """No bias: that of a plain float32 exponential is 1e-8."""
    z = (uniform(-1, 1, 300_007) * scale).astype(np.float32)
    for y in (coin(z.size), right(z, 0), uniform(0, 1, z.size).astype(np.float32)):
        assert abs(loss(BCE_LOGITS)(y, z) / getattr(reference, BCE_LOGITS)(y, z) - 1) < 2e-9


@bulk
@pytest.mark.parametrize("classes", [2, 3, 10, 32, 33, 100, 1000, 20_000])
def test_rows_of_float32_logits_in_bulk(classes):
    rng = np.random.default_rng(5)
    for scale in (0.1, 1, 5):
        z = rng.normal(0, scale, (200_000 // classes, classes)).astype(np.float32)
        y = rng.integers(0, classes, len(z))
        want = getattr(reference, CCE_LOGITS)(y, z)
        assert abs(loss(CCE_LOGITS)(y, z) / want - 1) < 5e-9, scale


@bulk
def test_float32_probabilities_in_bulk():
    for p in (uniform(0, 1, MANY), 1 - 10 ** uniform(-6, -1, MANY)):
        p = p.astype(np.float32)
        for y in (coin(MANY), right(p, 0.5)):
            assert abs(loss(BCE)(y, p) / getattr(reference, BCE)(y, p) - 1) < 1e-13


@pytest.mark.parametrize("n", [100, 10_007, MANY])
def test_the_sum_does_not_lose_what_is_small(n):
    """One great loss first, then many tiny ones."""
    z = np.full(n, -36.0)
    z[0] = 1e9
    want = exact(1e9) + (n - 1) * exact_binary_logits(0, -36.0)
    assert relative(loss(BCE_LOGITS)(np.zeros(n, int), z, reduction="sum"), want) < 2.3e-16


# ------------------------------------------------------------------------------ each by itself


def assert_within_2_ulp(name, y, scores, **options):
    got = loss(name)(y, scores, reduction="none", **options)
    want = exact_losses(name, y[:200], scores[:200])
    assert ulps(got[:200], want, got.dtype) <= 2
    if EXTENDED:
        want = getattr(reference, name)(y, scores, reduction="wide", **options)
        assert ulps(got, want, got.dtype) <= 2


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("regime", PROBABILITIES)
def test_each_loss_from_probabilities(regime, dtype):
    p = np.maximum(PROBABILITIES[regime](MANY).astype(dtype), np.finfo(dtype).tiny)
    p = p[p < 1]
    for y in (coin(p.size), right(p, 0.5), 1 - right(p, 0.5)):
        assert_within_2_ulp(BCE, y, p, eps=0)
        if regime != "wrong by far":
            fine = (p >= np.finfo(dtype).eps) & (1 - p >= np.finfo(dtype).eps)
            assert_within_2_ulp(BCE, y[fine], p[fine])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("regime", PROBABILITIES)
def test_each_loss_of_soft_labels(regime, dtype):
    p = np.maximum(PROBABILITIES[regime](MANY).astype(dtype), np.finfo(dtype).tiny)
    p = p[p < 1]
    assert_within_2_ulp(BCE, uniform(0, 1, p.size).astype(dtype), p, eps=0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("regime", LOGITS)
def test_each_loss_from_logits(regime, dtype):
    z = LOGITS[regime](MANY).astype(dtype)
    soft = uniform(0, 1, z.size).astype(dtype)
    for y in (coin(z.size), right(z, 0), 1 - right(z, 0), soft):
        fine = np.abs(z) < (700 if dtype == "float64" else 87) if y is not soft else slice(None)
        assert_within_2_ulp(BCE_LOGITS, y[fine], z[fine])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [2, 3, 10, 32, 33, 100, 1100])
def test_each_loss_of_rows(classes, dtype):
    rng = np.random.default_rng(6)
    n = max(20, 20_000 // classes)
    for scale, lead in ((0.01, 0), (1, 0), (10, 0), (1, 20), (1, 40)):
        z = rng.normal(0, scale, (n, classes))
        y = rng.integers(0, classes, n)
        z[np.arange(n), y] += lead
        z = z.astype(dtype)
        got = loss(CCE_LOGITS)(y, z, reduction="none")
        few = max(2, 200 // classes)
        assert ulps(got[:few], exact_losses(CCE_LOGITS, y[:few], z[:few]), dtype) <= 2
        if EXTENDED:
            want = getattr(reference, CCE_LOGITS)(y, z, reduction="wide")
            assert ulps(got, want, dtype) <= 2, (scale, lead)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_each_loss_of_rows_of_probabilities(dtype):
    rng = np.random.default_rng(7)
    for regime in PROBABILITIES.values():
        p = np.maximum(regime(N).astype(dtype), np.finfo(dtype).tiny)
        rows = np.stack([p, 1 - p, p], axis=1)
        y = rng.integers(0, 2, N) * 2
        got = loss(CCE)(y, rows, eps=0, reduction="none")
        assert ulps(got, [-mp.log(exact(q)) for q in p], dtype) <= 2


@pytest.mark.parametrize("regime", ["anything", "certain", "tiny"])
def test_each_loss_in_half_precision(regime):
    """The result is float32, of the scores as they are."""
    for dtype in (np.dtype("float16"), bfloat16()):
        z, y = LOGITS[regime](N).astype(dtype), coin()
        got = loss(BCE_LOGITS)(y, z, reduction="none")
        assert got.dtype == np.float32
        assert ulps(got, exact_losses(BCE_LOGITS, y, z.astype(float)), "float32") <= 2


#: Logits of a row of three; the first is the class that is right, all are given a sign.
SIZES = [0.0, 1e-7, 3e-5, 1e-4, 1 / 128, 0.0103, 0.5, 1.37, 7.96, 15.7, 31.3, 60.1]


@pytest.mark.parametrize("classes", [3, 40])
def test_each_loss_of_rows_of_half_precision(classes):
    """Logits of any size, alike or far apart: the rounding of their difference counts."""
    signed = sorted({sign * size for size in SIZES for sign in (1, -1)})
    rows = np.array([(a, b, c) for a in signed for b in signed for c in signed])
    rows = rows[np.ptp(rows, axis=1) < 80]  # further apart, float32 has no digits for the loss
    for dtype in (np.dtype("float16"), bfloat16()):
        z = np.full((len(rows), classes), -np.inf, dtype)
        z[:, :3] = rows.astype(dtype)
        y = np.zeros(len(rows), int)
        got = loss(CCE_LOGITS)(y, z, reduction="none")
        assert got.dtype == np.float32
        assert ulps(got, exact_losses(CCE_LOGITS, y, z[:, :3].astype(float)), "float32") <= 2


@bulk
@pytest.mark.parametrize(
    "options",
    [
        {"sample_weight": 3.7},
        {"sample_weight": 1e-5},
        {"label_smoothing": 0.1},
        {"label_smoothing": 0.1, "sample_weight": 0.3},
        {"pos_weight": 2.7, "sample_weight": 0.3},
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_each_loss_with_options(dtype, options):
    """Each option adds a rounding of half an ulp, and may halve the size of an ulp."""
    z, y = LOGITS["certain"](MANY).astype(dtype), coin(MANY)
    if "sample_weight" in options:
        options = options | {"sample_weight": np.full(MANY, options["sample_weight"], dtype)}
    got = loss(BCE_LOGITS)(y, z, reduction="none", **options)
    want = getattr(reference, BCE_LOGITS)(y, z, reduction="wide", **options)
    assert ulps(got, want.astype(LD), dtype) <= 4


# -------------------------------------------------------------------------------- known values


def test_the_figure_of_the_contract():
    want = 4.248354255291589e-18
    assert loss(BCE_LOGITS)([1], [40.0]) == want
    assert loss(BCE_LOGITS)([0], [-40.0], reduction="sum") == want
    for labels in ([0], [[1.0, 0.0]]):
        for reduction in ("mean", "sum", "none"):
            assert loss(CCE_LOGITS)(labels, [[0.0, -40.0]], reduction=reduction) == want


def test_known_means():
    got = loss(BCE)([1, 0, 1, 0], [0.9, 0.1, 0.8, 0.35])
    assert got == pytest.approx(0.21616187468057912, rel=4e-16)
    assert loss(BCE)([1, 0], [0.5, 0.5]) == 0.6931471805599453
    assert loss(BCE_LOGITS)([1, 0], [0.0, 0.0]) == 0.6931471805599453
    assert loss(CCE_LOGITS)([1], [[0.0] * 8]) == 2.0794415416798357


def test_any_eps_clips_both_outcomes_to_eps():
    eps = 1e-7  # 1 - (1 - eps) is not eps
    p = np.full(4096, 1 - 1e-9)
    expected = -np.log(np.longdouble(eps))
    value = loss("binary_cross_entropy")(np.zeros(4096, int), p, eps=eps)
    assert abs(value - expected) <= 4e-16 * expected

"""Extreme values: infinities, 0 and 1, subnormals, signed zeros, the largest numbers."""

import math

import numpy as np
import pytest

import fastxent
from helpers import reference
from helpers.losses import BINARY, CATEGORICAL, LOGITS, LOSSES, PROBABILITIES, loss

INF = np.inf
bce = loss("binary_cross_entropy")
bce_logits = loss("binary_cross_entropy_with_logits")
cce = loss("categorical_cross_entropy")
cce_logits = loss("categorical_cross_entropy_with_logits")
DTYPES = ["float64", "float32", "float16"]
#: Alone, in the tail of a block, in the midst of many: so that each code path sees the limit.
PLACES = [(1, 0), (40, 35), (5000, 0), (5000, 3333), (5000, 4999)]


def among(n, place, special, usual):
    """`usual` n times but for one place."""
    a = np.full((n, *np.shape(usual)), usual)
    a[place] = special
    return a


# ------------------------------------------------------------------------------------ binary


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "label, logit, want",
    [
        (1, INF, 0), (0, INF, INF), (1, -INF, INF), (0, -INF, 0),
        (0.5, INF, INF), (0.5, -INF, INF), (1.0, INF, 0), (0.0, -INF, 0),
        (1, 0.0, math.log(2)), (1, -0.0, math.log(2)), (0.5, -0.0, math.log(2)),
    ],
)  # fmt: skip
def test_logits_at_the_limit(label, logit, want, dtype):
    for n, place in PLACES:
        y, z = among(n, place, label, 0 * label), among(n, place, logit, -INF).astype(dtype)
        each = bce_logits(y, z, reduction="none")
        assert each[place] == pytest.approx(want, rel=1e-7)
        assert not np.delete(each, place).any()
        assert bce_logits(y, z, reduction="sum") == pytest.approx(want, rel=1e-7)
        assert bce_logits(y, z) == pytest.approx(want / n, rel=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("eps", [0, 0.0])
def test_probabilities_of_0_and_1_without_eps(dtype, eps):
    for n, place in PLACES:
        for label, p, want in [(1, 1, 0), (0, 0, 0), (1, 0, INF), (0, 1, INF), (0.5, 1, INF)]:
            y, scores = among(n, place, label, 0 * label), among(n, place, p, 0).astype(dtype)
            assert bce(y, scores, eps=eps, reduction="sum") == want
            assert bce(y, scores, eps=eps) == want
            assert bce(y, scores, eps=eps, reduction="none")[place] == want


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_minus_zero_is_zero(zero):
    """As a probability, a label, a weight, an eps: no loss is below 0."""
    for n in (1, 1024, 3000):
        p, y = np.full(n, zero), np.full(n, zero)
        for eps in ("auto", 0.0, -0.0):
            got = bce(y, p, eps=eps, reduction="none")
            assert not np.signbit(got).any()
            np.testing.assert_array_equal(
                got, bce(np.zeros(n), np.zeros(n), eps=eps, reduction="none")
            )
        assert bce_logits(y, p) == pytest.approx(math.log(2), rel=1e-15)
        assert bce_logits(y, p, sample_weight=np.full(n, zero), reduction="sum") == 0
        assert cce(np.zeros(n, int), np.full((n, 2), [1, zero]), eps=0, reduction="sum") == 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_largest_and_the_smallest_logits(dtype):
    info = np.finfo(dtype)
    for z in (info.max, info.max / 2, 1e30, info.tiny, info.smallest_subnormal, 800.0, 710.0):
        z = np.array([z, -z], dtype)
        for y in ([1, 0], [0, 1], [0.25, 0.75]):
            want = reference.binary_cross_entropy_with_logits(y, z, reduction="none")
            np.testing.assert_allclose(
                bce_logits(y, z, reduction="none"), want, rtol=3e-7, atol=info.smallest_subnormal
            )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_losses_that_are_subnormal(dtype):
    """z = 740 costs 4e-322 in float64, 100 costs 4e-44 in float32: not 0, where it is correct."""
    z = {"float64": [709.0, 720, 740, 760], "float32": [88.0, 95, 100, 110]}[dtype]
    got = bce_logits([1] * 4, np.array(z, dtype), reduction="none")
    want = np.exp(-np.array(z, np.longdouble)).astype(dtype)
    assert (np.abs(got - want) <= 2 * np.finfo(dtype).smallest_subnormal + 1e-6 * want).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_probabilities(dtype):
    info = np.finfo(dtype)
    for p in (info.smallest_subnormal, info.tiny / 2, info.tiny):
        scores = np.full(3000, p, dtype)
        exactly = float(scores[0])
        want = -math.log(exactly)
        assert bce(np.ones(3000, int), scores, eps=0) == pytest.approx(want, rel=1e-7)
        assert cce(np.zeros(3000, int), scores[:, None], eps=0) == pytest.approx(want, rel=1e-7)
        assert bce(np.zeros(3000, int), scores, eps=0) == pytest.approx(
            -math.log1p(-exactly), rel=1e-6
        )


def test_a_product_of_the_smallest():
    """3,000 factors of 1e-300: the product of likelihoods must not underflow on the way."""
    for p in (1e-300, 2.0**-1074, 1e-17, 0.5):
        scores = np.full(3000, p)
        got = bce(np.ones(3000, int), scores, eps=0, reduction="sum")
        assert got == pytest.approx(-3000 * math.log(p), rel=4e-16)


def test_sums_beyond_float32():
    for dtype in ("float32", "float16"):
        z = np.full(5000, np.finfo(dtype).max, dtype)
        got = bce_logits(np.zeros(5000, int), z, reduction="sum")
        assert got == pytest.approx(5000 * float(np.finfo(dtype).max), rel=1e-15)
        assert bce_logits(np.zeros(5000, int), z) == pytest.approx(float(z[0]), rel=1e-15)
        rows = np.stack([z, -z], axis=1)
        got = cce_logits(np.ones(5000, int), rows, reduction="sum")
        assert got == pytest.approx(10000 * float(np.finfo(dtype).max), rel=1e-15)


def test_a_loss_beyond_the_type_is_infinite():
    """Like every float: 1e308 apart by 2e308."""
    assert cce_logits([1], [[1e308, -1e308]]) == INF
    z = np.array([[3e38, -3e38]], np.float32)
    assert cce_logits([1], z) == pytest.approx(6e38, rel=1e-7)
    assert cce_logits([1], z, reduction="none")[0] == INF


# -------------------------------------------------------------------------------- categorical

ROWS = [  # row, target, loss
    ([INF, 0, 1], 0, 0),
    ([INF, -INF, -INF], 0, 0),
    ([INF, 0, 1], 1, INF),
    ([INF, -INF, 1], 1, INF),
    ([-INF, 0, 0], 0, INF),
    ([-INF, 0, 0], 1, math.log(2)),
    ([-INF, -INF, 5], 2, 0),
    ([-INF, -INF, -1e30], 2, 0),
    ([INF, INF, 1], 2, INF),
    ([0, 0, 0], 1, math.log(3)),
    ([-0.0, 0, -0.0], 1, math.log(3)),
    ([3e38, 3e38, 3e38], 0, math.log(3)),
    ([-3e38, -3e38, -3e38], 0, math.log(3)),
    ([1e30, 0, -1e30], 0, 0),
    ([1e30, 0, -1e30], 1, 1e30),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row, target, want", ROWS)
def test_rows_at_the_limit(row, target, want, dtype):
    for n, place in PLACES:
        z = among(n, place, row, [0.0, -INF, -INF]).astype(dtype)
        y = among(n, place, target, 0)
        for labels in (y, np.eye(3)[y]):
            each = cce_logits(labels, z, reduction="none")
            assert each[place] == pytest.approx(want, rel=1e-6)
            assert not np.delete(each, place).any()
            assert cce_logits(labels, z, reduction="sum") == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 31, 32, 33, 64, 1000, 1025, 3000])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_infinities_anywhere_in_rows_of_any_length(classes, dtype):
    rng = np.random.default_rng(classes)
    z = rng.normal(0, 2, (200, classes)).astype(dtype)
    y = rng.integers(0, classes, 200)
    rows = np.arange(200)
    z[rows % 5 == 0, (y[rows % 5 == 0] + 1) % classes] = -INF  # another class
    z[rows % 5 == 1, y[rows % 5 == 1]] = -INF
    z[rows % 5 == 2, y[rows % 5 == 2]] = INF
    z[rows % 5 == 3, (y[rows % 5 == 3] + 1) % classes] = INF
    want = reference.categorical_cross_entropy_with_logits(y, z, reduction="none")
    np.testing.assert_allclose(cce_logits(y, z, reduction="none"), want, rtol=3e-7)
    assert np.isinf(want[rows % 5 == 1]).all() and not want[rows % 5 == 2].any()


def test_a_distribution_with_0_at_an_infinite_cost():
    """0·inf = 0, where torch and optax have nan."""
    assert cce_logits([[1.0, 0.0]], [[0.0, -INF]]) == 0
    assert cce_logits([[0.5, 0.5, 0]], [[0.0, 0.0, -INF]]) == pytest.approx(math.log(2))
    assert cce_logits([[0.5, 0.5, 1e-9]], [[0.0, 0.0, -INF]]) == INF
    assert cce([[1.0, 0.0]], [[1.0, 0.0]], eps=0) == 0
    assert cce([[0.5, 0.5]], [[1.0, 0.0]], eps=0) == INF
    assert cce_logits([0], [[0.0, -INF]], class_weight=[1, 0], label_smoothing=0.5) == 0
    assert bce_logits([1.0], [INF], sample_weight=[0.0], reduction="sum") == 0
    assert bce_logits([0.0], [INF], sample_weight=[0.0], reduction="sum") == 0


@pytest.mark.parametrize("classes", [2, 10, 32, 33, 193, 1000, 1025, 3000])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_distributions_over_a_masked_vocabulary_of_any_length(classes, dtype):
    """Words of probability 0 at a logit of -inf, or of any finite size, cost nothing."""
    rng = np.random.default_rng(classes)
    z = rng.normal(0, 2, (130, classes)).astype(dtype)
    q = rng.random((130, classes))
    absent = rng.random((130, classes)) < 0.3
    absent[:, rng.integers(classes)] = False
    q[absent] = np.where(rng.random(absent.sum()) < 0.5, 0.0, -0.0)
    q = (q / q.sum(axis=1, keepdims=True)).astype(dtype)
    z[absent] = rng.choice([-INF, np.finfo(dtype).min, 1.0], absent.sum())
    x, p = z.astype(np.longdouble), q.astype(np.longdouble)
    largest = x.max(axis=1, keepdims=True)
    logsumexp = largest + np.log(np.exp(x - largest).sum(axis=1, keepdims=True))
    want = np.where(p == 0, 0, p * (logsumexp - np.where(p == 0, 0, x))).sum(axis=1)
    rtol = 1e-14 if dtype == "float64" else 3e-7
    np.testing.assert_allclose(cce_logits(q, z, reduction="none"), want, rtol=rtol)
    mask = rng.random(130) < 0.5
    assert cce_logits(q, z, where=mask) == pytest.approx(float(want[mask].mean()), rel=rtol)

    place = 77, int(np.flatnonzero(absent[77])[0]) if absent[77].any() else 0
    for array, value in ((z, np.nan), (q, np.nan), (q, 1.5), (q, -0.1)):
        kept, array[place] = array[place], value
        with pytest.raises(ValueError, match=rf"\[77, {place[1]}\]"):
            cce_logits(q, z)
        array[place] = kept
    q[place], z[place] = 0.25, -INF
    assert np.flatnonzero(np.isinf(cce_logits(q, z, reduction="none"))).tolist() == [77]


@pytest.mark.parametrize("row", [[-INF, -INF], [INF, INF], [INF, INF, 0], [-INF]])
def test_rows_without_a_distribution(row):
    """Every finite logit gives a distribution; these give none, so neither a loss."""
    for n, place in PLACES:
        z = among(n, place, row, np.zeros(len(row)))
        y = np.zeros(n, int)
        with pytest.raises(ValueError, match=rf"logits\[{place}\].*its loss is undefined"):
            cce_logits(y, z)
        each = cce_logits(y, z, nan_policy="propagate", reduction="none")
        assert np.flatnonzero(np.isnan(each)).tolist() == [place]
        assert cce_logits(y, z, nan_policy="omit", reduction="none")[place] == 0


@pytest.mark.parametrize("name", CATEGORICAL)
def test_one_class_costs_nothing(name):
    scores = (
        np.random.default_rng(0).normal(0, 9, (3000, 1)) if name in LOGITS else np.ones((3000, 1))
    )
    y = np.zeros(3000, int)
    exactly = {} if name in LOGITS else {"eps": 0}
    for labels in (y, np.ones((3000, 1))):
        assert loss(name)(labels, scores, **exactly) == 0
        assert not loss(name)(labels, scores, reduction="none", **exactly).any()
    if name in LOGITS:
        assert loss(name)(y, np.full((3000, 1), INF)) == 0


@pytest.mark.parametrize("classes", [2, 10, 32, 33, 1000, 4097])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("value", [0.0, 1.0, -5.0, 6e4, -6e4])
def test_equal_rows(classes, dtype, value):
    z = np.full((130, classes), value, dtype)
    y = np.arange(130) % classes
    got = cce_logits(y, z, reduction="none")
    np.testing.assert_allclose(got, np.log(classes), rtol=2e-7 if got.dtype == "f4" else 3e-16)
    assert cce_logits(y, z) == pytest.approx(math.log(classes), rel=5e-9)


@pytest.mark.parametrize("classes", [2, 10, 33, 2000])
def test_logits_that_rise_and_fall(classes):
    """The running maximum changes in every block, or in none."""
    ramp = np.linspace(-700, 700, classes)
    for z in (ramp, ramp[::-1], np.abs(ramp), -np.abs(ramp)):
        rows = np.tile(z, (70, 1))
        y = np.arange(70) % classes
        want = reference.categorical_cross_entropy_with_logits(y, rows, reduction="none")
        np.testing.assert_allclose(cce_logits(y, rows, reduction="none"), want, rtol=1e-15)


# ---------------------------------------------------------------------------------------- both


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_is_below_nought(name):
    rng = np.random.default_rng(1)
    n = 20_000
    z = rng.normal(0, 50, n if name in BINARY else (n, 3))
    scores = (
        z
        if name in LOGITS
        else (1 / (1 + np.exp(-z)) if name in BINARY else np.round(rng.random((n, 3))))
    )
    y = rng.integers(0, 2 if name in BINARY else 3, n)
    for dtype in DTYPES:
        for labels in (y, rng.random(np.shape(z)).astype(dtype)):
            for options in ({}, {"eps": 0} if name in PROBABILITIES else {"label_smoothing": 0.3}):
                each = loss(name)(labels, scores.astype(dtype), reduction="none", **options)
                assert (each >= 0).all()


@pytest.mark.filterwarnings("error")
def test_a_signaling_nan_is_like_any_other():
    """NumPy warns of it at every cast."""
    bad = np.array([0x7F800001, 0], np.uint32).view(np.float32)
    assert bce([0, 1], bad, nan_policy="omit") == bce([1], bad[1:])
    with pytest.raises(ValueError, match=r"y_proba\[0\] is NaN"):
        bce([0, 1], bad)
    fastxent.score("binary_cross_entropy", [0, 1], bad, nan_policy="omit")
    with pytest.raises(ValueError, match="NaN"):
        fastxent.log_loss([0, 1], bad)
    with pytest.raises(
        ValueError, match=r"NaN|sample_weight\[0\] = nan"
    ):  # scikit-learn's, or ours
        fastxent.log_loss([0, 1], [0.5, 0.5], sample_weight=bad)
    with pytest.raises(ValueError, match=r"class_weight\[0\] = nan"):
        cce([0, 1], [[0.5, 0.5]] * 2, class_weight=bad)


@pytest.mark.parametrize("weight", [1e-300, 1e300, 1e308])
@pytest.mark.parametrize("name", LOSSES)
def test_extreme_weights(name, weight):
    """A mean does not depend on the size of the weights, as long as their sum is finite."""
    y = [1, 0, 1] if name in BINARY else [0, 1, 0]
    scores = np.array([0.25, 0.5, 0.75]) if name in BINARY else np.array([[0.25, 0.75]] * 3)
    few = np.array([1, 0, 0]) * weight
    want = loss(name)(y[:1], scores[:1])
    assert loss(name)(y, scores, sample_weight=few) == pytest.approx(want, rel=1e-14)

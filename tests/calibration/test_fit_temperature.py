"""fit_temperature: against mpmath, by definition, and what it refuses."""

import math

import numpy as np
import pytest

import fastxent.typing
from fastxent import categorical_cross_entropy_with_logits, fit_temperature
from helpers.losses import INTEGERS, bfloat16

mpmath = pytest.importorskip("mpmath", reason="mpmath is the reference")
RNG = np.random.default_rng(180)


def data(n, k, gain=1.5, scale=2.0):
    z = RNG.normal(size=(n, k))
    y = RNG.integers(0, k, n)
    z[np.arange(n), y] += gain
    return y, z * scale


def exact(y, z, w=None):
    """(temperature, its standard error, loss) with 40 digits."""
    with mpmath.workdps(40):
        w = [mpmath.mpf(1)] * len(y) if w is None else [mpmath.mpf(float(v)) for v in w]
        rows = [[mpmath.mpf(float(v)) for v in row] for row in z]

        def moments(beta):
            total = slope = curvature = mpmath.mpf(0)
            for row, q, weight in zip(rows, y, w, strict=True):
                q = [mpmath.mpf(float(v)) for v in q]
                e = [mpmath.exp(beta * v) for v in row]
                s, mass = mpmath.fsum(e), mpmath.fsum(q)
                mean = mpmath.fsum(a * b for a, b in zip(e, row, strict=True)) / s
                square = mpmath.fsum(a * b * b for a, b in zip(e, row, strict=True)) / s
                target = mpmath.fsum(a * b for a, b in zip(q, row, strict=True))
                total += weight * (mass * mpmath.log(s) - beta * target)
                slope += weight * (mass * mean - target)
                curvature += weight * mass * (square - mean**2)
            return total, slope, curvature

        beta = mpmath.findroot(lambda b: moments(b)[1], (0.3, 0.6), solver="secant", tol=1e-60)
        total, _, curvature = moments(beta)
        return tuple(map(float, (1 / beta, 1 / (beta**2 * mpmath.sqrt(curvature)), total / sum(w))))


def one_hot(y, k):
    return np.eye(k)[y]


@pytest.mark.parametrize("k", [2, 3, 32, 33, 200])
def test_against_mpmath(k):
    y, z = data(60, k)
    want = exact(one_hot(y, k), z)
    fit = fit_temperature(y, z)
    assert (fit.temperature, fit.loss) == pytest.approx(want[::2], rel=1e-12)
    assert fit.standard_error == pytest.approx(want[1], rel=1e-9)
    assert fit.loss_before == pytest.approx(categorical_cross_entropy_with_logits(y, z), rel=1e-14)
    assert 1 <= fit.iterations <= 10


@pytest.mark.parametrize("k", [3, 50])
def test_distributions_and_weights_against_mpmath(k):
    y, z = data(60, k)
    q = 0.8 * one_hot(y, k) + 0.2 * RNG.dirichlet(np.ones(k), 60)
    w = RNG.uniform(0, 3, 60)
    want = exact(q, z, w)
    fit = fit_temperature(q, z, sample_weight=w)
    assert (fit.temperature, fit.loss) == pytest.approx(want[::2], rel=1e-12)
    assert fit.standard_error == pytest.approx(want[1], rel=1e-9)
    hard = fit_temperature(y, z, sample_weight=w)
    soft = fit_temperature(one_hot(y, k), z, sample_weight=w)
    assert soft[:4] == pytest.approx(hard[:4], rel=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("gain, k", [(1.5, 10), (4.0, 4), (0.3, 3), (3.0, 300)])
def test_ten_passes_from_anywhere(scale, gain, k):
    y, z = data(3000, k, gain)
    want = fit_temperature(y, z)
    fit = fit_temperature(y, z * scale)
    assert fit.iterations <= 10
    assert fit.temperature == pytest.approx(want.temperature * scale, rel=1e-10)
    assert fit.loss == pytest.approx(want.loss, rel=1e-12)


def test_it_is_the_minimum():
    y, z = data(200_000, 5)
    fit = fit_temperature(y, z)
    for factor in (0.999, 1.001):
        loss = categorical_cross_entropy_with_logits(y, z / (factor * fit.temperature))
        assert loss > fit.loss
    at = categorical_cross_entropy_with_logits(y, z / fit.temperature)
    assert fit.loss == pytest.approx(at, rel=1e-13)


def test_a_calibrated_model():
    """The standard error is that of many data sets."""
    fits = []
    for _ in range(200):
        z = RNG.normal(0, 2, (500, 3))
        y = (z + RNG.gumbel(size=z.shape)).argmax(1)
        fits.append(fit_temperature(y, z))
    found = np.array([fit.temperature for fit in fits])
    assert abs(found.mean() - 1) < 4 * found.std() / math.sqrt(200)
    assert found.std() == pytest.approx(np.mean([fit.standard_error for fit in fits]), rel=0.2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", ">f8"])
def test_dtypes_of_logits(dtype):
    y, z = data(3000, 10)
    z = z.astype(bfloat16() if dtype == "bfloat16" else dtype)
    assert fit_temperature(y, z) == fit_temperature(y, z.astype(np.float64))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_dtypes_of_labels(dtype):
    y, z = data(2000, 10)
    assert fit_temperature(y.astype(dtype), z) == fit_temperature(y, z)


@pytest.mark.parametrize("k", [7, 60])
def test_layouts(k):
    y, z = data(3000, k)
    want = fit_temperature(y, z)
    assert fit_temperature(y, z.copy("F")) == want
    assert fit_temperature(y, z.T, axis=0) == want
    assert fit_temperature(y, np.repeat(z, 2, axis=1)[:, ::2]) == want
    cube = fit_temperature(y.reshape(30, 100), z.reshape(30, 100, k).transpose(2, 0, 1), axis=0)
    assert cube[:4] == pytest.approx(want[:4], rel=1e-13)


@pytest.mark.parametrize("workers", [2, 3])
def test_workers(workers):
    y, z = data(300_000, 10)
    assert fit_temperature(y, z, workers=workers) == fit_temperature(y, z)


def test_what_does_not_count():
    y, z = data(2000, 6)
    keep = RNG.random(2000) < 0.6
    want = fit_temperature(y[keep], z[keep])
    hidden = np.where(keep[:, None], z, np.nan)
    for found in (
        fit_temperature(y, hidden, where=keep),
        fit_temperature(np.where(keep, y, -1), z, ignore_index=-1),
        fit_temperature(y, z, sample_weight=keep.astype(float)),
    ):
        assert found[:4] == pytest.approx(want[:4], rel=1e-13)
    twice = fit_temperature(np.repeat(y, 2), np.repeat(z, 2, axis=0))
    weighted = fit_temperature(y, z, sample_weight=np.full(2000, 2.0))
    assert weighted[:4] == pytest.approx(twice[:4], rel=1e-13)


def test_classes_of_no_probability():
    """A class at -inf is as good as absent; a target at +inf costs nothing."""
    y, z = data(500, 4)
    wide = np.concatenate([z, np.full((500, 1), -np.inf)], axis=1)
    want = fit_temperature(y, z)
    assert fit_temperature(y, wide)[:4] == pytest.approx(want[:4], rel=1e-13)
    certain = np.concatenate([z, [[np.inf, 0, 0, 0]]])
    found = fit_temperature(np.append(y, 0), certain)
    assert found.temperature == pytest.approx(want.temperature, rel=1e-12)
    assert found.loss == pytest.approx(want.loss * 500 / 501, rel=1e-12)


def test_logits_hundreds_of_nats_apart():
    y, z = data(500, 4)
    found = fit_temperature(y, z * 400)
    assert found.temperature == pytest.approx(400 * fit_temperature(y, z).temperature, rel=1e-10)


def test_refuses_what_has_no_minimum():
    _, z = data(500, 4)
    right = z.argmax(1)
    with pytest.raises(ValueError, match="every row has its largest logit at the label"):
        fit_temperature(right, z)
    with pytest.raises(ValueError, match="no larger than those of the other classes"):
        fit_temperature(z.argmin(1), z)
    with pytest.raises(ValueError, match="no larger than those of the other classes"):
        fit_temperature([0, 1, 0, 1], np.full((4, 2), 3.0))
    with pytest.raises(ValueError, match="inf at every temperature"):
        fit_temperature([0, 1], [[-np.inf, 0], [0, 1]])
    for nothing in ({"where": [False] * 4}, {"sample_weight": [0.0] * 4}):
        with pytest.raises(ValueError, match="no row counts"):
            fit_temperature([0, 1, 0, 1], np.eye(4)[:, :2], **nothing)


def test_refuses_in_many_rows():
    """Whatever the sample says, all of the data decide."""
    _, z = data(700_000, 2)
    with pytest.raises(ValueError, match="every row has its largest"):
        fit_temperature(z.argmax(1), z)
    labels = z.argmax(1)
    labels[-1] = 1 - labels[-1]
    assert fit_temperature(labels, z).temperature > 0


@pytest.mark.parametrize(
    "y, z, message",
    [
        ([0, 5], [[0, 1], [1, 0]], r"y_true\[1\] = 5 is not a valid class index"),
        ([0, 1], [[0, 1], [math.nan, 0]], r"logits\[1, 0\] is NaN"),
        ([[1, 0], [0, 2]], [[0, 1], [1, 0]], r"y_true\[1, 1\] = 2"),
        ([0, 1], [[-math.inf, -math.inf], [1, 0]], r"logits\[0\] has no finite maximum"),
        ([0, 1], [[0, 1]], "pass class indices of shape"),
    ],
)
def test_errors(y, z, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature(y, z)


def test_type():
    y, z = data(100, 3)
    assert isinstance(fit_temperature(y, z), fastxent.typing.TemperatureFit)

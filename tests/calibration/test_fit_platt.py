"""fit_platt: against mpmath, and what it refuses."""

import math

import numpy as np
import pytest

import fastxent.typing
from fastxent import binary_cross_entropy_with_logits, fit_platt
from helpers.losses import bfloat16

mpmath = pytest.importorskip("mpmath", reason="mpmath is the reference")
RNG = np.random.default_rng(181)


def data(n, slope=0.5, intercept=0.3):
    z = RNG.normal(0, 2, n)
    y = (RNG.random(n) < 1 / (1 + np.exp(-slope * z - intercept))).astype(np.int8)
    return y, z


def flat(fit):
    return [fit.slope, fit.intercept, *np.ravel(fit.covariance), fit.loss_before, fit.loss]


def exact(y, z, w):
    """Newton's method with 40 digits."""
    with mpmath.workdps(40):
        y, z, w = ([mpmath.mpf(float(v)) for v in a] for a in (y, z, w))
        a, b = mpmath.mpf(0), mpmath.mpf(0)
        for _ in range(40):
            p = [1 / (1 + mpmath.exp(-a * v - b)) for v in z]
            r = [u * (q - t) for q, t, u in zip(p, y, w, strict=True)]
            h = [u * q * (1 - q) for q, u in zip(p, w, strict=True)]
            grad = mpmath.matrix([sum(x * v for x, v in zip(r, z, strict=True)), sum(r)])
            hz = sum(x * v for x, v in zip(h, z, strict=True))
            hess = mpmath.matrix(
                [[sum(x * v * v for x, v in zip(h, z, strict=True)), hz], [hz, sum(h)]]
            )
            step = mpmath.lu_solve(hess, grad)
            a, b = a - step[0], b - step[1]
        inverse = hess**-1
        p = [1 / (1 + mpmath.exp(-a * v - b)) for v in z]
        loss = -sum(
            u * (t * mpmath.log(q) + (1 - t) * mpmath.log(1 - q))
            for q, t, u in zip(p, y, w, strict=True)
        ) / sum(w)
        return [float(v) for v in (a, b, *inverse, loss)]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_against_mpmath(soft, weighted):
    y, z = data(100)
    y = 0.9 * y + 0.05 if soft else y
    w = RNG.uniform(0, 2, 100) if weighted else np.ones(100)
    fit = fit_platt(y, z, sample_weight=w if weighted else None)
    want = exact(y, z, w)
    found = [fit.slope, fit.intercept, *np.ravel(fit.covariance), fit.loss]
    assert found == pytest.approx(want, rel=1e-11)
    before = binary_cross_entropy_with_logits(y, z, sample_weight=w)
    assert fit.loss_before == pytest.approx(before, rel=1e-13)


@pytest.mark.parametrize(
    "scale, shift", [(1e-6, 0), (1e-3, 1), (1, -5), (1e3, 0), (1, 100), (-1, 3)]
)
def test_from_anywhere(scale, shift):
    y, z = data(5000)
    want, fit = fit_platt(y, z), fit_platt(y, z * scale + shift)
    assert fit.slope * scale == pytest.approx(want.slope, rel=1e-9)
    assert fit.loss == pytest.approx(want.loss, rel=1e-12)
    assert fit.iterations <= 10


@pytest.mark.parametrize("scale, shift", [(1, 0), (1e-3, 100), (1e3, -100)])
@pytest.mark.parametrize("steep", [0.1, 5, 30])
@pytest.mark.parametrize("n", [8, 100, 20_000])
def test_hard_data(n, steep, scale, shift):
    """Labels that hardly overlap, heavy tails, weights of any size."""
    rng = np.random.default_rng(n)
    z = rng.standard_t(2, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-np.clip(steep * z, -700, 700)))).astype(float)
    first, last = z.argmin(), z.argmax()
    y[first], y[last] = 1 - y[first], 1 - y[last]  # one label of each end is wrong
    w = 10.0 ** rng.uniform(-3, 3, n)
    fit = fit_platt(y, z * scale + shift, sample_weight=w)
    assert fit.iterations <= 10
    logits = np.clip(fit.slope * (z * scale + shift) + fit.intercept, -700, 700)
    rest = (1 / (1 + np.exp(-logits)) - y) * w / w.sum()
    assert abs(rest.sum()) < 1e-9 and abs((rest * z).sum()) < 1e-9 * np.abs(rest * z).sum()


@pytest.mark.parametrize("steep", [1e3, 5e4])
def test_many_labels_that_hardly_overlap(steep):
    """No sample of every so-manieth element has labels that overlap."""
    rng = np.random.default_rng(18)
    z = rng.standard_normal(300_000)
    y = (rng.random(z.size) < 1 / (1 + np.exp(-np.clip(steep * z, -700, 700)))).astype(float)
    fit = fit_platt(y, z)
    assert fit.iterations <= 10
    rest = 1 / (1 + np.exp(-np.clip(fit.slope * z + fit.intercept, -700, 700))) - y
    assert abs(rest.sum()) < 1e-7 * np.abs(rest).sum()
    assert abs((rest * z).sum()) < 1e-7 * np.abs(rest * z).sum()


def test_many_rows():
    y, z = data(5_000_000)
    fit = fit_platt(y, z)
    (va, _), (_, vb) = fit.covariance
    assert abs(fit.slope - 0.5) < 4 * math.sqrt(va) and abs(fit.intercept - 0.3) < 4 * math.sqrt(vb)
    assert fit.iterations <= 6
    assert fit == fit_platt(y, z, workers=2)
    at = binary_cross_entropy_with_logits(y, fit.slope * z + fit.intercept)
    assert fit.loss == pytest.approx(at, rel=1e-13)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", ">f8"])
def test_dtypes(dtype):
    y, z = data(3000)
    z = z.astype(bfloat16() if dtype == "bfloat16" else dtype)
    want = fit_platt(y, z.astype(np.float64))
    assert flat(fit_platt(y, z)) == flat(want)
    assert flat(fit_platt(y.astype(bool), z)) == flat(want)


def test_layout_and_what_does_not_count():
    y, z = data(3000)
    want = flat(fit_platt(y, z))
    assert flat(fit_platt(y, np.repeat(z, 2)[::2])) == want
    keep = RNG.random(3000) < 0.6
    part = flat(fit_platt(y[keep], z[keep]))
    assert flat(fit_platt(y, np.where(keep, z, np.nan), where=keep)) == pytest.approx(
        part, rel=1e-11
    )
    assert flat(fit_platt(y, z, sample_weight=keep * 1.0)) == pytest.approx(part, rel=1e-11)


def test_refuses_what_has_no_minimum():
    z = RNG.normal(size=100)
    with pytest.raises(ValueError, match="every label that counts is 1"):
        fit_platt(np.ones(100), z)
    with pytest.raises(ValueError, match="all that count are equal"):
        fit_platt([0, 1, 1], [2.0, 2.0, 2.0])
    for y in (z > 0.3, z < 0.3):
        with pytest.raises(ValueError, match="a threshold separates the labels"):
            fit_platt(y, z)
    with pytest.raises(ValueError, match="a threshold separates the labels"):
        fit_platt([0, 0, 1, 1], [0.0, 1.0, 1.0, 2.0])  # they meet, but do not overlap
    with pytest.raises(ValueError, match="no element counts"):
        fit_platt([], [])


@pytest.mark.parametrize(
    "z, message",
    [
        ([0.0, math.inf], r"logits\[1\] = inf is not a finite number"),
        ([0.0, -math.inf], r"logits\[1\] = -inf is not a finite number"),
        ([math.nan, 0.0], r"logits\[0\] is NaN"),
    ],
)
def test_errors(z, message):
    with pytest.raises(fastxent.ElementError, match=message):
        fit_platt([0, 1], z)


def test_type():
    assert isinstance(fit_platt(*data(100)), fastxent.typing.PlattFit)

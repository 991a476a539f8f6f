"""Gradients: exact to the last places, with every option, and at the limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastxent
from helpers import reference
from helpers.losses import LOGITS, loss
from helpers.reference import EXTENDED
from helpers.reference_mpmath import (
    exact_binary_gradient,
    exact_binary_logits,
    exact_row_gradients,
    mp,
    ulps,
)
from helpers.strategies import cases, rounding_of_cap

bce_grad = fastxent.binary_cross_entropy_value_and_grad
cce_grad = fastxent.categorical_cross_entropy_value_and_grad
bce_hess = fastxent.binary_cross_entropy_grad_hess
cce_hess = fastxent.categorical_cross_entropy_grad_hess
VALUE = {name: name.replace("with_logits", "value_and_grad") for name in LOGITS}
PAIR = {name: name.replace("with_logits", "grad_hess") for name in LOGITS}
INF = np.inf
RNG = np.random.default_rng(4)


def example(name, n=3001, classes=6):
    z = RNG.normal(0, 4, n if name.startswith("binary") else (n, classes))
    return RNG.integers(0, 2 if z.ndim == 1 else classes, n), z


def slack(reduced, each, eps):
    """Where p and q cancel, an error of some ulp of them stays; the mean's are divided by Σw."""
    most = np.abs(each).max(initial=0)
    scale = np.abs(reduced).max(initial=0) / most if most else 1
    return 300 * eps * scale  # weights are up to 4 · 7


def assert_gradient(case):
    f, g = loss(VALUE[case.loss]), getattr(reference, VALUE[case.loss])
    try:
        _, want = g(*case.args, **case.options)
    except ValueError:
        with pytest.raises(ValueError, match=r"\w"):
            f(*case.args, **case.options)
        return
    got_value, got = f(*case.args, **case.options)
    np.testing.assert_array_equal(got_value, loss(case.loss)(*case.args, **case.options))
    assert got.dtype == want.dtype, case
    assert got.shape == case.scores.shape, case
    each = g(*case.args, **case.options | {"reduction": "sum"})[1]
    double = case.scores.dtype == np.float64
    both = np.isfinite(want)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want), err_msg=repr(case))
    eps = (2.0**-52 if double else 2.0**-23) * rounding_of_cap(case)
    atol = slack(want[both], each[np.isfinite(each)], eps)
    rtol = (1e-13 if double else 1e-6) * rounding_of_cap(case)
    np.testing.assert_allclose(got[both], want[both], rtol=rtol, atol=atol, err_msg=repr(case))


# -------------------------------------------------------------------------- every combination


@pytest.mark.parametrize("name", LOGITS)
@settings(max_examples=400)
@given(st.data())
def test_every_combination(name, data):
    assert_gradient(data.draw(cases(name)))


@pytest.mark.parametrize("name", LOGITS)
@settings(max_examples=250)
@given(st.data())
def test_every_combination_with_nan_and_limits(name, data):
    case = data.draw(cases(name, wild=True))
    several = (np.isposinf(case.scores).sum(case.options.get("axis", -1)) > 1).any()
    options, labels = case.options, case.y_true
    # Class indices of NaN: the mean is nan, and so is what its gradients are divided by.
    undivided = labels.ndim < case.scores.ndim and np.isnan(labels.astype(float)).any()
    undivided &= (options["nan_policy"], options["reduction"]) == ("propagate", "mean")
    if "categorical" not in name or not (several or undivided):  # several: it is negligible
        assert_gradient(case)


@pytest.mark.parametrize("name", LOGITS)
@settings(max_examples=250)
@given(st.data())
def test_pairs_in_every_combination(name, data):
    case = data.draw(cases(name, wild=data.draw(st.booleans())))
    for name_of_loss in ("reduction", "softcap", "z_loss"):
        case.options.pop(name_of_loss, None)
    try:
        want = getattr(reference, PAIR[name])(*case.args, **case.options)
    except ValueError:
        with pytest.raises(ValueError, match=r"\w"):
            loss(PAIR[name])(*case.args, **case.options)
        return
    got = loss(PAIR[name])(*case.args, **case.options)
    double = case.scores.dtype == np.float64
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == case.scores.shape
        atol = slack(b[np.isfinite(b)], b[np.isfinite(b)], 2.0**-52 if double else 2.0**-23)
        np.testing.assert_allclose(
            a, b, rtol=1e-13 if double else 1e-6, atol=atol, err_msg=repr(case)
        )


# --------------------------------------------------------------------------------- exactness


def test_the_derivatives_are_those_of_the_losses():
    """The reference formulas, against mpmath's numerical derivative."""
    for y in (0, 1):
        for z in (-30.0, -1.5, 0.0, 2.25, 30.0):
            derivative = mp.diff(lambda x, y=y: exact_binary_logits_of(y, x), mp.mpf(z))
            assert abs(derivative - exact_binary_gradient(y, z)) < 1e-15 * abs(derivative) + mp.mpf(
                "1e-18"
            )


def exact_binary_logits_of(y, z):
    return mp.log1p(mp.exp(-z)) if y else mp.log1p(mp.exp(z))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("spread", [0.01, 1, 8, 36, 300])
def test_binary_gradients(spread, dtype):
    """Hard labels: nothing cancels, so each is within 4 ulp of itself, however small."""
    z = RNG.uniform(-spread, spread, 600).astype(dtype)
    z = z[np.abs(z) < 86] if dtype == "float32" else z
    for y in (RNG.integers(0, 2, z.size), z > 0, z < 0):
        want = [exact_binary_gradient(int(k), x) for k, x in zip(y, z, strict=True)]
        assert ulps(bce_grad(y, z, reduction="none")[1], want, dtype) <= 4
        assert ulps(bce_hess(y, z)[0], want, dtype) <= 4
        bend = [mp.exp(x) / (1 + mp.exp(x)) ** 2 for x in map(mp.mpf, map(float, z))]
        assert ulps(bce_hess(y, z)[1], bend, dtype) <= 4


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [2, 3, 10, 32, 33, 100, 1025])
def test_categorical_gradients(classes, dtype):
    n = max(3, 600 // classes)
    for scale, lead in ((0.01, 0), (1, 0), (8, 0), (1, 18), (1, 36)):
        z = RNG.normal(0, scale, (n, classes))
        y = RNG.integers(0, classes, n)
        z[np.arange(n), y] += lead
        z = z.astype(dtype)
        rows = [exact_row_gradients(t, row) for t, row in zip(y, z, strict=True)]
        want = [x for row in rows for x in row]
        assert ulps(cce_grad(y, z, reduction="none")[1], want, dtype) <= 4, (scale, lead)
        grad, hess = cce_hess(y, z)
        assert ulps(grad, want, dtype) <= 4, (scale, lead)
        bend = [
            abs(x) * (1 - abs(x)) if c != t else -x * (1 + x)
            for t, row in zip(y, rows, strict=True)
            for c, x in enumerate(row)
        ]
        assert ulps(hess, bend, dtype) <= 4, (scale, lead)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [2, 33, 100, 2500])
def test_hessians_of_certain_errors(classes, dtype):
    """Where p of a wrong class is near 1, 1 - p has all its digits."""
    rng = np.random.default_rng(2)
    for lead in (9, 17, 36):
        z = rng.normal(0, 1, (9, classes))
        z[:, 1] += lead
        z = z.astype(dtype)
        y = np.zeros(9, int)
        p = [exact_row_gradients(0, row)[1] for row in z]
        hess = cce_hess(y, z)[1][:, 1]
        assert ulps(hess, [x * (1 - x) for x in p], dtype) <= 4, lead


@pytest.mark.skipif(not EXTENDED, reason="longdouble is float64 here: nothing to compare with")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", LOGITS)
def test_gradients_in_bulk(name, dtype):
    y, z = example(name, 40_009)
    z = z.astype(dtype)
    got = loss(VALUE[name])(y, z, reduction="none")[1]
    wide = z.astype(np.longdouble)
    if z.ndim == 1:
        want = np.where(y == 1, -1 / (1 + np.exp(wide)), 1 / (1 + np.exp(-wide)))
    else:
        e = np.exp(wide - wide.max(1, keepdims=True))
        target = np.arange(z.shape[1]) == y[:, None]
        others = np.where(target, 0, e).sum(1, keepdims=True)
        want = np.where(target, -others, e) / e.sum(1, keepdims=True)
    assert ulps(got, want, dtype) <= 4


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("classes", [1, 2, 3, 10, 32, 33, 100, 1000, 5003])
def test_every_row_sums_to_nought(classes, reduction, dtype):
    for scale, lead in ((0.1, 0), (3, 0), (20, 0), (1, 15)):
        z = RNG.normal(0, scale, (50, classes)).astype(dtype)
        y = RNG.integers(0, classes, 50)
        z[np.arange(50), y] += lead
        for options in ({}, {"sample_weight": RNG.random(50)}, {"workers": 2}):
            grad = cce_grad(y, z, reduction=reduction, **options)[1]
            sums = np.abs(grad.sum(1, dtype=np.longdouble))
            assert (sums <= 4 * np.spacing(np.abs(grad).max(1))).all(), (scale, lead, options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [1, 2, 3, 10, 32, 33, 100, 1000, 5003])
def test_rows_of_soft_labels_sum_to_nought(classes, dtype):
    """Here p and q cancel, and the rest may be 0: 4 ulp of 1."""
    for scale in (0.1, 3, 20):
        z = RNG.normal(0, scale, (50, classes)).astype(dtype)
        q = RNG.dirichlet(np.ones(classes), 50)
        for labels in (q, q * 0.75, np.eye(classes)[z.argmax(1)]):
            for options in ({}, {"label_smoothing": 0.1}):
                grad = cce_grad(labels, z, reduction="none", **options)[1]
                sums = np.abs(grad.sum(1, dtype=np.longdouble))
                assert sums.max() <= 4 * np.finfo(dtype).eps, (scale, options)


def test_a_certain_answer_still_has_a_gradient():
    """p - y is 0 by then; the gradient is not."""
    assert bce_grad([1], [40.0])[1][0] == -4.248354255291589e-18
    grad = cce_grad([0], [[0.0, -40.0]])[1][0]
    assert grad.tolist() == [-4.248354255291589e-18, 4.248354255291589e-18]


# ------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_infinite_logits(dtype):
    y, z = [1, 0, 1, 0], np.array([INF, INF, -INF, -INF], dtype)
    for n in (1, 700):
        grad = bce_grad(y * n, np.tile(z, n), reduction="sum")[1]
        assert grad.tolist() == [0, 1, -1, 0] * n
        assert not bce_hess(y * n, np.tile(z, n))[1].any()
    rows = np.array([[INF, 0, 0], [INF, 0, 0], [-INF, 0, 0], [-INF, 0, 0]], dtype)
    want = [[0, 0, 0], [1, -1, 0], [-1, 0.5, 0.5], [0, -0.5, 0.5]]
    for n in (1, 90):
        grad = cce_grad([0, 1, 0, 1] * n, np.tile(rows, (n, 1)), reduction="none")[1]
        np.testing.assert_allclose(grad, want * n, rtol=1e-6)
        hess = cce_hess([0, 1, 0, 1] * n, np.tile(rows, (n, 1)))[1]
        np.testing.assert_allclose(
            hess, [[0, 0, 0], [0, 0, 0], [0, 0.25, 0.25], [0, 0.25, 0.25]] * n, rtol=1e-6
        )


@pytest.mark.parametrize("name", LOGITS)
def test_what_is_left_out_has_no_gradient(name):
    y, z = example(name)
    hole = np.arange(len(y)) % 3 == 0
    z[hole] = np.nan
    for options in ({"where": ~hole}, {"nan_policy": "omit"}):
        for reduction in ("mean", "sum", "none"):
            grad = loss(VALUE[name])(y, z, reduction=reduction, **options)[1]
            want = loss(VALUE[name])(y[~hole], z[~hole], reduction=reduction)[1]
            assert not grad[hole].any()
            np.testing.assert_allclose(grad[~hole], want, rtol=1e-14)
        for part in loss(PAIR[name])(y, z, **options):
            assert not part[hole].any()
            assert part[~hole].all()
    grad = loss(VALUE[name])(y, z, reduction="none", nan_policy="propagate")[1]
    assert np.isnan(grad[hole]).all()
    assert np.isfinite(grad[~hole]).all()


@pytest.mark.parametrize("name", LOGITS)
def test_over_nothing(name):
    y, z = example(name)
    value, grad = loss(VALUE[name])(y, z, where=np.zeros(len(y), bool))
    assert np.isnan(value)
    assert not grad.any()
    value, grad = loss(VALUE[name])(y[:0], z[:0])
    assert np.isnan(value)
    assert grad.shape == z[:0].shape
    assert [part.shape for part in loss(PAIR[name])(y[:0], z[:0])] == [z[:0].shape] * 2


def test_the_reference_and_mpmath_agree():
    """The reference's gradient is the derivative of the reference's value."""
    y, z = RNG.integers(0, 4, 5), RNG.normal(0, 2, (5, 4))
    options = {"class_weight": [1, 2, 0.5, 1], "label_smoothing": 0.2, "reduction": "sum"}
    grad = reference.categorical_cross_entropy_value_and_grad(y, z, **options)[1]
    step = 1e-6
    for i, j in np.ndindex(5, 4):
        ends = [z.copy(), z.copy()]
        ends[0][i, j] += step
        ends[1][i, j] -= step
        a, b = (reference.categorical_cross_entropy_with_logits(y, e, **options) for e in ends)
        assert grad[i, j] == pytest.approx((a - b) / (2 * step), abs=1e-8)
    assert float(exact_binary_logits(1, 2.0)) == pytest.approx(float(np.log1p(np.exp(-2.0))))

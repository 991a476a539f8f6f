"""The Poisson loss: its formula, its limits, its derivatives, its options."""

import numpy as np
import pytest
from hypothesis import given, settings

import fastxent
from helpers import reference
from helpers.agreement import outcomes
from helpers.reference_mpmath import mp
from helpers.strategies import cases

RNG = np.random.default_rng(17)
INF = np.inf


def assert_agrees(case):
    found = outcomes(case, refusal=r"^(y_true|log_rate|sample_weight)\[")
    if found:
        got, want = found
        narrow = np.asarray(want).dtype == np.float32
        rtol, atol = (3e-7, 1e-6) if narrow else (1e-13, 1e-13 * np.size(case.scores))
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=repr(case))


@settings(max_examples=150)
@given(cases("poisson_nll"))
def test_every_combination_of_options(case):
    assert_agrees(case)


@settings(max_examples=80)
@given(cases("poisson_nll", wild=True))
def test_limits_and_nan(case):
    assert_agrees(case)


@settings(max_examples=80)
@given(cases("poisson_nll"))
def test_derivatives_agree_with_the_reference(case):
    value_and_grad, grad_hess = "poisson_nll_value_and_grad", "poisson_nll_grad_hess"
    value, grad = getattr(fastxent, value_and_grad)(*case.args, **case.options)
    want, want_grad = getattr(reference, value_and_grad)(*case.args, **case.options)
    narrow = grad.dtype == np.float32
    rtol, atol = (3e-7, 1e-6) if narrow else (1e-12, 1e-13)
    assert np.allclose(value, want, rtol=1e-6 if narrow else 1e-12, atol=1e-12, equal_nan=True)
    np.testing.assert_allclose(grad, want_grad, rtol=rtol, atol=atol)
    case.options.pop("reduction")
    pair = getattr(fastxent, grad_hess)(*case.args, **case.options)
    want_pair = getattr(reference, grad_hess)(*case.args, **case.options)
    for got, wanted in zip(pair, want_pair, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol)


@pytest.mark.parametrize("y", [0, 0.5, 1, 2, 3, 7.5, 8, 8.999, 9, 20, 170.6, 1e5, 1e15, 1e300])
def test_log_factorial_against_mpmath(y):
    got = fastxent.poisson_nll([y], [-INF if y == 0 else 0.0], full=True) - (y != 0)
    want = float(mp.loggamma(mp.mpf(y) + 1))
    assert got == pytest.approx(want, rel=2e-15, abs=2e-14)


@pytest.mark.parametrize("z", [-745.2, -700.0, -1.5, 0.0, 1e-300, 3.25, 88.0, 660.5, 709.78])
def test_the_rate_is_within_two_ulp(z):
    got = fastxent.poisson_nll([0], [z])
    want = float(mp.exp(mp.mpf(z)))
    assert abs(got - want) <= 2 * np.spacing(want)


def test_limits():
    y, z = [0, 1, 0, 3, 0], [-INF, -INF, INF, INF, 710.0]
    got = fastxent.poisson_nll(y, z, reduction="none")
    assert got.tolist() == [0.0, INF, INF, INF, INF]


def test_gradient_and_hessian_by_their_formulas():
    z = RNG.normal(0, 2, 3001)
    y, w = RNG.poisson(2.0, z.shape), RNG.uniform(0, 3, z.shape)
    grad, hess = fastxent.poisson_nll_grad_hess(y, z, w)
    np.testing.assert_allclose(grad, w * (np.exp(z) - y), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(hess, w * np.exp(z), rtol=1e-14)


@pytest.mark.parametrize(("y", "shown"), [(-1, "-1"), (-0.5, "-0.5"), (INF, "inf")])
def test_a_count_that_is_none_is_refused_by_its_place(y, shown):
    with pytest.raises(fastxent.ElementError, match=rf"y_true\[2\] = {shown}.*of at least 0") as e:
        fastxent.poisson_nll(np.array([0, 1, y]), [0.0, 0.0, 0.0])
    assert (e.value.argument, e.value.index, e.value.kind) == ("y_true", (2,), "domain")


def test_an_accumulator_takes_it():
    acc = fastxent.LossAccumulator("poisson_nll", full=True)
    acc.update([0, 2], [0.0, 0.0])
    assert acc.result() == fastxent.poisson_nll([0, 2], [0.0, 0.0], full=True)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["poisson_nll", "gaussian_nll"])
def test_the_labels_dtype_changes_no_bit(name, dtype):
    z = RNG.normal(0, 2, 5003).astype(dtype)
    y = RNG.poisson(2.0, z.shape)
    options = {"sample_weight": RNG.random(z.shape)}
    if name == "gaussian_nll":
        options["var"] = RNG.uniform(0.5, 2, z.shape).astype(dtype)
    for reduction in ("mean", "none"):
        want = getattr(fastxent, name)(y, z, reduction=reduction, **options)
        for labels in (y.astype("f4"), y.astype("f8"), y.astype("i1")):
            got = getattr(fastxent, name)(labels, z, reduction=reduction, **options)
            np.testing.assert_array_equal(got, want)

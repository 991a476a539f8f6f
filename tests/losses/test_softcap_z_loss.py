"""softcap and z_loss of categorical logits: the cap itself, its limits, and what has no such option."""

import numpy as np
import pytest

import fastxent
from fastxent._core.dispatch import cap_logits
from helpers.layouts import LAYOUTS
from helpers.reference import EXTENDED, LD

loss = fastxent.categorical_cross_entropy_with_logits
value_and_grad = fastxent.categorical_cross_entropy_value_and_grad
RNG = np.random.default_rng(1906)


@pytest.mark.skipif(not EXTENDED, reason="longdouble has no more digits here")
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_cap_is_within_a_few_ulp(dtype):
    sizes = np.concatenate([np.geomspace(1e-36, 100, 20_001), np.linspace(0.001, 30, 20_000)])
    x = np.concatenate([sizes, -sizes]).astype(dtype)
    got = x.copy()
    cap_logits(got, 1.0)
    want = np.tanh(x.astype(LD))
    assert (abs(got - want) / np.spacing(abs(want).astype(dtype))).max() < 3


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_limits_of_the_cap(dtype):
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, np.finfo(dtype).max, 1e-37], dtype)
    cap_logits(x, 8.0)
    np.testing.assert_array_equal(x, np.array([8, -8, np.nan, 0, 0, 8, 1e-37], dtype))


@pytest.mark.parametrize("classes", [1, 7, 40, 300, 3000])
@pytest.mark.parametrize("dtype", ["e", "f4", "f8"])
def test_the_loss_is_that_of_the_capped_logits_in_any_layout(classes, dtype):
    z = RNG.normal(0, 9, (70, classes)).astype(dtype)
    y = RNG.integers(0, classes, 70)
    capped = z.astype("f8" if dtype == "f8" else "f4")
    cap_logits(capped, 5.0)
    want, by_capped = value_and_grad(y, capped, reduction="none")
    rest = 1.0 - np.square(capped / capped.dtype.type(5.0))
    for layout in LAYOUTS.values():
        value, grad = value_and_grad(y, layout(z), softcap=5.0, reduction="none")
        np.testing.assert_array_equal(value, want)
        np.testing.assert_array_equal(grad, by_capped * rest)


def test_the_bits_of_a_softcap_are_those_of_any_number_of_workers():
    z, y = RNG.normal(0, 9, (5000, 100)).astype("f4"), RNG.integers(0, 100, 5000)
    options = {"softcap": 20.0, "z_loss": 1e-3}
    value, grad = value_and_grad(y, z, **options)
    again, same = value_and_grad(y, z, workers=3, **options)
    assert value == again == loss(y, z, **options)
    np.testing.assert_array_equal(grad, same)


@pytest.mark.parametrize(
    "options", [{"softcap": 3.0}, {"z_loss": 0.1}, {"softcap": 3.0, "z_loss": 0.1}]
)
@pytest.mark.parametrize("soft", [False, True], ids=["indices", "smoothed"])
@pytest.mark.parametrize("classes", [2, 30, 100, 3000])
def test_a_gradient_may_overwrite_the_logits(classes, soft, options):
    z, y = RNG.normal(0, 9, (50, classes)), RNG.integers(0, classes, 50)
    z[3, 1] = np.inf if "softcap" in options else -np.inf
    options = {"reduction": "none", "label_smoothing": 0.1 * soft, **options}
    value, grad = value_and_grad(y, z, **options)
    again, same = value_and_grad(y, z, **options, out=z)
    assert same is z
    np.testing.assert_array_equal(again, value)
    np.testing.assert_array_equal(z, grad)


def test_one_row_of_many_classes():
    z, y = RNG.normal(0, 9, (3, 100_000)), RNG.integers(0, 100_000, 3)
    lse = np.log(np.exp(4 * np.tanh(z / 4)).sum(1))
    want = lse - 4 * np.tanh(z[range(3), y] / 4) + 0.1 * lse**2
    got = loss(y, z, softcap=4.0, z_loss=0.1, reduction="none")
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_a_softcap_makes_infinite_logits_finite():
    z = np.array([[np.inf, -np.inf, 0.0]])
    want = np.log(np.exp([1.0, -1.0, 0.0]).sum())
    np.testing.assert_allclose(loss([1], z, softcap=1.0), want + 1.0, rtol=1e-15)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, np.nan, 1e31, 1e-31])
def test_a_softcap_is_a_moderate_number(bad):
    with pytest.raises(ValueError, match=r"softcap=.* is not in \[1e-30, 1e\+30\]"):
        loss([0], [[1.0, 2.0]], softcap=bad)


@pytest.mark.parametrize("bad", [-1.0, np.inf, np.nan])
def test_a_z_loss_is_not_negative(bad):
    with pytest.raises(ValueError, match=r"z_loss=.* is not a finite number of at least 0"):
        loss([0], [[1.0, 2.0]], z_loss=bad)


@pytest.mark.parametrize("option", ["softcap", "z_loss"])
@pytest.mark.parametrize("name", ["grad_hess", ""])
def test_other_functions_have_no_such_option(name, option):
    function = getattr(fastxent, f"categorical_cross_entropy_{name}".rstrip("_"))
    with pytest.raises(TypeError, match=option):
        function([0], [[0.5, 0.5]], **{option: 1.0})

"""kl_divergence_with_logits: accuracy however near the two are, limits, masks, NaN, gradients."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastxent
from fastxent import ElementError
from helpers.agreement import outcomes
from helpers.layouts import LAYOUTS
from helpers.memory import LIMIT, peak
from helpers.strategies import cases

INF, NAN = np.inf, np.nan
RNG = np.random.default_rng(190)
kl = fastxent.kl_divergence_with_logits
value_and_grad = fastxent.kl_divergence_with_logits_value_and_grad


def softmax(row):
    z = [mpmath.mpf(float(x)) for x in row]
    exps = [mpmath.exp(x) for x in z]
    return [x / mpmath.fsum(exps) for x in exps]


def exact(a, b):
    """The divergence of a row and its gradient, in 40 digits."""
    with mpmath.workdps(40):
        q, p = softmax(a), softmax(b)
        terms = [x * mpmath.log(x / y) for x, y in zip(q, p, strict=True) if x]
        return float(mpmath.fsum(terms)), [float(y - x) for x, y in zip(q, p, strict=True)]


@pytest.mark.parametrize("dtype, rtol", [("f8", 1e-9), ("f4", 1e-6), ("f2", 1e-6)])
@pytest.mark.parametrize("apart", [0.0, 1e-8, 1e-3, 1.0, 40.0])
@pytest.mark.parametrize("shape", [(3, 1), (3, 2), (66, 31), (4, 33), (1, 1100)])
def test_against_mpmath(shape, apart, dtype, rtol):
    a = (3 * RNG.normal(size=shape)).astype(dtype)
    b = (a + apart * RNG.normal(size=shape)).astype(dtype)
    got, grad = value_and_grad(a, b, reduction="none")
    want, derivative = map(np.array, zip(*map(exact, a, b), strict=True))
    np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-38)
    # Rounded logits of a difference of 1e-8 keep some 8 digits of it.
    np.testing.assert_allclose(grad, derivative, rtol=1e-6, atol=1e-13 if dtype == "f8" else 1e-7)
    assert (got >= 0).all() and kl(a, b) == pytest.approx(want.mean(), rel=rtol, abs=1e-38)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5, 3), (4, 1000), (2, 5003)])
def test_equal_logits_give_exactly_0(shape, dtype):
    z = (5 * RNG.normal(size=shape)).astype(dtype)
    z[0, 0] = -INF
    got, grad = value_and_grad(z, z, reduction="none")
    assert not got.any() and not grad.any()
    whole = np.round(z)
    assert not kl(whole, whole + dtype_of(dtype)(3), reduction="none").any()


def dtype_of(name):
    return np.dtype(name).type


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_nearly_equal_logits_keep_six_digits(dtype):
    """Differences of 1e-8: the divergence is of the order of 1e-16."""
    a = (1e-2 * RNG.normal(size=(3, 400))).astype(dtype)
    b = (a + 1e-8 * RNG.normal(size=a.shape)).astype(dtype)
    want = [exact(*rows)[0] for rows in zip(a, b, strict=True)]
    np.testing.assert_allclose(kl(a, b, reduction="none"), want, rtol=1e-6)
    assert 1e-18 < max(want) < 1e-14


def test_a_shift_that_the_first_block_does_not_have():
    """The difference is 0 in the first block, and 0.25 and a little in the second, which has all."""
    a = np.zeros((1, 2048), np.float32)
    a[0, 1024:] = 40
    a[0, 5] = 1
    b = a.copy()
    b[0, 1024:] += (0.25 + 1e-3 * RNG.normal(size=1024)).astype(np.float32)
    assert kl(a, b) == pytest.approx(exact(a[0], b[0])[0], rel=1e-5)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("classes", [3, 1300])
def test_limits(classes, dtype):
    zeros = np.zeros((1, classes), dtype)

    def row(**logits):
        z = zeros.copy()
        for place, value in logits.items():
            z[0, int(place[1:])] = value
        return z

    assert kl(row(_1=-INF), row(_1=-INF)) == 0  # in neither distribution
    assert kl(row(_1=-INF), zeros) == pytest.approx(np.log(classes / (classes - 1)), rel=1e-6)
    assert kl(zeros, row(_1=-INF)) == INF
    assert kl(row(_1=INF), zeros) == pytest.approx(np.log(classes), rel=1e-6)
    assert kl(zeros, row(_1=INF)) == INF
    assert kl(row(_1=INF), row(_1=INF)) == 0
    assert kl(row(_1=100), row(_1=-100)) == pytest.approx(100 + np.log(classes - 1), rel=1e-6)
    _, grad = value_and_grad(row(_1=INF), zeros)
    want = np.full((1, classes), 1 / classes)
    want[0, 1] -= 1
    np.testing.assert_allclose(grad, want, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("where_bad", ["p_logits", "q_logits"])
def test_nan(where_bad, dtype):
    a, b = RNG.normal(size=(2, 4, 70)).astype(dtype)
    want = kl(a, b, reduction="none")
    bad = b if where_bad == "p_logits" else a
    bad[2, 5] = NAN
    with pytest.raises(ElementError, match=rf"{where_bad}\[2, 5\] is NaN"):
        kl(a, b)
    value, grad = value_and_grad(a, b, nan_policy="propagate", reduction="none")
    assert np.isnan(value).tolist() == [False, False, True, False]
    assert np.isnan(grad).any(1).tolist() == [False, False, True, False]
    value, grad = value_and_grad(a, b, nan_policy="omit")
    rest = [0, 1, 3]
    assert value == pytest.approx(want[rest].mean(), rel=1e-6) and not grad[2].any()
    assert kl(a, b, where=np.arange(4) != 2) == value


@pytest.mark.parametrize("value", [-INF, INF])
def test_undefined_rows(value):
    a, b = RNG.normal(size=(2, 3, 6))
    for z, other in ((a, b), (b, a)):
        z = z.copy()
        z[1] = value
        for args in ((z, other), (other, z)):
            with pytest.raises(ElementError, match=r"p_logits\[1\] has no finite maximum"):
                kl(*args)
            assert np.isnan(kl(*args, nan_policy="propagate"))
            assert np.isfinite(kl(*args, nan_policy="omit"))


def test_it_is_the_divergence_of_probabilities():
    a, b = RNG.normal(0, 2, (2, 50, 20))
    q, p = (np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in (a, b))
    w, mask = RNG.random(50), RNG.random(50) < 0.7
    for how in ({}, {"sample_weight": w}, {"where": mask}, {"reduction": "sum", "where": mask}):
        assert kl(a, b, **how) == pytest.approx(
            fastxent.kl_divergence(q, p, eps=0, **how), rel=1e-12
        )
    turned = kl(a.T, b.T, axis=0, sample_weight=w)
    assert turned == kl(a, b, sample_weight=w)


@pytest.mark.parametrize("options", [{}, {"sample_weight": np.arange(6.0)}, {"reduction": "sum"}])
def test_the_gradient_is_that_of_the_value(options):
    a, b = RNG.normal(size=(2, 6, 5))
    value, grad = value_and_grad(a, b, **options)
    assert value == kl(a, b, **options)
    step = 1e-6
    for i, j in ((1, 2), (4, 0)):
        up, down = b.copy(), b.copy()
        up[i, j] += step
        down[i, j] -= step
        slope = (kl(a, up, **options) - kl(a, down, **options)) / (2 * step)
        assert grad[i, j] == pytest.approx(slope, abs=1e-8)


def test_out_in_place():
    a, b = RNG.normal(size=(2, 6, 5))
    value, grad = value_and_grad(a, b)
    copy = b.copy()
    found, out = value_and_grad(a, copy, out=copy)
    assert out is copy and found == value
    np.testing.assert_array_equal(out, grad)


@pytest.mark.parametrize("dtypes", ["f4 f4", "f2 f4", "f4 f8", "f8 f4", "f8 f8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_and_dtype(layout, dtypes):
    a, b = ((RNG.normal(size=(70, 1030))).astype(dtype) for dtype in dtypes.split())
    made = LAYOUTS[layout]
    want, grad = value_and_grad(a, b, reduction="none")
    assert want.dtype == grad.dtype == b.dtype
    got, other = value_and_grad(made(a), made(b), reduction="none", workers=3)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(other, grad)


def test_memory():
    a = np.zeros((100, 40_000), np.float32)
    assert peak(lambda: kl(a, a[::-1])) < LIMIT
    assert peak(lambda: kl(a[:, ::2].astype("f2"), a[:, ::2])) < LIMIT + a.nbytes // 2


@pytest.mark.parametrize(
    "args, error, words",
    [
        (([0], [[0.0, 1.0]]), ValueError, "q_logits has shape .1,. but p_logits has shape"),
        (([[0.0]], [[0.0, 1.0]]), ValueError, "they must be equal"),
        (([["a", "b"]], [[0.0, 1.0]]), TypeError, "q_logits has dtype"),
        (([[0.0, 1.0]], [[0j, 1.0]]), TypeError, "p_logits has dtype"),
    ],
)
def test_refusals(args, error, words):
    with pytest.raises(error, match=words):
        kl(*args)


@given(data=st.data())
def test_every_combination(data):
    case = data.draw(cases("kl_divergence_with_logits"))
    pair = outcomes(case)
    if pair is not None:
        got, want = pair
        rtol = 1e-9 if case.args[1].dtype == "f8" else 1e-5
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * 1e-3, err_msg=str(case))


def test_integers_become_float64():
    assert kl([[0, 1, 2]], [[0, 1, 3]]) == pytest.approx(exact([0, 1, 2], [0, 1, 3])[0], rel=1e-14)


def test_accumulators_and_scores_take_it():
    q, p = RNG.normal(size=(2, 30, 6))
    each, text = kl(q, p, reduction="none"), np.arange(30) // 3
    acc = fastxent.LossAccumulator(kl)
    acc.update(q[:10], p[:10], clusters=text[:10])
    acc.update(q[10:], p[10:], clusters=text[10:])
    found = fastxent.score("kl_divergence_with_logits", q, p, clusters=text)
    sums = (each - each.mean()).reshape(10, 3).sum(1)
    want = each.mean(), np.sqrt(10 / 9 * (sums**2).sum()) / 30
    np.testing.assert_allclose(found[:2], want, rtol=1e-12)
    np.testing.assert_allclose(acc.score()[:2], want, rtol=1e-12)

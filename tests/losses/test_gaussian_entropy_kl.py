"""gaussian_nll, entropy and kl_divergence: their options in every combination, limits and refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastxent
from helpers.agreement import outcomes
from helpers.layouts import LAYOUTS
from helpers.losses import bfloat16, loss
from helpers.memory import LIMIT, peak
from helpers.reference import EXTENDED
from helpers.reference_mpmath import exact, mp
from helpers.strategies import cases

gaussian, entropy, kl = fastxent.gaussian_nll, fastxent.entropy, fastxent.kl_divergence
NAMES = ["gaussian_nll", "entropy", "kl_divergence"]
INF, NAN = np.inf, np.nan
RNG = np.random.default_rng(31)
P, Q = RNG.dirichlet(np.ones(4), (2, 6))
Y, MEAN = RNG.normal(0, 2, (2, 6))
ARGS = {"gaussian_nll": (Y, MEAN), "entropy": (P,), "kl_divergence": (Q, P)}


# ------------------------------------------------------------------------- every combination


def assert_agrees(case):
    """To the last places of the largest term: what a divergence is the sum of may cancel."""
    found = outcomes(case, refusal=r"^(y_true|mean|var|q|p|sample_weight)\[")
    if found:
        got, want = found
        narrow = np.asarray(want).dtype == np.float32 or (
            case.loss != "gaussian_nll" and case.scores.dtype != np.float64
        )
        rtol, atol = (3e-7, 1e-6) if narrow else (1e-13, 1e-14 * np.size(case.scores))
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=repr(case))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=300)
@given(st.data())
def test_every_combination(name, data):
    assert_agrees(data.draw(cases(name)))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=300)
@given(st.data())
def test_every_combination_with_nan_and_limits(name, data):
    assert_agrees(data.draw(cases(name, wild=True)))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(st.data())
def test_every_combination_over_several_chunks(name, data):
    assert_agrees(data.draw(cases(name, wild=data.draw(st.booleans()), large=True)))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(st.data())
def test_every_combination_in_bfloat16(name, data):
    case = data.draw(cases(name, floats=("float32",)))
    case.scores = case.scores.astype(bfloat16())
    assert_agrees(case)


# ------------------------------------------------------------------------------- their numbers


@pytest.mark.parametrize("classes", [2, 3, 33, 1500])
def test_accuracy_against_mpmath(classes):
    q, p = RNG.dirichlet(np.ones(classes), (2, 5))
    entropies, divergences = entropy(q, reduction="none"), kl(q, p, reduction="none", eps=0)
    for row in range(5):
        terms = [exact(x) for x in q[row]]
        assert entropies[row] == pytest.approx(
            float(-mp.fsum(x * mp.log(x) for x in terms)), rel=4e-16
        )
        other = mp.fsum(x * mp.log(x / exact(y)) for x, y in zip(terms, p[row], strict=True))
        assert divergences[row] == pytest.approx(float(other), rel=1e-15)


def exact_divergence(q, p):
    terms = (exact(x) * mp.log(exact(x) / exact(y)) for x, y in zip(q, p, strict=True) if x)
    return float(mp.fsum(terms))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [3, 32, 33, 1000, 1025])
def test_what_is_nearly_the_same_keeps_its_digits(classes, dtype):
    """The terms are some 1e-3 to 1e-9, and their sum as much as a million times less."""
    for step in (1e-3, 1e-6, 1e-9) if dtype == "float64" else (1e-2, 1e-4):
        q = RNG.dirichlet(np.full(classes, 5.0), 4)
        p = q * (1 + step * RNG.uniform(-1, 1, q.shape))
        p = (p / p.sum(1, keepdims=True)).astype(dtype)
        q = q.astype(dtype)
        want = [exact_divergence(*row) for row in zip(q, p, strict=True)]
        rtol = 2e-16 / step + 4e-16 if dtype == "float64" else 3e-7
        atol = 0 if dtype == "float64" else 1e-17 / step
        np.testing.assert_allclose(kl(q, p, reduction="none"), want, rtol=rtol, atol=atol)
        mean = kl(q, p)
        assert mean == pytest.approx(np.mean(want), rel=rtol, abs=atol)
        if dtype == "float32":  # labels that float32 does not hold
            wide = q * (1 + 1e-9)
            want = np.mean([exact_divergence(*row) for row in zip(wide, p, strict=True)])
            assert kl(wide, p) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_divergences_across_the_range(dtype):
    """Every ratio and every size, a class that neither gives a chance, and subnormal numbers."""
    tiny = float(np.finfo(dtype).tiny)
    sizes = 10.0 ** RNG.uniform(np.log10(tiny) - 3, 0, (300, 12))
    q, p = sizes[:, :6], sizes[:, 6:]
    q[::5, 0] = 0
    q[::7, 1] = p[::7, 1] = 0
    q[::3, 2] = p[::3, 2] * RNG.choice([1.0, 1.5, 2 / 3, 2.0, 0.5, 1.4999999, 1.5000001], 100)
    q, p = np.minimum(q, 1).astype(dtype), np.minimum(p, 1).astype(dtype)
    p[(p == 0) & (q > 0)] = tiny
    want = [exact_divergence(*row) for row in zip(q, p, strict=True)]
    scale = [max(abs(x * np.log(x / y)) for x, y in zip(*row, strict=True) if x) for row in
             zip(q.astype(float), p.astype(float), strict=True)]  # fmt: skip
    error = np.abs(kl(q, p, reduction="none") - want) / scale
    assert error.max() < (4e-15 if dtype == "float64" else 4e-7)


@pytest.mark.skipif(not EXTENDED, reason="longdouble is float64 here: nothing to compare with")
@pytest.mark.parametrize("classes", [2, 10, 33, 1000])
def test_means_of_float32_in_bulk(classes):
    q, p = RNG.dirichlet(np.ones(classes), (2, max(1000, 100_000 // classes))).astype(np.float32)
    p = np.maximum(p, 1e-7)
    a, b = q.astype(np.longdouble), p.astype(np.longdouble)
    logs = np.log(np.where(a == 0, 1, a))
    eps, smooth = np.longdouble(2.0**-23), a * np.longdouble(0.9) + np.longdouble(0.1) / classes
    clipped = -np.log(np.clip(b, eps, 1 - eps))
    cce = fastxent.categorical_cross_entropy
    for got, want in (
        (entropy(q), -(a * logs).sum(1).mean()),
        (kl(q, p), (a * (logs - np.log(b))).sum(1).mean()),
        (cce(q, p), (a * clipped).sum(1).mean()),
        (cce(q, p, label_smoothing=0.1), (smooth * clipped).sum(1).mean()),
    ):
        assert abs(got - want) <= 5e-9 * want


def test_the_default_clips_nothing():
    q, p = np.array([[0.5, 0.5, 0.0]]), np.array([[1.0, 0.0, 0.0]])
    assert kl(q, p) == kl(q, p, eps=0.0) == INF
    assert kl(q, p, eps="auto") == pytest.approx(17.33, abs=0.01)
    total = fastxent.LossAccumulator("kl_divergence")
    total.update(q, p)
    assert total.result() == INF


def test_a_hundred_thousand_classes_are_not_clipped():
    p = RNG.dirichlet(np.ones(128_256), 2).astype(np.float32)
    q = p[:, ::-1].copy()
    a, b = q.astype(np.longdouble), np.maximum(p, 1e-30).astype(np.longdouble)
    want = (a * np.log(np.where(a == 0, 1, a) / b)).sum(1).mean()
    assert kl(q, np.maximum(p, np.float32(1e-30))) == pytest.approx(float(want), rel=5e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_certain_distributions(dtype):
    """0 log 0 = 0; q > 0 where p = 0 costs inf, or what eps makes of it."""
    sure = np.array([[0.0, 1.0, -0.0], [1, 0, 0]], dtype)
    assert entropy(sure) == 0 and not np.signbit(entropy(sure, reduction="none")).any()
    even = np.full((2, 3), 0.25, dtype)
    assert kl(sure, even) == pytest.approx(2 * math.log(2), rel=1e-7)
    assert kl(even, np.abs(sure), eps=0) == INF
    eps = float(np.finfo(dtype).eps)
    want = 0.25 * (math.log(0.25 / (1 - eps)) + 2 * math.log(0.25 / eps))
    assert kl(even, sure, eps="auto") == pytest.approx(want, rel=3e-7)


def test_what_neither_gives_a_chance_costs_nothing():
    sure = np.array([[1.0, 0.0], [0.5, 0.5]])
    np.testing.assert_array_equal(kl(sure, sure, eps=0, reduction="none"), 0.0)


def test_minus_zero_is_zero():
    assert kl([[0.5, 0.5]], [[1.0, -0.0]], eps=0) == INF
    assert kl([[0.0, 1.0]], [[-0.0, 1.0]], eps=0) == 0


def test_the_smallest_chance_costs_a_number():
    want = -math.log(5e-324)
    assert kl([[1.0, 0.0]], [[5e-324, 1.0]], eps=0) == pytest.approx(want, rel=1e-15)


def test_a_square_beyond_the_type():
    assert gaussian([1e200], [0.0], 1e300) == pytest.approx(5e99, rel=1e-15)
    assert gaussian([1e-155], [0.0], 1e-312) == pytest.approx(50 + math.log(1e-312) / 2, rel=1e-9)


def test_an_infinite_observation_of_an_infinite_mean():
    """It is where it was expected."""
    y, mean = np.array([INF, 1.0]), np.array([INF, 2.0])
    assert gaussian(y, mean) == 0.25


def test_entropies_of_all_that_is_small():
    tiny = np.array([[5e-324, 1e-310, 1e-300, 1.0]])
    want = -mp.fsum(exact(x) * mp.log(exact(x)) for x in tiny[0])
    assert entropy(tiny) == pytest.approx(float(want), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_gaussian_far_from_its_mean(dtype):
    for y, mean, var in [(INF, 0, 1), (0, -INF, 1), (-INF, INF, 1), (1e30, 0, 1), (3, 3, 1e-30)]:
        got = gaussian(np.array([y]), np.array([mean], dtype), var)
        with np.errstate(over="ignore"):
            want = ((np.float64(y) - float(np.array(mean, dtype))) ** 2 / var + math.log(var)) / 2
        assert got == pytest.approx(want, rel=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_the_layout_changes_no_bit(name):
    rng = np.random.default_rng(0)
    for shape in [(1, 3), (130, 5), (7, 1030), (3, 4, 33)]:
        q, p = rng.dirichlet(np.ones(shape[-1]), (2, *shape[:-1]))
        args = (p,) if name == "entropy" else (q, p)
        for reduction in ("mean", "none"):
            want = np.asarray(loss(name)(*args, reduction=reduction)).tobytes()
            for layout, made in LAYOUTS.items():
                got = np.ascontiguousarray(loss(name)(*map(made, args), reduction=reduction))
                assert got.tobytes() == want, (shape, layout)
                got = loss(name)(*map(made, args), reduction=reduction, workers=3)
                assert np.ascontiguousarray(got).tobytes() == want, (shape, layout)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", ">f4"])
def test_memory_beyond_the_input(name, dtype):
    kind = bfloat16() if dtype == "bfloat16" else dtype
    args = [np.full((200_000, 10), 0.1).astype(kind)] * (1 if name == "entropy" else 2)
    shape = args[0].shape if name == "gaussian_nll" else 200_000
    out = np.empty(shape, np.float64 if dtype == "float64" else np.float32)
    for how in ({}, {"nan_policy": "omit"}, {"workers": 2}, {"reduction": "none", "out": out}):
        assert peak(lambda how=how: loss(name)(*args, **how)) < LIMIT
    assert peak(lambda: loss(name)(*(a[:, ::2].T for a in args))) < LIMIT


# --------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("var", [0.0, -1.0, NAN, INF, -INF])
def test_variances_are_finite_and_above_0(var):
    """A NaN among them too, whatever nan_policy: it is an option, not data."""
    for policy in ("raise", "propagate", "omit"):
        with pytest.raises(ValueError, match=rf"var\[0\] = {var} .*above 0"):
            gaussian(Y, MEAN, var, nan_policy=policy)
        with pytest.raises(ValueError, match=rf"var\[3\] = {var} .*above 0"):
            gaussian(Y, MEAN, np.where(np.arange(6) == 3, var, 1.0), nan_policy=policy)
    hidden = np.where(np.arange(6) == 3, var, 1.0)
    want = gaussian(Y[:3], MEAN[:3])
    assert gaussian(Y, MEAN, hidden, where=np.arange(6) < 3) == want


@pytest.mark.parametrize("var", ["1", [1.0, 2.0], 1j, object(), np.ones((6, 1)), [[1.0], [1, 2]]])
def test_variances_of_another_type_or_shape(var):
    with pytest.raises((TypeError, ValueError), match="var"):
        gaussian(Y, MEAN, var)


@pytest.mark.parametrize("bad", [1.5, -0.5, INF, -1e-300])
def test_distributions_are_between_0_and_1(bad):
    wrong = P.copy()
    wrong[2, 3] = bad
    for call, name in (
        (lambda: entropy(wrong), "p"),
        (lambda: kl(Q, wrong), "p"),
        (lambda: kl(wrong, P), "q"),
        (lambda: kl(Q.T, wrong.T, axis=0), r"p\[3, 2\]"),
    ):
        with pytest.raises(ValueError, match=rf"^{name}.* = {bad} is outside \[0, 1\]"):
            call()


@pytest.mark.parametrize("name", NAMES)
def test_nan(name):
    names = {"gaussian_nll": ["y_true", "mean"], "entropy": ["p"], "kl_divergence": ["q", "p"]}
    for place, argument in enumerate(names[name]):
        args = [a.copy() for a in ARGS[name]]
        args[place].flat[5] = NAN
        hole = 5 if name == "gaussian_nll" else 1
        with pytest.raises(ValueError, match=rf"^{argument}\[.*nan_policy"):
            loss(name)(*args)
        each = loss(name)(*args, nan_policy="propagate", reduction="none")
        assert np.flatnonzero(np.isnan(each)).tolist() == [hole]
        rest = np.arange(6) != hole
        want = loss(name)(*ARGS[name], where=rest)
        assert loss(name)(*args, nan_policy="omit") == want
        assert loss(name)(*args, where=rest) == want


@pytest.mark.parametrize("name", NAMES)
def test_what_they_do_not_take(name):
    options = {
        "class_weight": [1.0] * 4,
        "ignore_index": 0,
        "pos_weight": 1.0,
        "label_smoothing": 0,
    }
    options |= {"full": True} if name != "gaussian_nll" else {"axis": 0, "eps": 0.0}
    options |= {"eps": 0.0} if name == "entropy" else {}
    for option, value in options.items():
        with pytest.raises(TypeError, match=option):
            loss(name)(*ARGS[name], **{option: value})


@pytest.mark.parametrize("name", NAMES)
def test_over_nothing(name):
    args = ARGS[name]
    shape = (6,)
    for how in ({"where": np.zeros(shape, bool)}, {"sample_weight": np.zeros(shape)}):
        assert math.isnan(loss(name)(*args, **how))
        assert loss(name)(*args, reduction="sum", **how) == 0.0
        assert not loss(name)(*args, reduction="none", **how).any()
    empty = [a[:0] for a in args]
    assert math.isnan(loss(name)(*empty))
    assert loss(name)(*empty, reduction="none").shape == (0,)

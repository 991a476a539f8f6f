"""Every option of every loss, in every combination, against the reference; and what each one means."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import reference
from helpers.agreement import outcomes
from helpers.losses import BINARY, CATEGORICAL, LOGITS, LOSSES, PROBABILITIES, bfloat16, loss
from helpers.strategies import cases, rounding_of_cap

RNG = np.random.default_rng(20)
Z = RNG.normal(0, 3, (6, 4))
P = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
HARD = (RNG.random((6, 4)) < 0.5).astype(np.int64)
INDEX = np.array([0, 1, 2, 3, 3, 0])
SOFT = RNG.dirichlet(np.ones(4), 6)


def example(name):
    """Arrays of one's own to call the loss with."""
    y, scores = HARD if name in BINARY else INDEX, Z if name in LOGITS else P
    return y.copy(), scores.copy()


def shape_of(name):
    return HARD.shape if name in BINARY else INDEX.shape


def assert_agrees(case):
    """float64 to 1e-13, far inside the contract's 1e-10; float32 to its own last places."""
    found = outcomes(case)
    if found:
        got, want = found
        rtol = 1e-13 if case.scores.dtype == np.float64 else 3e-7
        rtol *= rounding_of_cap(case)
        tiny = np.finfo(want.dtype).tiny if case.options["reduction"] == "none" else 0
        np.testing.assert_allclose(got, want, rtol=rtol, atol=tiny, err_msg=repr(case))


# ------------------------------------------------------------------------- every combination


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=700)
@given(st.data())
def test_every_combination(name, data):
    assert_agrees(data.draw(cases(name)))


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=500)
@given(st.data())
def test_every_combination_with_nan_and_limits(name, data):
    assert_agrees(data.draw(cases(name, wild=True)))


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=150)
@given(st.data())
def test_every_combination_in_bfloat16(name, data):
    case = data.draw(cases(name, floats=("float32",), wild=data.draw(st.booleans())))
    case.scores = case.scores.astype(bfloat16())
    assert_agrees(case)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=30)
@given(st.data())
def test_every_combination_over_several_chunks(name, data):
    assert_agrees(data.draw(cases(name, wild=data.draw(st.booleans()), large=True)))


@pytest.mark.parametrize("name", CATEGORICAL)
def test_a_hundred_thousand_classes(name):
    z = np.random.default_rng(0).normal(0, 4, (3, 100_000)).astype(np.float32)
    p = np.exp(z.astype(float))
    p /= p.sum(1, keepdims=True)
    y, scores = np.array([99_999, 0, 5]), z if name in LOGITS else p.astype(np.float32)
    options = {"label_smoothing": 0.1, "class_weight": np.linspace(0.1, 3, 100_000)}
    for some in ({}, options):
        want = getattr(reference, name)(y, scores, **some)
        assert loss(name)(y, scores, **some) == pytest.approx(want, rel=3e-7)


# ---------------------------------------------------------------------------- what they mean


@pytest.mark.parametrize("name", LOSSES)
def test_the_reductions_are_of_the_same_losses(name):
    y, scores = example(name)
    w = RNG.uniform(0, 2, len(y))
    each = loss(name)(y, scores, sample_weight=w, reduction="none")
    total = loss(name)(y, scores, sample_weight=w, reduction="sum")
    mean = loss(name)(y, scores, sample_weight=w)
    assert each.shape == shape_of(name)
    assert total == pytest.approx(each.sum(), rel=1e-14)
    weights = np.broadcast_to(w.reshape(-1, *[1] * (each.ndim - 1)), each.shape).sum()
    assert mean == pytest.approx(total / weights, rel=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_is_a_number_of_copies(name):
    y, scores = example(name)
    n = np.array([0, 1, 2, 3, 1, 0])
    repeated = loss(name)(np.repeat(y, n, 0), np.repeat(scores, n, 0))
    assert loss(name)(y, scores, sample_weight=n) == pytest.approx(repeated, rel=1e-14)


@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("name", LOSSES)
def test_equal_weights_change_the_sum_alone(name, weight):
    y, scores = example(name)
    w = np.full(len(y), weight)
    mean, total = (
        loss(name)(y, scores, sample_weight=w, reduction=reduction) for reduction in ("mean", "sum")
    )
    assert total == pytest.approx(weight * loss(name)(y, scores, reduction="sum"), rel=1e-14)
    if weight:
        assert mean == pytest.approx(loss(name)(y, scores), rel=1e-14)
    else:
        assert math.isnan(mean)


@pytest.mark.parametrize("name", LOSSES)
def test_what_where_leaves_out_is_as_if_absent(name):
    y, scores = example(name)
    m = np.array([True, False, True, True, False, False])
    mask = m if y.ndim == 1 else np.repeat(m[:, None], 4, 1)
    want = loss(name)(y[m], scores[m])
    assert loss(name)(y, scores, where=mask) == pytest.approx(want, rel=1e-14)
    each = loss(name)(y, scores, where=mask, reduction="none")
    assert not each[~m].any()
    np.testing.assert_array_equal(each[m], loss(name)(y[m], scores[m], reduction="none"))


@pytest.mark.parametrize("bad", [np.nan, 7.0, -7.0, np.inf])
@pytest.mark.parametrize("name", LOSSES)
def test_where_hides_everything(name, bad):
    y, scores = example(name)
    mask = np.ones(shape_of(name), bool)
    mask[2] = False
    want = loss(name)(y, scores, where=mask)
    scores[2] = bad
    y[2] = -99
    w = np.ones(len(y))
    w[2] = -1
    assert loss(name)(y, scores, where=mask, sample_weight=w) == want


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("options", [{"where": False}, {"sample_weight": 0.0}])
def test_over_nothing(name, options):
    y, scores = example(name)
    options = {k: np.full(shape_of(name), v) for k, v in options.items()}
    assert math.isnan(loss(name)(y, scores, **options))
    assert loss(name)(y, scores, reduction="sum", **options) == 0.0
    assert not loss(name)(y, scores, reduction="none", **options).any()


@pytest.mark.parametrize("name", CATEGORICAL)
def test_all_ignored(name):
    y, scores = np.full(6, -100), example(name)[1]
    assert math.isnan(loss(name)(y, scores, ignore_index=-100))
    assert loss(name)(y, scores, ignore_index=-100, reduction="sum") == 0.0


@pytest.mark.parametrize("ignored", [3, -100, 255])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_ignored_positions_are_left_out(name, ignored):
    y, scores = example(name)
    y[y == 3] = ignored
    rest = y != ignored
    want = loss(name)(y[rest], scores[rest])
    assert loss(name)(y, scores, ignore_index=ignored) == pytest.approx(want, rel=1e-14)
    each = loss(name)(y, scores, ignore_index=ignored, reduction="none")
    assert not each[~rest].any()


@pytest.mark.parametrize("name", CATEGORICAL)
def test_an_ignore_index_that_the_labels_cannot_hold_ignores_nothing(name):
    y, scores = example(name)
    assert loss(name)(y.astype(np.uint8), scores, ignore_index=-100) == loss(name)(y, scores)
    assert loss(name)(y.astype(np.int8), scores, ignore_index=2**40) == loss(name)(y, scores)


@pytest.mark.parametrize("name", CATEGORICAL)
def test_class_weight_in_every_form(name):
    y, scores = example(name)
    w = [1.0, 2.0, 1.0, 0.5]
    want = (loss(name)(y, scores, reduction="none") * np.take(w, y)).sum() / np.take(w, y).sum()
    for form in (w, tuple(w), np.array(w), np.array(w, np.float32), {1: 2.0, 3: 0.5}):
        assert loss(name)(y, scores, class_weight=form) == pytest.approx(want, rel=1e-14)


@pytest.mark.parametrize("name", CATEGORICAL)
def test_class_weight_of_a_distribution(name):
    scores, w = example(name)[1], np.array([1.0, 2.0, 0.0, 0.5])
    cost = np.stack([loss(name)(np.full(6, c), scores, reduction="none") for c in range(4)], axis=1)
    got = loss(name)(SOFT, scores, class_weight=w)
    assert got == pytest.approx((w * SOFT * cost).sum() / (w * SOFT).sum(), rel=1e-13)


@pytest.mark.parametrize("name", CATEGORICAL)
def test_smoothing_is_a_soft_label_and_no_denominator(name):
    y, scores = example(name)
    soft = np.eye(4)[y] * 0.8 + 0.05
    got = loss(name)(y, scores, label_smoothing=0.2)
    assert got == pytest.approx(loss(name)(soft, scores), rel=1e-14)
    w = np.array([1.0, 2.0, 0.1, 0.5])
    got = loss(name)(y, scores, label_smoothing=0.2, class_weight=w)
    each = loss(name)(soft, scores, class_weight=w, reduction="none")
    assert got == pytest.approx(each.sum() / w[y].sum(), rel=1e-14)


@pytest.mark.parametrize("name", BINARY)
def test_binary_smoothing_is_a_soft_label(name):
    y, scores = example(name)
    got = loss(name)(y, scores, label_smoothing=0.2)
    assert got == pytest.approx(loss(name)(y * 0.8 + 0.1, scores), rel=1e-14)


def test_pos_weight_scales_the_positive_term_and_no_denominator():
    y, z = example("binary_cross_entropy_with_logits")
    f = loss("binary_cross_entropy_with_logits")
    w = np.array([0.5, 1.0, 2.0, 9.0])
    want = f(y, z, reduction="none") * np.where(y, w, 1)
    for weight in (w, w[None], np.broadcast_to(w, z.shape), w.astype(np.float32)):
        got = f(y, z, pos_weight=weight, reduction="none")
        np.testing.assert_allclose(got, want, rtol=1e-14)
    assert f(y, z, pos_weight=w) == pytest.approx(want.mean(), rel=1e-14)
    assert f(y, z, pos_weight=3) == pytest.approx(
        (f(y, z, reduction="none") * np.where(y, 3, 1)).mean(), rel=1e-14
    )


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_axis(name, axis):
    z = RNG.normal(0, 2, (5, 3, 4))
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    y = RNG.integers(0, 4, (5, 3))
    scores = z if name in LOGITS else p
    q = RNG.dirichlet(np.ones(4), (5, 3))
    moved = np.moveaxis(scores, -1, axis)
    for order in ("C", "F"):
        got = loss(name)(y, np.array(moved, order=order), axis=axis, reduction="none")
        np.testing.assert_array_equal(got, loss(name)(y, scores, reduction="none"))
        got = loss(name)(np.moveaxis(q, -1, axis), np.array(moved, order=order), axis=axis)
        assert got == loss(name)(q, scores)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_nan_policies(name, reduction):
    y, scores = example(name)
    hole = (2, 1) if y.ndim > 1 else 2
    scores[2, 1 if name in BINARY else y[2]] = np.nan
    f, keep = loss(name), np.ones(shape_of(name), bool)
    keep[hole] = False
    with pytest.raises(ValueError, match=r"nan"):
        f(y, scores, reduction=reduction)
    omitted = f(y, scores, reduction=reduction, nan_policy="omit")
    np.testing.assert_array_equal(omitted, f(y, scores, reduction=reduction, where=keep))
    spread = f(y, scores, reduction=reduction, nan_policy="propagate")
    if reduction == "none":
        assert np.isnan(spread[hole])
        np.testing.assert_array_equal(spread[keep], omitted[keep])
    else:
        assert math.isnan(spread)


@pytest.mark.parametrize("name", LOSSES)
def test_nan_among_soft_labels(name):
    y = np.random.default_rng(3).dirichlet(np.ones(4), 6)
    scores = example(name)[1]
    y[4, 2] = np.nan
    hole = (4, 2) if name in BINARY else 4
    with pytest.raises(ValueError, match=r"y_true.*nan|y_true.*NaN"):
        loss(name)(y, scores)
    each = loss(name)(y, scores, nan_policy="propagate", reduction="none")
    assert np.isnan(each[hole])
    assert np.isnan(each).sum() == 1
    each = loss(name)(y, scores, nan_policy="omit", reduction="none")
    assert each[hole] == 0
    assert np.count_nonzero(each) == each.size - 1


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_of_nought(name):
    """It removes an infinite loss, but neither a NaN nor a bad label."""
    y, scores = example(name)
    w = np.ones(len(y))
    w[2] = 0
    want = loss(name)(y, scores, sample_weight=w)
    y_bad, z = y.copy(), scores.copy()
    y_bad[2] = 9
    with pytest.raises(ValueError, match=r"y_true\[2.*9"):
        loss(name)(y_bad, scores, sample_weight=w)
    z[2] = np.nan
    assert math.isnan(loss(name)(y, z, sample_weight=w, nan_policy="propagate"))
    certain = np.where(y == 1, 0.0, 1.0) if name in BINARY else 1 - np.eye(4)[y]
    if name in LOGITS:
        with np.errstate(divide="ignore"):
            certain = np.log(certain) - np.log(1 - certain)
            certain = np.where(certain == np.inf, 0, certain) if name in CATEGORICAL else certain
    z[2] = certain[2]
    exact = {} if name in LOGITS else {"eps": 0}
    each = loss(name)(y, z, reduction="none", **exact)
    assert np.isinf(each[2]).all()
    assert loss(name)(y, z, sample_weight=w, **exact) == pytest.approx(want, rel=1e-13)
    assert not loss(name)(y, z, sample_weight=w, reduction="none", **exact)[2].any()


@pytest.mark.parametrize(
    "dtype, eps", [("float64", 2.0**-52), ("float32", 2.0**-23), ("float16", 2.0**-10)]
)
@pytest.mark.parametrize("name", PROBABILITIES)
def test_eps_is_that_of_the_dtype(name, dtype, eps):
    p = np.array([[1, 0], [0, 1]], dtype)
    y = [[0, 1], [1, 0]] if name in BINARY else [1, 0]
    assert loss(name)(y, p) == pytest.approx(-math.log(eps), rel=3e-7)
    assert loss(name)(y, p, eps="auto") == loss(name)(y, p)
    assert loss(name)(y, p, eps=eps) == loss(name)(y, p)
    assert loss(name)(y, p, eps=0.25) == pytest.approx(-math.log(0.25), rel=3e-7)
    assert loss(name)(y, p, eps=0) == math.inf
    right = [[1, 0], [0, 1]] if name in BINARY else [0, 1]
    assert loss(name)(right, p) == pytest.approx(-math.log1p(-eps), rel=3e-7)
    assert loss(name)(right, p, eps=0) == 0


@pytest.mark.parametrize("name", PROBABILITIES)
def test_eps_of_bfloat16(name):
    p = np.array([[1, 0]]).astype(bfloat16())
    y = [[0, 1]] if name in BINARY else [1]
    assert loss(name)(y, p) == pytest.approx(7 * math.log(2), rel=3e-7)


def test_the_worst_losses_are_scikit_learns():
    for dtype, worst in (("float64", 36.04), ("float32", 15.94), ("float16", 6.93)):
        got = loss("binary_cross_entropy")([1], np.zeros(1, dtype))
        assert got == pytest.approx(worst, abs=0.005)


def test_only_the_targets_probability_is_read():
    p = np.array([[0.5, np.nan, 9.0], [-3.0, 0.25, np.inf]])
    assert loss("categorical_cross_entropy")([0, 1], p, reduction="sum") == pytest.approx(
        3 * math.log(2)
    )


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 64, -1])
@pytest.mark.parametrize("name", LOSSES)
def test_workers_change_nothing(name, workers):
    y, scores = example(name)
    for reduction in ("mean", "sum", "none"):
        got = loss(name)(y, scores, reduction=reduction, workers=workers)
        np.testing.assert_array_equal(got, loss(name)(y, scores, reduction=reduction))

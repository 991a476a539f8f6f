"""Gradients: the losses' own values, the oracle's slopes, to the last places, and the same bits."""

import hashlib
import tracemalloc

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cases

import fastxent
from tools import LAYOUTS, LOGITS, bfloat16, levels_that_run, loss, run_python

RNG = np.random.default_rng(7)
BINARY, ROWS = "binary_cross_entropy", "categorical_cross_entropy"


def value_and_grad(name):
    return getattr(fastxent, name.removesuffix("_with_logits") + "_value_and_grad")


def grad_hess(name):
    return getattr(fastxent, name.removesuffix("_with_logits") + "_grad_hess")


def example(name, n=3000, classes=10, dtype=np.float64, seed=7):
    """Enough losses for whole blocks, a rest, and more than one chunk of rows."""
    rng = np.random.default_rng(seed)
    if name.startswith(BINARY):
        return rng.integers(0, 2, n), rng.normal(0, 3, n).astype(dtype)
    return rng.integers(0, classes, n), rng.normal(0, 3, (n, classes)).astype(dtype)


# ------------------------------------------------------------------------- against the oracle


def outcome(function, case, options):
    try:
        return function(*case.args, **options)
    except ValueError:
        return None


def assert_close(got, want, case):
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    rtol = 1e-12 if case.scores.dtype == np.float64 else 1e-6
    size = np.abs(want[np.isfinite(want)]).max(initial=0.0)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * size, err_msg=repr(case))


@pytest.mark.parametrize("name", LOGITS)
@settings(max_examples=200)
@given(st.data())
def test_every_combination(name, data):
    case = data.draw(cases(name, wild=data.draw(st.booleans())))
    options = dict(case.options)
    value = outcome(loss(name), case, options)
    got = outcome(value_and_grad(name), case, options)
    assert (got is None) == (value is None), case
    of_oracle = name.removesuffix("_with_logits")
    if got is not None:
        np.testing.assert_array_equal(got[0], value)
        if options["reduction"] != "mean" or not np.isnan(value):
            want = getattr(oracle, of_oracle + "_value_and_grad")(*case.args, **options)
            assert_close(got[1], want[1], case)
    del options["reduction"]
    got = outcome(grad_hess(name), case, options)
    assert (got is None) == (value is None), case
    if got is not None:
        want = getattr(oracle, of_oracle + "_grad_hess")(*case.args, **options)
        assert_close(got[0], want[0], case)
        assert_close(got[1], want[1], case)


# ----------------------------------------------------------------------- the last places


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("spread", [0.01, 1, 8, 30])
def test_binary_gradients_to_four_ulp(dtype, spread):
    rng = np.random.default_rng(1)
    z = rng.normal(0, spread, 1500).astype(dtype)
    y = rng.integers(0, 2, 1500)
    exact = [oracle.exact_binary_slope(a, b) for a, b in zip(y, z, strict=True)]
    for reduction, by in (("sum", 1), ("mean", 1500)):
        grad = value_and_grad(BINARY)(y, z, reduction=reduction)[1]
        assert oracle.ulps(grad, [e / by for e in exact], dtype) <= 4


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [2, 10, 32, 33, 300])
@pytest.mark.parametrize("spread", [0.1, 3, 12])
def test_rows_to_four_ulp_and_to_a_sum_of_nought(dtype, classes, spread):
    rng = np.random.default_rng(2)
    n = max(4, 600 // classes)
    z = rng.normal(0, spread, (n, classes)).astype(dtype)
    y = rng.integers(0, classes, n)
    exact = [e / n for a, row in zip(y, z, strict=True) for e in oracle.exact_row_slopes(a, row)]
    grad = value_and_grad(ROWS)(y, z)[1]
    assert oracle.ulps(grad, exact, dtype) <= 4
    largest = np.abs(grad).max(1)
    assert (np.abs(grad.astype(np.longdouble).sum(1)) <= 4 * np.spacing(largest)).all()


def test_hessians_where_a_probability_is_nearly_one():
    z = np.array([[40.0, 0.0, 0.0], [0.0, 40.0, -3.0]])
    exact = [p * (1 - p) for row in z for p in oracle.exact_softmax(row)]
    for y in ([0, 1], [1, 2]):
        assert oracle.ulps(grad_hess(ROWS)(y, z)[1], exact, "float64") <= 4
    z = np.array([40.0, -40.0, 0.5, 700.0])
    exact = [p[0] * p[1] for p in map(oracle.exact_softmax, ([x, 0.0] for x in z))]
    assert oracle.ulps(grad_hess(BINARY)([1, 1, 0, 0], z)[1], exact, "float64") <= 4


# ---------------------------------------------------------------------------- the same bits


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def digests():
    """One line for each of many cases: for processes at other levels."""
    lines = []
    for name in (BINARY, ROWS):
        for dtype in (np.float32, np.float64, np.float16):
            for classes in (3, 10, 32, 33, 1000, 3000):
                y, z = example(name, 3000 if classes < 1000 else 70, classes, dtype)
                w = np.random.default_rng(0).random(len(y))
                for options in ({}, {"sample_weight": w}, {"label_smoothing": 0.1}):
                    value, grad = value_and_grad(name)(y, z, **options)
                    pair = grad_hess(name)(y, z, **options)
                    lines.append(digest(np.float64(value), grad, *pair))
    return "\n".join(lines)


@pytest.mark.parametrize("level", levels_that_run())
def test_levels_agree_in_every_bit(level):
    code = "import test_gradients; print(test_gradients.digests())"
    assert run_python(code, FASTXENT_SIMD=level).strip() == digests()


@pytest.mark.parametrize("workers", [2, 3, -1])
@pytest.mark.parametrize("name", LOGITS)
def test_workers_change_nothing(name, workers):
    y, z = example(name, 1_100_000 if name in LOGITS[0] else 120_000, 10, np.float32)
    want = value_and_grad(name)(y, z)
    got = value_and_grad(name)(y, z, workers=workers)
    assert got[0] == want[0] == loss(name)(y, z)
    np.testing.assert_array_equal(got[1], want[1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", LOGITS)
def test_layouts_change_nothing(name, dtype, layout):
    for classes in (5, 40):
        y, z = example(name, classes=classes, dtype=dtype)
        want = (*value_and_grad(name)(y, z), *grad_hess(name)(y, z))
        z = LAYOUTS[layout](z)
        got = (*value_and_grad(name)(y, z), *grad_hess(name)(y, z))
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", LOGITS)
def test_bfloat16_has_a_gradient_of_float32(name):
    y, z = example(name)
    z = z.astype(bfloat16())
    grad = value_and_grad(name)(y, z)[1]
    assert grad.dtype == np.float32
    np.testing.assert_array_equal(grad, value_and_grad(name)(y, z.astype(np.float32))[1])


# ------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("classes", [4, 50, 5000])
@pytest.mark.parametrize("name", LOGITS)
def test_out_is_filled_and_returned(name, classes, dtype):
    y, z = example(name, 200 if classes > 100 else 3000, classes, dtype)
    want = value_and_grad(name)(y, z)[1]
    pair = grad_hess(name)(y, z)
    wide = np.full((*z.shape[:-1], z.shape[-1] * 2), 7, want.dtype)
    outs = [np.empty(z.shape, want.dtype, order) for order in "CF"]
    for out in [*outs, wide[..., ::2], wide[..., ::2][::-1]]:
        assert value_and_grad(name)(y, z, out=out)[1] is out
        np.testing.assert_array_equal(out, want)
        other = np.empty_like(out)
        got = grad_hess(name)(y, z, out=(out, other))
        assert got[0] is out
        assert got[1] is other
        np.testing.assert_array_equal(out, pair[0])
        np.testing.assert_array_equal(other, pair[1])
    assert (wide[..., 1::2] == 7).all()


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [4, 50, 5000])
@pytest.mark.parametrize("name", LOGITS)
def test_in_place(name, classes, dtype, order):
    y, z = example(name, 200 if classes > 100 else 3000, classes, dtype)
    z[0] = 500  # and a row for the careful road
    z[1, ...] = -500 if z.ndim == 1 else np.arange(z.shape[1]) * 900.0
    z = np.array(z, order=order)
    for options in ({}, {"label_smoothing": 0.1}, {"sample_weight": np.arange(len(y)) % 3}):
        want = value_and_grad(name)(y, z, **options)
        own = z.copy(order="K")
        got = value_and_grad(name)(y, own, out=own, **options)
        assert got[1] is own
        assert got[0] == want[0]
        np.testing.assert_array_equal(own, want[1])
        pair = grad_hess(name)(y, z, **options)
        own = z.copy(order="K")
        hess = grad_hess(name)(y, own, out=(own, np.empty_like(z)), **options)[1]
        np.testing.assert_array_equal(own, pair[0])
        np.testing.assert_array_equal(hess, pair[1])


@pytest.mark.parametrize("name", LOGITS)
def test_in_place_takes_no_memory(name):
    y, z = example(name, 100_000, 10)
    w = np.ones(len(y))
    value_and_grad(name)(y, z.copy(), out=np.empty_like(z))
    tracemalloc.start()
    value_and_grad(name)(y, z, out=z, sample_weight=w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000


@pytest.mark.parametrize("name", LOGITS)
def test_an_error_in_place_leaves_the_logits_as_they_were(name):
    y, z = example(name)
    y[-1] = 99
    before = z.copy()
    with pytest.raises(ValueError, match="99"):
        value_and_grad(name)(y, z, out=z)
    with pytest.raises(ValueError, match="99"):
        grad_hess(name)(y, z, out=(np.empty_like(z), z))
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize("name", LOGITS)
def test_outputs_that_cannot_be_are_refused(name):
    y, z = example(name)
    for out in (np.empty_like(z)[1:], np.empty_like(z, np.float32)):
        with pytest.raises(ValueError, match="out has shape"):
            value_and_grad(name)(y, z, out=out)
    frozen = np.empty_like(z)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        value_and_grad(name)(y, z, out=frozen)
    with pytest.raises(TypeError, match="ndarray"):
        value_and_grad(name)(y, z, out=z.tolist())
    with pytest.raises(ValueError, match="overlap"):
        grad_hess(name)(y, z, out=(frozen.copy(), z[::-1]))
    same = np.empty_like(z)
    with pytest.raises(ValueError, match="overlap"):
        grad_hess(name)(y, z, out=(same, same))
    with pytest.raises(ValueError, match="two"):
        grad_hess(name)(y, z, out=(same,))


# ------------------------------------------------------------------------------- limits


def test_limits():
    value, grad = value_and_grad(BINARY)([1, 0, 1], [np.inf, -np.inf, -np.inf], reduction="sum")
    assert value == np.inf
    assert grad.tolist() == [0, 0, -1]
    rows = [[np.inf, 0, 1], [-np.inf, 0, 0]]
    grad = value_and_grad(ROWS)([0, 2], rows, reduction="sum")[1]
    assert grad.tolist() == [[0, 0, 0], [0, 0.5, -0.5]]


@pytest.mark.parametrize("name", LOGITS)
def test_nothing_to_do(name):
    y, z = example(name)
    value, grad = value_and_grad(name)(y[:0], z[:0])
    assert np.isnan(value)
    assert grad.shape == z[:0].shape
    value, grad = value_and_grad(name)(y, z * np.nan, where=np.zeros(len(y), bool))
    assert np.isnan(value)
    assert not grad.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_class_indices_may_be_floats_for_boosted_trees(dtype):
    y, z = example(ROWS)
    want = grad_hess(ROWS)(y, z)
    got = grad_hess(ROWS)(y.astype(dtype), np.asfortranarray(z))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.flags.f_contiguous
    with pytest.raises(ValueError, match="class indices"):
        grad_hess(ROWS)(y + 0.5, z)

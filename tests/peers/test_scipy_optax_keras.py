"""SciPy's special functions, optax's losses, and Keras by the rules of its documentation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastxent

pytestmark = pytest.mark.uncounted

RNG = np.random.default_rng(12)
N, K = 301, 7
Z, Y = RNG.normal(0, 4, N), RNG.integers(0, 2, N)
SOFT = RNG.random(N)
ROWS, INDEX = RNG.normal(0, 4, (N, K)), RNG.integers(0, K, N)
Q = RNG.dirichlet(np.ones(K), N)
NONE = {"reduction": "none"}

seeds, smoothings = st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 1.0])
many_shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)
few_shapes = st.sampled_from(
    [(1,), (33,), (4, 3), (2, 3, 4), (2, 1, 3, 2)]
)  # jax compiles for each


def close(got, want, rtol=1e-12, atol=1e-15):
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


# -------------------------------------------------------------------------------------- SciPy


@pytest.fixture
def special():
    return pytest.importorskip("scipy.special", reason="SciPy is absent")


def test_scipy_binary(special):
    p = special.expit(Z)
    want = -(special.xlogy(SOFT, p) + special.xlog1py(1 - SOFT, -p))
    close(fastxent.binary_cross_entropy(SOFT, p, **NONE), want)
    want = -(SOFT * special.log_expit(Z) + (1 - SOFT) * special.log_expit(-Z))
    close(fastxent.binary_cross_entropy_with_logits(SOFT, Z, **NONE), want)
    signs = np.where(Y == 1, Z, -Z)
    close(fastxent.binary_cross_entropy_with_logits(Y, Z, **NONE), -special.log_expit(signs))


def test_scipy_categorical(special):
    cost = -special.log_softmax(ROWS, axis=1)
    got = fastxent.categorical_cross_entropy_with_logits(INDEX, ROWS, **NONE)
    close(got, cost[np.arange(N), INDEX], atol=1e-13)
    got = fastxent.categorical_cross_entropy_with_logits(Q, ROWS, **NONE)
    close(got, (Q * cost).sum(1))
    got = fastxent.categorical_cross_entropy(Q, special.softmax(ROWS, axis=1), eps=0, **NONE)
    close(got, (Q * cost).sum(1))
    whole = special.logsumexp(ROWS, axis=1) - ROWS[np.arange(N), INDEX]
    got = fastxent.categorical_cross_entropy_with_logits(INDEX, ROWS, **NONE)
    close(got, whole, atol=1e-13)


def test_scipy_entropies(special):
    p = special.softmax(ROWS, axis=1)
    close(fastxent.entropy(p, **NONE), special.entr(p).sum(1))
    close(fastxent.kl_divergence(Q, p, **NONE), special.rel_entr(Q, p).sum(1), rtol=1e-11)
    stats = pytest.importorskip("scipy.stats")
    close(fastxent.entropy(p, **NONE), stats.entropy(p, axis=1))
    close(fastxent.kl_divergence(Q, p, **NONE), stats.entropy(Q, p, axis=1), rtol=1e-11)


def test_scipy_gaussian():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is absent")
    mean, var = RNG.normal(size=N), RNG.uniform(0.1, 4, N)
    want = -stats.norm.logpdf(Z, mean, np.sqrt(var))
    close(fastxent.gaussian_nll(Z, mean, var, full=True, **NONE), want)


# -------------------------------------------------------------------------------------- optax


@pytest.fixture
def optax():
    jax = pytest.importorskip("jax", reason="jax is absent: optax is not compared with")
    jax.config.update("jax_enable_x64", True)
    return pytest.importorskip("optax", reason="optax is absent")


def test_optax_binary(optax):
    got = fastxent.binary_cross_entropy_with_logits(SOFT, Z, **NONE)
    close(got, optax.sigmoid_binary_cross_entropy(Z, SOFT))


def test_optax_categorical(optax):
    got = fastxent.categorical_cross_entropy_with_logits(INDEX, ROWS, **NONE)
    want = optax.softmax_cross_entropy_with_integer_labels(ROWS, INDEX)
    close(got, want, atol=1e-13)
    got = fastxent.categorical_cross_entropy_with_logits(Q, ROWS, **NONE)
    close(got, optax.softmax_cross_entropy(ROWS, Q))
    cube = np.moveaxis(ROWS.reshape(7, 43, K), -1, 1)
    got = fastxent.categorical_cross_entropy_with_logits(INDEX.reshape(7, 43), cube, axis=1, **NONE)
    want = optax.softmax_cross_entropy_with_integer_labels(cube, INDEX.reshape(7, 43), axis=1)
    close(got, want, atol=1e-13)


def test_optax_smoothing(optax):
    onehot = np.eye(K)[INDEX]
    want = optax.softmax_cross_entropy(ROWS, optax.smooth_labels(onehot, 0.1))
    got = fastxent.categorical_cross_entropy_with_logits(INDEX, ROWS, label_smoothing=0.1, **NONE)
    close(got, want)


def test_optax_safe_at_minus_infinity(optax):
    z = np.array([[0.0, -np.inf, 1.0]])
    q = np.array([[0.5, 0.0, 0.5]])
    want = optax.safe_softmax_cross_entropy(z, q)
    close(fastxent.categorical_cross_entropy_with_logits(q, z, **NONE), want)


def test_optax_gradients(optax):
    jax = pytest.importorskip("jax")

    def mean(z):
        return optax.softmax_cross_entropy_with_integer_labels(z, INDEX).mean()

    value, grad = jax.value_and_grad(mean)(ROWS)
    got_value, got = fastxent.categorical_cross_entropy_value_and_grad(INDEX, ROWS)
    close(got_value, value)
    close(got, grad, rtol=1e-9)


@settings(max_examples=60)
@given(shape=few_shapes, classes=st.sampled_from([1, 2, 7, 40]), seed=seeds, smoothing=smoothings)
def test_optax_of_random_shapes(shape, classes, seed, smoothing):
    jax = pytest.importorskip("jax", reason="jax is absent: optax is not compared with")
    jax.config.update("jax_enable_x64", True)
    optax = pytest.importorskip("optax", reason="optax is absent")
    rng = np.random.default_rng(seed)
    z, y = rng.normal(0, 4, shape), rng.random(shape)
    smooth = y * (1 - smoothing) + smoothing / 2
    got = fastxent.binary_cross_entropy_with_logits(y, z, label_smoothing=smoothing, **NONE)
    close(got, optax.sigmoid_binary_cross_entropy(z, smooth))
    axis = int(rng.integers(0, len(shape) + 1))
    rows = np.moveaxis(rng.normal(0, 4, (*shape, classes)), -1, axis)
    index, mask, w = rng.integers(0, classes, shape), rng.random(shape) < 0.7, rng.random(shape)
    onehot = np.moveaxis(np.eye(classes)[index], -1, axis)
    smooth = onehot * (1 - smoothing) + smoothing / classes
    each = np.asarray(optax.softmax_cross_entropy(rows, smooth, axis=axis))
    options = {"axis": axis, "label_smoothing": smoothing}
    for labels in (index, onehot):
        got = fastxent.categorical_cross_entropy_with_logits(labels, rows, **options, **NONE)
        close(got, each, atol=1e-13)
        got = fastxent.categorical_cross_entropy_with_logits(
            labels, rows, **options, sample_weight=w, where=mask, reduction="sum"
        )
        close(got, (each * w)[mask].sum(), atol=1e-12)


# -------------------------------------------------------------------------------------- Keras
# Keras needs a backend of its own, so its rules are written out: keras/src/backend and losses.


def keras_binary(y, p, smoothing=0.0, epsilon=1e-7):
    y = y * (1 - smoothing) + 0.5 * smoothing
    p = np.clip(p, epsilon, 1 - epsilon)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def keras_categorical(q, p, smoothing=0.0, epsilon=1e-7, axis=-1):
    q = q * (1 - smoothing) + smoothing / q.shape[axis]
    p = p / p.sum(axis, keepdims=True)
    p = np.clip(p, epsilon, 1 - epsilon)
    return -(q * np.log(p)).sum(axis)


def keras_mean(each, weight, mask):
    """reduction="mean_with_sample_weight", after a mask has been made part of the weights."""
    weight = np.broadcast_to(
        weight.reshape(weight.shape + (1,) * (each.ndim - weight.ndim)), each.shape
    )
    total = np.where(mask, weight, 0).sum()
    return (each * weight)[mask].sum() / total if total else np.nan


@settings(max_examples=300)
@given(
    shape=many_shapes, seed=seeds, smoothing=smoothings, weighted=st.booleans(), soft=st.booleans()
)
def test_keras_binary_of_random_shapes(shape, seed, smoothing, weighted, soft):
    rng = np.random.default_rng(seed)
    p = rng.random(shape)
    p[rng.random(shape) < 0.1] = rng.integers(0, 2)
    y = rng.random(shape) if soft else rng.integers(0, 2, shape)
    mask = rng.random(shape) < 0.8
    w = rng.random(shape[: rng.integers(1, len(shape) + 1)]) if weighted else np.ones(shape)
    each = keras_binary(y, p, smoothing)
    options = {"label_smoothing": smoothing, "eps": 1e-7}
    close(fastxent.binary_cross_entropy(y, p, **options, **NONE), each, rtol=1e-9)
    got = fastxent.binary_cross_entropy(y, p, **options, sample_weight=w, where=mask)
    close(got, keras_mean(each, w, mask), rtol=1e-9)


@settings(max_examples=300)
@given(
    shape=many_shapes,
    classes=st.sampled_from([1, 2, 3, 10, 33, 100]),
    seed=seeds,
    smoothing=smoothings,
    kind=st.sampled_from(["sparse", "onehot", "soft"]),
)
def test_keras_categorical_of_random_shapes(shape, classes, seed, smoothing, kind):
    rng = np.random.default_rng(seed)
    axis = int(rng.integers(0, len(shape) + 1))
    p = np.moveaxis(rng.dirichlet(np.ones(classes), shape), -1, axis)
    index = rng.integers(0, classes, shape)
    q = rng.dirichlet(np.ones(classes), shape) if kind == "soft" else np.eye(classes)[index]
    q = np.moveaxis(q, -1, axis)
    mask, w = rng.random(shape) < 0.8, rng.random(shape[: rng.integers(1, len(shape) + 1)])
    each = keras_categorical(q, p, smoothing, axis=axis)
    options = {"axis": axis, "label_smoothing": smoothing, "eps": 1e-7}
    if kind == "sparse":  # ignore_class
        q, options["ignore_index"] = index, 0
        mask &= index != 0
        each = np.where(index != 0, each, 0)
    close(fastxent.categorical_cross_entropy(q, p, **options, **NONE), each, rtol=1e-8)
    got = fastxent.categorical_cross_entropy(q, p, **options, sample_weight=w, where=mask)
    close(got, keras_mean(each, w, mask), rtol=1e-8)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_keras_binary(smoothing):
    p = np.concatenate([1 / (1 + np.exp(-Z)), [0.0, 1.0, 1e-9]])
    y = np.concatenate([Y, [1, 1, 0]])
    got = fastxent.binary_cross_entropy(y, p, label_smoothing=smoothing, eps=1e-7, **NONE)
    close(got, keras_binary(y, p, smoothing), rtol=1e-9)
    assert got.max() == pytest.approx(16.12, abs=0.01) or smoothing


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_keras_categorical(smoothing):
    p = np.exp(ROWS) / np.exp(ROWS).sum(1, keepdims=True)
    for q, y in ((np.eye(K)[INDEX], INDEX), (Q, Q)):
        got = fastxent.categorical_cross_entropy(y, p, label_smoothing=smoothing, eps=1e-7, **NONE)
        close(got, keras_categorical(q, p, smoothing), rtol=1e-9)


def test_keras_sum_over_batch_size_and_mean_with_sample_weight():
    p, w = 1 / (1 + np.exp(-Z)), RNG.random(N)
    each = keras_binary(Y, p)
    total = fastxent.binary_cross_entropy(Y, p, sample_weight=w, eps=1e-7, reduction="sum")
    assert total / N == pytest.approx((w * each).mean(), rel=1e-9)  # sum_over_batch_size
    mean = fastxent.binary_cross_entropy(Y, p, sample_weight=w, eps=1e-7)
    assert mean == pytest.approx((w * each).sum() / w.sum(), rel=1e-9)  # mean_with_sample_weight


def test_keras_ignore_class():
    """SparseCategoricalCrossentropy(ignore_class=...): left out of the mean that divides by Σw."""
    p = np.exp(ROWS) / np.exp(ROWS).sum(1, keepdims=True)
    kept = INDEX != 3
    want = -np.log(p[np.arange(N), INDEX])[kept].mean()
    assert fastxent.categorical_cross_entropy(INDEX, p, ignore_index=3) == pytest.approx(want)


def test_unlike_keras_rows_are_not_renormalised():
    assert fastxent.categorical_cross_entropy([0], [[0.25, 0.25]]) == pytest.approx(2 * math.log(2))

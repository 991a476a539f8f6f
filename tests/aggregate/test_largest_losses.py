"""largest_losses against a stable sort of all losses."""

import math

import numpy as np
import pytest

import fastxent
from fastxent import binary_cross_entropy, largest_losses
from helpers.losses import LOSSES, loss
from helpers.memory import peak

RNG = np.random.default_rng(18)
N = 100_000  # several blocks
Z = RNG.normal(0, 2, N)
P = 1 / (1 + np.exp(-Z))
Y = (RNG.random(N) < P).astype(np.int8)


def largest(losses, n):
    """Of all losses: NaN first, then the largest, equal ones by their index."""
    flat = np.ravel(losses)
    order = np.lexsort((np.arange(flat.size), -flat, ~np.isnan(flat)))[:n]
    return flat[order], order


def check(got, losses, n):
    values, indices = largest(losses, n)
    np.testing.assert_array_equal(got.indices, indices)
    np.testing.assert_allclose(got.losses, values, rtol=1e-13)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("n", [1, 10, 40_000])
def test_of_every_loss(name, n):
    args = (Y, Z if name.endswith("logits") else P)
    if not name.startswith("binary"):
        z = RNG.normal(size=(N // 4, 4))
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        args = (RNG.integers(0, 4, N // 4), z if name.endswith("logits") else p)
    check(largest_losses(name, *args, n), loss(name)(*args, reduction="none"), n)


@pytest.mark.parametrize("shape", [(40_000, 3), (3, 40_000), (2, 40_000, 2), (250, 16, 30), (0, 3)])
@pytest.mark.parametrize("ties", [False, True])
def test_of_more_dimensions_indices_are_those_of_the_flattened_losses(shape, ties):
    p = RNG.choice([0.1, 0.2, 0.3], shape) if ties else RNG.random(shape)
    y = RNG.integers(0, 2, shape)
    got = largest_losses("binary_cross_entropy", y, p, 50)
    check(got, binary_cross_entropy(y, p, reduction="none"), 50)


def test_equal_losses_are_in_the_order_of_their_indices():
    got = largest_losses("binary_cross_entropy", np.ones(N), np.full(N, 0.5), 40_000)
    np.testing.assert_array_equal(got.indices, np.arange(40_000))


@pytest.mark.parametrize("workers", [2, -1])
def test_workers_change_nothing(workers):
    one, more = (largest_losses("binary_cross_entropy", Y, P, 99, workers=w) for w in (1, workers))
    np.testing.assert_array_equal(one.indices, more.indices)
    np.testing.assert_array_equal(one.losses, more.losses)


def test_weights_count():
    w, classes = RNG.uniform(0, 3, 500), np.array([1.0, 4.0, 0.5])
    p, y = RNG.dirichlet(np.ones(3), 500), RNG.integers(0, 3, 500)
    options = {"sample_weight": w, "class_weight": classes}
    got = largest_losses("categorical_cross_entropy", y, p, 9, **options)
    check(got, fastxent.categorical_cross_entropy(y, p, **options, reduction="none"), 9)


def test_masked_and_ignored_rows_are_never_among_them():
    p, y = np.array([0.9, 0.5, 0.001, 0.4]), np.array([1, 1, 1, 1])
    got = largest_losses("binary_cross_entropy", y, p, where=p > 0.01)
    assert got.indices.tolist() == [3, 1, 0]
    rows = np.stack([1 - p, p], 1)
    got = largest_losses("categorical_cross_entropy", [1, 1, -100, 1], rows, ignore_index=-100)
    assert got.indices.tolist() == [3, 1, 0]


def test_nan_policies():
    p = [0.9, math.nan, 0.1, math.nan, 0.0]
    y = [1] * 5
    with pytest.raises(ValueError, match=r"y_proba\[1\] is NaN"):
        largest_losses("binary_cross_entropy", y, p)
    omitted = largest_losses("binary_cross_entropy", y, p, nan_policy="omit")
    assert omitted.indices.tolist() == [4, 2, 0]
    first = largest_losses("binary_cross_entropy", y, p, nan_policy="propagate", eps=0.0)
    assert first.indices.tolist() == [1, 3, 4, 2, 0]
    assert first.losses[2] == math.inf and np.isnan(first.losses[:2]).all()
    many = np.full(N, math.nan)
    got = largest_losses("binary_cross_entropy", Y, many, 3, nan_policy="propagate")
    assert got.indices.tolist() == [0, 1, 2]


def test_one_argument_one_row_and_variances():
    p = RNG.dirichlet(np.ones(3), 40)
    check(largest_losses("entropy", p, None, 4), fastxent.entropy(p, reduction="none"), 4)
    got = largest_losses("categorical_cross_entropy", [0.0, 1.0], [0.25, 0.75])
    assert got.indices.tolist() == [0] and got.losses[0] == pytest.approx(-math.log(0.75))
    var = RNG.uniform(1, 2, 40)
    got = largest_losses("gaussian_nll", p[:, 0], p[:, 1], 4, var=var)
    check(got, fastxent.gaussian_nll(p[:, 0], p[:, 1], var, reduction="none"), 4)


@pytest.mark.parametrize(
    "n, error, text",
    [(0, ValueError, "n=0 is not at least 1"), (2.5, TypeError, "n=2.5 is not an integer")],
)
def test_a_bad_n(n, error, text):
    with pytest.raises(error, match=text):
        largest_losses("binary_cross_entropy", Y, P, n)


def test_errors_name_the_element():
    p = P.copy()
    p[70_000] = 1.5
    with pytest.raises(ValueError, match=r"y_proba\[70000\] = 1\.5"):
        largest_losses("binary_cross_entropy", Y, p)
    with pytest.raises(TypeError, match="largest_losses takes no reduction"):
        largest_losses("binary_cross_entropy", Y, P, reduction="sum")


def test_memory_is_that_of_a_block():
    y, p = np.zeros(2_000_000, np.int8), RNG.random(2_000_000)
    assert peak(lambda: largest_losses("binary_cross_entropy", y, p)) < 6 << 20

"""One formula behind everything: a negative log-likelihood is a cross entropy, -Σ q log p."""

import itertools
import math

import numpy as np
import pytest

from helpers.losses import BINARY, CATEGORICAL, LOGITS, LOSSES, loss
from helpers.reference_mpmath import exact, mp

pytestmark = [pytest.mark.wheel, pytest.mark.arm64]

RNG = np.random.default_rng(11)
N = 501
P = RNG.uniform(0.01, 0.99, N)
Z = RNG.normal(0, 3, N)
HARD = RNG.integers(0, 2, N)
SOFT = RNG.random(N)
ROWS = RNG.dirichlet(np.ones(4), N)
Q = RNG.dirichlet(np.ones(4), N)
INDEX = RNG.integers(0, 4, N)

bce = loss("binary_cross_entropy")
bce_logits = loss("binary_cross_entropy_with_logits")
cce = loss("categorical_cross_entropy")
cce_logits = loss("categorical_cross_entropy_with_logits")


def close(a, b, rel=1e-14):
    np.testing.assert_allclose(a, b, rtol=rel, atol=0)


def columns(p):
    return np.stack([1 - p, p], axis=1)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_two_columns_are_a_binary_loss(reduction):
    how = {"reduction": reduction}
    close(cce(HARD, columns(P), **how), bce(HARD, P, **how))
    close(cce(columns(SOFT), columns(P), **how), bce(SOFT, P, **how))
    close(cce(columns(HARD), columns(P), **how), bce(HARD, P, **how))
    logits = np.stack([np.zeros(N), Z], axis=1)
    close(cce_logits(HARD, logits, **how), bce_logits(HARD, Z, **how))
    close(cce_logits(columns(SOFT), logits, **how), bce_logits(SOFT, Z, **how))
    close(cce_logits(HARD, logits + 7.0, **how), bce_logits(HARD, Z, **how), rel=1e-13)


def test_minus_the_logarithm_of_a_likelihood():
    """Of Bernoulli trials: Π p^k (1-p)^(1-k), which would underflow in float64."""
    likelihood = mp.fprod(exact(p) if k else 1 - exact(p) for k, p in zip(HARD, P, strict=True))
    assert likelihood < 1e-100
    assert bce(HARD, P, reduction="sum") == pytest.approx(float(-mp.log(likelihood)), rel=4e-16)


def test_a_binomial_likelihood():
    """k of n: the trials one by one, or k/n as a soft label of weight n."""
    n = RNG.integers(1, 20, 50)
    k = RNG.integers(0, n + 1)
    p = RNG.uniform(0.1, 0.9, 50)
    trials = np.concatenate([np.arange(total) < hits for total, hits in zip(n, k, strict=True)])
    each = bce(trials, np.repeat(p, n), reduction="sum")
    close(bce(k / n, p, sample_weight=n, reduction="sum"), each)
    close(each, -np.sum(k * np.log(p) + (n - k) * np.log1p(-p)), rel=1e-13)


def test_a_soft_label_is_a_mixture():
    """Linear in the label."""
    how = {"reduction": "none"}
    for f, scores in ((bce, P), (bce_logits, Z)):
        ones, zeros = np.ones(N), np.zeros(N)
        mixed = SOFT * f(ones, scores, **how) + (1 - SOFT) * f(zeros, scores, **how)
        close(f(SOFT, scores, **how), mixed)
    for f, scores in ((cce, ROWS), (cce_logits, np.log(ROWS))):
        each = [f(np.full(N, c), scores, **how) for c in range(4)]
        close(f(Q, scores, **how), np.sum(Q * np.stack(each, axis=1), axis=1))


@pytest.mark.parametrize("name", CATEGORICAL)
def test_a_class_index_is_a_one_hot_distribution(name):
    scores = np.log(ROWS) if name in LOGITS else ROWS
    for how in ({}, {"label_smoothing": 0.1}, {"class_weight": [1, 2, 3, 4.0]}):
        close(loss(name)(INDEX, scores, **how), loss(name)(np.eye(4)[INDEX], scores, **how))


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_is_the_sum_of_its_parts(name):
    y = HARD if name in BINARY else INDEX
    scores = (Z if name in LOGITS else P) if name in BINARY else ROWS
    f, cuts = loss(name), [0, 1, 77, 300, N]
    parts = [f(y[a:b], scores[a:b], reduction="sum") for a, b in itertools.pairwise(cuts)]
    close(math.fsum(parts), f(y, scores, reduction="sum"))
    close(f(y[::-1], scores[::-1]), f(y, scores))
    close(f(y, scores, reduction="none")[::-1], f(y[::-1], scores[::-1], reduction="none"), rel=0)


def test_probabilities_and_their_logits():
    close(bce_logits(HARD, Z), bce(HARD, 1 / (1 + np.exp(-Z)), eps=0), rel=1e-13)
    close(cce_logits(INDEX, np.log(ROWS)), cce(INDEX, ROWS, eps=0), rel=1e-13)


def test_logits_may_be_shifted():
    shifts = RNG.integers(-1000, 1000, (N, 1))
    z = np.round(np.log(ROWS) * 64) / 64  # so that the sum is exact
    close(cce_logits(INDEX, z + shifts, reduction="none"), cce_logits(INDEX, z, reduction="none"))


def test_the_two_outcomes_are_alike():
    close(bce(1 - HARD, 1 - P), bce(HARD, P), rel=1e-13)
    np.testing.assert_array_equal(
        bce_logits(1 - HARD, -Z, reduction="none"), bce_logits(HARD, Z, reduction="none")
    )


def test_classes_may_be_permuted():
    order = RNG.permutation(4)
    close(cce(Q[:, order], ROWS[:, order]), cce(Q, ROWS))
    close(cce_logits(np.argsort(order)[INDEX], ROWS[:, order]), cce_logits(INDEX, ROWS))


def test_a_cross_entropy_is_an_entropy_and_a_divergence():
    how = {"reduction": "none"}
    whole = loss("entropy")(Q, **how) + loss("kl_divergence")(Q, ROWS, **how)
    close(cce(Q, ROWS, **how), whole, rel=1e-13)
    close(loss("entropy")(Q, **how), cce(Q, Q, **how))
    assert loss("kl_divergence")(Q, Q) == pytest.approx(0, abs=1e-15)
    assert (loss("kl_divergence")(Q, ROWS, **how) >= 0).all()


def test_a_squared_error_is_a_gaussian_cross_entropy():
    """Of variance 1, twice; `full` adds the constant."""
    y, mean = RNG.normal(0, 2, (2, N))
    gaussian = loss("gaussian_nll")
    close(2 * gaussian(y, mean), np.mean((y - mean) ** 2))
    constant = 0.5 * math.log(2 * math.pi)
    close(gaussian(y, mean, full=True), gaussian(y, mean) + constant)


def test_a_perplexity_is_the_number_of_equal_choices():
    for classes in (2, 10, 1000):
        uniform = cce_logits(RNG.integers(0, classes, 99), np.zeros((99, classes)))
        assert math.exp(uniform) == pytest.approx(classes, rel=1e-14)

"""Gradients against torch's autograd, with every option that torch has too."""

import numpy as np
import pytest

import fastxent

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.uncounted
functional = torch.nn.functional
RNG = np.random.default_rng(5)
Z = RNG.normal(0, 3, 5000)
Y = RNG.integers(0, 2, 5000).astype(float)
ROWS = RNG.normal(0, 3, (2000, 12))
INDEX = RNG.integers(0, 12, 2000)


def of_torch(function, scores, *args, **options):
    leaf = torch.from_numpy(scores.copy()).requires_grad_()
    value = function(leaf, *map(torch.from_numpy, args), **options)
    value.backward()
    return value.item(), leaf.grad.numpy()


def assert_same(got, want):
    assert got[0] == pytest.approx(want[0], rel=1e-9)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-9, atol=1e-9 * np.abs(want[1]).max())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("pos_weight", [None, 2.5])
@pytest.mark.parametrize("soft", [False, True])
def test_binary(reduction, pos_weight, soft):
    y = RNG.random(5000) if soft else Y
    weight = None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float64)
    want = of_torch(
        functional.binary_cross_entropy_with_logits,
        Z,
        y,
        reduction=reduction,
        pos_weight=weight,
    )
    got = fastxent.binary_cross_entropy_value_and_grad(
        y, Z, reduction=reduction, pos_weight=pos_weight
    )
    assert_same(got, want)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignore", [None, 3])
@pytest.mark.parametrize("axis", [-1, 1])
def test_rows(reduction, weighted, smoothing, ignore, axis):
    weight = RNG.random(12) if weighted else None
    scores, y = ROWS, INDEX
    if axis == 1:
        scores, y = ROWS.reshape(100, 20, 12).transpose(0, 2, 1).copy(), INDEX.reshape(100, 20)
    want = of_torch(
        functional.cross_entropy,
        scores,
        y,
        reduction=reduction,
        label_smoothing=smoothing,
        ignore_index=-100 if ignore is None else ignore,
        weight=None if weight is None else torch.from_numpy(weight),
    )
    got = fastxent.categorical_cross_entropy_value_and_grad(
        y,
        scores,
        axis=axis,
        reduction=reduction,
        class_weight=weight,
        label_smoothing=smoothing,
        ignore_index=ignore,
    )
    assert_same(got, want)


@pytest.mark.parametrize("weighted", [False, True])
def test_distributions(weighted):
    q = RNG.dirichlet(np.ones(12), 2000)
    weight = RNG.random(12) if weighted else None
    more = {} if weight is None else {"weight": torch.from_numpy(weight)}
    want = of_torch(functional.cross_entropy, ROWS, q, reduction="sum", **more)
    got = fastxent.categorical_cross_entropy_value_and_grad(
        q, ROWS, reduction="sum", class_weight=weight
    )
    assert_same(got, want)


def test_second_derivatives():
    z = torch.from_numpy(ROWS[:50]).requires_grad_()
    y = torch.from_numpy(INDEX[:50])
    first = torch.autograd.grad(
        functional.cross_entropy(z, y, reduction="sum"), z, create_graph=True
    )[0]
    diagonal = torch.stack(
        [torch.autograd.grad(first[:, c].sum(), z, retain_graph=True)[0][:, c] for c in range(12)],
        1,
    )
    hess = fastxent.categorical_cross_entropy_grad_hess(INDEX[:50], ROWS[:50])[1]
    np.testing.assert_allclose(hess, diagonal.numpy(), rtol=1e-9)

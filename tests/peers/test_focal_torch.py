"""Focal losses against torch: its autograd, once and twice, of what torchvision and Keras define."""

import numpy as np
import pytest

import fastxent

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.uncounted
functional = torch.nn.functional
RNG = np.random.default_rng(11)
N, K = 400, 7
Z, ROWS = RNG.normal(0, 3, N), RNG.normal(0, 3, (N, K))
WEIGHT, MASK = RNG.random(N), RNG.random(N) < 0.8
OPTIONS = [(0.0, None), (2.0, None), (2.0, "some"), (0.7, "some"), (3.5, None)]


def binary(z, y, gamma, alpha):
    """torchvision.ops.sigmoid_focal_loss, whose -1 is None here."""
    p = torch.sigmoid(z)
    entropy = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    loss = entropy * (1 - (p * y + (1 - p) * (1 - y))) ** gamma
    return loss if alpha is None else loss * (alpha * y + (1 - alpha) * (1 - y))


def rows(z, q, gamma, alpha):
    """keras.losses.CategoricalFocalCrossentropy, without the clipping of p."""
    logs = torch.log_softmax(z, 1)
    terms = -q * (1 - logs.exp()) ** gamma * logs
    return (terms if alpha is None else terms * torch.as_tensor(alpha)).sum(1)


def derivatives(of, scores, labels, *options):
    """Losses, their gradient, and the diagonal of the Hessian."""
    z = torch.from_numpy(scores).requires_grad_()
    losses = of(z, torch.from_numpy(labels), *options)
    first = torch.autograd.grad(losses.sum(), z, create_graph=True)[0]
    if z.ndim == 1:
        second = torch.autograd.grad(first.sum(), z)[0]
    else:
        second = torch.stack(
            [
                torch.autograd.grad(first[:, c].sum(), z, retain_graph=True)[0][:, c]
                for c in range(K)
            ],
            1,
        )
    return (t.detach().numpy() for t in (losses, first, second))


def assert_close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * np.abs(want).max())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("gamma", "alpha"), OPTIONS)
@pytest.mark.parametrize("kind", ["binary", "categorical"])
def test_all_options(kind, gamma, alpha, soft, smoothing, weighted):
    if kind == "binary":
        scores, of, classes = Z, binary, 2
        y = RNG.random(N) if soft else RNG.integers(0, 2, N).astype(float)
        labels = y
        alpha = 0.25 if alpha else None
    else:
        scores, of, classes = ROWS, rows, K
        y = RNG.dirichlet(np.ones(K), N) if soft else RNG.integers(0, K, N)
        labels = y if soft else np.eye(K)[y]
        alpha = RNG.random(K) if alpha else None
    smooth = labels * (1 - smoothing) + smoothing / classes
    losses, first, second = derivatives(of, scores, smooth, gamma, alpha)
    options = {"gamma": gamma, "alpha": alpha, "label_smoothing": smoothing}
    kept = np.ones(N)
    if weighted:
        options |= {"sample_weight": WEIGHT, "where": MASK}
        kept = WEIGHT * MASK
    by_row = kept.reshape(-1, *[1] * (scores.ndim - 1))
    name = f"{kind}_focal_loss"
    value_and_grad = getattr(fastxent, name + "_value_and_grad")
    for reduction, by in (("mean", kept.sum()), ("sum", 1.0)):
        value, grad = value_and_grad(y, scores, reduction=reduction, **options)
        assert value == pytest.approx(kept @ losses / by, rel=1e-9)
        assert_close(grad, by_row * first / by)
    value, grad = value_and_grad(y, scores, reduction="none", **options)
    assert_close(value, kept * losses)
    assert_close(grad, by_row * first)
    grad, hess = getattr(fastxent, name + "_grad_hess")(y, scores, hess_floor=-np.inf, **options)
    assert_close(grad, by_row * first)
    assert_close(hess, by_row * second)


def test_optax():
    jax = pytest.importorskip("jax")
    optax = pytest.importorskip("optax")
    jax.config.update("jax_enable_x64", True)
    y = RNG.integers(0, 2, N).astype(float)
    for gamma, alpha in ((2.0, None), (1.5, 0.25)):
        want = optax.sigmoid_focal_loss(Z, y, alpha=alpha, gamma=gamma)
        got = fastxent.binary_focal_loss(y, Z, alpha=alpha, gamma=gamma, reduction="none")
        assert_close(got, np.asarray(want))

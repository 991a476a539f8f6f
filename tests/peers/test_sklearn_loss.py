"""scikit-learn's private losses: values, gradients and Hessians of linear and boosted models."""

import numpy as np
import pytest

import fastxent

losses = pytest.importorskip(
    "sklearn._loss", reason="scikit-learn is absent: its losses are not compared with"
)

pytestmark = pytest.mark.uncounted
N, K = 2003, 5
RNG = np.random.default_rng(8)


def close(got, want, rtol=1e-12, atol=1e-15):
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scale", [0.1, 3, 30])
def test_half_binomial_loss(scale, weighted):
    z, y = RNG.normal(0, scale, N), RNG.integers(0, 2, N).astype(float)
    w = RNG.random(N) if weighted else None
    peer = losses.HalfBinomialLoss()
    options = {"y_true": y, "raw_prediction": z, "sample_weight": w}
    f = fastxent.binary_cross_entropy_with_logits
    close(f(y, z, sample_weight=w, reduction="none"), peer.loss(**options), atol=1e-13)
    close(f(y, z, sample_weight=w), peer(**options))
    grad, hess = fastxent.binary_cross_entropy_grad_hess(y, z, sample_weight=w)
    want_grad, want_hess = peer.gradient_hessian(**options)
    close(grad, want_grad, rtol=1e-9)
    close(hess, want_hess, rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scale", [0.1, 3, 30])
def test_half_multinomial_loss(scale, weighted):
    z, y = RNG.normal(0, scale, (N, K)), RNG.integers(0, K, N)
    w = RNG.random(N) if weighted else None
    peer = losses.HalfMultinomialLoss(n_classes=K)
    options = {"y_true": y.astype(float), "raw_prediction": z, "sample_weight": w}
    f = fastxent.categorical_cross_entropy_with_logits
    close(f(y, z, sample_weight=w, reduction="none"), peer.loss(**options), atol=1e-13)
    close(f(y, z, sample_weight=w), peer(**options))
    grad, hess = fastxent.categorical_cross_entropy_grad_hess(y, z, sample_weight=w)
    want_grad, want_hess = peer.gradient_hessian(**options)
    close(grad, want_grad, rtol=1e-9)
    close(hess, want_hess, rtol=1e-9)
    value, grad = fastxent.categorical_cross_entropy_value_and_grad(
        y, z, sample_weight=w, reduction="none"
    )
    want_value, want_grad = peer.loss_gradient(**options)
    close(value, want_value, atol=1e-13)
    close(grad, want_grad, rtol=1e-9)


def test_a_scorer():
    """As the contract names it: negative, from predict_proba."""
    metrics = pytest.importorskip("sklearn.metrics")
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = RNG.normal(size=(200, 3)), RNG.integers(0, 3, 200)
    model = linear.LogisticRegression().fit(x, y)
    ours = metrics.make_scorer(
        fastxent.log_loss, response_method="predict_proba", greater_is_better=False
    )
    assert ours(model, x, y) == pytest.approx(metrics.get_scorer("neg_log_loss")(model, x, y))
    p = model.predict_proba(x)
    assert fastxent.categorical_cross_entropy(y, p) == pytest.approx(metrics.log_loss(y, p))

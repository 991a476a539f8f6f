"""The Poisson loss against SciPy's distribution and torch's poisson_nll_loss."""

import numpy as np
import pytest

import fastxent

pytestmark = pytest.mark.uncounted

RNG = np.random.default_rng(3)
Z = RNG.normal(0, 2, 4099)
Y = RNG.poisson(np.exp(np.minimum(Z, 5)))


def test_full_is_the_logarithm_of_scipys_probability():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is absent")
    got = fastxent.poisson_nll(Y, Z, full=True, reduction="none")
    np.testing.assert_allclose(got, -stats.poisson.logpmf(Y, np.exp(Z)), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_value_and_gradient_are_torchs(reduction):
    torch = pytest.importorskip("torch", reason="torch is absent")
    z = torch.tensor(Z, requires_grad=True)
    want = torch.nn.functional.poisson_nll_loss(z, torch.tensor(Y).double(), reduction=reduction)
    want.sum().backward()
    value, grad = fastxent.poisson_nll_value_and_grad(Y, Z, reduction=reduction)
    np.testing.assert_allclose(value, want.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(grad, z.grad.numpy(), rtol=1e-12, atol=1e-15)

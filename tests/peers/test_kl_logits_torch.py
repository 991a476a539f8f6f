"""kl_divergence_with_logits against torch's kl_div of two log_softmax, and its autograd."""

import numpy as np
import pytest

import fastxent

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.peers, pytest.mark.uncounted]
functional = torch.nn.functional
RNG = np.random.default_rng(2)


@pytest.mark.parametrize("shape", [(200, 3), (70, 33), (20, 1500)])
@pytest.mark.parametrize("width", [0.1, 3.0, 30.0])
def test_against_torch(shape, width):
    a, b = RNG.normal(0, width, (2, *shape))
    q, p = torch.from_numpy(a), torch.from_numpy(b).requires_grad_()
    each = functional.kl_div(
        torch.log_softmax(p, 1), torch.log_softmax(q, 1), log_target=True, reduction="none"
    ).sum(1)
    each.mean().backward()
    value, grad = fastxent.kl_divergence_with_logits_value_and_grad(a, b)
    assert value == pytest.approx(each.mean().item(), rel=1e-10)
    np.testing.assert_allclose(grad, p.grad.numpy(), rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(
        fastxent.kl_divergence_with_logits(a, b, reduction="none"),
        each.detach().numpy(), rtol=1e-10, atol=1e-14,
    )  # fmt: skip

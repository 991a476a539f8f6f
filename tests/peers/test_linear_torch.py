"""linear_cross_entropy against torch: the formula with every option, and its autograd."""

import itertools

import numpy as np
import pytest

import fastxent
from fastxent._linear import products

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.peers, pytest.mark.uncounted]
RNG = np.random.default_rng(3)
N, D, K = 31, 6, 19
HIDDEN, WEIGHT, BIAS = RNG.normal(size=(N, D)), RNG.normal(size=(K, D)), RNG.normal(size=K)
INDEX, SOFT = RNG.integers(0, K, N), RNG.dirichlet(np.ones(K), N)
SAMPLE, CLASS, MASK = RNG.random(N), RNG.random(K), RNG.random(N) < 0.8


def by_torch(labels, bias, reduction, options):
    """The value and the gradients, by the formula."""
    hidden, weight = (torch.from_numpy(a).requires_grad_() for a in (HIDDEN, WEIGHT))
    arrays = [hidden, weight]
    z = hidden @ weight.T
    if bias is not None:
        arrays.append(torch.from_numpy(bias).requires_grad_())
        z = z + arrays[-1]
    cap, smoothing = options.get("softcap"), options.get("label_smoothing", 0.0)
    if cap:
        z = cap * torch.tanh(z / cap)
    lse = torch.logsumexp(z, 1)
    soft = torch.from_numpy(labels if labels is SOFT else np.eye(K)[labels])
    per_class = torch.from_numpy(options.get("class_weight", np.ones(K)))
    row_weight = (soft * per_class).sum(1)
    if labels is SOFT and "class_weight" not in options:
        row_weight = torch.ones(N, dtype=torch.float64)
    q = (soft * (1 - smoothing) + smoothing / K) * per_class
    losses = (q * (lse[:, None] - z)).sum(1) + options.get("z_loss", 0.0) * lse**2 * row_weight
    factor = torch.from_numpy(options.get("sample_weight", np.ones(N)))
    factor = factor * torch.from_numpy(options.get("where", np.ones(N, bool)))
    if "ignore_index" in options:
        factor = factor * torch.from_numpy(labels != options["ignore_index"])
    total = (losses * factor).sum()
    value = total / (row_weight * factor).sum() if reduction == "mean" else total
    return value.item(), [g.numpy() for g in torch.autograd.grad(value, arrays)]


@pytest.mark.parametrize("budget", [products.BLOCK, 8 * N * 5], ids=["whole", "parts"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("bias", [None, BIAS])
@pytest.mark.parametrize("labels", [INDEX, SOFT], ids=["index", "soft"])
def test_every_combination_of_options(labels, bias, reduction, budget, monkeypatch):
    monkeypatch.setattr(products, "BLOCK", budget)
    choices = {
        "class_weight": CLASS, "sample_weight": SAMPLE, "where": MASK, "label_smoothing": 0.1,
        "softcap": 1.5, "z_loss": 0.01, "ignore_index": 4,
    }  # fmt: skip
    if labels is SOFT:
        del choices["ignore_index"]
    for count in range(len(choices) + 1):
        for names in itertools.combinations(choices, count):
            options = {name: choices[name] for name in names}
            want, derivatives = by_torch(labels, bias, reduction, options)
            value, gradients = fastxent.linear_cross_entropy_value_and_grad(
                labels, HIDDEN, WEIGHT, bias, reduction=reduction, **options
            )
            assert value == pytest.approx(want, rel=1e-10), options
            found = [g for g in gradients if g is not None]
            for got, derivative in zip(found, derivatives, strict=True):
                np.testing.assert_allclose(
                    got, derivative, rtol=1e-10, atol=1e-12, err_msg=str(options)
                )

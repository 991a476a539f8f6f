"""softcap and z_loss of categorical logits against torch: the formula, and its autograd."""

import itertools

import numpy as np
import pytest

from fastxent import categorical_cross_entropy_value_and_grad as value_and_grad

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.peers, pytest.mark.uncounted]
RNG = np.random.default_rng(4)
N = 70
SAMPLE, MASK = RNG.random(N), RNG.random(N) < 0.8


def by_torch(labels, logits, options):
    """The mean and its gradient."""
    z = torch.from_numpy(logits).requires_grad_()
    cap, smoothing = options.get("softcap"), options.get("label_smoothing", 0.0)
    classes = z.shape[1]
    x = cap * torch.tanh(z / cap) if cap else z
    lse = torch.logsumexp(x, 1)
    soft = torch.from_numpy(np.eye(classes)[labels] if labels.ndim == 1 else labels)
    per_class = torch.from_numpy(options.get("class_weight", np.ones(classes)))
    q = (soft * (1 - smoothing) + smoothing / classes) * per_class
    weight = (soft * per_class).sum(1)
    losses = (q * (lse[:, None] - x)).sum(1) + options.get("z_loss", 0.0) * lse**2 * weight
    factor = torch.from_numpy(options.get("sample_weight", np.ones(N)))
    factor = factor * torch.from_numpy(options.get("where", np.ones(N, bool)))
    if "ignore_index" in options:
        factor = factor * torch.from_numpy(labels != options["ignore_index"])
    value = (losses * factor).sum() / (weight * factor).sum()
    return value.item(), torch.autograd.grad(value, z)[0].numpy()


@pytest.mark.parametrize("labels", ["index", "soft"])
@pytest.mark.parametrize(
    "extra", [{"softcap": 6.0}, {"z_loss": 0.1}, {"softcap": 6.0, "z_loss": 1e-3}]
)
@pytest.mark.parametrize("classes", [2, 20, 150, 1500])
def test_every_combination_of_options(classes, extra, labels):
    z = RNG.normal(0, 5, (N, classes))
    y = RNG.integers(0, classes, N) if labels == "index" else RNG.dirichlet(np.ones(classes), N)
    choices = {
        "class_weight": RNG.random(classes) + 0.1, "sample_weight": SAMPLE, "where": MASK,
        "label_smoothing": 0.1, "ignore_index": 1,
    }  # fmt: skip
    if labels == "soft":
        del choices["ignore_index"]
    for count in range(len(choices) + 1):
        for names in itertools.combinations(choices, count):
            options = {name: choices[name] for name in names} | extra
            want, derivative = by_torch(y, z, options)
            value, grad = value_and_grad(y, z, **options)
            assert value == pytest.approx(want, rel=1e-10), options
            np.testing.assert_allclose(
                grad, derivative, rtol=1e-10, atol=1e-13, err_msg=str(options)
            )

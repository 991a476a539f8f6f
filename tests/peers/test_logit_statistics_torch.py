"""logit_statistics against torch: log_softmax, logsumexp, argmax, and counting."""

import numpy as np
import pytest

from fastxent import logit_statistics

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.peers, pytest.mark.uncounted]
RNG = np.random.default_rng(1)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(300, 7), (40, 1000), (3, 128_256)])
def test_against_torch(shape, dtype):
    z = torch.from_numpy(RNG.normal(0, 4, shape)).to(getattr(torch, dtype))
    y = torch.from_numpy(RNG.integers(0, shape[1], shape[0]))
    got = logit_statistics(y, z)
    wide = z.double()
    logs = torch.log_softmax(wide, 1)
    target = wide.gather(1, y[:, None])
    want = (
        -logs.gather(1, y[:, None])[:, 0],
        torch.logsumexp(wide, 1),
        -(logs.exp() * logs).sum(1),
    )
    rtol = 1e-12 if dtype == "float64" else 1e-6
    for array, tensor in zip(got[:3], want, strict=True):
        np.testing.assert_allclose(array, tensor.numpy(), rtol=rtol)
    if dtype in ("float64", "float32"):  # torch does not say which of several largest it takes
        np.testing.assert_array_equal(got.argmax, z.argmax(1).numpy())
    else:
        at_argmax = wide.gather(1, torch.from_numpy(got.argmax)[:, None])[:, 0]
        assert (at_argmax == wide.max(1).values).all()
    np.testing.assert_array_equal(got.rank, (wide > target).sum(1).numpy())

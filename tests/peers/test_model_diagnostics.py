"""decompose gives the numbers of the package model-diagnostics, which uses scikit-learn."""

import numpy as np
import pytest

from fastxent import decompose

scoring = pytest.importorskip("model_diagnostics.scoring", reason="the peer of decompose")

pytestmark = pytest.mark.uncounted


@pytest.mark.parametrize("n", [10, 1000, 100_000])
@pytest.mark.parametrize("digits", [1, 2, 15])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_parts(n, digits, weighted):
    rng = np.random.default_rng(n + digits)
    p = np.round(rng.beta(1, 2, n), digits).clip(0.01, 0.99)
    y = (rng.random(n) < p**1.3).astype(float)
    w = rng.uniform(0.5, 2, n) if weighted else None
    want = scoring.decompose(y, p, weights=w, scoring_function=scoring.LogLoss())
    want = want.rows(named=True)[0]
    found = decompose(y, p, sample_weight=w)
    assert found.loss == pytest.approx(want["score"], rel=1e-12)
    for part in ("miscalibration", "discrimination", "uncertainty"):
        assert getattr(found, part) == pytest.approx(want[part], abs=1e-12, rel=1e-12)

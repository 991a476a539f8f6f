"""score with clusters is statsmodels' regression on a constant with cluster-robust covariance."""

import numpy as np
import pytest

import fastxent

api = pytest.importorskip("statsmodels.api", reason="the peer of clusters=")

pytestmark = pytest.mark.uncounted


@pytest.mark.parametrize("weighted", [False, True])
def test_cluster_robust_covariance(weighted):
    rng = np.random.default_rng(5)
    cluster = rng.integers(0, 40, 2000)
    p = 1 / (1 + np.exp(-rng.normal(size=2000) - rng.normal(size=40)[cluster]))
    y = (rng.random(2000) < 0.5).astype(int)
    w = rng.uniform(0.5, 2, 2000) if weighted else np.ones(2000)
    losses = fastxent.binary_cross_entropy(y, p, reduction="none")
    model = api.WLS(losses, np.ones(2000), weights=w)
    want = model.fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
    found = fastxent.score(
        "binary_cross_entropy", y, p, clusters=cluster, sample_weight=w if weighted else None
    )
    assert found.mean == pytest.approx(want.params[0], rel=1e-12)
    assert found.standard_error == pytest.approx(want.bse[0], rel=1e-12)
    interval = want.conf_int()[0]
    assert found.confidence_interval() == pytest.approx(list(interval), rel=1e-10)

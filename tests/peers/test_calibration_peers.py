"""fit_temperature and fit_platt find what scikit-learn and statsmodels find."""

import numpy as np
import pytest

from fastxent import fit_platt, fit_temperature

pytestmark = pytest.mark.uncounted
RNG = np.random.default_rng(7)


def logits(n, k):
    z = RNG.normal(size=(n, k))
    y = RNG.integers(0, k, n)
    z[np.arange(n), y] += 1.5
    return y, 2 * z


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_temperature_of_scikit_learn(weighted, dtype):
    calibration = pytest.importorskip("sklearn.calibration", reason="the peer of fit_temperature")
    y, z = logits(20_000, 6)
    z = z.astype(dtype)
    w = RNG.uniform(0, 2, len(y)) if weighted else None
    peer = calibration._TemperatureScaling().fit(z, y, sample_weight=w)
    fit = fit_temperature(y, z, sample_weight=w)
    assert 1 / peer.beta_ == pytest.approx(
        fit.temperature, rel=1e-6 if dtype == np.float64 else 1e-3
    )


def test_platt_of_scikit_learn():
    """Its solver minimises the same sum, for the targets that are passed."""
    linear_model = pytest.importorskip("sklearn.linear_model", reason="a peer of fit_platt")
    y, z = RNG.integers(0, 2, 3000), RNG.normal(0, 2, 3000)
    y = np.where(RNG.random(3000) < 0.5, y, z > 0).astype(int)
    peer = linear_model.LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky")
    peer.fit(z[:, None], y)
    fit = fit_platt(y, z)
    assert fit.slope == pytest.approx(peer.coef_[0, 0], rel=1e-8)
    assert fit.intercept == pytest.approx(peer.intercept_[0], rel=1e-8)


def test_platt_of_scikit_learn_with_its_smoothed_targets():
    calibration = pytest.importorskip("sklearn.calibration", reason="a peer of fit_platt")
    z = RNG.normal(0, 2, 3000)
    y = (RNG.random(3000) < 1 / (1 + np.exp(-z))).astype(int)
    ones, zeros = y.sum(), len(y) - y.sum()
    slope, intercept = calibration._sigmoid_calibration(z, y)
    fit = fit_platt(np.where(y, (ones + 1) / (ones + 2), 1 / (zeros + 2)), z)
    assert fit.slope == pytest.approx(-slope, rel=1e-4)
    assert fit.intercept == pytest.approx(-intercept, abs=1e-4)


def test_platt_of_statsmodels():
    api = pytest.importorskip("statsmodels.api", reason="a peer of fit_platt, with the covariance")
    z = RNG.normal(0, 2, 3000)
    y = (RNG.random(3000) < 1 / (1 + np.exp(-0.7 * z + 0.2))).astype(int)
    peer = api.Logit(y, np.column_stack([z, np.ones(3000)])).fit(disp=0, tol=1e-14)
    fit = fit_platt(y, z)
    assert [fit.slope, fit.intercept] == pytest.approx(list(peer.params), rel=1e-10)
    assert np.ravel(fit.covariance) == pytest.approx(np.ravel(peer.cov_params()), rel=1e-8)
    assert fit.loss == pytest.approx(-peer.llf / 3000, rel=1e-12)

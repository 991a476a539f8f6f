"""Student's t distribution against mpmath and SciPy."""

import math

import pytest

from fastxent._aggregate.student_t import critical_value, p_value

DF = [1, 2, 3, 5, 10, 30, 99, 100, 101, 1000, 1999, 2000, 2001, 100_000, 10**6, 10**9, 10**12]
T = [1e-9, 1e-3, 0.1, 0.5, 1.0, 1.7, 1.8, 2.0, 3.0, 5.0, 8.0, 20.0, 35.0]


@pytest.mark.parametrize("df", DF)
@pytest.mark.parametrize("t", T)
def test_p_value(t, df):
    mpmath = pytest.importorskip("mpmath", reason="the reference has 60 digits")
    with mpmath.workdps(60):
        half, t_ = mpmath.mpf(df) / 2, mpmath.mpf(t)
        scale = mpmath.gamma(half + 0.5) / mpmath.gamma(half) / mpmath.sqrt(df * mpmath.pi)
        density = lambda x: scale * mpmath.power(1 + x * x / df, -(half + 0.5))  # noqa: E731
        if t < 1:
            want = 1 - 2 * mpmath.quad(density, [0, t_])
        else:
            ends = [t_, t_ + 1, t_ + 3, t_ + 10, t_ + 50, mpmath.inf]
            want = 2 * mpmath.quad(density, ends)
    assert p_value(t, df) == pytest.approx(float(want), rel=1e-12)
    assert p_value(-t, df) == p_value(t, df)


@pytest.mark.parametrize("df", DF)
@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.9, 0.95, 0.99, 0.999999])
def test_critical_value(confidence, df):
    stats = pytest.importorskip("scipy.stats", reason="the reference is SciPy's quantile")
    t = critical_value(confidence, df)
    assert t == pytest.approx(stats.t.isf((1 - confidence) / 2, df), rel=1e-10)
    assert 1 - p_value(t, df) == pytest.approx(confidence, rel=1e-13)


def test_known_values():
    assert p_value(1.0, 1) == pytest.approx(0.5, rel=1e-15)  # Cauchy
    assert critical_value(0.95, 1) == pytest.approx(12.706204736174698, rel=1e-14)
    assert critical_value(0.95, 1e15) == pytest.approx(1.959963984540054, rel=1e-14)


def test_limits():
    assert p_value(0.0, 5) == 1.0 and p_value(math.inf, 5) == 0.0
    assert math.isnan(p_value(1.0, 0)) and math.isnan(p_value(math.nan, 5))
    assert math.isnan(critical_value(0.95, 0))

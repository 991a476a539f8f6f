"""Student's t distribution: two-sided p-values, and the critical values of confidence intervals."""

from __future__ import annotations

import math

#: With more degrees of freedom the continued fraction cancels, and a series about the normal
#: distribution is exact to the last digits.
_LARGE = 2e3
#: The first coefficients of sqrt(s / (1 - exp(-s))) as a power series in s.
_SERIES = (
    1.0,
    1 / 4,
    1 / 96,
    -1 / 384,
    -1 / 10240,
    19 / 368640,
    79 / 61931520,
    -55 / 49545216,
    -2339 / 118908518400,
    11813 / 475634073600,
)


def p_value(t: float, df: float) -> float:
    """The probability of a statistic at least as far from 0 as `t`; nan for df <= 0."""
    t = abs(t)
    if math.isnan(t) or not df > 0.0:
        return math.nan
    if math.isinf(t):
        return 0.0
    if df > _LARGE:
        return _p_value_near_normal(t, df)
    # I_x(a, b) of the beta distribution; its continued fraction converges where x is small.
    a, ratio = df / 2.0, t / math.sqrt(df)
    log_x = -2.0 * math.log(math.hypot(1.0, ratio))
    x, y = math.exp(log_x), (ratio / math.hypot(1.0, ratio)) ** 2
    # x^a y^(1/2) / B(a, 1/2)
    front = math.exp(a * log_x) * math.sqrt(y) * _gamma_ratio(a) / math.sqrt(math.pi)
    if x < (a + 1.0) / (a + 2.5):
        return front * _beta_fraction(a, 0.5, x) / a
    return 1.0 - front * _beta_fraction(0.5, a, y) / 0.5


def critical_value(confidence: float, df: float) -> float:
    """The t for which the probability of (-t, t) is `confidence`; nan for df <= 0."""
    if not df > 0.0:
        return math.nan
    # Newton's method for log p as a function of log t, which is concave: no step goes below the
    # solution.
    target = math.log1p(-confidence)
    log_t, last = 0.0, 0.0
    for _ in range(200):
        t = math.exp(log_t)
        p = p_value(t, df)
        if p <= 0.0:  # the step went so far that p underflows
            log_t = 0.5 * (log_t + last)
            continue
        step = (math.log(p) - target) * p / (2.0 * t * _density(t, df))
        last, log_t = log_t, log_t + min(step, 40.0)
        if abs(step) < 1e-14:
            break
    return math.exp(log_t)


def _density(t: float, df: float) -> float:
    scale = _gamma_ratio(df / 2.0) / math.sqrt(df * math.pi)
    return scale * math.exp(-(df + 1.0) * math.log(math.hypot(1.0, t / math.sqrt(df))))


def _gamma_ratio(a: float) -> float:
    """gamma(a + 1/2) / gamma(a)."""
    if a < 50.0:
        return math.gamma(a + 0.5) / math.gamma(a)
    b = 1.0 / (a * a)
    series = -1 / 8 + b * (1 / 192 + b * (-1 / 640 + b * (17 / 14336)))
    return math.sqrt(a) * math.exp(series / a)


def _p_value_near_normal(t: float, df: float) -> float:
    """With u^2 = df log(1 + t^2 / df) the density is exp(-u^2 / 2) times a series in u^2 / df."""
    u = math.sqrt(df * math.log1p(t * t / df))
    tail = math.exp(-0.5 * u * u)
    moment = math.sqrt(0.5 * math.pi) * math.erfc(u / math.sqrt(2.0))
    total = 0.0
    for k, coefficient in enumerate(_SERIES):
        if k:  # the integral of x^(2k) exp(-x^2 / 2) from u on, divided by df^k
            moment = (tail * u ** (2 * k - 1) / df ** (k - 1) + (2 * k - 1) * moment) / df
        total += coefficient * moment
    return min(1.0, 2.0 * _gamma_ratio(df / 2.0) / math.sqrt(df * math.pi) * total)


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 10_000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d = 1.0 / (1.0 + factor * d)
            c = 1.0 + factor / c
            value *= c * d
        if abs(c * d - 1.0) < 1e-16:
            break
    return value

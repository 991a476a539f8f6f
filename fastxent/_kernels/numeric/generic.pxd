# exp and log in the type at hand: float32 lanes (math's "narrow") or float64 (its "wide").

from libc.stdint cimport uint32_t, uint64_t

from fastxent._kernels.numeric.elementary cimport (
    _log_limits_narrow, _log_limits_wide, _log_narrow, _log_wide, decay_narrow, decay_wide,
    exponent_narrow, exponent_wide, log1p_unit_narrow, log1p_wide, logn_wide2, mantissa_narrow,
    mantissa_wide, odds_narrow, odds_wide,
)
from fastxent._kernels.types cimport narrow_bits, narrow_from, real, wide_bits, wide_from


cdef inline real log_plus(real x, real lo) noexcept nogil:
    """log x + lo; the same bits as `log_of_parts` where x is normal."""
    cdef real up, shift, least
    if real is float:
        least = 1.1754943508222875e-38
        up = x * 16777216.0 if x < least else x
        shift = -24.0 if x < least else 0.0
        return _log_limits_narrow(
            x, _log_narrow(mantissa_narrow(up) - <float>1.0, lo, exponent_narrow(up) + shift)
        )
    else:
        least = 2.2250738585072014e-308
        up = x * 18014398509481984.0 if x < least else x
        shift = -54.0 if x < least else 0.0
        return _log_limits_wide(
            x, _log_wide(mantissa_wide(up) - 1.0, lo, exponent_wide(up) + shift)
        )


cdef inline real difference(real x, real y, real* lost) noexcept nogil:
    """x - y, and what that lost by rounding (Knuth's two-sum); of infinities that is NaN."""
    cdef real d = x - y
    cdef real part = d - x
    lost[0] = (x - (d - part)) - (y + part)
    return d


cdef inline real mantissa(real x) noexcept nogil:
    """m of x = 2^k m, sqrt 1/2 <= m < sqrt 2; x is finite, > 0, not subnormal."""
    if real is float:
        return mantissa_narrow(x)
    else:
        return mantissa_wide(x)


cdef inline real exponent(real x) noexcept nogil:
    """k of the same."""
    if real is float:
        return exponent_narrow(x)
    else:
        return exponent_wide(x)


cdef inline real log_of_parts(real f, real lo, real k) noexcept nogil:
    """k ln 2 + log(1 + f) + lo."""
    if real is float:
        return _log_narrow(f, lo, k)
    else:
        return _log_wide(f, lo, k)


cdef inline real decay(real size) noexcept nogil:
    """e^-|size|, size finite."""
    # By the sign's bit: one operation, where a comparison would take three.
    if real is float:
        return decay_narrow(narrow_from(narrow_bits(size) | <uint32_t>0x80000000))
    else:
        return decay_wide(wide_from(wide_bits(size) | <uint64_t>0x8000000000000000))


cdef inline real odds_from(real d, real lost) noexcept nogil:
    """e^(d + lost) times 1 / `unit`."""
    if real is float:
        return odds_narrow(d, lost)
    else:
        return odds_wide(d, lost)


cdef inline double unit(const real* tag) noexcept nogil:
    """What a sum of odds is to be multiplied by: they come large, so that few are subnormal."""
    if real is float:
        return 5.9604644775390625e-08   # 2^-24
    else:
        return 5.421010862427522e-20    # 2^-64


cdef inline real log1p_unit(real u) noexcept nogil:
    """log(1 + u), u in [0, 1]."""
    cdef real one = 1, total
    if real is float:
        return log1p_unit_narrow(u)
    else:
        total = one + u
        return logn_wide2(total, u - (total - one))


cdef inline void log1p_all(double* u, Py_ssize_t n) noexcept nogil:
    """u = log(1 + u). A function of its own: in the midst of a long one gcc gives up on inlining."""
    cdef Py_ssize_t i
    for i in range(n):
        u[i] = log1p_wide(u[i])

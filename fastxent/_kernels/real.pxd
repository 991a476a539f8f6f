# exp and log in the type at hand: float32 lanes (math's "narrow") or float64 (its "wide").

from fastxent._kernels.load cimport real
from fastxent._kernels.math cimport (
    _log_limits_narrow, _log_narrow2, decay_narrow, decay_wide, log1p_narrow,
    log1p_wide, log_wide2, logn_narrow, logn_narrow2,
    logn_wide, logn_wide2,
)


cdef inline real log_pair(real x, real lost) noexcept nogil:
    """log(x + lost)."""
    cdef real up, shift, least
    if real is float:
        least = 1.1754943508222875e-38
        up = x * 16777216.0
        shift = -24.0 if x < least else 0.0
        return _log_limits_narrow(x, _log_narrow2(up if x < least else x, lost, shift))
    else:
        return log_wide2(x, lost)


cdef inline real log_pair_normal(real x, real lost) noexcept nogil:
    """log(x + lost) of a finite x > 0 that is not subnormal: a third cheaper."""
    if real is float:
        return logn_narrow2(x, lost)
    else:
        return logn_wide2(x, lost)


cdef inline real log_normal(real x) noexcept nogil:
    """log x of a finite x > 0 that is not subnormal."""
    if real is float:
        return logn_narrow(x)
    else:
        return logn_wide(x)


cdef inline real log1p_decay_finite(real size) noexcept nogil:
    """log(1 + e^-size), size >= 0 and finite."""
    cdef real one = 1, decayed, total
    if real is float:
        decayed = decay_narrow(-size)
    else:
        decayed = decay_wide(-size)
    total = one + decayed
    return log_pair_normal(total, decayed - (total - one))


cdef inline real log1p_decay(real size) noexcept nogil:
    """log(1 + e^-size), size >= 0."""
    if real is float:
        return log1p_narrow(decay_narrow(-size))
    else:
        return log1p_wide(decay_wide(-size))


cdef inline void log1p_all(double* u, Py_ssize_t n) noexcept nogil:
    """u = log(1 + u). A function of its own: in the midst of a long one gcc gives up on inlining."""
    cdef Py_ssize_t i
    for i in range(n):
        u[i] = log1p_wide(u[i])

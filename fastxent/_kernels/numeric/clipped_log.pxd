# The logarithm of one probability, clipped to [eps, 1 - eps].

from fastxent._kernels.numeric.generic cimport log_plus
from fastxent._kernels.types cimport real


cdef inline real share_err(real err, real complement) noexcept nogil:
    """About err / a, where a = 1 - complement: err is 0 unless a is above 1/2."""
    return err + err * complement


cdef inline void clip(real* a, real complement, real* err, real eps) noexcept nogil:
    """Clip the probability a + err to [eps, 1 - eps], given 1 - a as well; a NaN stays.

    That a is beyond 1 - eps is seen on its complement, which tells what lies closer to 1 than a
    float can; 1 - eps itself goes along with its rounding error, too.
    """
    cdef real one = 1, zero = 0
    cdef real maximum = one - eps
    cdef real upper_err = (one - maximum) - eps
    err[0] = zero if a[0] < eps else err[0]
    a[0] = eps if a[0] < eps else a[0]
    err[0] = upper_err if complement < eps else err[0]
    a[0] = maximum if complement < eps else a[0]


cdef inline real minus_log(real a, real complement, real err, real eps) noexcept nogil:
    """-log of the probability a + err, clipped to [eps, 1 - eps], given 1 - a as well."""
    cdef real zero = 0
    clip(&a, complement, &err, eps)
    # 0 - 0 gives 0, not -0: no loss is below zero.
    return zero - log_plus(a, share_err(err, complement))

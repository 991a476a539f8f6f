# The logarithm of one probability, clipped to [eps, 1 - eps].

from fastxent._kernels.numeric.generic cimport log_plus
from fastxent._kernels.types cimport real


cdef inline real share_lost(real lost, real complement) noexcept nogil:
    """lost / a, nearly, a being 1 - complement: where something is lost, a is above 1/2."""
    return lost + lost * complement


cdef inline void clip(real* a, real complement, real* lost, real eps) noexcept nogil:
    """Clip the probability a + lost to [eps, 1 - eps], given 1 - a as well; a NaN stays.

    That a is beyond 1 - eps is seen on its complement, which tells what lies closer to 1 than a
    float can; 1 - eps itself goes along with its rounding error, too.
    """
    cdef real one = 1, zero = 0
    cdef real most = one - eps
    cdef real most_lost = (one - most) - eps
    lost[0] = zero if a[0] < eps else lost[0]
    a[0] = eps if a[0] < eps else a[0]
    lost[0] = most_lost if complement < eps else lost[0]
    a[0] = most if complement < eps else a[0]


cdef inline real minus_log(real a, real complement, real lost, real eps) noexcept nogil:
    """-log of the probability a + lost, clipped to [eps, 1 - eps], given 1 - a as well."""
    cdef real zero = 0
    clip(&a, complement, &lost, eps)
    # 0 - 0, not -0: no loss is below zero.
    return zero - log_plus(a, share_lost(lost, complement))

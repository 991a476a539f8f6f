# log y! = log Gamma(y + 1), by Stirling's series.

cimport cython

from fastxent._kernels.job cimport BLOCK
from fastxent._kernels.numeric.elementary cimport logn_f64
from fastxent._kernels.numeric.generic cimport blend
from fastxent._kernels.types cimport real


@cython.cdivision(True)     # otherwise a test for a zero divisor keeps the loop from vectorising
cdef inline double stirling_tail(double x) noexcept nogil:
    """log Gamma(x) - ((x - 1/2) log x - x) of x >= 9."""
    cdef double t = 1.0 / x
    cdef double z = t * t
    cdef double series = -0.029550653594771242 * z + 0.00641025641025641    # -3617/122400, 1/156
    series = series * z - 0.0019175269175269176                 # 691/360360
    series = series * z + 0.0008417508417508417                 # 1/1188
    series = series * z - 0.0005952380952380953                 # 1/1680
    series = series * z + 0.0007936507936507937                 # 1/1260
    series = series * z - 0.002777777777777778                  # 1/360
    series = series * z + 0.08333333333333333                   # 1/12
    return 0.9189385332046727 + series * t                      # log(2 pi) / 2


cdef inline void log_factorials(double* y, int n) noexcept nogil:
    """log y! in place of finite y >= 0, to about 1e-14 absolute, or 1e-15 relative where it is large.

    Stirling's series (NIST Digital Library of Mathematical Functions, 5.11.1), beyond 9; smaller
    numbers are raised by the recurrence Gamma(x + 1) = x Gamma(x). The loop is here, since gcc does
    not inline so long a function into one.
    """
    cdef double x, rising, result
    cdef bint small
    cdef Py_ssize_t i
    for i in range(n):
        x = y[i] + 1.0
        small = x < 9.0
        rising = x * (x + 1.0) * (x + 2.0) * (x + 3.0)
        rising = blend(small, rising * ((x + 4.0) * (x + 5.0) * (x + 6.0) * (x + 7.0)), 1.0)
        x = x + blend(small, 8.0, 0.0)
        # (x - 1/2) log x - x, without the overflow of the product
        result = (x - 0.5) * (logn_f64(x) - 1.0) - 0.5
        result = result + stirling_tail(x) - logn_f64(rising)
        y[i] = blend((y[i] == 0.0) | (y[i] == 1.0), 0.0, result)    # "or" would be a branch


cdef inline void add_log_factorials(const real* y, int n, double* loss) noexcept nogil:
    """loss += log y! of n <= BLOCK counts."""
    cdef double logs[BLOCK]
    cdef Py_ssize_t i
    for i in range(n):
        logs[i] = <double>y[i]
    log_factorials(logs, n)
    for i in range(n):
        loss[i] += logs[i]

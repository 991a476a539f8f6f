# exp and log for the fused type `real`: the *_f32 or the *_f64 functions of elementary.pxd.

from libc.stdint cimport uint32_t, uint64_t

from fastxent._kernels.job cimport ROWS
from fastxent._kernels.numeric.elementary cimport (
    _log_limits_f32, _log_limits_f64, _log_f32, _log_f64, exp_nonpos_f32, exp_nonpos_f64,
    exp_reduced_f32, exp_reduced_f64, exp_scaled_f32, exp_scaled_f64, exponent_f32, exponent_f64,
    log1p_unit_f32, log_of_quotient_f32, log_of_quotient_f64, log_of_reduced, logn_dd, mantissa_f32,
    mantissa_f64, reduce_one_plus, reduce_scaled_f32, reduce_scaled_f64,
)
from fastxent._kernels.types cimport bits_of_f32, f32_from_bits, real, bits_of_f64, f64_from_bits


cdef inline real log_plus(real x, real lo) noexcept nogil:
    """log x + lo; the same bits as `log_of_parts` where x is normal."""
    cdef real up, shift, minimum
    if real is float:
        minimum = 1.1754943508222875e-38
        up = x * 16777216.0 if x < minimum else x
        shift = -24.0 if x < minimum else 0.0
        return _log_limits_f32(
            x, _log_f32(mantissa_f32(up) - <float>1.0, lo, exponent_f32(up) + shift)
        )
    else:
        minimum = 2.2250738585072014e-308
        up = x * 18014398509481984.0 if x < minimum else x
        shift = -54.0 if x < minimum else 0.0
        return _log_limits_f64(
            x, _log_f64(mantissa_f64(up) - 1.0, lo, exponent_f64(up) + shift)
        )


cdef inline real difference(real x, real y, real* err) noexcept nogil:
    """x - y and its rounding error (Knuth's two-sum), which is NaN for infinities."""
    cdef real d = x - y
    cdef real part = d - x
    err[0] = (x - (d - part)) - (y + part)
    return d


cdef inline real blend(bint first, real a, real b) noexcept nogil:
    """a if `first`, else b, as bits: of a choice gcc may make a branch, or a conditional store."""
    cdef uint32_t mask_f32
    cdef uint64_t mask_f64
    if real is float:
        mask_f32 = -<uint32_t>first
        return f32_from_bits(bits_of_f32(a) & mask_f32 | bits_of_f32(b) & ~mask_f32)
    else:
        mask_f64 = -<uint64_t>first
        return f64_from_bits(bits_of_f64(a) & mask_f64 | bits_of_f64(b) & ~mask_f64)


cdef inline real mantissa(real x) noexcept nogil:
    """m of x = 2^k m, sqrt 1/2 <= m < sqrt 2; x is finite, > 0, not subnormal."""
    if real is float:
        return mantissa_f32(x)
    else:
        return mantissa_f64(x)


cdef inline real exponent(real x) noexcept nogil:
    """k of x = 2^k m, as for `mantissa`."""
    if real is float:
        return exponent_f32(x)
    else:
        return exponent_f64(x)


cdef inline real log_of_parts(real f, real lo, real k) noexcept nogil:
    """k ln 2 + log(1 + f) + lo."""
    if real is float:
        return _log_f32(f, lo, k)
    else:
        return _log_f64(f, lo, k)


cdef inline real log_of_quotient(real f, real s, real lo, real k) noexcept nogil:
    """k ln 2 + log(1 + f) + lo, where s = f / (2 + f)."""
    if real is float:
        return log_of_quotient_f32(f, s, lo, k)
    else:
        return log_of_quotient_f64(f, s, lo, k)


cdef inline real minus_abs(real x) noexcept nogil:
    """-|x|."""
    # Setting the sign bit is one operation; a comparison would take three.
    if real is float:
        return f32_from_bits(bits_of_f32(x) | <uint32_t>0x80000000)
    else:
        return f64_from_bits(bits_of_f64(x) | <uint64_t>0x8000000000000000)


cdef inline real with_sign_of(real sign, real x) noexcept nogil:
    """x, or -x where `sign` is negative."""
    if real is float:
        return f32_from_bits(bits_of_f32(x) ^ (bits_of_f32(sign) & <uint32_t>0x80000000))
    else:
        return f64_from_bits(bits_of_f64(x) ^ (bits_of_f64(sign) & <uint64_t>0x8000000000000000))


cdef inline real exp_minus_abs(real size) noexcept nogil:
    """e^-|size| of a finite size."""
    if real is float:
        return exp_nonpos_f32(minus_abs(size))
    else:
        return exp_nonpos_f64(minus_abs(size))


cdef inline real exp_scaled(real d, real err) noexcept nogil:
    """e^(d + err) divided by `exp_scale_inverse`."""
    if real is float:
        return exp_scaled_f32(d, err)
    else:
        return exp_scaled_f64(d, err)


# e^(x - t) over `exp_scale_inverse` is exp_reduced(high, low) * power, of what reduce_scaled gives. They
# are two functions for two loops, as `exp2_f32` is one of two: float64 takes a fifth less time (Zen 3).


cdef inline void bounds_of_reduced(real t, real* lowest, real* highest) noexcept nogil:
    """Where `reduce_scaled` clamps x - t: where the power of two is 0, and where it is infinite.

    They hang on t, for of constant bounds gcc computes all that follows for each of the three cases.
    """
    if real is float:
        lowest[0] = (t - t) + <float>-104.66502285003662    # -151 ln 2
        highest[0] = (t - t) + <float>72.08730697631836     # 104 ln 2
    else:
        lowest[0] = (t - t) - 753.4509850970615             # -1087 ln 2
        highest[0] = (t - t) + 665.4212933375474            # 960 ln 2


cdef inline real reduce_scaled(
    real x, real t, real lowest, real highest, real* low, real* power
) noexcept nogil:
    """x - t less the nearest multiple of ln 2, in two parts; the power of two that makes up for it."""
    cdef real err
    cdef real d = difference(x, t, &err)
    d = lowest if lowest > d else d         # NaN stays
    d = highest if highest < d else d
    err = err if err > lowest else lowest   # NaN where x is infinite
    if real is float:
        return reduce_scaled_f32(d, err, low, power)
    else:
        return reduce_scaled_f64(d, err, low, power)


cdef inline real exp_reduced(real high, real low) noexcept nogil:
    """e^(high + low) of the two parts from `reduce_scaled`."""
    if real is float:
        return exp_reduced_f32(high, low)
    else:
        return exp_reduced_f64(high, low)


cdef inline double exp_scale_inverse(const real* tag) noexcept nogil:
    """The factor that undoes the scale of `exp_scaled`: with it few results are subnormal."""
    if real is float:
        return 5.9604644775390625e-08   # 2^-24
    else:
        return 5.421010862427522e-20    # 2^-64


cdef inline real log1p_unit(real u) noexcept nogil:
    """log(1 + u), u in [0, 1]."""
    cdef real one = 1, total
    if real is float:
        return log1p_unit_f32(u)
    else:
        total = one + u
        return logn_dd(total, u - (total - one))


cdef inline void log1p_all(double* u, Py_ssize_t n) noexcept nogil:
    """u = log(1 + u) of n <= ROWS numbers.

    In two loops: each is half as long a chain of operations, and more of them are under way.
    """
    cdef double f[ROWS]
    cdef double rest[ROWS]
    cdef Py_ssize_t i
    for i in range(n):
        f[i] = reduce_one_plus(u[i], &rest[i])
    for i in range(n):
        u[i] = log_of_reduced(u[i], f[i], rest[i])

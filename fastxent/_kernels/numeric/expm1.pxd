# e^x - 1, e^x - 1 - x and tanh x of moderate x, to the last digits of the result however small it is.
#
# With x = k ln 2 + r and q = e^r - 1 - r, which is r^2 times a polynomial:
#
#     e^x - 1     = 2^k (r + q) + (2^k - 1)
#     e^x - 1 - x = 2^k q + (2^k - 1) r + (2^k - 1 - k ln 2)
#
# For k = 0 these are r + q and q, and r is x. The polynomials are those of elementary.pxd.

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from fastxent._kernels.numeric.elementary cimport log1p_f64
from fastxent._kernels.types cimport bits_of_f32, bits_of_f64, f32_from_bits, f64_from_bits, real


cdef inline real _parts(real x, real* r, real* power, real* k) noexcept nogil:
    """q, and by the pointers r, 2^k and k; |x| is at most 80."""
    cdef real shifted, rr, p, high
    if real is float:
        shifted = x * <float>1.4426950216293335 + <float>12582912.0        # 1.5 * 2^23
        k[0] = shifted - <float>12582912.0
        power[0] = f32_from_bits((bits_of_f32(shifted) << 23) + <uint32_t>0x3F800000)
        high = x - k[0] * <float>0.693145751953125
        r[0] = high + k[0] * <float>-1.428606765330187e-06
        rr = r[0] * r[0]
        p = (<float>0.0013800497399643064 * rr + (<float>0.00836646556854248 * r[0]
             + <float>0.04166848212480545)) * rr
        return (p + (<float>0.1666654497385025 * r[0] + <float>0.4999999403953552)) * rr
    else:
        shifted = x * 1.4426950408889634 + 6755399441055744.0              # 1.5 * 2^52
        k[0] = shifted - 6755399441055744.0
        power[0] = f64_from_bits((bits_of_f64(shifted) << 52) + <uint64_t>0x3FF0000000000000)
        high = x - k[0] * 0.693147180559663
        r[0] = high + k[0] * -2.8235290563031577e-13
        rr = r[0] * r[0]
        p = 2.5009017966105813e-08 * r[0] + 2.7623897532852716e-07
        p = p * rr + (2.7557518263379207e-06 * r[0] + 2.4801512178144963e-05)
        p = p * rr + (0.00019841269642946412 * r[0] + 0.0013888888923751148)
        p = p * rr + (0.00833333333339215 * r[0] + 0.04166666666661239)
        return (p * rr + (0.16666666666666666 * r[0] + 0.5)) * rr


cdef inline real expm1_less(real x) noexcept nogil:
    """e^x - 1 - x for |x| <= 80; never negative."""
    cdef real r, power, k, one = 1, ln2 = 0.6931471805599453
    cdef real q = _parts(x, &r, &power, &k)
    cdef real less = power - one
    return power * q + (less * r + (less - k * ln2))


cdef inline real expm1_moderate(real x) noexcept nogil:
    """e^x - 1 for |x| <= 80."""
    cdef real r, power, k, one = 1
    cdef real q = _parts(x, &r, &power, &k)
    return power * (r + q) + (power - one)


@cython.cdivision(True)
cdef inline real tanh_of(real x) noexcept nogil:
    """tanh x = -m / (m + 2) with the sign of x, where m = e^(-2|x|) - 1 (fdlibm, s_tanh.c).

    m keeps its digits where x is small. From |x| = 20 on the result is 1. 0 may become -0.
    """
    cdef real m, y, least = -40, two = 2
    if real is float:
        y = two * f32_from_bits(bits_of_f32(x) | <uint32_t>0x80000000)
    else:
        y = two * f64_from_bits(bits_of_f64(x) | <uint64_t>0x8000000000000000)
    m = expm1_moderate(least if y < least else y)
    y = -m / (m + two)
    if real is float:
        return f32_from_bits(bits_of_f32(y) | (bits_of_f32(x) & <uint32_t>0x80000000))
    else:
        return f64_from_bits(bits_of_f64(y) | (bits_of_f64(x) & <uint64_t>0x8000000000000000))


@cython.cdivision(True)
cdef inline double log1p_less(double s) noexcept nogil:
    """log(1 + s) - s of s > -1; never positive."""
    cdef double t = s / (2.0 + s)
    cdef double z = t * t
    cdef double series
    if not -0.1 < s < 0.1:
        return log1p_f64(s) - s
    # log(1 + s) = 2 atanh t = 2 t + 2 t^3 / 3 + 2 t^5 / 5 + ..., and s - 2 t = s t
    series = 0.06666666666666667 * z + 0.07692307692307693
    series = series * z + 0.09090909090909091
    series = series * z + 0.1111111111111111
    series = series * z + 0.14285714285714285
    series = series * z + 0.2
    series = series * z + 0.3333333333333333
    return 2.0 * (t * z) * series - s * t

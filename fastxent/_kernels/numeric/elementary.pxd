"""exp and log for the kernels: no branches, no tables, no libm.

Each function is a scalar; a loop over it becomes SIMD, and gives the same bits at every level.
*_f64 works in float64, *_f32 in float32, where a vector holds twice as many lanes.

- exp2_f32 of what reduced_difference_f32 gives is e^(x - t), for many x and one t; base_f32 is what that
  takes for t.
- exp_nonpos_*(x) is e^x for x <= 0. exp_scaled_*(x) is e^x times a power of two, for most of a float's
  range.
- log_*(x) takes every x; logn_*(x) only a finite x > 0 that is not subnormal, and is cheaper.
- *_dd takes an argument in two parts, x + lo, where |lo| is at most an ulp of x. exp_scaled and
  exp_nonpos accept a lo of NaN where x is infinite: a two-sum gives that.

A part that is absent is -0.0: compilers drop a + -0.0, and must keep a + 0.0.
Polynomials go up in pairs of terms: shorter chains than Horner's, a quarter faster. A fused
multiply-add stands where it is free at every level, or worth the baseline's emulation.

The polynomials come from tools/fit_polynomials.py.
"""

cimport cython
from libc.math cimport INFINITY, NAN
from libc.stdint cimport uint32_t, uint64_t

from fastxent._kernels.types cimport (
    bits_of_f32, bits_of_f64, f32_from_bits, f64_from_bits, fma_exact_f32, fma_exact_f64, fma_f32,
    fma_wide_f32,
)

# ---- exp -----------------------------------------------------------------------------------
# x = k ln 2 + r, |r| <= ln 2 / 2. Adding 1.5 * 2^52 (2^23 in float32) to x / ln 2 leaves k in the
# low bits of the sum. The high part of ln 2 is short, so high = x - k * ln2_high is exact, and so
# is 1 + high with its rounding error: only small terms round before the last addition.

cdef inline double reduce_exp_f64(double x, double lo, double k, double* low) noexcept nogil:
    """x + lo - k ln 2 in two parts: the high one, which is exact, and `low`."""
    low[0] = k * -2.8235290563031577e-13 + lo
    return fma_exact_f64(k, -0.693147180559663, x)


cdef inline double exp_reduced_f64(double high, double low) noexcept nogil:
    """e^(high + low), |high| at most a little more than ln 2 / 2."""
    cdef double r = high + low
    cdef double rr = r * r
    cdef double p = 2.5009017966105813e-08 * r + 2.7623897532852716e-07
    p = p * rr + (2.7557518263379207e-06 * r + 2.4801512178144963e-05)
    p = p * rr + (0.00019841269642946412 * r + 0.0013888888923751148)
    p = p * rr + (0.00833333333339215 * r + 0.04166666666661239)
    p = p * rr + (0.16666666666666666 * r + 0.5)
    cdef double total = 1.0 + high
    return total + (((1.0 - total) + high) + (p * rr + low))


cdef inline double _exp_f64(double x, double lo, double k) noexcept nogil:
    """e^(x + lo - k ln 2)."""
    cdef double low
    cdef double high = reduce_exp_f64(x, lo, k, &low)
    return exp_reduced_f64(high, low)


cdef inline double exp_nonpos_dd(double x, double lo) noexcept nogil:
    """e^(x + lo) for x <= 0."""
    # 1.5 * 2^52 + 64: y's exponent takes k + 64 and stays normal; the product with 2^-64 may round
    cdef double shifted = x * 1.4426950408889634 + 6755399441055808.0
    cdef double y = _exp_f64(x, lo, shifted - 6755399441055808.0)
    y = f64_from_bits(bits_of_f64(y) + (bits_of_f64(shifted) << 52)) * 5.421010862427522e-20
    return 0.0 if x < -746.0 else y


cdef inline double exp_nonpos_f64(double x) noexcept nogil:
    """e^x for x <= 0."""
    return exp_nonpos_dd(x, -0.0)


cdef inline double exp_f64(double x) noexcept nogil:
    """e^x."""
    # e^710 overflows. 1.5 * 2^52 - 64: y's exponent takes k - 64, and the product with 2^64 may overflow
    cdef double z = 710.0 if x > 710.0 else x
    cdef double shifted = z * 1.4426950408889634 + 6755399441055680.0
    cdef double y = _exp_f64(z, -0.0, shifted - 6755399441055680.0)
    y = f64_from_bits(bits_of_f64(y) + (bits_of_f64(shifted) << 52)) * 18446744073709551616.0
    y = exp_nonpos_f64(x) if x <= 0.0 else y
    return y if x == x else x


cdef inline double exp_bounded_f64(double x) noexcept nogil:
    """e^x for |x| <= 700."""
    cdef double shifted = x * 1.4426950408889634 + 6755399441055744.0
    cdef double y = _exp_f64(x, -0.0, shifted - 6755399441055744.0)
    return f64_from_bits(bits_of_f64(y) + (bits_of_f64(shifted) << 52))


cdef inline double reduce_scaled_f64(double x, double lo, double* low, double* power) noexcept nogil:
    """`reduce_exp_f64`, and `power`: exp_reduced_f64 times it is 2^64 e^(x + lo), -753 < x < 665."""
    cdef double magic = 6755399441056831.0      # 1.5 * 2^52 + 1023 + 64
    cdef double shifted = x * 1.4426950408889634 + magic
    power[0] = f64_from_bits(bits_of_f64(shifted) << 52)
    return reduce_exp_f64(x, lo, shifted - magic, low)


cdef inline double exp_scaled_f64(double x, double lo) noexcept nogil:
    """2^64 e^(x + lo); 0 for x < -745, infinite for x > 660 and for NaN."""
    cdef double shifted = x * 1.4426950408889634 + 6755399441055808.0
    cdef double y = _exp_f64(x, lo, shifted - 6755399441055808.0)
    y = f64_from_bits(bits_of_f64(y) + (bits_of_f64(shifted) << 52))
    y = y if x <= 660.0 else INFINITY
    return 0.0 if x < -745.0 else y


cdef inline float reduce_exp_f32(float x, float lo, float k, float* low) noexcept nogil:
    """x + lo - k ln 2 in two parts: the high one, which is exact, and `low`."""
    cdef float minus_ln2_high = -0.693145751953125, minus_ln2_low = -1.428606765330187e-06
    low[0] = k * minus_ln2_low + lo
    return fma_exact_f32(k, minus_ln2_high, x)


cdef inline float exp_reduced_f32(float high, float low) noexcept nogil:
    """e^(high + low), |high| at most a little more than ln 2 / 2."""
    cdef float c2 = 0.4999999403953552, c3 = 0.1666654497385025, c4 = 0.04166848212480545
    cdef float c5 = 0.00836646556854248, c6 = 0.0013800497399643064, one = 1.0
    cdef float r = high + low
    cdef float rr = r * r
    cdef float p = (c6 * rr + (c5 * r + c4)) * rr + (c3 * r + c2)
    return one + (high + (p * rr + low))


cdef inline float _exp_f32(float x, float lo, float k) noexcept nogil:
    """e^(x + lo - k ln 2)."""
    cdef float low
    cdef float high = reduce_exp_f32(x, lo, k, &low)
    return exp_reduced_f32(high, low)


cdef inline float reduce_scaled_f32(float x, float lo, float* low, float* power) noexcept nogil:
    """`reduce_exp_f32`, and `power`: exp_reduced_f32 times it is 2^24 e^(x + lo), -104 < x < 72."""
    cdef float magic = 12583063.0, per_ln2 = 1.4426950216293335     # magic: 1.5 * 2^23 + 127 + 24
    cdef float shifted = x * per_ln2 + magic
    power[0] = f32_from_bits(bits_of_f32(shifted) << 23)
    return reduce_exp_f32(x, lo, shifted - magic, low)


cdef inline float exp_scaled_f32(float x, float lo) noexcept nogil:
    """2^24 e^(x + lo); 0 for x < -102, infinite for x > 70 and for NaN."""
    cdef float minimum = -102.0, maximum = 70.0, per_ln2 = 1.4426950216293335
    cdef float zero = 0.0, infinity = INFINITY
    cdef float shift = 12582936.0  # 1.5 * 2^23 + 24
    cdef float shifted = x * per_ln2 + shift
    cdef float y = _exp_f32(x, lo, shifted - shift)
    y = f32_from_bits(bits_of_f32(y) + (bits_of_f32(shifted) << 23))
    y = y if x <= maximum else infinity
    return zero if x < minimum else y


cdef inline float exp_nonpos_f32(float x) noexcept nogil:
    """e^x for x <= 0; 0 for NaN."""
    cdef float minimum = -104.0, per_ln2 = 1.4426950216293335, down = 5.421010862427522e-20
    cdef float shift = 12582976.0  # 1.5 * 2^23 + 64
    cdef float zero = 0.0
    cdef float shifted = x * per_ln2 + shift
    cdef float y = _exp_f32(x, -0.0, shifted - shift)
    y = f32_from_bits(bits_of_f32(y) + (bits_of_f32(shifted) << 23)) * down
    return y if x > minimum else zero   # last: compilers clip each product of an x that is clipped first


# ---- exp of differences to one number --------------------------------------------------------
# With P + L = 1 / ln 2 in two parts, m the integer nearest to t / ln 2, and n the one nearest to
# (x - t) / ln 2,
#
#     (x - t) / ln 2 = n + g,   g = (x P - (n + m)) - (t P - m) + (x - t) L.
#
# Both brackets are fused multiply-adds, so it does not matter that x - t is rounded. Equal numbers give
# g = 0 and exactly 1. What t needs is computed once for many x. x is clamped to where 2^n is 0 and where
# it is infinite. The result is 2^24 e^(x - t): 0 below 2^-150, infinite from 2^104 on, and NaN for NaN.
#
# In two functions, for two loops: each is half as long a chain of operations, so the processor has more
# elements under way at a time. One loop takes a quarter longer (Zen 5).
#
# Operations for each x: 24 (of 4 float32 in the baseline, 8, 16) where x - t with its error and
# exp_scaled_f32 take 33. The baseline emulates two fused multiply-adds of any numbers, and takes 5
# times as long as for those.

cdef inline void base_f32(
    float t, float* lowest, float* highest, float* shift, float* rest
) noexcept nogil:
    """What `reduced_difference_f32` takes for t; NaN if |t| is 2^21 or more."""
    cdef float magic = 12583063.0   # 1.5 * 2^23 + 127 + 24
    cdef float per_ln2 = 1.4426950216293335, bound = 2097152.0, nan = NAN
    cdef float below = 104.66502285003662, above = 72.08730697631836    # 151 ln 2, 104 ln 2
    cdef float m = (t * per_ln2 + magic) - magic
    lowest[0] = t - below
    highest[0] = t + above
    shift[0] = magic - m
    rest[0] = fma_wide_f32(t, per_ln2, -m) if -bound < t and t < bound else nan


cdef inline float reduced_difference_f32(
    float x, float t, float lowest, float highest, float shift, float rest, float* power
) noexcept nogil:
    """g of (x - t) / ln 2 = n + g; 2^(24 + n) goes to power."""
    cdef float magic = 12583063.0
    cdef float per_ln2 = 1.4426950216293335, per_ln2_low = 1.925963033500011e-08
    x = lowest if lowest > x else x     # NaN stays
    x = highest if highest < x else x
    cdef float d = x - t
    cdef float shifted = d * per_ln2 + magic
    power[0] = f32_from_bits(bits_of_f32(shifted) << 23)
    return fma_f32(x, per_ln2, shift - shifted) + (d * per_ln2_low - rest)


cdef inline float exp2_f32(float g, float power) noexcept nogil:
    """2^g power, |g| at most a little more than 1/2."""
    cdef float c1 = 0.6931471824645996, c2 = 0.24022647738456726, c3 = 0.05550367012619972
    cdef float c4 = 0.009618555195629597, c5 = 0.0013387654908001423, c6 = 0.0001530460431240499
    cdef float one = 1.0
    cdef float gg = g * g
    cdef float p = ((c6 * g + c5) * gg + (c4 * g + c3)) * g + c2
    return (one + fma_f32(c1, g, p * gg)) * power


# ---- log -----------------------------------------------------------------------------------
# x = 2^k m, m in [sqrt 1/2, sqrt 2): adding the bits of 1 less those of sqrt 1/2 gives x the
# exponent of the nearest power of two. With f = m - 1 and s = f / (2 + f),
# log m = f - f^2/2 + s (f^2/2 + s^2 P(s^2)).

cdef inline uint64_t _centred_f64(double x) noexcept nogil:
    """Bits whose exponent field is k + 1023, and whose fraction is m's distance from sqrt 1/2."""
    return bits_of_f64(x) + <uint64_t> 0x00095F619980C433


cdef inline double mantissa_f64(double x) noexcept nogil:
    """m of x = 2^k m, sqrt 1/2 <= m < sqrt 2; x is finite, > 0, not subnormal."""
    return f64_from_bits((_centred_f64(x) & <uint64_t> 0x000FFFFFFFFFFFFF)
                         + <uint64_t> 0x3FE6A09E667F3BCD)


cdef inline double exponent_f64(double x) noexcept nogil:
    """k of x = 2^k m, sqrt 1/2 <= m < sqrt 2; x is finite, > 0, not subnormal."""
    # The field as the fraction of 2^52: before AVX-512 no instruction converts an int64
    return f64_from_bits((_centred_f64(x) >> 52) | <uint64_t> 0x4330000000000000) - 4503599627371519.0


cdef inline double log_of_quotient_f64(double f, double s, double lo, double k) noexcept nogil:
    """k ln 2 + log(1 + f) + lo, where s = f / (2 + f)."""
    cdef double z = s * s
    cdef double zz = z * z
    cdef double p = 0.1479571370613368 * zz + (0.15314077960631772 * z + 0.18183563071869374)
    p = p * zz + (0.22222198601816356 * z + 0.28571428742049154)
    p = p * zz + (0.39999999999416597 * z + 0.6666666666666734)
    cdef double half_square = 0.5 * f * f
    cdef double low = s * (half_square + z * p) + (k * 2.8235290563031577e-13 + lo)
    # f is not small relative to k ln 2: the rounding error of their sum is kept
    cdef double total = fma_exact_f64(k, 0.693147180559663, f)
    return total + ((fma_exact_f64(k, 0.693147180559663, -total) + f) - (half_square - low))


@cython.cdivision(True)  # otherwise a test for a zero divisor keeps the loop from vectorising
cdef inline double _log_f64(double f, double lo, double k) noexcept nogil:
    """k ln 2 + log(1 + f) + lo."""
    return log_of_quotient_f64(f, f / (2.0 + f), lo, k)


cdef inline double reduce_dd(double x, double lo, double* rest) noexcept nogil:
    """f of x + lo = 2^k (1 + f), and the logarithm of what rounding leaves; `_log_f64` takes both."""
    # 2^(1 - k), because 2^-k may be subnormal
    cdef double scale = f64_from_bits(<uint64_t> 0x7FF0000000000000
                                      - (_centred_f64(x) & <uint64_t> 0x7FF0000000000000))
    cdef double exact = mantissa_f64(x) - 1.0
    cdef double low = lo * scale * 0.5
    cdef double f = exact + low
    cdef double err = (exact - f) + low
    rest[0] = err - err * f
    return f


cdef inline double _log_limits_f64(double x, double y) noexcept nogil:
    """y, or what the logarithm is where x is 0, infinite, negative or NaN."""
    cdef double edge = -INFINITY if x == 0.0 else NAN
    y = y if x < INFINITY else x
    return y if x > 0.0 else edge


cdef inline double logn_f64(double x) noexcept nogil:
    """log x; x is finite, > 0, not subnormal."""
    return _log_f64(mantissa_f64(x) - 1.0, -0.0, exponent_f64(x))


cdef inline double logn_dd(double x, double lo) noexcept nogil:
    """log(x + lo); x is finite, > 0, not subnormal."""
    cdef double rest
    cdef double f = reduce_dd(x, lo, &rest)
    return _log_f64(f, rest, exponent_f64(x))


cdef inline double log_f64(double x) noexcept nogil:
    """log x."""
    cdef double raised = x * 18014398509481984.0
    cdef double normal = raised if x < 2.2250738585072014e-308 else x
    cdef double shift = -54.0 if x < 2.2250738585072014e-308 else 0.0
    cdef double y = _log_f64(mantissa_f64(normal) - 1.0, -0.0, exponent_f64(normal) + shift)
    return _log_limits_f64(x, y)


cdef inline double reduce_one_plus(double u, double* rest) noexcept nogil:
    """`reduce_dd` of 1 + u."""
    cdef double x = 1.0 + u
    # The rounding error of the sum, whichever of 1 and u is larger
    cdef double other = x - u
    return reduce_dd(x, (1.0 - other) + (u - (x - other)), rest)


cdef inline double log_of_reduced(double u, double f, double rest) noexcept nogil:
    """log(1 + u), of what `reduce_one_plus` gives."""
    cdef double x = 1.0 + u
    return _log_limits_f64(x, _log_f64(f, rest, exponent_f64(x)))


cdef inline double log1p_f64(double u) noexcept nogil:
    """log(1 + u)."""
    cdef double rest
    cdef double f = reduce_one_plus(u, &rest)
    return log_of_reduced(u, f, rest)


cdef inline uint32_t _centred_f32(float x) noexcept nogil:
    return bits_of_f32(x) + <uint32_t> 0x004AFB0D


cdef inline float mantissa_f32(float x) noexcept nogil:
    """m of x = 2^k m, sqrt 1/2 <= m < sqrt 2; x is finite, > 0, not subnormal."""
    return f32_from_bits((_centred_f32(x) & <uint32_t> 0x007FFFFF) + <uint32_t> 0x3F3504F3)


cdef inline float exponent_f32(float x) noexcept nogil:
    """k of x = 2^k m, sqrt 1/2 <= m < sqrt 2; x is finite, > 0, not subnormal."""
    cdef float bias = 8388735.0
    return f32_from_bits((_centred_f32(x) >> 23) | <uint32_t> 0x4B000000) - bias


cdef inline float log_of_quotient_f32(float f, float s, float lo, float k) noexcept nogil:
    """k ln 2 + log(1 + f) + lo, where s = f / (2 + f)."""
    cdef float p0 = 0.6666677594184875, p1 = 0.39977583289146423, p2 = 0.29870808124542236
    cdef float ln2_high = 0.693145751953125, ln2_low = 1.428606765330187e-06
    cdef float half = 0.5
    cdef float z = s * s
    cdef float p = (p2 * z + p1) * z + p0
    cdef float half_square = half * f * f
    cdef float low = s * (half_square + z * p) + (k * ln2_low + lo)
    cdef float total = fma_exact_f32(k, ln2_high, f)
    return total + ((fma_exact_f32(k, ln2_high, -total) + f) - (half_square - low))


@cython.cdivision(True)
cdef inline float _log_f32(float f, float lo, float k) noexcept nogil:
    """k ln 2 + log(1 + f) + lo."""
    cdef float two = 2.0
    return log_of_quotient_f32(f, f / (two + f), lo, k)


cdef inline float _log_limits_f32(float x, float y) noexcept nogil:
    """y, or what the logarithm is where x is 0, infinite, negative or NaN."""
    cdef float infinity = INFINITY, nan = NAN, zero = 0.0
    cdef float edge = -infinity if x == zero else nan
    y = y if x < infinity else x
    return y if x > zero else edge


@cython.cdivision(True)
cdef inline float log1p_unit_f32(float u) noexcept nogil:
    """log(1 + u) for u in [0, 1]: there is no exponent, and u is exact."""
    cdef float p0 = 0.6666667461395264, p1 = 0.3999894857406616, p2 = 0.2861521244049072
    cdef float p3 = 0.2144388109445572, p4 = 0.24245303869247437
    cdef float two = 2.0, half = 0.5
    cdef float s = u / (two + u)
    cdef float z = s * s
    cdef float zz = z * z
    cdef float p = (p4 * zz + (p3 * z + p2)) * zz + (p1 * z + p0)
    cdef float half_square = half * u * u
    return u - (half_square - s * (half_square + z * p))


# ---- sums ----------------------------------------------------------------------------------

cdef inline void two_sum(double a, double b, double* total, double* err) noexcept nogil:
    """total + err is exactly a + b."""
    cdef double s = a + b
    cdef double t = s - a
    err[0] = (a - (s - t)) + (b - t)
    total[0] = s

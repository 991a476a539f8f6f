# log(q / p), and q log(q / p) of numbers in (0, 1] that may be nearly equal.
#
# With p' = p 2^k within a factor of 1.5 of q, the difference d = q - p' is exact (Sterbenz's lemma).
# s = d / (q + p') gives log(q / p') = 2 atanh(s), and with z = s^2
#
#     q log(q / p) = (k q ln 2 + d) + (s d + q s z P(z)).
#
# The first bracket is linear and cancels in a sum over a distribution: it is added up by itself, and
# exactly where k is 0. The second, q log(q / p') - q + p', has no term below 0: nothing cancels.
# P comes from tools/fit_polynomials.py.

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from fastxent._kernels.types cimport (
    bits_of_f32, bits_of_f64, f32_from_bits, f64_from_bits, fma_exact_f32, fma_exact_f64, real,
)


cdef inline real smallest_ratio_part(const real* tag) noexcept nogil:
    """What q and p have to be at least: p' is then normal, too."""
    if real is float:
        return 2.3509887016445750e-38
    else:
        return 4.4501477170144028e-308


cdef inline real scale_near(real p, real q, real* k) noexcept nogil:
    """p 2^k, within a factor of 1.5 of q."""
    # The difference of their bits is that of their logarithms to base 2, nearly, in fixed point.
    # 1/2 rounds it; 128 or 1024 make it positive.
    cdef uint32_t steps_f32
    cdef uint64_t steps_f64
    cdef real bias
    if real is float:
        bias = 8388736.0    # 2^23 + 128
        steps_f32 = (bits_of_f32(q) - bits_of_f32(p)) + <uint32_t>0x40400000
        k[0] = f32_from_bits((steps_f32 >> 23) | <uint32_t>0x4B000000) - bias
        return f32_from_bits(
            (bits_of_f32(p) + (steps_f32 & <uint32_t>0xFF800000)) - <uint32_t>0x40000000
        )
    else:
        bias = 4503599627371520.0   # 2^52 + 1024
        steps_f64 = (bits_of_f64(q) - bits_of_f64(p)) + <uint64_t>0x4008000000000000
        k[0] = f64_from_bits((steps_f64 >> 52) | <uint64_t>0x4330000000000000) - bias
        return f64_from_bits(
            (bits_of_f64(p) + (steps_f64 & <uint64_t>0xFFF0000000000000))
            - <uint64_t>0x4000000000000000
        )


cdef inline real atanh_series(real z) noexcept nogil:
    """P(z), z in [0, 0.04]."""
    cdef real p0, p1, p2, p3, p4, p5, p6, p7, zz, series
    if real is float:
        p0, p1, p2 = 0.6666683554649353, 0.3996679484844208, 0.3020018935203552
        return (p2 * z + p1) * z + p0
    else:
        p0, p1, p2, p3 = 0.6666666666666664, 0.40000000000030195, 0.285714285611635, 0.22222223787921583
        p4, p5 = 0.18181691731050773, 0.1539039185968987
        p6, p7 = 0.13183953719505453, 0.13782999182463382
        zz = z * z
        series = (p7 * z + p6) * zz + (p5 * z + p4)
        series = series * zz + (p3 * z + p2)
        return series * zz + (p1 * z + p0)


@cython.cdivision(True)
cdef inline real divergence_term(real q, real p, real* linear) noexcept nogil:
    """The two brackets of q log(q / p); the linear one by pointer."""
    cdef real ln2 = 0.6931471805599453
    cdef real k, near, d, s, z
    near = scale_near(p, q, &k)
    d = q - near
    s = d / (q + near)
    z = s * s
    linear[0] = (k * q) * ln2 + d
    return s * d + (q * s) * (z * atanh_series(z))


@cython.cdivision(True)
cdef inline real log_ratio(real q, real p) noexcept nogil:
    """log(q / p), by one division for the ratio and its logarithm."""
    cdef real k, near, s, z, ln2_high, ln2_low
    near = scale_near(p, q, &k)
    s = (q - near) / (q + near)
    z = s * s
    if real is float:
        ln2_high, ln2_low = 0.693145751953125, 1.428606765330187e-06
        return fma_exact_f32(k, ln2_high, s + (s + (s * (z * atanh_series(z)) + k * ln2_low)))
    else:
        ln2_high, ln2_low = 0.693147180559663, 2.8235290563031577e-13
        return fma_exact_f64(k, ln2_high, s + (s + (s * (z * atanh_series(z)) + k * ln2_low)))

# The kernels' own types, the bits of a number, and the fused multiply-add.

from libc.stdint cimport uint32_t, uint64_t

cdef extern from "simd.h":
    # a * b + c, rounded once: one instruction, or its exact emulation. simd.h says what each one costs.
    float fma_f32 "fastxent_fmaf"(float a, float b, float c) noexcept nogil
    double fma_f64 "fastxent_fma"(double a, double b, double c) noexcept nogil
    # where a * b is 0 or at least 2^-900, and a, b and the sum are below 2^990
    double fma_bounded_f64 "fastxent_fma_bounded"(double a, double b, double c) noexcept nogil
    # where float64 holds a * b + c exactly
    float fma_wide_f32 "fastxent_fmaf_wide"(float a, float b, float c) noexcept nogil
    # where a * b is exact: costs nothing at any level
    float fma_exact_f32 "fastxent_fmaf_exact"(float a, float b, float c) noexcept nogil
    double fma_exact_f64 "fastxent_fma_exact"(double a, double b, double c) noexcept nogil

ctypedef fused real:
    float
    double

ctypedef fused floating:    # the type of a label, independent of the scores
    float
    double


cdef union F64Bits:
    double real
    uint64_t bits


cdef union F32Bits:
    float real
    uint32_t bits


cdef inline uint64_t bits_of_f64(double x) noexcept nogil:
    cdef F64Bits word
    word.real = x
    return word.bits


cdef inline double f64_from_bits(uint64_t bits) noexcept nogil:
    cdef F64Bits word
    word.bits = bits
    return word.real


cdef inline uint32_t bits_of_f32(float x) noexcept nogil:
    cdef F32Bits word
    word.real = x
    return word.bits


cdef inline float f32_from_bits(uint32_t bits) noexcept nogil:
    cdef F32Bits word
    word.bits = bits
    return word.real

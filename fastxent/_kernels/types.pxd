# The kernels' own types, and the bits of a number.

from libc.stdint cimport uint32_t, uint64_t

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

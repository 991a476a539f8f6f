# The kernels' own types, and the bits of a number.

from libc.stdint cimport uint32_t, uint64_t

ctypedef fused real:
    float
    double

ctypedef fused floating:    # of a label, whatever the scores are
    float
    double


cdef union Wide:
    double real
    uint64_t bits


cdef union Narrow:
    float real
    uint32_t bits


cdef inline uint64_t wide_bits(double x) noexcept nogil:
    cdef Wide word
    word.real = x
    return word.bits


cdef inline double wide_from(uint64_t bits) noexcept nogil:
    cdef Wide word
    word.bits = bits
    return word.real


cdef inline uint32_t narrow_bits(float x) noexcept nogil:
    cdef Narrow word
    word.real = x
    return word.bits


cdef inline float narrow_from(uint32_t bits) noexcept nogil:
    cdef Narrow word
    word.bits = bits
    return word.real

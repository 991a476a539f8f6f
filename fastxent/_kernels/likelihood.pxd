# Sums of logarithms as products: one logarithm for thousands of factors.
#
# -sum log q_i = -log prod q_i. The product is kept in float64 lanes. Before it can underflow, its
# exponents are removed by their bits and added as integers, which is exact.

from libc.stdint cimport uint64_t

from fastxent._kernels.arrays.bounds cimport all_within
from fastxent._kernels.arrays.prefetch cimport (
    no_prefetch, OF_LABELS, OF_SCORES, Prefetch, prefetch_operand,
)
from fastxent._kernels.job cimport BLOCK, LANES, Partial
from fastxent._kernels.numeric.elementary cimport log1p_f64, logn_f64
from fastxent._kernels.numeric.sums cimport add, greatest, least, sum_lanes
from fastxent._kernels.types cimport real, bits_of_f64, f64_from_bits

cdef enum:
    # Factors of a lane between two removals of the exponent: 1.2e-7^32 and 2.2e-16^16 do not underflow.
    F32_FACTORS = 32
    F64_FACTORS = 16
    # A block whose -log2 is below this takes one logarithm per element instead: the rounding error of
    # 1024 products (2e-15) must be small relative to the sum.
    MIN_BITS = 64
    # Blocks of one product between two removals of the exponent: 4^256 does not overflow.
    MAX_BLOCKS = 256

cdef struct AllOnes:     # stands for labels that are all 1
    char unused

cdef struct AllOnesClipped:        # the same, and each p is known to be in [eps, 1 - eps]
    char unused

cdef struct AllZeros:         # for labels that are all 0, and each p is known to be in [eps, 1 - eps]
    char unused

cdef struct BothOutcomes:       # the factor is p (1 - p), whatever the label
    char unused

ctypedef fused label:   # one function for each: a branch in the loop costs 25 %
    float
    double
    AllOnes
    AllOnesClipped
    AllZeros
    BothOutcomes

cdef struct Product:    # of one chunk: mantissas that are at least 1, and the sum of the exponents
    double mantissa[LANES]
    double exponent
    int blocks      # since the exponents were last removed from the mantissas
    int halves      # factors of 1/2 in the next block for what does not count: they are removed exactly


cdef inline void start_product(Product* product) noexcept nogil:
    cdef Py_ssize_t j
    product.exponent = 0.0
    product.halves = 0
    product.blocks = 0
    for j in range(LANES):
        product.mantissa[j] = 1.0


cdef inline double mantissa_of_bits(uint64_t bits) noexcept nogil:
    """A number's mantissa, in [1, 2)."""
    return f64_from_bits((bits & <uint64_t>0xFFFFFFFFFFFFF) | <uint64_t>0x3FF0000000000000)


cdef inline double take_exponents(double* lanes) noexcept nogil:
    """Leave the mantissas, in [1, 2), and return the sum of the exponents."""
    cdef uint64_t bits, exponents = 0
    cdef Py_ssize_t j
    for j in range(LANES):
        bits = bits_of_f64(lanes[j])
        exponents += bits >> 52
        lanes[j] = mantissa_of_bits(bits)
    return <double>exponents - 1023.0 * LANES


cdef inline void multiply_lanes(
    const double* mantissa, double exponent, Product* product
) noexcept nogil:
    """Multiply in mantissas of less than 4, and the power of 2 that was taken out of them."""
    cdef Py_ssize_t j
    product.exponent += exponent
    for j in range(LANES):
        product.mantissa[j] *= mantissa[j]
    product.blocks += 1
    if product.blocks == MAX_BLOCKS:
        product.blocks = 0
        product.exponent += take_exponents(product.mantissa)


cdef inline real clipped(real p, real low, real high) noexcept nogil:
    p = p if p > low else low
    return p if p < high else high


cdef inline bint has_bounds(double eps, const real* tag) noexcept nogil:
    """Whether the type represents eps and 1 - eps exactly."""
    cdef real one = 1, low = <real>eps
    return <double>low == eps and <double>(one - low) == 1.0 - eps


cdef inline bint clip_block(const real* p, double eps, real* target) noexcept nogil:
    """Clip a block to [eps, 1 - eps]; False where the type lacks these bounds or a p is invalid."""
    cdef real one = 1, low = <real>eps
    cdef Py_ssize_t i
    if not has_bounds(eps, p) or not all_within(p, one, False):
        return False
    for i in range(BLOCK):
        target[i] = clipped(p[i], low, one - low)
    return True


cdef inline bint multiply_likelihoods(
    const real* p, const label* y, double eps, const Prefetch* next, Product* product
) noexcept nogil:
    """Multiply in a block of p where y is 1 and 1 - p where it is 0.

    False, with nothing done, where the result would lose digits: a p that is out of
    [eps, 1 - eps] or NaN, a product that underflows, a sum too small for the products' rounding.
    """
    cdef double lanes[LANES]
    cdef double mantissa[LANES]
    cdef real minimum[LANES]
    cdef real maximum[LANES]
    cdef double chosen, other
    cdef uint64_t bits, exponents = 0, wrong = 0
    cdef bint within = True
    cdef bint checked = label is not AllOnesClipped and label is not AllZeros
    cdef Prefetch ahead = next[0]   # in registers
    cdef Py_ssize_t i, j, run
    cdef int span = LANES * (F32_FACTORS if real is float else F64_FACTORS)
    for j in range(LANES):
        mantissa[j] = 1.0
        minimum[j] = 1.0
        maximum[j] = 0.0
    for run from 0 <= run < BLOCK by span:
        for j in range(LANES):
            lanes[j] = 1.0
        for i from run <= i < run + span by LANES:
            prefetch_operand(&ahead, OF_SCORES, i)
            prefetch_operand(&ahead, OF_LABELS, i)
            for j in range(LANES):
                if checked:
                    minimum[j] = p[i + j] if p[i + j] < minimum[j] else minimum[j]
                    maximum[j] = p[i + j] if p[i + j] > maximum[j] else maximum[j]
                if label is AllOnes or label is AllOnesClipped:
                    lanes[j] *= <double>p[i + j]
                elif label is AllZeros:
                    lanes[j] *= 1.0 - <double>p[i + j]
                elif label is BothOutcomes:
                    chosen = <double>p[i + j]
                    lanes[j] *= chosen * (1.0 - chosen)
                else:
                    chosen = <double>p[i + j]
                    other = 1.0 - chosen
                    lanes[j] *= chosen if y[i + j] != 0 else other
        for j in range(LANES):
            bits = bits_of_f64(lanes[j])
            exponents += bits >> 52
            # Valid exponent fields are 1 .. 1023: normal, positive, at most 1.
            wrong |= ((bits >> 52) - 1) >> 10
            mantissa[j] *= mantissa_of_bits(bits)
    if checked:
        within = eps <= <double>least(minimum) and <double>greatest(maximum) <= 1.0 - eps
    cdef double exponent = (
        <double>exponents - <double>(1023 * LANES * (BLOCK // span)) + <double>product.halves
    )
    if (
        wrong
        or not within
        or exponent > -<double>MIN_BITS - LANES * (BLOCK // span)
    ):
        return False
    multiply_lanes(mantissa, exponent, product)
    return True


cdef inline bint multiply_halves(
    const real* p, const real* y, double eps, const Prefetch* next, Product* product
) noexcept nogil:
    """`multiply_likelihoods` for half precision, whose eps is large: all are clipped at once."""
    cdef real q[BLOCK]
    cdef real one = 1, low = <real>eps
    cdef Py_ssize_t i
    if not has_bounds(eps, p) or not all_within(p, one, False):
        return False
    for i in range(BLOCK):
        q[i] = clipped(p[i] if y[i] != 0 else one - p[i], low, one - low)
    return multiply_likelihoods(<const real*>q, <const AllOnesClipped*>NULL, eps, next, product)


cdef inline bint multiply_clipped(
    const real* p, const real* y, double eps, bint both, Product* product
) noexcept nogil:
    """`multiply_likelihoods` of p clipped to [eps, 1 - eps]; with `both`, of p (1 - p)."""
    cdef double factor[BLOCK]
    cdef double high = 1.0 - eps, chosen, other
    cdef real one = 1
    cdef Prefetch none = no_prefetch()
    cdef Py_ssize_t i
    if not all_within(p, one, False):
        return False
    for i in range(BLOCK):
        chosen = <double>p[i]
        other = clipped(1.0 - chosen, eps, high)
        chosen = clipped(chosen, eps, high)
        if both:
            factor[i] = chosen * other
        else:
            factor[i] = chosen if y[i] != 0 else other
    return multiply_likelihoods(
        <const double*>factor, <const AllOnesClipped*>NULL, eps, &none, product
    )


cdef inline void add_product(Product* product, double scale, Partial* partial) noexcept nogil:
    """Add -scale log of the product to the partial sum; the exponents' share is exact to 2^-84."""
    cdef Py_ssize_t j
    for j in range(LANES):
        product.mantissa[j] = logn_f64(product.mantissa[j])
    add(scale * (-product.exponent * 0.693147180559663), &partial.total, &partial.total_lo)
    add(scale * (-product.exponent * 2.8235290563031577e-13), &partial.total, &partial.total_lo)
    add(scale * -sum_lanes(product.mantissa), &partial.total, &partial.total_lo)


cdef inline double log_one_plus(double* u) noexcept nogil:
    """sum log(1 + u_j) over the lanes, each u_j in [0, 2^96).

    (1 + a)(1 + b) = 1 + (a + (b + ab)): relative accuracy is kept where all are tiny.
    """
    cdef Py_ssize_t j
    for j in range(16):
        u[j] = u[j] + (u[j + 16] + u[j] * u[j + 16])
    for j in range(8):
        u[j] = u[j] + (u[j + 8] + u[j] * u[j + 8])
    for j in range(8):
        u[j] = log1p_f64(u[j])
    return ((u[0] + u[4]) + (u[2] + u[6])) + ((u[1] + u[5]) + (u[3] + u[7]))


cdef inline void defer_log1p(const double* u, Partial* partial) noexcept nogil:
    """Defer sum log(1 + u_j), each u_j in [0, 2^23]: one logarithm serves four blocks."""
    cdef Py_ssize_t j
    if partial.n_deferred == 0:
        for j in range(LANES):
            partial.deferred[j] = u[j]
    else:
        for j in range(LANES):
            partial.deferred[j] = partial.deferred[j] + (u[j] + partial.deferred[j] * u[j])
    partial.n_deferred += 1
    if partial.n_deferred == 4:
        flush_log1p(partial)


cdef inline void flush_log1p(Partial* partial) noexcept nogil:
    """Add what was deferred."""
    if partial.n_deferred > 0:
        add(log_one_plus(partial.deferred), &partial.total, &partial.total_lo)
        partial.n_deferred = 0

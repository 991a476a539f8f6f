# The Gaussian negative log-likelihood, (log var + (y - mean)^2 / var) / 2, in float64: a sum of squares,
# and no logarithm but that of the product of the variances.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport uint64_t

from fastxent._kernels.arrays.bounds cimport all_within, largest, outside
from fastxent._kernels.arrays.load cimport is_repeated, load_one
from fastxent._kernels.arrays.prefetch cimport (
    OF_LABELS, OF_SCALE, OF_SCORES, Prefetch, prefetch_operand, prefetch_operand_unrolled,
)
from fastxent._kernels.binary.elementwise cimport add_single_losses, load_scale
from fastxent._kernels.binary.stage cimport stage, Staged
from fastxent._kernels.job cimport ABSENT, BLOCK, FLOAT64, Job, LANES, Partial
from fastxent._kernels.likelihood cimport (
    mantissa_of_bits, MIN_BITS, multiply_lanes, Product, take_exponents,
)
from fastxent._kernels.numeric.elementary cimport (
    exponent_f64, log_of_quotient_f64, logn_f64, mantissa_f64,
)
from fastxent._kernels.numeric.sums cimport add, sum_lanes
from fastxent._kernels.types cimport bits_of_f64, floating, real

cdef enum:
    MIN_SQUARES = 16    # below it the rounding error of the variances' product would count


cdef inline double sum_squares(const Staged* block, const real* mean) noexcept nogil:
    """The sum of (y - mean)^2."""
    cdef const real* y = <const real*>block.labels
    cdef double sums[LANES]
    cdef double distance
    cdef Prefetch next = block.next
    cdef Py_ssize_t i, j
    for j in range(LANES):
        sums[j] = 0.0
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand(&next, OF_SCORES, i)
        prefetch_operand(&next, OF_LABELS, i)
        for j in range(LANES):
            distance = <double>y[i + j] - <double>mean[i + j]
            sums[j] += distance * distance
    return sum_lanes(sums)


cdef inline double sum_scaled_squares(
    const Staged* block, const real* mean, const double* var, double* mantissa, double* exponent
) noexcept nogil:
    """The sum of (y - mean)^2 / var, and the product of the variances, all far from overflow.

    Two by two, a / v + b / w = (a w + b v) / (v w): one division for both, and the product is at hand.
    """
    cdef const real* y = <const real*>block.labels
    cdef double sums[LANES]
    cdef double first, second, product
    cdef uint64_t bits, exponents = 0
    cdef Prefetch next = block.next
    cdef Py_ssize_t i, j
    for j in range(LANES):
        sums[j] = 0.0
        mantissa[j] = 1.0
    for i from 0 <= i < BLOCK by 2 * LANES:
        prefetch_operand(&next, OF_SCORES, i)
        prefetch_operand(&next, OF_SCORES, i + LANES)
        prefetch_operand(&next, OF_LABELS, i)
        prefetch_operand(&next, OF_LABELS, i + LANES)
        prefetch_operand(&next, OF_SCALE, i)
        prefetch_operand(&next, OF_SCALE, i + LANES)
        for j in range(i, i + LANES):
            first = <double>y[j] - <double>mean[j]
            second = <double>y[j + LANES] - <double>mean[j + LANES]
            product = var[j] * var[j + LANES]
            first = first * first * var[j + LANES] + second * second * var[j]
            sums[j - i] += first / product
            bits = bits_of_f64(product)
            exponents += bits >> 52
            mantissa[j - i] *= mantissa_of_bits(bits)
    exponent[0] = <double>exponents - 1023.0 * (BLOCK // 2)
    return sum_lanes(sums)


cdef inline bint add_gaussian(
    const Job* job, const Staged* block, const double* var, bint one_var, Product* product,
    Partial* partial, real* tag
) noexcept nogil:
    """Add a full block; False, with nothing done, where a number is not ordinary."""
    cdef const real* mean = <const real*>block.scores
    cdef double mantissa[LANES]
    cdef double total, exponent = 0.0, constant = 0.9189385332046727 if job.full else 0.0
    if one_var:
        total = sum_squares(block, mean) / var[0]
        constant += 0.5 * logn_f64(var[0])
    else:
        total = sum_scaled_squares(block, mean, var, mantissa, &exponent)
        if total < MIN_SQUARES and -MIN_BITS < exponent < MIN_BITS:
            return False
    if not total < INFINITY:
        return False
    if not one_var:
        exponent += take_exponents(mantissa)
        multiply_lanes(mantissa, exponent, product)
    add(0.5 * total, &partial.total, &partial.total_lo)
    if constant != 0.0:
        add(constant * <double>block.count, &partial.total, &partial.total_lo)
    if block.has_nan:
        add(NAN, &partial.total, &partial.total_lo)
    add(<double>block.count, &partial.weight, &partial.weight_lo)
    return True


cdef inline void scale_square(
    double var, double* distance, double* quotient, const floating* tag
) noexcept nogil:
    """distance^2 / var, and the quotient f / (2 + f) that the logarithm of var takes.

    Of losses that are rounded to float32, one division serves both.
    """
    cdef double f = mantissa_f64(var) - 1.0
    cdef double inverse
    if floating is double:
        distance[0] *= distance[0] / var
        quotient[0] = f / (2.0 + f)
    else:
        inverse = 1.0 / (var * (2.0 + f))
        distance[0] *= distance[0] * (2.0 + f) * inverse
        quotient[0] = f * var * inverse


cdef inline void scale_squares(
    const Staged* block, const double* var, double* distance, double* quotient, const floating* tag
) noexcept nogil:
    """`scale_square` of a full block."""
    cdef Prefetch next = block.next
    cdef Py_ssize_t i, j
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand_unrolled(&next, OF_SCALE, i)
        for j in range(i, i + LANES):
            scale_square(var[j], &distance[j], &quotient[j], tag)


cdef inline bint add_gaussian_elementwise(
    const Job* job, const Staged* block, const double* var, bint one_var,
    Partial* partial, real* tag
) noexcept nogil:
    """Weigh, store and add the losses of a full block one by one."""
    cdef const real* mean = <const real*>block.scores
    cdef const real* y = <const real*>block.labels
    cdef double loss[BLOCK]
    cdef double constant = 0.9189385332046727 if job.full else 0.0
    cdef double quotient[BLOCK]
    cdef double log_var
    cdef Prefetch next = block.next
    cdef Py_ssize_t i, j
    if block.has_nan:
        return False
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand(&next, OF_SCORES, i)
        prefetch_operand(&next, OF_LABELS, i)
        for j in range(i, i + LANES):
            loss[j] = <double>y[j] - <double>mean[j]
    if one_var:
        # Not before the choice: gcc would carry it into the loop below, which it then cannot vectorise.
        log_var = logn_f64(var[0])
        for i in range(BLOCK):
            loss[i] = 0.5 * (log_var + loss[i] * (loss[i] / var[0])) + constant
    else:
        # In two loops: each is half as long a chain of operations, and more of them are under way.
        # By the scores' type: that of the labels changes no bit.
        if job.scores.dtype == FLOAT64:
            scale_squares(block, var, loss, quotient, <const double*>NULL)
        else:
            scale_squares(block, var, loss, quotient, <const float*>NULL)
        for i in range(BLOCK):
            log_var = log_of_quotient_f64(
                mantissa_f64(var[i]) - 1.0, quotient[i], -0.0, exponent_f64(var[i])
            )
            loss[i] = 0.5 * (log_var + loss[i]) + constant
    if not all_within(<const double*>loss, largest(<const double*>NULL), True):
        return False
    return add_single_losses(job, block, loss, partial, tag)


cdef inline bint gaussian_block(
    const Job* job, Py_ssize_t start, Product* product, Partial* partial, real* tag
) noexcept nogil:
    """A full block; False, with nothing done, where it takes the general path."""
    cdef Staged block
    cdef real mean[BLOCK]
    cdef real labels[BLOCK]
    cdef real valid[BLOCK]
    cdef double var[BLOCK]
    cdef bint one_var = True
    var[0] = 1.0
    stage(job, start, &block, mean, labels, valid)
    if job.scale_operand.dtype != ABSENT:
        one_var = is_repeated(job, &job.scale_operand)
        if one_var:
            var[0] = load_one(&job.scale_operand, job.scale_operand.data)
        elif not load_scale(job, &block, var, tag):
            return False
        if outside(var, 1 if one_var else BLOCK, 1e-120, 1e120):
            return False
    if job.want_losses or job.weight.dtype != ABSENT:
        if not add_gaussian_elementwise(job, &block, var, one_var, partial, tag):
            return False
    elif not add_gaussian(job, &block, var, one_var, product, partial, tag):
        return False
    partial.count += block.count
    return True

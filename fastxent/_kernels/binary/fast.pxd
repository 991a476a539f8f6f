# The fast paths of binary losses: full blocks, whatever the options. A function whose path does not
# serve returns False and has done nothing. A mean or sum without weights is a product (likelihood.pxd),
# at the speed of memory. With weights or reduction="none" each element takes its own logarithm.

from libc.math cimport INFINITY, NAN

from fastxent._kernels.arrays.bounds cimport all_within
from fastxent._kernels.arrays.load cimport is_repeated, load_one
from fastxent._kernels.arrays.prefetch cimport (
    no_prefetch, OF_LABELS, OF_SCORES, Prefetch, prefetch_operand, prefetch_operand_unrolled,
)
from fastxent._kernels.binary.elementwise cimport add_elementwise, exps_minus_abs
from fastxent._kernels.binary.gaussian cimport gaussian_block
from fastxent._kernels.binary.gradient cimport fast_gradients, full_gradients
from fastxent._kernels.binary.poisson cimport poisson_block
from fastxent._kernels.binary.stage cimport stage, Staged
from fastxent._kernels.job cimport (
    ABSENT, BFLOAT16, BINARY, BINARY_FOCAL, BINARY_LOGITS, BLOCK, FLOAT16, FLOAT32, FLOAT64,
    GAUSSIAN, has_number_labels, Job, LANES, Partial,
)
from fastxent._kernels.likelihood cimport (
    add_product, AllZeros, BothOutcomes, clipped, log_one_plus, MIN_BITS, multiply_clipped,
    multiply_halves, multiply_lanes, multiply_likelihoods, Product, take_exponents,
)
from fastxent._kernels.numeric.divergence cimport log_ratio
from fastxent._kernels.numeric.sums cimport add, lane_sum, sum_lanes
from fastxent._kernels.types cimport real


cdef inline bint has_fast_path(const Job* job) noexcept nogil:
    """Whether full blocks may take a fast path. Focal losses of float64 are computed as ever."""
    return (
        job.loss == BINARY
        or job.loss == BINARY_LOGITS
        or has_number_labels(job)
        or (job.loss == BINARY_FOCAL and job.scores.dtype != FLOAT64)
    )


cdef inline bint is_elementwise(const Job* job) noexcept nogil:
    """Whether each element needs its own logarithm."""
    return (
        job.want_losses
        or job.weight.dtype != ABSENT
        or job.loss == BINARY_FOCAL
        or (job.loss == BINARY_LOGITS and job.scale_operand.dtype != ABSENT
            and not is_repeated(job, &job.scale_operand))
    )


cdef inline void add_products(const Job* job, Product* products, Partial* partial) noexcept nogil:
    """Add the products of a chunk.

    products[1] is of both outcomes, for smoothing, or of the positive labels, for pos_weight.
    """
    if job.loss == BINARY_LOGITS:
        add_product(&products[0], -1.0, partial)
        if job.scale_operand.dtype != ABSENT and not is_elementwise(job):
            add_product(&products[1], -load_one(&job.scale_operand, job.scale_operand.data), partial)
    elif job.loss == GAUSSIAN:
        add_product(&products[0], -0.5, partial)
    else:
        add_product(&products[0], 1.0 - job.label_smoothing, partial)
        if job.label_smoothing != 0.0:
            add_product(&products[1], 0.5 * job.label_smoothing, partial)


cdef inline void add_count(const Staged* block, Partial* partial) noexcept nogil:
    """Add the weight of what counts, and a NaN to propagate."""
    add(<double>block.count, &partial.weight, &partial.weight_lo)
    if block.has_nan:
        add(NAN, &partial.total, &partial.total_lo)


# ---- probabilities ----------------------------------------------------------------------------


cdef inline bint has_short_rest(const Job* job) noexcept nogil:
    """Whether 1 - p is a float32 for every p from eps on: a multiple of 2^-24."""
    return job.scores.dtype == FLOAT16 or (
        job.scores.dtype == BFLOAT16 and job.eps >= 7.62939453125e-06    # 2^-17, of 8 digits
    )


cdef inline bint multiply_both(
    const Job* job, const Staged* block, Product* product, real* tag
) noexcept nogil:
    """Multiply in p (1 - p): with smoothing s the loss is -(1 - s) log q - s/2 log(p (1 - p))."""
    cdef const real* p = <const real*>block.scores
    cdef const real* y = <const real*>block.labels
    cdef Prefetch none = no_prefetch()
    product.halves = 2 * block.neutral
    return multiply_likelihoods(
        p, <const BothOutcomes*>NULL, job.eps, &none, product
    ) or multiply_clipped(p, y, job.eps, True, product)


cdef inline bint multiply_hard(
    const Job* job, const Staged* block, Product* product, real* tag
) noexcept nogil:
    """Multiply in one full block of probabilities with hard labels, clipped where necessary."""
    cdef const real* p = <const real*>block.scores
    cdef const real* y = <const real*>block.labels
    # By a pointer: a function of its own has the registers to itself.
    cdef bint (*multiply)(const real*, const real*, double, const Prefetch*, Product*) noexcept nogil
    product.halves = block.neutral
    multiply = multiply_likelihoods
    if has_short_rest(job):
        multiply = multiply_halves
    return multiply(p, y, job.eps, &block.next, product) or multiply_clipped(
        p, y, job.eps, False, product
    )


cdef inline bint multiply_soft(
    const Job* job, const Staged* block, Product* product, double* total, real* tag
) noexcept nogil:
    """Multiply in a block with soft labels, and store the part of its losses that is not a product.

    With m the smaller of p and 1 - p, and v the label's share of it,
    -y log p - (1 - y) log(1 - p) = -log(1 - m) + v log((1 - m) / m): the first term goes into the
    product, one logarithm is left, and no term is negative.
    """
    cdef const real* p = <const real*>block.scores
    cdef const real* y = <const real*>block.labels
    cdef real minor[BLOCK]
    cdef real share[BLOCK]
    cdef real eps = <real>job.eps, one = 1, half = 0.5
    cdef real q
    cdef Prefetch none = no_prefetch()
    cdef Prefetch next = block.next
    cdef Py_ssize_t i, j
    if one - eps == one or not all_within(p, one, False) or not all_within(y, one, False):
        return False
    for i in range(BLOCK):
        q = one - p[i]
        share[i] = y[i] if q > half else one - y[i]
        q = p[i] if q > half else q
        q = eps if q < eps else q
        minor[i] = q
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand_unrolled(&next, OF_SCORES, i)
        prefetch_operand_unrolled(&next, OF_LABELS, i)
        for j in range(i, i + LANES):
            share[j] *= log_ratio(one - minor[j], minor[j])
    total[0] = lane_sum(share, BLOCK)
    product.halves = block.neutral
    return multiply_likelihoods(<const real*>minor, <const AllZeros*>NULL, 0.0, &none, product)


cdef inline bint add_likelihoods(
    const Job* job, const Staged* block, real* tag, Product* products, Partial* partial
) noexcept nogil:
    """Add one full block of probabilities."""
    cdef Product saved
    cdef double total = 0.0
    if job.label_smoothing != 0.0:
        saved = products[0]
    if block.hard:
        if not multiply_hard(job, block, &products[0], tag):
            return False
    elif not multiply_soft(job, block, &products[0], &total, tag):
        return False
    if job.label_smoothing != 0.0 and not multiply_both(job, block, &products[1], tag):
        products[0] = saved
        return False
    if not block.hard:
        add((1.0 - job.label_smoothing) * total, &partial.total, &partial.total_lo)
    add_count(block, partial)
    return True


# ---- logits -----------------------------------------------------------------------------------


cdef inline double sum_against(const real* z, const real* y, bint hard) noexcept nogil:
    """The sum of |z| times the label's share of the outcome that z is against."""
    cdef double lanes[LANES]
    cdef double size, share
    cdef real zero = 0
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lanes[j] = 0.0
    if hard:
        for i from 0 <= i < BLOCK by LANES:
            for j in range(LANES):
                # Exact in either type, since y is 0 or 1.
                lanes[j] += <double>(
                    (z[i + j] if z[i + j] > zero else zero) - z[i + j] * y[i + j]
                )
    else:
        for i from 0 <= i < BLOCK by LANES:
            for j in range(LANES):
                size = <double>(z[i + j] if z[i + j] > zero else -z[i + j])
                share = <double>y[i + j]
                share = 1.0 - share if z[i + j] > zero else share
                lanes[j] += size * share
    return sum_lanes(lanes)


cdef inline double sum_sizes(const real* z) noexcept nogil:
    """The sum of |z|."""
    cdef double lanes[LANES]
    cdef real zero = 0
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lanes[j] = 0.0
    for i from 0 <= i < BLOCK by LANES:
        for j in range(LANES):
            lanes[j] += <double>(z[i + j] if z[i + j] > zero else -z[i + j])
    return sum_lanes(lanes)


cdef inline double log_one_plus_small(const real* exps, int neutral) noexcept nogil:
    """The sum of log(1 + e), where it is small; `neutral` of the e that are 1 do not count."""
    cdef double u[LANES]
    cdef double e
    cdef int ones = 0
    cdef real one = 1
    cdef Py_ssize_t i, j
    for j in range(LANES):
        u[j] = 0.0
    for i in range(BLOCK):
        ones += exps[i] == one
    for i from 0 <= i < BLOCK by LANES:
        for j in range(LANES):
            e = <double>exps[i + j] if exps[i + j] != one else 0.0
            u[j] = u[j] + (e + u[j] * e)
    return log_one_plus(u) + <double>(ones - neutral) * 0.6931471805599453


cdef inline bint multiply_in(double* lanes, int neutral, Product* product) noexcept nogil:
    """Multiply in a block's product of 1 + e^-|z|; `neutral` of its factors are 2 and do not count.

    False, with nothing done, where it is so small that the rounding of 1 + e^-|z| would count.
    """
    cdef double powers = take_exponents(lanes) - <double>neutral
    if powers < MIN_BITS:
        return False
    multiply_lanes(lanes, powers, product)
    return True


cdef inline bint add_softplus(
    const Job* job, const Staged* block, real* exps, Product* product, Partial* partial
) noexcept nogil:
    """Add log(1 + e^-|z|) + |z| (a (1 - s) + s/2) over a full block; stores e^-|z| in exps.

    a is the label's share of the outcome that z is against, and s the smoothing.
    """
    cdef const real* z = <const real*>block.scores
    cdef const real* y = <const real*>block.labels
    cdef real e[BLOCK]      # local: a pointer that may be another's costs a check in each short loop
    cdef double lanes[LANES]
    cdef double linear
    cdef real one = 1
    cdef Prefetch next = block.next
    cdef Py_ssize_t i, j
    if not block.hard and not all_within(y, one, False):
        return False
    linear = sum_against(z, y, block.hard)
    if job.label_smoothing != 0.0:
        linear = (1.0 - job.label_smoothing) * linear + 0.5 * job.label_smoothing * sum_sizes(z)
    if not linear < INFINITY:
        return False
    exps_minus_abs(z, &next, e)
    for j in range(LANES):
        lanes[j] = 1.0
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand(&next, OF_LABELS, i)
        for j in range(LANES):
            lanes[j] *= 1.0 + <double>e[i + j]
    if not multiply_in(lanes, block.neutral, product):
        linear += log_one_plus_small(<const real*>e, block.neutral)
    add(linear, &partial.total, &partial.total_lo)
    if job.grad.dtype != ABSENT:
        for i in range(BLOCK):
            exps[i] = e[i]
    return True


cdef inline double log_one_plus_of(
    const real* exps, const real* y, real label, int neutral
) noexcept nogil:
    """`log_one_plus_small` of the elements with one label."""
    cdef real part[BLOCK]
    cdef real zero = 0
    cdef Py_ssize_t i
    for i in range(BLOCK):
        part[i] = exps[i] if y[i] == label else zero
    return log_one_plus_small(<const real*>part, neutral)


cdef inline bint add_softplus_by_label(
    const Job* job, const Staged* block, real* exps, Product* products, Partial* partial
) noexcept nogil:
    """`add_softplus` with one pos_weight for all, of hard labels: a product for each label."""
    cdef const real* z = <const real*>block.scores
    cdef const real* y = <const real*>block.labels
    cdef const real* valid = <const real*>block.valid
    cdef double lanes[2][LANES]
    cdef double sums[2][LANES]
    cdef double total[2]
    cdef double pos_weight = load_one(&job.scale_operand, job.scale_operand.data)
    cdef int neutral[2]
    cdef real zero = 0, one = 1
    cdef real e, wrong, part
    cdef Py_ssize_t i, j
    if not block.hard or job.label_smoothing != 0.0 or not 0.0 <= pos_weight < INFINITY:
        return False
    for j in range(LANES):
        lanes[0][j] = lanes[1][j] = 1.0
        sums[0][j] = sums[1][j] = 0.0
    for i from 0 <= i < BLOCK by LANES:
        for j in range(LANES):
            wrong = (z[i + j] if z[i + j] > zero else zero) - z[i + j] * y[i + j]
            part = wrong if y[i + j] != zero else zero
            sums[0][j] += <double>(wrong - part)
            sums[1][j] += <double>part
    for j in range(2):
        total[j] = sum_lanes(sums[j])
        if not total[j] < INFINITY:
            return False
    exps_minus_abs(z, &block.next, exps)
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand(&block.next, OF_LABELS, i)
        for j in range(LANES):
            e = exps[i + j]
            part = e if y[i + j] != zero else zero
            lanes[0][j] *= 1.0 + <double>(e - part)
            lanes[1][j] *= 1.0 + <double>part
    neutral[1] = 0
    if block.neutral > 0:
        for i in range(BLOCK):
            neutral[1] += y[i] != zero and valid[i] == zero
    neutral[0] = block.neutral - neutral[1]
    for j in range(2):
        if not multiply_in(lanes[j], neutral[j], &products[j]):
            total[j] += log_one_plus_of(<const real*>exps, y, one if j else zero, neutral[j])
    add(total[0], &partial.total, &partial.total_lo)
    add(pos_weight * total[1], &partial.total, &partial.total_lo)
    return True


cdef inline bint add_logits(
    const Job* job, const Staged* block, real* exps, Product* products, Partial* partial
) noexcept nogil:
    """Add one full block of logits; stores e^-|z| in exps."""
    cdef bint done
    if job.scale_operand.dtype != ABSENT:
        done = add_softplus_by_label(job, block, exps, products, partial)
    else:
        done = add_softplus(job, block, exps, &products[0], partial)
    if done:
        add_count(block, partial)
    return done


# ---- a block ----------------------------------------------------------------------------------


cdef inline bint density_block(
    const Job* job, Py_ssize_t start, Product* product, Partial* partial, real* tag
) noexcept nogil:
    """A full block whose labels are numbers; False, with nothing done, where it is not ordinary."""
    if job.loss == GAUSSIAN:
        return gaussian_block(job, start, product, partial, tag)
    return poisson_block(job, start, partial, tag)


cdef inline bint fast_block(
    const Job* job, Py_ssize_t start, Product* products, Partial* partial, bint* hard, real* tag
) noexcept nogil:
    """A full block on a fast path; False, with nothing done, where none serves.

    The derivatives follow, where they are wanted, while the logits are in L1.
    """
    cdef Staged block
    cdef real scores[BLOCK]
    cdef real labels[BLOCK]
    cdef real valid[BLOCK]
    cdef real exps[BLOCK]
    # By pointers: a function of its own has the registers to itself.
    cdef bint (*derive)(const Job*, const Staged*, const real*, Partial*) noexcept nogil
    cdef bint (*add_block)(const Job*, const Staged*, real*, Product*, Partial*) noexcept nogil
    if has_number_labels(job):
        if real is float and job.scores.dtype == FLOAT32 and job.labels.dtype == FLOAT32:
            return density_block(job, start, products, partial, tag)
        return density_block(job, start, products, partial, <double*>NULL)
    if not stage(job, start, &block, scores, labels, valid):
        return False
    hard[0] = block.hard
    if is_elementwise(job):
        add_block = add_elementwise
    elif job.loss == BINARY:
        add_block = add_likelihoods
    else:
        add_block = add_logits
    if not add_block(job, &block, exps, products, partial):
        return False
    partial.count += block.count
    derive = full_gradients
    if job.loss == BINARY_LOGITS:
        derive = fast_gradients
    if job.grad.dtype != ABSENT:
        derive(job, &block, exps, partial)
    return True

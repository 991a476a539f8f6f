# The fast path of rows of probabilities against distributions: the Kullback-Leibler divergence, the
# entropy, and the cross entropy with soft or smoothed labels.
#
# Rows that lie one after the other are one flat run of elements, and each element is a term of its own:
# SIMD needs no rows. A term takes the scores' own type, and sums are in float64. What the labels are
# (distributions, smoothed, class indices) is data, the array q. An element that is out of the ordinary
# (NaN, a probability out of [0, 1] or too small for the formula) makes its term infinite or NaN, and
# the caller then takes the general path.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t, uint8_t

from fastxent._kernels.arrays.bounds cimport mark_outside_unit
from fastxent._kernels.arrays.load cimport (
    convert_dtype, element_ptr, gather_classes, is_real, load_indices,
)
from fastxent._kernels.arrays.prefetch cimport AHEAD, prefetch_run, RUN, run_length
from fastxent._kernels.arrays.transpose cimport tile_of_rows
from fastxent._kernels.categorical.rows cimport in_range, Rows
from fastxent._kernels.categorical.softmax cimport sum_tile
from fastxent._kernels.job cimport (
    BLOCK, CATEGORICAL, FLOAT64, is_index, Job, KL, LANES, Operand, Partial, ROWS, TILE_CLASSES,
)
from fastxent._kernels.likelihood cimport clipped, has_bounds
from fastxent._kernels.numeric.divergence cimport divergence_term, smallest_ratio_part
from fastxent._kernels.numeric.generic cimport exponent, log_of_quotient, mantissa
from fastxent._kernels.numeric.sums cimport add, add_buffer
from fastxent._kernels.types cimport real


cdef inline bint has_fast_distributions(const Job* job) noexcept nogil:
    """Whether the losses have this path."""
    if job.class_weight != NULL or is_index(job) or 0.0 < job.eps < 1e-30:
        return False
    return job.loss == CATEGORICAL or job.loss == KL


cdef struct Terms:      # where the elements lie that a run prefetches
    const char* scores
    const char* labels
    Py_ssize_t score_size
    Py_ssize_t label_size


cdef inline Terms terms_ahead(const Job* job, Py_ssize_t start, Py_ssize_t first) noexcept nogil:
    """For the run from class `first` of row `start` on."""
    cdef Terms at
    at.score_size, at.label_size = job.scores.itemsize, job.labels.itemsize
    at.scores = element_ptr(job, &job.scores, start) + (first + AHEAD) * at.score_size
    at.labels = element_ptr(job, &job.labels, start) + (first + AHEAD) * at.label_size
    if job.index_labels or job.labels.data == job.scores.data:
        at.label_size = 0
    return at


# ---- the terms of a run ----------------------------------------------------------------------


cdef inline void cross_entropy_terms(
    const Terms* at, const real* p, const real* q, Py_ssize_t n, real* terms
) noexcept nogil:
    """q log p; 0 where q is 0, and not finite where p is 0 or subnormal.

    In two loops, as in `probability_losses`: float64 takes an eighth less time.
    """
    cdef real zero = 0, one = 1, absent = -0.0, minus_infinity = -INFINITY
    cdef real smallest = smallest_ratio_part(p)
    cdef real f[RUN]
    cdef real s[RUN]
    cdef real k[RUN]
    cdef real x, two = 2
    cdef Py_ssize_t first, i, m, length = run_length(p)
    for first from 0 <= first < n by length:
        prefetch_run(at.scores + first * at.score_size, at.score_size, length)
        m = min(length, n - first)
        for i in range(m):
            x = p[first + i]
            x = one if q[first + i] == zero else x
            f[i] = mantissa(x) - one
            k[i] = exponent(x) if x >= smallest else minus_infinity
            s[i] = f[i] / (two + f[i])
        prefetch_run(at.labels + first * at.label_size, at.label_size, length)
        for i in range(m):
            terms[first + i] = q[first + i] * log_of_quotient(f[i], s[i], absent, k[i])


cdef inline real clip_run(const Job* job, const real* p, Py_ssize_t n, real* target) noexcept nogil:
    """Clip to [eps, 1 - eps]. Returns the largest number that is not above 1 - eps."""
    cdef real low = <real>job.eps, high = <real>(1.0 - job.eps)
    cdef Py_ssize_t i
    if <double>high > 1.0 - job.eps:
        high = high - <real>5.960464477539063e-08   # the float before
    for i in range(n):
        target[i] = clipped(p[i], low, high)
    return high


cdef inline void clip_terms(
    const Job* job, const real* p, const real* q, Py_ssize_t n, real high, real* terms
) noexcept nogil:
    """The terms of p above 1 - eps, which the type lacks. Only the cross entropy needs no other path."""
    cdef real infinity = INFINITY, log_high = <real>job.log_one_minus_eps, zero = 0
    cdef real factor = infinity if job.loss == KL else log_high
    cdef Py_ssize_t i
    for i in range(n):
        terms[i] = q[i] * factor if p[i] > high and q[i] > zero else terms[i]


cdef inline void divergence_terms(
    const Terms* at, const real* p, const real* q, Py_ssize_t n, real* terms, real* linear
) noexcept nogil:
    """The two brackets of q log(q / p); 0 where q is 0, infinite where a number is too small."""
    cdef real zero = 0, one = 1, infinity = INFINITY, smallest = smallest_ratio_part(p)
    cdef real a, b, least, part
    cdef Py_ssize_t first, i, length = run_length(p)
    for first from 0 <= first < n by length:
        prefetch_run(at.scores + first * at.score_size, at.score_size, length)
        prefetch_run(at.labels + first * at.label_size, at.label_size, length)
        for i in range(first, min(first + length, n)):
            a, b = q[i], p[i]
            b = one if a == zero else b
            a = one if a == zero else a
            least = a if a < b else b
            terms[i] = divergence_term(a, b, &part)
            linear[i] = infinity if least < smallest else part


# ---- the arrays of a run ---------------------------------------------------------------------


cdef inline const real* view_rows(
    const Job* job, const Operand* op, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t m,
    void* scratch, real* buffer
) noexcept nogil:
    """m classes of each of some rows, one row after the other: of the array itself, or the buffer."""
    cdef const char* place = element_ptr(job, op, start) + first * op.class_stride
    cdef Py_ssize_t i
    if (
        is_real(op.dtype, buffer) and not op.byteswapped and op.class_stride == op.itemsize
        and <size_t>place % sizeof(real) == 0
        and (rows == 1 or job.ndim == 1 and op.stride[0] == m * op.itemsize)
    ):
        return <const real*>place
    for i in range(rows):
        place = element_ptr(job, op, start + i)
        convert_dtype(
            op.dtype, gather_classes(op, place, first, <int>m, scratch), <int>m, buffer + i * m
        )
    return buffer


cdef inline void mark_rounded(
    const Job* job, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t m, void* scratch,
    real* buffer
) noexcept nogil:
    """NaN for a label of float64 that the buffer does not hold exactly."""
    cdef const double* exact
    cdef Py_ssize_t i, j
    for i in range(rows):
        exact = <const double*>gather_classes(
            &job.labels, element_ptr(job, &job.labels, start + i), first, <int>m, scratch
        )
        for j in range(m):
            if <double>buffer[i * m + j] != exact[j]:
                buffer[i * m + j] = NAN


cdef inline const real* view_labels(
    const Job* job, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t m, void* scratch,
    real* buffer
) noexcept nogil:
    """m labels of each of some rows: ones for class indices, of which `smooth_terms` knows the rest."""
    cdef const real* q
    cdef Py_ssize_t i
    if job.index_labels:
        for i in range(rows * m):
            buffer[i] = 1
        return buffer
    q = view_rows(job, &job.labels, start, rows, first, m, scratch, buffer)
    if real is float and job.loss == KL and job.labels.dtype == FLOAT64:
        mark_rounded(job, start, rows, first, m, scratch, buffer)
    return q


# ---- sums of the terms -----------------------------------------------------------------------


cdef inline void smooth_terms(
    const Job* job, const int64_t* target, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t m,
    const real* q, const real* logs, real* terms
) noexcept nogil:
    """q log p of the labels without their smoothing, whose share every class has in `logs`."""
    cdef real zero = 0
    cdef real weight, term
    cdef Py_ssize_t i, j
    if job.index_labels:
        for i in range(rows * m):
            terms[i] = 0
        for i in range(rows):
            j = target[i] - first
            if 0 <= j < m:
                terms[i * m + j] = logs[i * m + j]
        return
    for i in range(rows * m):
        weight = q[i]
        term = weight * logs[i]
        terms[i] = zero if weight == zero else term


cdef inline void fill_terms(
    const Job* job, Py_ssize_t start, Py_ssize_t rows, const int64_t* target, Py_ssize_t first,
    Py_ssize_t m, void* scratch, real* terms, real* linear
) noexcept nogil:
    """The terms of m classes of each of some rows, rows * m <= BLOCK; `weigh_sums` weighs them."""
    cdef real p_buffer[BLOCK]
    cdef real q_buffer[BLOCK]
    cdef real clipped_buffer[BLOCK]
    cdef real ones[BLOCK]
    cdef Terms at = terms_ahead(job, start, first)
    cdef const real* p = view_rows(job, &job.scores, start, rows, first, m, scratch, p_buffer)
    cdef const real* q = view_labels(job, start, rows, first, m, scratch, q_buffer)
    cdef const real* inside = p
    cdef const real* weights = q
    cdef real* logs = terms
    cdef Py_ssize_t i, n = rows * m
    cdef real high = 1
    if job.eps > 0.0:
        clipped_buffer[0] = 0   # gcc cannot know that there is at least one class
        high = clip_run(job, p, n, clipped_buffer)
        inside = clipped_buffer
    if job.label_smoothing != 0.0:
        logs = linear
        if not job.index_labels:    # whose labels are ones already
            ones[0] = 1     # as above
            for i in range(n):
                ones[i] = 1
            weights = ones
    if job.loss == KL:
        divergence_terms(&at, inside, q, n, terms, linear)
    else:
        cross_entropy_terms(&at, inside, weights, n, logs)
    if job.eps > 0.0 and not has_bounds(job.eps, p):
        clip_terms(job, p, weights, n, high, logs)
    if job.label_smoothing != 0.0:
        smooth_terms(job, target, rows, first, m, q, logs, terms)
    mark_outside_unit(p, n, terms)
    if q != p and not job.index_labels:
        mark_outside_unit(q, n, terms)


cdef inline bint has_two_terms(const Job* job) noexcept nogil:
    """Whether `fill_terms` fills `linear`, too."""
    return job.loss == KL or job.label_smoothing != 0.0


cdef inline double weigh_sums(const Job* job, double terms, double linear) noexcept nogil:
    """The loss from the sums of a row's terms."""
    cdef double share
    if job.loss == KL:
        return terms + linear
    if job.label_smoothing == 0.0:
        return 0.0 - terms
    share = job.label_smoothing / <double>job.classes
    return 0.0 - ((1.0 - job.label_smoothing) * terms + share * linear)


cdef inline Py_ssize_t rows_of_run(const Job* job) noexcept nogil:
    """How many rows make a run: whole vectors if that is possible."""
    cdef Py_ssize_t rows = max(1, BLOCK // job.classes)
    cdef Py_ssize_t unit = LANES // min(<Py_ssize_t>LANES, job.classes & -job.classes)
    return rows - rows % unit if rows > unit else rows


cdef inline double sum_distributions(
    const Job* job, Py_ssize_t start, Py_ssize_t rows, const int64_t* target, void* scratch, real* tag
) noexcept nogil:
    """The loss of one row, or the sum of those of several whose classes fit in a block.

    It is not finite where the general path is needed.
    """
    cdef real terms[BLOCK]
    cdef real linear[BLOCK]
    cdef double hi = 0.0, lo = 0.0, linear_hi = 0.0, linear_lo = 0.0
    cdef Py_ssize_t first, m
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        fill_terms(job, start, rows, target, first, m, scratch, terms, linear)
        add_buffer(terms, rows * m, &hi, &lo)
        if has_two_terms(job):
            add_buffer(linear, rows * m, &linear_hi, &linear_lo)
    return weigh_sums(job, hi + lo, linear_hi + linear_lo)


cdef inline bint add_distributions(
    const Job* job, Py_ssize_t start, Py_ssize_t rows, Partial* partial, real* tag
) noexcept nogil:
    """Add the losses of rows of equal weight; False, with nothing added, for the general path."""
    cdef int64_t target[BLOCK]
    cdef double scratch[BLOCK]
    cdef double total
    if job.index_labels:
        load_indices(job, &job.labels, start, <int>rows, scratch, target)
        if not in_range(target, <int>rows, job.classes):
            return False
    total = sum_distributions(job, start, rows, target, scratch, tag)
    if not -INFINITY < total < INFINITY:
        return False
    add(total, &partial.total, &partial.total_lo)
    add(<double>rows, &partial.weight, &partial.weight_lo)
    partial.count += rows
    return True


cdef inline void distribution_rows(
    const Job* job, Py_ssize_t start, Rows* rows, uint8_t* done, real* tag
) noexcept nogil:
    """The loss of each row of a block; done marks those that are finite."""
    cdef real terms[TILE_CLASSES * ROWS]
    cdef real linear[TILE_CLASSES * ROWS]
    cdef real tile[TILE_CLASSES * ROWS]
    cdef double sums[ROWS]
    cdef double linear_sums[ROWS]
    cdef Py_ssize_t i, m = job.classes
    cdef Py_ssize_t step = max(1, BLOCK // m)
    if m > TILE_CLASSES:
        for i in range(rows.n):
            if rows.valid[i]:
                rows.loss[i] = sum_distributions(
                    job, start + i, 1, &rows.target[i], rows.scratch, tag
                )
    else:
        for i from 0 <= i < rows.n by step:
            fill_terms(
                job, start + i, min(step, rows.n - i), &rows.target[i], 0, m, rows.scratch,
                terms + i * m, linear + i * m,
            )
        for i in range(rows.n * m, ROWS * m):
            terms[i] = 0
            linear[i] = 0
        for i in range(ROWS):
            sums[i] = 0.0
            linear_sums[i] = 0.0
        tile_of_rows(terms, m, m, tile)
        sum_tile(tile, m, sums)
        if has_two_terms(job):
            tile_of_rows(linear, m, m, tile)
            sum_tile(tile, m, linear_sums)
        for i in range(rows.n):
            rows.loss[i] = weigh_sums(job, sums[i], linear_sums[i])
    for i in range(rows.n):
        done[i] = rows.valid[i] and -INFINITY < rows.loss[i] < INFINITY

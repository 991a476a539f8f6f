# One row of classes against a distribution, in float64: cross entropy with soft or smoothed labels,
# focal loss and the Kullback-Leibler divergence. What many rows at a time cannot have in a tile
# comes here.

from libc.math cimport INFINITY, NAN

from fastxent._kernels.arrays.bounds cimport outside
from fastxent._kernels.arrays.load cimport convert_dtype, gather_classes, load_one, view_classes
from fastxent._kernels.focal cimport softmax_of_classes, pow_unit_all
from fastxent._kernels.job cimport (
    BAD_LABEL, BAD_SCORE, BLOCK, ErrorCode, has_row_logits, is_index, Job, KL, LANES, NAN_LABEL,
    NAN_SCORE, NO_ERROR,
)
from fastxent._kernels.numeric.clipped_log cimport minus_log
from fastxent._kernels.numeric.elementary cimport exp_nonpos_dd, log1p_f64, log_f64
from fastxent._kernels.numeric.generic cimport difference
from fastxent._kernels.numeric.sums cimport add, sum_lanes, lane_sum, mul_zero_inf


cdef inline void target_row(
    const Job* job, const char* labels, Py_ssize_t target, Py_ssize_t first, int m, void* scratch,
    double* q, double* weight, int* bad
) noexcept nogil:
    """What each class of a row weighs in the loss: label, smoothing and class weight together."""
    cdef double smoothing = job.label_smoothing
    cdef double share = smoothing / <double>job.classes
    cdef double sum_of_weights = 0.0
    cdef Py_ssize_t i
    if job.index_labels:
        for i in range(m):
            q[i] = 0.0
        if first <= target < first + m:
            q[target - first] = 1.0
    else:
        convert_dtype(
            job.labels.dtype,
            gather_classes(&job.labels, labels, first, m, scratch), m, q,
        )
        bad[0] += outside(q, m, 0.0, 1.0)
        for i in range(m):
            sum_of_weights += q[i] * (1.0 if job.class_weight == NULL else job.class_weight[first + i])
        weight[0] += sum_of_weights
    if smoothing != 0.0:
        for i in range(m):
            q[i] = q[i] * (1.0 - smoothing) + share
    if job.class_weight != NULL:
        for i in range(m):
            q[i] *= job.class_weight[first + i]
    if job.class_alpha != NULL:
        for i in range(m):
            q[i] *= job.class_alpha[first + i]


cdef inline void weigh_classes(
    const Job* job, const char* labels, Py_ssize_t target, Py_ssize_t first, int m, void* scratch,
    double* q, double* weight, int* bad
) noexcept nogil:
    """`target_row`, apart from the weights of the one class that a row may have: its factor has them."""
    cdef Py_ssize_t i
    if is_index(job):
        for i in range(m):
            q[i] = 0.0
        if first <= target < first + m:
            q[target - first] = 1.0
    else:
        target_row(job, labels, target, first, m, scratch, q, weight, bad)


cdef inline void load_classes(
    const Job* job, const char* row, Py_ssize_t first, int m, void* scratch, double* x
) noexcept nogil:
    convert_dtype(job.scores.dtype, gather_classes(&job.scores, row, first, m, scratch), m, x)


# ---- from logits ------------------------------------------------------------------------------


cdef inline double row_maximum(const Job* job, const char* row, void* scratch) noexcept nogil:
    cdef double staged[BLOCK]
    cdef double lanes[LANES]
    cdef double maximum = -INFINITY
    cdef const double* x
    cdef Py_ssize_t first
    cdef Py_ssize_t i, j, m
    for j in range(LANES):
        lanes[j] = -INFINITY
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        x = view_classes(&job.scores, row, first, m, scratch, staged)
        for i from 0 <= i < m - m % LANES by LANES:
            for j in range(LANES):
                lanes[j] = x[i + j] if x[i + j] > lanes[j] else lanes[j]
        for i in range(m - m % LANES, m):
            maximum = x[i] if x[i] > maximum else maximum
    for j in range(LANES):
        maximum = lanes[j] if lanes[j] > maximum else maximum
    return maximum


cdef inline double infinite_row(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, void* scratch
) noexcept nogil:
    """The limit for a row with +inf: all probability is there, and how it is shared is not known."""
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef double unused = 0.0, weight_at_max = 0.0, elsewhere = 0.0
    cdef int unread = 0
    cdef Py_ssize_t first, i, m, n_max = 0
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        target_row(job, labels, target, first, <int>m, scratch, q, &unused, &unread)
        load_classes(job, row, first, <int>m, scratch, x)
        for i in range(m):
            if x[i] == INFINITY:
                n_max += 1
                weight_at_max += q[i]
            else:
                elsewhere += q[i] + (0.0 if x[i] == x[i] else x[i])
    if weight_at_max > 0.0 and n_max > 1 or elsewhere != elsewhere:
        return NAN
    return INFINITY if elsewhere > 0.0 else 0.0


cdef inline double distribution_from_logits(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, void* scratch,
    double* weight, int* bad
) noexcept nogil:
    """sum q_j (log sum_k e^x_k - x_j) of one row, by way of its maximum.

    The classes at the maximum are counted, not added: log1p keeps what lies far below them.
    """
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef double rest[LANES]
    cdef double linear[LANES]
    cdef double label_weight[LANES]
    cdef double n_max[LANES]
    cdef double sums[4]
    cdef double maximum = row_maximum(job, row, scratch)
    cdef double d, err
    cdef Py_ssize_t first
    cdef Py_ssize_t i, j, m, padded
    for j in range(4):
        sums[j] = 0.0
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        padded = (m + LANES - 1) // LANES * LANES
        target_row(job, labels, target, first, m, scratch, q, weight, bad)
        load_classes(job, row, first, m, scratch, x)
        for i in range(m, padded):
            x[i] = -INFINITY
            q[i] = 0.0
        for j in range(LANES):
            rest[j] = 0.0
            linear[j] = 0.0
            label_weight[j] = 0.0
            n_max[j] = 0.0
        for i from 0 <= i < padded by LANES:
            for j in range(LANES):
                d = difference(x[i + j], maximum, &err)
                # What -inf loses is NaN, of which the exponential must not hear.
                err = 0.0 if d == -INFINITY else err
                d = 0.0 if x[i + j] == maximum else d
                rest[j] += 0.0 if d == 0.0 else exp_nonpos_dd(d, err)
                n_max[j] += 1.0 if d == 0.0 else 0.0
                label_weight[j] += q[i + j]
                linear[j] += 0.0 if q[i + j] == 0.0 else -(d * q[i + j] + err * q[i + j])
        sums[0] += sum_lanes(rest)
        sums[1] += sum_lanes(n_max)
        sums[2] += sum_lanes(label_weight)
        sums[3] += sum_lanes(linear)
    if maximum == -INFINITY:
        return NAN
    if maximum == INFINITY:
        return infinite_row(job, row, labels, target, scratch)
    return mul_zero_inf(sums[2], log1p_f64(sums[0] + (sums[1] - 1.0))) + sums[3]


cdef inline double sum_exp_below(
    const Job* job, const char* row, double maximum, void* scratch, Py_ssize_t* argmax
) noexcept nogil:
    """sum e^(x_j - most) of all classes but the first at the maximum, whose number is noted."""
    cdef double x[BLOCK]
    cdef double rest = 0.0, rest_lo = 0.0, d, err
    cdef Py_ssize_t first, i, m
    argmax[0] = -1
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        load_classes(job, row, first, <int>m, scratch, x)
        if argmax[0] < 0:
            for i in range(m):
                if x[i] == maximum:
                    argmax[0] = first + i
                    x[i] = -INFINITY
                    break
        for i in range(m):
            d = difference(x[i], maximum, &err)
            err = err if d > -INFINITY else 0.0
            x[i] = exp_nonpos_dd(0.0 if x[i] == maximum else d, err)
        add(lane_sum(x, m), &rest, &rest_lo)
    return rest + rest_lo


cdef inline double focal_from_logits(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, void* scratch,
    double* weight, int* bad
) noexcept nogil:
    """-sum q_j (1 - p_j)^gamma log p_j of one row, by way of its maximum."""
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef double p[BLOCK]
    cdef double one_minus_p[BLOCK]
    cdef double maximum = row_maximum(job, row, scratch)
    cdef double rest, total = 0.0
    cdef Py_ssize_t first, i, m, argmax
    rest = sum_exp_below(job, row, maximum, scratch, &argmax)
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        weigh_classes(job, labels, target, first, <int>m, scratch, q, weight, bad)
        load_classes(job, row, first, <int>m, scratch, x)
        softmax_of_classes(x, m, maximum, rest, argmax - first, p, one_minus_p)
        pow_unit_all(one_minus_p, m, job.gamma)
        for i in range(m):
            x[i] = mul_zero_inf(q[i] * one_minus_p[i], x[i])
        total += lane_sum(x, m)
    if maximum == -INFINITY:
        return NAN
    if maximum == INFINITY:
        return infinite_row(job, row, labels, target, scratch)
    return total


# ---- from probabilities -----------------------------------------------------------------------


cdef inline double log_ratio(double a, double b) noexcept nogil:
    """log(a / b) of numbers up to 1, where the ratio may be beyond float64."""
    cdef double up = 3.273390607896142e150 if b < 3.054936363499605e-151 else 1.0  # 2^500, 2^-500
    cdef double shift = 346.57359027997264 if b < 3.054936363499605e-151 else 0.0
    return log_f64(a / (b * up)) + shift


cdef inline double distribution_from_probabilities(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, void* scratch,
    double* weight, int* bad
) noexcept nogil:
    """-sum q_j log p_j of one row, or sum q_j log(q_j / p_j)."""
    cdef double p[BLOCK]
    cdef double q[BLOCK]
    cdef double total = 0.0
    cdef double minimum, maximum = 1.0 - job.eps
    cdef Py_ssize_t first, i, m
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        target_row(job, labels, target, first, m, scratch, q, weight, bad)
        load_classes(job, row, first, m, scratch, p)
        bad[0] += outside(p, m, 0.0, 1.0)
        if job.loss == KL:
            for i in range(m):
                minimum = (job.eps if p[i] < job.eps else p[i]) + 0.0  # of -0.0 too, 0.0
                minimum = maximum if minimum > maximum else minimum
                p[i] = mul_zero_inf(q[i], log_ratio(1.0 if q[i] == 0.0 else q[i], minimum))
        else:
            for i in range(m):
                p[i] = mul_zero_inf(q[i], minus_log(p[i], 1.0 - p[i], 0.0, job.eps))
        total += lane_sum(p, m)
    return total


cdef inline bint distribution_error(
    const Job* job, const char* row, const char* labels, ErrorCode* error, Py_ssize_t* index
) noexcept nogil:
    """The first class of a row that is wrong, if one is: scores before labels."""
    cdef double x
    cdef Py_ssize_t j
    cdef bint probabilities = not has_row_logits(job)
    error[0] = NO_ERROR
    for j in range(job.classes):
        index[0] = j
        x = load_one(&job.scores, row + j * job.scores.class_stride)
        if x != x:
            error[0] = NAN_SCORE
        elif probabilities and not 0.0 <= x <= 1.0:
            error[0] = BAD_SCORE
            return True
        if job.index_labels:
            if error[0] != NO_ERROR:
                return True
            continue
        x = load_one(&job.labels, labels + j * job.labels.class_stride)
        if error[0] == NO_ERROR and x != x:
            error[0] = NAN_LABEL
        elif x == x and not 0.0 <= x <= 1.0:
            error[0] = BAD_LABEL
            return True
        if error[0] != NO_ERROR:
            return True
    index[0] = -1
    return False

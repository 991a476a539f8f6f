# One row of classes against a distribution, in float64: cross entropy with soft or smoothed labels,
# focal loss and the Kullback-Leibler divergence. What many rows at a time cannot have in a tile
# comes here.

from libc.math cimport INFINITY, NAN

from fastxent._kernels.arrays.bounds cimport outside
from fastxent._kernels.arrays.load cimport convert_kind, gather_classes, load_one, view_classes
from fastxent._kernels.focal cimport chances, powers
from fastxent._kernels.job cimport (
    BAD_LABEL, BAD_SCORE, BLOCK, Fault, has_row_logits, is_index, Job, KL, LANES, NAN_LABEL,
    NAN_SCORE, NO_FAULT,
)
from fastxent._kernels.numeric.clipped_log cimport minus_log
from fastxent._kernels.numeric.elementary cimport decay_wide2, log1p_wide, log_wide
from fastxent._kernels.numeric.generic cimport difference
from fastxent._kernels.numeric.sums cimport add, fold, lane_sum, term


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
        convert_kind(
            job.labels.kind,
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
    convert_kind(job.scores.kind, gather_classes(&job.scores, row, first, m, scratch), m, x)


# ---- from logits ------------------------------------------------------------------------------


cdef inline double row_maximum(const Job* job, const char* row, void* scratch) noexcept nogil:
    cdef double staged[BLOCK]
    cdef double lanes[LANES]
    cdef double most = -INFINITY
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
            most = x[i] if x[i] > most else most
    for j in range(LANES):
        most = lanes[j] if lanes[j] > most else most
    return most


cdef inline double infinite_row(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, void* scratch
) noexcept nogil:
    """The limit for a row with +inf: all probability is there, and how it is shared is not known."""
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef double unused = 0.0, at_top = 0.0, elsewhere = 0.0
    cdef int unread = 0
    cdef Py_ssize_t first, i, m, tops = 0
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        target_row(job, labels, target, first, <int>m, scratch, q, &unused, &unread)
        load_classes(job, row, first, <int>m, scratch, x)
        for i in range(m):
            if x[i] == INFINITY:
                tops += 1
                at_top += q[i]
            else:
                elsewhere += q[i] + (0.0 if x[i] == x[i] else x[i])
    if at_top > 0.0 and tops > 1 or elsewhere != elsewhere:
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
    cdef double mass[LANES]
    cdef double tops[LANES]
    cdef double sums[4]
    cdef double most = row_maximum(job, row, scratch)
    cdef double d, lost
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
            mass[j] = 0.0
            tops[j] = 0.0
        for i from 0 <= i < padded by LANES:
            for j in range(LANES):
                d = difference(x[i + j], most, &lost)
                # What -inf loses is NaN, of which the exponential must not hear.
                lost = 0.0 if d == -INFINITY else lost
                d = 0.0 if x[i + j] == most else d
                rest[j] += 0.0 if d == 0.0 else decay_wide2(d, lost)
                tops[j] += 1.0 if d == 0.0 else 0.0
                mass[j] += q[i + j]
                linear[j] += 0.0 if q[i + j] == 0.0 else -(d * q[i + j] + lost * q[i + j])
        sums[0] += fold(rest)
        sums[1] += fold(tops)
        sums[2] += fold(mass)
        sums[3] += fold(linear)
    if most == -INFINITY:
        return NAN
    if most == INFINITY:
        return infinite_row(job, row, labels, target, scratch)
    return term(sums[2], log1p_wide(sums[0] + (sums[1] - 1.0))) + sums[3]


cdef inline double mass_below(
    const Job* job, const char* row, double most, void* scratch, Py_ssize_t* top
) noexcept nogil:
    """sum e^(x_j - most) of all classes but the first at the maximum, whose number is noted."""
    cdef double x[BLOCK]
    cdef double rest = 0.0, rest_lo = 0.0, d, lost
    cdef Py_ssize_t first, i, m
    top[0] = -1
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        load_classes(job, row, first, <int>m, scratch, x)
        if top[0] < 0:
            for i in range(m):
                if x[i] == most:
                    top[0] = first + i
                    x[i] = -INFINITY
                    break
        for i in range(m):
            d = difference(x[i], most, &lost)
            lost = lost if d > -INFINITY else 0.0
            x[i] = decay_wide2(0.0 if x[i] == most else d, lost)
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
    cdef double miss[BLOCK]
    cdef double most = row_maximum(job, row, scratch)
    cdef double rest, total = 0.0
    cdef Py_ssize_t first, i, m, top
    rest = mass_below(job, row, most, scratch, &top)
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        weigh_classes(job, labels, target, first, <int>m, scratch, q, weight, bad)
        load_classes(job, row, first, <int>m, scratch, x)
        chances(x, m, most, rest, top - first, p, miss)
        powers(miss, m, job.gamma)
        for i in range(m):
            x[i] = term(q[i] * miss[i], x[i])
        total += lane_sum(x, m)
    if most == -INFINITY:
        return NAN
    if most == INFINITY:
        return infinite_row(job, row, labels, target, scratch)
    return total


# ---- from probabilities -----------------------------------------------------------------------


cdef inline double log_ratio(double a, double b) noexcept nogil:
    """log(a / b) of numbers up to 1, where the ratio may be beyond float64."""
    cdef double up = 3.273390607896142e150 if b < 3.054936363499605e-151 else 1.0  # 2^500, 2^-500
    cdef double shift = 346.57359027997264 if b < 3.054936363499605e-151 else 0.0
    return log_wide(a / (b * up)) + shift


cdef inline double distribution_from_probabilities(
    const Job* job, const char* row, const char* labels, Py_ssize_t target, void* scratch,
    double* weight, int* bad
) noexcept nogil:
    """-sum q_j log p_j of one row, or sum q_j log(q_j / p_j)."""
    cdef double p[BLOCK]
    cdef double q[BLOCK]
    cdef double total = 0.0
    cdef double least, most = 1.0 - job.eps
    cdef Py_ssize_t first, i, m
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        target_row(job, labels, target, first, m, scratch, q, weight, bad)
        load_classes(job, row, first, m, scratch, p)
        bad[0] += outside(p, m, 0.0, 1.0)
        if job.loss == KL:
            for i in range(m):
                least = (job.eps if p[i] < job.eps else p[i]) + 0.0  # of -0.0 too, 0.0
                least = most if least > most else least
                p[i] = term(q[i], log_ratio(1.0 if q[i] == 0.0 else q[i], least))
        else:
            for i in range(m):
                p[i] = term(q[i], minus_log(p[i], 1.0 - p[i], 0.0, job.eps))
        total += lane_sum(p, m)
    return total


cdef inline bint distribution_fault(
    const Job* job, const char* row, const char* labels, Fault* fault, Py_ssize_t* index
) noexcept nogil:
    """The first class of a row that is wrong, if one is: scores before labels."""
    cdef double x
    cdef Py_ssize_t j
    cdef bint probabilities = not has_row_logits(job)
    fault[0] = NO_FAULT
    for j in range(job.classes):
        index[0] = j
        x = load_one(&job.scores, row + j * job.scores.class_stride)
        if x != x:
            fault[0] = NAN_SCORE
        elif probabilities and not 0.0 <= x <= 1.0:
            fault[0] = BAD_SCORE
            return True
        if job.index_labels:
            if fault[0] != NO_FAULT:
                return True
            continue
        x = load_one(&job.labels, labels + j * job.labels.class_stride)
        if fault[0] == NO_FAULT and x != x:
            fault[0] = NAN_LABEL
        elif x == x and not 0.0 <= x <= 1.0:
            fault[0] = BAD_LABEL
            return True
        if fault[0] != NO_FAULT:
            return True
    index[0] = -1
    return False

# One row of classes against a distribution, in float64: cross entropy with soft or smoothed labels,
# focal loss and the Kullback-Leibler divergence. This is the general path of these losses.

from libc.math cimport INFINITY, NAN

from fastxent._kernels.arrays.bounds cimport outside
from fastxent._kernels.arrays.load cimport (
    convert_dtype, element_ptr, gather_classes, load_one, view_classes,
)
from fastxent._kernels.categorical.softmax cimport prefetch_classes
from fastxent._kernels.focal cimport softmax_of_classes, pow_unit_all
from fastxent._kernels.job cimport (
    BAD_LABEL, BAD_SCORE, BLOCK, ErrorCode, has_row_logits, is_index, Job, KL, LANES, NAN_LABEL,
    NAN_SCORE, NO_ERROR,
)
from fastxent._kernels.numeric.clipped_log cimport minus_log
from fastxent._kernels.numeric.divergence cimport divergence_term, smallest_ratio_part
from fastxent._kernels.numeric.elementary cimport exp_nonpos_dd, log1p_f64, log_f64
from fastxent._kernels.numeric.generic cimport difference, exp_scale_inverse, exp_scaled
from fastxent._kernels.numeric.sums cimport (
    add_lanes, add_run, lane_sum, mul_zero_inf, sum_lanes,
)
from fastxent._kernels.types cimport real

cdef struct SoftRow:
    const char* scores
    const char* labels      # NULL if the label is a class index
    Py_ssize_t target       # that index, or 0
    void* scratch           # BLOCK doubles
    double label_weight     # sum of label times class weight, if there are class weights
    int bad_labels          # how many labels read are outside [0, 1]
    int bad_scores          # how many probabilities read are
    double maximum          # of the logits
    Py_ssize_t argmax       # the first class at the maximum
    double sum_exp_rest     # sum of e^(x - maximum) over all classes but argmax


cdef inline SoftRow soft_row(
    const Job* job, Py_ssize_t position, Py_ssize_t target, void* scratch
) noexcept nogil:
    """The row of a position, nothing of it read yet."""
    cdef SoftRow row
    row.scores = element_ptr(job, &job.scores, position)
    row.labels = NULL
    if not job.index_labels:
        row.labels = element_ptr(job, &job.labels, position)
    row.target = target
    row.scratch = scratch
    row.label_weight = 0.0
    row.bad_labels = 0
    row.bad_scores = 0
    row.maximum = 0.0
    row.argmax = -1
    row.sum_exp_rest = 0.0
    return row


cdef inline void one_hot(
    Py_ssize_t target, Py_ssize_t first, int m, double smoothing, double share, double* q
) noexcept nogil:
    """The smoothed distribution of a class index, for the m classes from `first` on."""
    cdef Py_ssize_t i
    for i in range(m):
        q[i] = share
    if first <= target < first + m:
        q[target - first] = (1.0 - smoothing) + share


cdef inline void load_labels(
    const Job* job, SoftRow* row, Py_ssize_t first, int m, double* q
) noexcept nogil:
    """Load the labels of m classes, check them and add up their weight."""
    cdef double sum_of_weights = 0.0
    cdef Py_ssize_t i
    convert_dtype(
        job.labels.dtype, gather_classes(&job.labels, row.labels, first, m, row.scratch), m, q
    )
    row.bad_labels += outside(q, m, 0.0, 1.0)
    if job.class_weight != NULL:    # else nothing asks for the weight
        for i in range(m):
            sum_of_weights += q[i] * job.class_weight[first + i]
        row.label_weight += sum_of_weights


cdef inline void target_row(
    const Job* job, SoftRow* row, Py_ssize_t first, int m, double* q
) noexcept nogil:
    """The weight of m classes in the loss: label, smoothing and class weight together."""
    cdef double smoothing = job.label_smoothing
    cdef double share = smoothing / <double>job.classes
    cdef Py_ssize_t i
    if job.index_labels:
        one_hot(row.target, first, m, smoothing, share, q)
    else:
        load_labels(job, row, first, m, q)
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
    const Job* job, SoftRow* row, Py_ssize_t first, int m, double* q
) noexcept nogil:
    """`target_row` without the weights of a single class: the factor of its row contains them."""
    if is_index(job):
        one_hot(row.target, first, m, 0.0, 0.0, q)
    else:
        target_row(job, row, first, m, q)


cdef inline void load_classes(
    const Job* job, const SoftRow* row, Py_ssize_t first, int m, double* x
) noexcept nogil:
    """Load m scores."""
    convert_dtype(
        job.scores.dtype, gather_classes(&job.scores, row.scores, first, m, row.scratch), m, x
    )


# ---- from logits ------------------------------------------------------------------------------


cdef inline double row_maximum(const Job* job, const SoftRow* row, real* tag) noexcept nogil:
    """The largest logit of a row; a NaN counts as no logit."""
    cdef real staged[BLOCK]
    cdef real lanes[LANES]
    cdef real maximum = -INFINITY
    cdef const real* x
    cdef Py_ssize_t first
    cdef Py_ssize_t i, j, m
    for j in range(LANES):
        lanes[j] = -INFINITY
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        x = view_classes(&job.scores, row.scores, first, m, row.scratch, staged)
        for i from 0 <= i < m - m % LANES by LANES:
            for j in range(LANES):
                lanes[j] = x[i + j] if x[i + j] > lanes[j] else lanes[j]
        for i in range(m - m % LANES, m):
            maximum = x[i] if x[i] > maximum else maximum
    for j in range(LANES):
        maximum = lanes[j] if lanes[j] > maximum else maximum
    return <double>maximum


cdef inline double infinite_row(const Job* job, SoftRow* row) noexcept nogil:
    """The limit of the loss of a row with +inf.

    All probability is at +inf. How several +inf share it is undefined.
    """
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef double weight_at_max = 0.0, elsewhere = 0.0
    cdef Py_ssize_t first, i, m, n_max = 0
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        target_row(job, row, first, <int>m, q)
        load_classes(job, row, first, <int>m, x)
        for i in range(m):
            if x[i] == INFINITY:
                n_max += 1
                weight_at_max += q[i]
            else:
                elsewhere += q[i] + (0.0 if x[i] == x[i] else x[i])
    if weight_at_max > 0.0 and n_max > 1 or elsewhere != elsewhere:
        return NAN
    return INFINITY if elsewhere > 0.0 else 0.0


cdef inline double limit_of_row(const Job* job, SoftRow* row, double loss) noexcept nogil:
    """The loss, or its limit if the maximum of the row is infinite."""
    cdef double weight = row.label_weight
    if row.maximum == -INFINITY:
        return NAN
    if row.maximum == INFINITY:
        loss = infinite_row(job, row)
        row.label_weight = weight   # the labels were read a second time
    return loss


cdef struct SoftSums:       # over the classes of a row, in lanes
    double sum_exp[LANES]       # of e^(x - maximum), without the classes at the maximum
    double n_max[LANES]         # how many classes are at the maximum
    double weight[LANES]        # of q
    double linear[LANES]        # of q (maximum - x)


cdef inline void add_soft_classes(
    const real* x, const double* q, real maximum, SoftSums* sums
) noexcept nogil:
    """Add LANES classes."""
    cdef real d, err, e, minus_infinity = -INFINITY, zero = 0
    cdef double distance
    cdef Py_ssize_t j
    for j in range(LANES):
        d = difference(x[j], maximum, &err)
        if real is float:
            e = exp_scaled(d, err)      # -inf may come with a NaN
            distance = <double>maximum - <double>x[j]
            sums.linear[j] += 0.0 if q[j] == 0.0 else distance * q[j]
        else:
            # The rounding error of -inf is NaN, which must not reach exp().
            err = 0.0 if d == minus_infinity else err
            d = 0.0 if x[j] == maximum else d
            e = exp_nonpos_dd(d, err)
            sums.linear[j] += 0.0 if q[j] == 0.0 else -(d * q[j] + err * q[j])
        e = zero if d == zero else e
        sums.sum_exp[j] += <double>e
        sums.n_max[j] += 1.0 if d == zero else 0.0
        sums.weight[j] += q[j]


cdef inline double distribution_from_logits(
    const Job* job, SoftRow* row, real* tag
) noexcept nogil:
    """sum q_j (log sum_k e^x_k - x_j) of one row, relative to its maximum: no term is negative.

    The classes at the maximum are counted, not added: log1p then keeps the terms far below them. In
    float32 a row whose loss is not finite gives no limit: the caller asks again in float64.
    """
    cdef real staged[BLOCK]
    cdef real tail[LANES]
    cdef double q[BLOCK]
    cdef const real* x
    cdef SoftSums sums
    cdef double total[4]
    cdef const char* place
    cdef real maximum
    cdef Py_ssize_t first, i, j, m, whole
    row.maximum = row_maximum(job, row, tag)
    maximum = <real>row.maximum
    for j in range(4):
        total[j] = 0.0
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        whole = m - m % LANES
        target_row(job, row, first, <int>m, q)
        place = row.scores + first * job.scores.class_stride
        x = view_classes(&job.scores, row.scores, first, <int>m, row.scratch, staged)
        for j in range(LANES):
            sums.sum_exp[j] = 0.0
            sums.n_max[j] = 0.0
            sums.weight[j] = 0.0
            sums.linear[j] = 0.0
        for i from 0 <= i < whole by LANES:
            prefetch_classes(job, place, i)
            add_soft_classes(x + i, q + i, maximum, &sums)
        if whole < m:
            for j in range(LANES):
                tail[j] = x[whole + j] if whole + j < m else -INFINITY
                q[whole + j] = q[whole + j] if whole + j < m else 0.0
            add_soft_classes(tail, q + whole, maximum, &sums)
        total[0] += sum_lanes(sums.sum_exp)
        total[1] += sum_lanes(sums.n_max)
        total[2] += sum_lanes(sums.weight)
        total[3] += sum_lanes(sums.linear)
    if real is float:
        total[0] *= exp_scale_inverse(tag)
    return limit_of_row(
        job, row, mul_zero_inf(total[2], log1p_f64(total[0] + (total[1] - 1.0))) + total[3]
    )


cdef inline void sum_exp_below_maximum(const Job* job, SoftRow* row) noexcept nogil:
    """Find the maximum of a row, its argmax, and the sum of the other exponentials."""
    cdef double x[BLOCK]
    cdef double hi = 0.0, lo = 0.0, d, err
    cdef Py_ssize_t first, i, m
    row.maximum = row_maximum(job, row, <double*>NULL)
    row.argmax = -1
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        load_classes(job, row, first, <int>m, x)
        if row.argmax < 0:
            for i in range(m):
                if x[i] == row.maximum:
                    row.argmax = first + i
                    x[i] = -INFINITY
                    break
        for i in range(m):
            d = difference(x[i], row.maximum, &err)
            err = err if d > -INFINITY else 0.0
            x[i] = exp_nonpos_dd(0.0 if x[i] == row.maximum else d, err)
        add_lanes(x, m, &hi, &lo)
    row.sum_exp_rest = hi + lo


cdef inline double logsumexp_of_row(
    const Job* job, Py_ssize_t position, void* scratch
) noexcept nogil:
    """log of the sum of all exponentials of a row, by the general path."""
    cdef SoftRow row = soft_row(job, position, 0, scratch)
    sum_exp_below_maximum(job, &row)
    return row.maximum + log1p_f64(row.sum_exp_rest)


cdef inline double focal_from_logits(const Job* job, SoftRow* row) noexcept nogil:
    """-sum q_j (1 - p_j)^gamma log p_j of one row, relative to its maximum."""
    cdef double x[BLOCK]
    cdef double q[BLOCK]
    cdef double p[BLOCK]
    cdef double one_minus_p[BLOCK]
    cdef double total = 0.0
    cdef Py_ssize_t first, i, m
    sum_exp_below_maximum(job, row)
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        weigh_classes(job, row, first, <int>m, q)
        load_classes(job, row, first, <int>m, x)
        softmax_of_classes(
            x, m, row.maximum, row.sum_exp_rest, row.argmax - first, p, one_minus_p
        )
        pow_unit_all(one_minus_p, m, job.gamma)
        for i in range(m):
            x[i] = mul_zero_inf(q[i] * one_minus_p[i], x[i])
        total += lane_sum(x, m)
    return limit_of_row(job, row, total)


# ---- from probabilities -----------------------------------------------------------------------


cdef inline double log_ratio(double a, double b) noexcept nogil:
    """log(a / b) of numbers up to 1, where the ratio may be beyond float64."""
    cdef double up = 3.273390607896142e150 if b < 3.054936363499605e-151 else 1.0  # 2^500, 2^-500
    cdef double shift = 346.57359027997264 if b < 3.054936363499605e-151 else 0.0
    return log_f64(a / (b * up)) + shift


cdef inline double general_divergence(double q, double p, double* linear) noexcept nogil:
    """`divergence_term`, p = 0 and subnormal numbers included."""
    cdef double smallest = smallest_ratio_part(linear)
    if q >= smallest and p >= smallest:
        return divergence_term(q, p, linear)
    linear[0] = mul_zero_inf(q, log_ratio(1.0 if q == 0.0 else q, p))
    return 0.0


cdef inline double distribution_from_probabilities(const Job* job, SoftRow* row) noexcept nogil:
    """-sum q_j log p_j of one row, or sum q_j log(q_j / p_j)."""
    cdef double p[BLOCK]
    cdef double q[BLOCK]
    cdef double hi = 0.0, lo = 0.0
    cdef double minimum, maximum = 1.0 - job.eps
    cdef Py_ssize_t first, i, m
    for first from 0 <= first < job.classes by BLOCK:
        m = <int>min(<Py_ssize_t>BLOCK, job.classes - first)
        target_row(job, row, first, m, q)
        load_classes(job, row, first, m, p)
        row.bad_scores += outside(p, m, 0.0, 1.0)
        if job.loss == KL:
            for i in range(m):
                minimum = (job.eps if p[i] < job.eps else p[i]) + 0.0  # turns -0.0 into 0.0
                minimum = maximum if minimum > maximum else minimum
                p[i] = general_divergence(q[i], minimum, &q[i])
            add_run(q, m, &hi, &lo)
        else:
            for i in range(m):
                p[i] = mul_zero_inf(q[i], minus_log(p[i], 1.0 - p[i], 0.0, job.eps))
        add_run(p, m, &hi, &lo)
    return hi + lo


cdef inline bint distribution_error(
    const Job* job, const SoftRow* row, ErrorCode* error, Py_ssize_t* index
) noexcept nogil:
    """Find the first class of a row with an invalid score or label; the score comes first."""
    cdef double x
    cdef Py_ssize_t j
    cdef bint probabilities = not has_row_logits(job)
    error[0] = NO_ERROR
    for j in range(job.classes):
        index[0] = j
        x = load_one(&job.scores, row.scores + j * job.scores.class_stride)
        if x != x:
            error[0] = NAN_SCORE
        elif probabilities and not 0.0 <= x <= 1.0:
            error[0] = BAD_SCORE
            return True
        if job.index_labels:
            if error[0] != NO_ERROR:
                return True
            continue
        x = load_one(&job.labels, row.labels + j * job.labels.class_stride)
        if error[0] == NO_ERROR and x != x:
            error[0] = NAN_LABEL
        elif x == x and not 0.0 <= x <= 1.0:
            error[0] = BAD_LABEL
            return True
        if error[0] != NO_ERROR:
            return True
    index[0] = -1
    return False

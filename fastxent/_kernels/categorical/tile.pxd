# Rows of few logits against distributions, in float64: ROWS rows at a time, SIMD over the rows.
# x[k * ROWS + i] is class k of row i. Rows that are not finite are left to the general path.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from fastxent._kernels.categorical.softmax cimport load_tile, sum_tile
from fastxent._kernels.focal cimport pow_unit_all
from fastxent._kernels.job cimport CATEGORICAL_FOCAL, is_index, Job, ROWS, TILE_CLASSES
from fastxent._kernels.numeric.elementary cimport exp_nonpos_dd
from fastxent._kernels.numeric.generic cimport difference, log1p_all


cdef inline void weigh_tile(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, double* q, double* label_weight,
    double* nonfinite
) noexcept nogil:
    """The weight of each class in the losses of n rows; `weigh_classes` does the same for one row.

    label_weight is the weight of a row's labels in the mean. nonfinite is NaN if a label is invalid.
    """
    cdef double weight, smoothing = job.label_smoothing
    cdef double share = smoothing / <double>job.classes
    cdef Py_ssize_t i, j, k
    for i in range(ROWS):
        label_weight[i] = 0.0
        nonfinite[i] = 0.0
    if job.index_labels:
        for i in range(job.classes * ROWS):
            q[i] = 0.0
        for i in range(n):
            q[target[i] * ROWS + i] = 1.0
    else:
        load_tile(job, &job.labels, start, n, 0, job.classes, q)
    if is_index(job):
        return
    for k in range(job.classes):
        weight = 1.0
        if job.class_weight != NULL:
            weight = job.class_weight[k]
        for i in range(ROWS):
            j = k * ROWS + i
            nonfinite[i] += 0.0 if q[j] >= 0.0 and q[j] <= 1.0 else NAN
            label_weight[i] += q[j] * weight
        if job.class_alpha != NULL:
            weight *= job.class_alpha[k]
        for i in range(k * ROWS, (k + 1) * ROWS):
            q[i] = (q[i] * (1.0 - smoothing) + share) * weight


cdef inline void exp_of_tile(
    const Job* job, double* x, double* exps, double* argmax, double* sum_exp_rest, double* nonfinite
) noexcept nogil:
    """e^(x - maximum of its row), but 0 for the first class at the maximum, and the sum of each row.

    argmax is the number of that class. x becomes maximum - x. nonfinite is NaN if a row is not finite.
    """
    cdef double maximum[ROWS]
    cdef double d, err, class_number
    cdef Py_ssize_t i, j, k
    for i in range(ROWS):
        maximum[i] = -INFINITY
        argmax[i] = 0.0
        sum_exp_rest[i] = 0.0
    for k in range(job.classes):
        class_number = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            nonfinite[i] += x[j] - x[j]
            argmax[i] = class_number if x[j] > maximum[i] else argmax[i]
            maximum[i] = x[j] if x[j] > maximum[i] else maximum[i]
    for k in range(job.classes):
        class_number = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            d = difference(x[j], maximum[i], &err)
            exps[j] = 0.0 if argmax[i] == class_number else exp_nonpos_dd(d, err)
            x[j] = -err - d
    sum_tile(exps, job.classes, sum_exp_rest)


cdef inline void softmax_of_tile(
    const Job* job, const double* exps, const double* argmax, const double* sum_exp_rest,
    double* p, double* one_minus_p
) noexcept nogil:
    """p and 1 - p. Only the p of the largest logit can be near 1: its 1 - p is the sum of the others."""
    cdef double total, share, others, class_number
    cdef Py_ssize_t i, j, k
    for k in range(job.classes):
        class_number = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            total = 1.0 + sum_exp_rest[i]
            share = (1.0 if argmax[i] == class_number else exps[j]) / total
            others = sum_exp_rest[i] / total
            p[j] = share
            one_minus_p[j] = others if argmax[i] == class_number else 1.0 - share


cdef inline void soft_tile_losses(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, double* loss, double* label_weight,
    uint8_t* done
) noexcept nogil:
    """Losses of up to ROWS rows and the weights of their labels; done marks the finite rows."""
    cdef double x[TILE_CLASSES * ROWS]
    cdef double q[TILE_CLASSES * ROWS]
    cdef double exps[TILE_CLASSES * ROWS]
    cdef double one_minus_p[TILE_CLASSES * ROWS]
    cdef double argmax[ROWS]
    cdef double nonfinite[ROWS]
    cdef double sum_exp_rest[ROWS]
    cdef double sums[ROWS]
    cdef double nll_argmax[ROWS]
    cdef Py_ssize_t i, j, k
    exps[0] = 0.0      # gcc cannot know that there is at least one class
    load_tile(job, &job.scores, start, n, 0, job.classes, x)
    weigh_tile(job, start, n, target, q, label_weight, nonfinite)
    exp_of_tile(job, x, exps, argmax, sum_exp_rest, nonfinite)
    memcpy(nll_argmax, sum_exp_rest, ROWS * sizeof(double))
    log1p_all(nll_argmax, ROWS)
    if job.loss == CATEGORICAL_FOCAL:
        softmax_of_tile(job, exps, argmax, sum_exp_rest, exps, one_minus_p)
        pow_unit_all(one_minus_p, job.classes * ROWS, job.gamma)
        for i in range(job.classes * ROWS):
            q[i] *= one_minus_p[i]
    for k in range(job.classes):
        for i in range(ROWS):
            j = k * ROWS + i
            x[j] = q[j] * (x[j] + nll_argmax[i])
    for i in range(ROWS):
        sums[i] = 0.0
    sum_tile(x, job.classes, sums)
    for i in range(n):
        loss[i] = sums[i]
        done[i] = nonfinite[i] == 0.0

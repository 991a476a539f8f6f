# Rows of a few logits against distributions, in float64: ROWS rows side by side, SIMD over the rows,
# class by class. x[k * ROWS + i] is class k of row i. Rows that are not finite are left to others.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from fastxent._kernels.categorical.softmax cimport load_tile, sum_tile
from fastxent._kernels.focal cimport powers
from fastxent._kernels.job cimport CATEGORICAL_FOCAL, is_index, Job, ROWS, TILE_CLASSES
from fastxent._kernels.numeric.elementary cimport decay_wide2
from fastxent._kernels.numeric.generic cimport difference, log1p_all


cdef inline void weigh_tile(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, double* q, double* mass,
    double* odd
) noexcept nogil:
    """What each class weighs in the losses of n rows, as `weigh_classes` has it of one.

    mass is what its labels weigh in the mean, and odd NaN for a label that is none.
    """
    cdef double weight, smoothing = job.label_smoothing
    cdef double share = smoothing / <double>job.classes
    cdef Py_ssize_t i, j, k
    for i in range(ROWS):
        mass[i] = 0.0
        odd[i] = 0.0
    if job.index_labels:
        for i in range(job.classes * ROWS):
            q[i] = 0.0
        for i in range(n):
            q[target[i] * ROWS + i] = 1.0
    else:
        load_tile(job, &job.labels, start, n, q)
    if is_index(job):
        return
    for k in range(job.classes):
        weight = 1.0
        if job.class_weight != NULL:
            weight = job.class_weight[k]
        for i in range(ROWS):
            j = k * ROWS + i
            odd[i] += 0.0 if q[j] >= 0.0 and q[j] <= 1.0 else NAN
            mass[i] += q[j] * weight
        if job.class_alpha != NULL:
            weight *= job.class_alpha[k]
        for i in range(k * ROWS, (k + 1) * ROWS):
            q[i] = (q[i] * (1.0 - smoothing) + share) * weight


cdef inline void powers_of_tile(
    const Job* job, double* x, double* power, double* top, double* rest, double* odd
) noexcept nogil:
    """e^(x - the row's maximum), 0 for the first class there, which is top; rest is their sum.

    In the place of x, how far it lies below the maximum. odd is NaN for a row that is not finite.
    """
    cdef double most[ROWS]
    cdef double d, lost, own_class
    cdef Py_ssize_t i, j, k
    for i in range(ROWS):
        most[i] = -INFINITY
        top[i] = 0.0
        rest[i] = 0.0
    for k in range(job.classes):
        own_class = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            odd[i] += x[j] - x[j]
            top[i] = own_class if x[j] > most[i] else top[i]
            most[i] = x[j] if x[j] > most[i] else most[i]
    for k in range(job.classes):
        own_class = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            d = difference(x[j], most[i], &lost)
            power[j] = 0.0 if top[i] == own_class else decay_wide2(d, lost)
            x[j] = -lost - d
    sum_tile(power, job.classes, rest)


cdef inline void chances_of_tile(
    const Job* job, const double* power, const double* top, const double* rest, double* p,
    double* miss
) noexcept nogil:
    """p and 1 - p. Only at the top can p be near 1: its 1 - p is the others' share, no difference."""
    cdef double total, share, others, own_class
    cdef Py_ssize_t i, j, k
    for k in range(job.classes):
        own_class = <double>k
        for i in range(ROWS):
            j = k * ROWS + i
            total = 1.0 + rest[i]
            share = (1.0 if top[i] == own_class else power[j]) / total
            others = rest[i] / total
            p[j] = share
            miss[j] = others if top[i] == own_class else 1.0 - share


cdef inline void soft_tile_losses(
    const Job* job, Py_ssize_t start, int n, const int64_t* target, double* loss, double* mass,
    uint8_t* done
) noexcept nogil:
    """The losses of up to ROWS rows, and what their labels weigh; those that are right are marked."""
    cdef double x[TILE_CLASSES * ROWS]
    cdef double q[TILE_CLASSES * ROWS]
    cdef double power[TILE_CLASSES * ROWS]
    cdef double miss[TILE_CLASSES * ROWS]
    cdef double top[ROWS]
    cdef double odd[ROWS]
    cdef double rest[ROWS]
    cdef double at_top[ROWS]
    cdef Py_ssize_t i, j, k
    power[0] = 0.0      # for gcc, which does not know that there is a class
    load_tile(job, &job.scores, start, n, x)
    weigh_tile(job, start, n, target, q, mass, odd)
    powers_of_tile(job, x, power, top, rest, odd)
    memcpy(at_top, rest, ROWS * sizeof(double))
    log1p_all(at_top, ROWS)
    if job.loss == CATEGORICAL_FOCAL:
        chances_of_tile(job, power, top, rest, power, miss)
        powers(miss, job.classes * ROWS, job.gamma)
        for i in range(job.classes * ROWS):
            q[i] *= miss[i]
    for k in range(job.classes):
        for i in range(ROWS):
            j = k * ROWS + i
            x[j] = q[j] * (x[j] + at_top[i])
    for i in range(ROWS):
        rest[i] = 0.0
    sum_tile(x, job.classes, rest)
    for i in range(n):
        loss[i] = rest[i]
        done[i] = odd[i] == 0.0

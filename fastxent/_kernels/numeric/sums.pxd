# Sums whose bits depend on the numbers alone: a fixed number of lanes, a fixed tree over them, and
# error-free addition (Knuth's two-sum) from block to block.

from libc.string cimport memcpy

from fastxent._kernels.job cimport LANES, Partial
from fastxent._kernels.types cimport real


cdef inline double sum_lanes(double* lanes) noexcept nogil:
    """The sum of the lanes, by halves."""
    cdef Py_ssize_t j
    for j in range(16):
        lanes[j] += lanes[j + 16]
    for j in range(8):
        lanes[j] += lanes[j + 8]
    for j in range(4):
        lanes[j] += lanes[j + 4]
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])


cdef inline real least(real* lanes) noexcept nogil:
    """The least of the lanes, by halves: one after the other they take 30 ns."""
    cdef Py_ssize_t j
    for j in range(16):
        lanes[j] = lanes[j + 16] if lanes[j + 16] < lanes[j] else lanes[j]
    for j in range(8):
        lanes[j] = lanes[j + 8] if lanes[j + 8] < lanes[j] else lanes[j]
    for j in range(4):
        lanes[j] = lanes[j + 4] if lanes[j + 4] < lanes[j] else lanes[j]
    for j in range(1, 4):
        lanes[0] = lanes[j] if lanes[j] < lanes[0] else lanes[0]
    return lanes[0]


cdef inline real greatest(real* lanes) noexcept nogil:
    """The greatest of the lanes."""
    cdef Py_ssize_t j
    for j in range(16):
        lanes[j] = lanes[j + 16] if lanes[j + 16] > lanes[j] else lanes[j]
    for j in range(8):
        lanes[j] = lanes[j + 8] if lanes[j + 8] > lanes[j] else lanes[j]
    for j in range(4):
        lanes[j] = lanes[j + 4] if lanes[j + 4] > lanes[j] else lanes[j]
    for j in range(1, 4):
        lanes[0] = lanes[j] if lanes[j] > lanes[0] else lanes[0]
    return lanes[0]


cdef inline double lane_sum(real* x, Py_ssize_t n) noexcept nogil:
    """The sum of n numbers. The buffer has room for zeros up to the next multiple of LANES."""
    cdef double lanes[LANES]
    cdef Py_ssize_t i, j, padded = (n + LANES - 1) // LANES * LANES
    for i in range(n, padded):
        x[i] = 0
    for j in range(LANES):
        lanes[j] = 0.0
    for i from 0 <= i < padded by LANES:
        for j in range(LANES):
            lanes[j] += <double>x[i + j]
    return sum_lanes(lanes)


cdef inline void add_to_lane(real x, double* total, double* err) noexcept nogil:
    """total += x. Of a float64, whose sum would be off by an ulp, the rounding error goes to err."""
    cdef double value = <double>x
    cdef double sum_, part
    if real is float:
        total[0] += value
    else:
        sum_ = total[0] + value
        part = sum_ - total[0]
        err[0] += (total[0] - (sum_ - part)) + (value - part)
        total[0] = sum_


cdef inline void fold(double* sums, double* err, Py_ssize_t half) noexcept nogil:
    """Add the upper half of the lanes to the lower one, with the rounding errors."""
    cdef double total, part
    cdef Py_ssize_t j
    for j in range(half):
        total = sums[j] + sums[j + half]
        part = total - sums[j]
        err[j] += err[j + half] + ((sums[j] - (total - part)) + (sums[j + half] - part))
        sums[j] = total


cdef inline void add_run(const real* x, Py_ssize_t n, double* hi, double* lo) noexcept nogil:
    """Add n numbers to hi + lo. Rounding errors of float64 are kept."""
    cdef double sums[LANES]
    cdef double err[LANES]
    cdef real rest[LANES]
    cdef Py_ssize_t i, j, whole = n - n % LANES
    for j in range(LANES):
        sums[j] = 0.0
        err[j] = 0.0
        rest[j] = 0
    for i from 0 <= i < whole by LANES:
        for j in range(LANES):
            add_to_lane(x[i + j], &sums[j], &err[j])
    if whole < n:
        memcpy(rest, x + whole, (n - whole) * sizeof(real))
        for j in range(LANES):
            add_to_lane(rest[j], &sums[j], &err[j])
    if real is double:
        fold(sums, err, 16)
        fold(sums, err, 8)
        fold(sums, err, 4)
        fold(sums, err, 2)
        fold(sums, err, 1)
        add(sums[0], hi, lo)
        lo[0] += err[0] if err[0] == err[0] else 0.0    # as in `add`: an infinite sum has none
    else:
        add(sum_lanes(sums), hi, lo)


cdef inline void add_buffer(real* x, Py_ssize_t n, double* hi, double* lo) noexcept nogil:
    """`add_run` of a buffer with room up to the next multiple of LANES: a tail would take longer."""
    cdef Py_ssize_t i, padded = (n + LANES - 1) // LANES * LANES
    for i in range(n, padded):
        x[i] = 0
    add_run(<const real*>x, padded, hi, lo)


cdef inline void add(double value, double* hi, double* lo) noexcept nogil:
    """hi + lo += value, the rounding error of the sum kept in lo.

    An infinite or NaN sum has no rounding error: lo stays finite, so that hi + lo is that sum.
    """
    cdef double total = hi[0] + value
    cdef double part = total - hi[0]
    cdef double error = (hi[0] - (total - part)) + (value - part)
    hi[0] = total
    if error == error:
        lo[0] += error


cdef inline void add_lanes(real* x, Py_ssize_t n, double* hi, double* lo) noexcept nogil:
    """Add `lane_sum` to hi + lo."""
    add(lane_sum(x, n), hi, lo)


cdef inline void add_losses(
    double* loss, double* weight, int n, Partial* partial
) noexcept nogil:
    """Add sum(weight * loss) and sum(weight) of one block; weight NULL stands for ones.

    Both buffers have room up to the next multiple of LANES. A weight of zero silences any loss
    but a NaN: 0 * inf is 0 here, as everywhere in this library.
    """
    cdef double sums[LANES]
    cdef double weights[LANES]
    cdef Py_ssize_t i, j
    cdef int padded = (n + LANES - 1) // LANES * LANES
    for i in range(n, padded):
        loss[i] = 0.0
    for j in range(LANES):
        sums[j] = 0.0
        weights[j] = 0.0
    if weight == NULL:
        for i from 0 <= i < padded by LANES:
            for j in range(LANES):
                sums[j] += loss[i + j]
        add(sum_lanes(sums), &partial.total, &partial.total_lo)
        add(<double>n, &partial.weight, &partial.weight_lo)
        return
    for i in range(n, padded):
        weight[i] = 0.0
    for i from 0 <= i < padded by LANES:
        for j in range(LANES):
            sums[j] += loss[i + j]
            weights[j] += weight[i + j]
    add(sum_lanes(sums), &partial.total, &partial.total_lo)
    add(sum_lanes(weights), &partial.weight, &partial.weight_lo)


cdef inline void apply_weights(double* loss, const double* weight, int n) noexcept nogil:
    """loss *= weight, where 0 * inf is 0 and NaN stays."""
    cdef Py_ssize_t i
    cdef double product
    for i in range(n):
        product = loss[i] * weight[i]
        loss[i] = (0.0 if loss[i] == loss[i] else loss[i]) if weight[i] == 0.0 else product


cdef inline double mul_zero_inf(double factor, double value) noexcept nogil:
    """factor * value, where 0 * inf is 0; NaN stays."""
    cdef double nothing = 0.0 if value == value else value
    cdef double product = factor * value
    return nothing if factor == 0.0 else product

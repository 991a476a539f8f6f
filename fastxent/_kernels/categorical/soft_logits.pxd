# Rows of logits against labels that are not one class: smoothed class indices, and distributions.
#
# With d_j = x_j - x_r for any class r, and s the sum of e^d_j over the other classes, the loss is
#
#     sum_j q_j (log(1 + s) - d_j) = Q log(1 + s) + sum_j q_j (x_r - x_j),   Q = sum_j q_j.
#
# So the fast path of class indices (softmax.pxd) serves these labels, too: r takes the place of the
# target, and what is left are two more sums over the row. r is the target of a class index, and the
# largest logit for a distribution, where no term is below 0. A row that is out of the ordinary makes
# its loss infinite or NaN: the general path recomputes it.

from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t

from fastxent._kernels.arrays.load cimport element_ptr, view_classes
from fastxent._kernels.categorical.distribution cimport is_unit, prefetch_run, RUN, Terms, terms_ahead
from fastxent._kernels.categorical.rows cimport Rows
from fastxent._kernels.categorical.softmax cimport is_tiled, load_tile, sum_tile, target_scores
from fastxent._kernels.job cimport (
    BLOCK, CATEGORICAL_LOGITS, is_index, Job, LANES, ROWS, TILE_CLASSES,
)
from fastxent._kernels.numeric.sums cimport add_run
from fastxent._kernels.types cimport real


cdef inline bint has_soft_path(const Job* job) noexcept nogil:
    """Whether these rows of logits are soft labels that have the fast path."""
    return job.loss == CATEGORICAL_LOGITS and job.class_weight == NULL and not is_index(job)


# ---- few classes: SIMD over the rows ---------------------------------------------------------


cdef inline void largest_of_tile(
    const real* tile, Py_ssize_t first, Py_ssize_t m, real* maximum, real* argmax
) noexcept nogil:
    """The largest of m classes more, and its number."""
    cdef real number
    cdef Py_ssize_t i, k
    for k in range(m):
        number = <real>(first + k)
        for i in range(ROWS):
            argmax[i] = number if tile[k * ROWS + i] > maximum[i] else argmax[i]
            maximum[i] = tile[k * ROWS + i] if tile[k * ROWS + i] > maximum[i] else maximum[i]


cdef inline void soft_terms_of_tile(
    const Job* job, Py_ssize_t start, Rows* rows, Py_ssize_t first, Py_ssize_t m, const real* base,
    real* tile
) noexcept nogil:
    """Add q, q (base - x) and base - x of m classes to the sums of their rows; x is lost."""
    cdef real q[TILE_CLASSES * ROWS]
    cdef real zero = 0, one = 1, nan = NAN
    cdef real label, term
    cdef Py_ssize_t i, j, k
    for k in range(m):
        for i in range(ROWS):
            tile[k * ROWS + i] = base[i] - tile[k * ROWS + i]
    if job.label_smoothing != 0.0:
        sum_tile(tile, m, rows.spread)
    if job.index_labels:
        return
    load_tile(job, &job.labels, start, rows.n, first, m, q)
    for k in range(m):
        for i in range(ROWS):
            j = k * ROWS + i
            label = q[j]
            term = label * tile[j]
            term = zero if label == zero else term
            term = term if label >= zero else nan
            tile[j] = term if label <= one else nan
    sum_tile(q, m, rows.label_sum)
    sum_tile(tile, m, rows.linear)


cdef inline void soft_terms_of_tiles(
    const Job* job, Py_ssize_t start, Rows* rows, real* tag
) noexcept nogil:
    """`soft_terms` of rows of few classes."""
    cdef real tile[TILE_CLASSES * ROWS]
    cdef real base[ROWS]
    cdef real argmax[ROWS]
    cdef real minus_infinity = -INFINITY
    cdef Py_ssize_t first, i, m
    cdef bint one_tile = job.classes <= TILE_CLASSES    # which is loaded once
    if one_tile:
        load_tile(job, &job.scores, start, rows.n, 0, job.classes, tile)
    if job.index_labels and one_tile:
        for i in range(ROWS):
            base[i] = tile[rows.target[i] * ROWS + i] if i < rows.n else 0
    elif job.index_labels:
        target_scores(job, start, rows.n, rows.target, base)
        for i in range(rows.n, ROWS):
            base[i] = 0
    else:
        for i in range(ROWS):
            base[i] = minus_infinity
            argmax[i] = 0
        for first from 0 <= first < job.classes by TILE_CLASSES:
            m = min(<Py_ssize_t>TILE_CLASSES, job.classes - first)
            if not one_tile:
                load_tile(job, &job.scores, start, rows.n, first, m, tile)
            largest_of_tile(tile, first, m, base, argmax)
        for i in range(rows.n):
            rows.target[i] = <int64_t>argmax[i]
    for first from 0 <= first < job.classes by TILE_CLASSES:
        m = min(<Py_ssize_t>TILE_CLASSES, job.classes - first)
        if not one_tile:
            load_tile(job, &job.scores, start, rows.n, first, m, tile)
        soft_terms_of_tile(job, start, rows, first, m, base, tile)


# ---- many classes: SIMD over the classes -----------------------------------------------------


cdef inline Py_ssize_t find_largest(
    const Job* job, const char* row, void* scratch, real* maximum
) noexcept nogil:
    """The number of the largest logit of a row, the first of several; 0 where there is none."""
    cdef real staged[BLOCK]
    cdef real lanes[LANES]
    cdef real largest, best = -INFINITY
    cdef const real* x
    cdef Py_ssize_t first, found = 0, i, j, m, seen
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        x = view_classes(&job.scores, row, first, <int>m, scratch, staged)
        largest = best
        for j in range(LANES):
            lanes[j] = best
        for i from 0 <= i < m - m % LANES by LANES:
            for j in range(LANES):
                lanes[j] = x[i + j] if x[i + j] > lanes[j] else lanes[j]
        for i in range(m - m % LANES, m):
            largest = x[i] if x[i] > largest else largest
        for j in range(LANES):
            largest = lanes[j] if lanes[j] > largest else largest
        if largest > best:
            best = largest
            for i from 0 <= i < m by LANES:
                seen = 0
                for j in range(i, min(i + LANES, m)):
                    seen += x[j] == largest
                if seen:
                    break
            for j in range(i, m):
                if x[j] == largest:
                    found = first + j
                    break
    maximum[0] = best
    return found


cdef inline void soft_terms_of_row(
    const Job* job, Py_ssize_t start, Rows* rows, Py_ssize_t row_number, real base
) noexcept nogil:
    """The sums over one row."""
    cdef real x_staged[BLOCK]
    cdef real q_staged[BLOCK]
    cdef real below[BLOCK]
    cdef real terms[BLOCK]
    cdef real zero = 0, label, term
    cdef const real* x
    cdef const real* q
    cdef const char* row = element_ptr(job, &job.scores, start + row_number)
    cdef const char* labels = NULL
    cdef double sums[6]
    cdef Terms at
    cdef Py_ssize_t first, i, j, m
    if not job.index_labels:
        labels = element_ptr(job, &job.labels, start + row_number)
    for j in range(6):
        sums[j] = 0.0
    for first from 0 <= first < job.classes by BLOCK:
        m = min(<Py_ssize_t>BLOCK, job.classes - first)
        x = view_classes(&job.scores, row, first, <int>m, rows.scratch, x_staged)
        for i in range(m):
            below[i] = base - x[i]
        if not job.index_labels:
            q = view_classes(&job.labels, labels, first, <int>m, rows.scratch, q_staged)
            at = terms_ahead(job, start + row_number, first)
            for i from 0 <= i < m by RUN:
                prefetch_run(&at, i)
                for j in range(i, min(i + RUN, m)):
                    label = q[j]
                    term = label * below[j]
                    terms[j] = zero if label == zero else term
            if not is_unit(q, m):
                terms[0] = NAN
            add_run(terms, m, &sums[0], &sums[1])
            for i in range(m):
                terms[i] = q[i]
            add_run(terms, m, &sums[2], &sums[3])
        if job.label_smoothing != 0.0:
            add_run(below, m, &sums[4], &sums[5])
    rows.linear[row_number] = sums[0] + sums[1]
    rows.label_sum[row_number] = sums[2] + sums[3]
    rows.spread[row_number] = sums[4] + sums[5]


# ---- z_loss ----------------------------------------------------------------------------------


cdef inline void set_logsumexp(
    const Job* job, Py_ssize_t start, Rows* rows, const double* loss, real* tag
) noexcept nogil:
    """Set `logsumexp` from what log1p of the sums gives, the losses against `target`."""
    cdef real base[ROWS]
    cdef Py_ssize_t i
    target_scores(job, start, rows.n, rows.target, base)
    for i in range(rows.n):
        rows.logsumexp[i] = loss[i] + <double>base[i]


# ---- both ------------------------------------------------------------------------------------


cdef inline void soft_terms(const Job* job, Py_ssize_t start, Rows* rows, real* tag) noexcept nogil:
    """Choose r, to `target`, and set what makes a loss of log(1 + s): `label_sum` and `linear`.

    The labels' smoothing is contained: Q = (1 - e) sum q + e, and the linear term has e / K of each
    class.
    """
    cdef double smoothing = job.label_smoothing
    cdef real base[ROWS]
    cdef const char* row
    cdef Py_ssize_t i
    for i in range(ROWS):
        rows.linear[i] = 0.0
        rows.spread[i] = 0.0
        rows.label_sum[i] = 0.0
    if is_tiled(job, tag):
        soft_terms_of_tiles(job, start, rows, tag)
    else:
        if job.index_labels:
            target_scores(job, start, rows.n, rows.target, base)
        for i in range(rows.n):
            if rows.valid[i]:
                if not job.index_labels:
                    row = element_ptr(job, &job.scores, start + i)
                    rows.target[i] = find_largest(job, row, rows.scratch, &base[i])
                soft_terms_of_row(job, start, rows, i, base[i])
    for i in range(ROWS):
        rows.label_sum[i] = (1.0 - smoothing) * rows.label_sum[i] + smoothing
        if job.index_labels:
            rows.label_sum[i] = 1.0
        rows.linear[i] = (1.0 - smoothing) * rows.linear[i]
        if smoothing != 0.0:
            rows.linear[i] += smoothing / <double>job.classes * rows.spread[i]

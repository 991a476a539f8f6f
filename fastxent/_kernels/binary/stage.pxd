# What the fast paths take: a full block with its mask applied. An element that does not count has the
# score 1/2, or the logit 0: the factor 1/2, or 2, in a product, which is removed exactly. Of a Gaussian
# it has the mean and the label 0, and the variance 1; of a Poisson loss the logarithm and the label 0.

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, uint8_t

from fastxent._kernels.arrays.bounds cimport all_within
from fastxent._kernels.arrays.load cimport (
    all_zero_or_one, gather, hard_labels, view, zero_or_one_of_integers,
)
from fastxent._kernels.arrays.prefetch cimport (
    no_prefetch, OF_MASK, Prefetch, prefetch_of, prefetch_operand,
)
from fastxent._kernels.job cimport (
    ABSENT, BINARY, BLOCK, FLOAT64, has_number_labels, Job, LANES, NAN_PROPAGATE, NAN_RAISE,
)
from fastxent._kernels.numeric.sums cimport lane_sum
from fastxent._kernels.types cimport real


cdef struct Staged:     # arrays of BLOCK numbers of the kernel's type
    Py_ssize_t start
    const void* scores
    const void* labels
    const void* valid   # 1 where an element counts, 0 where it does not; NULL where all do
    bint hard           # all labels are 0 or 1
    bint has_nan        # a NaN is to be propagated; its element does not count in `valid`
    int count           # elements that count, such NaN among them
    int neutral         # elements that do not, such NaN among them
    Prefetch next


cdef inline int count_valid(const real* valid, const Prefetch* next) noexcept nogil:
    """How many are 1. A sum of so few ones is exact in either type."""
    cdef real lanes[LANES]
    cdef Prefetch ahead = next[0]
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lanes[j] = 0
    for i from 0 <= i < BLOCK by LANES:
        prefetch_operand(&ahead, OF_MASK, i)
        for j in range(LANES):
            lanes[j] += valid[i + j]
    return <int>lane_sum(lanes, LANES)


cdef inline void load_mask(
    const Job* job, Py_ssize_t start, Staged* block, real* valid
) noexcept nogil:
    """1 where the mask is True, 0 where it is False."""
    cdef uint8_t scratch[BLOCK]
    cdef const uint8_t* keep = <const uint8_t*>gather(job, &job.mask, start, BLOCK, scratch)
    cdef Py_ssize_t i
    if not zero_or_one_of_integers(keep, BLOCK, valid):
        for i in range(BLOCK):
            valid[i] = <real><int32_t>(keep[i] != 0)
    block.count = count_valid(<const real*>valid, &block.next)


cdef inline void drop_nan(
    const Job* job, const real* x, const real* y, Staged* block, real* valid
) noexcept nogil:
    """0 for a NaN; a NaN to propagate still counts."""
    cdef real zero = 0, one = 1, value
    cdef Prefetch none = no_prefetch()
    cdef Py_ssize_t i
    cdef int numbers
    if job.mask.dtype == ABSENT:
        for i in range(BLOCK):
            valid[i] = one
    for i in range(BLOCK):
        value = valid[i]    # before the choice, as in `stage`
        valid[i] = value if x[i] == x[i] else zero
    if not block.hard:
        for i in range(BLOCK):
            value = valid[i]
            valid[i] = value if y[i] == y[i] else zero
    numbers = count_valid(<const real*>valid, &none)
    block.neutral = BLOCK - numbers
    block.has_nan = job.nan_policy == NAN_PROPAGATE and numbers < block.count
    if not block.has_nan:
        block.count = numbers


cdef inline bint has_nan(const real* x) noexcept nogil:
    """Whether a full block has a NaN: all others are at most infinite in size."""
    cdef real infinity = INFINITY
    return not all_within(x, infinity, True)


cdef inline bint stage(
    const Job* job, Py_ssize_t start, Staged* block, real* scores, real* labels, real* valid
) noexcept nogil:
    """Load a full block; False where labels have more digits than the scores."""
    cdef double scratch[BLOCK]
    cdef double wide[BLOCK]
    cdef const double* exact
    cdef const real* y = NULL
    cdef const real* x = view(job, &job.scores, start, BLOCK, scratch, scores)
    cdef real one = 1, zero = 0, half = 0.5
    cdef real value
    cdef real neutral = half if job.loss == BINARY else zero
    cdef int differ = 0
    cdef Py_ssize_t i
    if not has_number_labels(job):
        y = hard_labels(job, start, BLOCK, scratch, labels)
    block.start = start
    block.hard = y != NULL
    if not block.hard:
        y = view(job, &job.labels, start, BLOCK, scratch, labels)
    block.next = prefetch_of(job, start)
    block.valid = NULL
    block.has_nan = False
    block.count = BLOCK
    block.neutral = 0
    if job.mask.dtype != ABSENT:
        load_mask(job, start, block, valid)
        block.neutral = BLOCK - block.count
    if job.nan_policy != NAN_RAISE and (has_nan(x) or (not block.hard and has_nan(y))):
        drop_nan(job, x, y, block, valid)
    if block.neutral > 0:
        block.valid = valid
        for i in range(BLOCK):
            value = x[i]    # before the choice: without it SSE2 would branch
            scores[i] = value if valid[i] != zero else neutral
        x = scores
        if not block.hard:
            neutral = zero if has_number_labels(job) else one
            for i in range(BLOCK):
                value = y[i]
                labels[i] = value if valid[i] != zero else neutral
            y = labels
            block.hard = not has_number_labels(job) and all_zero_or_one(y, BLOCK)
    block.scores = x
    block.labels = y
    # Labels of more digits than the scores: by their value, not their dtype, for the same bits.
    if real is float and not block.hard and job.labels.dtype == FLOAT64:
        exact = view(job, &job.labels, start, BLOCK, scratch, wide)
        if block.neutral > 0:
            for i in range(BLOCK):
                differ += valid[i] != zero and <double>y[i] != exact[i]
        else:
            for i in range(BLOCK):
                differ += <double>y[i] != exact[i]
    return differ == 0

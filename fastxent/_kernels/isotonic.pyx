"""Isotonic regression of labels on scores, by pooling adjacent violators.

Compiled for the baseline only: each step depends on the one before. The arrays are contiguous and have
been checked by the caller.
"""

cimport numpy as cnp
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

cnp.import_array()

ctypedef fused word:    # the bits of a score
    uint32_t
    uint64_t

cdef struct Pools:      # a stack of neighbouring scores with a common mean, from the smallest score on
    double* hits        # the weight of the labels 1 in each pool
    double* misses      # that of the labels 0
    int64_t* stop       # where the pool ends, or NULL
    Py_ssize_t n

cdef struct Buckets:    # ranges of scores of equal width in their bits
    uint64_t low        # the bits of the smallest score
    int shift


cdef inline Py_ssize_t bucket_of(word bits, const Buckets* buckets) noexcept nogil:
    """The bucket of a score; -0.0 counts as 0."""
    cdef word sign = <word>1 << (8 * sizeof(word) - 1)
    return <Py_ssize_t>(((bits & ~sign) - <word>buckets.low) >> buckets.shift)


cdef inline void push(Pools* pools, double hits, double misses, int64_t stop) noexcept nogil:
    """Add a pool, joined with those before it whose mean hits / (hits + misses) is not smaller."""
    cdef Py_ssize_t n = pools.n
    while n > 0 and pools.hits[n - 1] * misses >= hits * pools.misses[n - 1]:
        n -= 1
        hits += pools.hits[n]
        misses += pools.misses[n]
    pools.hits[n] = hits
    pools.misses[n] = misses
    if pools.stop != NULL:
        pools.stop[n] = stop
    pools.n = n + 1


cdef void count(
    const word* bits, const uint8_t* zero, Py_ssize_t n, const Buckets* buckets, uint32_t* counts
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        counts[2 * bucket_of(bits[i], buckets) + zero[i]] += 1


cdef Py_ssize_t choose(
    const uint32_t* counts, Py_ssize_t n, Pools* pools, uint8_t* wanted
) noexcept nogil:
    """Mark the buckets in which a pool may end, and count the scores in them.

    The convex minorant of the buckets' ends, whose slopes are the means of `pools`, is nowhere below
    that of all scores. Whatever the order in a bucket, no point is lower than where its labels 0 come
    first. If that is above the minorant, no pool ends in the bucket.
    """
    cdef Py_ssize_t i, k, total = 0, start = 0
    cdef double hits, seen, size, lowest
    for i in range(n):
        if counts[2 * i] + counts[2 * i + 1] != 0:
            push(pools, <double>counts[2 * i], <double>counts[2 * i + 1], i + 1)
    for k in range(pools.n):
        hits = 0.0
        seen = 0.0
        size = pools.hits[k] + pools.misses[k]
        for i in range(start, pools.stop[k]):
            lowest = hits * size - pools.hits[k] * (seen + <double>counts[2 * i + 1])
            wanted[i] = lowest <= 0.0 and counts[2 * i] != 0 and counts[2 * i + 1] != 0
            hits += <double>counts[2 * i]
            seen += <double>counts[2 * i] + <double>counts[2 * i + 1]
            if wanted[i]:
                total += <Py_ssize_t>counts[2 * i] + counts[2 * i + 1]
        start = pools.stop[k]
    return total


cdef void gather(
    const word* bits, const uint8_t* zero, Py_ssize_t n, const Buckets* buckets, const uint8_t* wanted,
    word* keys
) noexcept nogil:
    cdef Py_ssize_t i, found = 0
    for i in range(n):
        keys[found] = bits[i] << 1 | zero[i]    # the sign of -0.0 is shifted out
        found += wanted[bucket_of(bits[i], buckets)]    # without a branch: the next key replaces it


cdef void push_runs(const word* keys, Py_ssize_t n, Pools* pools) noexcept nogil:
    """Push sorted keys whose lowest bit is 1 for a label 0.

    Some ones followed by some zeros have one mean in any case, so they are pushed together. Equal
    scores have their ones first: they never lie in two of these runs.
    """
    cdef Py_ssize_t start = 0, middle, stop
    while start < n:
        middle = start
        while middle < n and not keys[middle] & 1:
            middle += 1
        stop = middle
        while stop < n and keys[stop] & 1:
            stop += 1
        push(pools, <double>(middle - start), <double>(stop - middle), 0)
        start = stop


cdef void push_buckets(
    const uint32_t* counts, const uint8_t* sorted_, Py_ssize_t n, const word* keys, Pools* pools
) noexcept nogil:
    """Push n buckets: by their keys where these are sorted, else as a whole."""
    cdef Py_ssize_t i, size
    for i in range(n):
        size = <Py_ssize_t>counts[2 * i] + counts[2 * i + 1]
        if sorted_[i]:
            push_runs(keys, size, pools)
            keys += size
        elif size:
            push(pools, <double>counts[2 * i], <double>counts[2 * i + 1], 0)


cdef inline bint is_short(cnp.ndarray array) noexcept:
    return cnp.PyArray_ITEMSIZE(array) == 4


def count_labels(
    cnp.ndarray bits not None, cnp.ndarray zero not None, uint64_t low, int shift,
    cnp.ndarray counts not None,
) -> None:
    """Count the labels 1 and 0 of each bucket of scores.

    Parameters
    ----------
    bits : ndarray of uint32 or uint64
        The scores' bits.
    zero : ndarray of bool
        Where the label is 0.
    low, shift : int
        The bucket of a score is (its bits - low) >> shift.
    counts : ndarray of uint32, of shape (buckets, 2)
        Zeros, which become the counts.
    """
    cdef Buckets buckets = Buckets(low, shift)
    cdef const void* data = cnp.PyArray_DATA(bits)
    cdef const uint8_t* labels = <const uint8_t*>cnp.PyArray_DATA(zero)
    cdef uint32_t* found = <uint32_t*>cnp.PyArray_DATA(counts)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(bits)
    cdef bint short_ = is_short(bits)
    with nogil:
        if short_:
            count(<const uint32_t*>data, labels, n, &buckets, found)
        else:
            count(<const uint64_t*>data, labels, n, &buckets, found)


def choose_buckets(
    cnp.ndarray counts not None, cnp.ndarray wanted not None, cnp.ndarray hits not None,
    cnp.ndarray misses not None, cnp.ndarray stop not None,
) -> int:
    """Mark the buckets whose scores have to be sorted; return how many scores these are.

    Parameters
    ----------
    counts : ndarray of uint32, of shape (buckets, 2)
    wanted : ndarray of bool
        False, which becomes the marks.
    hits, misses, stop : ndarray of float64, float64 and int64
        Room for as many pools as there are buckets.
    """
    cdef Pools pools
    cdef const uint32_t* numbers = <const uint32_t*>cnp.PyArray_DATA(counts)
    cdef uint8_t* mask = <uint8_t*>cnp.PyArray_DATA(wanted)
    cdef Py_ssize_t total, n = cnp.PyArray_SIZE(wanted)
    pools.hits = <double*>cnp.PyArray_DATA(hits)
    pools.misses = <double*>cnp.PyArray_DATA(misses)
    pools.stop = <int64_t*>cnp.PyArray_DATA(stop)
    pools.n = 0
    with nogil:
        total = choose(numbers, n, &pools, mask)
    return total


def gather_keys(
    cnp.ndarray bits not None, cnp.ndarray zero not None, uint64_t low, int shift,
    cnp.ndarray wanted not None, cnp.ndarray keys not None,
) -> None:
    """Write the keys of the scores in the wanted buckets: their bits, and 1 for a label 0 as the lowest.

    `keys` has room for one key more.
    """
    cdef Buckets buckets = Buckets(low, shift)
    cdef const void* data = cnp.PyArray_DATA(bits)
    cdef const uint8_t* labels = <const uint8_t*>cnp.PyArray_DATA(zero)
    cdef const uint8_t* mask = <const uint8_t*>cnp.PyArray_DATA(wanted)
    cdef void* target = cnp.PyArray_DATA(keys)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(bits)
    cdef bint short_ = is_short(bits)
    with nogil:
        if short_:
            gather(<const uint32_t*>data, labels, n, &buckets, mask, <uint32_t*>target)
        else:
            gather(<const uint64_t*>data, labels, n, &buckets, mask, <uint64_t*>target)


def pool_buckets(
    cnp.ndarray counts not None, cnp.ndarray wanted not None, cnp.ndarray keys not None,
    cnp.ndarray hits not None, cnp.ndarray misses not None,
) -> int:
    """Pool the labels of all buckets, the wanted ones by their sorted keys; return the number of pools.

    The first elements of `hits` and `misses` become the labels 1 and 0 of each pool.
    """
    cdef Pools pools
    cdef const uint32_t* numbers = <const uint32_t*>cnp.PyArray_DATA(counts)
    cdef const uint8_t* mask = <const uint8_t*>cnp.PyArray_DATA(wanted)
    cdef const void* data = cnp.PyArray_DATA(keys)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(wanted)
    cdef bint short_ = is_short(keys)
    pools.hits = <double*>cnp.PyArray_DATA(hits)
    pools.misses = <double*>cnp.PyArray_DATA(misses)
    pools.stop = NULL
    pools.n = 0
    with nogil:
        if short_:
            push_buckets(numbers, mask, n, <const uint32_t*>data, &pools)
        else:
            push_buckets(numbers, mask, n, <const uint64_t*>data, &pools)
    return pools.n


def pool_sums(
    cnp.ndarray hits not None, cnp.ndarray misses not None, cnp.ndarray stop not None
) -> int:
    """Pool the weights of the labels 1 and 0 of ascending scores, in place; return the number of pools.

    `stop` has the index after each score's elements, and then that after each pool's.
    """
    cdef Pools pools
    cdef Py_ssize_t i, n = cnp.PyArray_SIZE(hits)
    pools.hits = <double*>cnp.PyArray_DATA(hits)
    pools.misses = <double*>cnp.PyArray_DATA(misses)
    pools.stop = <int64_t*>cnp.PyArray_DATA(stop)
    pools.n = 0
    with nogil:
        for i in range(n):      # no more pools than scores: what is overwritten has been read
            push(&pools, pools.hits[i], pools.misses[i], pools.stop[i])
    return pools.n

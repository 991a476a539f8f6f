# Loading: an array of any type, layout and byte order becomes a short run of the kernel's own type.
#
# n loaders + m kernels, not n x m. `gather` makes a run contiguous, aligned and native; most arrays
# are so already, and nothing is copied. Then `convert_dtype` converts it.

from libc.stdint cimport (
    int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from libc.string cimport memcpy

from fastxent._kernels.job cimport (
    BLOCK, BOOL, FLOAT16, FLOAT32, FLOAT64, INT16, INT32, INT64, INT8, is_float, is_half, Job, DType,
    LANES, MAX_NDIM, NO_CLASS, Operand, UINT16, UINT32, UINT64, UINT8,
)
from fastxent._kernels.types cimport bits_of_f32, bits_of_f64, f32_from_bits, floating, real

ctypedef fused number:
    int8_t
    int16_t
    int32_t
    int64_t
    uint8_t
    uint16_t
    uint32_t
    uint64_t
    float
    double

ctypedef fused integer:
    int8_t
    int16_t
    int32_t
    int64_t
    uint8_t
    uint16_t
    uint32_t
    uint64_t

ctypedef fused word:    # an element that is only copied
    uint8_t
    uint16_t
    uint32_t
    uint64_t

cdef extern from "simd.h":
    bint has_widen_sixteen "fastxent_has_widen"
    void widen_sixteen "fastxent_widen"(const uint16_t* source, float* target) noexcept nogil

# ---- positions and where they lie ------------------------------------------------------------


cdef inline Py_ssize_t unravel_index(
    const Job* job, const Operand* op, Py_ssize_t position, Py_ssize_t* index
) noexcept nogil:
    """Store the indices of a position and return its offset in bytes."""
    cdef Py_ssize_t offset = 0
    cdef int d
    for d in range(job.ndim - 1, -1, -1):
        index[d] = position % job.shape[d]
        position //= job.shape[d]
        offset += index[d] * op.stride[d]
    return offset


cdef inline const char* element_ptr(
    const Job* job, const Operand* op, Py_ssize_t position
) noexcept nogil:
    """The address of the element, or of the row, of a position."""
    cdef Py_ssize_t index[MAX_NDIM]
    if job.ndim == 1:
        return op.data + position * op.stride[0]
    return op.data + unravel_index(job, op, position, index)


# ---- copying: strided, byteswapped, unaligned -> contiguous -----------------------------------


cdef inline void copy_strided(
    const char* source, Py_ssize_t step, char* target, Py_ssize_t target_step, int n, word* unit
) noexcept nogil:
    """Copy n elements of the unit's size from one stride to another. memcpy needs no alignment."""
    cdef Py_ssize_t i
    cdef word value
    for i in range(n):
        memcpy(&value, source + i * step, sizeof(word))
        memcpy(target + i * target_step, &value, sizeof(word))


cdef inline void copy_strided_byteswapped(
    const char* source, Py_ssize_t step, char* target, Py_ssize_t target_step, int n, word* unit
) noexcept nogil:
    cdef Py_ssize_t i, b
    cdef const char* element
    cdef char* place
    for i in range(n):
        element = source + i * step
        place = target + i * target_step
        for b in range(<int>sizeof(word)):
            place[b] = element[<int>sizeof(word) - 1 - b]


cdef inline void copy_words(
    bint byteswapped, const char* source, Py_ssize_t step, char* target, Py_ssize_t target_step, int n,
    word* unit
) noexcept nogil:
    if byteswapped:
        copy_strided_byteswapped(source, step, target, target_step, n, unit)
    else:
        copy_strided(source, step, target, target_step, n, unit)


cdef inline void copy_run(
    const Operand* op, const char* source, Py_ssize_t step, char* target, Py_ssize_t target_step, int n
) noexcept nogil:
    if op.itemsize == 1:
        copy_words(False, source, step, target, target_step, n, <uint8_t*>NULL)
    elif op.itemsize == 2:
        copy_words(op.byteswapped, source, step, target, target_step, n, <uint16_t*>NULL)
    elif op.itemsize == 4:
        copy_words(op.byteswapped, source, step, target, target_step, n, <uint32_t*>NULL)
    else:
        copy_words(op.byteswapped, source, step, target, target_step, n, <uint64_t*>NULL)


cdef inline void copy_elements(
    const Job* job, const Operand* op, Py_ssize_t start, Py_ssize_t class_offset,
    int n, char* buffer, bint into_array
) noexcept nogil:
    """Copy n positions from the array to the buffer, or back into the array."""
    cdef Py_ssize_t index[MAX_NDIM]
    cdef Py_ssize_t offset = unravel_index(job, op, start, index)
    cdef int last = job.ndim - 1
    cdef int d, run
    cdef int done = 0
    cdef char* place
    while True:
        run = <int>min(<Py_ssize_t>(n - done), job.shape[last] - index[last])
        place = <char*>op.data + offset + class_offset
        if into_array:
            copy_run(op, buffer + done * op.itemsize, op.itemsize, place, op.stride[last], run)
        else:
            copy_run(op, place, op.stride[last], buffer + done * op.itemsize, op.itemsize, run)
        done += run
        if done == n:
            return
        offset -= index[last] * op.stride[last]
        index[last] = 0
        for d in range(last - 1, -1, -1):
            index[d] += 1
            offset += op.stride[d]
            if index[d] < job.shape[d]:
                break
            offset -= index[d] * op.stride[d]
            index[d] = 0


cdef inline const void* gather(
    const Job* job, const Operand* op, Py_ssize_t start, int n, void* scratch
) noexcept nogil:
    """n positions as one aligned native run: of the array itself, or copied to scratch."""
    if op.contiguous:
        return op.data + start * op.itemsize
    copy_elements(job, op, start, 0, n, <char*>scratch, False)
    return scratch


cdef inline const void* gather_classes(
    const Operand* op, const char* row, Py_ssize_t first, int n, void* scratch
) noexcept nogil:
    """n classes of one row as one aligned native run."""
    cdef const char* source = row + first * op.class_stride
    if (
        op.class_stride == op.itemsize
        and not op.byteswapped
        and (<size_t>source) % <size_t>op.itemsize == 0
    ):
        return source
    copy_run(op, source, op.class_stride, <char*>scratch, op.itemsize, n)
    return scratch


# ---- converting ------------------------------------------------------------------------------


cdef inline void convert(const number* source, int n, real* target) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        target[i] = <real>source[i]


cdef inline void widen_bfloat16(const uint16_t* source, int n, real* target) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        target[i] = <real>f32_from_bits((<uint32_t>source[i]) << 16)


cdef inline void widen_float16(const uint16_t* source, int n, real* target) noexcept nogil:
    """An exact product with 2^112 rebases the exponents, those of subnormals included."""
    cdef Py_ssize_t i, done = 0
    cdef uint32_t bits, special
    if real is float and has_widen_sixteen:
        done = n - n % 16
        for i from 0 <= i < done by 16:
            widen_sixteen(source + i, target + i)
    for i in range(done, n):
        # Sign and exponent are shifted together; then infinities and NaN get the largest exponent.
        bits = (<uint32_t><int32_t><int16_t>source[i] << 13) & 0x8FFFFFFFu
        special = 0x7F800000u if <int32_t>(bits & 0x7FFFFFFFu) >= 0x0F800000 else 0u
        bits = bits_of_f32(f32_from_bits(bits) * <float>5.192296858534828e33) | special
        target[i] = <real>f32_from_bits(bits)


cdef inline void widen(DType dtype, const uint16_t* source, int n, real* target) noexcept nogil:
    """Convert n elements of half precision, of either format."""
    if dtype == FLOAT16:
        widen_float16(source, n, target)
    else:
        widen_bfloat16(source, n, target)


cdef inline uint16_t one_of_half(DType dtype) noexcept nogil:
    """The bits of 1 in half precision, in either format."""
    return 0x3C00 if dtype == FLOAT16 else 0x3F80


cdef inline void convert_dtype(DType dtype, const void* source, int n, real* target) noexcept nogil:
    """Convert n elements of any dtype to the kernels' own type."""
    if dtype == FLOAT64:
        convert(<const double*>source, n, target)
    elif dtype == FLOAT32:
        convert(<const float*>source, n, target)
    elif is_half(dtype):
        widen(dtype, <const uint16_t*>source, n, target)
    elif dtype == INT64:
        convert(<const int64_t*>source, n, target)
    elif dtype == INT32:
        convert(<const int32_t*>source, n, target)
    elif dtype == INT16:
        convert(<const int16_t*>source, n, target)
    elif dtype == INT8:
        convert(<const int8_t*>source, n, target)
    elif dtype == UINT8 or dtype == BOOL:
        convert(<const uint8_t*>source, n, target)
    elif dtype == UINT16:
        convert(<const uint16_t*>source, n, target)
    elif dtype == UINT32:
        convert(<const uint32_t*>source, n, target)
    elif dtype == UINT64:
        convert(<const uint64_t*>source, n, target)


cdef inline void convert_floats(
    DType dtype, const void* source, int n, real* target
) noexcept nogil:
    """Convert n elements of a float type, which all scores have: less code than `convert_dtype`."""
    if dtype == FLOAT64:
        convert(<const double*>source, n, target)
    elif dtype == FLOAT32:
        convert(<const float*>source, n, target)
    else:
        widen(dtype, <const uint16_t*>source, n, target)


cdef inline bint is_real(DType dtype, const real* tag) noexcept nogil:
    """Whether the array has the kernels' own type."""
    if real is float:
        return dtype == FLOAT32
    else:
        return dtype == FLOAT64


cdef inline void load(
    const Job* job, const Operand* op, Py_ssize_t start, int n, void* scratch, real* target
) noexcept nogil:
    """Copy n positions: the target may be written to."""
    convert_dtype(op.dtype, gather(job, op, start, n, scratch), n, target)


cdef inline bint is_repeated(const Job* job, const Operand* op) noexcept nogil:
    """Whether the array is one number for all positions."""
    cdef int d
    for d in range(job.ndim):
        if op.stride[d] != 0:
            return False
    return True


cdef inline void load_repeated(
    const Job* job, const Operand* op, Py_ssize_t start, int n, void* scratch, real* target
) noexcept nogil:
    """`load` of what may be one number for all positions."""
    cdef Py_ssize_t i
    if not is_repeated(job, op):
        load(job, op, start, n, scratch, target)
        return
    load(job, op, start, 1, scratch, target)
    for i in range(1, n):
        target[i] = target[0]


cdef inline const real* view(
    const Job* job, const Operand* op, Py_ssize_t start, int n, void* scratch, real* buffer
) noexcept nogil:
    """n positions to read from: the array itself, or the buffer; the scratch is free again."""
    if is_real(op.dtype, buffer):
        return <const real*>gather(job, op, start, n, buffer)
    convert_dtype(op.dtype, gather(job, op, start, n, scratch), n, buffer)
    return buffer


cdef inline const real* view_classes(
    const Operand* op, const char* row, Py_ssize_t first, int n, void* scratch, real* buffer
) noexcept nogil:
    """n classes of a row to read from: the array itself, or the buffer."""
    if is_real(op.dtype, buffer):
        return <const real*>gather_classes(op, row, first, n, buffer)
    convert_dtype(op.dtype, gather_classes(op, row, first, n, scratch), n, buffer)
    return buffer


cdef inline double load_one(const Operand* op, const char* place) noexcept nogil:
    """One element, whatever its type."""
    cdef uint64_t raw = 0
    cdef double value = 0.0
    copy_run(op, place, 0, <char*>&raw, 0, 1)
    convert_dtype(op.dtype, &raw, 1, &value)
    return value


# ---- labels ----------------------------------------------------------------------------------


cdef inline void indices_of(const integer* source, int n, int64_t* target) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        # A uint64 of 2^63 or more becomes negative, which is never a class.
        target[i] = <int64_t>source[i]


cdef inline void indices_of_floats(const double* source, int n, int64_t* target) noexcept nogil:
    """Whole numbers; all else, NaN included, becomes NO_CLASS."""
    cdef Py_ssize_t i
    cdef double x
    for i in range(n):
        x = source[i] if -9007199254740992.0 <= source[i] <= 9007199254740992.0 else 0.5
        target[i] = <int64_t>x
        target[i] = target[i] if <double>target[i] == x else NO_CLASS


cdef inline void load_indices(
    const Job* job, const Operand* op, Py_ssize_t start, int n, void* scratch, int64_t* target
) noexcept nogil:
    """n <= BLOCK class indices."""
    cdef double floats[BLOCK]
    cdef const void* run = gather(job, op, start, n, scratch)
    if is_float(op.dtype):
        convert_dtype(op.dtype, run, n, floats)
        indices_of_floats(floats, n, target)
    elif op.dtype == INT64:
        indices_of(<const int64_t*>run, n, target)
    elif op.dtype == INT32:
        indices_of(<const int32_t*>run, n, target)
    elif op.dtype == INT16:
        indices_of(<const int16_t*>run, n, target)
    elif op.dtype == INT8:
        indices_of(<const int8_t*>run, n, target)
    elif op.dtype == UINT8 or op.dtype == BOOL:
        indices_of(<const uint8_t*>run, n, target)
    elif op.dtype == UINT16:
        indices_of(<const uint16_t*>run, n, target)
    elif op.dtype == UINT32:
        indices_of(<const uint32_t*>run, n, target)
    else:
        indices_of(<const uint64_t*>run, n, target)


cdef inline bint zero_or_one_of_integers(const integer* source, int n, real* target) noexcept nogil:
    """Convert integers 0 and 1; False where there is another value."""
    cdef Py_ssize_t i
    cdef integer seen = 0
    for i in range(n):
        seen |= source[i]
    if seen & ~<integer>1:
        return False
    for i in range(n):
        target[i] = <real><int32_t>source[i]
    return True


cdef inline bint zero_or_one_of_halves(
    const uint16_t* source, uint16_t one, int n, real* target
) noexcept nogil:
    """The same for half precision, by its bits."""
    cdef Py_ssize_t i
    cdef uint16_t seen = 0
    for i in range(n):
        seen |= source[i] ^ (one if source[i] != 0 else 0)
    if seen:
        return False
    for i in range(n):
        target[i] = <real><int32_t>(source[i] >> 13)    # 0 of 0, 1 of 1, in both formats
    return True


cdef inline bint all_zero_or_one(const floating* source, int n) noexcept nogil:
    """Whether all of them are exactly 0 or 1."""
    cdef uint64_t seen_f64 = 0
    cdef uint32_t seen_f32 = 0
    cdef Py_ssize_t i
    if source[0] * source[0] != source[0]:
        return False    # usually the first label of a soft block shows it
    for i in range(n):
        # x x - x has bits that are all 0 only for 0, -0 and 1.
        if floating is float:
            seen_f32 |= bits_of_f32(source[i] * source[i] - source[i])
        else:
            seen_f64 |= bits_of_f64(source[i] * source[i] - source[i])
    return (seen_f32 | seen_f64) == 0


cdef inline const real* hard_labels(
    const Job* job, Py_ssize_t start, int n, void* scratch, real* buffer
) noexcept nogil:
    """n binary labels as 0.0 and 1.0, or NULL where a label is anything else (soft, bad, NaN)."""
    cdef const Operand* op = &job.labels
    cdef DType dtype = op.dtype
    cdef const void* run = gather(
        job, op, start, n, <void*>buffer if is_real(dtype, buffer) else scratch
    )
    cdef bint hard
    if dtype == FLOAT32 or dtype == FLOAT64:
        if dtype == FLOAT32:
            hard = all_zero_or_one(<const float*>run, n)
        else:
            hard = all_zero_or_one(<const double*>run, n)
        if is_real(dtype, buffer):
            return <const real*>run if hard else NULL
        if hard:
            convert_dtype(dtype, run, n, buffer)
    elif dtype == BOOL or dtype == UINT8:
        hard = zero_or_one_of_integers(<const uint8_t*>run, n, buffer)
    elif dtype == INT8:
        hard = zero_or_one_of_integers(<const int8_t*>run, n, buffer)
    elif dtype == INT64:
        hard = zero_or_one_of_integers(<const int64_t*>run, n, buffer)
    elif dtype == INT32:
        hard = zero_or_one_of_integers(<const int32_t*>run, n, buffer)
    elif dtype == INT16:
        hard = zero_or_one_of_integers(<const int16_t*>run, n, buffer)
    elif dtype == UINT16:
        hard = zero_or_one_of_integers(<const uint16_t*>run, n, buffer)
    elif dtype == UINT32:
        hard = zero_or_one_of_integers(<const uint32_t*>run, n, buffer)
    elif dtype == UINT64:
        hard = zero_or_one_of_integers(<const uint64_t*>run, n, buffer)
    else:
        hard = zero_or_one_of_halves(<const uint16_t*>run, one_of_half(dtype), n, buffer)
    return buffer if hard else NULL

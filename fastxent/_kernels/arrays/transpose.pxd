# Transposes rows of few classes into a tile, tile[k * ROWS + i], so that SIMD runs over the rows, and
# back.

from fastxent._kernels.job cimport ROWS
from fastxent._kernels.types cimport real

cdef extern from "simd.h":
    enum:
        TILES "FASTXENT_TILES"
    void transpose4x4_rows "fastxent_transpose4x4_rows"(
        const float* source, Py_ssize_t step, float* tile, Py_ssize_t tile_step
    ) noexcept nogil
    void transpose4x4_tile "fastxent_transpose4x4_tile"(
        const float* tile, Py_ssize_t tile_step, float* target, Py_ssize_t step
    ) noexcept nogil
    void transpose2x2_rows "fastxent_transpose2x2_rows"(
        const double* source, Py_ssize_t step, double* tile, Py_ssize_t tile_step
    ) noexcept nogil
    void transpose2x2_tile "fastxent_transpose2x2_tile"(
        const double* tile, Py_ssize_t tile_step, double* target, Py_ssize_t step
    ) noexcept nogil


cdef inline Py_ssize_t side_of_square(const real* tag) noexcept nogil:
    """How many rows and classes a square has that is turned in registers."""
    return 4 if real is float else 2


cdef inline void squares_to_tile(const real* source, Py_ssize_t step, real* tile) noexcept nogil:
    """Turn TILES squares of rows, one below the other."""
    if real is float:
        transpose4x4_rows(source, step, tile, ROWS)
    else:
        transpose2x2_rows(source, step, tile, ROWS)


cdef inline void squares_to_rows(const real* tile, real* target, Py_ssize_t step) noexcept nogil:
    """The inverse."""
    if real is float:
        transpose4x4_tile(tile, ROWS, target, step)
    else:
        transpose2x2_tile(tile, ROWS, target, step)


cdef inline void tile_of_steps(
    const real* source, Py_ssize_t step, Py_ssize_t classes, real* tile
) noexcept nogil:
    """`tile_of_rows`, which compilers vectorise for a constant step."""
    cdef Py_ssize_t i, k
    for k in range(classes):
        for i in range(ROWS):
            tile[k * ROWS + i] = source[i * step + k]


cdef inline void tile_of_rows(
    const real* source, Py_ssize_t step, Py_ssize_t classes, real* tile
) noexcept nogil:
    """tile[k * ROWS + i] = source[i * step + k], of ROWS rows."""
    cdef Py_ssize_t i, k, column
    cdef Py_ssize_t side = side_of_square(source)
    if TILES and classes >= side:
        for k from 0 <= k < classes by side:
            column = min(k, classes - side)     # the last square overlaps the one before
            for i from 0 <= i < ROWS by side * TILES:
                squares_to_tile(source + i * step + column, step, tile + column * ROWS + i)
        return
    if step == 2 and classes == 2:
        tile_of_steps(source, 2, 2, tile)
    elif step == 3 and classes == 3:
        tile_of_steps(source, 3, 3, tile)
    else:
        tile_of_steps(source, step, classes, tile)


cdef inline void steps_of_tile(const real* tile, Py_ssize_t classes, real* target) noexcept nogil:
    """`rows_of_tile`, which compilers vectorise for a constant number of classes."""
    cdef Py_ssize_t i, k
    for i in range(ROWS):
        for k in range(classes):
            target[i * classes + k] = tile[k * ROWS + i]


cdef inline void rows_of_tile(const real* tile, Py_ssize_t classes, real* target) noexcept nogil:
    """target[i * classes + k] = tile[k * ROWS + i], of ROWS rows."""
    cdef Py_ssize_t i, k, column
    cdef Py_ssize_t side = side_of_square(tile)
    if TILES and classes >= side:
        for k from 0 <= k < classes by side:
            column = min(k, classes - side)
            for i from 0 <= i < ROWS by side * TILES:
                squares_to_rows(tile + column * ROWS + i, target + i * classes + column, classes)
        return
    if classes == 2:
        steps_of_tile(tile, 2, target)
    elif classes == 3:
        steps_of_tile(tile, 3, target)
    else:
        steps_of_tile(tile, classes, target)

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
    if real is float:
        if TILES and classes >= 4:
            for k from 0 <= k < classes by 4:
                column = min(k, classes - 4)    # the last four overlap those before
                for i from 0 <= i < ROWS by 4 * TILES:
                    transpose4x4_rows(source + i * step + column, step, tile + column * ROWS + i, ROWS)
            return
    elif TILES and classes >= 2:
        for k from 0 <= k < classes by 2:
            column = min(k, classes - 2)
            for i from 0 <= i < ROWS by 2 * TILES:
                transpose2x2_rows(source + i * step + column, step, tile + column * ROWS + i, ROWS)
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
    if real is float:
        if TILES and classes >= 4:
            for k from 0 <= k < classes by 4:
                column = min(k, classes - 4)
                for i from 0 <= i < ROWS by 4 * TILES:
                    transpose4x4_tile(
                        tile + column * ROWS + i, ROWS, target + i * classes + column, classes
                    )
            return
    elif TILES and classes >= 2:
        for k from 0 <= k < classes by 2:
            column = min(k, classes - 2)
            for i from 0 <= i < ROWS by 2 * TILES:
                transpose2x2_tile(
                    tile + column * ROWS + i, ROWS, target + i * classes + column, classes
                )
        return
    if classes == 2:
        steps_of_tile(tile, 2, target)
    elif classes == 3:
        steps_of_tile(tile, 3, target)
    else:
        steps_of_tile(tile, classes, target)

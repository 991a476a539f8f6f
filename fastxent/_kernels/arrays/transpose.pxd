# Rows of few classes to a tile, tile[k * ROWS + i], in which SIMD goes over the rows; and back.

from fastxent._kernels.job cimport ROWS
from fastxent._kernels.types cimport real

cdef extern from *:
    """
    #if defined(__has_builtin)
    #if __has_builtin(__builtin_shufflevector)
    #define FASTXENT_SHUFFLES
    #endif
    #endif

    #ifndef FASTXENT_SHUFFLES
    #define FASTXENT_TILES 0
    #define fastxent_transpose4x4_rows(source, step, tile, tile_step) ((void)(source))
    #define fastxent_transpose4x4_tile(tile, tile_step, target, step) ((void)(tile))
    #else
    /* Squares of four rows of four floats that are turned at a time, side by side in registers. */
    #if defined(__AVX512F__)
    #define FASTXENT_TILES 4
    #elif defined(__AVX2__)
    #define FASTXENT_TILES 2
    #else
    #define FASTXENT_TILES 1
    #endif
    typedef float fastxent_four __attribute__((vector_size(16)));
    typedef float fastxent_row_group __attribute__((vector_size(16 * FASTXENT_TILES)));

    /* Of the eight floats that a and b have in each square s, those numbered i, j, k and l. */
    #define FASTXENT_AT(s, i) (((i) & 3) + 4 * (s) + ((i) >> 2) * 4 * FASTXENT_TILES)
    #define FASTXENT_IN(s, i, j, k, l) \
        FASTXENT_AT(s, i), FASTXENT_AT(s, j), FASTXENT_AT(s, k), FASTXENT_AT(s, l)
    #if FASTXENT_TILES == 4
    #define FASTXENT_PICK(a, b, ...) \
        __builtin_shufflevector(a, b, FASTXENT_IN(0, __VA_ARGS__), FASTXENT_IN(1, __VA_ARGS__), \
                                FASTXENT_IN(2, __VA_ARGS__), FASTXENT_IN(3, __VA_ARGS__))
    #elif FASTXENT_TILES == 2
    #define FASTXENT_PICK(a, b, ...) \
        __builtin_shufflevector(a, b, FASTXENT_IN(0, __VA_ARGS__), FASTXENT_IN(1, __VA_ARGS__))
    #else
    #define FASTXENT_PICK(a, b, ...) __builtin_shufflevector(a, b, FASTXENT_IN(0, __VA_ARGS__))
    #endif

    /* Turn each square. No compiler finds these shuffles, nor unrolls the loops there would be. */
    static inline void fastxent_transpose4x4(fastxent_row_group* x)
    {
        fastxent_row_group low = FASTXENT_PICK(x[0], x[1], 0, 4, 1, 5);
        fastxent_row_group low2 = FASTXENT_PICK(x[2], x[3], 0, 4, 1, 5);
        fastxent_row_group high = FASTXENT_PICK(x[0], x[1], 2, 6, 3, 7);
        fastxent_row_group high2 = FASTXENT_PICK(x[2], x[3], 2, 6, 3, 7);
        x[0] = FASTXENT_PICK(low, low2, 0, 1, 4, 5);
        x[1] = FASTXENT_PICK(low, low2, 2, 3, 6, 7);
        x[2] = FASTXENT_PICK(high, high2, 0, 1, 4, 5);
        x[3] = FASTXENT_PICK(high, high2, 2, 3, 6, 7);
    }

    /* Four floats of every fourth row, one square beside the other. */
    static inline fastxent_row_group fastxent_load_side_by_side(const float* row, Py_ssize_t step)
    {
        fastxent_four x[FASTXENT_TILES];
        for (int s = 0; s < FASTXENT_TILES; s++)
            memcpy(&x[s], row + 4 * s * step, 16);
    #if FASTXENT_TILES == 4
        typedef float two_squares __attribute__((vector_size(32)));
        two_squares low = __builtin_shufflevector(x[0], x[1], 0, 1, 2, 3, 4, 5, 6, 7);
        two_squares high = __builtin_shufflevector(x[2], x[3], 0, 1, 2, 3, 4, 5, 6, 7);
        return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7,
                                       8, 9, 10, 11, 12, 13, 14, 15);
    #elif FASTXENT_TILES == 2
        return __builtin_shufflevector(x[0], x[1], 0, 1, 2, 3, 4, 5, 6, 7);
    #else
        return x[0];
    #endif
    }

    static inline void fastxent_transpose4x4_rows(const float* source, Py_ssize_t step, float* tile,
                                          Py_ssize_t tile_step)
    {
        fastxent_row_group x[4];
        x[0] = fastxent_load_side_by_side(source, step);
        x[1] = fastxent_load_side_by_side(source + step, step);
        x[2] = fastxent_load_side_by_side(source + 2 * step, step);
        x[3] = fastxent_load_side_by_side(source + 3 * step, step);
        fastxent_transpose4x4(x);
        memcpy(tile, &x[0], sizeof x[0]);
        memcpy(tile + tile_step, &x[1], sizeof x[0]);
        memcpy(tile + 2 * tile_step, &x[2], sizeof x[0]);
        memcpy(tile + 3 * tile_step, &x[3], sizeof x[0]);
    }

    static inline void fastxent_transpose4x4_tile(const float* tile, Py_ssize_t tile_step, float* target,
                                          Py_ssize_t step)
    {
        fastxent_row_group x[4];
        memcpy(&x[0], tile, sizeof x[0]);
        memcpy(&x[1], tile + tile_step, sizeof x[0]);
        memcpy(&x[2], tile + 2 * tile_step, sizeof x[0]);
        memcpy(&x[3], tile + 3 * tile_step, sizeof x[0]);
        fastxent_transpose4x4(x);
        for (int r = 0; r < 4; r++)
            for (int s = 0; s < FASTXENT_TILES; s++)
                memcpy(target + (4 * s + r) * step, (const float*)&x[r] + 4 * s, 16);
    }
    #endif
    """
    enum:
        TILES "FASTXENT_TILES"
    void transpose4x4_rows "fastxent_transpose4x4_rows"(
        const float* source, Py_ssize_t step, float* tile, Py_ssize_t tile_step
    ) noexcept nogil
    void transpose4x4_tile "fastxent_transpose4x4_tile"(
        const float* tile, Py_ssize_t tile_step, float* target, Py_ssize_t step
    ) noexcept nogil


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
    for k in range(classes):
        for i in range(ROWS):
            tile[k * ROWS + i] = source[i * step + k]


cdef inline void rows_of_tile(const real* tile, Py_ssize_t classes, real* target) noexcept nogil:
    """target[i * classes + k] = tile[k * ROWS + i], of ROWS rows."""
    cdef Py_ssize_t i, k, column
    if real is float:
        if TILES and classes >= 4:
            for k from 0 <= k < classes by 4:
                column = min(k, classes - 4)
                for i from 0 <= i < ROWS by 4 * TILES:
                    transpose4x4_tile(tile + column * ROWS + i, ROWS, target + i * classes + column, classes)
            return
    for i in range(ROWS):
        for k in range(classes):
            target[i * classes + k] = tile[k * ROWS + i]

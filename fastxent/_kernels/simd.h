/*
 * What Cython has no word for: the intrinsics and compiler macros of every instruction set.
 *
 * Each module of the kernels includes this file and is compiled with the flags of its own level. So the
 * compiler's macros (__AVX512F__, __AVX2__, ...) say which level this is, and each section chooses by them.
 * A function that a level does not have is a macro that does nothing, beside a constant that says so.
 */
#ifndef FASTXENT_SIMD_H
#define FASTXENT_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

/* ---- what a build must not have ------------------------------------------------------------ */

#if defined(FASTXENT_FORBID_AVX) && defined(__AVX__)
#error "AVX in the baseline: take -march=native out of CFLAGS, or FASTXENT_ALLOW_NATIVE=1"
#endif
#if defined(__FAST_MATH__)
#error "-ffast-math breaks the promise of the same bits everywhere: take it out of CFLAGS"
#endif

/* ---- fused multiply-add: a b + c, rounded once --------------------------------------------- */

/*
 * Every level gives the same bits, so a level without the instruction emulates it exactly. The additions
 * before the last one round to odd (S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded
 * sums: proved algorithms using rounding to odd", IEEE Transactions on Computers 57(4), 2008).
 *
 * - fastxent_fmaf: float32, all numbers. Emulated, it takes about 50 operations for 4 elements.
 * - fastxent_fma: float64, all numbers. Emulated, about 130 for 2 elements: not for the hot loops.
 * - fastxent_fma_bounded: float64, where a b is 0 or at least 2^-900 in size, and a, b and the sum are below
 *   2^990. Emulated, about 45 for 2 elements. Outside these bounds the levels may differ.
 * - fastxent_fmaf_wide: where float64 holds a b + c exactly. Emulated, it takes about 10 operations for 4.
 * - fastxent_fmaf_exact, fastxent_fma_exact: where a b has a short factor and is exact. Nothing to emulate.
 */
typedef union {
    double value;
    uint64_t bits;
} fastxent_f64;

#define FASTXENT_SIGN 0x8000000000000000u

static inline double fastxent_size(double x)
{
    fastxent_f64 word = {x};
    word.bits &= ~FASTXENT_SIGN;
    return word.value;
}

/*
 * a + b rounded to odd: towards zero, and the last bit is set if the sum is not exact. Integers vectorise;
 * SSE2 has no comparison of 64-bit integers.
 */
static inline double fastxent_sum_to_odd(double a, double b)
{
    fastxent_f64 sum, error;
    sum.value = a + b;
    double part = sum.value - a;
    error.value = (a - (sum.value - part)) + (b - part); /* NaN beside an infinite sum */
    uint64_t size = error.bits & ~FASTXENT_SIGN;
    uint64_t not_finite = (size + 0x0010000000000000u) >> 63;
    uint64_t inexact = ((0 - size) >> 63) & ~not_finite;
    uint64_t away_from_zero = (sum.bits ^ error.bits) >> 63;
    sum.bits = (sum.bits - (away_from_zero & inexact)) | inexact;
    return sum.value;
}

/* x without its last 27 bits, rounded: then products of halves are exact. */
static inline double fastxent_high_half(double x)
{
    fastxent_f64 word = {x};
    word.bits = (word.bits + 0x4000000u) & ~(uint64_t)0x7FFFFFF;
    return word.value;
}

/* a b - high, exactly, where high is a b rounded (Dekker's product). */
static inline double fastxent_product_error(double a, double b, double a_high, double b_high, double high)
{
    double a_low = a - a_high, b_low = b - b_high;
    return ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low;
}

/* high + low + c is *total plus what is returned; that is rounded to odd. */
static inline double fastxent_sum_of_three(double high, double low, double c, double* total)
{
    double u = c + low, part = u - c;
    double u_error = (c - (u - part)) + (low - part);
    *total = high + u;
    part = *total - high;
    return fastxent_sum_to_odd((high - (*total - part)) + (u - part), u_error);
}

static inline float fastxent_emulated_fmaf(float a, float b, float c)
{
    return (float)fastxent_sum_to_odd((double)a * b, c); /* the product is exact */
}

static inline double fastxent_emulated_fma_bounded(double a, double b, double c)
{
    double high = a * b, total;
    double low = fastxent_product_error(a, b, fastxent_high_half(a), fastxent_high_half(b), high);
    double rest = fastxent_sum_of_three(high, low, c, &total);
    return total + rest;
}

static inline double fastxent_emulated_fma(double a, double b, double c)
{
    /* Tiny or huge numbers are brought to the middle of the range: a and b by `scale`, c twice. */
    double plain = a * b, c_size = fastxent_size(c), size = fastxent_size(plain);
    size = size > c_size ? size : c_size;
    double scale = size < 0x1p-800 ? 0x1p150 : 1.0, unscale = size < 0x1p-800 ? 0x1p-150 : 1.0;
    scale = size > 0x1p800 ? 0x1p-150 : scale;
    unscale = size > 0x1p800 ? 0x1p150 : unscale;
    double x = a * scale, y = b * scale, z = c * scale * scale;
    double vanishing = size > 0x1p800 ? 0x1p-600 : 0.0; /* beside a huge product only its sign counts */
    z = c_size < vanishing ? c : z;

    fastxent_f64 x_truncated = {x}; /* near the largest number, rounding would give infinity */
    fastxent_f64 y_truncated = {y};
    x_truncated.bits &= ~(uint64_t)0x7FFFFFF;
    y_truncated.bits &= ~(uint64_t)0x7FFFFFF;
    double x_high = fastxent_high_half(x), y_high = fastxent_high_half(y);
    x_high = x_high - x_high == 0.0 ? x_high : x_truncated.value;
    y_high = y_high - y_high == 0.0 ? y_high : y_truncated.value;
    double high = x * y, total;
    double low = fastxent_product_error(x, y, x_high, y_high, high);
    double rest = fastxent_sum_of_three(high, low, z, &total);

    /* The sum's sign, also where it underflows to 0. */
    fastxent_f64 sign, result;
    double factor = fastxent_size(a) < fastxent_size(b) ? a : b;
    double product = factor == 0.0 ? plain + c : plain;
    sign.value = c == 0.0 ? product : total + rest;
    /* For a subnormal result: beside `magic` a sum is rounded where a subnormal number ends. */
    double smallest_normal = size < 0x1p-800 ? 0x1p-722 : 0.0; /* times 2^300 */
    fastxent_f64 magic = {fastxent_size(total + rest) < smallest_normal ? smallest_normal : 0.0};
    magic.bits |= sign.bits & FASTXENT_SIGN;
    double raised = magic.value + total, part = raised - magic.value;
    rest = fastxent_sum_to_odd((magic.value - (raised - part)) + (total - part), rest);
    result.value = (((raised + rest) - magic.value) * unscale) * unscale;
    result.bits = (result.bits & ~FASTXENT_SIGN) | (sign.bits & FASTXENT_SIGN);

    /* NaN: an argument or the sum is not finite. Beside an infinite c, a product of finite a and b is. */
    double finite_product = c_size > 0x1.fffffffffffffp1023 ? 0.0 : plain;
    plain = (a - a) + (b - b) == 0.0 ? finite_product : plain;
    return result.value == result.value ? result.value : plain + c;
}

/* Without the instruction, compilers would call libm. */
#if defined(__FMA__) || defined(__aarch64__)
#define fastxent_fmaf(a, b, c) __builtin_fmaf(a, b, c)
#define fastxent_fma(a, b, c) __builtin_fma(a, b, c)
#define fastxent_fma_bounded(a, b, c) __builtin_fma(a, b, c)
#define fastxent_fmaf_wide(a, b, c) __builtin_fmaf(a, b, c)
#define fastxent_fmaf_exact(a, b, c) __builtin_fmaf(a, b, c)
#define fastxent_fma_exact(a, b, c) __builtin_fma(a, b, c)
#else
#define fastxent_fmaf(a, b, c) fastxent_emulated_fmaf(a, b, c)
#define fastxent_fma(a, b, c) fastxent_emulated_fma(a, b, c)
#define fastxent_fma_bounded(a, b, c) fastxent_emulated_fma_bounded(a, b, c)
#define fastxent_fmaf_wide(a, b, c) ((float)((double)(a) * (b) + (c)))
#define fastxent_fmaf_exact(a, b, c) ((a) * (b) + (c))
#define fastxent_fma_exact(a, b, c) ((a) * (b) + (c))
#endif

/* ---- half precision ------------------------------------------------------------------------ */

/* An instruction that no compiler finds in the loop of load.pxd; as exact. */
#if defined(__AVX512F__)
#define fastxent_has_widen 1
static inline void fastxent_widen(const uint16_t* source, float* target)
{
    _mm512_storeu_ps(target, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)source)));
}
#elif defined(__F16C__)
#define fastxent_has_widen 1
static inline void fastxent_widen(const uint16_t* source, float* target)
{
    _mm256_storeu_ps(target, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)source)));
    _mm256_storeu_ps(target + 8, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(source + 8))));
}
#else
#define fastxent_has_widen 0
#define fastxent_widen(source, target) ((void)(source))
#endif

/* The other way, to nearest and ties to even; a NaN stays one. */
static inline uint16_t fastxent_bfloat16(float value)
{
    uint32_t bits, rounded;
    memcpy(&bits, &value, 4);
    rounded = bits + 0x7FFF + (bits >> 16 & 1);
    return ((bits & 0x7FFFFFFF) > 0x7F800000 ? bits | 0x400000 : rounded) >> 16;
}

static inline uint16_t fastxent_float16(float value)
{
    uint32_t bits, magnitude, half, small;
    float shifted;
    memcpy(&bits, &value, 4);
    magnitude = bits & 0x7FFFFFFF;
    half = (magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13;
    /* The last place of 0.5 is that of float16's subnormals. */
    memcpy(&shifted, &magnitude, 4);
    shifted += 0.5f;
    memcpy(&small, &shifted, 4);
    half = magnitude < 0x38800000 ? small - 0x3F000000 : half;
    half = magnitude >= 0x477FF000 ? 0x7C00 : half;
    half = magnitude > 0x7F800000 ? 0x7E00 | (magnitude >> 13 & 0x3FF) : half;
    return half | (bits >> 16 & 0x8000);
}

/* Never inlined: many places call it. */
#if defined(__GNUC__)
__attribute__((noinline, unused))
#endif
static void fastxent_narrow(int to_float16, const float* source, int n, uint16_t* target)
{
    Py_ssize_t i = 0;
    if (!to_float16) {
        for (; i < n; i++)
            target[i] = fastxent_bfloat16(source[i]);
        return;
    }
#if defined(__F16C__)
    for (const Py_ssize_t whole = n - n % 8; i < whole; i += 8)
        _mm_storeu_si128((__m128i*)(target + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT));
#endif
    for (; i < n; i++)
        target[i] = fastxent_float16(source[i]);
}

/* ---- stores that bypass the caches --------------------------------------------------------- */

#if defined(__AVX512F__)
#define FASTXENT_WIDTH 64
#define FASTXENT_STREAM(to, from) _mm512_stream_si512((__m512i*)(to), _mm512_loadu_si512(from))
#elif defined(__AVX__)
#define FASTXENT_WIDTH 32
#define FASTXENT_STREAM(to, from) \
    _mm256_stream_si256((__m256i*)(to), _mm256_loadu_si256((const __m256i*)(from)))
#elif defined(__SSE2__)
#define FASTXENT_WIDTH 16
#define FASTXENT_STREAM(to, from) \
    _mm_stream_si128((__m128i*)(to), _mm_loadu_si128((const __m128i*)(from)))
#endif

/* memcpy past the caches: what is written is not read into them first. */
static inline void fastxent_stream(char* to, const char* from, Py_ssize_t size)
{
#ifdef FASTXENT_WIDTH
    Py_ssize_t head = -(size_t)to % FASTXENT_WIDTH;
    if (head > size)
        head = size;
    memcpy(to, from, head);
    for (; head + FASTXENT_WIDTH <= size; head += FASTXENT_WIDTH)
        FASTXENT_STREAM(to + head, from + head);
    memcpy(to + head, from + head, size - head);
#else
    memcpy(to, from, size);
#endif
}

/* Before another thread reads what was streamed. */
static inline void fastxent_fence(void)
{
#ifdef FASTXENT_WIDTH
    _mm_sfence();
#endif
}

/* ---- prefetch ------------------------------------------------------------------------------ */

#if defined(__GNUC__)
#define fastxent_prefetch(address) __builtin_prefetch((address), 0, 3)
#else
#define fastxent_prefetch(address) ((void)(address))
#endif

/* ---- transposes: 4 x 4 floats, 2 x 2 doubles ------------------------------------------------ */

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define FASTXENT_SHUFFLES
#endif
#endif

#ifndef FASTXENT_SHUFFLES
#define FASTXENT_TILES 0
#define fastxent_transpose4x4_rows(source, step, tile, tile_step) ((void)(source))
#define fastxent_transpose4x4_tile(tile, tile_step, target, step) ((void)(tile))
#define fastxent_transpose2x2_rows(source, step, tile, tile_step) ((void)(source))
#define fastxent_transpose2x2_tile(tile, tile_step, target, step) ((void)(tile))
#else
/* Squares of four rows of four floats that are turned at a time, side by side in registers.
 * Two rows of two doubles are a square as well: a double is two floats that stay together. */
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

static inline void fastxent_transpose2x2_rows(const double* source, Py_ssize_t step, double* tile,
                                              Py_ssize_t tile_step)
{
    fastxent_row_group even = fastxent_load_side_by_side((const float*)source, step);
    fastxent_row_group odd = fastxent_load_side_by_side((const float*)(source + step), step);
    fastxent_row_group first = FASTXENT_PICK(even, odd, 0, 1, 4, 5);
    fastxent_row_group second = FASTXENT_PICK(even, odd, 2, 3, 6, 7);
    memcpy(tile, &first, sizeof first);
    memcpy(tile + tile_step, &second, sizeof second);
}

static inline void fastxent_transpose2x2_tile(const double* tile, Py_ssize_t tile_step,
                                              double* target, Py_ssize_t step)
{
    fastxent_row_group first, second, even, odd;
    memcpy(&first, tile, sizeof first);
    memcpy(&second, tile + tile_step, sizeof second);
    even = FASTXENT_PICK(first, second, 0, 1, 4, 5);
    odd = FASTXENT_PICK(first, second, 2, 3, 6, 7);
    for (int s = 0; s < FASTXENT_TILES; s++) {
        memcpy(target + 2 * s * step, (const float*)&even + 4 * s, 16);
        memcpy(target + (2 * s + 1) * step, (const float*)&odd + 4 * s, 16);
    }
}
#endif

/* ---- the levels and the processor: for engine.pyx, which setup.py tells of them ------------ */

#ifdef FASTXENT_VERSION

#ifndef FASTXENT_LEVELS
#define FASTXENT_LEVELS(ROW)
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#define FASTXENT_CPU_INIT() __builtin_cpu_init()
/* gcc 10 and clang 18 cannot be asked for F16C: bit 29 of ECX of leaf 1 (Intel's manual, volume 2A, CPUID).
   Whether the system saves the registers is part of the answer for AVX2. */
static inline int fastxent_has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
}
#else
#define FASTXENT_CPU_INIT() ((void)0)
#endif

/* FASTXENT_LEVELS(ROW) is ROW(name, check) for each level beyond the baseline. */
typedef struct {
    const char* name;
    int (*runs)(void);
} fastxent_level;
#define FASTXENT_RUNS(level, check) \
    static int fastxent_runs_##level(void) { return check; }
#define FASTXENT_ROW(level, check) {#level, fastxent_runs_##level},
FASTXENT_LEVELS(FASTXENT_RUNS)
static const fastxent_level fastxent_levels[] = {FASTXENT_LEVELS(FASTXENT_ROW){NULL, NULL}};

#if defined(__clang__)
#define FASTXENT_COMPILER __VERSION__
#elif defined(__GNUC__)
#define FASTXENT_COMPILER "gcc " __VERSION__
#elif defined(_MSC_VER)
#define FASTXENT_TEXT_(number) #number
#define FASTXENT_TEXT(number) FASTXENT_TEXT_(number)
#define FASTXENT_COMPILER "MSVC " FASTXENT_TEXT(_MSC_FULL_VER)
#else
#define FASTXENT_COMPILER "unknown"
#endif

#endif /* FASTXENT_VERSION */

#endif /* FASTXENT_SIMD_H */

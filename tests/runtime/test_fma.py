"""The fused multiply-add of every level: rounded once, with the same bits as the processor's.

FASTXENT_FMA_TRIPLES=300000000 asks for that many triples rather than the few millions of each run.
"""

from __future__ import annotations

import importlib
import math
import os
from fractions import Fraction

import numpy as np
import pytest

from fastxent._kernels.engine import fma_arrays, supported_levels

FUSED, BOUNDED, APART = range(3)
TRIPLES = int(os.environ.get("FASTXENT_FMA_TRIPLES", "3000000"))
BATCH = 1_000_000
DTYPES = (np.float32, np.float64)
SPECIAL = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan)


def on_level(level, kind, a, b, c):
    module = importlib.import_module(f"fastxent._kernels.levels.{level}")
    out = np.empty_like(a)
    fma_arrays(module.table, kind, a, b, c, out)
    return out


def bits(x):
    """Of NaN, the sign and the payload are free."""
    return np.where(np.isnan(x), np.nan, x).view(f"u{x.itemsize}")


def with_exponent(rng, x, low, high):
    """Random signs and fractions, with a given range of exponents; a few bits only for some."""
    info = np.finfo(x.dtype)
    fraction = rng.integers(0, 1 << info.nmant, x.size)
    short = rng.random(x.size) < 0.3
    fraction[short] &= -1 << rng.integers(info.nmant // 2, info.nmant, np.count_nonzero(short))
    size = 1.0 + fraction * 0.5**info.nmant
    with np.errstate(over="ignore", under="ignore"):
        x[:] = np.ldexp(size.astype(x.dtype), rng.integers(low, high, x.size))
    x *= rng.choice(np.array([-1, 1], x.dtype), x.size)


def neighbours(rng, x):
    """x, or one of the numbers next to it."""
    integers = x.view(f"i{x.itemsize}") + rng.integers(-2, 3, x.size, dtype=f"i{x.itemsize}")
    return integers.view(x.dtype)


def hard_triples(dtype, n, seed, exponents=None):
    """Ties, cancellation, results among the subnormals and at the largest number, specials.

    `exponents` is the range of those of a and b; c goes with a * b.
    """
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    a, b, c = (np.empty(n, dtype) for _ in range(3))
    lowest = int(info.minexp) - int(info.nmant)
    low, high = exponents or (lowest, int(info.maxexp))
    for x in (a, b, c):
        with_exponent(rng, x, low, high)
    part = [slice(i * n // 6, (i + 1) * n // 6) for i in range(6)]
    with np.errstate(all="ignore"):
        # c beside the product, with every distance of their exponents
        for k in (1, 2):
            product = a[part[k]] * b[part[k]]
            shift = rng.integers(-2 * info.nmant - 8, 2 * info.nmant + 8, product.size)
            c[part[k]] = np.ldexp(product, shift.astype(np.int32))
            c[part[k]] = neighbours(rng, c[part[k]])
        c[part[3]] = neighbours(rng, -(a[part[3]] * b[part[3]]))
        c[part[4]] = -(a[part[4]] * b[part[4]])
        if exponents is None:
            for k, edge in ((2, int(info.minexp)), (3, int(info.minexp)), (4, int(info.maxexp))):
                size = part[k].stop - part[k].start
                goal = edge + rng.integers(-info.nmant - 6, info.nmant + 6, size)
                now = np.frexp(a[part[k]])[1] + np.frexp(b[part[k]])[1]
                b[part[k]] = np.ldexp(b[part[k]], (goal - now).astype(np.int32))
                product = a[part[k]] * b[part[k]]
                wanted = rng.random(size) < 0.6
                c[part[k]][wanted] = neighbours(rng, -product)[wanted]
            for x in (a, b, c):
                places = rng.integers(0, n, n // 50)
                x[places] = rng.choice(
                    np.array([*SPECIAL, info.max, info.tiny], dtype), places.size
                )
                x[rng.integers(0, n, n // 50)] = info.smallest_subnormal
    return a, b, c


def exact(a, b, c, dtype):
    """a * b + c of three finite numbers, rounded once."""
    info = np.finfo(dtype)
    value = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if value == 0:
        return float(a) * float(b) + float(c) if 0 in (a * b, c) else 0.0
    top = value.numerator.bit_length() - value.denominator.bit_length()
    exponent = top + (abs(value) >= Fraction(2) ** top)
    last = Fraction(2) ** max(exponent - info.nmant - 1, int(info.minexp) - int(info.nmant))
    rounded = round(value / last) * last
    if abs(rounded) > Fraction(float(info.max)):
        return math.inf if value > 0 else -math.inf
    return float(rounded) if rounded else (0.0 if value > 0 else -0.0)


@pytest.mark.parametrize("level", supported_levels())
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_rounded_once(level, dtype):
    a, b, c = hard_triples(dtype, 6000, 1)
    finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c) & (a != 0) & (b != 0)
    a, b, c = a[finite], b[finite], c[finite]
    with np.errstate(all="ignore"):
        wanted = np.array([exact(*triple, dtype) for triple in zip(a, b, c, strict=True)], dtype)
    np.testing.assert_array_equal(bits(on_level(level, FUSED, a, b, c)), bits(wanted))


@pytest.mark.parametrize("level", supported_levels())
@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_infinities_and_nan(level, dtype):
    numbers = np.array([*SPECIAL, np.finfo(dtype).max, -np.finfo(dtype).tiny, 3.5], dtype)
    a, b, c = (x.ravel().copy() for x in np.meshgrid(numbers, numbers, numbers))
    finite = np.isfinite(a) & np.isfinite(b)
    got = on_level(level, FUSED, a, b, c)
    with np.errstate(all="ignore"):
        apart = a * b + c
        # A product of finite numbers is finite before it is rounded.
        wanted = np.where(finite & np.isinf(c), c, apart)
    easy = ~np.isfinite(wanted) & ~(finite & np.isfinite(c))
    np.testing.assert_array_equal(bits(got[easy]), bits(wanted[easy]))
    zero = (a == 0) | (b == 0)
    np.testing.assert_array_equal(bits(got[zero]), bits(apart[zero]))


@pytest.mark.skipif("avx2" not in supported_levels(), reason="no hardware to compare with")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_emulation_has_the_bits_of_the_hardware(dtype):
    for seed in range(max(1, TRIPLES // BATCH)):
        arrays = hard_triples(dtype, min(BATCH, TRIPLES), seed)
        emulated = bits(on_level("baseline", FUSED, *arrays))
        for level in supported_levels()[1:]:
            np.testing.assert_array_equal(emulated, bits(on_level(level, FUSED, *arrays)))


@pytest.mark.skipif("avx2" not in supported_levels(), reason="no hardware to compare with")
@pytest.mark.parametrize("exponents", [(-60, 60), (-440, 430)])
def test_the_bounded_emulation_has_the_bits_of_the_hardware(exponents):
    for seed in range(max(1, TRIPLES // BATCH)):
        arrays = hard_triples(np.float64, min(BATCH, TRIPLES), seed, exponents)
        emulated = bits(on_level("baseline", BOUNDED, *arrays))
        np.testing.assert_array_equal(emulated, bits(on_level("avx2", BOUNDED, *arrays)))


@pytest.mark.parametrize("level", supported_levels())
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_compiler_fuses_what_is_apart(level, dtype):
    a, b, c = hard_triples(dtype, 200_000, 3, (-20, 20))
    apart = bits(on_level(level, APART, a, b, c))
    np.testing.assert_array_equal(apart, bits(a * b + c))
    assert np.count_nonzero(apart != bits(on_level(level, FUSED, a, b, c))) > 10_000


def test_arrays_that_do_not_fit_raise():
    x, y = np.ones(3), np.ones(3, np.float32)
    table = importlib.import_module("fastxent._kernels.levels.baseline").table
    for arrays in [
        (x, x, x, y),
        (x, x, x, np.ones(4)),
        (x, x, x, np.ones(6)[::2]),
        (x.astype(int),) * 4,
    ]:
        with pytest.raises(TypeError, match="contiguous"):
            fma_arrays(table, FUSED, *arrays)

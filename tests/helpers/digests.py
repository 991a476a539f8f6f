"""Digests of a fixed list of calls, one line each: for comparing two levels or machines.

Run as a program, under FASTXENT_SIMD; arguments name the groups of calls, if not all. Before a
digest is printed, the same call is made with every number of workers, dtype of the labels and
layout: all must give the same bits.
"""

from __future__ import annotations

import _thread
import hashlib
import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from helpers.layouts import LAYOUTS, Array
from helpers.losses import loss

# None is a multiple of a lane, a block or a chunk; the last of each takes several chunks.
SIZES = [1, 33, 1025, 4099, 70_001]
ROWS = [(1, 1), (3, 2), (129, 10), (67, 32), (67, 33), (41, 100), (3, 5003), (25_011, 3)]
# Work enough for seven threads.
MANY = 2_000_003
MANY_ROWS = [(300_007, 3), (30_011, 33), (9, 130_003)]
LABELS = ["bool", "uint8", "int16", "uint32", "int64", "float16", "float32", "float64"]
FEW = ["bool", "int64", "float32"]
FLOATS = ["float16", "float32", "float64"]
CAPPED = ("categorical_cross_entropy_with_logits", "categorical_cross_entropy_value_and_grad")
FOCAL = [
    [f"{kind}_focal_loss{end}" for end in ("", "_value_and_grad", "_grad_hess")]
    for kind in ("binary", "categorical")
]
LABEL_LAYOUTS = ["strided", "backwards", "swapped_strided", "unaligned"]


def dtypes() -> list[np.dtype[Any]]:
    known = [np.dtype(d) for d in ("float64", "float32", "float16")]
    try:
        import ml_dtypes
    except ImportError:
        return known
    return [*known, np.dtype(ml_dtypes.bfloat16)]


def spread(rng: Any, shape: Any, width: float) -> Array:
    """Numbers around 0, made without functions whose result depends on the machine."""
    return width * (rng.random(shape) + rng.random(shape) + rng.random(shape) - 1.5)


def squashed(z: Array) -> Array:
    """The numbers, brought into (0, 1)."""
    return 0.5 + 0.5 * z / (1 + np.abs(z))


def rows_of_one(rng: Any, shape: tuple[int, int]) -> Array:
    """A distribution in each row: whole numbers over 2^40, so that every sum is exact."""
    cuts = rng.integers(0, 2**40, shape)
    cuts.sort(axis=1)
    cuts[:, -1] = 2**40
    return np.diff(cuts, axis=1, prepend=0) / 2**40


def bits(value: Any) -> bytes:
    parts = value if isinstance(value, tuple) else (value,)
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


def same(
    name: str, calls: Iterator[tuple[tuple[Array, ...], dict[str, Any]]], **options: Any
) -> str:
    """One digest of what all the calls must share, over the three reductions."""
    whole = hashlib.sha256()
    calls = list(calls)
    fixed = name.endswith("hess") or name == "logit_statistics"
    for reduction in ("mean",) if fixed else ("mean", "sum", "none"):
        how = options if fixed else options | {"reduction": reduction}
        first = bits(loss(name)(*calls[0][0], **how, **calls[0][1]))
        for args, more in calls[1:]:
            got = bits(loss(name)(*args, **how, **more))
            assert got == first, (name, reduction, more, [(a.dtype, a.strides) for a in args])
        whole.update(first)
    return whole.hexdigest()[:16]


def variants(
    y: Array, scores: Array, labels: list[str], **arrays: Array
) -> Iterator[tuple[tuple[Array, ...], dict[str, Any]]]:
    """The same call by other workers, with other labels, from other layouts."""
    yield (y, scores), arrays
    for dtype in labels:
        yield (y.astype(dtype), scores), arrays
    for made in LAYOUTS.values():
        yield (y, made(scores)), arrays
    for layout in LABEL_LAYOUTS:
        moved = {k: LAYOUTS[layout](a) for k, a in arrays.items()}
        yield (LAYOUTS[layout](y), LAYOUTS["strided"](scores)), moved | {"workers": 7}


def binary(rng: Any) -> Iterator[str]:
    for n, dtype in itertools.product(SIZES, dtypes()):
        z = spread(rng, n, 8)
        hard, soft, w = rng.integers(0, 2, n), rng.random(n), rng.random(n)
        mask = rng.random(n) < 0.8
        sixteenths = np.round(16 * soft) / 16  # exact in every type
        for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
            scores = (z if name.endswith("logits") else squashed(z)).astype(dtype)
            for tag, digest in {
                "hard": same(name, variants(hard, scores, LABELS)),
                "soft": same(name, variants(soft, scores, [])),
                "weights": same(name, variants(hard, scores, FEW, sample_weight=w)),
                "where": same(name, variants(hard, scores, FEW, where=mask)),
                "smooth": same(name, variants(hard, scores, FEW), label_smoothing=0.1),
                "all": same(name, variants(soft, scores, [], sample_weight=w, where=mask)),
            }.items():
                yield f"{name} {n} {dtype.name} {tag} {digest}"
        for name in ("binary_cross_entropy_value_and_grad", "binary_cross_entropy_grad_hess"):
            for tag, digest in {
                "weights": same(name, variants(hard, z.astype(dtype), FEW, sample_weight=w)),
                "soft": same(name, variants(sixteenths, z.astype(dtype), FLOATS, where=mask)),
                "smooth": same(name, variants(hard, z.astype(dtype), FEW), label_smoothing=0.1),
            }.items():
                yield f"{name} {n} {dtype.name} {tag} {digest}"
        for name in FOCAL[0]:
            digest = same(name, variants(soft, z.astype(dtype), [], where=mask), gamma=2.7)
            digest += same(name, variants(hard, z.astype(dtype), [], sample_weight=w), alpha=0.25)
            yield f"{name} {n} {dtype.name} {digest}"


def categorical(rng: Any) -> Iterator[str]:
    for (n, classes), dtype in itertools.product(ROWS, dtypes()):
        z = spread(rng, (n, classes), 6)
        p = rows_of_one(rng, (n, classes))
        index, w = rng.integers(0, classes, n), rng.random(n)
        onehot, soft = np.eye(classes)[index] if classes < 2000 else p, p[::-1].copy()
        weights = rng.random(classes)
        kinds = [k for k in LABELS if k[0] in "iu" and np.iinfo(k).max >= classes]
        kinds += ["float32", "float64"]
        some = [k for k in LABELS if classes < 2000 and n < 1000]
        for name in ("categorical_cross_entropy", "categorical_cross_entropy_with_logits"):
            scores = (z if name.endswith("logits") else p).astype(dtype)
            for tag, digest in {
                "index": same(name, variants(index, scores, kinds)),
                "onehot": same(name, variants(onehot, scores, some)),
                "soft": same(name, variants(soft, scores, [])),
                "weights": same(name, variants(index, scores, [], sample_weight=w)),
                "classes": same(name, variants(index, scores, []), class_weight=weights),
                "smooth": same(name, variants(index, scores, []), label_smoothing=0.1),
            }.items():
                yield f"{name} {n}x{classes} {dtype.name} {tag} {digest}"
            turned = np.ascontiguousarray(scores.T)
            alone = same(name, iter([((index, scores), {})]))
            assert same(name, variants(index, turned, []), axis=0) == alone
        for name in (
            "categorical_cross_entropy_value_and_grad",
            "categorical_cross_entropy_grad_hess",
        ):
            scores, mask = z.astype(dtype), w < 0.8
            digest = same(name, variants(index, scores, [], sample_weight=w))
            digest += same(name, variants(index, scores, [], where=mask), label_smoothing=0.1)
            digest += same(name, variants(soft, scores, [], where=mask))
            yield f"{name} {n}x{classes} {dtype.name} {digest}"
        for name, labels in itertools.product(CAPPED, (index, soft)):
            calls = variants(labels, z.astype(dtype), [], where=mask)
            yield f"{name} {n}x{classes} {dtype.name} {same(name, calls, softcap=9.0, z_loss=0.1)}"
        for name in FOCAL[1]:
            calls = variants(index, z.astype(dtype), [], sample_weight=w)
            digest = same(name, calls, gamma=2.7, alpha=weights)
            digest += same(name, iter([((soft, z.astype(dtype)), {})]))
            yield f"{name} {n}x{classes} {dtype.name} {digest}"


def large(rng: Any) -> Iterator[str]:
    """By 1, 2 and 7 workers, contiguous and not."""
    shapes = [(MANY,), *MANY_ROWS]
    for shape, dtype in itertools.product(shapes, dtypes()):
        z = spread(rng, shape, 2)
        kind = "binary" if len(shape) == 1 else "categorical"
        y = rng.integers(0, 2 if len(shape) == 1 else shape[1], shape[0])
        for end in ("", "_with_logits", "_value_and_grad", "_grad_hess"):
            name = f"{kind}_cross_entropy{end}"
            scores = (z if end else squashed(z)).astype(dtype)
            calls = [((y, scores), {"workers": workers}) for workers in (1, 2, 7)]
            calls += [((y, LAYOUTS["backwards"](scores)), {"workers": 2})]
            yield f"{name} {shape} {dtype.name} {same(name, iter(calls))}"
    assert _thread._count() > 0, "no thread was made: nothing was compared"


def others(rng: Any) -> Iterator[str]:
    for n, dtype in itertools.product(SIZES, dtypes()):
        y, mean = spread(rng, (2, n), 4)
        mean, var = mean.astype(dtype), 1 / (1 + rng.random(n))
        calls = [((y, mean, var), {})]
        calls += [((made(y), made(mean), made(var)), {}) for made in LAYOUTS.values()]
        yield f"gaussian_nll {n} {dtype.name} {same('gaussian_nll', iter(calls))}"
        for name in ("poisson_nll", "poisson_nll_value_and_grad", "poisson_nll_grad_hess"):
            counts = abs(y).round()
            calls = [((counts, mean), {})]
            calls += [((made(counts), made(mean)), {}) for made in LAYOUTS.values()]
            yield f"{name} {n} {dtype.name} {same(name, iter(calls))}"
    for (n, classes), dtype in itertools.product(ROWS, dtypes()):
        q, p = (rows_of_one(rng, (n, classes)).astype(dtype) for _ in range(2))
        for name, args in (("entropy", (p,)), ("kl_divergence", (q, p))):
            calls = [(args, {})]
            calls += [(tuple(map(made, args)), {}) for made in LAYOUTS.values()]
            yield f"{name} {n}x{classes} {dtype.name} {same(name, iter(calls))}"


def rows_of_logits(rng: Any) -> Iterator[str]:
    """What is computed from rows of logits besides the losses."""
    for (n, classes), dtype in itertools.product([*ROWS, (2, 130_003)], dtypes()):
        z, y = spread(rng, (n, classes), 6).astype(dtype), rng.integers(0, classes, n)
        calls = [((y, z), {}), ((y, z), {"workers": 7})]
        calls += [((y, made(z)), {}) for made in LAYOUTS.values()]
        for name in ("kl_divergence_with_logits", "kl_divergence_with_logits_value_and_grad"):
            q = (z.astype(float) + spread(rng, z.shape, 1)).astype(dtype)
            pairs = [((q, z), {}), ((q, z), {"workers": 7})]
            pairs += [((made(q), made(z)), {}) for made in LAYOUTS.values()]
            yield f"{name} {n}x{classes} {dtype.name} {same(name, iter(pairs))}"
        yield f"logit_statistics {n}x{classes} {dtype.name} {same('logit_statistics', iter(calls))}"


if __name__ == "__main__":
    import fastxent

    print(fastxent.simd_level())
    groups = {
        group.__name__: group for group in (binary, categorical, others, rows_of_logits, large)
    }
    for name in sys.argv[1:] or groups:
        for line in groups[name](np.random.default_rng(99)):
            print(line, flush=True)

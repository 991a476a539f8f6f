"""Every loss against JAX's jit: each dtype, number of classes, option and derivative, on one thread.

    python benchmarks/sweep.py [part of a row's name ...] [--seconds 0.2] [--clock cpu] [--json FILE]

A figure is JAX's time over fastxent's, the median of pairs timed by turns; below 1, JAX is faster.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from timing import CLOCKS, Clock, interleaved
from workloads import logits, softmax

import fastxent
import peers  # noqa: F401 - one thread, before jax is imported

import jax  # isort: skip
from jax import numpy as jnp  # isort: skip
from jax.nn import logsumexp, one_hot, softplus  # isort: skip

jax.config.update("jax_enable_x64", True)

SCORES = 1 << 23
CLASSES = (2, 3, 10, 32, 33, 100, 1000, 128256)
DTYPES = ("float32", "float64")

Data = SimpleNamespace
Loss = Callable[[Data], Any]
#: What fastxent is called for, and the same in jax.numpy.
Pair = tuple[Loss, Loss]


# ---- the losses in jax.numpy, one number for each row or element ---------------------------


def ce(d: Data) -> Any:
    return logsumexp(d.z, axis=1) - picked(d.z, d.y)


def ce_soft(d: Data, q: Any = None) -> Any:
    q = d.q if q is None else q
    return logsumexp(d.z, axis=1) * q.sum(1) - (q * d.z).sum(1)


def ce_smooth(d: Data) -> Any:
    return logsumexp(d.z, axis=1) - 0.9 * picked(d.z, d.y) - 0.1 * d.z.mean(1)


def ce_of_proba(d: Data, q: Any) -> Any:
    return -(q * jnp.log(jnp.clip(d.p, d.eps, 1 - d.eps))).sum(1)


def picked(table: Any, y: Any) -> Any:
    return jnp.take_along_axis(table, y[:, None], 1)[:, 0]


def entropy(d: Data) -> Any:
    return -jnp.where(d.p > 0, d.p * jnp.log(d.p), 0).sum(1)


def kl(d: Data) -> Any:
    return jnp.where(d.q > 0, d.q * jnp.log(d.q / d.p), 0).sum(1)


def bce(d: Data, y: Any) -> Any:
    p = jnp.clip(d.p, d.eps, 1 - d.eps)
    return -(y * jnp.log(p) + (1 - y) * jnp.log1p(-p))


def bce_of_logits(d: Data, y: Any) -> Any:
    return softplus(d.z) - y * d.z


def bce_pos_weight(d: Data, y: Any) -> Any:
    return 3 * y * softplus(-d.z) + (1 - y) * softplus(d.z)


def focal(d: Data, y: Any) -> Any:
    p = jax.nn.sigmoid(d.z)
    return bce_of_logits(d, y) * (p + y - 2 * p * y) ** 2


def gaussian(d: Data, var: Any) -> Any:
    return 0.5 * (jnp.log(var) + (d.y - d.z) ** 2 / var)


def weighted(losses: Any, w: Any) -> Any:
    return (w * losses).sum() / w.sum()


def derived(loss: Loss) -> Loss:
    """The mean and its gradient by the logits."""

    def both(d: Data) -> Any:
        return jax.value_and_grad(lambda z: loss(Data(**{**vars(d), "z": z})).mean())(d.z)

    return both


def row_hessians(d: Data) -> Any:
    p = jax.nn.softmax(d.z, axis=1)
    return p - one_hot(d.y, p.shape[1], dtype=p.dtype), p * (1 - p)


def hessians(d: Data) -> Any:
    p = jax.nn.sigmoid(d.z)
    return p - d.y, p * (1 - p)


# ---- the table -----------------------------------------------------------------------------

f = fastxent
_ce, _cep = f.categorical_cross_entropy_with_logits, f.categorical_cross_entropy
_vg, _gh = f.categorical_cross_entropy_value_and_grad, f.categorical_cross_entropy_grad_hess
_bp, _bz = f.binary_cross_entropy, f.binary_cross_entropy_with_logits
_bvg, _bgh = f.binary_cross_entropy_value_and_grad, f.binary_cross_entropy_grad_hess

#: Of rows of classes.
ROWS: dict[str, Pair] = {
    "CE of logits": (lambda d: _ce(d.y, d.z), lambda d: ce(d).mean()),
    "smoothing": (lambda d: _ce(d.y, d.z, label_smoothing=0.1), lambda d: ce_smooth(d).mean()),
    "distributions": (lambda d: _ce(d.q, d.z), lambda d: ce_soft(d).mean()),
    "weights": (lambda d: _ce(d.y, d.z, sample_weight=d.w), lambda d: weighted(ce(d), d.w)),
    "class weights": (
        lambda d: _ce(d.y, d.z, class_weight=d.class_weight),
        lambda d: weighted(ce(d), d.class_weight[d.y]),
    ),
    "ignore_index": (lambda d: _ce(d.y, d.z, ignore_index=1), lambda d: weighted(ce(d), d.y != 1)),
    "where": (lambda d: _ce(d.y, d.z, where=d.mask), lambda d: weighted(ce(d), d.mask)),
    "none": (lambda d: _ce(d.y, d.z, reduction="none"), ce),
    "value and gradient": (lambda d: _vg(d.y, d.z), derived(ce)),
    "value and gradient, smoothing": (
        lambda d: _vg(d.y, d.z, label_smoothing=0.1),
        derived(ce_smooth),
    ),
    "value and gradient, distributions": (lambda d: _vg(d.q, d.z), derived(ce_soft)),
    "gradient and Hessian": (lambda d: _gh(d.y, d.z), row_hessians),
    "CE of probabilities": (
        lambda d: _cep(d.y, d.p),
        lambda d: -jnp.log(jnp.clip(picked(d.p, d.y), d.eps, 1 - d.eps)).mean(),
    ),
    "probabilities, distributions": (
        lambda d: _cep(d.q, d.p),
        lambda d: ce_of_proba(d, d.q).mean(),
    ),
    "entropy": (lambda d: f.entropy(d.p), lambda d: entropy(d).mean()),
    "KL divergence": (lambda d: f.kl_divergence(d.q, d.p, eps=0.0), lambda d: kl(d).mean()),
}

#: Of one number for each loss.
ELEMENTS: dict[str, Pair] = {
    "BCE": (lambda d: _bp(d.y, d.p), lambda d: bce(d, d.y).mean()),
    "BCE, bool labels": (lambda d: _bp(d.hard, d.p), lambda d: bce(d, d.hard).mean()),
    "BCE, soft labels": (lambda d: _bp(d.q, d.p), lambda d: bce(d, d.q).mean()),
    "BCE, weights": (
        lambda d: _bp(d.y, d.p, sample_weight=d.w),
        lambda d: weighted(bce(d, d.y), d.w),
    ),
    "BCE, where": (
        lambda d: _bp(d.y, d.p, where=d.mask),
        lambda d: weighted(bce(d, d.y), d.mask),
    ),
    "BCE, smoothing": (
        lambda d: _bp(d.y, d.p, label_smoothing=0.1),
        lambda d: bce(d, 0.9 * d.y + 0.05).mean(),
    ),
    "BCE, none": (lambda d: _bp(d.y, d.p, reduction="none"), lambda d: bce(d, d.y)),
    "BCE of logits": (lambda d: _bz(d.y, d.z), lambda d: bce_of_logits(d, d.y).mean()),
    "logits, soft labels": (lambda d: _bz(d.q, d.z), lambda d: bce_of_logits(d, d.q).mean()),
    "logits, weights": (
        lambda d: _bz(d.y, d.z, sample_weight=d.w),
        lambda d: weighted(bce_of_logits(d, d.y), d.w),
    ),
    "logits, where": (
        lambda d: _bz(d.y, d.z, where=d.mask),
        lambda d: weighted(bce_of_logits(d, d.y), d.mask),
    ),
    "logits, pos_weight": (
        lambda d: _bz(d.y, d.z, pos_weight=3.0),
        lambda d: bce_pos_weight(d, d.y).mean(),
    ),
    "logits, none": (
        lambda d: _bz(d.y, d.z, reduction="none"),
        lambda d: bce_of_logits(d, d.y),
    ),
    "logits, value and gradient": (
        lambda d: _bvg(d.y, d.z),
        derived(lambda d: bce_of_logits(d, d.y)),
    ),
    "logits, value and gradient, soft labels": (
        lambda d: _bvg(d.q, d.z),
        derived(lambda d: bce_of_logits(d, d.q)),
    ),
    "logits, gradient and Hessian": (lambda d: _bgh(d.y, d.z), hessians),
    "focal": (lambda d: f.binary_focal_loss(d.y, d.z), lambda d: focal(d, d.y).mean()),
    "Gaussian": (
        lambda d: f.gaussian_nll(d.y, d.z),
        lambda d: 0.5 * ((d.y - d.z) ** 2).mean(),
    ),
    "Gaussian, variances": (
        lambda d: f.gaussian_nll(d.y, d.z, d.var),
        lambda d: gaussian(d, d.var).mean(),
    ),
    "Gaussian, none": (
        lambda d: f.gaussian_nll(d.y, d.z, d.var, reduction="none"),
        lambda d: gaussian(d, d.var),
    ),
    "Poisson": (
        lambda d: f.poisson_nll(d.count, d.z),
        lambda d: (jnp.exp(d.z) - d.count * d.z).mean(),
    ),
}


def rows_of(classes: int, dtype: str) -> Data:
    n = max(1, SCORES // classes)
    z = logits(n * classes).reshape(n, classes).astype(dtype)
    rng = np.random.default_rng(1)
    return Data(
        z=z,
        p=softmax(z),
        q=softmax(z[::-1] * 0.5),
        y=rng.integers(classes, size=n),
        w=rng.random(n).astype(dtype),
        mask=rng.random(n) < 0.9,
        class_weight=rng.random(classes),
        eps=np.finfo(dtype).eps,
    )


def elements_of(dtype: str) -> Data:
    z = logits(SCORES)
    rng = np.random.default_rng(1)
    p = 1 / (1 + np.exp(-z))
    hard = rng.random(SCORES, dtype=np.float32) < p
    return Data(
        z=z.astype(dtype),
        p=p.astype(dtype),
        y=hard.astype(dtype),
        hard=hard,
        q=(hard * 0.8 + 0.1).astype(dtype),
        w=rng.random(SCORES).astype(dtype),
        mask=rng.random(SCORES) < 0.9,
        var=(rng.random(SCORES) + 0.5).astype(dtype),
        count=rng.poisson(1.0, SCORES).astype(dtype),
        eps=np.finfo(dtype).eps,
    )


# ---- measuring -----------------------------------------------------------------------------


def measure(pair: Pair, data: Data, on_device: Data, budget: float, clock: Clock) -> Any:
    ours, theirs = pair
    jitted = jax.jit(lambda arrays: theirs(Data(**arrays)))
    arrays = vars(on_device)
    agree(ours(data), jitted(arrays))
    return interleaved(
        lambda: ours(data), lambda: jax.block_until_ready(jitted(arrays)), budget, clock=clock
    )


def agree(ours: Any, theirs: Any) -> None:
    """Before they are timed: the same numbers, but for rounding."""
    for mine, its in zip(ours, theirs, strict=True) if type(ours) is tuple else [(ours, theirs)]:
        its = np.asarray(its)
        assert np.abs(mine - its).max() <= 2e-3 * np.abs(its).max()


def results(names: list[str], budget: float, clock: Clock) -> Iterator[dict[str, Any]]:
    """One record for each case, as soon as it is measured."""
    for dtype in DTYPES:
        for classes in (None, *CLASSES):
            table = ELEMENTS if classes is None else ROWS
            wanted = [n for n in table if not names or any(part in n for part in names)]
            if not wanted:
                continue
            data = elements_of(dtype) if classes is None else rows_of(classes, dtype)
            on_device = Data(**{k: jax.device_put(v) for k, v in vars(data).items()})
            for name in wanted:
                pair = measure(table[name], data, on_device, budget, clock)
                yield {
                    "work": name,
                    "dtype": dtype,
                    "classes": classes,
                    "seconds": float(f"{pair.seconds:.4g}"),
                    "ratio": round(1 / pair.ratio, 3),
                }


def main() -> None:
    """Print a line for each case, then how many JAX is faster in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="rows of which the name contains one of these")
    parser.add_argument("--seconds", type=float, default=0.2, help="to spend on each case")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: on a busy machine")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    found = []
    for record in results(options.names, options.seconds, CLOCKS[options.clock]):
        found.append(record)
        print(
            f"{record['work']:42}{record['dtype']:10}{record['classes'] or '':>8}"
            f"{record['seconds'] * 1e3:9.3f} ms{record['ratio']:8.2f}",
            flush=True,
        )
    slower = [r for r in found if r["ratio"] < 1]
    print(f"{len(found)} cases; JAX is faster in {len(slower)}")
    if options.json:
        about = {"level": fastxent.simd_level(), "jax": jax.__version__, "clock": options.clock}
        lines = ",\n".join(map(json.dumps, found))
        text = f'{{"about": {json.dumps(about)},\n"cases": [\n{lines}\n]}}\n'
        options.json.write_text(text, "utf-8")


if __name__ == "__main__":
    sys.exit(main())

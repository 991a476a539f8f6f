"""The contract, written slowly and once: every loss with every option, in NumPy's longdouble.

Each function has the name and the arguments of fastxent's and is what a reader can check against
the contract by eye: elementwise first, reduced afterwards, no blocks, no products, no shortcuts.
It raises ValueError where fastxent must, without the text. It is one file, to be read from top to
bottom. The same formulas in mpmath, for one element at a time, are in `exact`.

What the contract leaves open is settled here:

- a position that is left out (`where`, `ignore_index`, `nan_policy="omit"`) is 0 under
  reduction="none", has gradient 0, and counts neither in the sum nor in the weight;
- a weight of 0 times an infinite loss is 0, but a NaN stays a NaN; weights that sum to 0 are as
  good as none: the mean is nan;
- a row of logits that are all -inf, or with several +inf and the target among them, has no
  distribution: it is treated as a NaN score is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.reference_mpmath import mp

LD = np.longdouble
EXTENDED = np.finfo(LD).eps < 1e-18  # arm64 and MSVC have no longdouble of their own

Array = NDArray[Any]


class Position(NamedTuple):
    """One entry per position (an element, or a row): all that the reductions need."""

    loss: Array  # without its sample weight
    share: Array | float  # of the denominator, without its sample weight
    nan: Array
    keep: Array
    dtype: np.dtype[Any]


class Reduction(NamedTuple):
    sample_weight: ArrayLike | None = None
    nan_policy: str = "raise"
    reduction: str = "mean"
    out: Any = None
    workers: int = 1


# ------------------------------------------------------------------------------ shared pieces


def times(a: ArrayLike, b: ArrayLike) -> Array:
    """Multiply, with 0·inf = 0."""
    a, b = np.asarray(a, LD), np.asarray(b, LD)
    void = ((a == 0) & np.isinf(b)) | (np.isinf(a) & (b == 0))
    with np.errstate(all="ignore"):
        return np.where(void, 0, a * b)


def refuse(bad: Array | bool) -> None:
    if np.any(bad):
        raise ValueError("the contract forbids this")


def wide(x: ArrayLike) -> Array:
    """As longdouble; through float64, which every dtype, bfloat16 too, can become."""
    a = np.asarray(x)
    return a.astype(LD) if a.dtype.kind in "iub" else a.astype(np.float64).astype(LD)


def score_dtype(x: ArrayLike) -> np.dtype[Any]:
    dtype = np.asarray(x).dtype
    return np.dtype(np.float64) if dtype.kind in "iub" else dtype.newbyteorder("=")


def out_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def epsilon(eps: str | float, dtype: np.dtype[Any]) -> float:
    if eps != "auto":
        return float(eps)
    known = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
    return known[dtype.name]


def mask(where: ArrayLike | None, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(True if where is None else np.asarray(where), shape).copy()


def sample_weights(weight: ArrayLike | None, shape: tuple[int, ...], keep: Array) -> Array:
    """One per position, or one per leading index; what a mask leaves out is never looked at."""
    if weight is None:
        return np.ones(shape, LD)
    w = wide(weight)
    k = w.ndim
    refuse(k == 0 or w.shape != shape[:k])
    w = np.broadcast_to(w.reshape(w.shape + (1,) * (len(shape) - k)), shape)
    refuse(keep & ~(w >= 0))
    return np.where(keep, w, 0)


def weights_of(position: Position, reduction: Reduction) -> tuple[Array, Array]:
    """The sample weight of each position, and the mask of those that count."""
    refuse(reduction.nan_policy == "raise" and (position.nan & position.keep).any())
    weight = sample_weights(reduction.sample_weight, position.loss.shape, position.keep)
    keep = position.keep & ~position.nan if reduction.nan_policy == "omit" else position.keep
    return weight, keep


def reduce(position: Position, reduction: Reduction) -> float | Array:
    weight, keep = weights_of(position, reduction)
    losses = np.where(position.nan, np.nan, times(weight, position.loss))
    losses = np.where(keep, losses, 0)
    if reduction.reduction == "wide":  # the reference's own: "none", unrounded
        return losses
    with np.errstate(all="ignore"):
        if reduction.reduction == "none":
            return losses.astype(out_dtype(position.dtype))
        if reduction.reduction == "sum":
            return float(losses.sum())
        return float(losses.sum() / (denominator(position, weight, keep) or np.nan))


def denominator(position: Position, weight: Array, keep: Array) -> Any:
    return np.where(keep, weight * position.share, 0).sum(dtype=LD)


def scale(position: Position, reduction: Reduction, grad: Array) -> Array:
    """From the derivative of each unweighted loss to that of the reduced value."""
    weight, keep = weights_of(position, reduction)
    extra = grad.ndim - weight.ndim  # the classes, last
    spread = (...,) + (None,) * extra
    with np.errstate(all="ignore"):
        grad = np.where(position.nan[spread], np.nan, times(weight[spread], grad))
        if reduction.reduction == "mean" and keep.any():
            grad = grad / (denominator(position, weight, keep) or 1)
        return np.where(keep[spread], grad, 0).astype(out_dtype(position.dtype))


# ------------------------------------------------------------------------------------- binary


def binary_labels(
    y_true: ArrayLike, shape: tuple[int, ...], keep: Array, smoothing: float
) -> tuple[Array, Array]:
    """Soft labels, smoothed, and where they were NaN."""
    y = wide(y_true)
    refuse(y.shape != shape or not 0 <= smoothing <= 1)
    nan = np.isnan(y)
    refuse(keep & ~nan & ((y < 0) | (y > 1)))
    if np.asarray(y_true).dtype.kind in "iub":
        refuse(keep & (y != 0) & (y != 1))
    y = np.where(keep & ~nan, y, 0)
    return y * (1 - LD(smoothing)) + LD(smoothing) / 2, nan


def clipped_costs(p: Array, eps: float) -> tuple[Array, Array]:
    """-log p and -log(1-p) for p in [eps, 1-eps], exactly: 1-eps is never rounded to 1."""
    e = LD(eps)
    low, top = p < e, 1 - p < e
    p = np.where(low, e, p)
    with np.errstate(divide="ignore"):
        if_one, if_zero = -np.log(p), -np.log1p(-p)
        return np.where(top, -np.log1p(-e), if_one), np.where(top, -np.log(e), if_zero)


def binary_cross_entropy(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    eps: str | float = "auto",
    **reduction: Any,
) -> float | Array:
    p, dtype = wide(y_proba), score_dtype(y_proba)
    keep, nan = mask(where, p.shape), np.isnan(p)
    refuse(keep & ((p < 0) | (p > 1)))
    y, nan_label = binary_labels(y_true, p.shape, keep, label_smoothing)
    p = np.where(keep & ~nan, p, 0.5)
    if_one, if_zero = clipped_costs(p, epsilon(eps, dtype))
    loss = times(y, if_one) + times(1 - y, if_zero)
    return reduce(Position(loss, 1, nan | nan_label, keep, dtype), Reduction(**reduction))


def softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


class Binary(NamedTuple):
    position: Position
    z: Array
    pos_weight: Array  # the label's weight of the positive outcome
    neg_weight: Array


def binary_logits(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    pos_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    **reduction: Any,
) -> tuple[Binary, Reduction]:
    z, dtype = wide(logits), score_dtype(logits)
    keep, nan = mask(where, z.shape), np.isnan(z)
    y, nan_label = binary_labels(y_true, z.shape, keep, label_smoothing)
    positive = np.broadcast_to(wide(1.0 if pos_weight is None else pos_weight), z.shape)
    refuse(keep & ~((positive >= 0) & np.isfinite(positive)))
    z = np.where(keep & ~nan, z, 0)
    pos_weight, neg_weight = y * np.where(keep, positive, 1), 1 - y
    loss = times(pos_weight, softplus(-z)) + times(neg_weight, softplus(z))
    position = Position(loss, 1, nan | nan_label, keep, dtype)
    return Binary(position, z, pos_weight, neg_weight), Reduction(**reduction)


def binary_cross_entropy_with_logits(*args: ArrayLike, **options: Any) -> float | Array:
    b, reduction = binary_logits(*args, **options)
    return reduce(b.position, reduction)


def binary_grad(b: Binary) -> Array:
    return b.neg_weight * sigmoid(b.z) - b.pos_weight * sigmoid(-b.z)


def binary_cross_entropy_value_and_grad(
    *args: ArrayLike, **options: Any
) -> tuple[float | Array, Array]:
    b, reduction = binary_logits(*args, **options)
    return reduce(b.position, reduction), scale(b.position, reduction, binary_grad(b))


def binary_cross_entropy_grad_hess(*args: ArrayLike, **options: Any) -> tuple[Array, Array]:
    b, reduction = binary_logits(*args, **options, reduction="sum")
    hess = (b.neg_weight + b.pos_weight) * sigmoid(b.z) * sigmoid(-b.z)
    return scale(b.position, reduction, binary_grad(b)), scale(b.position, reduction, hess)


# -------------------------------------------------------------------------------- categorical


class Labels(NamedTuple):
    q: Array  # a distribution per row, unsmoothed
    nan: Array
    keep: Array
    indices: bool


def class_labels(
    y_true: ArrayLike, shape: tuple[int, ...], axis: int, keep: Array, ignore_index: int | None
) -> Labels:
    """`shape` is that of the scores, their classes last."""
    y, classes = np.asarray(y_true), shape[-1]
    # NumPy crashes where it compares swapped unsigned integers with a negative number (its #28117).
    y = y.astype(y.dtype.newbyteorder("="))
    if y.ndim == len(shape):
        q = np.moveaxis(wide(y), axis, -1)
        refuse(q.shape != shape or ignore_index is not None)
        bad = (q < 0) | (q > 1)
        refuse(keep[..., None] & bad)
        return Labels(np.where(bad | np.isnan(q), 0, q), np.isnan(q).any(-1), keep, False)
    refuse(y.shape != shape[:-1])
    nan = np.isnan(y) if y.dtype.kind == "f" else np.zeros(y.shape, bool)
    if ignore_index is not None:
        keep = keep & (y != ignore_index)
    y = np.where(nan, 0, y)
    bad = (y < 0) | (y >= classes) | (y != np.trunc(y))
    refuse(keep & bad)
    index = np.where(bad, 0, y).astype(np.int64)
    q = (np.arange(classes) == index[..., None]).astype(LD)
    return Labels(q, nan, keep, True)


def class_weights(class_weight: Any, classes: int) -> Array:
    if class_weight is None:
        return np.ones(classes, LD)
    if isinstance(class_weight, dict):
        w = wide([class_weight.get(c, 1.0) for c in range(classes)])
    else:
        w = wide(class_weight)
    refuse(w.shape != (classes,) or not (w >= 0).all())
    return w


def categorical(
    labels: Labels, cost: Array, nan: Array, dtype: Any, class_weight: Any, smoothing: float
) -> tuple[Position, Array]:
    """`cost` is -log p of every class; also returns the weight of each class's term."""
    refuse(not 0 <= smoothing <= 1)
    classes = cost.shape[-1]
    w = class_weights(class_weight, classes)
    q = w * (labels.q * (1 - LD(smoothing)) + LD(smoothing) / classes)
    loss = times(q, cost).sum(-1)
    share = np.ones(loss.shape, LD)
    if class_weight is not None:
        share = np.where(labels.nan, np.nan, (w * labels.q).sum(-1))
    return Position(loss, share, nan | labels.nan, labels.keep, dtype), q


def categorical_cross_entropy(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    axis: int = -1,
    class_weight: Any = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    eps: str | float = "auto",
    **reduction: Any,
) -> float | Array:
    p, dtype = np.moveaxis(wide(y_proba), axis, -1), score_dtype(y_proba)
    labels = class_labels(y_true, p.shape, axis, mask(where, p.shape[:-1]), ignore_index)
    read = labels.keep[..., None]
    if labels.indices and label_smoothing == 0:  # only the target's probability is read
        read = read & (labels.q == 1)
    refuse(read & ((p < 0) | (p > 1)))
    nan = (read & np.isnan(p)).any(-1)
    p = np.where(read & ~np.isnan(p), p, 0.5)
    cost, _ = clipped_costs(p, epsilon(eps, dtype))
    position, _ = categorical(labels, cost, nan, dtype, class_weight, label_smoothing)
    return reduce(position, Reduction(**reduction))


def soft_capped(z: Array, softcap: float | None) -> tuple[Array, Array | float]:
    """The capped logits, and their derivative."""
    if softcap is None:
        return z, 1.0
    e = np.exp(-2 * abs(z / LD(softcap)))
    return softcap * np.tanh(z / LD(softcap)), 4 * e / (1 + e) ** 2


def log_softmax_cost(z: Array) -> tuple[Array, Array, Array]:
    """-log softmax, keeping the relative accuracy of tiny costs; where there is none; log-sum-exp."""
    top = z.max(-1, keepdims=True)
    infinite = (z == np.inf).sum(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        below = np.where(z == top, 0, top - z)
    first = np.arange(z.shape[-1]) == z.argmax(-1)[..., None]
    rest = np.where(first, 0, np.exp(-below)).sum(-1, keepdims=True)
    cost = below + np.log1p(rest)
    undefined = (infinite > 1) & (z == np.inf) | (top == -np.inf)
    return cost, undefined, (top + np.log1p(rest))[..., 0]


class Categorical(NamedTuple):
    position: Position
    q: Array
    p: Array
    rest: Array  # 1 - p
    axis: int
    slope: Array | float  # of the capped logits by the logits
    z_weight: Array  # p times this is the gradient of z_loss


def categorical_logits(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    axis: int = -1,
    class_weight: Any = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    softcap: float | None = None,
    z_loss: float = 0.0,
    **reduction: Any,
) -> tuple[Categorical, Reduction]:
    refuse(softcap is not None and not 1e-30 <= softcap <= 1e30)
    refuse(not 0 <= z_loss < np.inf)
    z, dtype = np.moveaxis(wide(logits), axis, -1), score_dtype(logits)
    labels = class_labels(y_true, z.shape, axis, mask(where, z.shape[:-1]), ignore_index)
    nan = np.isnan(z).any(-1)
    z, slope = soft_capped(np.where((labels.keep & ~nan)[..., None], z, 0), softcap)
    cost, undefined, lse = log_softmax_cost(z)
    position, q = categorical(labels, cost, nan, dtype, class_weight, label_smoothing)
    share = position.share * LD(z_loss)
    position = position._replace(
        loss=position.loss + times(share, lse**2),
        nan=position.nan | (undefined & ((q > 0) | (z == -np.inf))).any(-1),
    )
    found = Categorical(
        position, q, np.exp(-cost), -np.expm1(-cost), axis, slope, times(2 * share, lse)[..., None]
    )
    return found, Reduction(**reduction)


def categorical_cross_entropy_with_logits(*args: ArrayLike, **options: Any) -> float | Array:
    c, reduction = categorical_logits(*args, **options)
    return reduce(c.position, reduction)


def row_grads(c: Categorical, reduction: Reduction) -> Array:
    """p·Σq - q; where a class holds all of Σq, as -(1-p)·q: nothing cancels."""
    total = c.q.sum(-1, keepdims=True)
    grad = np.where(c.q == total, -c.rest * c.q, c.p * total - c.q)
    grad = times(grad + times(c.p, c.z_weight), c.slope)
    return np.moveaxis(scale(c.position, reduction, grad), -1, c.axis)


def categorical_cross_entropy_value_and_grad(
    *args: ArrayLike, **options: Any
) -> tuple[float | Array, Array]:
    c, reduction = categorical_logits(*args, **options)
    return reduce(c.position, reduction), row_grads(c, reduction)


def categorical_cross_entropy_grad_hess(*args: ArrayLike, **options: Any) -> tuple[Array, Array]:
    c, reduction = categorical_logits(*args, **options, reduction="sum")
    hess = scale(c.position, reduction, c.q.sum(-1, keepdims=True) * c.p * c.rest)
    return row_grads(c, reduction), np.moveaxis(hess, -1, c.axis)


# ------------------------------------------------------------------------ Gaussian, entropy, KL


def gaussian_nll(
    y_true: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike = 1.0,
    *,
    full: bool = False,
    where: ArrayLike | None = None,
    **reduction: Any,
) -> float | Array:
    y, m, dtype = wide(y_true), wide(mean), score_dtype(mean)
    refuse(y.shape != m.shape)
    v = np.broadcast_to(wide(var), m.shape)
    keep, nan = mask(where, m.shape), np.isnan(y) | np.isnan(m) | np.isnan(v)
    refuse(keep & (v <= 0))
    y, m, v = (np.where(keep & ~nan, a, 1) for a in (y, m, v))
    loss = ((y - m) ** 2 / v + np.log(v)) / 2
    if full:
        loss = loss + np.log(2 * LD(np.pi)) / 2
    return reduce(Position(loss, 1, nan, keep, dtype), Reduction(**reduction))


def poisson_nll(
    y_true: ArrayLike,
    log_rate: ArrayLike,
    *,
    full: bool = False,
    where: ArrayLike | None = None,
    **reduction: Any,
) -> float | Array:
    c = poisson(y_true, log_rate, full, where)
    return reduce(c, Reduction(**reduction))


def poisson_nll_value_and_grad(
    y_true: ArrayLike,
    log_rate: ArrayLike,
    *,
    full: bool = False,
    where: ArrayLike | None = None,
    **reduction: Any,
) -> tuple[float | Array, Array]:
    c, how = poisson(y_true, log_rate, full, where), Reduction(**reduction)
    return reduce(c, how), scale(c, how, np.exp(wide(log_rate)) - wide(y_true))


def poisson_nll_grad_hess(
    y_true: ArrayLike,
    log_rate: ArrayLike,
    *,
    full: bool = False,
    where: ArrayLike | None = None,
    **reduction: Any,
) -> tuple[Array, Array]:
    c, how = poisson(y_true, log_rate, full, where), Reduction(**{**reduction, "reduction": "none"})
    rate = np.exp(wide(log_rate))
    return scale(c, how, rate - wide(y_true)), scale(c, how, rate)


def poisson(
    y_true: ArrayLike, log_rate: ArrayLike, full: bool, where: ArrayLike | None
) -> Position:
    """exp(z) - y z; log y! by mpmath."""
    y, z, dtype = wide(y_true), wide(log_rate), score_dtype(log_rate)
    refuse(y.shape != z.shape)
    keep, nan = mask(where, z.shape), np.isnan(y) | np.isnan(z)
    refuse(keep & ((y < 0) | (y == np.inf)))
    y, z = np.where(keep & ~nan, y, 1), np.where(keep & ~nan, z, 0)
    with np.errstate(invalid="ignore", over="ignore"):
        rate = np.exp(z)
        loss = np.where(rate == np.inf, np.inf, rate - times(y, z))
    if full:
        factorials = [LD(mp.nstr(mp.loggamma(mp.mpf(float(k)) + 1), 25)) for k in y.flat]
        loss = loss + np.array(factorials, LD).reshape(y.shape)
    return Position(loss, 1, nan, keep, dtype)


def entropy(
    p: ArrayLike, *, axis: int = -1, where: ArrayLike | None = None, **reduction: Any
) -> float | Array:
    ones = np.ones(np.shape(p))
    return kl_divergence(p, ones, axis=axis, where=where, eps=0.0, sign=-1, of=p, **reduction)


def kl_divergence(
    q: ArrayLike,
    p: ArrayLike,
    *,
    axis: int = -1,
    where: ArrayLike | None = None,
    eps: str | float = 0.0,
    sign: int = 1,
    of: ArrayLike | None = None,
    **reduction: Any,
) -> float | Array:
    """Σ q log(q/p), with p clipped to [eps, 1-eps]; 0·log 0 is 0, whatever p is."""
    dtype = score_dtype(p if of is None else of)
    a, b = np.moveaxis(wide(q), axis, -1), np.moveaxis(wide(p), axis, -1)
    refuse(a.shape != b.shape)
    keep = mask(where, a.shape[:-1])
    refuse(keep[..., None] & ((a < 0) | (a > 1) | (b < 0) | (b > 1)))
    nan = (np.isnan(a) | np.isnan(b)).any(-1)
    usable = (keep & ~nan)[..., None]
    a, b = np.where(usable, a, 0), np.where(usable, b, 1)
    cost, _ = clipped_costs(b, epsilon(eps, dtype))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(a == 0, 0, a * (np.log(a) + cost))
    return reduce(Position(sign * terms.sum(-1), 1, nan, keep, dtype), Reduction(**reduction))


def kl_divergence_with_logits(
    q_logits: ArrayLike,
    p_logits: ArrayLike,
    *,
    axis: int = -1,
    where: ArrayLike | None = None,
    **reduction: Any,
) -> float | Array:
    """Σ q log(q/p) - q + p, whose terms are not negative; the logits of NaN aside, finite."""
    dtype = score_dtype(p_logits)
    a, b = (np.moveaxis(wide(z), axis, -1) for z in (q_logits, p_logits))
    refuse(a.shape != b.shape)
    keep = mask(where, a.shape[:-1])
    nan = (np.isnan(a) | np.isnan(b)).any(-1)
    usable = (keep & ~nan)[..., None]
    a, b = (np.where(usable, z, 0) for z in (a, b))
    a, b = (z - z.max(-1, keepdims=True) for z in (a, b))
    a, b = (z - np.log(np.exp(z).sum(-1, keepdims=True)) for z in (a, b))
    ratio = b - a
    terms = np.where(
        abs(ratio) < 1,
        np.exp(a) * (np.expm1(ratio) - ratio),
        np.exp(b) - np.exp(a) - np.exp(a) * ratio,
    )
    return reduce(Position(terms.sum(-1), 1, nan, keep, dtype), Reduction(**reduction))

"""Pictures of calibration, by matplotlib: ``pip install 'fastxent[plot]'``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastxent._calibration.decomposition import decompose
from fastxent._calibration.isotonic import Pools, isotonic_pools, valid_elements
from fastxent._core.dispatch import pool_sums
from fastxent._core.evaluate import evaluate_sums
from fastxent._core.operands import Operands
from fastxent._core.scalars import Interval, as_index
from fastxent._core.types import Array
from fastxent._losses import get_loss

__all__ = ["reliability_diagram"]

_BINARY = get_loss("binary_cross_entropy")

#: Simulated data sets of a consistency band, and at most so many different scores in them.
_SIMULATED, _MOST_SCORES = 500, 2000
_CONFIDENCE = Interval(0.0, 1.0, open_lower=True, open_upper=True)


def reliability_diagram(
    y_true: Any, y_proba: Any, ax: Any = None, *, bins: Any = 10, confidence: Any = 0.9
) -> Any:
    """Draw the observed frequency of label 1 against the predicted probability.

    Parameters
    ----------
    y_true : array_like
        The labels: 0 or 1, or the probability of a 1.
    y_proba : array_like, or mapping of str to array_like
        The probability of a 1; of several models, each by its name.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if it is None.
    bins : int, default 10
        How many bins of equal width are drawn as points beside the curve; 0: none.
    confidence : float, default 0.9
        The probability that the curve of a calibrated model lies within the band at a given
        prediction.

    Returns
    -------
    matplotlib Axes
        With one curve for each model. The legend has its loss and how much of that is
        miscalibration.

    See Also
    --------
    fastxent.decompose : The numbers to the picture.

    Notes
    -----
    The curve is the isotonic recalibration: it needs no choice of bins. The band is around the
    diagonal, not around the curve: it is simulated from labels that follow the predictions, each time
    recalibrated anew. A curve that leaves it speaks against calibration. Both together are the CORP
    reliability diagram [1]_. The simulation begins with the same random numbers each time. Where there
    are many different predictions, it groups neighbouring ones.

    References
    ----------
    .. [1] T. Dimitriadis, T. Gneiting, A. I. Jordan, Stable reliability diagrams for probabilistic
       classifiers, PNAS 118(8), 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from fastxent.plot import reliability_diagram
    >>> p = np.random.default_rng(0).random(1000)
    >>> y = np.random.default_rng(1).random(1000) < p**2
    >>> ax = reliability_diagram(y, {"too high": p, "right": p**2})  # doctest: +SKIP
    >>> ax.figure.savefig("reliability.png")  # doctest: +SKIP
    """
    bins = as_index(bins, "bins")
    if bins < 0:
        raise ValueError(f"bins={bins} is below 0")
    confidence = _CONFIDENCE.checked(confidence, "confidence")
    models = y_proba if isinstance(y_proba, Mapping) else {"": y_proba}
    drawn = [(name, p, *_checked(y_true, p)) for name, p in models.items()]
    if ax is None:
        import matplotlib.pyplot as plt  # noqa: PLC0415 (an extra)

        ax = plt.subplots(figsize=(4.8, 4.8), layout="constrained")[1]
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, zorder=1)
    for name, p, labels, scores in drawn:
        _draw(ax, labels, scores, _label(name, y_true, p), bins, confidence)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    ax.set(xlabel="predicted probability", ylabel="observed frequency")
    # Above the axes, where there is no data; narrow, so that a small figure keeps its axes.
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, frameon=False, fontsize="small"
    )
    return ax


def _checked(y_true: Any, y_proba: Any) -> tuple[Array, Array]:
    """Flat labels and scores in float64; raise as the loss does."""
    options = {"eps": "auto"}
    sums, _ = evaluate_sums(_BINARY, y_true, y_proba, options)
    if not sums.count:
        raise ValueError("y_true and y_proba are empty: there is nothing to draw")
    labels, scores, _ = valid_elements(Operands(_BINARY, y_true, y_proba, options))
    return labels.astype(np.float64), scores.astype(np.float64)


def _label(name: str, y_true: Any, y_proba: Any) -> str:
    parts = decompose(y_true, y_proba)
    numbers = f"loss {parts.loss:.4f}, miscalibration {parts.miscalibration:.4f}"
    return f"{name}\n{numbers}" if name else numbers


def _draw(ax: Any, labels: Array, scores: Array, label: str, bins: int, confidence: float) -> None:
    """The curve of one model, its band, its bins, and where its predictions lie."""
    pools = isotonic_pools(labels, scores, None)
    (line,) = ax.plot(*_curve(pools), linewidth=1.8, label=label, zorder=4)
    color = line.get_color()
    at, low, high = consistency_band(*np.unique(scores, return_counts=True), confidence=confidence)
    ax.fill_between(at, low, high, color=color, alpha=0.15, linewidth=0, zorder=2)
    if not bins:
        return
    number = np.minimum((scores * bins).astype(np.intp), bins - 1)
    count = np.bincount(number, minlength=bins)
    used = count > 0
    mean, frequency = (np.bincount(number, v, bins)[used] / count[used] for v in (scores, labels))
    ax.scatter(mean, frequency, s=22, facecolor="white", edgecolor=color, zorder=5)
    share = count / (12.0 * count.max())  # of the height
    ax.bar((np.arange(bins) + 0.5) / bins, share, 0.9 / bins, color=color, alpha=0.25, zorder=1)


def _curve(pools: Pools) -> tuple[Array, Array]:
    """A line that is level within each pool."""
    return (
        np.stack([pools.lower, pools.upper], axis=1).ravel(),
        np.repeat(pools.frequency, 2),
    )


def consistency_band(at: Array, counts: Any, confidence: float) -> tuple[Array, Array, Array]:
    """Where the curve of a calibrated model lies: predictions, lower and upper end.

    Parameters
    ----------
    at, counts : ndarray
        The different predictions, ascending, and how many rows have each.
    confidence : float
    """
    if len(at) > _MOST_SCORES:
        before = np.cumsum(counts) - counts
        group = before * _MOST_SCORES // counts.sum()
        first = np.flatnonzero(np.diff(group, prepend=-1))
        sums, counts = (np.add.reduceat(values, first) for values in (at * counts, counts))
        at = sums / counts
    rng = np.random.default_rng(0)
    curves = np.empty((_SIMULATED, len(at)))
    for curve in curves:
        hits = rng.binomial(counts, at.clip(0.0, 1.0)).astype(np.float64)
        misses, stop = counts - hits, np.arange(1, len(at) + 1)
        n = pool_sums(hits, misses, stop)
        frequency = hits[:n] / (hits[:n] + misses[:n])
        curve[:] = np.repeat(frequency, np.diff(stop[:n], prepend=0))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(curves, [tail, 1.0 - tail], axis=0)
    return at, low, high

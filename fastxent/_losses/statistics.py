"""What the evaluation of a language model asks of each row of logits, from one pass over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

import numpy as np

from fastxent._core import validation
from fastxent._core.loss import Formula, Loss
from fastxent._core.operands import Operands

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastxent._core.types import Array

LOGIT_STATISTICS = Loss(
    "logit_statistics", Formula("LOGIT_STATISTICS"), "y_true", "logits",
    ("axis", "ignore_index", "where", "workers"), per_row=True,
)  # fmt: skip


class LogitStatistics(NamedTuple):
    """What `fastxent.logit_statistics` returns: arrays in the shape of the labels.

    Attributes
    ----------
    nll : ndarray
        Minus the log-probability of the target, in nats: its categorical cross entropy.
    logsumexp : ndarray
        log Σ exp(z), the logarithm of the normaliser.
    entropy : ndarray
        The entropy of softmax(z), in nats.
    argmax : ndarray of int64
        The class with the largest logit; the first of several.
    rank : ndarray of int64
        How many classes have a larger logit than the target. 0: the target is the greedy choice.
    """

    nll: Array
    logsumexp: Array
    entropy: Array
    argmax: Array
    rank: Array


def logit_statistics(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    axis: SupportsIndex = -1,
    ignore_index: SupportsIndex | None = None,
    where: ArrayLike | None = None,
    workers: SupportsIndex = 1,
) -> LogitStatistics:
    """Loss, log-sum-exp, entropy, argmax and rank of the target of each row of logits, in one pass.

    For a row of logits z with probabilities p = exp(z) / Σ exp(z) and the target t they are::

        nll         log Σ exp(z[c]) - z[t]
        logsumexp   log Σ exp(z[c])
        entropy     -Σ p[c] log p[c]
        argmax      the first c with the largest z[c]
        rank        how many c have z[c] > z[t]

    Parameters
    ----------
    y_true : array-like
        Class indices from 0, as integers of any width, in the shape of the logits without `axis`.
    logits : array-like of float16, bfloat16, float32 or float64
        The logarithm of each class's probability, along `axis`, up to a constant per row.
    axis : int, default -1
        Class axis. No choice of axis requires a copy.
    ignore_index : int, optional
        A label that does not count.
    where : array-like of bool, optional
        Boolean mask of the rows, in the shape of the labels or broadcast to it. Rows where it is
        False are skipped, not even validated: they may hold NaN or bad labels.
    workers : int, default 1
        Number of threads; -1 uses every CPU available to the process. The results have the same
        bits.

    Returns
    -------
    LogitStatistics
        The arrays `nll`, `logsumexp` and `entropy` in the dtype of the logits, float32 for half
        precision, and `argmax` and `rank` as int64. A row that does not count has 0 there, and the
        indices -1: it is no greedy choice.

    Raises
    ------
    ValueError
        Invalid value, shape or option; for a bad element an `ElementError`. The message says which
        argument, what is wrong, where, and what to do. NaN is an error.
    TypeError
        Unsupported dtype: longdouble, complex, objects, strings.

    See Also
    --------
    categorical_cross_entropy_with_logits : The loss alone, with weights, means and gradients.

    Notes
    -----
    Infinite logits give the limits. With one +inf in a row all probability is there: its entropy
    is 0. A row of -inf only, or with several +inf, is an error.

    Examples
    --------
    >>> import fastxent
    >>> z = [[2.0, 0.5, -1.0], [0.0, 3.0, 0.0], [1.0, 1.0, 1.0]]
    >>> nll, logsumexp, entropy, argmax, rank = fastxent.logit_statistics([0, 0, 2], z)
    >>> nll.round(3), logsumexp.round(3), entropy.round(3)
    (array([0.241, 3.095, 1.099]), array([2.241, 3.095, 2.099]), array([0.622, 0.367, 1.099]))
    >>> argmax, rank
    (array([0, 1, 0]), array([0, 1, 0]))
    """
    options = {"axis": axis, "ignore_index": ignore_index, "where": where}
    operands = index_operands(LOGIT_STATISTICS, y_true, logits, options)
    found = _run(operands, workers)
    dtype = validation.output_dtype(operands.scores)
    nll, logsumexp, entropy = (array.astype(dtype, copy=False) for array in found[:3])
    return LogitStatistics(nll, logsumexp, entropy, found.argmax, found.rank)


def index_operands(loss: Loss, y_true: Any, logits: Any, options: dict[str, Any]) -> Operands:
    """The operands of a call that takes class indices only."""
    operands = Operands(loss, y_true, logits, options)
    if not operands.index_labels:
        raise ValueError(
            f"{loss.y_true_name} has the shape {operands.labels.shape} of {loss.scores_name}: "
            f"{loss.name} takes class indices, of shape {operands.shape}"
        )
    return operands


def logsumexp_of(logits: Any, workers: Any) -> Array:
    """Log Σ exp of each row of a matrix in float64, infinite or NaN where that is the limit."""
    labels = np.zeros(len(logits), np.int8)
    operands = Operands(LOGIT_STATISTICS, labels, logits, {})
    return _run(operands, workers, "propagate").logsumexp


def _run(operands: Operands, workers: Any, nan_policy: str = "raise") -> LogitStatistics:
    """The statistics in float64."""
    shape = operands.shape
    found = LogitStatistics(
        np.empty(shape), np.empty(shape), np.empty(shape),
        np.empty(shape, np.int64), np.empty(shape, np.int64),
    )  # fmt: skip
    task = operands.task(nan_policy)
    task.set_statistics(*found)
    operands.run(task, workers)
    return found

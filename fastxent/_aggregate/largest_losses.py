"""The largest losses, selected block by block in memory of the size of the selection."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastxent._aggregate.elementwise import BLOCK, Array, Block
from fastxent._aggregate.linear_loss import bind
from fastxent._core.scalars import as_index


class LargestLosses(NamedTuple):
    """The largest losses, largest first.

    Attributes
    ----------
    losses : ndarray of float64
    indices : ndarray of int
        Where each loss stands among all. For losses of more than one dimension, the index into
        the flattened losses, as ``numpy.argmax`` gives it: ``numpy.unravel_index`` has the others.
    """

    losses: Array
    indices: Array


class LargestSelection:
    """Selects the n largest of the losses that it is given, in any number of blocks.

    NaN counts as larger than every number. Equal losses rank by their index.

    Parameters
    ----------
    n : int
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._losses, self._indices = np.zeros(0), np.zeros(0, np.intp)
        self._waiting: list[tuple[Array, Array]] = []
        self._n_waiting = 0

    def add(self, losses: Array, indices: Array, valid: Array | None) -> bool:
        """Add losses, their indices, and the mask of those that count (None: all).

        Returns whether any of them may be among the largest.
        """
        chosen = self._candidates(losses, indices)
        if valid is not None:
            chosen = chosen[valid[chosen]]
        if not chosen.size:
            return False
        self._waiting.append((losses[chosen], indices[chosen]))
        self._n_waiting += chosen.size
        if self._n_waiting >= max(self._n, BLOCK):  # so that sorting costs little for each loss
            self._select()
        return True

    def _candidates(self, losses: Array, indices: Array) -> Array:
        """The places of the losses that rank above the last selected one."""
        if len(self._losses) < self._n:
            return np.arange(len(losses))
        last, index = self._losses[-1], self._indices[-1]
        if np.isnan(last):
            return np.flatnonzero(np.isnan(losses) & (indices < index))
        above = np.flatnonzero(~(losses < last))
        return np.asarray(above[(losses[above] != last) | (indices[above] < index)])

    def _select(self) -> None:
        losses = np.concatenate([self._losses, *(pair[0] for pair in self._waiting)])
        indices = np.concatenate([self._indices, *(pair[1] for pair in self._waiting)])
        order = np.lexsort((indices, -losses, ~np.isnan(losses)))[: self._n]
        self._losses, self._indices = losses[order], indices[order]
        self._waiting, self._n_waiting = [], 0

    def result(self) -> LargestLosses:
        """The selection from what has been added so far."""
        self._select()
        return LargestLosses(self._losses, self._indices)


def largest_losses(
    loss: Any,
    y_true: Any,
    scores: Any,
    n: int = 10,
    *,
    sample_weight: Any = None,
    where: Any = None,
    var: Any = None,
    **options: Any,
) -> LargestLosses:
    """The n largest losses and where they stand, without an array of all losses.

    Parameters
    ----------
    loss : callable or str
        One of the losses of fastxent, or its name.
    y_true, scores : array_like
        As the loss takes them. `scores` is None for `fastxent.entropy`, which takes one array.
    n : int, default 10
        How many; all of them where there are fewer.
    sample_weight, where : array_like, optional
        As the loss takes them.
    var : array_like, optional
        For `fastxent.gaussian_nll`.
    **options
        The options of the loss, without `reduction` and `out`.

    Returns
    -------
    LargestLosses
        A named tuple (losses, indices), largest first.

    See Also
    --------
    score : The mean with its standard error.

    Notes
    -----
    The losses are those of ``reduction="none"``, times their weights, as float64. Equal ones are in
    the order of their indices. Masked, ignored and omitted elements are never among them. With
    ``nan_policy="propagate"`` nan counts as larger than every number, so such elements come first.

    The losses are computed in blocks: the memory used grows with n and not with their number.

    Examples
    --------
    >>> import fastxent
    >>> y, p = [1, 0, 1, 1], [0.9, 0.2, 0.05, 0.4]
    >>> worst = fastxent.largest_losses(fastxent.binary_cross_entropy, y, p, n=2)
    >>> worst.indices.tolist(), worst.losses.round(4).tolist()
    ([2, 3], [2.9957, 0.9163])
    """
    wanted = as_index(n, "n")
    if wanted < 1:
        raise ValueError(f"n={wanted} is not at least 1")
    call = bind(loss, options, "largest_losses")
    elements = call.elements(y_true, scores, sample_weight=sample_weight, where=where, var=var)
    selection = LargestSelection(wanted)
    for block in elements.blocks():
        selection.add(block.losses, _flat_indices(block, elements.shape), block.valid)
    return selection.result()


def _flat_indices(block: Block, shape: tuple[int, ...]) -> Array:
    """The indices of a block's losses among all, flattened: runs of equal length."""
    if not shape:
        return np.zeros(1, np.intp)
    axis = len(block.index) - 1  # the dimension that is cut
    start, stop, _ = block.index[axis].indices(shape[axis])
    inner = math.prod(shape[axis + 1 :])
    runs = np.arange(math.prod(shape[:axis]))[:, None] * (shape[axis] * inner)
    return np.asarray(runs + np.arange(start * inner, stop * inner)).ravel()

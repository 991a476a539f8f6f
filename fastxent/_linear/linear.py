"""Cross entropy of hidden states through a linear layer, and its gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from fastxent._core import validation
from fastxent._core.evaluate import Sums, checked_weight_sum
from fastxent._core.loss import Loss
from fastxent._core.types import Array, ClassWeight, NanPolicy, Reduction, Value
from fastxent._linear.blocks import Gradients, RowBlock
from fastxent._linear.operands import LinearOperands, LinearOptions, raise_undefined
from fastxent._linear.products import Product, cuts
from fastxent._losses.categorical import CATEGORICAL_LOGITS
from fastxent._losses.docstrings import documented

LINEAR = Loss(
    "linear_cross_entropy", CATEGORICAL_LOGITS.formula, "y_true", "hidden",
    tuple(name for name in CATEGORICAL_LOGITS.options if name not in ("axis", "out")),
    per_row=True,
)  # fmt: skip


@documented(LINEAR)
def linear_cross_entropy(
    y_true: ArrayLike,
    hidden: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    softcap: float | None = None,
    z_loss: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    workers: SupportsIndex = 1,
) -> Value:
    """Categorical cross entropy of ``hidden @ weight.T + bias``, whose logits are never stored.

    The logits z of a row are made block by block. Its loss against the class t, or a distribution q
    over the classes, is that of `categorical_cross_entropy_with_logits`::

        log Σ exp(z[c]) - z[t]
        Σ q[c] (log Σ exp(z[k]) - z[c])

    Notes
    -----
    Beyond the inputs it takes at most 64 MiB. The logits are float64 where one of the arrays is,
    else float32; half precision is widened block by block.

    The product is that of NumPy's BLAS, on as many threads as that takes (``OPENBLAS_NUM_THREADS``,
    or the package threadpoolctl). It takes turns with the `workers`, so the two never compete.
    Another BLAS, or another number of its threads, may round a logit otherwise: only what follows
    has the same bits everywhere.

    The shift of a language model is one slice of each: ``y_true[:, 1:]`` and ``hidden[:, :-1]``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastxent
    >>> hidden, weight = np.eye(3), np.array([[2.0, 0.0, 1.0], [0.5, 3.0, 1.0]])
    >>> round(fastxent.linear_cross_entropy([0, 1, 1], hidden, weight), 6)
    0.314383
    >>> logits = hidden @ weight.T
    >>> round(fastxent.categorical_cross_entropy_with_logits([0, 1, 1], logits), 6)
    0.314383
    """
    options = LinearOptions(
        class_weight, ignore_index, sample_weight, where, label_smoothing, softcap, z_loss
    )
    call = LinearCall(y_true, hidden, weight, bias, options)
    call.check(nan_policy, reduction, workers)
    call.find_losses()
    value: Value = call.value()
    return value


@documented(LINEAR, "linear_value_and_grad")
def linear_cross_entropy_value_and_grad(
    y_true: ArrayLike,
    hidden: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    class_weight: ClassWeight | None = None,
    ignore_index: SupportsIndex | None = None,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    softcap: float | None = None,
    z_loss: float = 0.0,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    workers: SupportsIndex = 1,
) -> tuple[Value, tuple[Array, Array, Array | None]]:
    """`linear_cross_entropy`, and its gradients by the hidden states, the weights and the bias.

    With the gradient g of the loss by the logits, ``p[c] - q[c]`` for each row, they are::

        g @ weight      g.T @ hidden      g summed over the rows

    Notes
    -----
    Rows that do not count have a gradient of 0. With ``reduction="none"`` the gradients are those of
    the sum.

    Beyond the inputs and the gradients it takes at most 64 MiB. Where too few whole rows of logits
    fit into that, or the weights have half precision, the logits are computed twice.

    Examples
    --------
    >>> import numpy as np
    >>> import fastxent
    >>> hidden, weight = np.eye(3), np.array([[2.0, 0.0, 1.0], [0.5, 3.0, 1.0]])
    >>> value, (by_hidden, by_weight, by_bias) = fastxent.linear_cross_entropy_value_and_grad(
    ...     [0, 1, 1], hidden, weight
    ... )
    >>> round(value, 6), by_weight.round(4), by_bias
    (0.314383, array([[-0.0608,  0.0158,  0.1667],
           [ 0.0608, -0.0158, -0.1667]]), None)
    """
    options = LinearOptions(
        class_weight, ignore_index, sample_weight, where, label_smoothing, softcap, z_loss
    )
    call = LinearCall(y_true, hidden, weight, bias, options)
    call.check(nan_policy, reduction, workers)
    if nan_policy == "omit":
        call.find_losses()  # says which rows are left out
    gradients = call.find_gradients(call.factor())
    return call.value(), (gradients.hidden, gradients.weight, gradients.bias)


class LinearCall:
    """One call: the losses of the rows that count, and their gradients.

    Parameters
    ----------
    y_true, hidden, weight, bias : array_like
    options : LinearOptions
    """

    product: type[Product] = Product

    def __init__(
        self, y_true: Any, hidden: Any, weight: Any, bias: Any, options: LinearOptions
    ) -> None:
        self.operands = LinearOperands(y_true, hidden, weight, bias, options)
        self.losses = self.weights = np.empty(0)

    def check(self, nan_policy: Any, reduction: Any, workers: Any) -> None:
        """Check and keep the options that do not depend on the data."""
        validation.nan_policy_code(nan_policy)
        validation.check_reduction(reduction, None)
        self.nan_policy, self.reduction = nan_policy, reduction
        self.workers = validation.as_workers(workers)

    def _blocks(self, derivative: bool) -> Iterator[tuple[slice, RowBlock]]:
        """Yield blocks of the rows that count, whose losses and weights have been found."""
        operands = self.operands
        product = self.product(operands)
        sizes = product.plan(derivative)
        buffer = np.empty(sizes.rows * sizes.words, operands.dtype)
        self.losses, self.weights = np.empty((2, operands.rows.size))
        for rows in cuts(0, operands.rows.size, sizes.rows):
            block = RowBlock(product, sizes, rows, buffer)
            with np.errstate(all="ignore"):  # infinities and NaN: nan_policy decides
                self.losses[rows] = block.losses(self.workers)
            self.weights[rows] = block.targets.weight
            if self.nan_policy == "raise":
                undefined = np.flatnonzero(np.isnan(self.losses[rows]))
                if undefined.size:
                    raise_undefined(operands, int(operands.rows[rows][undefined[0]]))
            yield rows, block

    def find_losses(self) -> None:
        """Compute the losses; with nan_policy="omit" those of NaN no longer count."""
        for _ in self._blocks(derivative=False):
            pass
        if self.nan_policy == "omit":
            keep = ~np.isnan(self.losses)
            self.losses, self.weights = self.losses[keep], self.weights[keep]
            self.operands.keep(keep)

    def factor(self) -> Array:
        """What the gradient of each loss is multiplied by."""
        operands = self.operands
        factor = np.ones(operands.rows.size)
        if operands.sample_weight is not None:
            factor = operands.sample_weight.copy()
        if self.reduction == "mean":
            divisor = checked_weight_sum(math.fsum(operands.row_weights() * factor))
            factor /= divisor or 1.0
        return factor

    def find_gradients(self, factor: Array) -> Gradients:
        """Compute the losses, and the sum of their gradients, each times its factor."""
        gradients = Gradients(self.operands)
        for rows, block in self._blocks(derivative=True):
            with np.errstate(all="ignore"):
                block.add_gradients(factor[rows], gradients, rows.start == 0, self.workers)
        return gradients

    def loss_weights(self) -> Array:
        """What each loss adds to the denominator of a mean."""
        factor = self.operands.sample_weight
        return self.weights if factor is None else self.weights * factor

    def sums(self) -> Sums:
        """What can be added up over batches."""
        losses = self._weighted_losses()
        weight = math.fsum(self.loss_weights())
        return Sums(math.fsum(losses), 0.0, weight, 0.0, losses.size)

    def value(self) -> Any:
        """The mean, the sum, or each loss times its weight."""
        if self.reduction == "none":
            each = np.zeros(self.operands.shape, self.operands.dtype)
            each.reshape(-1)[self.operands.rows] = self._weighted_losses()
            return each
        sums = self.sums()
        return sums.total if self.reduction == "sum" else sums.mean()

    def _weighted_losses(self) -> Array:
        """The losses times their sample weights; 0 silences any loss but NaN."""
        factor = self.operands.sample_weight
        if factor is None:
            return self.losses
        with np.errstate(invalid="ignore"):
            losses = self.losses * factor
        losses[(factor == 0.0) & ~np.isnan(self.losses)] = 0.0
        return losses

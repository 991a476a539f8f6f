"""The arrays and options of one call, checked; the rows that count."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastxent._core import validation
from fastxent._core.errors import ElementError, ErrorKind
from fastxent._core.options import as_label_smoothing, as_softcap, as_z_loss

Array = np.ndarray[Any, Any]


class LinearOptions(NamedTuple):
    """The options of one call that belong to its operands, as the caller gave them."""

    class_weight: Any = None
    ignore_index: Any = None
    sample_weight: Any = None
    where: Any = None
    label_smoothing: Any = 0.0
    softcap: Any = None
    z_loss: Any = 0.0


class LinearOperands:
    """What one call computes with.

    Parameters
    ----------
    y_true, hidden, weight, bias : array_like
    options : LinearOptions

    Attributes
    ----------
    hidden, weight, bias : ndarray
    dtype : dtype
        Of the logits: float64 if any of the arrays is, else float32.
    shape : tuple of int
        Of the losses.
    rows : ndarray of int
        The losses that count, numbered in C order.
    labels : ndarray
        Class indices, or a distribution per row.
    index_labels : bool
    sample_weight, class_weight : ndarray or None
    """

    def __init__(
        self, y_true: Any, hidden: Any, weight: Any, bias: Any, options: LinearOptions
    ) -> None:
        self.hidden = validation.as_scores(hidden, "hidden")
        self.weight = validation.as_scores(weight, "weight")
        self.bias = None if bias is None else validation.as_scores(bias, "bias")
        self.labels = validation.as_labels(y_true, "y_true")
        self.shape = self.hidden.shape[:-1]
        self._check_shapes()
        arrays = [a for a in (self.hidden, self.weight, self.bias) if a is not None]
        wide = any(validation.output_dtype(a).itemsize == 8 for a in arrays)
        self.dtype = np.dtype(np.float64 if wide else np.float32)
        self.softcap = as_softcap(options.softcap)
        self.z_loss = as_z_loss(options.z_loss)
        self.label_smoothing = as_label_smoothing(options.label_smoothing)
        self.class_weight = None
        if options.class_weight is not None:
            self.class_weight = validation.as_class_weight(options.class_weight, self.classes)
        self.rows = self._rows(options.where, options.ignore_index)
        self._check_labels()
        self.sample_weight = None
        if options.sample_weight is not None:
            self.sample_weight = self._sample_weight(options.sample_weight)

    @property
    def classes(self) -> int:
        """The size of the vocabulary."""
        return int(self.weight.shape[0])

    def at(self, rows: Array) -> tuple[Any, ...]:
        """The index of rows in an array whose first dimensions are those of the losses."""
        return np.unravel_index(rows, self.shape)

    def row_weights(self) -> Array:
        """What each row adds to the denominator of a mean, without its sample weight."""
        weights = self.class_weight
        if weights is None:
            return np.ones(self.rows.size)
        labels = self.labels[self.at(self.rows)]
        found: Array = weights[labels.astype(np.int64)] if self.index_labels else labels @ weights
        return found

    def keep(self, counts: Array) -> None:
        """Leave out the other rows."""
        self.rows = self.rows[counts]
        if self.sample_weight is not None:
            self.sample_weight = self.sample_weight[counts]

    def _check_shapes(self) -> None:
        hidden, weight, bias = self.hidden, self.weight, self.bias
        if weight.ndim != 2 or hidden.ndim < 2 or hidden.shape[-1] != weight.shape[1]:
            raise ValueError(
                f"weight has shape {weight.shape} but hidden has shape {hidden.shape}: they must be "
                f"(classes, features) and (..., features)"
            )
        if not weight.shape[0]:
            raise ValueError(f"weight of shape {weight.shape} has no classes")
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ValueError(
                f"bias has shape {bias.shape}, but there are {weight.shape[0]} classes: give one "
                f"number for each"
            )
        labels, soft = self.labels, (*self.shape, weight.shape[0])
        self.index_labels = labels.shape == self.shape
        if not self.index_labels and labels.shape != soft:
            raise ValueError(
                f"y_true has shape {labels.shape} but hidden has shape {hidden.shape}: pass class "
                f"indices of shape {self.shape}, or a distribution of shape {soft}"
            )
        if self.index_labels and labels.dtype.kind not in "iub":
            raise ValueError(
                f"y_true of shape {labels.shape} holds class indices but has dtype "
                f"{labels.dtype}: convert to integers, or pass a distribution of shape {soft}"
            )

    def _rows(self, where: Any, ignore_index: Any) -> Array:
        counts = np.ones(self.shape, bool)
        if where is not None:
            counts &= validation.as_mask(where, self.shape)
        if ignore_index is not None:
            ignored = validation.as_ignore_index(ignore_index, self.index_labels, self.labels)
            # Beyond the range of their dtype, no label is the ignored one.
            if np.can_cast(np.min_scalar_type(ignored), np.int64):
                counts &= self.labels.astype(np.int64, copy=False) != ignored
        return np.flatnonzero(counts)

    def _check_labels(self) -> None:
        """Of class indices all at once; distributions are checked block by block."""
        if not self.index_labels:
            return
        labels = self.labels[self.at(self.rows)]
        bad = np.flatnonzero((labels < 0) | (labels >= self.classes))
        if bad.size:
            index = tuple(int(i[0]) for i in self.at(self.rows[bad[:1]]))
            hint = (
                f": weight has {self.classes} classes, 0 to {self.classes - 1}; to leave elements "
                f"out, pass ignore_index or where"
            )
            raise ElementError("y_true", index, labels[bad[0]], ErrorKind.CLASS_INDEX, hint)

    def _sample_weight(self, value: Any) -> Array:
        """The weights of the rows that count, in float64."""
        array = validation.as_weight(value, "sample_weight", self.shape)
        weights: Array = validation.broadcast_leading(array, self.shape)[self.at(self.rows)]
        weights = weights.astype(np.float64)
        bad = np.flatnonzero(~((weights >= 0.0) & (weights < np.inf)))
        if bad.size:
            index = tuple(int(i[0]) for i in self.at(self.rows[bad[:1]]))[: array.ndim]
            raise ElementError("sample_weight", index, array[index], ErrorKind.WEIGHT)
        return weights


def raise_undefined(operands: LinearOperands, row: int) -> None:
    """Raise the ElementError for a row whose loss is NaN: which array is to blame."""
    index = tuple(int(i[0]) for i in operands.at(np.array([row])))
    arrays = {"hidden": operands.hidden[index], "weight": operands.weight, "bias": operands.bias}
    if not operands.index_labels:
        arrays["y_true"] = operands.labels[index]
    for name, array in arrays.items():
        if array is None:
            continue
        for number, part in enumerate(array if array.ndim > 1 else [array]):
            bad = np.flatnonzero(np.isnan(part.astype(np.float64)))
            if bad.size:
                place = (number, int(bad[0])) if array.ndim > 1 else (int(bad[0]),)
                place = (*index, *place) if name in ("hidden", "y_true") else place
                raise ElementError(name, place, part[bad[0]], ErrorKind.NAN)
    raise ElementError("hidden", index, None, ErrorKind.UNDEFINED_ROW)

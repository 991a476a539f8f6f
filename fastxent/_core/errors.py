"""The words for the first bad element, which the kernels have found: what, where, and what to do."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from fastxent._core.loss import Loss
from fastxent._core.validation import losses_shape

# The numbers of Fault in job.pxd.
_NAN_SCORE, _NAN_LABEL, _BAD_SCORE, _BAD_LABEL, _BAD_WEIGHT, _BAD_SCALE, _UNDEFINED_ROW = range(
    1, 8
)


def refuse(
    loss: Loss, code: int, position: int, category: int, axis: int, arrays: dict[str, Any]
) -> NoReturn:
    """Raise the ValueError for what the kernels found.

    Parameters
    ----------
    loss : Loss
    code : int
        A member of Fault in job.pxd.
    position : int
        Which of the losses, in C order.
    category : int
        Of the class, or -1.
    axis : int
        Of the classes in the scores, or -1.
    arrays : dict
        "scores", "labels", "weight" and "scale" as the kernels got them.
    """
    shape = losses_shape(arrays["scores"], axis)
    index = tuple(int(i) for i in np.unravel_index(position, shape))
    at_class = index if category < 0 else (*index[:axis], category, *index[axis:])
    if code in (_NAN_SCORE, _BAD_SCORE):
        where = _element(loss.scores, arrays["scores"], at_class)
        raise ValueError(where + _score_advice(loss, code))
    if code in (_NAN_LABEL, _BAD_LABEL):
        labels = arrays["labels"]
        at_label = at_class if labels.ndim == arrays["scores"].ndim else index
        where = _element(loss.truth, labels, at_label)
        raise ValueError(where + _label_advice(loss, code, labels, arrays["scores"], axis))
    if code == _BAD_WEIGHT:
        weight = arrays["weight"]
        where = _element("sample_weight", weight, index[: weight.ndim])
        raise ValueError(f"{where} is not a finite number of at least 0")
    if code == _BAD_SCALE:
        name = "var" if "full" in loss.takes else "pos_weight"
        least = "above" if name == "var" else "of at least"
        raise ValueError(
            f"{_element(name, arrays['scale'], index)} is not a finite number {least} 0"
        )
    raise ValueError(
        f"{loss.scores}{list(index)} has no finite maximum (only -inf, or several +inf): no "
        f'distribution, so no loss; pass nan_policy="propagate" for nan, "omit" to leave it out'
    )


def _element(name: str, array: np.ndarray, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, index))}] = {array[index]!s}"


def _score_advice(loss: Loss, code: int) -> str:
    if code == _NAN_SCORE:
        return _nan_advice()
    advice = " is outside [0, 1]"
    if loss.sibling:
        advice += f": is it a logit? Then call {loss.sibling}"
    return advice


def _nan_advice() -> str:
    return ' is not a number: mend it, or pass nan_policy="propagate" or "omit", or where='


def _label_advice(loss: Loss, code: int, labels: np.ndarray, scores: np.ndarray, axis: int) -> str:
    if code == _NAN_LABEL:
        return _nan_advice()
    if loss.rows and labels.ndim != scores.ndim:
        classes = scores.shape[axis]
        return (
            f" is no class index: {loss.scores} has {classes} classes, 0 to {classes - 1}; to leave "
            f"elements out, pass ignore_index or where"
        )
    if labels.dtype.kind in "iub":
        return " is not a label: use 0 or 1"
    return " is outside [0, 1]: a label is 0, 1, or a probability between"

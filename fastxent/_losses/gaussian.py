"""The negative log-likelihood of a Gaussian.

Each docstring holds what is the function's own: `docstrings` adds the arguments. The overloads are in the
stub, which tools/write_stubs.py makes of this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

from fastxent._core.evaluate import evaluate
from fastxent._core.loss import COMMON_OPTIONS, Formula, Loss
from fastxent._core.scalars import POSITIVE, REAL
from fastxent._losses.docstrings import documented

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastxent._core.types import Array, NanPolicy, Reduction, Value

GAUSSIAN = Loss(
    "gaussian_nll", Formula("GAUSSIAN", labels=REAL, scale=POSITIVE),
    "y_true", "mean", (*COMMON_OPTIONS, "full"), scale="var",
)  # fmt: skip


@documented(GAUSSIAN)
def gaussian_nll(
    y_true: ArrayLike,
    mean: ArrayLike,
    var: ArrayLike = 1.0,
    *,
    full: bool = False,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Negative log-likelihood under a Gaussian, in nats.

    For an observation y, a mean m and a variance v, the loss is the first of these, and with `full`
    the second::

        ((y - m)² / v + log v) / 2
        ((y - m)² / v + log v + log 2π) / 2

    Notes
    -----
    Minus the logarithm of the normal density [1]_. With v = 1 it is half the squared error, which
    so is a cross entropy as well, up to the constant.

    References
    ----------
    .. [1] C. M. Bishop, Pattern Recognition and Machine Learning, Springer, 2006, equation 1.46.

    Examples
    --------
    >>> import fastxent
    >>> 2 * fastxent.gaussian_nll([1.0, 2.0], [0.0, 4.0])
    2.5
    """
    options = {
        "var": var, "full": full, "sample_weight": sample_weight, "where": where,
    }  # fmt: skip
    return evaluate(GAUSSIAN, y_true, mean, options, nan_policy, reduction, out, workers)

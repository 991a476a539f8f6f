"""The negative log-likelihood of counts, from the logarithm of their rate.

Each docstring holds what is the function's own: `docstrings` adds the arguments. The overloads are in the
stub, which tools/write_stubs.py makes of this file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex

from fastxent._core.derivatives import grad_hess, value_and_grad
from fastxent._core.evaluate import evaluate
from fastxent._core.loss import COMMON_OPTIONS, Formula, Loss
from fastxent._core.scalars import NON_NEGATIVE
from fastxent._losses.docstrings import documented, objective

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fastxent._core.types import Array, NanPolicy, Reduction, Value

POISSON = Loss(
    "poisson_nll", Formula("POISSON", labels=NON_NEGATIVE),
    "y_true", "log_rate", (*COMMON_OPTIONS, "full"),
)  # fmt: skip


@documented(POISSON)
def poisson_nll(
    y_true: ArrayLike,
    log_rate: ArrayLike,
    *,
    full: bool = False,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> Value:
    """Negative log-likelihood of counts under a Poisson distribution, in nats.

    For a count y and the logarithm z of its rate, the loss is the first of these, and with `full` the
    second::

        exp(z) - y z
        exp(z) - y z + log y!

    Notes
    -----
    Minus the logarithm of the Poisson probability [1]_. Counts need not be whole numbers: log y! is
    log Γ(y + 1). torch's ``poisson_nll_loss`` with ``full=True`` adds Stirling's approximation
    instead, and 0 for a count up to 1.

    References
    ----------
    .. [1] P. McCullagh, J. A. Nelder, Generalized Linear Models, 2nd edition, Chapman and Hall, 1989,
       section 6.2.

    Examples
    --------
    >>> import fastxent
    >>> fastxent.poisson_nll([0, 2], [0.0, 0.0])
    1.0
    >>> round(fastxent.poisson_nll([0, 2], [0.0, 0.0], full=True), 6)
    1.346574
    """
    options = {"full": full, "sample_weight": sample_weight, "where": where}
    return evaluate(POISSON, y_true, log_rate, options, nan_policy, reduction, out, workers)


@documented(POISSON, "value_and_grad")
def poisson_nll_value_and_grad(
    y_true: ArrayLike,
    log_rate: ArrayLike,
    *,
    full: bool = False,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    reduction: Reduction = "mean",
    out: Array | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Value, Array]:
    """Poisson negative log-likelihood, and its gradient with respect to the logarithm of the rate.

    The value is that of `poisson_nll`, bit for bit. The gradient of one element, with a count y and
    the logarithm z of its rate, is as below; that of the mean is divided by the sum of the weights::

        exp(z) - y

    Examples
    --------
    >>> import fastxent
    >>> value, grad = fastxent.poisson_nll_value_and_grad([0, 2], [0.0, 0.0])
    >>> value
    1.0
    >>> grad
    array([ 0.5, -0.5])
    """
    options = {"full": full, "sample_weight": sample_weight, "where": where}
    return value_and_grad(POISSON, y_true, log_rate, options, nan_policy, reduction, out, workers)


@objective
@documented(POISSON, "grad_hess")
def poisson_nll_grad_hess(
    y_true: ArrayLike,
    log_rate: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    full: bool = False,
    where: ArrayLike | None = None,
    nan_policy: NanPolicy = "raise",
    out: tuple[Array, Array] | None = None,
    workers: SupportsIndex = 1,
) -> tuple[Array, Array]:
    """First and second derivative of each Poisson negative log-likelihood by the log rate.

    With a count y and the logarithm z of its rate they are as below; `full` changes neither::

        exp(z) - y
        exp(z)

    Notes
    -----
    It can be given as it is, as `objective`, to XGBoost's and LightGBM's regressors. As LightGBM
    counts the arguments, `inspect.signature` shows the first three only.

    Examples
    --------
    >>> import fastxent
    >>> fastxent.poisson_nll_grad_hess([0, 2], [0.0, 0.0])
    (array([ 1., -1.]), array([1., 1.]))
    """
    options = {"full": full, "sample_weight": sample_weight, "where": where}
    return grad_hess(POISSON, y_true, log_rate, options, nan_policy, out, workers)

"""The loss modules of ``torch.nn``: subclasses of torch's whose forward is fastxent's."""

from __future__ import annotations

from typing import Any

from torch import nn

from fastxent.torch import functional


class CrossEntropyLoss(nn.CrossEntropyLoss):  # type: ignore[misc]
    """As ``torch.nn.CrossEntropyLoss``.

    Parameters
    ----------
    *args, **kwargs
        Those of torch's class.
    inplace_backward : bool, default False
        Write the gradient over the logits, which are lost.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import CrossEntropyLoss
    >>> criterion = CrossEntropyLoss(label_smoothing=0.1)
    >>> round(criterion(torch.zeros(1000, 4), torch.arange(1000) % 4).item(), 5)
    1.38629
    """

    inplace_backward = False  # where a pickle of torch's class has none

    def __init__(self, *args: Any, inplace_backward: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.inplace_backward = inplace_backward

    def forward(self, input: Any, target: Any) -> Any:  # noqa: A002
        """The loss."""
        return functional.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction,
            label_smoothing=self.label_smoothing, inplace_backward=self.inplace_backward,
        )  # fmt: skip


class BCEWithLogitsLoss(nn.BCEWithLogitsLoss):  # type: ignore[misc]
    """As ``torch.nn.BCEWithLogitsLoss``.

    Parameters
    ----------
    *args, **kwargs
        Those of torch's class.
    inplace_backward : bool, default False
        Write the gradient over the logits, which are lost.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import BCEWithLogitsLoss
    >>> round(BCEWithLogitsLoss()(torch.zeros(2000), torch.ones(2000)).item(), 6)
    0.693147
    """

    inplace_backward = False

    def __init__(self, *args: Any, inplace_backward: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.inplace_backward = inplace_backward

    def forward(self, input: Any, target: Any) -> Any:  # noqa: A002
        """The loss."""
        return functional.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight,
            inplace_backward=self.inplace_backward,
        )  # fmt: skip


class BCELoss(nn.BCELoss):  # type: ignore[misc]
    """As ``torch.nn.BCELoss``.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import BCELoss
    >>> round(BCELoss()(torch.full((2000,), 0.5), torch.ones(2000)).item(), 6)
    0.693147
    """

    def forward(self, input: Any, target: Any) -> Any:  # noqa: A002
        """The loss."""
        return functional.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class GaussianNLLLoss(nn.GaussianNLLLoss):  # type: ignore[misc]
    """As ``torch.nn.GaussianNLLLoss``.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import GaussianNLLLoss
    >>> ones = torch.ones(10_000)
    >>> round(GaussianNLLLoss()(torch.zeros(10_000), ones, ones).item(), 6)
    0.5
    """

    def forward(self, input: Any, target: Any, var: Any) -> Any:  # noqa: A002
        """The loss."""
        return functional.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )


class NLLLoss(nn.NLLLoss):  # type: ignore[misc]
    """As ``torch.nn.NLLLoss``.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import NLLLoss
    >>> NLLLoss()(torch.tensor([[-1.0, -2.0]]), torch.tensor([1])).item()
    2.0
    """

    def forward(self, input: Any, target: Any) -> Any:  # noqa: A002
        """The loss."""
        return functional.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class KLDivLoss(nn.KLDivLoss):  # type: ignore[misc]
    """As ``torch.nn.KLDivLoss``.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import KLDivLoss
    >>> p = torch.tensor([[0.5, 0.5]])
    >>> KLDivLoss(reduction="batchmean")(p.log(), p).item()
    0.0
    """

    def forward(self, input: Any, target: Any) -> Any:  # noqa: A002
        """The divergence."""
        return functional.kl_div(
            input, target, reduction=self.reduction, log_target=self.log_target
        )


class PoissonNLLLoss(nn.PoissonNLLLoss):  # type: ignore[misc]
    """As ``torch.nn.PoissonNLLLoss``.

    Examples
    --------
    >>> import torch
    >>> from fastxent.torch import PoissonNLLLoss
    >>> PoissonNLLLoss()(torch.zeros(3), torch.ones(3)).item()
    1.0
    """

    def forward(self, log_input: Any, target: Any) -> Any:
        """The loss."""
        return functional.poisson_nll_loss(
            log_input, target, log_input=self.log_input, full=self.full, eps=self.eps,
            reduction=self.reduction,
        )  # fmt: skip

"""torch's losses, computed by fastxent: the same names, signatures, numbers and autograd.

A module per step, each of which imports only those above it:

- `_handover`: torch's own functions, and when they are called instead; `_rules`: by sizes and shapes;
- `_memory`: where gradients are written;
- `_calls`: one call's options, its value, and its gradient by the logits;
- `_autograd`: the same as nodes of torch's graph; `_compiled`: as operators for torch.compile;
- `functional`: the functions, with torch's signatures; `modules`: the classes of `torch.nn`;
- `linear`: the loss of hidden states;
- `_patching`: `torch.nn.functional`'s own names.
"""

from fastxent.torch._handover import set_debug
from fastxent.torch._patching import PATCHED, patch, patched, unpatch
from fastxent.torch.functional import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    kl_div,
    nll_loss,
    poisson_nll_loss,
    sigmoid_focal_loss,
)
from fastxent.torch.linear import linear_cross_entropy
from fastxent.torch.modules import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    GaussianNLLLoss,
    KLDivLoss,
    NLLLoss,
    PoissonNLLLoss,
)

__all__ = [
    "PATCHED",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "KLDivLoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "gaussian_nll_loss",
    "kl_div",
    "linear_cross_entropy",
    "nll_loss",
    "patch",
    "patched",
    "poisson_nll_loss",
    "set_debug",
    "sigmoid_focal_loss",
    "unpatch",
]

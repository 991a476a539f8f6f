"""Cross-entropy of large batches on a CPU: at the speed of memory, the same bits everywhere."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

try:
    from fastxent._core.dispatch import version as __version__
except ModuleNotFoundError as _error:
    if _error.name != "fastxent._kernels.engine":
        raise
    raise ImportError(
        f"the compiled part of fastxent is missing in {__path__[0]}: these are sources that are not "
        "built, or what was built for another Python. Install fastxent by `pip install .` in the "
        "folder of setup.py, and import it from another folder, or with `python -P`",
        name=_error.name,
    ) from None

from fastxent._core.dispatch import show_config, simd_level
from fastxent._core.errors import ElementError
from fastxent._losses import (
    binary_cross_entropy,
    binary_cross_entropy_grad_hess,
    binary_cross_entropy_value_and_grad,
    binary_cross_entropy_with_logits,
    binary_focal_loss,
    binary_focal_loss_grad_hess,
    binary_focal_loss_value_and_grad,
    categorical_cross_entropy,
    categorical_cross_entropy_grad_hess,
    categorical_cross_entropy_value_and_grad,
    categorical_cross_entropy_with_logits,
    categorical_focal_loss,
    categorical_focal_loss_grad_hess,
    categorical_focal_loss_value_and_grad,
    entropy,
    gaussian_nll,
    kl_divergence,
    kl_divergence_with_logits,
    kl_divergence_with_logits_value_and_grad,
    logit_statistics,
    poisson_nll,
    poisson_nll_grad_hess,
    poisson_nll_value_and_grad,
)

if TYPE_CHECKING:
    from fastxent._aggregate import (
        LossAccumulator,
        bits_per_byte,
        compare,
        grouped,
        largest_losses,
        score,
    )
    from fastxent._calibration import decompose, fit_platt, fit_temperature
    from fastxent._linear import linear_cross_entropy, linear_cross_entropy_value_and_grad
    from fastxent._log_loss.log_loss import d2_log_loss_score, log_loss
    from fastxent.files import score_files

#: Imported when one of their names is first used: the losses alone are most programs' need.
_LATER = (
    "fastxent._log_loss.log_loss",
    "fastxent._aggregate",
    "fastxent._calibration",
    "fastxent._linear",
    "fastxent.files",
)

__all__ = [
    "ElementError",
    "LossAccumulator",
    "__version__",
    "binary_cross_entropy",
    "binary_cross_entropy_grad_hess",
    "binary_cross_entropy_value_and_grad",
    "binary_cross_entropy_with_logits",
    "binary_focal_loss",
    "binary_focal_loss_grad_hess",
    "binary_focal_loss_value_and_grad",
    "bits_per_byte",
    "categorical_cross_entropy",
    "categorical_cross_entropy_grad_hess",
    "categorical_cross_entropy_value_and_grad",
    "categorical_cross_entropy_with_logits",
    "categorical_focal_loss",
    "categorical_focal_loss_grad_hess",
    "categorical_focal_loss_value_and_grad",
    "compare",
    "d2_log_loss_score",
    "decompose",
    "entropy",
    "fit_platt",
    "fit_temperature",
    "gaussian_nll",
    "grouped",
    "kl_divergence",
    "kl_divergence_with_logits",
    "kl_divergence_with_logits_value_and_grad",
    "largest_losses",
    "linear_cross_entropy",
    "linear_cross_entropy_value_and_grad",
    "log_loss",
    "logit_statistics",
    "poisson_nll",
    "poisson_nll_grad_hess",
    "poisson_nll_value_and_grad",
    "score",
    "score_files",
    "show_config",
    "simd_level",
]


def __getattr__(name: str) -> Any:
    """Find a public name that is not imported yet."""
    if name in __all__:
        for package in map(importlib.import_module, _LATER):
            if hasattr(package, name):
                return globals().setdefault(name, getattr(package, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

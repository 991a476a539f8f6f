"""``torch.nn.functional``'s own names, for a block of code or for good."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn import functional as torch_functional

from fastxent.torch import functional

#: The names of ``torch.nn.functional`` that `patch` replaces; the modules of ``torch.nn`` call these.
PATCHED = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "gaussian_nll_loss",
    "kl_div",
    "nll_loss",
    "poisson_nll_loss",
)

_lock = threading.Lock()
_depth = 0
_replaced: dict[str, Any] = {}


def patch() -> None:
    """Put fastxent's functions in the places of torch's, for the whole process.

    `PATCHED` lists the names, all of ``torch.nn.functional``. Code that has imported a function by
    its own name before keeps what it imported. Each `patch` needs an `unpatch`: after the last one
    everything is as it was.

    Examples
    --------
    >>> import torch
    >>> import fastxent.torch
    >>> fastxent.torch.patch()
    >>> torch.nn.functional.cross_entropy is fastxent.torch.cross_entropy
    True
    >>> fastxent.torch.unpatch()
    """
    global _depth  # noqa: PLW0603
    with _lock:
        if not _depth:
            for name in PATCHED:
                _replaced[name] = getattr(torch_functional, name)
                setattr(torch_functional, name, getattr(functional, name))
        _depth += 1


def unpatch() -> None:
    """Undo one `patch`; the last one puts back what stood there before the first.

    Raises
    ------
    RuntimeError
        Nothing is patched.
    """
    global _depth  # noqa: PLW0603
    with _lock:
        if not _depth:
            raise RuntimeError("nothing is patched: call unpatch once for each patch")
        _depth -= 1
        if not _depth:
            for name, replaced in _replaced.items():
                setattr(torch_functional, name, replaced)
            _replaced.clear()


@contextmanager
def patched() -> Iterator[None]:
    """Put fastxent's functions in the places of torch's while a block of code runs.

    The places are the process's, so other threads meet them too. Blocks may nest, and overlap in
    several threads: the last one that ends restores everything.

    Examples
    --------
    >>> import torch
    >>> import fastxent.torch
    >>> with fastxent.torch.patched():
    ...     loss = torch.nn.CrossEntropyLoss()(torch.zeros(1000, 4), torch.arange(1000) % 4)
    >>> round(loss.item(), 5)
    1.38629
    """
    patch()
    try:
        yield
    finally:
        unpatch()

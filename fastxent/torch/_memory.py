"""Memory for gradients: from NumPy, which asks for huge pages, and that of an earlier one if it is free.

The first write to each page of new memory costs about a third of a loss and its gradient. A training
loop frees the gradient of its logits before it asks for the next.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import torch

#: Bytes: less, malloc uses again by itself; more is not to be kept from others.
LEAST, MOST = 1 << 22, 1 << 28

_idle: list[Any] = []  # at most one piece of memory that nobody uses


def empty_like(tensor: Any) -> Any:
    """Memory for as many elements, in the same order."""
    if tensor.dtype is torch.bfloat16:  # it has no name in NumPy
        return empty_like(tensor.view(torch.int16)).view(torch.bfloat16)
    array = tensor.numpy()
    if not (LEAST <= array.nbytes <= MOST and array.flags.c_contiguous):
        return torch.from_numpy(np.empty_like(array, subok=False))
    memory = _free(array.nbytes)
    made = memory[: array.nbytes].view(array.dtype).reshape(array.shape)
    # The storage of the tensor holds `made`, which dies with the last tensor over it.
    weakref.finalize(made, _keep, memory).atexit = False
    return torch.from_numpy(made)


def _free(size: int) -> Any:
    try:
        memory = _idle.pop()
    except IndexError:
        return np.empty(size, np.uint8)
    return memory if size <= memory.nbytes <= 2 * size else np.empty(size, np.uint8)


def _keep(memory: Any) -> None:
    _idle[:] = [memory]

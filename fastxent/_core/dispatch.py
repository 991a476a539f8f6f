"""Which kernels run: chosen once, at import."""

from __future__ import annotations

import importlib
import os

import numpy as np

from fastxent._kernels.engine import (
    ERROR_CODES,
    NAN_POLICIES,
    Kernel,
    Task,
    build_flags,
    cap_logits,
    changed,
    compiler,
    set_kernels,
    supported_levels,
    version,
)
from fastxent._kernels.group_sums import (
    add_differences,
    add_losses,
    set_group_kernels,
    shift_centres,
)
from fastxent._kernels.isotonic import (
    choose_buckets,
    count_labels,
    gather_keys,
    pool_buckets,
    pool_sums,
)

__all__ = [
    "ERROR_CODES",
    "NAN_POLICIES",
    "Kernel",
    "Task",
    "add_differences",
    "add_losses",
    "cap_logits",
    "changed",
    "choose_buckets",
    "count_labels",
    "gather_keys",
    "pool_buckets",
    "pool_sums",
    "shift_centres",
    "show_config",
    "simd_level",
    "version",
]


def _choose() -> str:
    """The best level that was built and runs here, or the one that FASTXENT_SIMD names."""
    supported = supported_levels()
    forced = os.environ.get("FASTXENT_SIMD", "")
    if not forced:
        return supported[-1]
    if forced not in supported:
        raise ImportError(
            f"FASTXENT_SIMD={forced!r} cannot run here: use one of {', '.join(supported)}"
        )
    return forced


# The import comes after the choice: a module's own start may use its instructions. A level that
# was built but is missing means a broken installation, and raises.
_LEVEL = _choose()
_TABLE = importlib.import_module(f"fastxent._kernels.levels.{_LEVEL}").table
set_kernels(_TABLE)
set_group_kernels(_TABLE)


def simd_level() -> str:
    """Name the instruction set that the kernels run on.

    Returns
    -------
    str
        "baseline", "avx2" or "avx512". The environment variable ``FASTXENT_SIMD``, read when
        fastxent is imported, forces one of them. The results are the same bits on each.

    Examples
    --------
    >>> import fastxent
    >>> fastxent.simd_level() in ("baseline", "avx2", "avx512")
    True
    """
    return _LEVEL


def show_config() -> None:
    """Print what was built and what runs: for a bug report.

    Examples
    --------
    >>> import fastxent
    >>> fastxent.show_config()  # doctest: +ELLIPSIS
    fastxent    ...
    SIMD level  ...
    """
    print(f"fastxent    {version}")
    print(f"SIMD level  {_LEVEL} (runnable here: {', '.join(supported_levels())})")
    print(f"compiler    {compiler}")
    for level, flags in build_flags.items():
        print(f"  {level:10}{flags}")
    print(f"numpy       {np.__version__}")

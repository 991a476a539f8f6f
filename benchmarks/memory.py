"""What a call adds to the resident memory of this process, at its peak (Linux)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

_PROCESS = Path("/proc/self")


def peak(call: Callable[[], Any]) -> float:
    """In MiB, the result included."""
    (_PROCESS / "clear_refs").write_text("5", "ascii")  # the highest water mark anew
    before = _status("VmRSS")
    call()
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    """In KiB."""
    lines = (_PROCESS / "status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))

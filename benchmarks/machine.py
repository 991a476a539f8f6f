"""What the figures depend on, without the machine's name."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np

import fastxent


def machine() -> dict[str, str]:
    """The processor, the system and the versions, of this process."""
    return {
        "cpu": cpu_name(),
        "cpus": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "level": fastxent.simd_level(),
    }


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()

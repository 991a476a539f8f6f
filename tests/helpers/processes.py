"""Python processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fastxent
from helpers.losses import LEVELS


def run_python(code: str, *args: str, timeout: float = 120, **env: str) -> str:
    """Run `code` in an interpreter of its own, with the fastxent and the tests of this one."""
    process = python(code, *args, timeout=timeout, **env)
    assert process.returncode == 0, process.stderr
    return process.stdout


def python(
    code: str, *args: str, timeout: float = 120, **env: str
) -> subprocess.CompletedProcess[str]:
    package, tests = Path(fastxent.__file__).parents[1], Path(__file__).parents[1]
    path = os.pathsep.join([str(package), str(tests), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code, *args],
        env={**os.environ, **env, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def levels_that_run() -> list[str]:
    """The levels that this build has and this machine can run: at least the one in use."""
    return [level for level in LEVELS if why_not(level) is None]


def why_not(level: str) -> str | None:
    tried = python("import fastxent; print(fastxent.simd_level())", FASTXENT_SIMD=level)
    if tried.returncode == 0:
        assert tried.stdout.strip() == level
        return None
    return tried.stderr.strip().splitlines()[-1]

"""How type checkers see fastxent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fastxent

#: What `stubtest` ignores.
ALLOWED = r"""
fastxent\._losses\.\w+\..*_grad_hess  # objectives show LightGBM less than they take
fastxent\._core\.types\.\w+  # aliases, which are no types when it runs
fastxent\.torch\._autograd\.\w+  # their metaclass is torch's, whose types are not followed
fastxent\.torch\.linear\.LinearLoss  # the same
fastxent\._cli\.report\._critical_value  # cached, which hides the signature
fastxent\.torch\._handover\.bfloat16  # cached
fastxent\.spark\.DataFrame  # is imported for type checkers alone
"""
CONFIG = """
[mypy]
[mypy-dask.*,matplotlib.*,pyarrow.*,pyspark.*,rich.*,sklearn.*,torch.*]
ignore_missing_imports = True
follow_imports = skip
"""


def mypy(*arguments: Any, **options: Any) -> None:
    pytest.importorskip("mypy", reason="no mypy: types are not checked")
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr


def stubtest(folder: Path, *modules: str) -> None:
    """Compare what the modules' stubs, or their annotations, say with what there is."""
    allowed, config = folder / "allowed", folder / "mypy.ini"
    allowed.write_text(ALLOWED)
    config.write_text(CONFIG)
    files = "--allowlist", allowed, "--mypy-config-file", config
    more = "--ignore-missing-stub", "--ignore-unused-allowlist"
    paths = {**os.environ, "PYTHONPATH": str(Path(fastxent.__file__).parents[1])}
    mypy("mypy.stubtest", *modules, *more, *files, cwd=folder, env=paths)  # not of the sources

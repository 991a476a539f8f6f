"""What several test files need: layouts of one array, Python processes of their own, bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastxent

Array = np.ndarray[Any, Any]

PROBABILITIES = ("binary_cross_entropy", "categorical_cross_entropy")
LOGITS = tuple(name + "_with_logits" for name in PROBABILITIES)
LOSSES = PROBABILITIES + LOGITS
BINARY = tuple(name for name in LOSSES if name.startswith("binary"))
CATEGORICAL = tuple(name for name in LOSSES if name.startswith("categorical"))
LEVELS = ("baseline", "avx2", "avx512")
INTEGERS = tuple("int8 int16 int32 int64 uint8 uint16 uint32 uint64".split())


def loss(name: str) -> Callable[..., Any]:
    return getattr(fastxent, name)


def bfloat16() -> np.dtype[Any]:
    return np.dtype(pytest.importorskip("ml_dtypes", reason="no ml_dtypes: no bfloat16").bfloat16)


# ------------------------------------------------------------------------------------ layouts


def contiguous(a: Array) -> Array:
    return np.array(a, order="C")


def fortran(a: Array) -> Array:
    return np.array(a, order="F")


def strided(a: Array) -> Array:
    """Every third of a longer last axis, as a column of predict_proba is every second."""
    wide = np.zeros((*a.shape[:-1], a.shape[-1] * 3 + 1), a.dtype)
    view = wide[..., 1::3]
    view[...] = a
    return view


def rows_apart(a: Array) -> Array:
    """Rows that are contiguous in themselves, with a gap after each."""
    wide = np.zeros((*a.shape[:-1], a.shape[-1] + 5), a.dtype)
    view = wide[..., : a.shape[-1]]
    view[...] = a
    return view


def backwards(a: Array) -> Array:
    flip = (slice(None, None, -1),) * a.ndim
    return np.array(a[flip], order="C")[flip]


def read_only(a: Array) -> Array:
    b = np.array(a, order="C")
    b.flags.writeable = False
    return b


def swapped(a: Array) -> Array:
    return a.astype(a.dtype.newbyteorder()) if a.dtype.isbuiltin == 1 else contiguous(a)


def swapped_strided(a: Array) -> Array:
    return strided(swapped(a))


def unaligned(a: Array) -> Array:
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    f.__name__: f
    for f in (
        contiguous,
        fortran,
        strided,
        rows_apart,
        backwards,
        read_only,
        swapped,
        swapped_strided,
        unaligned,
    )
}


# ----------------------------------------------------------------------------------- processes


def run_python(code: str, *args: str, timeout: float = 120, **env: str) -> str:
    """Run `code` in an interpreter of its own, with the fastxent and the tests of this one."""
    process = python(code, *args, timeout=timeout, **env)
    assert process.returncode == 0, process.stderr
    return process.stdout


def python(
    code: str, *args: str, timeout: float = 120, **env: str
) -> subprocess.CompletedProcess[str]:
    package, tests = Path(fastxent.__file__).parents[1], Path(__file__).parent
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


# --------------------------------------------------------------------------------------- types

#: What `stubtest` is not to mind.
ALLOWED = r"""
fastxent\._(gradients|focal)\..*_grad_hess  # objectives show LightGBM less than they take
fastxent\._types\.\w+  # aliases, which are no types when it runs
fastxent\.spark\.DataFrame  # is imported for type checkers alone
"""
CONFIG = """
[mypy]
[mypy-dask.*,matplotlib.*,pyarrow.*,pyspark.*,rich.*,sklearn.*]
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


# ----------------------------------------------------------------------------------- bad input

SPOTS = [0, 1, 31, 1023, 1024, 2047, 2998, 2999]


def good(name, n=3000):
    """3,000 positions: bad ones stand in any block, alone or in a tail."""
    rng = np.random.default_rng(9)
    if name in BINARY:
        p, y = rng.uniform(0.1, 0.9, n), rng.integers(0, 2, n)
    else:
        p, y = rng.dirichlet(np.ones(3), n), rng.integers(0, 3, n)
    return y, np.log(p) if name in LOGITS else p


def refused(name, *args, match, **options):
    """Under every reduction, by one worker and by two; all three texts are one."""
    texts = set()
    for reduction in ("mean", "sum", "none"):
        for workers in (1, 2):
            with pytest.raises(ValueError, match=match) as caught:
                loss(name)(*args, reduction=reduction, workers=workers, **options)
            texts.add(str(caught.value))
    assert len(texts) == 1
    return texts.pop()

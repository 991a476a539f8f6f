"""The same input gives the same bits: on every level, for every number of workers, every dtype of
the labels, every layout, every loss.

A level is chosen at import, so each has a process of its own, which prints digests (digests.py).
"""

import platform
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fastxent
from helpers.losses import LEVELS, LOSSES, loss
from helpers.processes import levels_that_run, python, run_python, why_not

pytestmark = [pytest.mark.numpy_independent, pytest.mark.uncounted, pytest.mark.arm64]

PROGRAM = (Path(__file__).parents[1] / "helpers" / "digests.py").read_text(encoding="utf-8")


def digests(level):
    lines = run_python(PROGRAM, timeout=500, FASTXENT_SIMD=level).splitlines()
    assert lines[0] == level
    assert len(lines) > 800
    return lines[1:]


@pytest.mark.slow
def test_every_level_gives_the_bits_of_the_baseline():
    running = [level for level in LEVELS if not why_not(level)]
    with ThreadPoolExecutor(2) as pool:  # of processes that are waited for
        baseline, *others = pool.map(digests, running)
    for level, found in zip(running[1:], others, strict=True):
        assert found == baseline, level
    if missing := [f"{level}: {why_not(level)}" for level in LEVELS if why_not(level)]:
        pytest.skip("; ".join(missing))


def test_the_best_level_is_chosen():
    assert fastxent.simd_level() in levels_that_run()
    assert "baseline" in levels_that_run()
    chosen = run_python("import fastxent; print(fastxent.simd_level())", FASTXENT_SIMD="")
    assert chosen.strip() == levels_that_run()[-1]


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="levels are of x86-64")
def test_every_level_is_built_on_x86():
    """A level that cannot run here says so; one that is missing from the build is a fault."""
    for level in LEVELS:
        assert "built" not in (why_not(level) or "")


def test_an_unknown_level_is_refused():
    tried = python("import fastxent", FASTXENT_SIMD="sse9")
    assert tried.returncode != 0
    assert "FASTXENT_SIMD" in tried.stderr
    assert "sse9" in tried.stderr
    assert ", ".join(levels_that_run()) in tried.stderr


@pytest.mark.parametrize("level", levels_that_run())
def test_a_level_that_is_missing_is_an_error(tmp_path, level):
    """Of the best level, and of one that is forced: no other replaces it."""
    broken = tmp_path / "fastxent"
    shutil.copytree(Path(fastxent.__file__).parent, broken)
    for module in (broken / "_kernels" / "levels").glob(f"{level}.*[!x]"):
        module.unlink()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import fastxent"
    tried = python(code, FASTXENT_SIMD=level)
    assert tried.returncode != 0
    assert f"No module named 'fastxent._kernels.levels.{level}'" in tried.stderr
    best = python(code, FASTXENT_SIMD="")
    assert (best.returncode == 0) == (level != levels_that_run()[-1])


def test_the_configuration_is_shown():
    shown = run_python("import fastxent; fastxent.show_config()").splitlines()
    named = dict(line.strip().split(maxsplit=1) for line in shown)
    assert named["fastxent"] == fastxent.__version__
    assert named["numpy"] == np.__version__
    runnable = ", ".join(levels_that_run())
    assert named["SIMD"] == f"level  {fastxent.simd_level()} (runnable here: {runnable})"
    assert re.search(r"(gcc|Clang|clang|MSVC)\b.*\d", named["compiler"])
    for level in levels_that_run():
        assert "-ffp-contract=off" in named[level] or "/fp:" in named[level]
        assert ("-mavx2" in named[level]) == (level == "avx2")
        assert ("-mavx512f" in named[level]) == (level == "avx512")


@pytest.mark.parametrize("name", LOSSES)
def test_a_call_repeats_itself(name):
    """Whatever ran before, in whatever memory the arrays lie."""
    rng = np.random.default_rng(0)
    rows = 30_001 if name.startswith("binary") else (30_001, 7)
    p, y = rng.uniform(0.05, 0.95, rows), rng.integers(0, 2, 30_001)
    first = [loss(name)(y, p, reduction=r) for r in ("mean", "sum")]
    for offset in range(1, 9):
        moved = np.empty(p.size + offset)[offset:].reshape(p.shape)
        moved[...] = p
        assert [loss(name)(y, moved, reduction=r, workers=2) for r in ("mean", "sum")] == first


def test_the_rows_of_a_batch_do_not_know_each_other():
    """reduction="none": a loss has the same bits alone and in any company."""
    rng = np.random.default_rng(0)
    for name in LOSSES:
        for dtype in ("float64", "float32"):
            shape = 2100 if name.startswith("binary") else (2100, 5)
            p, y = rng.uniform(0.05, 0.95, shape).astype(dtype), rng.integers(0, 2, 2100)
            each = loss(name)(y, p, reduction="none")
            for a, b in ((0, 1), (1, 34), (77, 1500), (2099, 2100)):
                alone = loss(name)(y[a:b], p[a:b], reduction="none")
                np.testing.assert_array_equal(alone, each[a:b], err_msg=f"{name} {dtype}")

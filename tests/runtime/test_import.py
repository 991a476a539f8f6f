"""What `import fastxent` brings with it: little beyond NumPy, and nothing that is optional."""

import shutil
import sys
from pathlib import Path

import pytest

import fastxent
from helpers.processes import python, run_python

pytestmark = [pytest.mark.numpy_independent, pytest.mark.wheel]

ADDED = """
import sys, numpy
before = set(sys.modules)
import fastxent
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
SLOW = ("concurrent", "ctypes", "dask", "inspect", "logging", "matplotlib", "pandas", "pyarrow",
        "pyspark", "rich", "scipy", "sklearn", "torch")  # fmt: skip


@pytest.fixture(scope="module")
def added():
    return set(run_python(ADDED).split())


def test_nothing_slow_or_optional_is_imported(added):
    assert "fastxent" in added
    assert added.isdisjoint(SLOW)


def test_beyond_the_standard_library_only_numpy_is_imported(added):
    modules = {name for name in added if "cython" not in name}  # its own, which are in no file
    assert modules - {"fastxent", "numpy"} <= set(sys.stdlib_module_names)


def test_the_losses_come_without_what_is_built_on_them():
    """Most programs need the losses alone: the rest is imported when it is first used."""
    code = "import sys, fastxent; print(*sorted(n for n in sys.modules if 'fastxent._' in n))"
    modules = set(run_python(code).split())
    assert "fastxent._losses" in modules
    assert modules.isdisjoint(fastxent._LATER)


def test_every_public_name_is_found_and_shown():
    code = "from fastxent import *; import fastxent; print(len(dir(fastxent)), compare.__name__)"
    shown, name = run_python(code).split()
    assert int(shown) >= len(fastxent.__all__) and name == "compare"
    assert set(fastxent.__all__) <= set(dir(fastxent))
    with pytest.raises(AttributeError, match="no attribute 'cross_entropy'"):
        _ = fastxent.cross_entropy


@pytest.mark.parametrize(
    "code", ["import fastxent", "from fastxent.sklearn import neg_log_loss_scorer"]
)
def test_sources_that_are_not_built_say_so(tmp_path, code):
    """An ImportError that says what is missing, where, and what to do."""
    unbuilt = shutil.ignore_patterns("engine.*.so", "engine.*.pyd", "__pycache__")
    folder = shutil.copytree(Path(fastxent.__file__).parent, tmp_path / "fastxent", ignore=unbuilt)
    done = python(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}")
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith(f"ImportError: the compiled part of fastxent is missing in {folder}:")
    assert "pip install ." in error and "python -P" in error

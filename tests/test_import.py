"""What `import fastxent` brings with it: little beyond NumPy, and nothing that is optional."""

import sys

import pytest

from tools import run_python

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

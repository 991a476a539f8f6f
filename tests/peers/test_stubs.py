"""The types of every module, those of the command line, Dask, Spark and scikit-learn too."""

import pytest

from helpers.typing import stubtest

pytestmark = pytest.mark.uncounted


def test_types_are_those_of_all_modules(tmp_path):
    for module in ("dask", "matplotlib", "pyarrow", "pyspark", "rich", "sklearn", "torch"):
        pytest.importorskip(module, reason=f"no {module}: a module of fastxent cannot be imported")
    stubtest(tmp_path, "fastxent")

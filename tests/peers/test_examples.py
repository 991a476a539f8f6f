"""The examples run, and print their results."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.uncounted

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name):
    done = subprocess.run(
        [sys.executable, "-P", EXAMPLES / name], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_logistic_regression_reaches_scikit_learns_coefficients():
    pytest.importorskip("sklearn")
    pytest.importorskip("scipy")
    distance = re.search(
        r"largest difference of a coefficient: (\S+)", run("logistic_regression.py")
    )
    assert float(distance[1]) < 1e-5


def test_focal_loss_in_xgboost():
    pytest.importorskip("sklearn")
    pytest.importorskip("xgboost")
    found = re.search(r"precision: (\S+) with .* (\S+) with the focal", run("focal_boosting.py"))
    plain, focal = map(float, found.groups())
    assert focal > 0.9 * plain > 0.3


def test_training_with_torch():
    pytest.importorskip("sklearn")
    pytest.importorskip("torch", reason="torch is absent: nothing is trained with it")
    found = re.findall(r"largest difference (\S+)", run("train_with_torch.py"))
    assert len(found) == 2 and all(float(apart) < 1e-5 for apart in found)

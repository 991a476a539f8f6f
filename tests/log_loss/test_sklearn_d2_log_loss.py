"""`fastxent.d2_log_loss_score` against scikit-learn's: its own tests, and random calls."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest

import fastxent

pytest.importorskip("sklearn", reason="scikit-learn is the peer that d2_log_loss_score replaces")

from sklearn import metrics

with warnings.catch_warnings():
    warnings.simplefilter("ignore", pytest.PytestUnknownMarkWarning)  # one of scikit-learn's marks
    from sklearn.metrics.tests import test_classification as sklearn_tests

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:Labels passed were:UserWarning"),
]

# `y_pred` is the name that `y_proba` had before scikit-learn 1.9; fastxent never had it.
for _name, _test in vars(sklearn_tests).items():
    if _name.startswith("test_d2_log_loss_score") and not _name.endswith("deprecation"):
        globals()[_name] = _test


@pytest.fixture(autouse=True)
def _in_its_place(monkeypatch):
    monkeypatch.setattr(sklearn_tests, "d2_log_loss_score", fastxent.d2_log_loss_score)


def test_its_own_tests_were_found():
    assert sum(name.startswith("test_d2_log_loss") for name in globals()) >= 4


@pytest.mark.parametrize("k", [2, 3, 20])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["int", "uint64", "str", "bool", "indicator", "float"])
def test_the_same_value(k, weighted, kind):
    rng = np.random.default_rng(k)
    n = 3000
    codes, p = rng.integers(0, k, n), rng.dirichlet(np.ones(k), n)
    y = {
        "int": codes, "uint64": codes.astype(np.uint64), "str": codes.astype(str),
        "bool": codes > 0, "indicator": np.eye(k, dtype=int)[codes], "float": codes - 3.0,
    }[kind]  # fmt: skip
    if kind == "bool":
        p = p[:, 0]
    if kind == "str":
        p = p[:, : len(np.unique(y))]
    w = rng.exponential(size=n) if weighted else None
    want = metrics.d2_log_loss_score(y, p, sample_weight=w)
    assert fastxent.d2_log_loss_score(y, p, sample_weight=w) == pytest.approx(want, rel=1e-12)


def test_many_blocks():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400_000)
    p = np.clip(0.5 * y + 0.25 + rng.normal(0, 0.1, len(y)), 0, 1)
    want = metrics.d2_log_loss_score(y, p)
    assert fastxent.d2_log_loss_score(y, p) == pytest.approx(want, rel=1e-11)


def test_without_sklearn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    monkeypatch.setitem(sys.modules, "sklearn.exceptions", None)
    with pytest.raises(ValueError, match="y_true has 3 rows, but y_proba has 2"):
        fastxent.d2_log_loss_score([0, 1, 1], [0.5, 0.5])
    with pytest.warns(UserWarning, match="not well-defined"):
        assert math.isnan(fastxent.d2_log_loss_score([1], [0.5]))

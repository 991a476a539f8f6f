"""`fastxent.log_loss` against scikit-learn's: its own tests, and cases drawn by Hypothesis."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastxent

pytest.importorskip("sklearn", reason="scikit-learn is the peer that log_loss stands in for")

from sklearn.metrics import log_loss as sklearn_log_loss

with warnings.catch_warnings():
    warnings.simplefilter("ignore", pytest.PytestUnknownMarkWarning)  # one of scikit-learn's marks
    from sklearn.metrics.tests import test_classification as sklearn_tests

# scikit-learn's own tests ------------------------------------------------------------------------

# `y_pred` is the name that `y_proba` had before scikit-learn 1.9; fastxent never had it.
DEPRECATED = {"test_log_loss_y_pred_deprecation"}

for _name, _test in vars(sklearn_tests).items():
    if _name.startswith("test_") and "log_loss" in _name and _name not in DEPRECATED:
        globals()[_name] = _test


# One of them warns, which is no failure.
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:Labels passed were:UserWarning"),
]


@pytest.fixture(autouse=True)
def _in_its_place(monkeypatch):
    monkeypatch.setattr(sklearn_tests, "log_loss", fastxent.log_loss)


def test_its_own_tests_were_found():
    assert sum(name.startswith("test_log_loss") for name in globals()) >= 6


# The same calls to both --------------------------------------------------------------------------

TOLERANCE = {np.float64: 1e-13, np.float32: 2e-6, np.float16: 4e-3}


def outcome(log_loss, args, options):
    """Return the value or the error, and the warnings, of one call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = log_loss(*args, **options)
        except (ValueError, TypeError, ZeroDivisionError) as error:
            bases = (ValueError, TypeError, ZeroDivisionError)
            result = tuple(b for b in bases if isinstance(error, b)), str(error)
    # scikit-learn lets NumPy warn of its cast of NaN to integers; a user can do nothing about it.
    kept = [(w.category, str(w.message)) for w in caught if w.category is not RuntimeWarning]
    return result, kept


def assert_same(args, options, tolerance=1e-13):
    theirs = outcome(sklearn_log_loss, args, options)
    ours = outcome(fastxent.log_loss, args, options)
    assert ours[1] == theirs[1]
    if isinstance(theirs[0], float):
        assert ours[0] == pytest.approx(theirs[0], rel=tolerance, abs=tolerance)
    else:
        assert ours[0] == theirs[0]


NAMES = np.array([f"class {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"])
LABELS = {
    "int64": lambda codes: codes,
    "int8": lambda codes: codes.astype(np.int8),
    "uint16": lambda codes: codes.astype(np.uint16),
    "swapped": lambda codes: codes.astype(">i4"),
    "column": lambda codes: codes[:, None],
    "bool": lambda codes: codes.astype(bool),
    "float": lambda codes: codes.astype(np.float32),
    "from 1": lambda codes: codes + 1,
    "signed": lambda codes: 2 * codes - 1,
    "sparse": lambda codes: codes * 1000 - 7,
    "str": lambda codes: NAMES[codes],
    "object": lambda codes: NAMES[codes].astype(object),
    "fractional": lambda codes: codes / 2,
    "numbers as objects": lambda codes: codes.astype(object),
    "NaN": lambda codes: np.where(codes == 1, np.nan, codes),
}
LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda p: np.repeat(p, 2, axis=0)[::2],
    "reversed": lambda p: p[::-1].copy()[::-1],
    "swapped": lambda p: p.astype(p.dtype.newbyteorder()),
    "list": lambda p: p.tolist(),
}


@st.composite
def calls(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, k = draw(st.integers(1, 60)), draw(st.sampled_from([2, 2, 2, 3, 4, 10, 20]))
    dtype = draw(st.sampled_from(list(TOLERANCE)))
    codes = rng.integers(0, k, n) if draw(st.booleans()) else np.arange(n) % k
    if draw(st.integers(0, 5)) == 0:
        codes = np.minimum(codes, draw(st.integers(0, k - 1)))  # some class may be absent
    p = rng.dirichlet(np.full(k, draw(st.sampled_from([0.01, 0.3, 1.0]))), n)
    if draw(st.integers(0, 4)) == 0:
        p[rng.integers(n)] *= draw(st.sampled_from([0.9, 1 + 1e-9, 1 - 1e-6, 0.0]))
    if k == 2 and draw(st.booleans()):
        p = p[:, 1:] if draw(st.booleans()) else p[:, 1]
    p = np.clip(p, 0, 1).astype(dtype)
    if draw(st.integers(0, 5)) == 0:
        wrong = draw(st.sampled_from([1.5, -0.25, np.nan, np.inf, -np.inf]))
        p[rng.integers(n)] = wrong
    layout = draw(st.sampled_from(list(LAYOUTS)))
    kind = draw(st.sampled_from(list(LABELS)))
    if kind == "bool" and k > 2:
        kind = "int64"
    y = LABELS[kind](codes)
    classes = np.unique(LABELS[kind](np.arange(k)).ravel())
    if kind != "column" and draw(st.booleans()):
        y = y.tolist()
    options = {}
    if draw(st.booleans()):
        options["normalize"] = draw(st.booleans())
    weights = draw(st.sampled_from([None, None, "any", "zeros", "negative", "NaN", "short", "2-D"]))
    if weights:
        w = rng.exponential(size=n + (weights == "short"))
        w *= {"zeros": rng.integers(0, 2, n), "negative": rng.choice([-1, 1], n)}.get(weights, 1)
        w[0] = np.nan if weights == "NaN" else w[0]
        options["sample_weight"] = w[:, None] if weights == "2-D" else w
    declared = draw(st.sampled_from([None, None, "all", "fewer", "more", "shuffled"]))
    if declared and kind != "NaN":
        choice = {"all": classes, "fewer": classes[:-1], "shuffled": rng.permutation(classes)}
        choice["more"] = np.unique(LABELS[kind](np.arange(k + 1)).ravel())
        options["labels"] = choice[declared].tolist()
    read_as = np.float64 if layout in ("swapped", "list") else dtype
    # Weights of both signs cancel, and what scikit-learn rounded to the scores' dtype then shows.
    tolerance = TOLERANCE[read_as] * (100 if weights == "negative" else 1)
    return (y, LAYOUTS[layout](p)), options, tolerance


@given(calls())
@settings(max_examples=600, deadline=None, derandomize=True)
def test_any_call(call):
    assert_same(*call)


P2 = [[0.3, 0.7], [0.6, 0.4]]
P3 = [[0.3, 0.3, 0.4]] * 3
ODD_CALLS = [
    ((3, P2), {}),
    (("ab", P2), {}),
    (([0, 1], 0.5), {}),
    (([0, 1], P2), {"normalize": 1}),
    (([0, 1], P2), {"sample_weight": 3}),
    (([0, 1], P2), {"labels": 1}),
    (([0, 1], np.array(0.5)), {}),
    ((np.array(0), [0.5]), {}),
    (([0, 1], np.ones((2, 2, 2))), {}),
    (([], []), {}),
    (([0, 1], np.ones((2, 0))), {}),
    (([0, 1], ["0.5", "0.3"]), {}),
    (([0, 1], ["a", "0.3"]), {}),
    (([0, 1], [0.1j, 0.3]), {}),
    (([0, 1], np.array([0.1j, 0.3])), {}),
    (([0, 1], np.array([0.5, 0.25], "g")), {}),
    (([0, 1], [True, False]), {}),
    (([0, 1, 1], P2), {}),
    (([0, 1], P2), {"sample_weight": [1]}),
    (([0, 1], P2), {"sample_weight": [0, 0]}),
    (([0, 1], P2), {"sample_weight": [1, -1]}),
    (([0, 1], P2), {"sample_weight": [1, -1], "normalize": False}),
    (([0, 1], P2), {"sample_weight": [1, np.inf]}),
    (([0, 1], P2), {"sample_weight": [1j, 2]}),
    (([0, 1], P2), {"sample_weight": np.ones((2, 1, 1))}),
    (([0, 1], P2), {"sample_weight": np.array([1, 2], np.int8)}),
    (([0.1, 0.6], P2), {}),
    (([np.nan, 1], P2), {}),
    (([np.inf, 1], P2), {}),
    (([1e300, 1], P2), {}),
    (([-1, 1], P2), {}),
    (([2**63 - 1, -(2**63)], P2), {}),
    (([b"a", b"b"], P2), {}),
    (([0, 1j], P2), {}),
    ((["a", 1], P2), {}),
    ((["a", None], P2), {}),
    (([None, "a"], P2), {}),
    ((np.array(["a", 1], dtype=object), P2), {}),
    (({0, 1}, P2), {}),
    ((range(2), P2), {}),
    (([[0, 1], [1]], P2), {}),
    (([[["a"]], [["b"]]], P2), {}),
    ((np.array(["2020-01-01", "2021-01-01"], "M8[D]"), P2), {}),
    (([0, 0], P2), {}),
    ((["b", "b"], P2), {}),
    (([0, 2, 1], P2 + P2[:1]), {}),
    (([0, 2, 0], P3), {}),
    ((["a", "a", "b"], [[0.1, 0.1, 0.1]] * 3), {}),
    # label indicators
    (([[0, 1], [1, 0]], P2), {}),
    (([[0, 1], [1, 0]], [0.3, 0.4]), {}),
    (([[0, 1], [1, 1]], P2), {"sample_weight": [1, 3]}),
    (([[0, 2], [2, 0]], P2), {"sample_weight": [1, -3]}),
    (([[0.0, 1], [1, 0]], np.array(P2, np.float32)), {}),
    (([[0, 1], [1, 2]], P2), {}),
    (([[0, 1, 0], [1, 1, 1]], P2), {}),
    (([[0, 1], [1, 0]], [[0.3, 0.7], [0.6, 1.4]]), {}),
    (([[0, 1], [1, 0]], [0.3, 1.4]), {}),
    (([[0, 1], [1, 0]], P2), {"labels": [0, 1]}),
    ((np.array([[0, 1]]), [[0.3, 0.7]]), {}),
    # labels that are declared
    (([0, 1], P2), {"labels": [1, 0]}),
    (([0, 1], P2), {"labels": [0, 0, 1]}),
    (([0, 1], P2), {"labels": [0]}),
    (([0, 0], P2), {"labels": [0]}),
    (([0, 2], P2), {"labels": [0, 1]}),
    ((np.array([0, 2]), P2), {"labels": np.array([0, 1])}),
    (([0, 0.5], P2), {"labels": [0, 1]}),
    (([True, False], P2), {"labels": [0, 1]}),
    (([0, 1], P2), {"labels": [0, 1.0]}),
    (([0, 1], P2), {"labels": ["0", "1"]}),
    ((["a", "b"], P2), {"labels": [0, 1]}),
    (([0, 1], P2), {"labels": [0.1, 0.2]}),
    (([0, 1], P2), {"labels": []}),
    (([0, 1], P2), {"labels": [[0, 1], [1, 2]]}),
    (([0, 1], P2), {"labels": np.array([[0], [1]])}),
    (([0, 1], P2), {"labels": [0, 1, 2]}),
    (([0, 2, 0], P3), {"labels": [0, 2]}),
    ((np.array([0, 1], dtype=object), P2), {"labels": [0, 1]}),
]


@pytest.mark.parametrize("args, options", ODD_CALLS, ids=[str(i) for i in range(len(ODD_CALLS))])
def test_odd_call(args, options):
    assert_same(args, options, 1e-6 if getattr(args[1], "dtype", None) == np.float32 else 1e-13)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_matrix():
    assert_same(([0, 1], np.matrix(P2)), {})
    assert_same((np.matrix([[0], [1]]), P2), {})


def test_sparse_input():
    sparse = pytest.importorskip("scipy.sparse")
    assert_same((sparse.csr_array(np.eye(2)), P2), {})
    assert_same(([0, 1], sparse.csr_array(np.eye(2))), {})


@pytest.mark.parametrize(
    "y", [[0, 1, 1], ["a", "b", "b"], [True, False, True], [0, 1, None], [0.0, 1.0, 0.0]], ids=str
)
def test_pandas(y):
    pandas = pytest.importorskip("pandas")
    p = pandas.DataFrame([[0.2, 0.8], [0.4, 0.6], [0.5, 0.5]], dtype=np.float32)
    for labels in (pandas.Series(y), pandas.Series(y).convert_dtypes(), pandas.Categorical(y)):
        if labels.dtype == object and None in y:
            continue
        for scores in (p, p[1], p.astype("Float64"), p[1].astype("Float32")):
            assert_same((labels, scores), {"labels": None}, 1e-6)


def test_scores_that_are_missing():
    pandas = pytest.importorskip("pandas")
    assert_same(([0, 1], pandas.Series([0.2, None], dtype="Float32")), {})


def test_polars_and_torch_are_read_as_float64():
    y = np.array([0, 1, 1])
    p = np.array([0.25, 1.0, 0.0], np.float32)
    for peer, wrap in (("torch", "from_numpy"), ("polars", "Series")):
        module = pytest.importorskip(peer)
        assert_same((y, getattr(module, wrap)(p)), {})


def test_where_they_differ():
    """Two cases that scikit-learn refuses or gets wrong, although their meaning is plain."""
    assert fastxent.log_loss([[1], [0]], P2) == fastxent.log_loss([1, 0], P2)
    # scikit-learn reads the label -1 as 255 where y_true is unsigned.
    p = [[0.2, 0.3, 0.5]] * 2
    right = fastxent.log_loss([255, 1], p, labels=[-1, 1, 255])
    assert fastxent.log_loss(np.array([255, 1], np.uint8), p, labels=[-1, 1, 255]) == right
    assert sklearn_log_loss([255, 1], p, labels=[-1, 1, 255]) == pytest.approx(right)

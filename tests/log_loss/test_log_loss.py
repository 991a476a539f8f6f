"""The drop-in `log_loss`: results, memory and messages. scikit-learn is not needed.

tests/peers/test_sklearn_log_loss.py puts the same calls to scikit-learn.
"""

from __future__ import annotations

import contextlib
import math
import re
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest

import fastxent
from fastxent import log_loss

pytestmark = pytest.mark.arm64

P2 = [[0.3, 0.7], [0.6, 0.4]]
SUM_2 = -math.log(0.7) - math.log(0.6)  # of P2, where the labels are 1 and 0


@pytest.fixture
def without_sklearn(monkeypatch):
    """Errors are our own, even where scikit-learn is installed."""
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)


def rows(n, k, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k), n).astype(dtype)
    return rng.integers(0, k, n), p


# Labels ------------------------------------------------------------------------------------------

NAMED = {
    "int": [1, 0],
    "uint8": np.array([1, 0], np.uint8),
    "swapped": np.array([1, 0], ">i4"),
    "strided": np.array([1, 7, 0, 7])[::2],
    "bool": [True, False],
    "float": [1.0, 0.0],
    "half": np.array([1, 0], np.float16),
    "signed": [1, -1],
    "far apart": [2**63 - 1, -(2**63)],
    "str": ["yes", "no"],
    "object": np.array(["yes", "no"], dtype=object),
    "column": np.array([[1], [0]]),
    "tuple": (1, 0),
    "range": range(1, -1, -1),
    "indicator": [[0, 1], [1, 0]],
    "dates": np.array(["2021-01-01", "2020-01-01"], "M8[D]"),
}


@pytest.mark.parametrize("y", NAMED.values(), ids=NAMED)
@pytest.mark.parametrize("p", [P2, [0.7, 0.4], [[0.7], [0.4]]], ids=["2 columns", "1-D", "column"])
def test_labels_of_any_kind(y, p):
    assert log_loss(y, p) == pytest.approx(SUM_2 / 2, rel=1e-15)
    assert log_loss(y, p, normalize=False) == pytest.approx(SUM_2, rel=1e-15)
    weighted = (-2 * math.log(0.7) - 5 * math.log(0.6)) / 7
    assert log_loss(y, p, sample_weight=[2, 5]) == pytest.approx(weighted, rel=1e-15)


@pytest.mark.parametrize("n, k", [(300_000, 2), (50_000, 3), (20_000, 16), (20_000, 40)])
def test_every_kind_of_labels_gives_the_same_bits(n, k):
    y, p = rows(n, k)
    names = np.array([f"{i:03}" for i in range(k)])
    alike = [y.astype(np.int8), y.astype(float), y * 10 - 5, names[y], names[y].astype(object)]
    for scores in (p, p[:, 1]) if k == 2 else (p,):
        expected = log_loss(y, scores)
        for labels in alike:
            assert log_loss(labels, scores) == expected
        assert log_loss(y, scores, labels=np.arange(k)) == expected
        assert log_loss(y, np.asfortranarray(scores)) == expected


def test_it_is_the_losses():
    y, p = rows(1000, 5)
    assert log_loss(y, p) == pytest.approx(fastxent.categorical_cross_entropy(y, p), rel=1e-15)
    y, p = rows(1000, 2)
    assert log_loss(y, p) == pytest.approx(fastxent.binary_cross_entropy(y, p[:, 1]), rel=1e-12)


def test_rows_that_do_not_sum_to_one_are_scored_by_their_own_label():
    p = [[0.2, 0.7], [0.6, 0.3]]
    with pytest.warns(UserWarning, match="^The y_prob values do not sum to one. Make sure to pass"):
        assert log_loss([0, 1], p) == pytest.approx(-math.log(0.2 * 0.3) / 2)


@pytest.mark.parametrize("where", [0, 150_000, 299_999])
def test_one_row_in_many_that_does_not_sum_to_one(where):
    y, p = rows(300_000, 3, np.float32)
    log_loss(y, p)
    p[where] *= np.float32(0.999)
    with pytest.warns(UserWarning, match="do not sum to one"):
        log_loss(y, p)


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "every other row": lambda p: np.repeat(p, 2, axis=0)[::2],
    "every other column": lambda p: np.repeat(p, 2, axis=1)[:, ::2],
    "backwards": lambda p: p[::-1, ::-1].copy()[::-1, ::-1],
}
ARRAYS = [(dtype, name) for dtype in (np.float64, np.float32, np.float16) for name in LAYOUTS]
# Not for the others: read as float64, to which the sums of rounded scores are not 1.
LAYOUTS["swapped"] = lambda p: p.astype(p.dtype.newbyteorder())
ARRAYS += [(np.float64, "swapped")]


@pytest.mark.parametrize("dtype, layout", ARRAYS)
@pytest.mark.parametrize("k", [2, 3, 32, 33, 1500])
@pytest.mark.usefixtures("without_sklearn")
def test_every_score_is_looked_at(dtype, layout, k):
    """Not the target's alone, wherever it stands."""
    layout = LAYOUTS[layout]
    rng = np.random.default_rng(k)
    n = 2500 if k < 40 else 70
    y, p = rows(n, k, dtype)
    w = np.ones(n)
    all_labels = {"labels": np.arange(k)}
    log_loss(y, layout(p), **all_labels)
    for value in (np.nan, np.inf, 1.5, -0.25):
        for i in (0, n - 1, *rng.integers(0, n, 3)):
            bad = p.copy()
            column = (y[i] + 1 + rng.integers(k - 1)) % k
            bad[i, column] = value
            message = re.escape(f"y_proba[{i}, {column}] = {value} is not a probability")
            with pytest.raises(ValueError, match=message):
                log_loss(y, layout(bad), **all_labels)
            with pytest.raises(ValueError, match=message):
                log_loss(y, layout(bad), sample_weight=w, **all_labels)
    for i in (0, n - 1, *rng.integers(0, n, 3)):
        for factor in (0.9, 1.1):
            uneven = np.minimum(p, dtype(0.9))
            uneven[i] = 1 / k
            uneven[i] *= dtype(factor)
            others = uneven[np.arange(n) != i]
            others /= others.sum(axis=1, keepdims=True, dtype=np.float64)
            uneven[np.arange(n) != i] = others
            with pytest.warns(UserWarning, match="do not sum to one"):
                log_loss(y, layout(uneven), **all_labels)


def test_a_label_indicator_may_hold_several_labels():
    p = [[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]
    expected = -(math.log(0.2) + math.log(0.5)) - math.log(0.8)
    assert log_loss([[1, 0, 1], [0, 0, 1]], p) == pytest.approx(expected / 2)


@pytest.mark.usefixtures("without_sklearn")
def test_a_class_that_comes_late_or_never():
    y, p = rows(200_000, 3)
    y[y == 2] = 0
    with pytest.raises(
        ValueError, match=re.escape("y_true holds 2 classes, [0 1], but y_proba is for 3")
    ):
        log_loss(y, p)
    expected = log_loss(y, p, labels=[0, 1, 2])
    y[-1] = 2
    assert log_loss(y, p) == pytest.approx(expected, rel=1e-3)
    with pytest.raises(
        ValueError, match=re.escape("y_true[199999] = 2 is not a valid class index")
    ):
        log_loss(y, p[:, :2] / p[:, :2].sum(axis=1, keepdims=True), labels=[0, 1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_certain_and_wrong_costs_the_epsilon(dtype):
    y, p = np.array([0, 1]), np.array([1, 0], dtype=dtype)
    assert log_loss(y, p) == pytest.approx(-math.log(np.finfo(dtype).eps), rel=1e-15)
    assert log_loss(y, p.tolist()) == pytest.approx(-math.log(np.finfo(float).eps), rel=1e-15)


def test_weights():
    y, p = rows(300_000, 2)
    w = np.random.default_rng(1).exponential(size=len(y))
    each = -np.log(p[np.arange(len(y)), y])
    assert log_loss(y, p, sample_weight=w) == pytest.approx(np.average(each, weights=w), rel=1e-13)
    assert log_loss(y, p, sample_weight=w, normalize=False) == pytest.approx(each @ w, rel=1e-13)
    assert log_loss(y, p, sample_weight=w.astype(np.float32)) == pytest.approx(
        np.average(each, weights=w), rel=1e-6
    )
    mixed = w - 0.5  # scikit-learn takes negative ones
    assert log_loss(y, p, sample_weight=mixed) == pytest.approx(
        np.average(each, weights=mixed), rel=1e-11
    )


# Memory ------------------------------------------------------------------------------------------


KINDS = ["int64", "float", "signed", "str", "object"]


@pytest.mark.parametrize(
    "kind, k", [(kind, k) for kind in KINDS for k in (None, 2, 10)] + [("bool", None), ("bool", 2)]
)
def test_memory_beyond_the_input_is_constant(kind, k):
    n = 2_000_000
    rng = np.random.default_rng(0)
    y = rng.integers(0, k or 2, n)
    names = np.array([f"class {i}" for i in range(k or 2)])
    labels = {
        "int64": lambda: y,
        "bool": lambda: y == 1,
        "float": lambda: y.astype(float),
        "signed": lambda: 2 * y - 1,
        "str": lambda: names[y],
        "object": lambda: names[y].astype(object),
    }[kind]()
    p = np.full(n, 0.5) if k is None else np.full((n, k), 1 / k)
    log_loss(labels[:100], p[:100])
    tracemalloc.start()
    log_loss(labels, p)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 << 20  # the smallest copy, a byte for each label, would be 2 MB


# Messages ----------------------------------------------------------------------------------------

BAD = {
    "single label": (([2, 2], P2), {}, "y_true contains only one label (2)."),
    "lengths": (([2, 2], [0.1, 0.2, 0.3]), {}, "inconsistent numbers of samples: [3, 2]"),
    "too few classes": (([1, 0, 2], P2 + P2[:1]), {}, "number of classes: 3 vs 2."),
    "undeclared": (
        (["a", "b"], P2),
        {"labels": ["a", "c"]},
        "y_true contains values {'b'} not belonging to the passed labels ['a', 'c'].",
    ),
    "one declared": (([0, 0], P2), {"labels": [0]}, "at least two labels, got [0]."),
    "three declared": (([0, 1], P2), {"labels": [0, 1, 2]}, "in labels: [0 1 2]"),
    "NaN score": (([0, 1], [0.5, math.nan]), {}, "Input contains NaN."),
    "infinite score": (
        ([0, 1], [0.5, math.inf]),
        {},
        "Input contains infinity or a value too large for dtype('float64').",
    ),
    "above 1": (([0, 1], [0.5, 1.5]), {}, "y_prob contains values greater than 1: 1.5"),
    "below 0": (([0, 1], [[0.5, 0.5], [-1, 1]]), {}, "values lower than 0: -1.0"),
    "empty": (([], []), {}, "Found array with 0 sample(s) (shape=(0,))"),
    "3-D": (([0, 1], np.ones((2, 2, 2))), {}, "Found array with dim 3, while dim <= 2"),
    "soft label": (([0.1, 0.6], P2), {}, "Unknown label type: ([0.1, 0.6],)"),
    "NaN label": (([0, math.nan], P2), {}, "Input y contains NaN."),
    "mixed labels": ((["a", 1], P2), {}, "Mix of label input types (string and number)"),
    "NaN weight": (([0, 1], P2), {"sample_weight": [1, math.nan]}, "Input sample_weight contains"),
    "no weight": (([0, 1], P2), {"sample_weight": [0, 0]}, "at least one non-zero number."),
    "normalize": (([0, 1], P2), {"normalize": "yes"}, "The 'normalize' parameter of log_loss must"),
    "scalar": ((1, 0.5), {}, "The 'y_true' parameter of log_loss must be an array-like. Got 1"),
}


OWN_WORDS = {
    "single label": "y_true holds 1 classes, [2], but y_proba is for 2",
    "lengths": "y_true has 2 rows, but y_proba has 3",
    "too few classes": "y_true holds 3 classes",
    "undeclared": "y_true[1] = np.str_('b') is none of the classes ['a', 'c']",
    "one declared": "labels holds 1 classes",
    "three declared": "labels holds 3 classes",
    "NaN score": "y_proba[1] is NaN",
    "infinite score": "y_proba[1] = inf is outside [0, 1]",
    "above 1": "y_proba[1] = 1.5 is outside [0, 1]",
    "below 0": "y_proba[1, 0] = -1.0 is not a probability",
    "empty": "the labels have dtype float64 and shape (0,)",
    "3-D": "y_proba of dtype float64 and 3 dimensions",
    "soft label": "y_true holds numbers that are not class labels",
    "NaN label": "y_true holds numbers that are not class labels",
    "mixed labels": "the labels mix strings and numbers",
    "NaN weight": "sample_weight[1] = nan is not",
    "no weight": "sample_weight is 0 everywhere",
    "normalize": "normalize must be a bool, got 'yes'",
    "scalar": "y_true must be an array, got 1",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.usefixtures("without_sklearn")
def test_bad_input_without_sklearn(name):
    args, options, _ = BAD[name]
    with pytest.raises((ValueError, TypeError), match=re.escape(OWN_WORDS[name])) as caught:
        log_loss(*args, **options)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("args, options, message", BAD.values(), ids=BAD)
def test_bad_input(args, options, message):
    pytest.importorskip("sklearn", reason="the words are scikit-learn's")
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        log_loss(*args, **options)
    assert caught.value.__context__ is None  # not what the kernel said first


def test_weights_that_cancel():
    with pytest.raises(ZeroDivisionError, match=r"^Weights sum to zero, can't be normalized$"):
        log_loss([0, 1], P2, sample_weight=[1, -1])


def test_a_wrong_kind_of_argument_is_a_type_error_too():
    with pytest.raises(TypeError):
        log_loss([0, 1], P2, sample_weight=3)


def test_labels_out_of_order():
    message = re.escape("Labels passed were ['b', 'a']. But this function assumes labels are")
    with pytest.warns(UserWarning, match=message):
        log_loss(["a", "b"], P2, labels=["b", "a"])


def test_warnings_name_the_line_that_called():
    pytest.importorskip("sklearn", reason="it warns before it raises")
    for args, options in (
        (([0, 1], [[0.1, 0.2]] * 2), {}),
        (([0, 1], P2), {"labels": [1, 0]}),
        (([0, 1], [[0.1, 0.2, 0.3]] * 2), {}),
        (([0, 1], P2), {"labels": [2, 1, 0]}),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with contextlib.suppress(ValueError):
                log_loss(*args, **options)
        assert [w.filename for w in caught] == [__file__] * len(caught) and caught


def test_input_is_left_alone():
    y, p = rows(1000, 3)
    w = np.ones(1000)
    for array in (y, p, w):
        array.flags.writeable = False
    assert log_loss(y, p, sample_weight=w) == pytest.approx(log_loss(y, p), rel=1e-15)


def test_only_numpy_is_imported():
    code = (
        "import sys, fastxent; fastxent.log_loss(['a', 'b'], [.2, .7]);"
        "assert not {'sklearn', 'scipy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("without_sklearn")
def test_an_error_of_a_later_block_of_indicators_names_the_row():
    n = 600_000  # several blocks
    p = np.full((n, 2), 0.5)
    p[n - 3, 1] = 1.5
    indicator = np.eye(2, dtype=np.int8)[np.arange(n) % 2]
    with pytest.raises(ValueError, match=rf"y_proba\[{n - 3}, 1\] = 1.5 is not a probability"):
        log_loss(indicator, p)

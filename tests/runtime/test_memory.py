"""Memory beyond the inputs stays constant, and nothing is kept.

Peaks are measured twice: by tracemalloc, which sees what Python and NumPy ask for, and as resident
pages, which sees malloc too; the latter in a process of its own, where nothing else has been.
"""

import sys

import numpy as np
import pytest

from helpers.losses import BINARY, CATEGORICAL, INTEGERS, LOSSES, bfloat16, loss
from helpers.memory import RESIDENT, peak
from helpers.processes import run_python

pytestmark = pytest.mark.uncounted

MIB = 2**20
LIMIT = MIB
N = 10_000_000
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="resident pages by /proc: Linux")


def batch(name, n, classes=10):
    """Zeros and halves: what matters here is their number."""
    if name in BINARY:
        return np.zeros(n, np.int8), np.full(n, 0.5, np.float32)
    return np.zeros(n // classes, np.int64), np.full((n // classes, classes), 0.5, np.float32)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_what_python_and_numpy_are_asked_for(name, reduction):
    y, scores = batch(name, N)
    f = loss(name)
    assert peak(lambda: f(y, scores, reduction=reduction)) < LIMIT
    assert peak(lambda: f(y, scores, reduction=reduction, workers=2)) < LIMIT
    assert peak(lambda: f(y, scores[::-1], reduction=reduction)) < LIMIT


@pytest.mark.parametrize("kind", ["bool", *INTEGERS, "float16", "float32", "float64"])
@pytest.mark.parametrize("name", BINARY)
def test_whatever_the_labels(name, kind):
    y, scores = np.zeros(N // 5, kind), np.full(N // 5, 0.5)
    assert peak(lambda: loss(name)(y, scores)) < LIMIT
    assert peak(lambda: loss(name)(y[::2], scores[::2])) < LIMIT


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", ">f4", ">f8"])
@pytest.mark.parametrize("name", LOSSES)
def test_whatever_the_scores(name, dtype):
    y, scores = batch(name, N // 5)
    scores = scores.astype(bfloat16() if dtype == "bfloat16" else dtype)
    for options in ({}, {"label_smoothing": 0.1}, {"nan_policy": "omit"}):
        assert peak(lambda options=options: loss(name)(y, scores, **options)) < LIMIT


@pytest.mark.parametrize("name", LOSSES)
def test_whatever_the_options(name):
    y, scores = batch(name, N // 5)
    n = len(y)
    options = {
        "sample_weight": np.ones(n, np.float32),
        "where": np.ones(n, bool),
        "label_smoothing": 0.1,
        "nan_policy": "omit",
    }
    if name in CATEGORICAL:
        options |= {"class_weight": np.ones(10), "ignore_index": 3}
    if name == "binary_cross_entropy_with_logits":
        options |= {"pos_weight": np.full(n, 2.0)}
    assert peak(lambda: loss(name)(y, scores, **options)) < LIMIT
    strided = {
        k: v[::2] if isinstance(v, np.ndarray) and v.size == n else v for k, v in options.items()
    }
    assert peak(lambda: loss(name)(y[::2], scores[::2], **strided)) < LIMIT


@pytest.mark.parametrize("name", CATEGORICAL)
def test_along_any_axis(name):
    y, scores = np.zeros((100, 2000), int), np.full((100, 10, 2000), 0.5, np.float32)
    assert peak(lambda: loss(name)(y, scores, axis=1)) < LIMIT
    assert peak(lambda: loss(name)(scores, scores, axis=1)) < LIMIT


@pytest.mark.parametrize("name", CATEGORICAL)
def test_few_rows_of_many_classes(name):
    scores = np.full((3, 1_000_000), 0.5, np.float16)
    y = np.zeros(3, int)
    for options in ({}, {"label_smoothing": 0.1}):
        assert peak(lambda options=options: loss(name)(y, scores, **options)) < LIMIT
    columns = np.asfortranarray(scores)
    assert peak(lambda: loss(name)(y, columns)) < LIMIT


@pytest.mark.parametrize("name", LOSSES)
def test_out_is_all_that_the_losses_need(name):
    y, scores = batch(name, N // 5)
    out = np.empty(y.shape, np.float32)
    assert peak(lambda: loss(name)(y, scores, reduction="none", out=out)) < LIMIT
    spare = peak(lambda: loss(name)(y, scores, reduction="none"))
    assert spare < out.nbytes + LIMIT


@pytest.mark.parametrize("name", LOSSES)
def test_an_error_costs_no_more(name):
    y, scores = batch(name, N // 5)
    scores[-1] = np.nan

    def fail():
        with pytest.raises(ValueError, match="nan"):
            loss(name)(y, scores)

    assert peak(fail) < LIMIT


# ------------------------------------------------------------------------------- resident pages


@needs_proc
@pytest.mark.parametrize(
    "scores, labels",
    [
        ("fresh(n, 'f4')", "fresh(n, 'i1')"),
        ("fresh((n, 2), 'f8')[:, 1]", "fresh(n, 'i8')"),
        ("fresh(n, 'f2')", "fresh(n, '?')"),
        ("fresh(n, '>f8')", "fresh((n, 2), '>f4')[:, 0]"),
    ],
)
def test_resident_pages_of_ten_million_losses(scores, labels):
    code = f"""
n = {N}
p, y = {scores}, {labels}
for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
    for workers in (1, 2):
        for reduction in ("mean", "sum"):
            f = getattr(fastxent, name)
            print(cost(lambda: f(y, p, reduction=reduction, workers=workers)))
"""
    costs = [int(line) for line in run_python(RESIDENT + code).split()]
    assert len(costs) == 8
    assert max(costs) < LIMIT


@needs_proc
@pytest.mark.parametrize(
    "scores, labels",
    [
        ("fresh((n // 10, 10), 'f4')", "fresh(n // 10, 'i8')"),
        ("fresh((10, n // 10), 'f8').T", "fresh(n // 10, 'u1')"),
        ("fresh((n // 1000, 2000), 'f2')[:, ::2]", "fresh((n // 1000, 1000), 'f8')"),
        ("fresh((4, n // 4), 'f4')", "fresh(4, 'i4')"),
    ],
)
def test_resident_pages_of_rows(scores, labels):
    code = f"""
n = {N}
z, y = {scores}, {labels}
for name in ("categorical_cross_entropy", "categorical_cross_entropy_with_logits"):
    for options in ({{}}, {{"workers": 2}}, {{"label_smoothing": 0.1}}):
        print(cost(lambda: getattr(fastxent, name)(y, z, **options)))
"""
    costs = [int(line) for line in run_python(RESIDENT + code).split()]
    assert len(costs) == 6
    assert max(costs) < LIMIT


# --------------------------------------------------------------------------------- what is kept

LEAK = """
import itertools
rng = np.random.default_rng(0)
p, y = rng.random(64), rng.integers(0, 2, 64)
rows = rng.dirichlet(np.ones(4), 16)
index, w, mask, out = np.arange(16) % 4, rng.random(16), np.arange(16) % 2 > 0, np.empty(16)
bad, nans = y * 5, np.full(64, np.nan)
f, g = fastxent.binary_cross_entropy, fastxent.binary_cross_entropy_with_logits
h, k = fastxent.categorical_cross_entropy, fastxent.categorical_cross_entropy_with_logits
vg = fastxent.categorical_cross_entropy_value_and_grad
gh = fastxent.categorical_cross_entropy_grad_hess
class Broken:
    def __array__(self, dtype=None, copy=None):
        raise KeyError("no array")
calls = [
    lambda: f(y, p), lambda: f(y, p[::-1], reduction="none"), lambda: g(y, p.astype(">f4")),
    lambda: f([1, 0], [0.5, 0.5]), lambda: h(index, rows, class_weight={1: 2.0}),
    lambda: k(index, rows, sample_weight=w, where=mask, reduction="none", out=out),
    lambda: k(rows, rows, label_smoothing=0.1, nan_policy="omit"), lambda: vg(index, rows),
    lambda: f(bad, p), lambda: f(y, nans), lambda: f(y, p[:5]), lambda: f(y, p.astype(complex)),
    lambda: f(y, p, eps=2), lambda: h(index + 4, rows), lambda: h(index, rows, sample_weight=-w),
    lambda: k(index, rows, class_weight=[1]), lambda: k(index, rows, out=3), lambda: f(y, None),
    lambda: k(index, rows, reduction="none", out=out[:3]), lambda: g(y, p, pos_weight=-1),
    lambda: fastxent.gaussian_nll(p, p, 2.0, full=True), lambda: fastxent.entropy(rows, axis=0),
    lambda: fastxent.kl_divergence(rows, rows[::-1]), lambda: gh(index.astype(float), rows),
    lambda: fastxent.categorical_focal_loss(index, rows, alpha=np.ones(4), gamma=1.5),
    lambda: f(y, Broken()), lambda: g(Broken(), p), lambda: fastxent.gaussian_nll(p, p, 0.0),
    lambda: gh(index + 0.5, rows), lambda: f(y, p, sample_weight=np.full(64, 1e308)),
]

def run(n):
    failed = 0
    for call in itertools.islice(itertools.cycle(calls), n):
        try:
            call()
        except (ValueError, TypeError):
            failed += 1
    return failed
"""


@needs_proc
def test_a_hundred_thousand_calls_keep_nothing():
    code = """
run(20_000)
before = status("VmRSS")
rounds = 100_000 // len(calls) + 1
assert run(rounds * len(calls)) == 17 * rounds
print(status("VmRSS") - before)
"""
    assert int(run_python(RESIDENT + LEAK + code)) < MIB // 2


def test_no_reference_is_kept():
    """Nor lost: counted before and after, failing calls included."""
    code = """
import gc, sys, tracemalloc
import numpy as np, fastxent
"""
    code += (
        LEAK
        + """
things = [p, y, rows, index, w, mask, out, bad, nans, np.float64, None]  # no dtype: np.zeros keeps those
run(1000)
gc.collect()
tracemalloc.start()
run(20_000)  # by when Python 3.12 has filled what it keeps for itself, 28 kB
gc.collect()
size = tracemalloc.get_traced_memory()[0]
before = [sys.getrefcount(thing) for thing in things]
run(10_000)
gc.collect()
after = [sys.getrefcount(thing) for thing in things]
assert max(abs(a - b) for a, b in zip(after, before) if b < 2**30) < 100, (before, after)
assert tracemalloc.get_traced_memory()[0] - size < 10_000  # one object a round of calls: 16,000
"""
    )
    run_python(code)

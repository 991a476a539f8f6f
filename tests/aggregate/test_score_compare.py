"""score and compare: the standard error, against NumPy with all the losses before it."""

import math
import pickle
import threading

import numpy as np
import pytest

import fastxent
import fastxent.typing
from fastxent import binary_cross_entropy, compare, gaussian_nll, grouped, score
from fastxent._aggregate.bound_loss import BoundLoss
from fastxent._aggregate.group_keys import GroupKeys, StreamGroupKeys
from fastxent._aggregate.standard_error import MeanAndError
from fastxent._core import threads
from helpers.losses import LOSSES, loss

N = 200_000
RNG = np.random.default_rng(8)
Z = RNG.normal(0, 2, N)
Y = (RNG.random(N) < 1 / (1 + np.exp(-Z))).astype(np.int8)
A = 1 / (1 + np.exp(-Z))
B = 1 / (1 + np.exp(-Z - RNG.normal(0, 0.3, N)))
W = RNG.uniform(0, 3, N)
KEYS = RNG.integers(0, 5, N)


def each(y, p, **options):
    return binary_cross_entropy(y, p, reduction="none", **options)


def standard_error(losses, weight=None):
    """The formula, term by term."""
    w = np.ones(len(losses)) if weight is None else weight
    mean = np.average(losses, weights=w)
    n = np.count_nonzero(w)
    return math.sqrt(n / (n - 1) * math.fsum((w * (losses - mean)) ** 2)) / math.fsum(w)


def example(name):
    if name.startswith("binary"):
        return (Y, Z if name.endswith("logits") else A), {"label_smoothing": 0.1}
    z = RNG.normal(size=(N // 4, 4))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return (RNG.integers(0, 4, N // 4), z if name.endswith("logits") else p), {}


# ------------------------------------------------------------------------------------ score


@pytest.mark.parametrize("name", LOSSES)
def test_the_standard_error_is_that_of_numpy(name):
    args, options = example(name)
    losses = loss(name)(*args, **options, reduction="none")
    got = score(loss(name), *args, **options)
    assert got.mean == pytest.approx(losses.mean(), rel=1e-13)
    want = losses.std(ddof=1) / math.sqrt(len(losses))
    assert got.standard_error == pytest.approx(want, rel=1e-12)
    assert (got.weight, got.count) == (len(losses), len(losses))


@pytest.mark.parametrize("name", LOSSES)
def test_the_weighted_standard_error_is_its_formula(name):
    args, options = example(name)
    w = W[: len(args[0])]
    losses = loss(name)(*args, **options, reduction="none")
    got = score(name, *args, sample_weight=w, **options)
    assert got.mean == pytest.approx(loss(name)(*args, sample_weight=w, **options), rel=1e-14)
    assert got.standard_error == pytest.approx(standard_error(losses, w), rel=1e-12)
    assert got.weight == pytest.approx(math.fsum(w), rel=1e-15)


def test_perplexity_and_its_standard_error():
    """As llama.cpp prints it: the standard error of the mean times the perplexity."""
    y, z = RNG.integers(0, 9, 400), RNG.normal(0, 2, (400, 9))
    found = fastxent.score("categorical_cross_entropy_with_logits", y, z)
    each = fastxent.categorical_cross_entropy_with_logits(y, z, reduction="none")
    assert found.perplexity == pytest.approx(np.exp(each.mean()), rel=1e-14)
    sigma = each.std(ddof=1) / 20
    assert found.perplexity_standard_error == pytest.approx(sigma * np.exp(each.mean()), rel=1e-12)
    certain = fastxent.score("categorical_cross_entropy_with_logits", [0], [[-1e3, 0.0]])
    assert certain.perplexity == np.inf


def test_class_weights_are_weights():
    p, y = RNG.dirichlet(np.ones(3), 500), RNG.integers(0, 3, 500)
    classes = np.array([1.0, 4.0, 0.5])
    cce = fastxent.categorical_cross_entropy
    got = score(cce, y, p, class_weight=classes)
    want = standard_error(cce(y, p, reduction="none"), classes[y])
    assert got.standard_error == pytest.approx(want, rel=1e-12)
    one_hot = score(cce, np.eye(3)[y], p, class_weight=classes)
    assert one_hot == pytest.approx(got, rel=1e-12)


def test_nothing_cancels_where_the_mean_is_far_above_the_deviation():
    y = 1e4 + RNG.normal(0, 1e-3, N)
    losses = gaussian_nll(y, np.zeros(N), reduction="none")
    got = score(gaussian_nll, y, np.zeros(N))
    want = np.std(losses.astype(np.longdouble), ddof=1) / np.sqrt(np.longdouble(N))
    assert got.standard_error == pytest.approx(float(want), rel=1e-12)


@pytest.mark.parametrize("weight", [None, W])
def test_nothing_is_lost_where_the_losses_drift(weight):
    order = np.argsort(each(Y, A))
    weight = None if weight is None else weight[order]
    losses = each(Y[order], A[order])
    got = score(binary_cross_entropy, Y[order], A[order], sample_weight=weight)
    assert got.standard_error == pytest.approx(standard_error(losses, weight), rel=1e-12)


def test_what_weighs_nothing_is_as_if_absent():
    w = np.where(KEYS == 0, 0.0, 1.0)
    there = score(binary_cross_entropy, Y, A, sample_weight=w)
    absent = score(binary_cross_entropy, Y[KEYS != 0], A[KEYS != 0])
    masked = score(binary_cross_entropy, Y, A, where=KEYS != 0)
    assert there[:3] == pytest.approx(absent[:3], rel=1e-13)
    assert masked == pytest.approx(absent, rel=1e-13)
    assert there.count == N


def test_the_scale_of_the_weights_is_no_matter():
    one = score(binary_cross_entropy, Y, A, sample_weight=W)
    other = score(binary_cross_entropy, Y, A, sample_weight=W * 1000)
    assert other[:2] == pytest.approx(one[:2], rel=1e-13)


def test_by_group():
    got = score(binary_cross_entropy, Y, A, groups=KEYS, sample_weight=W)
    means = grouped(binary_cross_entropy, Y, A, KEYS, sample_weight=W)
    for key in range(5):
        m = key == KEYS
        want = score(binary_cross_entropy, Y[m], A[m], sample_weight=W[m])
        assert got[key] == pytest.approx(want, rel=1e-12)
        assert got[key].mean == means[key].mean
    assert list(got.columns) == [
        "group",
        "mean",
        "standard_error",
        "weight",
        "count",
        "degrees_of_freedom",
    ]
    assert pickle.loads(pickle.dumps(got)) == got


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_have_no_standard_error(rows):
    got = score(binary_cross_entropy, [1] * rows, [0.5] * rows)
    assert math.isnan(got.standard_error)
    assert math.isnan(got.mean) == (rows == 0)
    assert got.count == rows


def test_equal_losses_have_none_to_speak_of():
    assert score(binary_cross_entropy, [1] * 9, [0.3] * 9).standard_error < 1e-16


def test_infinite_and_nan_losses():
    got = score(binary_cross_entropy, [1, 1, 1], [0.5, 0.0, 0.5], eps=0)
    assert got.mean == math.inf and math.isnan(got.standard_error)
    p = np.array([0.5, np.nan, 0.4])
    got = score(binary_cross_entropy, [1, 1, 1], p, nan_policy="propagate")
    assert math.isnan(got.mean) and math.isnan(got.standard_error)
    got = score(binary_cross_entropy, [1, 1, 1], p, nan_policy="omit")
    assert got == pytest.approx(score(binary_cross_entropy, [1, 1], p[[0, 2]]), rel=1e-14)


def test_entropy():
    p = RNG.dirichlet(np.ones(4), 100)
    got = score(fastxent.entropy, p, None)
    want = standard_error(fastxent.entropy(p, reduction="none"))
    assert got.standard_error == pytest.approx(want, rel=1e-12)


# ---------------------------------------------------------------------------------- compare


@pytest.mark.parametrize("weight", [None, W])
def test_the_paired_difference(weight):
    got = compare(binary_cross_entropy, Y, A, B, sample_weight=weight)
    assert got.mean_a == pytest.approx(binary_cross_entropy(Y, A, sample_weight=weight), rel=1e-14)
    assert got.mean_b == pytest.approx(binary_cross_entropy(Y, B, sample_weight=weight), rel=1e-14)
    assert got.difference == pytest.approx(got.mean_a - got.mean_b, rel=1e-11)
    want = standard_error(each(Y, A) - each(Y, B), weight)
    assert got.standard_error == pytest.approx(want, rel=1e-12)
    assert got.count == N
    assert got.t == got.difference / got.standard_error
    assert got.degrees_of_freedom == N - 1
    normal = math.erfc(abs(got.t) / math.sqrt(2))
    assert got.p_value == pytest.approx(normal, rel=0.05)
    assert got.p_value < 1e-6


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_the_confidence_intervals_are_those_of_scipy(confidence):
    stats = pytest.importorskip("scipy.stats", reason="the reference is SciPy's interval")
    losses, difference = each(Y[:7], A[:7]), each(Y[:7], A[:7]) - each(Y[:7], B[:7])
    one = score(binary_cross_entropy, Y[:7], A[:7])
    both = compare(binary_cross_entropy, Y[:7], A[:7], B[:7])
    for got, values in ((one, losses), (both, difference)):
        want = stats.t.interval(confidence, 6, values.mean(), stats.sem(values))
        assert got.confidence_interval(confidence) == pytest.approx(want, rel=1e-9)
    low, high = both.confidence_interval()
    assert f"t={both.t:.4g}, p={both.p_value:.3g}, 95 % interval {low:.4g} to {high:.4g}" in repr(
        both
    )
    for bad in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="confidence="):
            one.confidence_interval(bad)


def test_weights_of_zero_are_no_degrees_of_freedom():
    got = score(binary_cross_entropy, Y[:9], A[:9], sample_weight=[0, 0, 1, 1, 1, 2, 2, 2, 3])
    assert (got.count, got.degrees_of_freedom) == (9, 6)
    assert all(map(math.isnan, score(binary_cross_entropy, [1], [0.5]).confidence_interval()))


def test_the_other_way_round():
    one, other = (compare(binary_cross_entropy, Y, *pair) for pair in ((A, B), (B, A)))
    assert other.difference == -one.difference < 0 or other.difference > 0 > one.difference
    assert other.standard_error == pytest.approx(one.standard_error, rel=1e-13)


def test_paired_by_group():
    got = compare(binary_cross_entropy, Y, A, B, KEYS, sample_weight=W)
    for key in range(5):
        m = key == KEYS
        want = compare(binary_cross_entropy, Y[m], A[m], B[m], sample_weight=W[m])
        assert got[key] == pytest.approx(want, rel=1e-11)
    assert got.columns["difference"].shape == (5,)


def test_a_model_and_itself():
    got = compare(binary_cross_entropy, Y, A, A)
    assert (got.difference, got.standard_error) == (0.0, 0.0)
    assert math.isnan(got.t) and math.isnan(got.p_value)


def test_a_difference_without_any_deviation():
    got = compare(gaussian_nll, [0.0] * 4, [1.0] * 4, [3.0] * 4)
    assert (got.difference, got.t, got.p_value) == (-4.0, -math.inf, 0.0)


def test_what_is_nan_for_one_counts_for_neither():
    a, b = A[:100].copy(), B[:100].copy()
    a[3] = b[7] = a[8] = b[8] = np.nan
    both = ~(np.isnan(a) | np.isnan(b))
    got = compare(binary_cross_entropy, Y[:100], a, b, nan_policy="omit")
    want = compare(binary_cross_entropy, Y[:100][both], a[both], b[both])
    assert got == pytest.approx(want, rel=1e-12)
    assert got.count == 97
    by_group = compare(binary_cross_entropy, Y[:100], a, b, np.zeros(100, int), nan_policy="omit")
    assert by_group[0] == pytest.approx(want, rel=1e-12)


def test_each_model_may_have_its_dtype_and_its_variance():
    got = compare(binary_cross_entropy, Y, A.astype(np.float32), B)
    assert got.mean_a == pytest.approx(binary_cross_entropy(Y, A.astype(np.float32)), rel=1e-6)
    y, mean, var = RNG.normal(size=(3, 50))
    var = var**2 + 1
    got = compare(gaussian_nll, y, mean, mean, var_a=var)
    assert got.mean_a == pytest.approx(gaussian_nll(y, mean, var), rel=1e-13)
    assert got.mean_b == pytest.approx(gaussian_nll(y, mean), rel=1e-13)


def test_an_error_names_the_model_and_the_place():
    bad = B.copy()
    bad[150_000] = 2.0
    with pytest.raises(ValueError, match=r"scores_b\[150000\] = 2.0 is outside \[0, 1\]"):
        compare(binary_cross_entropy, Y, A, bad)
    with pytest.raises(ValueError, match=r"scores_a\[150000\] = 2.0 is outside \[0, 1\]"):
        compare(binary_cross_entropy, Y, bad, B)
    with pytest.raises(ValueError, match="scores_b has shape"):
        compare(binary_cross_entropy, Y, A, B[:-1])


@pytest.mark.parametrize("function, scores", [(score, (A,)), (compare, (A, B))])
def test_options_are_checked(function, scores):
    with pytest.raises(TypeError, match="takes no reduction"):
        function(binary_cross_entropy, Y, *scores, reduction="sum")
    with pytest.raises(ValueError, match="groups has shape"):
        function(binary_cross_entropy, Y, *scores, groups=[1])


# ---------------------------------------------------------------------------------- workers


@pytest.mark.parametrize("keys", [None, KEYS, list(map(str, KEYS)), KEYS * 10**9])
def test_workers_give_the_same_bits(keys):
    calls = [
        lambda workers: score(binary_cross_entropy, Y, A, groups=keys, workers=workers),
        lambda workers: compare(
            binary_cross_entropy, Y, A, B, keys, sample_weight=W, workers=workers
        ),
    ]
    if keys is not None:
        calls.append(lambda workers: grouped(binary_cross_entropy, Y, A, keys, workers=workers))
    for call in calls:
        assert call(2) == call(5) == call(-1) == call(1)


def test_blocks_really_go_to_the_workers():
    """Each loss of two blocks at once waits for the other."""
    both = threading.Barrier(2, timeout=30)

    def work(item):
        both.wait()
        return item

    assert list(threads.in_order(work, range(8), 3)) == list(range(8))


def test_an_error_comes_from_the_first_bad_block_whatever_the_workers():
    bad = A.copy()
    bad[[70_000, 150_000]] = 2.0
    for workers in (1, 2):
        with pytest.raises(ValueError, match=r"y_proba\[70000\] = 2.0"):
            score(binary_cross_entropy, Y, bad, workers=workers)


@pytest.mark.parametrize("models", [[A], [A, B]])
def test_all_groups_as_one_are_the_whole(models):
    call = BoundLoss("binary_cross_entropy", {}, "")
    results = MeanAndError(len(models), 1)
    groups = StreamGroupKeys()
    groups.set_batch(KEYS, [*range(5), "unused"])
    elements = [call.elements(Y, p, sample_weight=W) for p in models]
    results.add(elements, groups)
    for _ in range(2):  # `result` moves the centres
        got = results.combined().result(GroupKeys(None, ()))[None]
        f = compare if len(models) == 2 else score
        want = f("binary_cross_entropy", Y, *models, sample_weight=W)
        assert got == pytest.approx(want, rel=1e-10)
        results.result(groups)

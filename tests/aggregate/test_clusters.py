"""Standard errors of clusters: by the formula, term by term, however the data are cut."""

import copy
import math
import pickle

import numpy as np
import pytest

from fastxent import LossAccumulator, binary_cross_entropy, compare, score

N = 150_000
RNG = np.random.default_rng(88)
CLUSTER = RNG.integers(0, 3000, N)
Z = RNG.normal(0, 1, N) + RNG.normal(0, 2, 3000)[CLUSTER]
Y = (RNG.random(N) < 1 / (1 + np.exp(-Z))).astype(np.int8)
A = 1 / (1 + np.exp(-Z))
B = 1 / (1 + np.exp(-0.8 * Z - RNG.normal(0, 0.5, 3000)[CLUSTER]))
W = RNG.uniform(0, 3, N)
LOSS = "binary_cross_entropy"


def each(p):
    return binary_cross_entropy(Y, p, reduction="none")


def by_hand(losses, cluster, weight=None):
    """Mean, standard error and number of clusters."""
    w = np.ones(len(losses)) if weight is None else weight
    mean = math.fsum(w * losses) / math.fsum(w)
    rest = w * (losses - mean)
    order = np.argsort(cluster, kind="stable")
    cuts = np.flatnonzero(np.diff(cluster[order])) + 1
    parts = [part for part in np.split(order, cuts) if w[part].any()]
    g = len(parts)
    squares = math.fsum(math.fsum(rest[part]) ** 2 for part in parts)
    return mean, math.sqrt(g / (g - 1) * squares) / math.fsum(w), g


def is_that(found, want, rel=1e-12):
    mean, error, clusters = want
    assert found.standard_error == pytest.approx(error, rel=rel)
    assert found.degrees_of_freedom == clusters - 1
    if hasattr(found, "mean"):
        assert found.mean == pytest.approx(mean, rel=1e-13)


@pytest.mark.parametrize("weight", [None, W, np.where(CLUSTER < 100, 0.0, W)])
def test_score(weight):
    is_that(
        score(LOSS, Y, A, clusters=CLUSTER, sample_weight=weight), by_hand(each(A), CLUSTER, weight)
    )


def test_compare():
    found = compare(LOSS, Y, A, B, clusters=CLUSTER, sample_weight=W)
    is_that(found, by_hand(each(A) - each(B), CLUSTER, W))
    plain = compare(LOSS, Y, A, B, sample_weight=W)
    assert found.difference == plain.difference and found.standard_error > plain.standard_error


@pytest.mark.parametrize("names", ["strings", "tuples", "floats", "large", "dates"])
def test_any_keys(names):
    n = 5000
    cluster = CLUSTER[:n]
    keys = {
        "strings": lambda: [f"user {c}" for c in cluster],
        "tuples": lambda: [(c, "x") for c in cluster.tolist()],
        "floats": lambda: cluster + 0.5,
        "large": lambda: cluster * 10**12,
        "dates": lambda: np.datetime64("2020-01-01") + cluster,
    }[names]()
    found = score(LOSS, Y[:n], A[:n], clusters=keys)
    is_that(found, by_hand(each(A)[:n], cluster))


def test_every_row_its_own_cluster():
    """Is today's standard error, bit for bit."""
    for keys in (np.arange(N), RNG.permutation(N) * 7):
        assert score(LOSS, Y, A, clusters=keys) == score(LOSS, Y, A)
        for weight in (None, W):
            found = compare(LOSS, Y, A, B, clusters=keys, sample_weight=weight)
            assert found == compare(LOSS, Y, A, B, sample_weight=weight)
    groups = RNG.integers(0, 5, N)
    assert dict(score(LOSS, Y, A, groups=groups, clusters=np.arange(N))) == dict(
        score(LOSS, Y, A, groups=groups)
    )


@pytest.mark.parametrize("many", [False, True])
def test_groups_of_clusters(many):
    groups = RNG.integers(0, 200 if many else 4, N)
    found = score(LOSS, Y, A, groups=groups, clusters=CLUSTER)
    models = compare(LOSS, Y, A, B, groups=groups, clusters=CLUSTER)
    for group in range(0, 200, 37) if many else range(4):
        at = groups == group
        is_that(found[group], by_hand(each(A)[at], CLUSTER[at]))
        is_that(models[group], by_hand((each(A) - each(B))[at], CLUSTER[at]))


def test_what_does_not_count():
    keep = RNG.random(N) < 0.3
    want = score(LOSS, Y[keep], A[keep], clusters=CLUSTER[keep])
    hidden = np.where(keep, A, np.nan)
    for found in (
        score(LOSS, Y, hidden, where=keep, clusters=CLUSTER),
        score(LOSS, Y, hidden, nan_policy="omit", clusters=CLUSTER),
    ):
        assert found == pytest.approx(want, rel=1e-12)


def test_losses_that_hardly_differ():
    """The squares are those of the differences from the mean: nothing cancels."""
    y = np.zeros(1000)
    z = 1e8 + RNG.normal(0, 1e-6, 1000).round(7)
    cluster = np.repeat(np.arange(100), 10)
    found = score("binary_cross_entropy_with_logits", y, z, clusters=cluster)
    is_that(found, by_hand(z, cluster), rel=1e-8)


def test_workers_change_nothing():
    for keys in (CLUSTER, [str(c) for c in CLUSTER]):
        assert score(LOSS, Y, A, clusters=keys, workers=3) == score(LOSS, Y, A, clusters=keys)


def test_one_cluster_has_no_error():
    found = score(LOSS, [0, 1, 1], [0.5, 0.5, 0.7], clusters=["a"] * 3)
    assert math.isnan(found.standard_error) and found.degrees_of_freedom == 0
    assert math.isnan(found.confidence_interval()[0])


@pytest.mark.parametrize("cuts", [1, 7, 100])
def test_accumulators(cuts):
    """Any cutting and any order of merging."""
    parts = []
    for at in np.array_split(RNG.permutation(N), cuts):
        acc = LossAccumulator(LOSS)
        acc.update(Y[at], A[at], W[at], clusters=CLUSTER[at])
        parts.append(pickle.loads(pickle.dumps(acc)))
    found = sum(parts).score()
    want = score(LOSS, Y, A, clusters=CLUSTER, sample_weight=W)
    assert found == pytest.approx(want, rel=1e-14)
    again = sum(parts[::-1]).score()
    assert again == pytest.approx(found, rel=1e-14)
    assert copy.deepcopy(parts[0]).score() == parts[0].score()


def test_refuses():
    with pytest.raises(ValueError, match=r"clusters has shape \(2,\), but the losses have shape"):
        score(LOSS, [0, 1, 1], [0.5, 0.5, 0.5], clusters=[1, 2])
    with pytest.raises(TypeError, match="clusters holds what cannot be a key"):
        score(LOSS, [0, 1], [0.5, 0.5], clusters=[{}, {}])
    acc = LossAccumulator(LOSS)
    with pytest.raises(ValueError, match="pass clusters to every update"):
        acc.score()
    acc.update([1], [0.5], clusters=["a"])
    with pytest.raises(ValueError, match="clusters came with some of the batches"):
        acc.update([1], [0.5])
    with pytest.raises(ValueError, match="clusters came with some of the batches"):
        acc.merge(LossAccumulator(LOSS) + plain())
    with pytest.raises(ValueError, match="groups and clusters are given"):
        acc.update([1], [0.5], groups=["a"], clusters=["a"])
    assert acc.count == 1


def plain():
    acc = LossAccumulator(LOSS)
    acc.update([1], [0.5])
    return acc

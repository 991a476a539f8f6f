"""LossAccumulator: the same number however the data are cut, and nothing of a batch that is bad."""

import copy
import math
import pickle
import random

import numpy as np
import pytest

import fastxent
from fastxent import LossAccumulator, bits_per_byte
from helpers.losses import loss

ROWS = 1_000_000
RNG = np.random.default_rng(6)


def million(name):
    """Rows, with labels that fit the scores, and weights."""
    rng = np.random.default_rng(60)
    weight = rng.uniform(0, 3, ROWS)
    if name == "gaussian_nll":
        return rng.normal(size=ROWS), rng.normal(size=ROWS), weight
    if name.startswith("binary"):
        z = rng.normal(0, 3, ROWS)
        y = (rng.random(ROWS) < 1 / (1 + np.exp(-z))).astype(np.int8)
        return y, z if name.endswith("logits") else 1 / (1 + np.exp(-z)), weight
    z = rng.normal(0, 2, (ROWS, 4))
    y = rng.integers(0, 4, ROWS)
    if name.endswith("logits"):
        return y, z, weight
    return y, np.exp(z) / np.exp(z).sum(1, keepdims=True), weight


# ------------------------------------------------------------------------------ any cutting


@pytest.mark.parametrize(
    "name",
    [
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "categorical_cross_entropy",
        "categorical_cross_entropy_with_logits",
        "gaussian_nll",
    ],
)
def test_any_cutting_merged_in_any_order_and_pickled_between(name):
    y, scores, weight = million(name)
    whole = loss(name)(y, scores, sample_weight=weight)
    order = random.Random(name)
    for batches in (1, 7, 1000):
        cuts = sorted(order.sample(range(ROWS), batches - 1))
        parts = []
        for start, stop in zip([0, *cuts], [*cuts, ROWS], strict=True):
            part = LossAccumulator(name)
            part.update(y[start:stop], scores[start:stop], weight[start:stop])
            parts.append(pickle.loads(pickle.dumps(part)))
        while len(parts) > 1:
            one, other = (parts.pop(order.randrange(len(parts))) for _ in range(2))
            parts.append(pickle.loads(pickle.dumps(one + other)))
        assert parts[0].count == ROWS
        assert abs(parts[0].result() / whole - 1) <= 1e-15
        assert abs(parts[0].weight / math.fsum(weight) - 1) <= 1e-15


def test_many_small_batches_lose_nothing():
    acc = LossAccumulator("binary_cross_entropy")
    p = RNG.random(50_000)
    for one in p:
        acc.update([1], [one])
    each = fastxent.binary_cross_entropy(np.ones(len(p), int), p, reduction="none")
    assert acc.total == math.fsum(each)


def test_what_is_far_below_the_sum_is_not_lost():
    acc = LossAccumulator("binary_cross_entropy")
    acc.update([1], [0.5], sample_weight=[1e16])  # beyond which a float has no odd numbers
    for _ in range(1000):
        acc.update([1], [0.5], sample_weight=[1.0])
    assert acc.weight == 1e16 + 1000
    assert acc.result() == pytest.approx(math.log(2), rel=1e-15)


# ------------------------------------------------------------------------- results and sums


def example():
    acc = LossAccumulator(fastxent.binary_cross_entropy, label_smoothing=0.1)
    acc.update([1, 0, 1], [0.9, 0.3, 0.4], sample_weight=[1, 2, 0.5])
    return acc


def test_the_results_are_those_of_the_loss():
    acc = example()
    args = {"sample_weight": [1, 2, 0.5], "label_smoothing": 0.1}
    mean, total = (
        fastxent.binary_cross_entropy([1, 0, 1], [0.9, 0.3, 0.4], reduction=reduction, **args)
        for reduction in ("mean", "sum")
    )
    assert acc.result() == mean
    assert acc.total == total
    assert (acc.weight, acc.count) == (3.5, 3)
    assert acc.perplexity == math.exp(mean)
    assert acc.bits == mean / math.log(2)


def test_over_nothing():
    acc = LossAccumulator("gaussian_nll")
    assert math.isnan(acc.result()) and math.isnan(acc.perplexity) and math.isnan(acc.bits)
    assert (acc.total, acc.weight, acc.count) == (0.0, 0.0, 0)
    acc.update([], [])
    acc.update([1.0], [1.0], where=[False])
    assert acc.count == 0
    assert not acc.groups()


def test_an_infinite_loss():
    acc = LossAccumulator("binary_cross_entropy", eps=0)
    acc.update([1], [0.5])
    acc.update([1], [0.0])
    acc.update([1], [0.25])
    assert acc.result() == acc.perplexity == math.inf
    assert acc.count == 3


def test_a_perplexity_beyond_the_floats_is_infinite():
    acc = LossAccumulator("gaussian_nll")
    acc.update([0.0], [100.0])
    assert acc.perplexity == math.inf


def test_bits_per_byte():
    assert bits_per_byte(8 * math.log(2), 2) == pytest.approx(4.0, rel=1e-15)
    for none in (0, -1, math.nan):
        with pytest.raises(ValueError, match="n_bytes"):
            bits_per_byte(1.0, none)


def test_it_is_small_and_shows_what_it_is():
    acc = example()
    assert len(pickle.dumps(acc)) < 500
    again = pickle.loads(pickle.dumps(acc))
    assert repr(again) == repr(acc)
    assert "binary_cross_entropy, label_smoothing=0.1" in repr(acc) and " of 3: " in repr(acc)


def test_entropy_takes_one_array():
    p = RNG.dirichlet(np.ones(5), 30)
    acc = LossAccumulator(fastxent.entropy)
    acc.update(p)
    assert acc.result() == fastxent.entropy(p)
    with pytest.raises(TypeError, match="p alone"):
        acc.update(p, p)
    with pytest.raises(TypeError, match="y_true and y_proba"):
        LossAccumulator(fastxent.binary_cross_entropy).update(p)


def test_kl_divergence():
    q, p = RNG.dirichlet(np.ones(5), (2, 30))
    acc = LossAccumulator(fastxent.kl_divergence)
    acc.update(q, p)
    assert acc.result() == fastxent.kl_divergence(q, p)


def test_the_variance_is_of_all_batches_or_of_one():
    y, mean, var = RNG.normal(size=10), RNG.normal(size=10), RNG.uniform(1, 2, 10)
    acc = LossAccumulator("gaussian_nll", var=2.0)
    acc.update(y, mean)
    assert acc.result() == fastxent.gaussian_nll(y, mean, 2.0)
    acc = LossAccumulator("gaussian_nll", full=True)
    acc.update(y, mean, var=var)
    assert acc.result() == fastxent.gaussian_nll(y, mean, var, full=True)
    with pytest.raises(TypeError, match=r"takes no var"):
        LossAccumulator("binary_cross_entropy").update([1], [0.5], var=[1.0])


# ------------------------------------------------------------------------------------ merge


def test_merge_and_add():
    one, other = example(), example()
    both = one + other
    assert (both.count, one.count, other.count) == (6, 3, 3)
    assert both.result() == one.result()
    one.merge(other)
    assert (one.count, other.count) == (6, 3)
    one.merge(one)
    assert one.count == 12
    assert sum([example() for _ in range(4)]).count == 12
    one += other
    assert one.count == 15
    assert copy.copy(other).count == copy.deepcopy(other).count == 3


def test_only_equals_are_merged():
    acc = example()
    for other in (
        LossAccumulator("binary_cross_entropy"),
        LossAccumulator("binary_cross_entropy", label_smoothing=0.1, eps=1e-7),
        LossAccumulator("binary_cross_entropy_with_logits", label_smoothing=0.1),
    ):
        with pytest.raises(ValueError, match="different losses"):
            acc.merge(other)
        with pytest.raises(ValueError, match="different losses"):
            acc + other
    with pytest.raises(TypeError, match="pass a LossAccumulator"):
        acc.merge(1.0)
    with pytest.raises(TypeError):
        acc + 1
    acc.merge(LossAccumulator("binary_cross_entropy", label_smoothing=0.1, workers=2))
    assert acc.count == 3


def test_class_weights_are_compared_by_value():
    one, other = (LossAccumulator("categorical_cross_entropy", class_weight=[1, 2.0]) for _ in "ab")
    assert (one + other).count == 0
    with pytest.raises(ValueError, match="different losses"):
        one + LossAccumulator("categorical_cross_entropy", class_weight=[1, 3.0])


# ---------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"smoothing": 0.1}, TypeError, "it takes nan_policy, workers, label_smoothing, eps"),
        ({"axis": 0}, TypeError, "takes no option 'axis'"),
        ({"reduction": "sum"}, TypeError, "takes no reduction"),
        ({"out": np.empty(1)}, TypeError, "takes no out"),
        ({"sample_weight": [1]}, TypeError, "pass it to update"),
        ({"where": [True]}, TypeError, "pass it to update"),
        ({"nan_policy": "ignore"}, ValueError, "nan_policy='ignore'"),
        ({"label_smoothing": 2}, ValueError, "label_smoothing"),
        ({"eps": 0.7}, ValueError, "eps"),
        ({"eps": "none"}, ValueError, "eps"),
        ({"workers": 0}, ValueError, "workers"),
    ],
)
def test_options_are_checked_at_once(options, error, message):
    with pytest.raises(error, match=message):
        LossAccumulator("binary_cross_entropy", **options)


@pytest.mark.parametrize("unknown", ["cross_entropy", fastxent.log_loss, None, 3])
def test_the_loss_is_one_of_ours(unknown):
    with pytest.raises(ValueError, match="use one of binary_cross_entropy"):
        LossAccumulator(unknown)


def test_the_options_are_its_own():
    weight = np.array([1.0, 2.0])
    acc = LossAccumulator("categorical_cross_entropy", class_weight=weight)
    weight[:] = 100
    acc.update([1], [[0.5, 0.5]])
    assert acc.weight == 2.0


@pytest.mark.parametrize(
    "bad",
    [
        {"scores": [0.5, 1.5]},
        {"scores": [0.5, np.nan]},
        {"scores": [0.5]},
        {"y_true": [0, 2]},
        {"y_true": ["a", "b"]},
        {"sample_weight": [1, -1]},
        {"sample_weight": [1, 2, 3]},
        {"where": [0, 1]},
        {"groups": [1, []]},
        {"groups": [1, 2, 3]},
        {"groups": "ab"},
    ],
)
@pytest.mark.parametrize("groups", [None, ["a", "b"]])
def test_an_update_that_raises_counts_nothing(bad, groups):
    good = {"y_true": [0, 1], "scores": [0.3, 0.6], "groups": groups}
    acc = LossAccumulator("binary_cross_entropy")
    acc.update(**good)
    before = pickle.dumps(acc)
    with pytest.raises((ValueError, TypeError)):
        acc.update(**{**good, **bad})
    assert pickle.dumps(acc) == before
    acc.update(**good)
    assert acc.count == 4


# ----------------------------------------------------------------------------------- groups


def test_by_group_any_cutting_gives_the_same():
    y, p, weight = million("binary_cross_entropy")
    keys = np.random.default_rng(1).integers(-50, 50, ROWS)
    bce = fastxent.binary_cross_entropy
    whole = fastxent.grouped(bce, y, p, keys, sample_weight=weight)
    order = random.Random(0)
    cuts = sorted(order.sample(range(ROWS), 40))
    parts = []
    for start, stop in zip([0, *cuts], [*cuts, ROWS], strict=True):
        part = LossAccumulator(bce)
        at = slice(start, stop)
        part.update(y[at], p[at], weight[at], groups=keys[at])
        parts.append(pickle.loads(pickle.dumps(part)))
    order.shuffle(parts)
    acc = sum(parts)
    assert acc.result() == pytest.approx(bce(y, p, sample_weight=weight), rel=1e-15)
    assert list(acc.groups()) == list(whole) == list(range(-50, 50))
    each = bce(y, p, sample_weight=weight, reduction="none")
    for key, record in acc.groups().items():
        rows = keys == key
        assert record == pytest.approx(whole[key], rel=1e-15)
        assert record.sum == pytest.approx(math.fsum(each[rows]), rel=1e-15)
        assert record.weight == pytest.approx(math.fsum(weight[rows]), rel=1e-15)
        assert record.count == rows.sum()


def test_groups_come_with_every_update_or_with_none():
    without, with_groups = (LossAccumulator("binary_cross_entropy") for _ in range(2))
    without.update([1], [0.5])
    with_groups.update([1, 0], [0.5, 0.2], groups=["a", "a"])
    with pytest.raises(ValueError, match="groups"):
        without.update([1], [0.5], groups=["a"])
    with pytest.raises(ValueError, match="groups"):
        with_groups.update([1], [0.5])
    with pytest.raises(ValueError, match="groups"):
        without.merge(with_groups)
    with pytest.raises(ValueError, match="groups"):
        with_groups + without
    empty = LossAccumulator("binary_cross_entropy")
    assert (empty + with_groups).groups() == (with_groups + empty).groups() == with_groups.groups()
    assert (with_groups + with_groups).groups()["a"].count == 4
    assert with_groups.groups()["a"].count == 2

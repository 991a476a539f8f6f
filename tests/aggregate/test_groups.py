"""grouped: for every group, the loss of its rows."""

import copy
import math
import pickle
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastxent
from fastxent import LossAccumulator, binary_cross_entropy, grouped, score
from helpers.losses import BINARY, LOSSES, loss
from helpers.strategies import cases

RNG = np.random.default_rng(7)


def of_keys(keys, **options):
    """Group p by these keys, y being 1."""
    p = np.linspace(0.1, 0.9, len(keys))
    return grouped(binary_cross_entropy, np.ones(len(keys), int), p, keys, **options)


# --------------------------------------------------------------------- the loss of each group


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=250)
@given(st.data())
def test_every_combination(name, data):
    case = data.draw(cases(name, wild=data.draw(st.booleans())))
    options = {k: v for k, v in case.options.items() if k != "reduction"}
    call = loss(name)
    shape = case.scores.shape
    shape = shape if name in BINARY else np.delete(shape, options.get("axis", -1))
    keys = np.random.default_rng(0).integers(0, 3, shape)
    try:
        call(*case.args, **options)
    except ValueError as error:
        message = re.escape(str(error))
        with pytest.raises(ValueError, match=message):
            grouped(call, *case.args, keys, **options)
        return
    found = grouped(call, *case.args, keys, **options)
    where = options.pop("where", True)
    rtol = 1e-12 if case.scores.dtype == np.float64 else 1e-6
    for key in np.unique(keys):
        here = where & (keys == key)
        mean, total = (
            call(*case.args, **options, where=here, reduction=r) for r in ("mean", "sum")
        )
        if not np.any(here):
            assert key not in found
            continue
        record = found.get(key, (math.nan, 0.0))
        np.testing.assert_allclose(record[0], mean, rtol=rtol, atol=1e-300)
        np.testing.assert_allclose(record[1], total, rtol=rtol, atol=1e-300)
        if key in found and np.isfinite(mean) and mean:
            assert record.weight == pytest.approx(total / mean, rel=1e-6)


@pytest.mark.parametrize("policy", ["raise", "omit"])
def test_counts_and_weights(policy):
    y, p = np.array([1, 0, 1, 1, 0]), np.array([0.9, 0.5, 0.3, 0.7, 0.2])
    w = np.array([1.0, 2, 3, 0, 5])
    where = np.array([True, True, False, True, True])
    if policy == "omit":
        p[4] = np.nan
    else:
        where[4] = False
    got = grouped(
        binary_cross_entropy, y, p, list("ababb"), sample_weight=w, where=where, nan_policy=policy
    )
    assert got["a"][2:4] == (1.0, 1)
    assert got["b"][2:4] == (2.0, 2)
    assert got["b"].mean == binary_cross_entropy([0], [0.5])


def test_a_group_in_which_nothing_counts_is_not_there():
    for keys in ([1, 2, 1], np.array([1, 2, 1]), np.array([1, 1 << 40, 1]), ["a", "b", "a"]):
        got = of_keys(keys, where=np.array([True, False, True]))
        assert list(got) == [keys[0]]
        assert got[keys[0]].count == 2


def test_class_weights_count_in_the_denominator():
    p, y = RNG.dirichlet(np.ones(3), 50), RNG.integers(0, 3, 50)
    w, classes = RNG.random(50), np.array([0.5, 2.0, 3.0])
    keys = RNG.integers(0, 2, 50)
    cce = fastxent.categorical_cross_entropy
    for labels in (y, np.eye(3)[y]):
        got = grouped(cce, labels, p, keys, sample_weight=w, class_weight=classes)
        for key in (0, 1):
            m = keys == key
            want = cce(labels[m], p[m], sample_weight=w[m], class_weight=classes)
            assert got[key].mean == pytest.approx(want, rel=1e-14)
            assert got[key].weight == pytest.approx((w * classes[y])[m].sum(), rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_losses_are_those_of_the_scores_precision_and_summed_in_float64(dtype):
    p, keys = RNG.random(300_000).astype(dtype), RNG.integers(0, 7, 300_000)
    losses = binary_cross_entropy(np.ones(len(p), bool), p, reduction="none")
    got = grouped(binary_cross_entropy, np.ones(len(p), bool), p, keys)
    for key, record in got.items():
        want = math.fsum(losses[keys == key].tolist())
        assert record.sum == pytest.approx(want, rel=1e-15)


def test_eps_is_that_of_the_scores_dtype():
    for dtype in (np.float64, np.float32, np.float16):
        got = grouped(binary_cross_entropy, [1], np.zeros(1, dtype), [0])
        rounded = 1e-12 if dtype == np.float64 else 1e-7
        assert got[0].mean == pytest.approx(-math.log(np.finfo(dtype).eps), rel=rounded)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_standard_errors_are_those_of_score_in_any_batches(weighted):
    n = 100_000
    p, keys = RNG.random(n), RNG.integers(0, 9, n)
    y = RNG.random(n) < p * p
    w = RNG.uniform(0, 3, n) if weighted else None
    want = score(binary_cross_entropy, y, p, groups=keys, sample_weight=w)
    got = grouped(binary_cross_entropy, y, p, keys, sample_weight=w)
    accumulators = [LossAccumulator(binary_cross_entropy) for _ in "abc"]
    edges = [0, 1, 10, 40_000, 77_777, n]
    for i in range(5):
        part = slice(edges[i], edges[i + 1])
        weight = None if w is None else w[part]
        accumulators[i % 3].update(y[part], p[part], weight, groups=keys[part])
    merged = (accumulators[2] + accumulators[0] + accumulators[1]).groups()
    for key, record in want.items():
        assert got[key][4:] == (record.standard_error, record.degrees_of_freedom)
        assert merged[key].standard_error == pytest.approx(record.standard_error, rel=1e-13)
        assert merged[key].degrees_of_freedom == record.degrees_of_freedom


@pytest.mark.parametrize("outlier", [0, 1, 70_000])
def test_standard_errors_of_small_spreads_keep_their_digits(outlier):
    """The first loss of a group, of a block, or a later one is far from all others."""
    rng = np.random.default_rng(outlier)
    p = (0.3 + 1e-4 * rng.random(140_000)).astype(np.float32)
    p[outlier] = 1e-30
    groups = np.arange(p.size) % 2
    found = fastxent.grouped(
        fastxent.binary_cross_entropy, np.ones(p.size, bool), p, groups, eps=0.0
    )
    losses = fastxent.binary_cross_entropy(np.ones(p.size, bool), p, eps=0.0, reduction="none")
    for key in 0, 1:
        x = losses[groups == key].astype(np.longdouble)
        error = x.std(ddof=1) / np.sqrt(np.longdouble(x.size))
        assert found[key].sum == pytest.approx(float(x.sum()), rel=1e-15)
        assert found[key].standard_error == pytest.approx(float(error), rel=1e-9)


@pytest.mark.parametrize("place", [0, 5, 69_999])
def test_an_infinite_loss_is_that_of_its_group_alone(place):
    p = np.full(140_000, 0.5, np.float32)
    p[place] = 0.0
    groups = np.arange(p.size) % 2
    found = fastxent.grouped("binary_cross_entropy", np.ones(p.size), p, groups, eps=0.0)
    assert found[place % 2].mean == np.inf
    assert np.isnan(found[place % 2].standard_error)
    other = found[1 - place % 2]
    assert (other.mean, other.standard_error) == (pytest.approx(np.log(2)), 0.0)


def test_one_key_per_leading_index():
    z, y = RNG.normal(size=(4, 5, 3)), RNG.integers(0, 3, (4, 5))
    cce = fastxent.categorical_cross_entropy_with_logits
    got = grouped(cce, y, z, ["a", "b", "a", "c"])
    assert got["a"].mean == pytest.approx(cce(y[[0, 2]], z[[0, 2]]), rel=1e-14)
    assert got["c"].count == 5


def test_classes_first():
    z, y = RNG.normal(size=(3, 70_000)), RNG.integers(0, 3, 70_000)
    keys = RNG.integers(0, 2, 70_000)
    cce = fastxent.categorical_cross_entropy_with_logits
    got = grouped(cce, y, z, keys, axis=0)
    assert got[1].mean == pytest.approx(cce(y[keys == 1], z[:, keys == 1], axis=0), rel=1e-13)


def test_variances_are_cut_along():
    n = 100_000
    y, mean, var = RNG.normal(size=n), RNG.normal(size=n), RNG.uniform(0.5, 2, n)
    keys = np.arange(n) % 7
    got = grouped(fastxent.gaussian_nll, y, mean, keys, var=var)
    m = keys == 6
    assert got[6].mean == pytest.approx(fastxent.gaussian_nll(y[m], mean[m], var[m]), rel=1e-13)


def test_entropy():
    p, keys = RNG.dirichlet(np.ones(4), 20), np.arange(20) % 2
    got = grouped(fastxent.entropy, p, None, keys)
    assert got[0].mean == pytest.approx(fastxent.entropy(p[::2]), rel=1e-14)


def test_nothing():
    assert not grouped(binary_cross_entropy, [], [], [])


# --------------------------------------------------------------------------------- the keys


@pytest.mark.parametrize("dtype", "int8 int16 int32 int64 uint8 uint16 uint32 uint64".split())
def test_integers_of_any_width_and_range(dtype):
    info = np.iinfo(dtype)
    keys = np.array([info.max, info.min, 0, info.max, info.min], dtype)
    got = of_keys(keys)
    assert list(got) == sorted({int(k) for k in keys})
    assert got[info.max].count == 2
    few = of_keys(np.array([info.max, info.max - 1, info.max], dtype))
    assert list(few) == [info.max - 1, info.max]


@pytest.mark.parametrize(
    "keys",
    [
        np.array([True, False, True]),
        np.array([0.5, -0.5, 0.5]),
        np.array(["b", "a", "b"]),
        np.array([b"b", b"a", b"b"]),
        np.array(["b", "a", "b"], object),
        ["b", "a", "b"],
        ("b", "a", "b"),
        [("b", 1), ("a", 2), ("b", 1)],
        np.array(["2020-02-02", "2019-02-02", "2020-02-02"], "M8[ns]"),
        [2, 1, 2],
    ],
    ids=lambda keys: f"{type(keys).__name__} {getattr(keys, 'dtype', '')}",
)
def test_keys_of_any_kind(keys):
    got = of_keys(keys)
    first, second = got
    assert first < second
    assert got[first].count == 1 and got[second].count == 2
    assert got[keys[0]] == got[second]


def test_keys_that_cannot_be_sorted_are_in_the_order_of_their_coming():
    assert list(of_keys(["b", 1, "a", 1])) == ["b", 1, "a"]


def test_none_and_nan_come_last():
    keys = [math.nan, 2.0, None, float("nan"), 1.0, np.float64("nan")]
    got = of_keys(keys)
    assert list(got)[:2] == [1.0, 2.0]
    assert len(got) == 4
    assert got[math.nan].count == 3 and got[None].count == 1
    assert of_keys(np.array([np.nan, 1.0, np.nan]))[math.nan].count == 2


def test_in_a_list_nothing_is_converted():
    assert list(of_keys([1, "1", 1])) == [1, "1"]


def test_a_zero_is_a_zero_and_true_is_one_as_in_a_dict():
    assert len(of_keys([0, 0.0, False])) == 1


@pytest.mark.parametrize("sparse", [1, 1_000_003])
def test_more_groups_than_a_block_has_rows(sparse):
    n = 100_000
    keys = RNG.permutation(np.repeat(np.arange(n // 2), 2)) * sparse
    got = of_keys(keys)
    assert len(got) == n // 2
    assert set(got.columns["count"]) == {2}
    p = np.linspace(0.1, 0.9, n)
    assert got[7 * sparse].mean == pytest.approx(-np.log(p[keys == 7 * sparse]).mean(), rel=1e-14)


def test_categories_and_dictionaries_of_others():
    class Categorical:  # as pandas has it
        categories = np.array(["x", "y", "never"], object)
        codes = np.array([1, 0, -1, 1], np.int8)

    p = np.linspace(0.1, 0.9, 4)
    got = grouped(binary_cross_entropy, np.ones(4, int), p, Categorical())
    assert list(got) == ["x", "y", None]
    assert got["y"].count == 2


@pytest.mark.parametrize(
    "keys, error, message",
    [
        ([1, 2], ValueError, r"groups has shape \(2,\)"),
        (3, ValueError, r"groups has shape \(\)"),
        ([1, [], 2], TypeError, "groups holds what cannot be a key"),
    ],
)
def test_bad_keys(keys, error, message):
    with pytest.raises(error, match=message):
        grouped(binary_cross_entropy, [1, 1, 1], [0.5] * 3, keys)


# -------------------------------------------------------------------------- errors, memory


def test_an_error_names_the_place_in_the_whole():
    n = 200_000
    y, p, keys = np.ones(n, int), np.full(n, 0.5), np.zeros(n, int)
    p[123_456] = 1.5
    with pytest.raises(ValueError, match=r"y_proba\[123456\] = 1.5"):
        grouped(binary_cross_entropy, y, p, keys)
    p[123_456] = 0.5
    w = np.ones(n)
    w[150_000] = -1
    with pytest.raises(ValueError, match=r"sample_weight\[150000\] = -1"):
        grouped(binary_cross_entropy, y, p, keys, sample_weight=w)


def test_options_are_checked():
    with pytest.raises(TypeError, match="takes no option 'axis'"):
        of_keys([1], axis=0)
    with pytest.raises(TypeError, match="takes no reduction"):
        of_keys([1], reduction="sum")


def test_the_memory_does_not_grow_with_the_rows():
    peaks = []
    for n in (200_000, 1_600_000):
        y, p, keys = np.ones(n, np.int8), np.full(n, 0.5, np.float32), np.arange(n) % 10
        w = np.ones(n)
        tracemalloc.start()
        grouped(binary_cross_entropy, y, p, keys, sample_weight=w, nan_policy="omit")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 6e6


# ------------------------------------------------------------------------------- the result


def test_the_result_is_a_mapping_with_columns():
    got = of_keys(["b", "a", "b", "a"])
    fields = ("mean", "sum", "weight", "count", "standard_error", "degrees_of_freedom")
    assert list(got.columns) == ["group", *fields]
    assert got.columns["group"] == ["a", "b"]
    assert got.columns["count"].tolist() == [2, 2]
    assert got["b"]._fields == fields
    assert [type(x) for x in got["b"]] == [float, float, float, int, float, float]
    assert "a" in got and "c" not in got
    with pytest.raises(KeyError):
        got["c"]
    assert pickle.loads(pickle.dumps(got)) == copy.deepcopy(got) == got
    assert "'a': GroupMean(mean=" in repr(got)
    assert "80 more" in repr(of_keys(np.arange(100)))

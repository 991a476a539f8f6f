"""Dask, with a cluster of two processes: the number in memory, whatever the chunks."""

import doctest
import os
import signal
import time
import warnings
from itertools import pairwise

import numpy as np
import pytest

import fastxent

pytest.importorskip("distributed", reason="fastxent.dask is for Dask's clusters")
pytest.importorskip("dask.dataframe", reason="fastxent.dask is for Dask's data frames too")

import dask.array as da
import dask.dataframe as dd
import pandas as pd
from dask import delayed
from distributed import Client, LocalCluster

import fastxent.dask as fd

N = 100_000
RNG = np.random.default_rng(9)
Z = RNG.normal(0, 2, N)
P = 1 / (1 + np.exp(-Z))
Y = (RNG.random(N) < P).astype(np.int8)
W = RNG.uniform(0, 3, N)
KEYS = RNG.integers(0, 4, N)
UNEVEN = (1, 40_000, 0, 7, 59_992)
OTHER = (50_000, 50_000)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as c,
        Client(c) as client,
    ):
        yield client


def chunked(chunks, *arrays):
    return [da.from_array(a, chunks=(chunks, *((n,) for n in a.shape[1:]))) for a in arrays]


# ----------------------------------------------------------------------------------- arrays


def test_uneven_chunks_weights_and_groups(client):
    y, p = chunked(UNEVEN, Y, P)
    (w,) = chunked(OTHER, W)  # of other chunks; the keys are a plain array
    acc = fd.accumulate("binary_cross_entropy", y, p, sample_weight=w, groups=KEYS).compute()
    want = fastxent.binary_cross_entropy(Y, P, sample_weight=W)
    assert acc.result() == pytest.approx(want, rel=1e-15)
    whole = fastxent.grouped("binary_cross_entropy", Y, P, KEYS, sample_weight=W)
    assert list(acc.groups()) == list(whole)
    for key, record in acc.groups().items():
        assert record == pytest.approx(whole[key], rel=1e-15)
    assert len(client.run(os.getpid)) == 2


def test_clusters():
    y, p = chunked(UNEVEN, Y, P)
    acc = fd.accumulate("binary_cross_entropy", y, p, clusters=KEYS).compute(scheduler="sync")
    want = fastxent.score("binary_cross_entropy", Y, P, clusters=KEYS)
    assert acc.score() == pytest.approx(want, rel=1e-13)


def test_it_is_lazy():
    y, p = chunked(1000, Y, P)
    bits = fd.accumulate(fastxent.binary_cross_entropy, y, p).bits
    assert bits.compute(scheduler="sync") == pytest.approx(
        fastxent.binary_cross_entropy(Y, P) / np.log(2), rel=1e-15
    )


def rows(n=600, classes=5):
    z = RNG.normal(size=(n, classes))
    return RNG.integers(0, classes, n), z, np.exp(z) / np.exp(z).sum(1, keepdims=True)


@pytest.mark.parametrize("distribution", [False, True])
@pytest.mark.parametrize(
    "name", ["categorical_cross_entropy", "categorical_cross_entropy_with_logits"]
)
def test_classes_in_any_chunks(name, distribution):
    y, z, p = rows()
    labels = np.eye(5)[y] if distribution else y
    scores = z if name.endswith("logits") else p
    w = RNG.random(600)
    lazy = fd.accumulate(
        name,
        da.from_array(labels, chunks=100),
        da.from_array(scores, chunks=(77, 2)),
        sample_weight=w,
        class_weight=[1, 2, 3, 4, 5.0],
    )
    want = getattr(fastxent, name)(labels, scores, sample_weight=w, class_weight=[1, 2, 3, 4, 5.0])
    assert lazy.result().compute(scheduler="sync") == pytest.approx(want, rel=1e-14)


def test_classes_first_and_a_weight_per_leading_index():
    y, z = RNG.integers(0, 5, (30, 8)), RNG.normal(size=(30, 5, 8))
    w = RNG.random(30)
    lazy = fd.accumulate(
        "categorical_cross_entropy_with_logits",
        da.from_array(y, chunks=(7, 3)),
        da.from_array(z, chunks=(4, 2, 8)),
        sample_weight=da.from_array(w, chunks=11),
        where=da.from_array(y > 0, chunks=5),
        axis=1,
    )
    want = fastxent.categorical_cross_entropy_with_logits(
        y, z, sample_weight=w, where=y > 0, axis=1
    )
    assert lazy.result().compute(scheduler="sync") == pytest.approx(want, rel=1e-14)


def test_the_other_losses():
    q, p = (da.from_array(RNG.dirichlet(np.ones(4), 50), chunks=(9, 3)) for _ in "qp")
    y, mean, var = (da.from_array(RNG.uniform(1, 2, 50), chunks=8) for _ in "abc")
    for name, args, options in (
        ("entropy", (p,), {}),
        ("kl_divergence", (q, p), {}),
        ("gaussian_nll", (y, mean), {"var": var}),
        ("binary_cross_entropy_with_logits", (y - 1, mean), {"pos_weight": 2.0}),
    ):
        got = fd.accumulate(name, *args, **options).result().compute(scheduler="sync")
        plain = {k: np.asarray(v) for k, v in options.items()}
        want = getattr(fastxent, name)(*map(np.asarray, args), **plain)
        assert got == pytest.approx(want, rel=1e-14)


def test_chunks_of_unknown_size():
    y, p = chunked(10_000, Y, P)
    few = p > 0.5
    acc = fd.accumulate("binary_cross_entropy", y[few], p[few]).compute(scheduler="sync")
    assert acc.result() == pytest.approx(
        fastxent.binary_cross_entropy(Y, P, where=P > 0.5), rel=1e-15
    )
    with pytest.raises(ValueError, match=r"y_true has \(2,\) chunks where \(10,\) are needed"):
        fd.accumulate("binary_cross_entropy", *chunked(OTHER, Y), p[few])


def test_the_examples():
    assert doctest.testmod(fd).attempted > 8
    assert doctest.testmod(fd).failed == 0


def test_nothing_at_all():
    nothing = da.zeros((0,), chunks=0)
    acc = fd.accumulate("binary_cross_entropy", nothing, nothing).compute(scheduler="sync")
    assert np.isnan(acc.result()) and acc.count == 0


def test_errors_come_at_once_or_with_their_block():
    y, p = chunked(UNEVEN, Y, P)
    with pytest.raises(TypeError, match="takes no option 'axis'"):
        fd.accumulate("binary_cross_entropy", y, p, axis=0)
    with pytest.raises(ValueError, match="y_true has shape"):
        fd.accumulate("binary_cross_entropy", y[:-1], p)
    bad = da.where(da.arange(N, chunks=p.chunks) > 0, p + 2, p)
    with pytest.raises(ValueError, match=r"in block \(\d,\): y_proba\[0\] = "):
        fd.accumulate("binary_cross_entropy", y, bad).compute(scheduler="sync")


# ------------------------------------------------------------------------------ data frames


def table():
    columns = {"y": Y, "p": P, "w": W, "country": np.array(["at", "ch", "de", "fr"])[KEYS]}
    return pd.DataFrame(columns)


def parts(frame, *sizes):
    """A Dask data frame of partitions of these sizes."""
    cuts = np.cumsum([0, *sizes])
    pieces = [frame.iloc[a:b] for a, b in pairwise(cuts)]
    return dd.from_delayed([delayed(piece) for piece in pieces], meta=frame.iloc[:0])


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("categorical", [False, True])
def test_a_frame_with_an_empty_partition(categorical):
    frame = table()
    if categorical:
        frame["country"] = frame["country"].astype("category")
    acc = fd.accumulate_frame(
        "binary_cross_entropy",
        parts(frame, 0, 10, 60_000, 0, 39_990),
        "y",
        "p",
        sample_weight="w",
        groups="country",
    ).compute()
    want = fastxent.binary_cross_entropy(Y, P, sample_weight=W)
    assert acc.result() == pytest.approx(want, rel=1e-15)
    whole = fastxent.grouped("binary_cross_entropy", Y, P, KEYS, sample_weight=W)
    assert list(acc.groups()) == ["at", "ch", "de", "fr"]
    for record, wanted in zip(acc.groups().values(), whole.values(), strict=True):
        assert record == pytest.approx(wanted, rel=1e-15)


def test_a_frame_with_a_column_per_class():
    y, _, p = rows()
    frame = pd.DataFrame(p, columns=list("abcde")).assign(y=y)
    lazy = fd.accumulate_frame(
        "categorical_cross_entropy", parts(frame, 100, 500), "y", list("abcde")
    )
    want = fastxent.categorical_cross_entropy(y, p)
    assert lazy.result().compute(scheduler="sync") == pytest.approx(want, rel=1e-15)


def test_errors_of_frames_name_the_column_or_the_partition():
    frame = parts(table(), 50_000, 50_000)
    with pytest.raises(ValueError, match=r"no column 'q': the columns are y, p, w, country"):
        fd.accumulate_frame("binary_cross_entropy", frame, "y", "q")
    with pytest.raises(ValueError, match=r"in partition \d: y_proba"):
        fd.accumulate_frame("binary_cross_entropy", frame, "y", "w").compute(scheduler="sync")


# -------------------------------------------------------------------------- a worker killed


def test_a_worker_killed_in_the_middle(client):
    def slow(block):
        time.sleep(0.2)
        return block

    y, p = chunked(5_000, Y, P)
    slowed = p.map_blocks(slow, dtype=p.dtype)
    future = client.compute(fd.accumulate("binary_cross_entropy", y, slowed, sample_weight=W))
    time.sleep(1.0)
    pids = client.run(os.getpid)
    assert not future.done()
    os.kill(next(iter(pids.values())), signal.SIGKILL)  # one of ours, started by the cluster
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        acc = future.result(timeout=120)
    assert acc.count == N
    want = fastxent.binary_cross_entropy(Y, P, sample_weight=W)
    assert acc.result() == pytest.approx(want, rel=1e-15)


# --------------------------------------------------------------------------- labels by name


@pytest.mark.parametrize("dtype", ["str", "object", "category"])
def test_binary_labels_that_are_names(dtype):
    frame = table().assign(y=np.where(Y == 1, "yes", "no"))
    frame["y"] = frame["y"].astype(dtype)
    lazy = fd.accumulate_frame(
        "binary_cross_entropy", parts(frame, 0, 50_000, 50_000), "y", "p", positive="yes"
    )
    want = fastxent.binary_cross_entropy(Y, P)
    assert lazy.result().compute(scheduler="sync") == pytest.approx(want, rel=1e-15)
    lazy = fd.accumulate_frame(
        "binary_cross_entropy", parts(frame, 100_000), "y", "p", classes=["no", "yes"]
    )
    assert lazy.result().compute(scheduler="sync") == pytest.approx(want, rel=1e-15)


@pytest.mark.parametrize("classes", [None, ["c", "d", "b", "f", "g"], [5, 7, 1, 2, 3]])
def test_classes_that_are_names(classes):
    y, _, p = rows()
    names = ["cat", "dog", "bird", "fox", "owl"]
    labels = np.array(classes or names)[y]
    frame = pd.DataFrame(p, columns=names).assign(y=labels)
    lazy = fd.accumulate_frame(
        "categorical_cross_entropy", parts(frame, 100, 500), "y", names, classes=classes
    )
    want = fastxent.categorical_cross_entropy(y, p)
    assert lazy.result().compute(scheduler="sync") == pytest.approx(want, rel=1e-15)


def test_missing_and_wrong_names():
    names = np.where(Y == 1, "yes", "no").astype(object)
    names[70_000] = None
    frame = table().assign(y=names, known=np.arange(N) != 70_000)
    call = {"y_true": "y", "scores": "p", "positive": "yes"}

    def result(frame, **options):
        cut = parts(frame, 60_000, 40_000)
        lazy = fd.accumulate_frame("binary_cross_entropy", cut, **{**call, **options})
        return lazy.compute(scheduler="sync")

    with pytest.raises(ValueError, match=r"in partition 1: y_true\[10000\] is null"):
        result(frame)
    for more in ({"nan_policy": "omit"}, {"where": "known"}):
        acc = result(frame, **more)
        assert acc.count == N - 1
        want = fastxent.binary_cross_entropy(Y, P, where=np.arange(N) != 70_000)
        assert acc.result() == pytest.approx(want, rel=1e-15)
    names[70_000] = "maybe"
    text = (
        r"in partition 1: y_true\[10000\]: a third label 'maybe', besides 'no' and positive='yes'"
    )
    with pytest.raises(ValueError, match=text):
        result(table().assign(y=names))
    split = np.where(Y == 1, "yes", np.where(np.arange(N) < 60_000, "no", "never"))
    with pytest.raises(ValueError, match="a third label 'never', besides 'no' and positive='yes'"):
        result(table().assign(y=split))
    with pytest.raises(ValueError, match=r"labels 'no' and 'yes': name .* with positive="):
        result(table().assign(y=np.where(Y == 1, "yes", "no")), positive=None)
    with pytest.raises(ValueError, match="pass one of them"):
        result(frame, classes=["a", "b"])

"""logit_statistics: five numbers of each row, their limits, ties, options and refusals."""

import mpmath
import numpy as np
import pytest

import fastxent
from fastxent import ElementError, logit_statistics
from helpers.layouts import LAYOUTS
from helpers.memory import peak

INF, NAN = np.inf, np.nan
RNG = np.random.default_rng(19)
cross_entropy = fastxent.categorical_cross_entropy_with_logits


def exact(target, row):
    """The five numbers of a row, in 60 digits."""
    with mpmath.workdps(60):
        z = [mpmath.mpf(float(x)) for x in row]
        total = mpmath.fsum(map(mpmath.exp, z))
        lse = mpmath.log(total)
        entropy = mpmath.fsum(mpmath.exp(x) / total * (lse - x) for x in z if x > -mpmath.inf)
        greater = sum(x > z[target] for x in z)
        return float(lse - z[target]), float(lse), float(entropy), z.index(max(z)), greater


@pytest.mark.parametrize("dtype, rtol", [("f8", 4e-15), ("f4", 2e-7), ("f2", 2e-7)])
@pytest.mark.parametrize("width", [1e-6, 1.0, 30.0])
@pytest.mark.parametrize("shape", [(5, 1), (4, 2), (70, 31), (4, 33), (3, 1024), (2, 2500)])
def test_against_mpmath(shape, width, dtype, rtol):
    n, classes = shape
    z = (width * RNG.normal(size=shape)).astype(dtype)
    y = RNG.integers(0, classes, n)
    got = logit_statistics(y, z)
    want = [np.array(column) for column in zip(*map(exact, y, z), strict=True)]
    for name, array, numbers in zip(got._fields[:3], got[:3], want[:3], strict=True):
        np.testing.assert_allclose(array, numbers, rtol=rtol, atol=1e-40, err_msg=name)
        assert array.dtype == ("f4" if dtype == "f2" else dtype)
    np.testing.assert_array_equal(got.argmax, want[3])
    np.testing.assert_array_equal(got.rank, want[4])
    assert got.argmax.dtype == got.rank.dtype == np.int64


def test_confident_rows_lose_no_digit():
    """A loss and an entropy of 1e-15 are as accurate as others, in front and behind."""
    for z in ([40.0, 0.0, 1.0], [0.0, 1.0, 40.0], [-700.0, 3.0, -30.0]):
        y = int(np.argmax(z))
        nll, _, entropy, _, _ = exact(y, z)
        got = logit_statistics([y], [z])
        np.testing.assert_allclose([got.nll[0], got.entropy[0]], [nll, entropy], rtol=1e-14)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_any_axis(axis):
    z = RNG.normal(size=(4, 5, 6))
    moved = np.moveaxis(z, axis, -1)
    y = RNG.integers(0, moved.shape[-1], moved.shape[:-1])
    for got, want in zip(
        logit_statistics(y, z, axis=axis), logit_statistics(y, moved), strict=True
    ):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_every_layout_and_number_of_workers(layout, dtype):
    z, y = RNG.normal(0, 3, (300, 1025)).astype(dtype), RNG.integers(0, 1025, 300)
    want = logit_statistics(y, z)
    for got in (
        logit_statistics(y, LAYOUTS[layout](z)),
        logit_statistics(LAYOUTS[layout](y), z, workers=3),
    ):
        assert [a.tobytes() for a in got] == [a.tobytes() for a in want]


def test_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="no ml_dtypes: no bfloat16")
    z, y = RNG.normal(0, 3, (9, 70)).astype(ml_dtypes.bfloat16), RNG.integers(0, 70, 9)
    for got, want in zip(logit_statistics(y, z), logit_statistics(y, z.astype("f4")), strict=True):
        np.testing.assert_array_equal(got, want)


def test_it_is_the_loss():
    z, y = RNG.normal(0, 3, (50, 1000)), RNG.integers(0, 1000, 50)
    np.testing.assert_allclose(
        logit_statistics(y, z).nll, cross_entropy(y, z, reduction="none"), rtol=1e-14
    )


def test_ties():
    """The first of the largest is the argmax; a class as large as the target is not before it."""
    got = logit_statistics(
        [2, 0, 3], [[1.0, 1.0, 1.0, 0.0], [0.0, 2.0, 2.0, 0.0], [5.0, 5.0, 9.0, 5.0]]
    )
    assert got.argmax.tolist() == [0, 1, 2]
    assert got.rank.tolist() == [0, 2, 1]


def test_the_maximum_rises_from_block_to_block():
    z = np.arange(5000.0)[None] * 0.01
    for row in (z, z[:, ::-1], np.concatenate([np.full((1, 1024), -INF), z], 1)):
        want = exact(3000, row[0])
        for got, number in zip(logit_statistics([3000], row), want, strict=True):
            np.testing.assert_allclose(got[0], number, rtol=1e-14)
    got = logit_statistics([0], np.concatenate([np.zeros((1, 1024)), np.full((1, 2), 2000.0)], 1))
    np.testing.assert_allclose([got.nll[0], got.entropy[0]], [2000 + np.log(2), np.log(2)])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_limits(dtype):
    z = np.array([[0, INF, 1], [0, INF, 1], [0, -INF, 1], [0, -INF, -INF]], dtype)
    got = logit_statistics([1, 0, 1, 0], z)
    assert got.nll.tolist() == [0, INF, INF, 0]
    assert got.logsumexp[:2].tolist() == [INF, INF] and got.logsumexp[3] == 0
    assert got.entropy[[0, 1, 3]].tolist() == [0, 0, 0]
    assert got.argmax.tolist() == [1, 1, 2, 0]
    assert got.rank.tolist() == [0, 2, 2, 0]
    p = 1 / (1 + np.exp(-1))
    assert got.entropy[2] == pytest.approx(-p * np.log(p) - (1 - p) * np.log(1 - p))


@pytest.mark.parametrize("classes", [4, 1500])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_without_an_answer(dtype, classes):
    z = np.zeros((4, classes), dtype)
    z[2] = -INF
    with pytest.raises(ElementError, match=r"logits\[2\] has no finite maximum"):
        logit_statistics([0] * 4, z)
    z[2, :2] = INF
    with pytest.raises(ElementError, match=r"logits\[2\] has no finite maximum"):
        logit_statistics([0] * 4, z)
    z[2] = -INF
    z[2, [2, -1]] = NAN, 1
    with pytest.raises(ElementError, match=r"logits\[2, 2\] is NaN") as caught:
        logit_statistics([0] * 4, z)
    assert (caught.value.argument, caught.value.index) == ("logits", (2, 2))
    got = logit_statistics([0] * 4, z, where=[True, True, False, True])
    assert got.argmax.tolist() == [0, 0, -1, 0]


def test_rows_that_do_not_count():
    """They are 0, and -1 among the indices: no greedy choice. Nothing of them is looked at."""
    z, y = RNG.normal(size=(6, 9)), RNG.integers(0, 9, 6)
    want = logit_statistics(y, z)
    z[[1, 4]], y[1], y[4] = NAN, 99, -100
    mask = np.arange(6) != 1
    got = logit_statistics(y, z, ignore_index=-100, where=mask)
    counts = mask & (y != -100)
    for array, numbers, nothing in zip(got, want, (0, 0, 0, -1, -1), strict=True):
        np.testing.assert_array_equal(array, np.where(counts, numbers, nothing))


def test_empty():
    got = logit_statistics(np.empty((0, 3), int), np.empty((0, 3, 5)))
    assert [a.shape for a in got] == [(0, 3)] * 5


@pytest.mark.parametrize(
    "args, options, error, words",
    [
        (([3], [[0.0, 1.0]]), {}, ElementError, r"y_true\[0\] = 3 is not a valid class index"),
        (([-1], [[0.0, 1.0]]), {}, ElementError, r"y_true\[0\] = -1 is not a valid class index"),
        (([[0.0, 1.0]], [[0.0, 1.0]]), {}, ValueError, "takes class indices, of shape"),
        (([0.5], [[0.0, 1.0]]), {}, ElementError, r"y_true\[0\] = 0.5 is not a valid class index"),
        (([0], [["a", "b"]]), {}, TypeError, "logits has dtype"),
        (([0], [[0.0, 1.0]]), {"axis": 5}, ValueError, "axis=5"),
        (([0], [[0.0, 1.0]]), {"where": [1]}, TypeError, "where has dtype"),
        (([0], [[0.0, 1.0]]), {"workers": 0}, ValueError, "workers=0"),
    ],
)  # fmt: skip
def test_refusals(args, options, error, words):
    with pytest.raises(error, match=words):
        logit_statistics(*args, **options)


def test_memory():
    """Beyond the results, nothing of the logits' size."""
    z, y = np.zeros((200, 20_000), np.float16), np.zeros(200, int)
    assert peak(lambda: logit_statistics(y, z)) < 2**16


def test_recipes_of_the_guide():
    z, y = RNG.normal(0, 3, (200, 50)), RNG.integers(0, 50, 200)
    got = logit_statistics(y, z)
    assert ((got.rank == 0) == (got.argmax == y)).all()
    assert np.mean(got.rank < 5) == np.mean(
        [t in np.argsort(-row)[:5] for t, row in zip(y, z, strict=True)]
    )

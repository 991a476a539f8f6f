"""`out`: where the losses themselves are written, and what it refuses."""

import numpy as np
import pytest

from helpers.bad_input import good
from helpers.losses import BINARY, LOSSES, loss


def example(name):
    """Positions in two dimensions, where the loss has them."""
    y, scores = good(name, 24)
    return (y.reshape(6, 4), scores.reshape(6, 4)) if name in BINARY else (y, scores)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", LOSSES)
def test_out_is_filled_and_returned(name, dtype):
    y, scores = example(name)
    scores = scores.astype(dtype)
    want = loss(name)(y, scores, reduction="none")
    shape = want.shape
    wide = np.full((*shape[:-1], shape[-1] * 2), 7.0, want.dtype)
    outs = [np.empty(shape, want.dtype), np.empty(shape, want.dtype, order="F"), wide[..., ::2]]
    outs += [np.empty(shape, want.dtype)[::-1], np.empty(shape[::-1], want.dtype).T]
    for out in outs:
        assert loss(name)(y, scores, reduction="none", out=out) is out
        np.testing.assert_array_equal(out, want)
    assert (wide[..., 1::2] == 7).all()


@pytest.mark.parametrize("name", BINARY)
def test_out_may_be_the_scores_themselves(name):
    y, scores = example(name)
    want = loss(name)(y, scores, reduction="none")
    loss(name)(y, scores, reduction="none", out=scores)
    np.testing.assert_array_equal(scores, want)


@pytest.mark.parametrize("shift", [1, -1, 3])
@pytest.mark.parametrize("name", BINARY)
def test_an_out_that_overlaps_is_right_or_refused(name, shift):
    buffer = np.random.default_rng(5).random(5003)
    scores = buffer[3:5000]
    y = (np.arange(scores.size) % 2).astype(float)
    want = loss(name)(y, scores, reduction="none")
    out = buffer[3 + shift : 5000 + shift]
    try:
        loss(name)(y, scores, reduction="none", out=out)
    except ValueError:
        return
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("name", LOSSES)
def test_out_that_does_not_fit(name):
    y, scores = good(name, 4)
    read_only = np.empty(4)
    read_only.flags.writeable = False
    bad = {
        r"out.*\(5,\)": np.empty(5),
        r"out.*\(4, 1\)": np.empty((4, 1)),
        r"out.*float32": np.empty(4, np.float32),
        r"out.*int64": np.empty(4, np.int64),
        r"out.*>f8": np.empty(4, ">f8"),
        r"out.*read-only": read_only,
    }
    for match, out in bad.items():
        with pytest.raises(ValueError, match=match):
            loss(name)(y, scores, reduction="none", out=out)
    with pytest.raises(ValueError, match=r"out.*float64"):
        loss(name)(y, scores.astype(np.float32), reduction="none", out=np.empty(4))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_out_is_never_accepted_and_ignored(name, reduction):
    with pytest.raises(ValueError, match=r"out.*none"):
        loss(name)(*good(name, 4), reduction=reduction, out=np.empty(4))

"""Class indices that come as floats: the labels of boosted trees, a column that once held NaN."""

import numpy as np
import pytest

import fastxent
from helpers.losses import bfloat16, loss

RNG = np.random.default_rng(8)
Z = RNG.normal(0, 2, (1200, 5))
P = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
INDEX = RNG.integers(0, 5, 1200)
SCORES = {
    "categorical_cross_entropy": P,
    "categorical_cross_entropy_with_logits": Z,
    "categorical_focal_loss": Z,
    "kl_divergence": P,
}
DERIVATIVES = {
    "categorical_cross_entropy_value_and_grad": Z,
    "categorical_cross_entropy_grad_hess": Z,
    "categorical_focal_loss_value_and_grad": Z,
    "categorical_focal_loss_grad_hess": Z,
}
EVERY = {**SCORES, **DERIVATIVES}


def bits(result):
    parts = result if isinstance(result, tuple) else (result,)
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("name", EVERY)
def test_whole_floats_are_class_indices(name, dtype):
    y = INDEX.astype(bfloat16() if dtype == "bfloat16" else dtype)
    want = bits(loss(name)(INDEX, EVERY[name]))
    assert bits(loss(name)(y, EVERY[name])) == want
    assert bits(loss(name)(np.repeat(y, 2)[::2], np.asfortranarray(EVERY[name]))) == want


@pytest.mark.parametrize("bad", [0.5, 4.000001, -0.5, 5.0, -1.0, 1e300, -1e300, np.inf, 2.0**63])
@pytest.mark.parametrize("name", EVERY)
def test_other_floats_are_refused_by_their_place(name, bad):
    y = INDEX.astype(float)
    y[1100] = bad
    advice = "pass whole numbers from 0 to 4" if bad % 1 > 0 else "5 classes, 0 to 4"
    for policy in ("raise", "propagate", "omit"):
        with pytest.raises(fastxent.ElementError, match=advice) as raised:
            loss(name)(y, EVERY[name], nan_policy=policy)
        assert (raised.value.index, raised.value.kind) == ((1100,), "class_index")
        assert raised.value.value == bad


@pytest.mark.parametrize("name", SCORES)
def test_a_class_index_of_nan_follows_nan_policy(name):
    y, rest = INDEX.astype(float), np.arange(1200) != 70
    y[70] = np.nan
    scores = SCORES[name].copy()
    scores[70] = np.nan  # it is not read
    with pytest.raises(ValueError, match=r"^(y_true|q)\[70\] is NaN: .*nan_policy"):
        loss(name)(y, SCORES[name])
    for some in (SCORES[name], scores):
        each = loss(name)(y, some, nan_policy="propagate", reduction="none")
        assert np.flatnonzero(np.isnan(each)).tolist() == [70]
        assert np.isnan(loss(name)(y, some, nan_policy="propagate"))
        want = loss(name)(INDEX, SCORES[name], where=rest)
        assert loss(name)(y, some, nan_policy="omit") == want
        assert loss(name)(y, some, where=rest) == want


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_of_a_class_index_of_nan(name):
    y, rest = INDEX.astype(float), np.arange(1200) != 70
    y[70] = np.nan
    want = loss(name)(INDEX, Z, where=rest)
    for got, other in zip(loss(name)(y, Z, nan_policy="omit"), want, strict=True):
        np.testing.assert_allclose(got, other, rtol=1e-14)
    for got in loss(name)(y, Z, nan_policy="propagate")[name.endswith("grad") :]:
        assert np.flatnonzero(np.isnan(got).any(1)).tolist() == [70]
        assert np.isnan(got[70]).all()


@pytest.mark.parametrize("ignored", [-100, 4, -(2**63)])
def test_ignored_floats(ignored):
    y = INDEX.astype(float)
    y[::7] = ignored
    want = loss("categorical_cross_entropy")(INDEX, P, where=y != ignored)
    if ignored == -(2**63):
        with pytest.raises(ValueError, match=r"y_true\[0\] = -9"):
            loss("categorical_cross_entropy")(y, P, ignore_index=ignored)
    else:
        assert loss("categorical_cross_entropy")(y, P, ignore_index=ignored) == want


def test_an_accumulator_takes_them_batch_by_batch():
    total = fastxent.LossAccumulator("categorical_cross_entropy")
    total.update(INDEX.astype(np.float32), P)
    assert total.result() == fastxent.categorical_cross_entropy(INDEX, P)

"""Options in bulk: full blocks take a fast path, whatever the options, and must agree with the oracle."""

import itertools

import numpy as np
import pytest

from helpers import reference
from helpers.layouts import LAYOUTS
from helpers.losses import bfloat16, loss

N = 5 * 1024 + 77
BCE, BCE_LOGITS, GAUSSIAN = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "gaussian_nll",
)
RNG = np.random.default_rng(15)
Z = RNG.normal(0, 3, N)
HARD, SOFT = RNG.random(N) < 0.4, RNG.random(N)
WEIGHT, MASK, HOLES = RNG.random(N), RNG.random(N) < 0.7, RNG.random(N) < 0.01
SCALES = {"no": None, "one": np.array(2.5), "each": RNG.random(N) + 0.25}


def scores_of(name, dtype):
    return (1 / (1 + np.exp(-Z)) if name == BCE else Z).astype(dtype)


def options_of(name, *, masked, weighted, smoothed, scale, reduction):
    options = {"reduction": reduction}
    if masked:
        options["where"] = MASK
    if weighted:
        options["sample_weight"] = WEIGHT
    if smoothed:
        options["label_smoothing"] = 0.2
    if SCALES[scale] is not None:
        options["var" if name == GAUSSIAN else "pos_weight"] = SCALES[scale]
    return options


def assert_agrees(name, y, scores, options):
    want = getattr(reference, name)(y, scores, **options)
    got = loss(name)(y, scores, **options)
    double = scores.dtype == np.float64
    rtol = 1e-13 if double else 3e-7 if options["reduction"] == "none" else 3e-9
    np.testing.assert_allclose(got, want, rtol=rtol, atol=0 if double else 1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("labels", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("name", [BCE, BCE_LOGITS, GAUSSIAN])
def test_every_combination_of_options_in_full_blocks(name, labels, dtype):
    y, scores = labels.astype(dtype), scores_of(name, dtype)
    scales = ["no"] if name == BCE else list(SCALES)
    smoothings = [False] if name == GAUSSIAN else [False, True]
    for masked, weighted, smoothed, scale, reduction in itertools.product(
        [False, True], [False, True], smoothings, scales, ["mean", "none"]
    ):
        options = options_of(
            name,
            masked=masked,
            weighted=weighted,
            smoothed=smoothed,
            scale=scale,
            reduction=reduction,
        )
        assert_agrees(name, y, scores, options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [BCE, BCE_LOGITS, GAUSSIAN])
@pytest.mark.parametrize("where", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("in_labels", [False, True])
def test_nan_in_full_blocks(name, dtype, where, in_labels):
    """Omitted, NaN count as a mask; propagated, they make the mean NaN and leave the others alone."""
    y, scores = HARD.astype(dtype), scores_of(name, dtype)
    (y if in_labels else scores)[HOLES] = np.nan
    f = loss(name)
    kept = ~HOLES if where is None else ~HOLES & where
    clean = [np.where(HOLES, 0.5, a).astype(dtype) for a in (y, scores)]
    hard = [np.where(HOLES, 1, y).astype(dtype), clean[1]]
    omitted = f(y, scores, where=where, nan_policy="omit")
    assert omitted == f(*hard, where=kept)
    assert np.isnan(f(y, scores, where=where, nan_policy="propagate"))
    assert f(y, scores, where=kept, nan_policy="propagate") == omitted
    with pytest.raises(ValueError, match="nan"):
        f(y, scores, where=where)


@pytest.mark.parametrize("name", [BCE, BCE_LOGITS])
def test_what_a_mask_hides_may_be_anything(name):
    y, scores = HARD.astype(np.float64), scores_of(name, "float64")
    want = [
        loss(name)(y, scores, where=MASK),
        loss(name)(y, scores, where=MASK, sample_weight=WEIGHT),
    ]
    y[~MASK], scores[~MASK] = 7.0, np.inf
    weight = np.where(MASK, WEIGHT, np.nan)
    got = [
        loss(name)(y, scores, where=MASK),
        loss(name)(y, scores, where=MASK, sample_weight=weight),
    ]
    assert got == want


@pytest.mark.parametrize("miss", [0.3, 1e-3, 1e-6])
@pytest.mark.parametrize("positives", [1, 0.5, 0.001, 0])
def test_pos_weight_where_one_label_is_rare(positives, miss):
    """The product over the rare label, or over tiny losses, would lose digits."""
    y = RNG.random(N) < positives
    z = np.where(y, 1, -1) * -np.log(miss) * RNG.uniform(0.5, 1.5, N)
    z[::7] = 0
    for where in (None, MASK):
        options = {"pos_weight": 3.0, "where": where}
        want = reference.binary_cross_entropy_with_logits(y, z, **options)
        np.testing.assert_allclose(loss(BCE_LOGITS)(y, z, **options), want, rtol=1e-14)


@pytest.mark.parametrize("eps", [1e-3, 1e-6, 1e-10, 0.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_any_eps_clips_exactly(eps, dtype, smoothing):
    p = scores_of(BCE, dtype)
    p[::5], p[1::5] = (0, 1) if eps else (1e-4, 1 - 1e-4)
    options = {"eps": eps, "label_smoothing": smoothing}
    want = reference.binary_cross_entropy(HARD, p, **options)
    np.testing.assert_allclose(loss(BCE)(HARD, p, **options), want, rtol=1e-13)


@pytest.mark.parametrize("var", [1e-200, 1e-6, 1.0, 1e6, 1e200])
def test_variances_of_any_size(var):
    """Their product neither overflows nor loses what is near 1."""
    y = Z + np.sqrt(var) * RNG.normal(0, 1, N)
    each = var * (1 + 1e-9 * RNG.random(N))
    for v, target in itertools.product((each, var), (y, Z + 1e-9)):
        want = reference.gaussian_nll(target, Z, v)
        np.testing.assert_allclose(loss(GAUSSIAN)(target, Z, v), want, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_variances_of_half_precision(dtype):
    var = SCALES["each"].astype(bfloat16() if dtype == "bfloat16" else dtype)
    assert loss(GAUSSIAN)(SOFT, Z, var) == loss(GAUSSIAN)(SOFT, Z, var.astype(np.float64))


@pytest.mark.parametrize("layout", ["strided", "backwards", "swapped_strided"])
def test_masks_and_scales_of_any_layout(layout):
    moved = LAYOUTS[layout]
    for name, scale in itertools.product([BCE_LOGITS, GAUSSIAN], ["one", "each"]):
        key = "var" if name == GAUSSIAN else "pos_weight"
        want = loss(name)(HARD, Z, where=MASK, **{key: SCALES[scale]})
        options = {"where": moved(MASK), key: moved(SCALES[scale]) if scale == "each" else 2.5}
        assert loss(name)(moved(HARD), moved(Z), **options) == want


def test_gradients_of_masks_and_pos_weight():
    name = "binary_cross_entropy_value_and_grad"
    for where, scale in itertools.product([None, MASK], SCALES):
        options = {"where": where, "pos_weight": SCALES[scale]}
        value, grad = loss(name)(HARD, Z, **options)
        want = reference.binary_cross_entropy_value_and_grad(HARD, Z, **options)
        assert value == loss(BCE_LOGITS)(HARD, Z, **options)
        np.testing.assert_allclose(value, want[0], rtol=1e-14)
        np.testing.assert_allclose(grad, want[1], rtol=1e-13)

"""Layouts, dtypes and shapes: the same bits from every array that holds the same values."""

import math

import numpy as np
import pytest

import fastxent
from helpers.layouts import LAYOUTS
from helpers.losses import BINARY, CATEGORICAL, INTEGERS, LOGITS, LOSSES, bfloat16, loss

pytestmark = [pytest.mark.wheel, pytest.mark.arm64]

SIZES = [(1,), (7,), (1023,), (1025,), (5000,), (40, 61), (3, 5, 70), (2, 3, 1, 2, 90)]
CLASSES = [1, 2, 5, 31, 32, 33, 200, 1500]


def batch(name, shape, dtype="float64", classes=5):
    """Scores and hard labels; for categorical losses `shape` is that of the positions."""
    rng = np.random.default_rng(math.prod(shape))
    full = shape if name in BINARY else (*shape, classes)
    z = rng.normal(0, 3, full)
    y = rng.integers(0, 2 if name in BINARY else classes, shape)
    if name not in LOGITS:
        z = 1 / (1 + np.exp(-z)) if name in BINARY else np.exp(z) / np.exp(z).sum(-1)[..., None]
    return y, z.astype(dtype)


def all_reductions(name, y, scores, **options):
    """The bits of all three; the arrays in C order."""
    f = loss(name)
    values = [f(y, scores, reduction=r, **options) for r in ("mean", "sum", "none")]
    return [np.ascontiguousarray(v).tobytes() for v in values]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", LOSSES)
def test_layouts_of_the_scores(name, dtype):
    for shape in SIZES:
        y, scores = batch(name, shape, dtype)
        want = all_reductions(name, y, scores)
        for layout, made in LAYOUTS.items():
            assert all_reductions(name, y, made(scores)) == want, (shape, layout)


@pytest.mark.parametrize("name", LOSSES)
def test_layouts_of_the_labels(name):
    for shape in SIZES:
        y, scores = batch(name, shape)
        want = all_reductions(name, y, scores)
        for dtype in INTEGERS:
            for layout, made in LAYOUTS.items():
                got = all_reductions(name, made(y.astype(dtype)), scores)
                assert got == want, (shape, dtype, layout)


@pytest.mark.parametrize("name", LOSSES)
def test_layouts_of_everything_at_once(name):
    for shape in SIZES:
        y, scores = batch(name, shape)
        rng = np.random.default_rng(1)
        arrays = {"sample_weight": rng.integers(0, 5, shape) / 4, "where": rng.random(shape) < 0.7}
        want = all_reductions(name, y, scores, **arrays)
        for layout, made in LAYOUTS.items():
            moved = {k: made(a) for k, a in arrays.items()}
            assert all_reductions(name, made(y), made(scores), **moved) == want, (shape, layout)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", CATEGORICAL)
def test_layouts_of_rows(name, classes):
    for shape in [(1,), (63,), (130,), (9, 17)]:
        y, scores = batch(name, shape, "float32", classes)
        q = np.random.default_rng(2).dirichlet(np.ones(classes), shape)
        for labels in (y, q):
            want = all_reductions(name, labels, scores)
            for layout, made in LAYOUTS.items():
                assert all_reductions(name, labels, made(scores)) == want, (shape, layout)
                assert all_reductions(name, made(labels), scores) == want, (shape, layout)


@pytest.mark.parametrize("name", BINARY)
def test_the_label_dtype_changes_no_bit(name):
    for shape in SIZES:
        for dtype in ("float64", "float32", "float16", bfloat16()):
            y, scores = batch(name, shape, dtype)
            want = all_reductions(name, y.astype(bool), scores)
            for kind in (*INTEGERS, "float64", "float32", "float16", bfloat16()):
                assert all_reductions(name, y.astype(kind), scores) == want, (shape, dtype, kind)


@pytest.mark.parametrize("name", CATEGORICAL)
def test_the_dtype_of_a_distribution_changes_no_bit(name):
    for classes in CLASSES:
        y, scores = batch(name, (77,), "float32", classes)
        onehot = np.eye(classes)[y]
        want = all_reductions(name, onehot, scores)
        for kind in (bool, *INTEGERS, "float32", "float16", bfloat16()):
            assert all_reductions(name, onehot.astype(kind), scores) == want, (classes, kind)


@pytest.mark.parametrize("name", LOSSES)
def test_a_column_of_predict_proba(name):
    y, scores = batch(name, (3000,))
    table = np.stack([scores, scores, 1 - scores], axis=-1)
    assert all_reductions(name, y, table[..., 1]) == all_reductions(name, y, scores)


@pytest.mark.parametrize("name", LOSSES)
def test_stride_zero(name):
    y, scores = batch(name, (1,))
    scores, y = np.broadcast_to(scores, (2000, *scores.shape[1:])), np.broadcast_to(y, (2000,))
    want = all_reductions(name, np.array(y), np.array(scores))
    assert all_reductions(name, y, scores) == want


@pytest.mark.parametrize("name", LOSSES)
def test_lists_tuples_and_integers_become_float64(name):
    if name in BINARY:
        y, scores = [0, 1, 1], [1, 0, 1]
    else:
        y, scores = [0, 2], [[1, 0, 0], [0, 1, 0]]
    want = loss(name)(np.array(y), np.array(scores, np.float64), reduction="none")
    for kind in (list, tuple, *INTEGERS):
        given = kind(scores) if callable(kind) else np.array(scores, kind)
        got = loss(name)(y, given, reduction="none")
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_widened(name, dtype):
    dtype = bfloat16() if dtype == "bfloat16" else np.dtype(dtype)
    for shape in SIZES:
        y, scores = batch(name, shape, dtype)
        options = {} if name in LOGITS else {"eps": 1e-3}
        got = all_reductions(name, y, scores, **options)
        assert got == all_reductions(name, y, scores.astype(np.float32), **options), shape
        assert loss(name)(y, scores, reduction="none").dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", LOSSES)
def test_every_half_precision_number(name, dtype):
    """Subnormals and infinities among them: all 65,536 patterns but the NaN."""
    dtype = bfloat16() if dtype == "bfloat16" else np.dtype(dtype)
    scores = np.arange(65536, dtype=np.uint16).view(dtype)
    with np.errstate(invalid="ignore"):  # arm64 says so of a signalling NaN
        scores = scores[~np.isnan(scores.astype(np.float32))]
    if name not in LOGITS:
        scores = scores[(scores.astype(np.float32) >= 0) & (scores.astype(np.float32) <= 1)]
    y = np.arange(scores.size) % 2
    if name in CATEGORICAL:
        scores, y = np.stack([scores, scores[::-1]], -1), y[: len(scores)]
        fine = np.isfinite(scores.astype(np.float32)).any(1)
        scores, y = scores[fine], y[fine]
    options = {} if name in LOGITS else {"eps": 1e-3}
    got = loss(name)(y, scores, reduction="none", **options)
    want = loss(name)(y, scores.astype(np.float32), reduction="none", **options)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", LOSSES)
def test_empty(name):
    f = loss(name)
    for shape in [(0,), (0, 3), (3, 0), (2, 0, 4)]:
        scores = np.empty(shape if name in BINARY else (*shape, 5))
        y = np.empty(shape, int)
        assert math.isnan(f(y, scores))
        assert f(y, scores, reduction="sum") == 0.0
        each = f(y, scores, reduction="none")
        assert (each.shape, each.dtype) == (shape, np.float64)
        w = np.empty(shape[0])
        assert math.isnan(f(y, scores, sample_weight=w, where=np.empty(shape, bool)))
        out = np.empty(shape)
        assert f(y, scores, reduction="none", out=out) is out


@pytest.mark.parametrize("name", LOSSES)
def test_scalars_are_refused(name):
    for y, scores in [(1, 0.5), (np.int64(1), np.float64(0.5)), (np.array(1), np.array(0.5))]:
        with pytest.raises((ValueError, TypeError), match=r"dimension"):
            loss(name)(y, scores)


@pytest.mark.parametrize("name", LOSSES)
def test_up_to_numpys_64_dimensions(name):
    y, scores = batch(name, (24,))
    want = loss(name)(y, scores)
    shape = (1,) * 30 + (2, 3, 4) + (1,) * 30
    got = loss(name)(y.reshape(shape), scores.reshape(shape + scores.shape[1:]))
    assert got == want


@pytest.mark.parametrize("name", LOSSES)
def test_the_callers_arrays_are_left_alone(name):
    y, scores = batch(name, (3000,), "float32")
    w, mask = np.random.default_rng(0).random(3000), np.arange(3000) % 3 > 0
    arrays = [y, scores, w, mask]
    before = [a.tobytes() for a in arrays]
    for workers in (1, 2):
        loss(name)(y, scores, sample_weight=w, where=mask, workers=workers, reduction="none")
    scores[-1] = np.nan
    before[1] = scores.tobytes()
    with pytest.raises(ValueError, match="nan"):
        loss(name)(y, scores)
    assert [a.tobytes() for a in arrays] == before


@pytest.mark.parametrize("name", LOSSES)
def test_arrays_of_many_dimensions_in_any_order_of_axes(name):
    y, scores = batch(name, (3, 4, 5, 6))
    want = loss(name)(y, scores)
    rng = np.random.default_rng(0)
    for _ in range(10):
        order = rng.permutation(4)
        back = np.argsort(order)
        moved = np.ascontiguousarray(y.transpose(order)).transpose(back)
        more = tuple(order) + tuple(range(4, scores.ndim))
        turned = np.ascontiguousarray(scores.transpose(more)).transpose(np.argsort(more))
        assert loss(name)(moved, turned) == want


@pytest.mark.parametrize("name", LOSSES)
def test_weights_in_half_precision(name):
    """Weights, scales and class weights of any float: the bits of the same numbers in float64."""
    rng = np.random.default_rng(0)
    n = 3001
    y, z = batch(name, (n,), classes=6)
    options = {"sample_weight": rng.random(n)}
    if name in CATEGORICAL:
        options["class_weight"] = rng.random(6)
    elif name in LOGITS:
        options["pos_weight"] = rng.random(n)
    for dtype in ("float16", bfloat16()):
        given = {key: value.astype(dtype) for key, value in options.items()}
        wide = {key: value.astype("float64") for key, value in given.items()}
        for key in options:
            got = loss(name)(y, z, **{key: given[key]})
            assert got == loss(name)(y, z, **{key: wide[key]})
    var = (np.abs(z) + 0.5).astype(bfloat16())
    assert fastxent.gaussian_nll(z, z / 2, var) == fastxent.gaussian_nll(z, z / 2, var.astype("f8"))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", ["binary_cross_entropy_with_logits", "gaussian_nll"])
def test_one_number_for_all_gives_the_bits_of_an_array_of_it(name, soft):
    """As a number, repeated by strides of 0, and stored for each loss."""
    rng = np.random.default_rng(7)
    n = 3001
    labels = rng.random(n) if soft else rng.integers(0, 2, n).astype(float)
    scores = rng.normal(size=n)
    option = "var" if name == "gaussian_nll" else "pos_weight"
    kinds = 0.7, np.broadcast_to(0.7, n), np.full(n, 0.7), np.full(2 * n, 0.7)[::-2]
    results = [getattr(fastxent, name)(labels, scores, **{option: kind}) for kind in kinds]
    assert len(set(results)) == 1
    rows, one_row = (labels[:3000].reshape(3, -1), scores[:3000].reshape(3, -1)), np.full(1000, 0.7)
    results = [
        getattr(fastxent, name)(*rows, **{option: kind})
        for kind in (0.7, one_row, one_row[None], np.full((3, 1000), 0.7))
    ]
    assert len(set(results)) == 1

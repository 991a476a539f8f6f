"""Gradients: the value is the loss's own, any layout gives the same bits, `out` is written and may be
the logits themselves."""

import inspect
import tracemalloc

import numpy as np
import pytest

import fastxent
from helpers.layouts import LAYOUTS
from helpers.losses import LOGITS, bfloat16, loss

cce_grad = fastxent.categorical_cross_entropy_value_and_grad
cce_hess = fastxent.categorical_cross_entropy_grad_hess
VALUE = {name: name.replace("with_logits", "value_and_grad") for name in LOGITS}
PAIR = {name: name.replace("with_logits", "grad_hess") for name in LOGITS}
RNG = np.random.default_rng(4)


def example(name, n=3001, classes=6, dtype=np.float64):
    z = RNG.normal(0, 4, n if name.startswith("binary") else (n, classes))
    return RNG.integers(0, 2 if z.ndim == 1 else classes, n), z.astype(dtype)


# ------------------------------------------------------------------------- value, layout, out


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOGITS)
def test_the_value_is_the_losses_own(name, reduction):
    for n in (1, 33, 1025, 70_003):
        y, z = example(name, n)
        for dtype in (np.dtype("f8"), np.dtype("f4"), np.dtype("f2"), bfloat16()):
            for options in ({}, {"sample_weight": RNG.random(n)}, {"label_smoothing": 0.1}):
                scores = z.astype(dtype)
                got = loss(VALUE[name])(y, scores, reduction=reduction, **options)[0]
                want = loss(name)(y, scores, reduction=reduction, **options)
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", LOGITS)
def test_out_is_filled_and_returned(name, dtype):
    y, z = example(name)
    z = z.astype(dtype)
    value, want = loss(VALUE[name])(y, z)
    kind, shape = want.dtype, want.shape
    wide = np.full((*shape[:-1], shape[-1] * 2), 7, kind)
    for out in (
        np.empty(shape, kind),
        np.empty(shape, kind, "F"),
        wide[..., ::2],
        np.empty(shape, kind)[::-1],
    ):
        got_value, got = loss(VALUE[name])(y, z, out=out)
        assert got is out
        assert got_value == value
        np.testing.assert_array_equal(out, want)
    assert (wide[..., 1::2] == 7).all()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", LOGITS)
def test_in_place(name, dtype, reduction):
    """Whatever is read twice is read before it is written over; weights and masks too."""
    y, z = example(name)
    w, mask = RNG.random(len(y)), RNG.random(len(y)) < 0.8
    for options in (
        {},
        {"sample_weight": w},
        {"where": mask},
        {"label_smoothing": 0.1, "workers": 2},
    ):
        for made in (
            np.ascontiguousarray,
            *(LAYOUTS[k] for k in ("strided", "fortran", "backwards")),
        ):
            scores = made(z.astype(dtype))
            value, want = loss(VALUE[name])(y, scores, reduction=reduction, **options)
            got_value, got = loss(VALUE[name])(
                y, scores, reduction=reduction, out=scores, **options
            )
            assert got is scores
            np.testing.assert_array_equal(got_value, value)
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("classes", [2, 10, 33, 1000, 5003])
def test_rows_in_place(classes):
    for dtype in ("float64", "float32"):
        z = RNG.normal(0, 3, (140_000 // classes, classes)).astype(dtype)
        y = RNG.integers(0, classes, len(z))
        for labels in (y, RNG.dirichlet(np.ones(classes), len(z)).astype(dtype)):
            want = cce_grad(labels, z)[1]
            scores = z.copy()
            cce_grad(labels, scores, out=scores)
            np.testing.assert_array_equal(scores, want)


def halves():
    return np.dtype("f2"), bfloat16()


@pytest.mark.parametrize("classes", [2, 10, 33, 200, 5003])
@pytest.mark.parametrize("name", LOGITS)
def test_half_precision(name, classes):
    """An output of the scores' own half precision holds the float32 results, rounded once."""
    y, z = example(name, 150_000 // classes, classes)
    w = RNG.random(len(y)) * np.where(RNG.random(len(y)) < 0.1, 1e-9, 1.0)
    z[::5] *= 40
    for dtype in halves():
        scores = z.astype(dtype)
        for options in ({}, {"label_smoothing": 0.1}, {"sample_weight": w}, {"workers": 2}):
            value, want = loss(VALUE[name])(y, scores, **options)
            assert want.dtype == np.float32
            wide = np.empty((*z.shape[:-1], z.shape[-1] * 2), dtype)[..., ::2]
            own = scores.copy()
            for out in (np.empty_like(scores), np.empty_like(scores, order="F"), wide, own):
                read = own if out is own else scores
                got_value, got = loss(VALUE[name])(y, read, out=out, **options)
                assert got is out
                assert got_value == value
                np.testing.assert_array_equal(bits_of(got), bits_of(want.astype(dtype)))
        pair = loss(PAIR[name])(y, scores)
        got = loss(PAIR[name])(y, scores, out=(np.empty_like(scores), np.empty_like(scores)))
        for a, b in zip(got, pair, strict=True):
            np.testing.assert_array_equal(bits_of(a), bits_of(b.astype(dtype)))


def bits_of(halves):
    return np.ascontiguousarray(halves).view(np.uint16)


def test_half_precision_rounds_as_numpy():
    """Every float16 and bfloat16, the middles between two, their neighbours, and what overflows."""
    magnitudes = np.arange(2**16, dtype=np.uint32) << 16
    steps = np.arange(2**16, dtype=np.uint16).view("f2").astype("f4").view(np.uint32)
    near = np.array([-1, 0, 1, 2**11, 2**12 - 1, 2**12, 2**12 + 1, 2**13], np.int64)
    grid = np.concatenate([magnitudes, magnitudes + 0x7FFF, magnitudes + 0x8000, steps])
    values = (grid[:, None] + near).astype(np.uint32).ravel().view("f4")
    values = values[np.abs(values) < 1e20]  # beyond, the weight is no factor of the fast path
    weights = np.abs(values)
    for dtype in halves():
        for y in (0, 1):  # the gradient is the weight, times 1 or -1
            labels = np.full(len(values), y)
            logits = np.full(len(values), -200.0 if y else 200.0, dtype)
            got = np.empty_like(logits)
            fastxent.binary_cross_entropy_value_and_grad(
                labels, logits, sample_weight=weights, reduction="sum", out=got
            )
            with np.errstate(over="ignore"):
                want = (-weights if y else weights).astype(dtype)
            np.testing.assert_array_equal(got.astype("f4"), want.astype("f4"))


@pytest.mark.parametrize("name", LOGITS)
def test_half_precision_of_nan(name):
    y, z = example(name, 999)
    for dtype in halves():
        scores = z.astype(dtype)
        scores[3] = np.nan
        got = np.empty_like(scores)
        loss(VALUE[name])(y, scores, nan_policy="propagate", reduction="sum", out=got)
        assert np.isnan(got[3].astype("f4")).all()
        assert not np.isnan(got[4:].astype("f4")).any()


def test_half_precision_of_the_scores_alone():
    z = np.zeros(5, "f4")
    with pytest.raises(ValueError, match=r"out has shape .* and dtype float16: .* dtype float32"):
        fastxent.binary_cross_entropy_value_and_grad(z, z, out=np.empty(5, "f2"))


@pytest.mark.parametrize("name", LOGITS)
def test_pairs_are_filled_and_returned(name):
    y, z = example(name)
    want = loss(PAIR[name])(y, z)
    grad, hess = np.empty_like(z), np.empty_like(z, order="F")
    got = loss(PAIR[name])(y, z, out=(grad, hess))
    assert got[0] is grad
    assert got[1] is hess
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    scores = z.copy()
    loss(PAIR[name])(y, scores, out=(scores, hess))
    np.testing.assert_array_equal(scores, want[0])
    np.testing.assert_array_equal(hess, want[1])


@pytest.mark.parametrize("name", LOGITS)
def test_pairs_weigh_by_the_third_argument(name):
    """As boosted trees pass it; not divided by the sum of the weights."""
    y, z = example(name)
    w = RNG.random(len(y))
    plain = loss(PAIR[name])(y, z)
    for weighted in (loss(PAIR[name])(y, z, w), loss(PAIR[name])(y, z, sample_weight=w)):
        for a, b in zip(weighted, plain, strict=True):
            np.testing.assert_allclose(a, b * (w if z.ndim == 1 else w[:, None]), rtol=2e-15)
    grad = loss(VALUE[name])(y, z, reduction="none")[1]
    np.testing.assert_allclose(plain[0], grad, rtol=2e-15)


@pytest.mark.parametrize("workers", [2, 3, -1])
@pytest.mark.parametrize("name", LOGITS)
def test_workers_change_nothing(name, workers):
    y, z = example(name, 1_100_000 if name in LOGITS[0] else 120_000, 10, np.float32)
    want = loss(VALUE[name])(y, z)
    got = loss(VALUE[name])(y, z, workers=workers)
    assert got[0] == want[0] == loss(name)(y, z)
    np.testing.assert_array_equal(got[1], want[1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", LOGITS)
def test_layouts_change_nothing(name, dtype, layout):
    for classes in (5, 40):
        y, z = example(name, classes=classes, dtype=dtype)
        want = (*loss(VALUE[name])(y, z), *loss(PAIR[name])(y, z))
        z = LAYOUTS[layout](z)
        got = (*loss(VALUE[name])(y, z), *loss(PAIR[name])(y, z))
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [4, 50, 5000])
@pytest.mark.parametrize("name", LOGITS)
def test_in_place_of_any_length_and_order(name, classes, dtype, order):
    y, z = example(name, 200 if classes > 100 else 3000, classes, dtype)
    z[0] = 500  # and a row for the general path
    z[1, ...] = -500 if z.ndim == 1 else np.arange(z.shape[1]) * 900.0
    z = np.array(z, order=order)
    for options in ({}, {"label_smoothing": 0.1}, {"sample_weight": np.arange(len(y)) % 3}):
        want = loss(VALUE[name])(y, z, **options)
        own = z.copy(order="K")
        got = loss(VALUE[name])(y, own, out=own, **options)
        assert got[1] is own
        assert got[0] == want[0]
        np.testing.assert_array_equal(own, want[1])
        pair = loss(PAIR[name])(y, z, **options)
        own = z.copy(order="K")
        hess = loss(PAIR[name])(y, own, out=(own, np.empty_like(z)), **options)[1]
        np.testing.assert_array_equal(own, pair[0])
        np.testing.assert_array_equal(hess, pair[1])


@pytest.mark.parametrize("name", LOGITS)
def test_an_error_in_place_leaves_the_logits_as_they_were(name):
    y, z = example(name)
    y[-1] = 99
    before = z.copy()
    with pytest.raises(ValueError, match="99"):
        loss(VALUE[name])(y, z, out=z)
    with pytest.raises(ValueError, match="99"):
        loss(PAIR[name])(y, z, out=(np.empty_like(z), z))
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize("name", LOGITS)
def test_in_place_takes_no_memory(name):
    y, z = example(name, 100_000, 10)
    w = np.ones(len(y))
    loss(VALUE[name])(y, z.copy(), out=np.empty_like(z))
    tracemalloc.start()
    loss(VALUE[name])(y, z, out=z, sample_weight=w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [3, 32, 33, 150, 1030, 2500])
def test_soft_labels_in_place(classes, dtype):
    """Over the logits or over the labels; rows that take the general path among the others."""
    z = RNG.normal(0, 3, (150, classes)).astype(dtype)
    q = RNG.dirichlet(np.ones(classes), 150).astype(dtype)
    z[3, 1] = z[70, 0] = -np.inf
    q[3, 1], z[140] = 0.5, 3e30 * np.arange(classes)
    index = RNG.integers(0, classes, 150)
    mask = RNG.random(150) < 0.8
    g = fastxent.categorical_cross_entropy_value_and_grad
    for y, options in (
        (q, {}),
        (q, {"label_smoothing": 0.1, "where": mask}),
        (index, {"label_smoothing": 0.1}),
        (np.where(mask, index, -100), {"ignore_index": -100}),
        (index, {"label_smoothing": 0.1, "nan_policy": "propagate"}),
    ):
        for reduction in ("mean", "sum", "none"):
            how = {**options, "reduction": reduction}
            value, grad = g(y, z, **how)
            for over in (z.copy(), q.copy()):
                logits = over if over.tobytes() == z.tobytes() else z
                labels = over if y is q and logits is z else y
                got, out = g(labels, logits, out=over, **how)
                assert out is over
                np.testing.assert_array_equal(got, value)
                np.testing.assert_array_equal(out, grad)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [3, 33, 150, 1030])
def test_what_rows_left_out_hold_is_not_read(classes, dtype):
    z, mask = RNG.normal(0, 3, (150, classes)).astype(dtype), RNG.random(150) < 0.6
    q, y = RNG.dirichlet(np.ones(classes), 150).astype(dtype), RNG.integers(0, classes, 150)
    bad_z, bad_q, bad_y = z.copy(), q.copy(), y.copy()
    bad_z[~mask], bad_q[~mask], bad_y[~mask] = np.nan, np.nan, -100
    for label, bad, how in (
        (y, bad_y, {}), (y, bad_y, {"label_smoothing": 0.1}), (q, bad_q, {}),
        (q, bad_q, {"label_smoothing": 0.1}),
    ):  # fmt: skip
        for name in ("with_logits", "value_and_grad", "grad_hess"):
            f = getattr(fastxent, f"categorical_cross_entropy_{name}")
            want, got = f(label, z, where=mask, **how), f(bad, bad_z, where=mask, **how)
            np.testing.assert_array_equal(
                got[-1] if name[0] != "w" else got, want[-1] if name[0] != "w" else want
            )
            if bad is bad_y:
                same = f(bad, bad_z, ignore_index=-100, **how)
                np.testing.assert_array_equal(
                    same[0] if name[0] != "w" else same, want[0] if name[0] != "w" else want
                )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_class_indices_may_be_floats_for_boosted_trees(dtype):
    y, z = example(LOGITS[1])
    want = cce_hess(y, z)
    got = cce_hess(y.astype(dtype), np.asfortranarray(z))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.flags.f_contiguous
    with pytest.raises(ValueError, match=r"y_true\[0\] = .* pass whole numbers from 0 to 5"):
        cce_hess(y + 0.5, z)


# ------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", LOGITS)
def test_outputs_that_do_not_fit(name):
    y, z = example(name, 8)
    f, g = loss(VALUE[name]), loss(PAIR[name])
    read_only = np.empty_like(z)
    read_only.flags.writeable = False
    for bad in (np.empty(z.shape, np.float32), np.empty(5), np.empty((*z.shape, 1)), read_only):
        with pytest.raises(ValueError, match="out"):
            f(y, z, out=bad)
        with pytest.raises(ValueError, match="out"):
            g(y, z, out=(bad, np.empty_like(z)))
        with pytest.raises(ValueError, match="out"):
            g(y, z, out=(np.empty_like(z), bad))
    for bad in ([0.0] * 8, 3, (np.empty_like(z),) * 3):
        with pytest.raises((TypeError, ValueError), match="out"):
            f(y, z, out=bad)
        with pytest.raises((TypeError, ValueError), match="out"):
            g(y, z, out=bad)
    both = np.empty_like(z)
    with pytest.raises(ValueError, match="out"):
        g(y, z, out=(both, both))


@pytest.mark.parametrize("name", LOGITS)
def test_an_out_that_overlaps_is_right_or_refused(name):
    buffer = RNG.normal(size=6 * 2000 + 6)
    shape = (12_000,) if name.startswith("binary") else (2000, 6)
    z, out = buffer[:-6].reshape(shape), buffer[6:].reshape(shape)
    y = RNG.integers(0, 2, shape[0])
    want = loss(VALUE[name])(y, z)[1]
    try:
        loss(VALUE[name])(y, z, out=out)
    except ValueError as error:
        assert "out" in str(error)  # noqa: PT017
    else:
        np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("name", LOGITS)
def test_pairs_take_no_reduction(name):
    y, z = example(name, 8)
    with pytest.raises(TypeError, match="reduction"):
        loss(PAIR[name])(y, z, reduction="mean")


@pytest.mark.parametrize("name", LOGITS)
def test_bad_input_is_named(name):
    for which in (VALUE[name], PAIR[name]):
        y, z = example(name)
        y[2000] = 7
        with pytest.raises(ValueError, match=r"y_true\[2000\].*7"):
            loss(which)(y, z)
        y, z = example(name)
        z[2000] = np.nan
        with pytest.raises(ValueError, match=r"logits\[2000.*nan"):
            loss(which)(y, z)
        with pytest.raises(ValueError, match=r"y_true.*shape"):
            loss(which)(y[:5], z)
        with pytest.raises(ValueError, match=r"sample_weight\[0\]"):
            loss(which)(y, np.zeros_like(z), sample_weight=np.full(len(y), -1.0))


@pytest.mark.parametrize("name", LOGITS)
def test_the_signatures_are_those_of_the_losses(name):
    of_loss = inspect.signature(loss(name)).parameters
    of_value = inspect.signature(loss(VALUE[name])).parameters
    assert list(of_value) == list(of_loss)
    assert [p.default for p in of_value.values()] == [p.default for p in of_loss.values()]

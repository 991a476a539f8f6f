"""Focal losses: their definition at 60 digits, its differences, and every option."""

import itertools

import mpmath
import numpy as np
import pytest
from mpmath import mpf

import fastxent
from helpers.layouts import LAYOUTS
from helpers.losses import bfloat16, loss
from helpers.reference_mpmath import ulps

KINDS = ("binary", "categorical")
GAMMAS = (0.0, 0.5, 1.0, 2.0, 3.7)
STEP = mpf(10) ** -20


def example(kind, n=40, classes=5, dtype=np.float64, spread=4, soft=False, seed=3):
    rng = np.random.default_rng(seed)
    if kind == "binary":
        y = rng.random(n) if soft else rng.integers(0, 2, n)
        return y, rng.normal(0, spread, n).astype(dtype)
    y = rng.dirichlet(np.ones(classes), n) if soft else rng.integers(0, classes, n)
    return y, rng.normal(0, spread, (n, classes)).astype(dtype)


def value(kind, *args, **options):
    return loss(f"{kind}_focal_loss")(*args, **options)


def value_and_grad(kind, *args, **options):
    return loss(f"{kind}_focal_loss_value_and_grad")(*args, **options)


def grad_hess(kind, *args, **options):
    return loss(f"{kind}_focal_loss_grad_hess")(*args, **options)


# ---- the definition, at 60 digits --------------------------------------------------------------


def exact_binary(y, z, gamma, alpha):
    """As Keras and torchvision define it."""
    y, z = mpf(float(y)), mpf(z)
    p, q = 1 / (1 + mpmath.exp(-z)), 1 / (1 + mpmath.exp(z))
    entropy = (-y * mpmath.log(p) if y else 0) - ((1 - y) * mpmath.log(q) if y != 1 else 0)
    balance = 1 if alpha is None else mpf(alpha) * y + (1 - mpf(alpha)) * (1 - y)
    return balance * (y * q + (1 - y) * p) ** mpf(gamma) * entropy


def exact_row(y, row, gamma, alpha):
    """As Keras defines it; y is a class or a distribution."""
    q = (
        [mpf(int(i == y)) for i in range(len(row))]
        if np.ndim(y) == 0
        else [mpf(float(v)) for v in y]
    )
    if alpha is not None:
        q = [a * mpf(float(b)) for a, b in zip(q, alpha, strict=True)]
    powers = [mpmath.exp(z) for z in row]
    total = mpmath.fsum(powers)
    return mpmath.fsum(
        -w * ((total - e) / total) ** mpf(gamma) * mpmath.log(e / total)
        for w, e in zip(q, powers, strict=True)
        if w
    )


def exact(kind, y, z, gamma, alpha):
    """Loss, gradient and the diagonal of the Hessian of each: by central differences."""
    with mpmath.workdps(180):
        of = exact_binary if kind == "binary" else exact_row
        losses, first, second = [], [], []
        for label, scores in zip(y, z, strict=True):
            at = [mpf(float(v)) for v in np.atleast_1d(scores)]

            def f(shifted, label=label):
                return of(label, shifted if kind != "binary" else shifted[0], gamma, alpha)

            here = f(at)
            losses.append(here)
            for j in range(len(at)):
                up, down = list(at), list(at)
                up[j] += STEP
                down[j] -= STEP
                above, below = f(up), f(down)
                first.append((above - below) / (2 * STEP))
                second.append((above - 2 * here + below) / STEP**2)
        return losses, first, second


@pytest.mark.parametrize("spread", [0.5, 6, 25])
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("kind", KINDS)
def test_hard_labels_against_mpmath(kind, gamma, spread):
    """Each power of 1 - p doubles what is rounded in it: some 2 ulp of it, gamma times."""
    y, z = example(kind, 25, spread=spread)
    alpha = None if kind == "binary" else np.linspace(0.1, 0.9, 5)
    losses, first, second = exact(kind, y, z, gamma, alpha)
    most = 4 + 2 * gamma
    options = {"gamma": gamma, "alpha": alpha}
    assert ulps(value(kind, y, z, reduction="none", **options), losses, "float64") <= most
    grad, hess = grad_hess(kind, y, z, hess_floor=-np.inf, **options)
    if kind == "binary":
        assert ulps(grad, first, "float64") <= most
    else:  # by lanes of a row, whose entries are of very different sizes
        np.testing.assert_allclose(grad.ravel(), np.array(first, float), rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(hess.ravel(), np.array(second, float), rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("alpha", [None, "some"])
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("kind", KINDS)
def test_soft_labels_against_mpmath(kind, gamma, alpha):
    y, z = example(kind, 25, soft=True)
    if alpha:
        alpha = 0.25 if kind == "binary" else np.linspace(0.1, 0.9, 5)
    losses, first, second = exact(kind, y, z, gamma, alpha)
    options = {"gamma": gamma, "alpha": alpha}
    got = value(kind, y, z, reduction="none", **options)
    np.testing.assert_allclose(got, np.array(losses, float), rtol=4e-15)
    grad, hess = grad_hess(kind, y, z, hess_floor=-np.inf, **options)
    np.testing.assert_allclose(grad.ravel(), np.array(first, float), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(hess.ravel(), np.array(second, float), rtol=1e-12, atol=1e-15)


def test_what_is_nearly_certain():
    """1 - p has its own exponential: a loss of 1e-104 is not 0."""
    got = fastxent.binary_focal_loss([1, 0, 1], [80.0, -80.0, 700.0], reduction="none")
    with mpmath.workdps(60):
        want = [exact_binary(1, z, 2, None) for z in (80, 80, 700)]
    assert got[0] > 0 and ulps(got[:2], want[:2], "float64") <= 8
    assert got[2] == 0
    rows = fastxent.categorical_focal_loss([0], [[80.0, 0.0]], reduction="none")
    assert ulps(rows, want[:1], "float64") <= 8


# ---- what it is in other words -----------------------------------------------------------------


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_gamma_0_is_the_cross_entropy(kind, dtype, soft):
    y, z = example(kind, 3000, 7, dtype, soft=soft)
    plain = f"{kind}_cross_entropy"
    rtol = 4e-15 if dtype == "float64" else 4e-7
    for reduction in ("mean", "sum", "none"):
        want = loss(plain + "_value_and_grad")(y, z, reduction=reduction)
        got = value_and_grad(kind, y, z, gamma=0, reduction=reduction)
        size = np.abs(want[1]).max()
        np.testing.assert_allclose(got[0], want[0], rtol=rtol if reduction == "none" else 1e-9)
        np.testing.assert_allclose(got[1], want[1], rtol=rtol, atol=rtol * size)
    want = loss(plain + "_grad_hess")(y, z)
    got = grad_hess(kind, y, z, gamma=0, hess_floor=0)
    np.testing.assert_allclose(got[1], want[1], rtol=rtol * 4)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_two_classes_are_two_outcomes(gamma):
    y, z = example("binary")
    rows = np.stack([np.zeros_like(z), z], axis=1)
    options = {"gamma": gamma, "reduction": "none"}
    losses, grad = value_and_grad("categorical", y, rows, alpha=[0.75, 0.25], **options)
    want = value_and_grad("binary", y, z, alpha=0.25, **options)
    np.testing.assert_allclose(losses, want[0], rtol=1e-14)
    np.testing.assert_allclose(grad[:, 1], want[1], rtol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hard_label_may_be_written_as_a_soft_one(kind):
    y, z = example(kind)
    soft = y.astype(float) if kind == "binary" else np.eye(5)[y]
    for gamma in GAMMAS:
        want = value_and_grad(kind, y, z, gamma=gamma, alpha=0.3, reduction="none")
        got = value_and_grad(kind, soft, z, gamma=gamma, alpha=0.3, reduction="none")
        np.testing.assert_allclose(got[0], want[0], rtol=1e-14)
        np.testing.assert_allclose(got[1], want[1], rtol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_smoothing_changes_the_label(kind):
    """As in Keras: first the label is smoothed, then everything is made of it."""
    y, z = example(kind)
    hard = y if kind == "binary" else np.eye(5)[y]
    smooth = hard * 0.9 + 0.1 / (2 if kind == "binary" else 5)
    want = value_and_grad(kind, smooth, z, alpha=0.3)
    got = value_and_grad(kind, y, z, alpha=0.3, label_smoothing=0.1)
    assert got[0] == pytest.approx(want[0], rel=1e-14)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-12, atol=1e-16)


# ---- options -------------------------------------------------------------------------------


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("gamma", [2.0, 1.5])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_masks_and_reductions(kind, gamma, soft):
    y, z = example(kind, 3000, soft=soft)
    rng = np.random.default_rng(0)
    weight, mask = rng.random(3000), rng.random(3000) < 0.7
    alpha = 0.25 if kind == "binary" else rng.random(5)
    options = {"gamma": gamma, "alpha": alpha}
    each, grads = value_and_grad(kind, y, z, reduction="none", **options)
    z[~mask] = np.nan  # never looked at
    more = options | {"sample_weight": weight, "where": mask}
    kept = np.where(mask, weight, 0)
    by_row = kept.reshape(-1, *[1] * (z.ndim - 1))
    want = kept @ each / kept.sum()
    for policy in ("raise", "propagate", "omit"):
        got, grad = value_and_grad(kind, y, z, nan_policy=policy, **more)
        assert got == value(kind, y, z, nan_policy=policy, **more)
        assert got == pytest.approx(want, rel=1e-13)
        np.testing.assert_allclose(grad, by_row * grads / kept.sum(), rtol=1e-12, atol=1e-18)
    got = value(kind, y, z, reduction="none", **more)
    np.testing.assert_allclose(got, kept * each, rtol=1e-14)
    assert value(kind, y, z, reduction="sum", **more) == pytest.approx(kept @ each, rel=1e-13)
    in_place = z.copy()
    again = value_and_grad(kind, y, in_place, out=in_place, nan_policy="omit", **more)
    np.testing.assert_array_equal(again[1], grad)


def test_alpha_has_no_part_in_the_denominator_and_class_weight_has():
    y, z = example("categorical")
    weights = np.array([1.0, 2.0, 0.0, 0.5, 3.0])
    each = value("categorical", y, z, reduction="none")
    of_class = weights[y]
    got = value("categorical", y, z, class_weight=weights)
    assert got == pytest.approx(of_class @ each / of_class.sum(), rel=1e-13)
    got = value("categorical", y, z, alpha=weights)
    assert got == pytest.approx(of_class @ each / len(y), rel=1e-13)
    got = value("categorical", y, z, alpha=0.25)
    assert got == pytest.approx(0.25 * each.mean(), rel=1e-13)


def test_ignored_labels_and_an_axis():
    y, z = example("categorical", 60)
    turned = z.reshape(6, 10, 5).transpose(2, 0, 1)
    labels = y.reshape(6, 10)
    want = value_and_grad("categorical", y[y != 3], z[y != 3])
    got = value_and_grad("categorical", labels, turned, axis=0, ignore_index=3)
    assert got[0] == pytest.approx(want[0], rel=1e-14)
    grad = got[1].transpose(1, 2, 0).reshape(60, 5)
    np.testing.assert_allclose(grad[y != 3], want[1], rtol=1e-13)
    assert not grad[y == 3].any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_floor_of_the_hessian(kind):
    y, z = example(kind, 3000, spread=6)
    _, bare = grad_hess(kind, y, z, hess_floor=-np.inf)
    assert (bare < 0).any()
    weight = np.arange(3000) % 3
    by_row = weight.reshape(-1, *[1] * (z.ndim - 1))
    for floor in (1e-16, 0.01):
        np.testing.assert_array_equal(
            grad_hess(kind, y, z, hess_floor=floor)[1], np.maximum(bare, floor)
        )
        _, hess = grad_hess(kind, y, z, weight, hess_floor=floor)
        np.testing.assert_allclose(hess, by_row * np.maximum(bare, floor), rtol=1e-15)
    assert (grad_hess(kind, y, z)[1] >= 1e-16).all()


@pytest.mark.parametrize("classes", [3, 40, 2100])
def test_rows_sum_to_nought(classes):
    y, z = example("categorical", 30, classes)
    grad = value_and_grad("categorical", y, z)[1]
    assert (np.abs(grad.astype(np.longdouble).sum(1)) <= 1e-15 * np.abs(grad).sum(1)).all()
    single = value_and_grad("categorical", y, z.astype(np.float32))[1]
    np.testing.assert_allclose(single, grad, rtol=1e-4, atol=1e-6 * np.abs(grad).max())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_layouts_and_workers_change_nothing(kind, dtype, layout):
    for classes, gamma in ((5, 2.0), (40, 2.5)):
        y, z = example(kind, 1500, classes, dtype)
        options = {"gamma": gamma, "alpha": 0.25}
        want = (*value_and_grad(kind, y, z, **options), *grad_hess(kind, y, z, **options))
        z = LAYOUTS[layout](z)
        got = (
            *value_and_grad(kind, y, z, workers=3, **options),
            *grad_hess(kind, y, z, workers=3, **options),
        )
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_counts_as_float32(kind):
    y, z = example(kind)
    for dtype in ("float16", bfloat16()):
        half = z.astype(dtype)
        got = value_and_grad(kind, y, half, reduction="none")
        want = value_and_grad(kind, y, half.astype(np.float32), reduction="none")
        for a, b in zip(got, want, strict=True):
            assert a.dtype == np.float32
            np.testing.assert_array_equal(a, b)


# ---- limits and errors ------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", GAMMAS)
def test_limits(gamma):
    inf = np.inf
    z = [inf, -inf, inf, -inf]
    losses, grad = value_and_grad("binary", [1, 0, 0, 1], z, gamma=gamma, reduction="none")
    assert losses.tolist() == [0, 0, inf, inf]
    assert grad.tolist() == [0, 0, 1, -1]
    rows = [[inf, 0, 1], [-inf, 0, 0], [inf, 0, 0], [0, -inf, 3]]
    losses, grad = value_and_grad("categorical", [0, 0, 1, 1], rows, gamma=gamma, reduction="none")
    assert losses.tolist() == [0, inf, inf, inf]
    assert np.isfinite(grad).all() and grad[1].tolist() == [-1, 0.5, 0.5]
    far = [[1000.0, 0.0], [2000.0, 1999.0], [-3000.0, 3000.0]]
    losses = value("categorical", [0, 0, 0], far, gamma=gamma, reduction="none")
    want = value("categorical", [0], [[1.0, 0.0]], gamma=gamma, reduction="none")
    assert losses[0] == 0 and losses[2] == 6000
    assert losses[1] == pytest.approx(want[0], rel=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_nan(kind):
    y, z = example(kind)
    z[7] = np.nan
    with pytest.raises(ValueError, match=r"logits\[7"):
        value_and_grad(kind, y, z)
    for gamma in GAMMAS:
        losses, grad = value_and_grad(
            kind, y, z, gamma=gamma, reduction="none", nan_policy="propagate"
        )
        assert np.isnan(losses).nonzero()[0].tolist() == [7]
        assert np.isnan(grad[7]).all() and np.isfinite(np.delete(grad, 7, 0)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": -1}, "gamma=-1.0 is not a finite number of at least 0"),
        ({"gamma": np.nan}, "gamma=nan"),
        ({"gamma": np.inf}, "gamma=inf"),
        ({"alpha": -0.5}, "alpha"),
        ({"alpha": np.nan}, "alpha"),
        ({"hess_floor": np.nan}, "hess_floor=nan"),
        ({"hess_floor": np.inf}, "hess_floor=inf"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_options(kind, options, message):
    with pytest.raises(ValueError, match=message):
        grad_hess(kind, *example(kind), **options)


def test_bad_alphas():
    with pytest.raises(ValueError, match=r"alpha=1.5 is not in \[0, 1\]"):
        value("binary", *example("binary"), alpha=1.5)
    with pytest.raises(TypeError, match=r"alpha=.* is not a number"):
        value("binary", *example("binary"), alpha=[0.5, 0.5])
    y, z = example("categorical")
    with pytest.raises(ValueError, match=r"alpha has shape \(4,\)"):
        value("categorical", y, z, alpha=np.ones(4))
    with pytest.raises(ValueError, match=r"alpha\[2\] = -1.0"):
        value("categorical", y, z, alpha=[1, 1, -1, 1, 1])
    with pytest.raises(TypeError, match="alpha has dtype"):
        value("categorical", y, z, alpha=["1"] * 5)


# ---- in company -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_other_functions_take_it_as_a_loss(kind):
    y, z = example(kind, 500)
    options = {"gamma": 1.5, "alpha": 0.25}
    name = f"{kind}_focal_loss"
    want = value(kind, y, z, **options)
    for given in (name, loss(name)):
        acc = fastxent.LossAccumulator(given, **options)
        for part in np.array_split(np.arange(500), 7):
            acc.update(y[part], z[part])
        assert acc.result() == pytest.approx(want, rel=1e-14)
    groups = np.arange(500) % 3
    for i, record in fastxent.grouped(name, y, z, groups=groups, **options).items():
        own = value(kind, y[groups == i], z[groups == i], **options)
        assert record.mean == pytest.approx(own, rel=1e-13)
    assert fastxent.score(name, y, z, **options).mean == pytest.approx(want, rel=1e-13)
    with pytest.raises(ValueError, match="gamma=-1"):
        fastxent.LossAccumulator(name, gamma=-1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_class_indices_may_be_floats_for_boosted_trees(dtype):
    y, z = example("categorical")
    want = grad_hess("categorical", y, z)
    got = grad_hess("categorical", y.astype(dtype), np.asfortranarray(z))
    for a, b in itertools.zip_longest(got, want):
        np.testing.assert_array_equal(a, b)
        assert a.flags.f_contiguous

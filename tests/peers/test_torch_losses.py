"""torch's losses, their options and their gradients, in float64 to 1e-10 and better."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastxent
from helpers.losses import loss

torch = pytest.importorskip("torch", reason="torch is absent: its losses are not compared with")

pytestmark = pytest.mark.uncounted
F = torch.nn.functional
torch.set_num_threads(1)  # its threads spin while others need the processor
REDUCTIONS = ["mean", "sum", "none"]
RTOL = 1e-10


def tensor(a):
    return torch.from_numpy(np.ascontiguousarray(a))


def close(got, want, rtol=RTOL, atol=1e-13):
    """Relative but for what torch has lost: 1 - p, and softmax - onehot, near 0."""
    np.testing.assert_allclose(got, np.asarray(want.detach()), rtol=rtol, atol=atol)


def backward(f, *tensors):
    """The value, and the gradient of its sum by the first tensor."""
    tensors[0].requires_grad_()
    value = f(*tensors)
    value.sum().backward()
    return value, tensors[0].grad


reductions = st.sampled_from(REDUCTIONS)
seeds = st.integers(0, 2**32)
scales = st.sampled_from([0.1, 3.0, 30.0])


def shapes(most: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Of 1 to `most` dimensions; now and then enough for whole blocks."""
    small = st.lists(st.integers(1, 6), min_size=1, max_size=most).map(tuple)
    return st.one_of(small, st.sampled_from([(130,), (1100,), (40, 61)][:most]))


def weigh(each, weight, mask, share, reduction):
    """The contract's reductions, which torch does not have: Σ w·loss / Σ w, over what the mask leaves."""
    weight = np.where(mask, weight, 0.0)
    each = torch.where(torch.from_numpy(mask), each, 0.0) * torch.from_numpy(weight)
    if reduction == "none":
        return each
    total = each.sum()
    return total / (weight * share).sum() if reduction == "mean" else total


def weights_and_mask(rng, shape, weighted, masked):
    """fastxent's own options: a weight per loss or per leading index, and a mask."""
    options = {}
    if weighted:
        lead = shape[: rng.integers(1, len(shape) + 1)]
        options["sample_weight"] = rng.integers(0, 5, lead) / 2
    if masked:
        options["where"] = rng.random(shape) < 0.7
    weight = np.ones(shape)
    if weighted:
        w = options["sample_weight"]
        weight = weight * w.reshape(w.shape + (1,) * (len(shape) - w.ndim))
    return options, weight, options.get("where", np.ones(shape, bool))


# ------------------------------------------------------------------------------------- binary


@settings(max_examples=1500)
@given(
    shape=shapes(5),
    reduction=reductions,
    seed=seeds,
    soft=st.booleans(),
    weighted=st.booleans(),
    masked=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_binary_cross_entropy(shape, reduction, seed, soft, weighted, masked, smoothing):
    rng = np.random.default_rng(seed)
    p = rng.random(shape)
    p[rng.random(shape) < 0.1] = rng.integers(0, 2)
    y = rng.random(shape) if soft else rng.integers(0, 2, shape).astype(float)
    options, weight, mask = weights_and_mask(rng, shape, weighted, masked)
    smooth = tensor(y * (1 - smoothing) + smoothing / 2)
    want = F.binary_cross_entropy(tensor(p), smooth, reduction=reduction)
    if weighted or masked:
        each = F.binary_cross_entropy(tensor(p), smooth, reduction="none")
        want = weigh(each, weight, mask, 1.0, reduction)
    options |= {"label_smoothing": smoothing, "eps": math.exp(-100), "reduction": reduction}
    close(fastxent.binary_cross_entropy(y, p, **options), want)


@settings(max_examples=1500)
@given(
    shape=shapes(5),
    reduction=reductions,
    seed=seeds,
    soft=st.booleans(),
    weighted=st.booleans(),
    masked=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    pos=st.sampled_from([None, 1, -1]),
    scale=scales,
)
def test_binary_cross_entropy_with_logits(
    shape, reduction, seed, soft, weighted, masked, smoothing, pos, scale
):
    rng = np.random.default_rng(seed)
    z = rng.normal(0, scale, shape)
    y = rng.random(shape) if soft else rng.integers(0, 2, shape).astype(float)
    positive = None if pos is None else rng.uniform(0.1, 5, shape[-1:] if pos < 0 else ())
    options, weight, mask = weights_and_mask(rng, shape, weighted, masked)
    smooth = tensor(y * (1 - smoothing) + smoothing / 2)
    scaled = None if positive is None else torch.tensor(positive)

    def peer(t):
        plain = not (weighted or masked)
        how = reduction if plain else "none"
        each = F.binary_cross_entropy_with_logits(t, smooth, pos_weight=scaled, reduction=how)
        return each if plain else weigh(each, weight, mask, 1.0, reduction)

    want, want_grad = backward(peer, tensor(z))
    options |= {"pos_weight": positive, "label_smoothing": smoothing, "reduction": reduction}
    close(fastxent.binary_cross_entropy_with_logits(y, z, **options), want)
    value, grad = fastxent.binary_cross_entropy_value_and_grad(y, z, **options)
    close(value, want)
    if not math.isnan(value if reduction == "mean" else 0.0):
        close(grad, want_grad, rtol=1e-9)


# -------------------------------------------------------------------------------- categorical

classes_of = st.one_of(
    st.sampled_from([1, 2, 3, 10, 31, 32, 33, 64, 100]),
    st.sampled_from([1, 2, 3, 10, 31, 32, 33, 64, 100]),
    st.floats(0, 5).map(lambda x: int(10**x)),
)


def few(shape, classes):
    """Few rows, so that the test is fast."""
    return shape if math.prod(shape) * classes <= 5000 else (1,) if classes > 5000 else (3,)


@settings(max_examples=2000)
@given(
    shape=shapes(4),
    classes=classes_of,
    reduction=reductions,
    seed=seeds,
    by_class=st.booleans(),
    weighted=st.booleans(),
    masked=st.booleans(),
    ignored=st.sampled_from([None, -100, 0]),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    scale=scales,
    axis_of_torch=st.booleans(),
)
def test_cross_entropy_of_indices(
    shape, classes, reduction, seed, by_class, weighted, masked, ignored, smoothing, scale,
    axis_of_torch,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    shape = few(shape, classes)
    z = rng.normal(0, scale, (*shape, classes))
    y = rng.integers(0, classes, shape)
    if ignored is not None:
        y[rng.random(shape) < 0.3] = ignored
    w = rng.uniform(0.1, 3, classes) if by_class else None
    options, weight, mask = weights_and_mask(rng, shape, weighted, masked)
    turned = np.ascontiguousarray(np.moveaxis(z, -1, 1))  # torch's (N, C, d1, d2, ...)
    kept = mask & (y != ignored) if ignored is not None else mask
    share = 1.0 if w is None else w[np.where(kept, y, 0)]

    def peer(t):
        plain = not (weighted or masked)
        each = F.cross_entropy(
            t,
            tensor(y),
            weight=None if w is None else tensor(w),
            ignore_index=-100 if ignored is None else ignored,
            label_smoothing=smoothing,
            reduction=reduction if plain else "none",
        )
        return each if plain else weigh(each, weight, kept, share, reduction)

    want, want_grad = backward(peer, tensor(turned))
    options |= {
        "class_weight": w,
        "ignore_index": ignored,
        "label_smoothing": smoothing,
        "reduction": reduction,
    }
    z, options = (turned, options | {"axis": 1}) if axis_of_torch else (z, options)
    close(fastxent.categorical_cross_entropy_with_logits(y, z, **options), want)
    value, grad = fastxent.categorical_cross_entropy_value_and_grad(y, z, **options)
    close(value, want)
    if not math.isnan(value if reduction == "mean" else 0.0):
        close(grad if axis_of_torch else np.moveaxis(grad, -1, 1), want_grad, rtol=1e-9)
    p = np.exp(z - z.max(1 if axis_of_torch else -1, keepdims=True))
    p /= p.sum(1 if axis_of_torch else -1, keepdims=True)
    close(fastxent.categorical_cross_entropy(y, p, eps=0, **options), want, atol=1e-12)


@settings(max_examples=1000)
@given(
    shape=shapes(4),
    classes=classes_of,
    reduction=reductions,
    seed=seeds,
    by_class=st.booleans(),
    weighted=st.booleans(),
    masked=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_cross_entropy_of_distributions(
    shape, classes, reduction, seed, by_class, weighted, masked, smoothing
):
    rng = np.random.default_rng(seed)
    shape = few(shape, classes)
    rows = rng.dirichlet(np.ones(classes), shape)
    z = np.moveaxis(rng.normal(0, 3, (*shape, classes)), -1, 1)
    q = np.moveaxis(rows, -1, 1)
    w = rng.uniform(0.1, 3, classes) if by_class else None
    options, weight, mask = weights_and_mask(rng, shape, weighted, masked)
    share = 1.0 if w is None else rows @ w  # torch divides by N whatever the class weights are

    def peer(t):
        plain = not (weighted or masked or (by_class and reduction == "mean"))
        each = F.cross_entropy(
            t,
            tensor(q),
            weight=None if w is None else tensor(w),
            label_smoothing=smoothing,
            reduction=reduction if plain else "none",
        )
        if plain and reduction == "mean":
            return each / rows.sum(-1).mean()  # 1, but for rounding
        return each if plain else weigh(each, weight, mask, share, reduction)

    want, want_grad = backward(peer, tensor(z))
    options |= {
        "class_weight": w,
        "label_smoothing": smoothing,
        "reduction": reduction,
        "axis": 1,
    }
    close(fastxent.categorical_cross_entropy_with_logits(q, z, **options), want)
    value, grad = fastxent.categorical_cross_entropy_value_and_grad(q, z, **options)
    close(value, want)
    if not math.isnan(value if reduction == "mean" else 0.0):
        close(grad, want_grad, rtol=1e-9)
    p = torch.softmax(tensor(z), 1).numpy()
    close(fastxent.categorical_cross_entropy(q, p, eps=0, **options), want, atol=1e-12)


def test_a_hundred_thousand_classes():
    rng = np.random.default_rng(0)
    z, y = rng.normal(0, 3, (5, 100_000)), rng.integers(0, 100_000, 5)
    for smoothing in (0.0, 0.1):
        want = F.cross_entropy(tensor(z), tensor(y), label_smoothing=smoothing)
        got = fastxent.categorical_cross_entropy_with_logits(y, z, label_smoothing=smoothing)
        close(got, want)


@settings(max_examples=100)
@given(classes=st.sampled_from([2, 10, 100]), reduction=reductions, seed=seeds)
def test_nll_loss(classes, reduction, seed):
    rng = np.random.default_rng(seed)
    p, y = rng.dirichlet(np.ones(classes), 50), rng.integers(0, classes, 50)
    w = rng.uniform(0.1, 3, classes)
    want = F.nll_loss(tensor(np.log(p)), tensor(y), weight=tensor(w), reduction=reduction)
    got = fastxent.categorical_cross_entropy(y, p, class_weight=w, eps=0, reduction=reduction)
    close(got, want)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_lower_precision(dtype):
    """To torch's own accuracy, which for half precision is that of its result."""
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.normal(0, 3, (200, 30))).to(getattr(torch, dtype))
    y = rng.integers(0, 30, 200)
    if dtype == "bfloat16":
        bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
        scores = z.view(torch.uint16).numpy().view(bfloat16)
    else:
        scores = z.numpy()
    want = F.cross_entropy(z.double(), tensor(y)).item()
    got = fastxent.categorical_cross_entropy_with_logits(y, scores)
    assert got == pytest.approx(want, rel=1e-8)


# ------------------------------------------------------------------------------------- others


@settings(max_examples=400)
@given(
    shape=shapes(5),
    reduction=reductions,
    seed=seeds,
    full=st.booleans(),
    weighted=st.booleans(),
    masked=st.booleans(),
    variances=st.sampled_from(["one", "scalar", "last", "each"]),
)
def test_gaussian_nll(shape, reduction, seed, full, weighted, masked, variances):
    rng = np.random.default_rng(seed)
    y, mean = rng.normal(0, 3, (2, *shape))
    spread = {"one": (), "scalar": (), "last": shape[-1:], "each": shape}[variances]
    var = np.ones(()) if variances == "one" else rng.uniform(0.1, 3, spread)
    options, weight, mask = weights_and_mask(rng, shape, weighted, masked)
    each = F.gaussian_nll_loss(
        tensor(mean),
        tensor(y),
        tensor(np.broadcast_to(var, shape).copy()),
        full=full,
        reduction="none",
    )
    want = weigh(each, weight, mask, 1.0, reduction)
    options |= {"full": full, "reduction": reduction} | ({} if variances == "one" else {"var": var})
    close(fastxent.gaussian_nll(y, mean, **options), want)


@settings(max_examples=400)
@given(
    shape=shapes(4),
    classes=st.sampled_from([1, 2, 3, 10, 31, 32, 33, 100, 1500]),
    reduction=reductions,
    seed=seeds,
    weighted=st.booleans(),
    masked=st.booleans(),
)
def test_entropy_and_kl_divergence(shape, classes, reduction, seed, weighted, masked):
    rng = np.random.default_rng(seed)
    shape = few(shape, classes)
    q, p = (rng.dirichlet(np.ones(classes), shape) for _ in range(2))
    options, weight, mask = weights_and_mask(rng, shape, weighted, masked)
    options["reduction"] = reduction
    axis = int(rng.integers(0, len(shape) + 1))
    turned = [np.ascontiguousarray(np.moveaxis(a, -1, axis)) for a in (q, p)]
    each = F.kl_div(tensor(np.log(p)), tensor(q), reduction="none").sum(-1)
    got = fastxent.kl_divergence(*turned, axis=axis, eps=0, **options)
    close(got, weigh(each, weight, mask, 1.0, reduction), atol=1e-12)
    each = torch.special.entr(tensor(p)).sum(-1)
    got = fastxent.entropy(turned[1], axis=axis, **options)
    close(got, weigh(each, weight, mask, 1.0, reduction), atol=1e-12)


def test_reductions_of_torch():
    """Its mean of a Gaussian's losses is fastxent's; that of kl_div is named "batchmean"."""
    rng = np.random.default_rng(0)
    y, mean = rng.normal(size=(2, 7, 9))
    want = F.gaussian_nll_loss(tensor(mean), tensor(y), torch.ones(7, 9).double())
    close(fastxent.gaussian_nll(y, mean), want)
    q, p = rng.dirichlet(np.ones(5), (2, 40))
    want = F.kl_div(tensor(np.log(p)), tensor(q), reduction="batchmean")
    close(fastxent.kl_divergence(q, p, eps=0), want)


# ------------------------------------------------------------- where fastxent differs, on purpose


def test_the_limits_that_torch_has_as_nan():
    z = torch.tensor([math.inf], dtype=torch.float64)
    assert F.binary_cross_entropy_with_logits(z, torch.ones(1, dtype=torch.float64)).isnan()
    assert fastxent.binary_cross_entropy_with_logits([1], [math.inf]) == 0
    z = torch.tensor([[0.0, -math.inf]], dtype=torch.float64)
    assert F.cross_entropy(z, torch.tensor([[1.0, 0.0]], dtype=torch.float64)).isnan()
    assert fastxent.categorical_cross_entropy_with_logits([[1.0, 0.0]], z.numpy()) == 0


def test_the_tiny_losses_that_torch_has_as_0():
    z = torch.tensor([[0.0, -40.0]], dtype=torch.float64)
    assert F.cross_entropy(z, torch.tensor([0])).item() == 0
    got = fastxent.categorical_cross_entropy_with_logits([0], z.numpy())
    assert got == 4.248354255291589e-18


def test_the_weighted_mean_is_that_of_the_weights():
    """torch's divides by N."""
    z, y, w = np.array([0.5, 1.0]), np.array([1.0, 0.0]), np.array([1.0, 3.0])
    each = F.binary_cross_entropy_with_logits(tensor(z), tensor(y), tensor(w), reduction="none")
    got = fastxent.binary_cross_entropy_with_logits(y, z, sample_weight=w)
    assert got == pytest.approx(each.sum().item() / 4, rel=1e-14)


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8"])
def test_labels_of_every_width(kind):
    """torch takes int64 and uint8."""
    z, y = np.random.default_rng(0).normal(size=(9, 4)), np.arange(9) % 4
    want = F.cross_entropy(tensor(z), tensor(y))
    close(loss("categorical_cross_entropy_with_logits")(y.astype(kind), z), want)

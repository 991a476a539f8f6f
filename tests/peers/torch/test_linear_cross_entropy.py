"""fastxent.torch.linear_cross_entropy against torch's own function and its autograd."""

import itertools
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
functional = torch.nn.functional
if not hasattr(functional, "linear_cross_entropy"):
    pytest.skip("this torch has no linear_cross_entropy", allow_module_level=True)

import fastxent.torch
from fastxent._linear import products
from fastxent.torch import linear

pytestmark = [pytest.mark.peers, pytest.mark.uncounted]
RNG = np.random.default_rng(7)
N, D, C = 29, 6, 17
HIDDEN, WEIGHT, BIAS = (
    torch.from_numpy(a)
    for a in (RNG.normal(size=(N, D)), RNG.normal(size=(C, D)), RNG.normal(size=C))
)
INDEX = torch.from_numpy(RNG.integers(0, C, N))
SOFT = torch.from_numpy(RNG.dirichlet(np.ones(C), N))
CLASSES, UPSTREAM = torch.from_numpy(RNG.random(C)), torch.from_numpy(RNG.normal(size=N))


def both(reduction, target, bias, dtype=torch.float64, **options):
    """Value and gradients, by fastxent and by torch."""
    found = []
    for f in (fastxent.torch.linear_cross_entropy, functional.linear_cross_entropy):
        arrays = [
            t if t is None else t.detach().clone().to(dtype).requires_grad_()
            for t in (HIDDEN, WEIGHT, bias)
        ]
        labels = target.to(dtype) if target.is_floating_point() else target
        value = f(
            arrays[0], arrays[1], labels, linear_bias=arrays[2], reduction=reduction, **options
        )
        value.backward(
            UPSTREAM.to(dtype) if reduction == "none" else torch.tensor(3.0, dtype=dtype)
        )
        found.append([value.detach(), *(t.grad for t in arrays if t is not None)])
    return found


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("bias", [None, BIAS])
@pytest.mark.parametrize("target", [INDEX, SOFT], ids=["index", "soft"])
def test_every_option(target, bias, reduction):
    choices = {"weight": CLASSES, "label_smoothing": 0.1}
    if target is INDEX:
        choices["ignore_index"] = 3
    for count in range(len(choices) + 1):
        for names in itertools.combinations(choices, count):
            options = {name: choices[name] for name in names}
            for got, want in zip(*both(reduction, target, bias, **options), strict=True):
                assert got.dtype is want.dtype
                torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_precisions(dtype):
    for got, want in zip(*both("mean", INDEX, BIAS, dtype), strict=True):
        assert got.dtype is dtype
        torch.testing.assert_close(got, want, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize("block", [products.BLOCK, 8 * N * 4], ids=["whole", "parts"])
@pytest.mark.parametrize("native", [True, False], ids=["torch's product", "widened"])
def test_bfloat16_is_as_close_to_float64_as_torch_is(native, block, monkeypatch):
    """By either product; the weights in parts of 64 words."""
    monkeypatch.setattr(linear, "_multiplies_bfloat16", lambda: native)
    monkeypatch.setattr(products, "BLOCK", block)
    monkeypatch.setattr(products, "STAGED", 8)
    weight, labels = RNG.normal(size=(150, D)), torch.from_numpy(RNG.integers(0, 150, N))
    weight = torch.from_numpy(weight).bfloat16()
    found = []
    for f, dtype in (
        (functional.linear_cross_entropy, torch.float64),
        (functional.linear_cross_entropy, torch.bfloat16),
        (fastxent.torch.linear_cross_entropy, torch.bfloat16),
    ):
        arrays = [
            t.bfloat16().to(dtype).clone().detach().requires_grad_()
            for t in (HIDDEN, weight, weight[:, 0])
        ]
        loss = f(arrays[0], arrays[1], labels, linear_bias=arrays[2])
        loss.backward()
        found.append([loss.detach(), *(t.grad for t in arrays)])
    for exact, theirs, ours in zip(*found, strict=True):
        assert (ours - exact).norm() <= 1.5 * (theirs - exact).norm() + 2**-8 * exact.norm()


def test_a_second_backward_and_no_grad():
    hidden = HIDDEN.detach().clone().requires_grad_()
    loss = fastxent.torch.linear_cross_entropy(hidden, WEIGHT, INDEX)
    (first,) = torch.autograd.grad(loss, hidden, retain_graph=True)
    (second,) = torch.autograd.grad(loss, hidden)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    with torch.no_grad():
        assert not fastxent.torch.linear_cross_entropy(hidden, WEIGHT, INDEX).requires_grad


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": HIDDEN[0], "target": INDEX[0]},
        {"hidden": HIDDEN[:0], "target": INDEX[:0]},
        {"weight": -CLASSES},
        {"target": SOFT + 1.0},
        {"hidden": torch.empty(N, D, device="meta"), "linear_weight": torch.empty(C, D, device="meta"),
         "target": torch.empty(N, dtype=torch.int64, device="meta")},
    ],
    ids=["one row", "no row", "negative weights", "no probabilities", "meta"],
)  # fmt: skip
def test_what_is_left_to_torch(change):
    call = {"hidden": HIDDEN, "linear_weight": WEIGHT, "target": INDEX} | change
    ours, theirs = (
        f(call["hidden"], call["linear_weight"], call["target"], weight=call.get("weight"))
        for f in (fastxent.torch.linear_cross_entropy, functional.linear_cross_entropy)
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    "change",
    [{"target": INDEX[:3]}, {"target": INDEX + C}, {"target": SOFT, "ignore_index": 3},
     {"target": INDEX.int()}, {"linear_weight": WEIGHT.float()}, {"reduction": "no"},
     {"linear_bias": BIAS[:3]}],
)  # fmt: skip
def test_what_torch_refuses(change):
    call = {"input": HIDDEN, "linear_weight": WEIGHT, "target": INDEX} | change
    with pytest.raises((RuntimeError, ValueError, IndexError)) as theirs:
        functional.linear_cross_entropy(**call)
    with pytest.raises(theirs.type, match=re.escape(str(theirs.value))):
        fastxent.torch.linear_cross_entropy(**call)


def test_transforms_and_targets_that_require_a_gradient():
    ours, theirs = fastxent.torch.linear_cross_entropy, functional.linear_cross_entropy
    got, want = (torch.func.grad(lambda h: f(h, WEIGHT, INDEX))(HIDDEN) for f in (ours, theirs))  # noqa: B023
    torch.testing.assert_close(got, want)
    found = []
    for f in (ours, theirs):
        labels = SOFT.clone().requires_grad_()
        f(HIDDEN, WEIGHT, labels).backward()
        found.append(labels.grad)
    torch.testing.assert_close(*found)


def test_a_backward_that_is_differentiated():
    inputs = [t.detach().clone().requires_grad_() for t in (HIDDEN, WEIGHT, BIAS)]

    def loss(hidden, weight, bias):
        return fastxent.torch.linear_cross_entropy(hidden, weight, INDEX, linear_bias=bias)

    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(loss, inputs)


def test_all_ignored():
    ignored = torch.full((N,), -100)
    assert fastxent.torch.linear_cross_entropy(HIDDEN, WEIGHT, ignored).isnan()
    assert fastxent.torch.linear_cross_entropy(HIDDEN, WEIGHT, ignored, reduction="sum") == 0


def with_gradients(f, sample):
    """The value of a sample of torch's, and the gradients of its weighted sum."""
    torch.manual_seed(0)
    tensors = [t.detach().clone() for t in (sample.input, *sample.args)]
    for copy, given in zip(tensors, (sample.input, *sample.args), strict=True):
        copy.requires_grad_(given.requires_grad)
    value = f(*tensors, **sample.kwargs)
    value.backward(torch.rand_like(value))
    return [value.detach(), *(t.grad for t in tensors if t.requires_grad)]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-6), (torch.float64, 1e-12)])
def test_torch_s_own_samples_and_errors(dtype, tolerance):
    """Of all its variants."""
    methods = pytest.importorskip("torch.testing._internal.common_methods_invocations")
    ops = [op for op in methods.op_db if op.name == "nn.functional.linear_cross_entropy"]
    ours, count = fastxent.torch.linear_cross_entropy, 0
    for op in ops:
        for sample in op.sample_inputs("cpu", dtype, requires_grad=True):
            count += 1
            pair = [with_gradients(f, sample) for f in (ours, functional.linear_cross_entropy)]
            for got, want in zip(*pair, strict=True):
                size = tolerance * float(want.abs().max())
                torch.testing.assert_close(got, want, rtol=tolerance, atol=size, equal_nan=True)
        for error in op.error_inputs("cpu") if op.error_inputs_func else ():
            sample = error.sample_input
            with pytest.raises(error.error_type, match=error.error_regex):
                ours(sample.input, *sample.args, **sample.kwargs)
    assert count >= 329

"""torch's graph: one pass, a second backward, hooks, transforms, memory, and torch.compile."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is absent: fastxent.torch is not tested")
from torch.utils.checkpoint import checkpoint

import fastxent
import fastxent.torch as ours
from fastxent.torch import _memory, _rules
from helpers.torch_batches import batch, close, gradient

F = torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit")


# ------------------------------------------------------------------------------------ arguments


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_combination_of_arguments(data):
    """Shapes of 0 to 5 dimensions, weights, ignored, smoothed, soft, halves: torch's results."""
    draw = data.draw
    torch.manual_seed(draw(st.integers(0, 2**31)))
    name = draw(st.sampled_from([*ours.PATCHED, "cross_entropy"]))
    dtype = draw(st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]))
    shape = draw(st.lists(st.integers(0, 5), max_size=5).map(tuple))
    if name == "cross_entropy" and not shape:
        shape = (4,)
    args, kwargs = arguments(draw, name, shape, dtype)
    kwargs["reduction"] = draw(st.sampled_from(["mean", "sum", "none"]))
    strided = draw(st.booleans())

    def outcome(module):
        z = args[0].clone()
        z = torch.stack([z, z], -1)[..., 0] if strided else z
        z.requires_grad_()
        try:
            result = getattr(module, name)(z, *args[1:], **kwargs)
            result.sum().backward()
        except Exception as error:
            return type(error), str(error)
        return result, z.grad

    old, _rules.LEAST = _rules.LEAST, dict.fromkeys(_rules.LEAST, (0, 0))
    try:
        want, got = outcome(F), outcome(ours)
    finally:
        _rules.LEAST = old
    if isinstance(want[0], type):
        assert got == want
        return
    assert got[0].requires_grad == want[0].requires_grad
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-4}.get(want[0].dtype, 0.1)
    for mine, theirs in zip(got, want, strict=True):
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
        size = max(1.0, theirs.abs().nan_to_num(posinf=0).max().item()) if theirs.numel() else 1.0
        torch.testing.assert_close(
            mine, theirs, rtol=tolerance, atol=tolerance * size, equal_nan=True
        )


def arguments(draw, name, shape, dtype):
    z = torch.randn(shape).to(dtype)
    q = torch.rand(shape).to(dtype)
    w = torch.rand(shape[-1:]).to(dtype) * draw(st.sampled_from([1, 1, 1, -1]))
    weight = draw(st.sampled_from([None, w]))
    if name == "cross_entropy":
        axis = int(len(shape) > 1)
        classes = torch.rand(shape[axis]).to(dtype)
        lead = shape[:axis] + shape[axis + 1 :]
        y = torch.randint(0, max(1, shape[axis]), lead)
        if draw(st.booleans()):
            y = torch.where(torch.rand(lead) < 0.3, -100, y)
        kwargs = {
            "weight": draw(st.sampled_from([None, classes])),
            "label_smoothing": draw(st.sampled_from([0.0, 0.1, 1.0])),
        }
        return (z, draw(st.sampled_from([y, q]))), kwargs
    if name == "gaussian_nll_loss":
        return (z, q, draw(st.sampled_from([q + 0.1, 2.0 * q]))), {"full": draw(st.booleans())}
    if name == "kl_div":
        return (torch.log(q), torch.softmax(z.float(), 0).to(dtype) if shape else q), {}
    if name == "nll_loss":
        axis = int(len(shape) > 1)
        classes = max(1, shape[axis]) if shape else 1
        y = torch.randint(0, classes, shape[:axis] + shape[axis + 1 :])
        y = torch.where(torch.rand(y.shape) < 0.3, -100, y)
        classes = torch.rand(classes).to(dtype)
        return (torch.log(q), y), {"weight": draw(st.sampled_from([None, classes]))}
    if name == "poisson_nll_loss":
        kwargs = {
            "full": draw(st.booleans()),
            "log_input": draw(st.sampled_from([True, True, False])),
        }
        return (z, torch.poisson(3 * q.float()).to(dtype)), kwargs
    if name == "binary_cross_entropy":
        return (torch.rand(shape).to(dtype), q), {"weight": weight}
    return (z, q), {"weight": weight, "pos_weight": draw(st.sampled_from([None, w]))}


def test_the_same_bits_with_every_number_of_threads(every_size):
    z, y = batch(5000, 100)
    found = set()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.add(
            (
                ours.cross_entropy(z, y).item(),
                gradient(lambda z: ours.cross_entropy(z, y), z).numpy().tobytes(),
            )
        )
    torch.set_num_threads(1)
    assert len(found) == 1
    want = fastxent.categorical_cross_entropy_with_logits(y, z)
    assert found.pop()[0] == np.float32(want)


# ------------------------------------------------------------------------------------- backward


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_second_backward(every_size, dtype):
    """Computed anew where the graph is retained; torch's own error where it is not."""
    z, y = batch(dtype=dtype)
    z.requires_grad_()
    loss = ours.cross_entropy(z, y)
    loss.backward(retain_graph=True)
    once = z.grad.clone()
    loss.backward()
    close(z.grad, 2 * once)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_without_a_gradient_nothing_is_made(every_size, monkeypatch):
    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(fastxent, "categorical_cross_entropy_value_and_grad", never)
    z, y = batch()
    z.requires_grad_()
    for guard in (torch.no_grad(), torch.inference_mode()):
        with guard:
            assert not ours.cross_entropy(z, y).requires_grad
    assert not ours.cross_entropy(z.detach(), y).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_inplace_backward(every_size, dtype):
    z, y = batch(dtype=dtype)
    q = torch.rand_like(z)
    for name, truth in (("cross_entropy", y), ("binary_cross_entropy_with_logits", q)):
        f = getattr(ours, name)
        want = gradient(lambda z, f=f, t=truth: f(z, t), z)
        leaf = z.clone().requires_grad_()
        logits = leaf * 1
        loss = f(logits, truth, inplace_backward=True)
        loss.backward(retain_graph=True)
        close(leaf.grad, want, 1e-6)
        assert torch.equal(logits, want)
        with pytest.raises(RuntimeError, match="pass inplace_backward=False"):
            loss.backward()
    kept = z.clone().requires_grad_()
    with pytest.raises(IndexError):
        ours.cross_entropy(kept, y + 1, inplace_backward=True)
    assert torch.equal(kept, z)


def test_activation_checkpointing(every_size):
    """Its hooks are there to save memory, so the gradient waits for the backward."""
    z, y = batch()
    want = gradient(lambda z: ours.cross_entropy(z, y), z)

    def loss(z):
        return checkpoint(ours.cross_entropy, z, y, use_reentrant=False)

    close(gradient(loss, z), want)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(every_size, notes, dtype):
    z, y = batch(dtype=dtype)
    y[::7] = -100
    w = torch.rand(10).to(dtype)
    q = torch.softmax(z.float(), 1).to(dtype)
    for f in (
        lambda z: ours.cross_entropy(z, y, w.to(z.dtype)),
        lambda z: ours.cross_entropy(z, q.to(z.dtype), w.to(z.dtype), label_smoothing=0.1),
        lambda z: ours.cross_entropy(z.reshape(2, 300, 10).transpose(1, 2), y.view(2, 300)),
        lambda z: ours.binary_cross_entropy_with_logits(z, q.to(z.dtype), w.to(z.dtype)),
        lambda z: ours.binary_cross_entropy_with_logits(
            z, q.to(z.dtype), pos_weight=w.to(z.dtype), reduction="sum"
        ),
        lambda z: ours.cross_entropy(z, y, reduction="none").sum(),
    ):
        before = len(notes())
        got = gradient(f, z)
        assert got.dtype is dtype and len(notes()) == before
        want = gradient(lambda z, f=f: f(z.float()), z)
        torch.testing.assert_close(got, want, rtol=0.01, atol=1e-5)


def test_a_mean_of_float16_waits_for_the_loss_scaler(every_size):
    """Its gradient, 1e-8 here, would be 0 in float16: it is divided after it is multiplied."""
    z, y = batch(60_000, dtype=torch.float16)
    z[:, 0], y[:] = 8.0, 0
    (got,) = torch.autograd.grad(
        ours.cross_entropy(leaf := z.requires_grad_(), y), leaf, torch.tensor(65504.0).half()
    )
    want = gradient(lambda z: F.cross_entropy(z, y) * 65504.0, z.float())
    torch.testing.assert_close(got.float(), want, rtol=0.01, atol=1e-4)


def test_autocast(every_size):
    z, y = batch(dtype=torch.bfloat16)
    q = torch.rand(z.shape)
    with torch.autocast("cpu"):
        for name, args in (
            ("cross_entropy", (y,)),
            ("cross_entropy", (q.bfloat16(),)),
            ("binary_cross_entropy_with_logits", (q,)),
        ):
            got = gradient(lambda z, n=name, a=args: getattr(ours, n)(z, *a), z)
            want = gradient(lambda z, n=name, a=args: getattr(F, n)(z, *a), z)
            assert getattr(ours, name)(z, *args).dtype is torch.float32
            close(got, want, 0.01)


# --------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_of_a_gradient_is_used_again(dtype):
    """Once no tensor over it is left, and not before."""
    _memory._idle.clear()
    z, y = batch(300_000, dtype=dtype)
    first = gradient(lambda z: ours.cross_entropy(z, y), z)
    want, view, place = first.clone(), first[-1], first.data_ptr()
    del first
    other = gradient(lambda z: 2 * ours.cross_entropy(z, y), z)
    assert other.data_ptr() != place and torch.equal(view, want[-1])
    del view
    fewer = gradient(lambda z: ours.cross_entropy(z, y[:-9]), z[:-9])
    assert fewer.data_ptr() == place
    assert torch.equal(gradient(lambda z: ours.cross_entropy(z, y), z), want)


# ------------------------------------------------------------------------------- handed to torch


class Subclass(torch.Tensor):
    pass


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)
def test_what_is_handed_to_torch(every_size, notes):
    """Each with a word about why, and with torch's result."""
    z, y = batch()
    soft = torch.softmax(z, 1).requires_grad_()
    calls = {
        "subclass": lambda f: f(z.as_subclass(Subclass), y),
        "meta": lambda f: f(z.to("meta"), y.to("meta")),
        "complex": lambda f: f(z, torch.softmax(z, 1).requires_grad_()),
        "negative": lambda f: f(z, y, -torch.ones(10)),
        "deprecated": lambda f: f(z, y, reduce=True, reduction="none"),
        "vmap": lambda f: torch.vmap(f)(z[:4, None], y[:4, None]),
        "grad": lambda f: torch.func.grad(f)(z, y),
        "hessian": lambda f: torch.func.hessian(f)(z[:2], y[:2]),
        "jvp": lambda f: torch.func.jvp(lambda z: f(z, y), (z,), (z,))[1],
        "target": lambda f: torch.autograd.grad(f(z, soft), soft)[0],
        "trace": lambda f: torch.jit.trace(lambda z: f(z, y), z)(z),
        "out of range": lambda f: f(z, 2 * torch.softmax(z, 1)),
    }
    for name, call in calls.items():
        before = len(notes())
        got, want = call(ours.cross_entropy), call(F.cross_entropy)
        if want.device.type == "cpu":
            torch.testing.assert_close(got, want, msg=name)
        assert type(got) is type(want) and len(notes()) > before, name


def test_default_device_is_no_obstacle(every_size, notes):
    z, y = batch()
    with torch.device("cpu"):
        ours.cross_entropy(z, y)
    assert not notes()


def test_small_inputs_are_torchs(notes):
    z, y = batch(64)
    assert torch.equal(ours.cross_entropy(z, y), F.cross_entropy(z, y))
    assert "faster with 640 elements" in notes()[0]


# --------------------------------------------------------------------------------- torch.compile

COMPILED = {
    "cross_entropy": lambda z, y, q: ours.cross_entropy(z, y, label_smoothing=0.1),
    "none": lambda z, y, q: ours.cross_entropy(z, y, reduction="none").mean(),
    "soft": lambda z, y, q: ours.cross_entropy(z, q),
    "logits": lambda z, y, q: ours.binary_cross_entropy_with_logits(z, q),
    "probabilities": lambda z, y, q: ours.binary_cross_entropy(torch.sigmoid(z), q),
    "module": lambda z, y, q: ours.CrossEntropyLoss()(z, y),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", COMPILED)
def test_compile(every_size, name):
    """The whole graph at once, forward and backward."""
    torch.compiler.reset()
    z, y = batch()
    q = torch.rand_like(z)
    f = COMPILED[name]
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    close(compiled(z, y, q), f(z, y, q))
    want = gradient(lambda z: f(z, y, q), z)
    close(gradient(lambda z: compiled(z, y, q), z), want)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compile_patched(every_size):
    torch.compiler.reset()
    z, y = batch()
    with ours.patched():
        compiled = torch.compile(torch.nn.CrossEntropyLoss(), fullgraph=True, backend="aot_eager")
        close(compiled(z, y), F.cross_entropy(z, y))


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:The .grad attribute:UserWarning"
)
def test_opcheck(every_size):
    z, y = batch(20)
    z.requires_grad_()
    q, w = torch.rand(20, 10), torch.rand(10)
    ops = torch.ops.fastxent
    for weight in (None, w, -w):  # negative weights: torch's own function, inside the operator
        torch.library.opcheck(ops.cross_entropy.default, (z, y, weight, -100, "mean", 0.1))
    torch.library.opcheck(ops.cross_entropy.default, (z, y, w, 3, "none", 0.0))
    f = ops.binary_cross_entropy_with_logits.default
    torch.library.opcheck(f, (z, q, w, None, "sum"))
    torch.library.opcheck(f, (z, 2 * q, None, w, "none"))
    got = gradient(lambda z: ops.cross_entropy(z, y, -w, -100, "sum", 0.0), z)
    close(got, gradient(lambda z: F.cross_entropy(z, y, -w, reduction="sum"), z), 1e-5)

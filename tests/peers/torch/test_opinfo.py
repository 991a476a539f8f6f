"""torch's own test inputs: its samples, its gradients, its errors, its checks of derivatives."""

import pytest

torch = pytest.importorskip("torch", reason="torch is absent: fastxent.torch is not tested")
import fastxent.torch as ours

F = torch.nn.functional
SAMPLES = {  # how many torch 2.13 has for each dtype
    "cross_entropy": 21,
    "nll_loss": 61,
    "binary_cross_entropy": 11,
    "binary_cross_entropy_with_logits": 26,
    "kl_div": 16,
    "gaussian_nll_loss": 324,
    "poisson_nll_loss": 72,
}
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
pytestmark = [
    pytest.mark.usefixtures("every_size"),
    pytest.mark.filterwarnings("ignore:.torch.jit"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning"),
]


def evaluate(function, sample, only_input):
    """The value, and the gradients of its weighted sum by all that require one."""
    torch.manual_seed(0)
    copies = [
        a.detach().clone().requires_grad_(a.requires_grad and not (place and only_input))
        if isinstance(a, torch.Tensor)
        else a
        for place, a in enumerate((sample.input, *sample.args))
    ]
    kwargs = {
        k: v.detach() if isinstance(v, torch.Tensor) and only_input else v
        for k, v in sample.kwargs.items()
    }
    result = function(*copies, **kwargs)
    result.backward(torch.rand_like(result))
    return result.detach(), [a.grad for a in copies if isinstance(a, torch.Tensor)]


def close(got, want, tolerance):
    assert got.dtype == want.dtype and got.shape == want.shape
    size = max(1.0, want.abs().nan_to_num(posinf=0).max().item()) if want.numel() else 1.0
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance * size, equal_nan=True)


@pytest.mark.parametrize("only_input", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", SAMPLES)
def test_samples(opinfos, name, dtype, only_input, notes):
    """Values and gradients are torch's, and in good part fastxent's own."""
    count = 0
    for sample in opinfos(name).sample_inputs("cpu", dtype, requires_grad=True):
        count += 1
        got, got_grads = evaluate(getattr(ours, name), sample, only_input)
        want, want_grads = evaluate(getattr(F, name), sample, only_input)
        close(got, want, TOLERANCE[dtype])
        for grad, right in zip(got_grads, want_grads, strict=True):
            assert (grad is None) == (right is None)
            if grad is not None:
                close(grad, right, TOLERANCE[dtype])
    assert count >= SAMPLES[name]
    if name in ours.PATCHED and only_input:
        assert len(notes()) <= 0.75 * count


@pytest.mark.parametrize("name", SAMPLES)
def test_error_inputs(opinfos, name):
    op = opinfos(name)
    if op.error_inputs_func is None:
        pytest.skip(f"torch has no error inputs for {name}")
    for error in op.error_inputs("cpu"):
        sample = error.sample_input
        with pytest.raises(error.error_type, match=error.error_regex):
            getattr(ours, name)(sample.input, *sample.args, **sample.kwargs)


WRONG = {
    "cross_entropy": [
        lambda f, z, y, q: f(z, y + 3),
        lambda f, z, y, q: f(z, y - 3),
        lambda f, z, y, q: f(z, y.int()),
        lambda f, z, y, q: f(z, y.float()),
        lambda f, z, y, q: f(z, y[:2]),
        lambda f, z, y, q: f(z, y, torch.ones(3)),
        lambda f, z, y, q: f(z, y, torch.ones(5).double()),
        lambda f, z, y, q: f(z, y, label_smoothing=1.5),
        lambda f, z, y, q: f(z, y, reduction="most"),
        lambda f, z, y, q: f(z, q, ignore_index=1),
        lambda f, z, y, q: f(z.tolist(), y),
        lambda f, z, y, q: f(z, None),
        lambda f, z, y, q: f(z, q.to("meta")),
    ],
    "binary_cross_entropy_with_logits": [
        lambda f, z, y, q: f(z, q[:2]),
        lambda f, z, y, q: f(z, q > 0.2),
        lambda f, z, y, q: f(z, q, torch.ones(2, 4, 5)),
        lambda f, z, y, q: f(z, q, torch.ones(3)),
        lambda f, z, y, q: f(z, q, pos_weight=torch.ones(3)),
        lambda f, z, y, q: f(z, q, reduction="most"),
    ],
    "binary_cross_entropy": [
        lambda f, z, y, q: f(z, q),
        lambda f, z, y, q: f(q, 3 * q),
        lambda f, z, y, q: f(q, q.double()),
        lambda f, z, y, q: f(q, q[:2]),
        lambda f, z, y, q: f(q, q * torch.nan),
        lambda f, z, y, q: f(q, q, torch.ones(3)),
    ],
    "gaussian_nll_loss": [
        lambda f, z, y, q: f(z, q, -q),
        lambda f, z, y, q: f(z, q, q[:2]),
        lambda f, z, y, q: f(z, q, q, reduction="most"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name, call", [(n, c) for n, calls in WRONG.items() for c in calls])
def test_errors(name, call):
    """Of torch's own type and words."""
    z, y = torch.randn(4, 5), torch.tensor([0, 1, 2, 4])
    q = torch.softmax(z, 1)
    with pytest.raises(Exception) as want:  # noqa: PT011
        call(getattr(F, name), z, y, q)
    with pytest.raises(type(want.value)) as got:
        call(getattr(ours, name), z, y, q)
    assert str(got.value) == str(want.value)


def losses(z, q, y):
    """Each loss with a gradient of its own in fastxent."""
    p = torch.sigmoid(z.detach()).requires_grad_()
    v = torch.rand_like(z.detach()).add_(0.5).requires_grad_()
    w = torch.rand(z.shape[1], dtype=z.dtype) + 0.1
    hard = (q > 0.2).to(q.dtype)
    log_p = torch.log_softmax(z.detach(), 1).requires_grad_()
    counts = torch.poisson(3 * q)
    for reduction in ("mean", "sum", "none"):
        r = {"reduction": reduction}
        yield lambda z, r=r: ours.cross_entropy(z, y, w, ignore_index=1, **r), (z,)
        yield lambda z, r=r: ours.cross_entropy(z, q, w, label_smoothing=0.1, **r), (z,)
        yield lambda z, r=r: ours.binary_cross_entropy_with_logits(z, q, w, pos_weight=w, **r), (z,)
        yield lambda p, r=r: ours.binary_cross_entropy(p, q, w, **r), (p,)
        yield lambda z, v, r=r: ours.gaussian_nll_loss(z, q, v, **r), (z, v)
        yield lambda z, r=r: ours.sigmoid_focal_loss(z, hard, **r), (z,)
        yield lambda x, r=r: ours.nll_loss(x, y, w, ignore_index=1, **r), (log_p,)
        yield lambda z, r=r: ours.poisson_nll_loss(z, counts, full=True, **r), (z,)
        if reduction != "none":
            yield lambda x, r=r: ours.kl_div(x, q, **r), (log_p,)


def test_gradcheck(notes):
    torch.manual_seed(0)
    z = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 1, 2, 4])
    q = torch.softmax(torch.randn(4, 5).double(), 1)
    for function, inputs in losses(z, q, y):
        assert torch.autograd.gradcheck(function, inputs)
        assert not notes()
        assert torch.autograd.gradgradcheck(function, inputs)
    for function, inputs in losses(z, q, y):  # by torch's own functions
        assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True)

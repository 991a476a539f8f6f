"""linear_cross_entropy: mpmath, the loss of stored logits, options, blocks, limits, memory."""

import itertools

import mpmath
import numpy as np
import pytest

import fastxent
from fastxent import ElementError, linear_cross_entropy
from fastxent._linear import products
from fastxent._linear.linear import LinearCall
from fastxent._linear.operands import LinearOptions
from helpers.layouts import LAYOUTS
from helpers.losses import bfloat16
from helpers.memory import peak

INF, NAN = np.inf, np.nan
RNG = np.random.default_rng(1919)
N, D, K = 37, 5, 23
HIDDEN, WEIGHT, BIAS = RNG.normal(size=(N, D)), RNG.normal(size=(K, D)), RNG.normal(size=K)
INDEX, SOFT = RNG.integers(0, K, N), RNG.dirichlet(np.ones(K), N)
SAMPLE, CLASS, MASK = RNG.random(N), RNG.random(K) + 0.1, RNG.random(N) < 0.7
value_and_grad = fastxent.linear_cross_entropy_value_and_grad
#: Bytes of the block of logits: all at once, parts of the vocabulary, a few words at a time.
BLOCKS = [products.BLOCK, 8 * N * 4, 8 * (2 * D + 8)]


@pytest.fixture(params=BLOCKS, ids=["whole", "parts", "words"])
def blocks(request, monkeypatch):
    monkeypatch.setattr(products, "BLOCK", request.param)


BY_BLOCKS = pytest.mark.usefixtures("blocks")


def close(got, want, rtol=1e-12):
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)


def exact(target, hidden, options):
    """The loss of one row and its gradient by the hidden states, by mpmath."""
    mpmath.mp.dps = 50
    eps, cap = options.get("label_smoothing", 0), options.get("softcap")
    w = [[mpmath.mpf(float(x)) for x in row] for row in WEIGHT]

    def loss(*h):
        z = [mpmath.fdot(h, row) + mpmath.mpf(float(b)) for row, b in zip(w, BIAS, strict=True)]
        z = [cap * mpmath.tanh(x / cap) for x in z] if cap else z
        lse = mpmath.log(mpmath.fsum(map(mpmath.exp, z)))
        even = mpmath.fsum(lse - x for x in z) * eps / K
        return (1 - eps) * (lse - z[target]) + even + options.get("z_loss", 0) * lse**2

    h = [mpmath.mpf(float(x)) for x in hidden]
    point = tuple(h)
    orders = [tuple(int(i == j) for j in range(D)) for i in range(D)]
    return float(loss(*h)), [float(mpmath.diff(loss, point, order)) for order in orders]


@pytest.mark.parametrize(
    "options",
    [{}, {"label_smoothing": 0.1}, {"softcap": 2.0}, {"z_loss": 0.01},
     {"label_smoothing": 0.2, "softcap": 1.5, "z_loss": 0.1}],
)  # fmt: skip
@BY_BLOCKS
def test_against_mpmath(options):
    rows = slice(0, 4)
    want = [exact(t, h, options) for t, h in zip(INDEX[rows], HIDDEN[rows], strict=True)]
    args = INDEX[rows], HIDDEN[rows], WEIGHT, BIAS
    value, (grad, _, _) = value_and_grad(*args, reduction="sum", **options)
    close(linear_cross_entropy(*args, reduction="none", **options), [w[0] for w in want])
    close(value, sum(w[0] for w in want))
    close(grad, [w[1] for w in want])


@pytest.mark.parametrize("bias", [None, BIAS])
@pytest.mark.parametrize("labels", [INDEX, SOFT], ids=["index", "soft"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@BY_BLOCKS
def test_it_is_the_loss_of_stored_logits(labels, bias, reduction):
    """With every combination of the options that both take; the gradients by the chain rule."""
    z = HIDDEN @ WEIGHT.T + (0 if bias is None else bias)
    choices = {
        "class_weight": CLASS, "sample_weight": SAMPLE, "where": MASK, "label_smoothing": 0.1,
        "ignore_index": 3,
    }  # fmt: skip
    if labels is SOFT:
        del choices["ignore_index"]
    for count in range(len(choices) + 1):
        for names in itertools.combinations(choices, count):
            options = {name: choices[name] for name in names} | {"reduction": reduction}
            want, by_logits = fastxent.categorical_cross_entropy_value_and_grad(
                labels, z, **options
            )
            close(linear_cross_entropy(labels, HIDDEN, WEIGHT, bias, **options), want)
            value, (hidden, weight, by_bias) = value_and_grad(
                labels, HIDDEN, WEIGHT, bias, **options
            )
            close(value, want)
            close(hidden, by_logits @ WEIGHT)
            close(weight, by_logits.T @ HIDDEN)
            if bias is None:
                assert by_bias is None
            else:
                close(by_bias, by_logits.sum(0))


@pytest.mark.parametrize("labels", [INDEX, SOFT], ids=["index", "soft"])
@BY_BLOCKS
def test_softcap_and_z_loss(labels):
    """The formulas, and gradients by differences."""
    options = {
        "softcap": 2.0, "z_loss": 0.05, "class_weight": CLASS, "sample_weight": SAMPLE,
        "label_smoothing": 0.1,
    }  # fmt: skip
    z = 2.0 * np.tanh((HIDDEN @ WEIGHT.T + BIAS) / 2.0)
    plain = {k: v for k, v in options.items() if k not in ("softcap", "z_loss")}
    want = fastxent.categorical_cross_entropy_with_logits(labels, z, reduction="none", **plain)
    lse = np.log(np.exp(z).sum(1))
    row_weight = CLASS[labels] if labels is INDEX else labels @ CLASS
    want += 0.05 * lse**2 * row_weight * SAMPLE
    args = labels, HIDDEN, WEIGHT, BIAS
    close(linear_cross_entropy(*args, reduction="none", **options), want)
    value, grads = value_and_grad(*args, **options)
    close(value, want.sum() / (row_weight * SAMPLE).sum())
    step = 1e-6
    for number, place in ((0, (3, 2)), (1, (7, 1)), (2, (5,))):
        ends = []
        for sign in (1, -1):
            arrays = [array.copy() for array in args[1:]]
            arrays[number][place] += sign * step
            ends.append(linear_cross_entropy(labels, *arrays, **options))
        assert grads[number][place] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("kind", ["f4", "f2", "bfloat16", "mixed"])
@BY_BLOCKS
def test_precisions(kind):
    """Half precision is widened: the same as float32 of the same numbers."""
    first = second = (
        bfloat16() if kind == "bfloat16" else np.dtype("f4" if kind == "mixed" else kind)
    )
    if kind == "mixed":
        second = np.dtype("f2")
    hidden, weight, bias = HIDDEN.astype(first), WEIGHT.astype(second), BIAS.astype(second)
    wide = [a.astype("f8") for a in (hidden, weight, bias)]
    want, want_grads = value_and_grad(INDEX, *wide)
    value, grads = value_and_grad(INDEX, hidden, weight, bias)
    assert value == pytest.approx(want, rel=2e-6)
    for got, expected in zip(grads, want_grads, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    assert linear_cross_entropy(INDEX, hidden, weight, bias, reduction="none").dtype == np.float32


def test_one_float64_array_makes_the_logits_float64():
    value, grads = value_and_grad(INDEX, HIDDEN.astype("f4"), WEIGHT)
    assert [g.dtype for g in grads[:2]] == ["f4", "f8"]
    assert value == pytest.approx(linear_cross_entropy(INDEX, HIDDEN.astype("f4"), WEIGHT), rel=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_leading_dimensions(layout):
    made = LAYOUTS[layout]
    hidden, labels = HIDDEN[:36].reshape(3, 12, D), INDEX[:36].reshape(3, 12)
    mask = MASK[:36].reshape(3, 12)
    options = {"where": mask, "sample_weight": np.arange(3.0)}
    want = linear_cross_entropy(labels, hidden, WEIGHT, BIAS, **options)
    got, grads = value_and_grad(
        made(labels), made(hidden), made(WEIGHT), made(BIAS), workers=2, **options
    )
    assert got == pytest.approx(want, rel=1e-13)
    assert grads[0].shape == hidden.shape and not grads[0][~mask].any()


def test_rows_that_do_not_count_are_not_multiplied():
    hidden, labels = HIDDEN.copy(), INDEX.copy()
    hidden[2], labels[2] = NAN, 10**6
    hidden[5], labels[5] = INF, -100
    mask = np.arange(N) != 2
    rest = mask & (labels != -100)
    want, want_grads = value_and_grad(INDEX[rest], HIDDEN[rest], WEIGHT)
    got, grads = value_and_grad(labels, hidden, WEIGHT, where=mask, ignore_index=-100)
    close(got, want)
    close(grads[0][rest], want_grads[0])
    close(grads[1], want_grads[1])
    assert not grads[0][~rest].any()


def test_nothing_counts():
    none = np.zeros(N, bool)
    value, grads = value_and_grad(INDEX, HIDDEN, WEIGHT, BIAS, where=none)
    assert np.isnan(value) and not any(g.any() for g in grads)
    assert linear_cross_entropy(INDEX, HIDDEN, WEIGHT, where=none, reduction="sum") == 0.0
    empty = linear_cross_entropy(INDEX[:0], HIDDEN[:0], WEIGHT, reduction="none")
    assert empty.shape == (0,)


@pytest.mark.parametrize(
    "name, place, words",
    [("hidden", (4, 1), r"hidden\[4, 1\] is NaN"), ("weight", (7, 2), r"weight\[7, 2\] is NaN"),
     ("bias", (3,), r"bias\[3\] is NaN"), ("soft", (6, 2), r"y_true\[6, 2\] is NaN")],
)  # fmt: skip
@BY_BLOCKS
def test_nan(name, place, words):
    arrays = {
        "soft": SOFT.copy(),
        "hidden": HIDDEN.copy(),
        "weight": WEIGHT.copy(),
        "bias": BIAS.copy(),
    }
    arrays[name][place] = NAN
    args = list(arrays.values())
    if name != "soft":
        args[0] = INDEX
    with pytest.raises(ElementError, match=words):
        linear_cross_entropy(*args)
    with pytest.raises(ElementError, match=words):
        value_and_grad(*args)
    assert np.isnan(linear_cross_entropy(*args, nan_policy="propagate"))
    if name in ("hidden", "soft"):
        rest = np.arange(N) != place[0]
        want, grads = value_and_grad(args[0][rest], HIDDEN[rest], WEIGHT, BIAS)
        got, others = value_and_grad(*args, nan_policy="omit")
        close(got, want)
        close(others[1], grads[1])
        assert not others[0][place[0]].any()


@BY_BLOCKS
def test_masked_words():
    """A bias of -inf takes a word out of the vocabulary, also where a block holds no other."""
    bias = BIAS.copy()
    bias[8:] = -INF
    labels = INDEX % 8
    want, grads = value_and_grad(labels, HIDDEN, WEIGHT[:8], BIAS[:8])
    got, others = value_and_grad(labels, HIDDEN, WEIGHT, bias)
    close(got, want)
    close(others[0], grads[0])
    close(others[1][:8], grads[1])
    assert not others[1][8:].any()
    assert linear_cross_entropy([20], HIDDEN[:1], WEIGHT, bias) == INF


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"hidden": HIDDEN[:, :3]}, ValueError, "weight has shape .23, 5. but hidden has shape"),
        ({"hidden": HIDDEN[0]}, ValueError, "weight has shape"),
        ({"weight": np.empty((0, D))}, ValueError, "has no classes"),
        ({"bias": BIAS[:3]}, ValueError, "bias has shape .3,., but there are 23 classes"),
        ({"y_true": INDEX[:3]}, ValueError, "y_true has shape .3,. but hidden has shape"),
        ({"y_true": INDEX.astype(float)}, ValueError, "holds class indices but has dtype float64"),
        ({"y_true": INDEX + K}, ElementError, r"y_true\[0\] = .* is not a valid class index"),
        ({"y_true": -1 - INDEX}, ElementError, "is not a valid class index: weight has 23 classes"),
        ({"y_true": SOFT + 1}, ElementError, r"y_true\[0, 0\] = .* is outside \[0, 1\]"),
        ({"sample_weight": -SAMPLE}, ElementError, r"sample_weight\[0\] = -"),
        ({"sample_weight": SAMPLE[:3]}, ValueError, "sample_weight has shape"),
        ({"class_weight": CLASS[:3]}, ValueError, "class_weight has shape"),
        ({"where": INDEX}, TypeError, "where has dtype"),
        ({"softcap": 0.0}, ValueError, r"softcap=0.0 is not in \[1e-30, 1e\+30\]; None: no cap"),
        ({"z_loss": -1.0}, ValueError, "z_loss=-1.0 is not"),
        ({"label_smoothing": 2.0}, ValueError, "label_smoothing=2.0"),
        ({"nan_policy": "no"}, ValueError, "nan_policy='no'"),
        ({"reduction": "no"}, ValueError, "reduction='no'"),
        ({"workers": 0}, ValueError, "workers=0"),
        ({"hidden": HIDDEN.astype(complex)}, TypeError, "hidden has dtype"),
    ],
)
@pytest.mark.parametrize("f", [linear_cross_entropy, value_and_grad])
def test_refusals(f, change, error, words):
    call = {"y_true": INDEX, "hidden": HIDDEN, "weight": WEIGHT, "bias": BIAS} | change
    with pytest.raises(error, match=words):
        f(**call)


@pytest.mark.parametrize("dtype", ["f4", "f2"])
@pytest.mark.parametrize("derivative", [False, True])
def test_memory(dtype, derivative):
    """At most 64 MiB beyond inputs and outputs, where the logits would take more."""
    hidden = RNG.normal(size=(2048, 16)).astype(dtype)
    weight = RNG.normal(size=(20_000, 16)).astype(dtype)
    labels = RNG.integers(0, 20_000, 2048)
    f = value_and_grad if derivative else linear_cross_entropy
    outputs = 4 * (hidden.size + weight.size) if derivative else 0
    assert peak(lambda: f(labels, hidden, weight)) < (64 << 20) + outputs


@pytest.mark.parametrize("dtype", ["f4", "f2"])
@pytest.mark.parametrize("derivative", [False, True])
def test_the_hidden_states_that_are_copied_count_too(dtype, derivative, monkeypatch):
    """Rows between which others are left out are copied, and have a gradient beside them."""
    monkeypatch.setattr(products, "BLOCK", 4 << 20)
    monkeypatch.setattr(products, "STAGED", 1 << 17)
    hidden = RNG.normal(size=(512, 1024)).astype(dtype)
    weight = RNG.normal(size=(3000, 1024)).astype(dtype)
    labels = RNG.integers(0, 3000, 512)
    labels[::9] = -100
    f = value_and_grad if derivative else linear_cross_entropy
    outputs = 4 * (hidden.size + weight.size) if derivative else 0
    assert peak(lambda: f(labels, hidden, weight, ignore_index=-100)) < (6 << 20) + outputs


def test_the_sizes_of_the_blocks():
    """Whole rows where enough of them fit, for a gradient; never more than the bytes there are."""

    def sizes(rows, classes, features, dtype, derivative):
        arrays = (
            np.broadcast_to(np.zeros(1, dtype), (rows, features)),
            np.broadcast_to(np.zeros(1, dtype), (classes, features)),
        )
        call = LinearCall(np.zeros(rows, int), *arrays, None, LinearOptions())
        return products.Product(call.operands).plan(derivative)

    for case in itertools.product(
        (1, 100, 5000), (2, 50_257, 300_000), (64, 4096), ("f4", "f8", "f2"), (False, True)
    ):
        rows, words = sizes(*case)
        size = 8 if case[3] == "f8" else 4
        assert 1 <= rows <= case[0] and 1 <= words <= case[1]
        assert rows * words * size <= products.BLOCK
    assert sizes(2048, 50_257, 1024, "f4", True).words == 50_257
    assert sizes(2048, 50_257, 1024, "f4", True).rows >= 200
    assert sizes(512, 128_256, 4096, "f2", False).rows == 512


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_padded_texts_have_one_perplexity_whatever_the_batch_size(dtype):
    """From logits and from hidden states, to the last digit printed."""
    lengths = [5, 17, 3, 30, 12, 8, 21, 1]
    texts = [RNG.integers(0, K, n) for n in lengths]
    states = [RNG.normal(size=(n, D)).astype(dtype) for n in lengths]
    weight, printed = WEIGHT.astype(dtype), set()
    for size in (1, 3, 8):
        accumulators = (
            fastxent.LossAccumulator("categorical_cross_entropy_with_logits", ignore_index=-100),
            fastxent.LossAccumulator(linear_cross_entropy, weight=weight, ignore_index=-100),
        )
        for start in range(0, 8, size):
            batch = range(start, min(8, start + size))
            longest = max(lengths[i] for i in batch)
            labels = np.full((len(batch), longest), -100)
            hidden = np.full((len(batch), longest, D), NAN, dtype)
            for row, i in enumerate(batch):
                labels[row, : lengths[i]], hidden[row, : lengths[i]] = texts[i], states[i]
            scores = np.nan_to_num(hidden) @ weight.T, hidden
            for acc, array in zip(accumulators, scores, strict=True):
                acc.update(labels, array, clusters=np.array(batch))
        for acc in accumulators:
            assert acc.count == sum(lengths)
            error = acc.score().perplexity_standard_error
            bits = fastxent.bits_per_byte(acc.total, 1000)
            printed.add(f"{acc.perplexity:.4f} ± {error:.4f}, {bits:.4f} bits per byte")
    assert len(printed) == 1

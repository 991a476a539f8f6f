"""Objects that are no arrays, or fail when they are converted: each is refused by name."""

import types
import warnings
from functools import partial

import numpy as np
import pytest

import fastxent
from helpers.losses import LOGITS, LOSSES, loss

P, Y = np.array([0.2, 0.7, 0.5]), np.array([0, 1, 1])
ROWS, INDEX = np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]), np.array([1, 0, 0])
GRADIENTS = [
    name.replace("with_logits", end) for name in LOGITS for end in ("value_and_grad", "grad_hess")
]


def raiser(error):
    def refuse(*_, **__):
        raise error

    return refuse


def calls(name, bad):
    """One call for each argument that takes an array."""
    categorical = name.startswith("categorical")
    y, scores = (INDEX, ROWS) if categorical else (Y, P)
    scores_name = "y_proba" if name in LOSSES and name not in LOGITS else "logits"
    options = ["sample_weight", "where"]
    options += ["class_weight"] if categorical else ["pos_weight"] * (scores_name == "logits")
    f = loss(name)
    yield "y_true", lambda: f(bad, scores)
    yield scores_name, lambda: f(y, bad)
    for option in options:
        yield option, lambda option=option: f(y, scores, **{option: bad})


@pytest.mark.parametrize("name", [*LOSSES, *GRADIENTS])
@pytest.mark.parametrize("error", [ZeroDivisionError("nought"), KeyError("a"), ValueError("no")])
def test_an_object_whose_array_fails(name, error):
    """Whatever it raises becomes a TypeError, or a ValueError if it was one, that names the argument."""
    kind = ValueError if isinstance(error, ValueError) else TypeError
    for argument, call in calls(name, type("Broken", (), {"__array__": raiser(error)})()):
        with pytest.raises(kind, match=rf"^{argument} cannot be read as an array: .*") as found:
            call()
        assert str(error) in str(found.value)
        assert found.value.__cause__ is error


class UnicodeArray:
    """Its error cannot be constructed from a text."""

    def __array__(self, dtype=None, copy=None):
        return b"\xff".decode()


@pytest.mark.parametrize(
    "members",
    [
        {"__array_interface__": "no dict"},
        {"__array_interface__": {"shape": (3,), "typestr": "<zz", "version": 3}},
        {"__array_interface__": {"shape": (3,), "typestr": "<f8", "version": 3, "data": (0, True)}},
        {
            "__array_interface__": {
                "shape": (-3,),
                "typestr": "<f8",
                "version": 3,
                "data": (8, True),
            }
        },
        {"__array__": lambda *_, **__: "text"},
        {"__array__": UnicodeArray.__array__},
        {"__dlpack__": lambda *_, **__: 3, "__dlpack_device__": lambda _: (1, 0)},
        {"__dlpack__": lambda *_, **__: 3, "__dlpack_device__": lambda _: "cpu"},
        {"__dlpack__": raiser(KeyError("a")), "__dlpack_device__": raiser(OSError("b"))},
        {"__array__": raiser(OSError("a")), "device": property(raiser(OSError("gone")))},
    ],
)
def test_objects_that_lie(members):
    for argument, call in calls("binary_cross_entropy_with_logits", type("Lie", (), members)()):
        with pytest.raises((TypeError, ValueError), match=rf"^{argument} cannot be read"):
            call()


def test_no_memory_is_no_bad_input():
    broken = type("Large", (), {"__array__": raiser(MemoryError())})()
    with pytest.raises(MemoryError):
        fastxent.binary_cross_entropy(Y, broken)


@pytest.mark.parametrize(
    "thing, way",
    [
        (None, "NoneType: pass an array, or a list of numbers"),
        ({}, "dict: pass an array"),
        ("abc", "str: pass an array"),
        (b"abc", "bytes: pass an array"),
        (object(), "object: pass an array"),
        (iter([0, 1, 1]), r"list_iterator: pass list\({}\)"),
        ((x for x in [0, 1, 1]), r"generator: pass list\({}\)"),
        (types.SimpleNamespace(toarray=None), r"SimpleNamespace: pass {}\.toarray\(\)"),
    ],
)
@pytest.mark.parametrize("name", [*LOSSES, *GRADIENTS])
def test_what_is_no_array(name, thing, way):
    for argument, call in calls(name, thing):
        if thing is None and argument not in ("y_true", "y_proba", "logits"):
            continue  # an option that is not given
        if thing == {} and argument == "class_weight":
            continue  # every class weighs 1
        with pytest.raises(TypeError, match=f"^{argument} is a {way.format(argument)}"):
            call()


@pytest.mark.parametrize("name", [*LOSSES, *GRADIENTS])
def test_missing_values_among_objects(name):
    objects = np.array([1, None, 0], object)
    for argument, call in calls(name, objects):
        with pytest.raises(TypeError, match=rf"^{argument} has dtype object.*values are missing"):
            call()


@pytest.mark.parametrize("option", ["eps", "label_smoothing"])
def test_numbers_are_numbers(option):
    for bad in ("0.1", b"0.1", 10**400, -(10**400), 0.1j, [0.1], None):
        with pytest.raises((TypeError, ValueError), match=option):
            fastxent.binary_cross_entropy(Y, P, **{option: bad})


def test_numbers_of_a_dict():
    for bad in ("2", 10**400, None):
        with pytest.raises((TypeError, ValueError), match=r"class_weight\[1\]"):
            fastxent.categorical_cross_entropy(INDEX, ROWS, class_weight={1: bad})


@pytest.mark.parametrize("full", ["no", 0, 1, None, np.nan, [True]])
def test_a_flag_is_a_boolean(full):
    with pytest.raises(TypeError, match=r"full=.*True or False"):
        fastxent.gaussian_nll(P, P, full=full)
    assert fastxent.gaussian_nll(P, P, full=np.True_) == fastxent.gaussian_nll(P, P, full=True)


def test_bits_of_no_number():
    for bad in (None, "1", fastxent.LossAccumulator("binary_cross_entropy")):
        with pytest.raises(TypeError, match="total="):
            fastxent.bits_per_byte(bad, 10)


def test_a_reduction_is_one_word():
    with pytest.raises(ValueError, match="reduction="):
        fastxent.binary_cross_entropy(Y, P, reduction=np.array(["mean", "sum"]))
    with pytest.raises(ValueError, match="nan_policy="):
        fastxent.binary_cross_entropy(Y, P, nan_policy=np.array(["omit", "raise"]))


@pytest.mark.parametrize("labels", [[1e300, 0, 0], [2.0**63, 0, 0], [np.inf, 0, 0], [1.5, 0, 0]])
def test_floats_that_are_no_class_indices(labels):
    """Boosted trees pass floats: one that is not whole is named, without a warning of the cast."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="y_true"):
            fastxent.categorical_cross_entropy_grad_hess(np.array(labels), ROWS)


@pytest.mark.parametrize("dtype", [int, float])
@pytest.mark.parametrize("name", [*LOSSES, *GRADIENTS])
def test_no_mask_is_dropped(name, dtype):
    masked = np.ma.array([1, 0, 0], dtype, mask=[True, False, False])
    for argument, call in calls(name, masked):
        with pytest.raises(TypeError, match=f"{argument} is a masked array"):
            call()


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_matrix_is_an_array():
    """Although it cannot have one dimension."""
    want = fastxent.binary_cross_entropy(Y[None], P[None], reduction="none")
    got = fastxent.binary_cross_entropy(np.matrix(Y), np.matrix(P), reduction="none")
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, want)
    each = fastxent.categorical_cross_entropy(INDEX, np.matrix(ROWS), reduction="none")
    np.testing.assert_array_equal(
        each, fastxent.categorical_cross_entropy(INDEX, ROWS, reduction="none")
    )
    with pytest.raises(ValueError, match=r"y_proba\[0, 1\] = 7"):
        fastxent.binary_cross_entropy(np.matrix(Y), np.matrix([0.5, 7, 0.5]))


# -------------------------------------------------------------------- sums of weights beyond a float


def weighted(weight):
    """Every way to a mean."""
    w = {"sample_weight": np.full(3, weight)}
    for name in [*LOSSES, *GRADIENTS[::2]]:
        pair = (INDEX, ROWS) if name.startswith("categorical") else (Y, P)
        yield partial(loss(name), *pair, **w)
        if name.startswith("categorical"):
            yield partial(loss(name), *pair, class_weight=np.full(2, weight))
        if name in LOSSES:
            yield partial(fastxent.score, name, *pair, **w)
            yield partial(fastxent.grouped, name, *pair, [0, 0, 0], **w)
    yield partial(fastxent.log_loss, Y, P, **w)
    yield partial(fastxent.compare, "binary_cross_entropy", Y, P, P[::-1], **w)


@pytest.mark.parametrize("weight", [5e-324, 1e-309, 1e308, 1.7e308])
def test_weights_that_a_float_cannot_sum(weight):
    """Divided by inf, or by a sum that has lost its digits, a mean and its gradient would be wrong."""
    for call in weighted(weight):
        with pytest.raises(ValueError, match=r"sample_weight or class_weight: .* sum to"):
            call()
    total = fastxent.LossAccumulator("binary_cross_entropy")
    total.update(Y, P, sample_weight=[weight] * 3)
    with pytest.raises(ValueError, match="weights sum to"):
        total.result()
    assert "of 3" in repr(total)


@pytest.mark.parametrize("weight", [1e-300, 1e300])
def test_weights_whose_squares_a_float_cannot_sum(weight):
    """The mean is right; a standard error would be 0, or nan."""
    w = np.full(3, weight)
    want = fastxent.binary_cross_entropy(Y, P)
    got = fastxent.binary_cross_entropy(Y, P, sample_weight=w)
    assert got == pytest.approx(want, rel=1e-15)
    with pytest.raises(ValueError, match="squares of the weights sum to"):
        fastxent.score("binary_cross_entropy", Y, P, sample_weight=w)


def test_negative_weights_of_log_loss():
    """scikit-learn takes them: their sum may be negative, and too large as well."""
    each = -np.log([0.8, 0.7, 0.5])
    for w in ([-1.0, -2.0, -0.5], [3.0, -1.0, 0.5]):
        got = fastxent.log_loss(Y, P, sample_weight=w)
        assert got == pytest.approx(np.average(each, weights=w), rel=1e-14)
    for w in ([-1.7e308] * 3, [1.7e308, 1.7e308, -1.0]):
        with pytest.raises(ValueError, match="weights sum to inf"):
            fastxent.log_loss(Y, P, sample_weight=w)

"""Bad scores, labels and shapes: every error names the argument, the value, where it stands, and
what to do.
"""

import copy
import pickle

import numpy as np
import pytest

import fastxent
from helpers.bad_input import SPOTS, good, refused
from helpers.layouts import LAYOUTS
from helpers.losses import BINARY, CATEGORICAL, LOGITS, LOSSES, PROBABILITIES, loss

pytestmark = [pytest.mark.wheel, pytest.mark.arm64]

NAN = float("nan")
WRONG = (ValueError, TypeError)


# ------------------------------------------------------------------------------------ scores


@pytest.mark.parametrize("value", [1.5, -0.1, 1.0000000000000002, -1e-300, 3e38, np.inf, -np.inf])
@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_outside_the_unit_interval(name, value):
    for spot in SPOTS:
        y, p = good(name)
        at = spot if name in BINARY else (spot, y[spot])
        p[at] = value
        where = rf"\[{spot}\]" if name in BINARY else rf"\[{spot}, {y[spot]}\]"
        number = str(value).replace("+", r"\+")
        text = refused(name, y, p, match=rf"y_proba{where}.*{number}.*outside \[0, 1\]")
        assert "logit" in text
        assert f"{name}_with_logits" in text


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_of_other_types(name, dtype):
    y, p = good(name)
    p = p.astype(dtype)
    p[5 if name in BINARY else (5, y[5])] = 1.5
    refused(name, y, p, match=r"y_proba\[5.*1\.5.*outside")


@pytest.mark.parametrize("name", LOSSES)
def test_nan_among_the_scores(name):
    scores_name = "logits" if name in LOGITS else "y_proba"
    for spot in SPOTS:
        y, scores = good(name)
        scores[spot if name in BINARY else (spot, y[spot])] = NAN
        text = refused(name, y, scores, match=rf"{scores_name}\[{spot}.*nan")
        assert "propagate" in text and "omit" in text


@pytest.mark.parametrize("name", LOSSES)
def test_the_first_of_several_is_named(name):
    y, scores = good(name)
    for spot in (2500, 700, 1999):
        scores[spot] = NAN
    refused(name, y, scores, match=r"\[700[,\]]")


@pytest.mark.parametrize("name", LOSSES)
def test_where_it_stands_in_many_dimensions(name):
    y, scores = good(name)
    shape = (2, 30, 50)
    y, scores = y.reshape(shape), scores.reshape(shape + scores.shape[1:])
    scores[1, 7, 49] = NAN
    for made in LAYOUTS.values():
        refused(name, made(y), made(scores), match=r"\[1, 7, 49")


@pytest.mark.parametrize("name", CATEGORICAL)
def test_where_it_stands_along_any_axis(name):
    y, scores = good(name)
    scores[1234, y[1234]] = NAN
    refused(name, y, np.ascontiguousarray(scores.T), axis=0, match=rf"\[{y[1234]}, 1234\]|\[1234\]")


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "dtype", ["longdouble", "complex64", "complex128", "object", "U3", "S3", "M8[s]"]
)
def test_scores_of_a_type_that_is_no_number(name, dtype):
    y, scores = good(name, 4)
    with pytest.raises(TypeError, match="logits" if name in LOGITS else "y_proba"):
        loss(name)(y, np.zeros(scores.shape, dtype))


@pytest.mark.parametrize("name", CATEGORICAL)
def test_zero_classes(name):
    for shape in [(3, 0), (0, 0)]:
        with pytest.raises(ValueError, match=r"no classes|classes"):
            loss(name)(np.zeros(shape[0], int), np.zeros(shape))


def test_rows_without_a_distribution():
    f = "categorical_cross_entropy_with_logits"
    for row in ([-np.inf] * 3, [np.inf, np.inf, 0]):
        y, z = good(f)
        y[1500], z[1500] = 0, row
        refused(f, y, z, match=r"logits\[1500.*its loss is undefined")
        z[1500] = 0
        want = loss(f)(y, z, where=np.arange(3000) != 1500)
        z[1500] = row
        assert loss(f)(y, z, nan_policy="omit") == want


# ------------------------------------------------------------------------------------ labels


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint64"])
@pytest.mark.parametrize("name", BINARY)
def test_binary_labels_other_than_0_and_1(name, dtype):
    info = np.iinfo(dtype)
    for value in {2, -1 if info.min else 3, info.max, info.min or 255}:
        for spot in SPOTS:
            y, scores = good(name)
            y = y.astype(dtype)
            y[spot] = value
            refused(name, y, scores, match=rf"y_true\[{spot}\].*{value}.*0 or 1")


@pytest.mark.parametrize("value", [1.5, -0.5, 2.0, -1e-30, np.inf, -np.inf])
@pytest.mark.parametrize("name", BINARY)
def test_soft_binary_labels_outside_the_unit_interval(name, value):
    for dtype in ("float64", "float32"):
        y, scores = good(name)
        y = y.astype(dtype)
        y[1030] = value
        refused(name, y, scores, match=r"y_true\[1030\].*outside \[0, 1\]")


@pytest.mark.parametrize("value", [-0.25, 1.25, 7, np.inf])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_distributions_with_entries_outside_the_unit_interval(name, value):
    y, scores = good(name)
    q = np.eye(3)[y]
    q[1500, 1] = value
    refused(name, q, scores, match=r"y_true\[1500, 1\].*outside \[0, 1\]")


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_class_indices_out_of_range(name, dtype):
    """A negative one never counts from the end, nor is memory beyond the row ever read."""
    info = np.iinfo(dtype)
    for value in {-1 if info.min else 3, 3, info.max, info.min or info.max - 1}:
        for spot in SPOTS:
            y, scores = good(name)
            y = y.astype(dtype)
            y[spot] = value
            refused(name, y, scores, match=rf"y_true\[{spot}\].*{value}.*3 classes")
            refused(name, y, scores, label_smoothing=0.1, match=rf"y_true\[{spot}\].*{value}")


@pytest.mark.parametrize("dtype", ["longdouble", "complex128", "object", "U1", "S1"])
@pytest.mark.parametrize("name", LOSSES)
def test_labels_of_a_type_that_is_no_number(name, dtype):
    y, scores = good(name, 4)
    with pytest.raises(TypeError, match="y_true"):
        loss(name)(np.zeros(y.shape, dtype), scores)


@pytest.mark.parametrize("name", LOSSES)
def test_nan_among_the_labels(name):
    y, scores = good(name)
    y = y.astype(float) if name in BINARY else np.eye(3)[y]
    y[1025] = NAN
    text = refused(name, y, scores, match=r"y_true\[1025.*nan")
    assert "propagate" in text and "omit" in text


# ------------------------------------------------------------------------------------ shapes


@pytest.mark.parametrize("shapes", [((4,), (4, 1)), ((4, 1), (4,)), ((4,), (5,)), ((2, 3), (3, 2))])
@pytest.mark.parametrize("name", BINARY)
def test_nothing_is_broadcast(name, shapes):
    y, scores = np.zeros(shapes[0]), np.full(shapes[1], 0.5)
    with pytest.raises(ValueError, match=r"y_true.*shape") as caught:
        loss(name)(y, scores)
    for shape in shapes:
        assert str(shape) in str(caught.value)


@pytest.mark.parametrize(
    "shapes", [((4,), (5, 3)), ((4, 1), (4, 3)), ((3,), (3, 4, 5)), ((4, 3), (4, 2))]
)
@pytest.mark.parametrize("name", CATEGORICAL)
def test_labels_of_another_shape(name, shapes):
    y, scores = np.zeros(shapes[0], int), np.full(shapes[1], 0.5)
    with pytest.raises(ValueError, match=r"y_true.*shape") as caught:
        loss(name)(y, scores)
    for shape in shapes:
        assert str(shape) in str(caught.value)


@pytest.mark.parametrize("axis", [2, -3, 100])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_no_such_axis(name, axis):
    y, scores = good(name, 4)
    with pytest.raises(ValueError, match=f"axis.*{axis}"):
        loss(name)(y, scores, axis=axis)


@pytest.mark.parametrize("name", LOSSES)
def test_ragged_lists(name):
    with pytest.raises(WRONG, match="logits" if name in LOGITS else "y_proba"):
        loss(name)([0, 1], [[0.5], [0.5, 0.5]])


@pytest.mark.parametrize("name", LOSSES)
def test_masked_arrays_are_refused(name):
    """NumPy's own functions would drop the mask without a word."""
    y, scores = good(name, 4)
    masked = np.ma.masked_array(scores, mask=np.zeros(scores.shape, bool))
    with pytest.raises(TypeError, match="where"):
        loss(name)(y, masked)


# -------------------------------------------------------------------------------------- data

ELEMENTS = [
    ("binary_cross_entropy", ([0, 1], [0.5, NAN]), {}, "y_proba", (1,), "nan"),
    ("binary_cross_entropy", ([0, 1], [0.5, 1.5]), {}, "y_proba", (1,), "outside"),
    ("binary_cross_entropy", ([0.5, 1.5], [0.5, 0.5]), {}, "y_true", (1,), "outside"),
    ("binary_cross_entropy", ([[0], [2]], [[0.5], [0.5]]), {}, "y_true", (1, 0), "label"),
    ("categorical_cross_entropy", ([1, 2], np.eye(2)), {}, "y_true", (1,), "class_index"),
    ("entropy", ([[0.5, 0.5], [0.5, NAN]],), {}, "p", (1, 1), "nan"),
    ("entropy", ([[0.5, 0.5]],), {"sample_weight": [-1]}, "sample_weight", (0,), "weight"),
    (
        "categorical_cross_entropy",
        ([1, 0], np.eye(2)),
        {"class_weight": [1, NAN]},
        "class_weight",
        (1,),
        "weight",
    ),
    (
        "binary_cross_entropy_with_logits",
        ([1, 0], [0.5, 0.5]),
        {"pos_weight": [1, -1]},
        "pos_weight",
        (1,),
        "scale",
    ),
    ("gaussian_nll", ([1, 0], [0.5, 0.5], [1, 0]), {}, "var", (1,), "scale"),
    (
        "categorical_cross_entropy_with_logits",
        ([1], [[-np.inf, -np.inf]]),
        {},
        "logits",
        (0,),
        "undefined_row",
    ),
]


@pytest.mark.parametrize(
    "name, args, options, argument, index, kind",
    ELEMENTS,
    ids=lambda v: v if type(v) is str else "",
)
def test_an_error_carries_data(name, args, options, argument, index, kind):
    """The argument, the index and the kind are there as data, and survive pickling."""
    with pytest.raises(fastxent.ElementError) as info:
        loss(name)(*args, **options)
    for error in (info.value, pickle.loads(pickle.dumps(info.value)), copy.copy(info.value)):
        assert isinstance(error, ValueError)
        assert (error.argument, error.index, error.kind) == (argument, index, kind)
        assert str(error) == str(info.value)
        assert str(error).startswith(f"{argument}[{', '.join(map(str, index))}]")
        assert (error.value is None) == (kind == "undefined_row")

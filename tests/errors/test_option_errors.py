"""Bad weights and options: the error names the argument, the value, and what it may be."""

import numpy as np
import pytest

from helpers.bad_input import SPOTS, good, refused
from helpers.losses import CATEGORICAL, LOSSES, PROBABILITIES, loss

NAN = float("nan")
WRONG = (ValueError, TypeError)


# ----------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("value", [-1.0, -1e-300, NAN, -np.inf])
@pytest.mark.parametrize("name", LOSSES)
def test_bad_sample_weights(name, value):
    for spot in SPOTS:
        y, scores = good(name)
        w = np.ones(3000)
        w[spot] = value
        number = "nan" if value != value else str(value)
        refused(name, y, scores, sample_weight=w, match=rf"sample_weight\[{spot}\].*{number}")
        for policy in ("omit", "propagate"):
            refused(name, y, scores, sample_weight=w, nan_policy=policy, match="sample_weight")


@pytest.mark.parametrize("name", LOSSES)
def test_bad_integer_weights(name):
    y, scores = good(name, 4)
    refused(name, y, scores, sample_weight=[1, 1, -2, 1], match=r"sample_weight\[2\].*-2")


@pytest.mark.parametrize("shape", [(5,), (4, 1), (1,), ()])
@pytest.mark.parametrize("name", LOSSES)
def test_sample_weights_of_another_shape(name, shape):
    y, scores = good(name, 4)
    with pytest.raises(ValueError, match="sample_weight"):
        loss(name)(y, scores, sample_weight=np.ones(shape))


@pytest.mark.parametrize("name", LOSSES)
def test_sample_weights_per_leading_index_alone(name):
    y, scores = good(name, 12)
    y, scores = y.reshape(3, 4), scores.reshape(3, 4, *scores.shape[1:])
    loss(name)(y, scores, sample_weight=np.ones(3))
    loss(name)(y, scores, sample_weight=np.ones((3, 4)))
    for shape in ((4,), (1, 4), (3, 1)):
        with pytest.raises(ValueError, match=r"sample_weight.*\(3, 4\)"):
            loss(name)(y, scores, sample_weight=np.ones(shape))


@pytest.mark.parametrize("weights", [[1, 1], [1, 1, 1, 1], [[1, 1, 1]], 1.0])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_class_weights_of_another_length(name, weights):
    with pytest.raises(ValueError, match=r"class_weight.*3 classes"):
        loss(name)(*good(name, 4), class_weight=weights)


@pytest.mark.parametrize("weights", [[1, -1, 1], [1, NAN, 1], {1: -1}, {1: NAN}])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_bad_class_weights(name, weights):
    with pytest.raises(ValueError, match=r"class_weight\[1\].*(-1|nan)"):
        loss(name)(*good(name, 4), class_weight=weights)


@pytest.mark.parametrize("weights", [{3: 1.0}, {-1: 1.0}])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_weights_of_classes_that_are_not(name, weights):
    with pytest.raises(ValueError, match=r"class_weight.*class (3|-1)"):
        loss(name)(*good(name, 4), class_weight=weights)


@pytest.mark.parametrize("value", [-1.0, NAN, np.inf])
def test_bad_pos_weights(value):
    name = "binary_cross_entropy_with_logits"
    y, z = good(name)
    text = r"pos_weight.*" + str(value)
    refused(name, y, z, pos_weight=value, match=text)
    w = np.ones(3000)
    w[1500] = value
    refused(name, y, z, pos_weight=w, match=r"pos_weight\[1500\].*" + str(value))


def test_pos_weights_of_another_shape():
    name = "binary_cross_entropy_with_logits"
    with pytest.raises(ValueError, match=r"pos_weight.*\(3,\)"):
        loss(name)(*good(name, 4), pos_weight=np.ones(3))


# ----------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "options, match",
    [
        ({"label_smoothing": -0.1}, r"label_smoothing.*-0\.1"),
        ({"label_smoothing": 1.1}, r"label_smoothing.*1\.1"),
        ({"label_smoothing": NAN}, r"label_smoothing.*nan"),
        ({"nan_policy": "ignore"}, r"nan_policy.*'ignore'.*'omit'"),
        ({"reduction": "average"}, r"reduction.*'average'.*'mean'"),
        ({"reduction": None}, r"reduction.*None"),
        ({"workers": 0}, r"workers.*0"),
        ({"workers": -2}, r"workers.*-2"),
        ({"where": [True, False]}, r"where.*\(2,\).*\(4,\)"),
    ],
)
@pytest.mark.parametrize("name", LOSSES)
def test_options_out_of_range(name, options, match):
    with pytest.raises(ValueError, match=match):
        loss(name)(*good(name, 4), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"label_smoothing": "0.1x"},
        {"workers": 1.5},
        {"workers": "2"},
        {"where": [1, 0, 1, 1]},
        {"where": [1.0, 0.0, 1.0, 1.0]},
        {"sample_weight": list("abcd")},
        {"out": [0.0] * 4, "reduction": "none"},
        {"reduction": ["mean"]},
        {"nan_policy": None},
    ],
)
@pytest.mark.parametrize("name", LOSSES)
def test_options_of_another_type(name, options):
    with pytest.raises(WRONG, match=next(iter(options))):
        loss(name)(*good(name, 4), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"axis": 0.5},
        {"axis": None},
        {"class_weight": "abc"},
        {"class_weight": ["a", "b", "c"]},
        {"class_weight": {"a": 1.0}},
        {"class_weight": {0: "heavy"}},
        {"class_weight": [1, 1j, 1]},
        {"ignore_index": 0.5},
        {"ignore_index": "0"},
        {"ignore_index": 2**70},
    ],
)
@pytest.mark.parametrize("name", CATEGORICAL)
def test_options_of_classes_of_another_type(name, options):
    with pytest.raises((*WRONG, OverflowError), match=next(iter(options))):
        loss(name)(*good(name, 4), **options)


@pytest.mark.parametrize("weight", ["3", [[1.0], [1.0, 2.0]], 1j, object()])
def test_pos_weights_of_another_type(weight):
    with pytest.raises(WRONG, match="pos_weight"):
        loss("binary_cross_entropy_with_logits")([0, 1], [0.5, 0.5], pos_weight=weight)


@pytest.mark.parametrize("weights", [[[1.0], [1.0, 2.0]], [1j, 1j], np.ones(2, "longdouble")])
@pytest.mark.parametrize("name", LOSSES)
def test_sample_weights_of_another_type(name, weights):
    with pytest.raises(WRONG, match="sample_weight"):
        loss(name)(*good(name, 2), sample_weight=weights)


@pytest.mark.parametrize("eps", [-1e-9, 0.5, 1.0, NAN, np.inf])
@pytest.mark.parametrize("name", PROBABILITIES)
def test_eps_out_of_range(name, eps):
    with pytest.raises(ValueError, match=rf"eps.*{eps}"):
        loss(name)(*good(name, 4), eps=eps)
    with pytest.raises(ValueError, match=r"eps.*'tiny'.*auto"):
        loss(name)(*good(name, 4), eps="tiny")
    with pytest.raises(WRONG, match="eps"):
        loss(name)(*good(name, 4), eps=None)


@pytest.mark.parametrize("name", CATEGORICAL)
def test_ignore_index_of_distributions(name):
    y, scores = good(name, 4)
    with pytest.raises(ValueError, match="ignore_index"):
        loss(name)(np.eye(3)[y], scores, ignore_index=1)


@pytest.mark.parametrize("name", LOSSES)
def test_what_a_loss_does_not_take(name):
    others = {"axis": -1, "class_weight": None, "ignore_index": 0, "pos_weight": 2.0, "eps": 0.0}
    takes = {"axis", "class_weight", "ignore_index"} if name in CATEGORICAL else set()
    takes |= {"eps"} if name in PROBABILITIES else set()
    takes |= {"pos_weight"} if name == "binary_cross_entropy_with_logits" else set()
    for option in others.keys() - takes:
        with pytest.raises(TypeError, match=option):
            loss(name)(*good(name, 4), **{option: others[option]})


@pytest.mark.parametrize("name", LOSSES)
def test_options_are_named(name):
    with pytest.raises(TypeError, match="positional"):
        loss(name)(*good(name, 4), None)

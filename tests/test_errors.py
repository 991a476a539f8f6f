"""Bad input: every error names the argument, the value, where it stands, and what to do."""

import numpy as np
import pytest

from tools import BINARY, CATEGORICAL, LAYOUTS, LOGITS, LOSSES, PROBABILITIES, loss

NAN = float("nan")
WRONG = (ValueError, TypeError)


def good(name, n=3000):
    """3,000 positions: bad ones stand in any block, alone or in a tail."""
    rng = np.random.default_rng(9)
    if name in BINARY:
        p, y = rng.uniform(0.1, 0.9, n), rng.integers(0, 2, n)
    else:
        p, y = rng.dirichlet(np.ones(3), n), rng.integers(0, 3, n)
    return y, np.log(p) if name in LOGITS else p


def refused(name, *args, match, **options):
    """Under every reduction, by one worker and by two; all three texts are one."""
    texts = set()
    for reduction in ("mean", "sum", "none"):
        for workers in (1, 2):
            with pytest.raises(ValueError, match=match) as caught:
                loss(name)(*args, reduction=reduction, workers=workers, **options)
            texts.add(str(caught.value))
    assert len(texts) == 1
    return texts.pop()


SPOTS = [0, 1, 31, 1023, 1024, 2047, 2998, 2999]


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
        refused(f, y, z, match=r"logits\[1500.*no distribution")
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


@pytest.mark.parametrize("labels", [[0.5, 1.0], [0.0, 1.0]])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_floats_are_no_class_indices(name, labels):
    with pytest.raises(WRONG, match=r"y_true.*(integer|float)"):
        loss(name)(labels, [[0.5, 0.5], [0.5, 0.5]])


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


# --------------------------------------------------------------------------------------- out


@pytest.mark.parametrize("name", LOSSES)
def test_out_that_does_not_fit(name):
    y, scores = good(name, 4)
    read_only = np.empty(4)
    read_only.flags.writeable = False
    bad = {
        r"out.*\(5,\)": np.empty(5),
        r"out.*\(4, 1\)": np.empty((4, 1)),
        r"out.*float32": np.empty(4, np.float32),
        r"out.*int64": np.empty(4, np.int64),
        r"out.*>f8": np.empty(4, ">f8"),
        r"out.*read-only": read_only,
    }
    for match, out in bad.items():
        with pytest.raises(ValueError, match=match):
            loss(name)(y, scores, reduction="none", out=out)
    with pytest.raises(ValueError, match=r"out.*float64"):
        loss(name)(y, scores.astype(np.float32), reduction="none", out=np.empty(4))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_out_is_never_accepted_and_ignored(name, reduction):
    with pytest.raises(ValueError, match=r"out.*none"):
        loss(name)(*good(name, 4), reduction=reduction, out=np.empty(4))


@pytest.mark.parametrize("name", LOSSES)
def test_masked_arrays_are_refused(name):
    """NumPy's own functions would drop the mask without a word."""
    y, scores = good(name, 4)
    masked = np.ma.masked_array(scores, mask=np.zeros(scores.shape, bool))
    with pytest.raises(TypeError, match="where"):
        loss(name)(y, masked)

"""`out` may lie where an input does: each input is it in turn, and the result is right or refused."""

import numpy as np
import pytest

import fastxent

SIZES = [3, 100, 5000, 600_001]  # in a block, over blocks, over chunks and workers
TABLES = [(3, 3), (100, 100), (1500, 1500), (70_001, 3), (5, 5000), (20_000, 40)]
BINARY_LOSSES = ["binary_cross_entropy_with_logits", "binary_focal_loss", "gaussian_nll"]


def right_or_refused(name, arrays, place, **options):
    """`place` makes `out` of a copy of the arrays; whether the call was made."""
    f = getattr(fastxent, name)
    want = f(**arrays, **options)
    copies = {key: array.copy() for key, array in arrays.items()}
    refused, got = "", None
    try:
        got = f(**copies, out=place(copies), **options)
    except ValueError as error:
        refused = str(error)
    if refused:
        assert "overlaps an input" in refused
        assert all(np.array_equal(copies[key], array) for key, array in arrays.items())
        return False
    for one, other in zip(*(r if isinstance(r, tuple) else (r,) for r in (got, want)), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=f"{name} {options}")
    return True


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("n", SIZES)
def test_outputs_of_one_number_per_element(n, workers):
    rng = np.random.default_rng(n)
    z, w, positive = rng.normal(size=n), rng.random(n), rng.random(n) + 0.1
    given = {"y_true": rng.integers(0, 2, n).astype(float), "logits": z, "sample_weight": w}
    for name in BINARY_LOSSES:
        arrays = dict(given)
        if name == "gaussian_nll":
            arrays = {"y_true": z, "mean": w, "sample_weight": w[::-1].copy(), "var": positive}
        elif name.endswith("with_logits"):
            arrays["pos_weight"] = positive
        for key in arrays:
            how = {"reduction": "none", "workers": workers}
            assert right_or_refused(name, arrays, lambda a, key=key: a[key], **how)
    arrays = given | {"pos_weight": positive}
    for key in arrays:
        for reduction in ("mean", "none"):
            how = {"reduction": reduction, "workers": workers}
            name = "binary_cross_entropy_value_and_grad"
            assert right_or_refused(name, arrays, lambda a, key=key: a[key], **how)
        name = "binary_cross_entropy_grad_hess"
        for place in (lambda a, k=key: (a[k], np.empty(n)), lambda a, k=key: (np.empty(n), a[k])):
            assert right_or_refused(name, arrays, place, workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("shape", TABLES)
def test_outputs_of_rows(shape, soft, workers):
    """The weights of the classes too: where there are as many of them as of rows, `out` fits."""
    n, classes = shape
    rng = np.random.default_rng(n)
    labels = rng.dirichlet(np.ones(classes), n) if soft else rng.integers(0, classes, n)
    arrays = {"y_true": labels, "logits": rng.normal(size=shape), "sample_weight": rng.random(n)}
    arrays["class_weight"] = rng.random(classes) + 0.1
    focal = arrays | {"alpha": rng.random(classes)}
    none = {"reduction": "none", "workers": workers}
    for key, array in focal.items():
        place = lambda a, key=key: a[key].view(np.float64)  # noqa: E731
        if array.shape == (n,):
            assert right_or_refused("categorical_focal_loss", focal, place, **none)
            if key in arrays:
                name = "categorical_cross_entropy_with_logits"
                assert right_or_refused(name, arrays, place, **none)
        if array.shape == shape:
            name = "categorical_cross_entropy_value_and_grad"
            assert right_or_refused(name, arrays, place, workers=workers)
            first = lambda a, key=key: (a[key], np.empty(shape))  # noqa: E731
            second = lambda a, key=key: (np.empty(shape), a[key])  # noqa: E731
            name = "categorical_cross_entropy_grad_hess"
            assert right_or_refused(name, arrays, first, workers=workers)
            assert right_or_refused(name, arrays, second, workers=workers)
    column = lambda a: a["logits"][:, 0]  # noqa: E731
    assert not right_or_refused("categorical_cross_entropy_with_logits", arrays, column, **none)


def test_outputs_in_the_midst_of_an_input():
    p = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    column = lambda a: a["p"][:, 1]  # noqa: E731
    assert not right_or_refused("entropy", {"p": p}, column, reduction="none")
    assert not right_or_refused("kl_divergence", {"q": p[::-1], "p": p}, column, reduction="none")

"""Gradients of rows of many classes: where their exponentials are kept changes nothing."""

import numpy as np
import pytest

import fastxent

cce_grad = fastxent.categorical_cross_entropy_value_and_grad
cce_hess = fastxent.categorical_cross_entropy_grad_hess
RNG = np.random.default_rng(4)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [2048, 2049, 4099])
def test_outputs_of_long_rows(classes, dtype):
    """Where the exponentials of a row stay until their sum is known changes no bit."""
    y, z = RNG.integers(0, classes, 5), RNG.normal(0, 4, (5, classes)).astype(dtype)
    z[1, 7], z[2, 9], z[3, y[3]] = 60, 900, np.nan  # p near 1, and rows of the general path
    options = {"nan_policy": "omit", "where": np.arange(5) != 4}
    q = RNG.random(z.shape)
    q = (q / q.sum(1, keepdims=True)).astype(dtype)
    for labels in (y, q):
        want = cce_hess(labels, z, **options)
        padded = np.full((2, 5, classes + 3), 7, dtype)
        for outs in (padded[..., :classes], np.empty((2, classes, 5), dtype).swapaxes(1, 2)):
            got = cce_hess(labels, z, out=tuple(outs), **options)
            np.testing.assert_array_equal(got, want)
        assert (padded[..., classes:] == 7).all()
        value, grad = cce_grad(labels, z, reduction="none", **options)
        for place in (0, 1):
            arrays = [labels.copy(), z.copy()]
            if arrays[place].shape == z.shape:
                got_value, got = cce_grad(*arrays, reduction="none", out=arrays[place], **options)
                np.testing.assert_array_equal(got_value, value)
                np.testing.assert_array_equal(got, grad)

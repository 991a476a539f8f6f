"""Arrays of other libraries come in without a copy, counted in bytes, or are refused with a way."""

import numpy as np
import pytest
from footprint import LIMIT, N, assert_free, peak, values

from tools import CATEGORICAL, LOSSES, loss

# -------------------------------------------------------------------------------------- torch


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is absent: its tensors are not handed over")


@pytest.mark.parametrize("name", LOSSES)
def test_torch_tensors(torch, name):
    y, scores = values(name)
    want = loss(name)(y, scores)
    assert_free(loss(name), torch.from_numpy(y), torch.from_numpy(scores), want)
    wide = torch.full((*scores.shape, 2), 0.25, dtype=torch.float64)
    assert_free(loss(name), torch.from_numpy(y), wide[..., 1], want)
    assert_free(loss(name), torch.from_numpy(y), torch.from_numpy(scores).detach(), want)


@pytest.mark.parametrize("name", CATEGORICAL)
def test_torch_images(torch, name):
    """(N, C, H, W), axis=1, and channels last."""
    scores = torch.full((20, 5, 64, 64), 0.2)
    y = torch.zeros((20, 64, 64), dtype=torch.int64)
    for given in (scores, scores.to(memory_format=torch.channels_last)):
        assert peak(lambda given=given: loss(name)(y, given, axis=1)) < LIMIT


def test_torch_half_precision(torch):
    f = loss("binary_cross_entropy")
    y = np.zeros(N, np.int8)
    scores = torch.full((N,), 0.25, dtype=torch.float16)
    assert_free(f, y, scores, f(y, np.full(N, 0.25, np.float16)))


def test_torch_output(torch):
    """Written where the tensor has its memory."""
    f = loss("binary_cross_entropy")
    out = torch.zeros(5, dtype=torch.float64)
    f(np.zeros(5), np.full(5, 0.5), reduction="none", out=out.numpy())
    assert out.tolist() == pytest.approx([0.6931471805599453] * 5)


def test_torch_tensors_that_require_a_gradient(torch):
    p = torch.full((5,), 0.5, requires_grad=True)
    for call in (
        lambda f: f(np.zeros(5), p),
        lambda f: f(p, np.full(5, 0.5)),
        lambda f: f(np.zeros(5), np.full(5, 0.5), sample_weight=p),
    ):
        with pytest.raises((TypeError, RuntimeError, ValueError), match=r"\.detach\(\)"):
            call(loss("binary_cross_entropy"))


def test_torch_bfloat16(torch):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    p = torch.full((5,), 0.5, dtype=torch.bfloat16)
    f = loss("binary_cross_entropy")
    with pytest.raises(TypeError, match=r"y_proba.*view\(torch\.uint16\).*ml_dtypes"):
        f(np.zeros(5), p)
    seen = p.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    assert f(np.zeros(5), seen) == pytest.approx(0.6931471805599453)


def test_torch_elsewhere(torch):
    """No GPU here: the meta device has no memory either."""
    p = torch.full((5,), 0.5, device="meta")
    with pytest.raises(
        (TypeError, RuntimeError, ValueError, NotImplementedError), match=r"\.cpu\(\)"
    ):
        loss("binary_cross_entropy")(np.zeros(5), p)


# ------------------------------------------------------------------------------------- pandas


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas", reason="pandas is absent: its columns are not handed over")


def test_pandas_columns(pandas):
    f = loss("binary_cross_entropy")
    y, p = values("binary_cross_entropy")
    frame = pandas.DataFrame({"p": p, "q": p, "y": y})
    assert_free(f, frame["y"], frame["p"], f(y, p))
    assert_free(f, pandas.Series(y), pandas.Series(p, index=np.arange(N)[::-1]), f(y, p))


@pytest.mark.parametrize("name", CATEGORICAL)
def test_pandas_frames(pandas, name):
    """One block lies in Fortran order."""
    y, rows = values(name)
    assert_free(loss(name), pandas.Series(y), pandas.DataFrame(rows), loss(name)(y, rows))


def test_pandas_nullable_columns(pandas):
    f = loss("binary_cross_entropy")
    fine = pandas.array([0.25, 0.5], dtype="Float64")
    assert f([0, 1], fine) == f([0, 1], [0.25, 0.5])
    with pytest.raises((TypeError, ValueError), match="y_proba"):
        f([0, 1], pandas.array([0.25, None], dtype="Float64"))
    with pytest.raises((TypeError, ValueError), match="y_true"):
        f(pandas.array([1, None], dtype="Int64"), [0.25, 0.5])


def test_pandas_strings(pandas):
    with pytest.raises(TypeError, match="y_true"):
        loss("binary_cross_entropy")(pandas.Series(["a", "b"]), [0.25, 0.5])


# ----------------------------------------------------------------------------- polars, pyarrow


def test_polars_columns():
    polars = pytest.importorskip(
        "polars", reason="polars is absent: its columns are not handed over"
    )
    f = loss("binary_cross_entropy")
    y, p = values("binary_cross_entropy")
    frame = polars.DataFrame({"y": y, "p": p})
    assert_free(f, frame["y"], frame["p"], f(y, p))
    with pytest.raises((TypeError, ValueError), match=r"y_proba|nan|null"):
        f([0, 1], polars.Series([0.25, None]))


def test_pyarrow_arrays():
    pyarrow = pytest.importorskip(
        "pyarrow", reason="pyarrow is absent: its arrays are not handed over"
    )
    f = loss("binary_cross_entropy")
    y, p = values("binary_cross_entropy")
    assert_free(f, pyarrow.array(y), pyarrow.array(p), f(y, p))
    one_chunk = pyarrow.table({"p": p})["p"].chunk(0)
    assert_free(f, y, one_chunk, f(y, p))
    with pytest.raises((TypeError, ValueError), match=r"y_proba|nan|null"):
        f([0, 1], pyarrow.array([0.25, None]))


# ---------------------------------------------------------------------------------------- jax


def test_jax_arrays():
    jnp = pytest.importorskip("jax.numpy", reason="jax is absent: its arrays are not handed over")
    f = loss("binary_cross_entropy")
    p = jnp.full(N, 0.25, "float32")
    y = np.zeros(N, np.int8)
    assert_free(f, y, p, f(y, np.full(N, 0.25, np.float32)))
    half = jnp.full(N, 0.25, "bfloat16")
    assert f(y, half) == pytest.approx(f(y, p), rel=1e-12)

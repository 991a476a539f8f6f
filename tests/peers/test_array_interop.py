"""Arrays of other libraries come in without a copy, counted in bytes, or are refused with advice.

tracemalloc sees what NumPy asks for; resident pages show a library's own allocator, in a
separate process.
"""

import importlib.util
import sys
import types

import numpy as np
import pytest

import fastxent
from helpers.losses import CATEGORICAL, LOSSES, loss
from helpers.memory import LIMIT, RESIDENT, N, assert_free, peak, values
from helpers.processes import run_python

pytestmark = pytest.mark.uncounted

# ------------------------------------------------------------------------- whoever allocates

HANDED_OVER = {
    "torch": "torch.from_numpy({})",
    "pandas": "pandas.Series({})",
    "polars": "polars.Series({})",
    "pyarrow": "pyarrow.array({})",
    "jax": "jax.dlpack.from_dlpack({})",
}


@pytest.mark.skipif(sys.platform != "linux", reason="resident pages by /proc: Linux")
@pytest.mark.parametrize("library", HANDED_OVER)
def test_resident_pages(library):
    """16 MB of scores and as much of labels: less than one comes on top."""
    pytest.importorskip(library, reason=f"{library} is absent: its arrays are not handed over")
    made = HANDED_OVER[library]
    code = f"""
import warnings
warnings.simplefilter("default")  # what the library says of itself
import {library}
p, y = fresh(4_000_000, "f4"), fresh(4_000_000, "i4")
p, y = {made.format("p")}, {made.format("y")}
for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
    print(cost(lambda: getattr(fastxent, name)(y, p)))
"""
    costs = [int(line) for line in run_python(RESIDENT + code).split()]
    assert len(costs) == 2
    assert max(costs) < LIMIT


def test_the_memory_is_the_same():
    """By its address."""
    torch = pytest.importorskip("torch", reason="torch is absent")
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is absent")

    from fastxent._core import validation

    tensor, array = torch.ones(9), pyarrow.array(np.ones(9))
    for given, address in ((tensor, tensor.data_ptr()), (array, array.buffers()[1].address)):
        assert validation.as_scores(given, "y_proba").ctypes.data == address


# ------------------------------------------------------------------------------- elsewhere


def test_arrays_on_a_gpu():
    """No GPU here: objects that refuse as torch's and others' do."""

    def refuse(*_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    cuda = types.SimpleNamespace(type="cuda")
    tensor = type("Tensor", (), {"__array__": refuse, "device": cuda, "requires_grad": True})()
    with pytest.raises(TypeError, match=r"y_proba.*cuda.*\.detach\(\)\.cpu\(\)"):
        fastxent.binary_cross_entropy([0, 1], tensor)

    def capsule(*_, **__):
        raise BufferError("this memory is not the CPU's")

    members = {"__dlpack__": capsule, "__dlpack_device__": lambda _: (2, 0)}
    with pytest.raises(TypeError, match=r"y_true.*not the CPU's.*\.cpu\(\)"):
        fastxent.binary_cross_entropy(type("Array", (), members)(), [0.5, 0.5])


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
        with pytest.raises(TypeError, match=r"^[a-z_]+ cannot be read.*pass \.detach\(\)$"):
            call(loss("binary_cross_entropy"))


@pytest.mark.parametrize("place", ["y_true", "logits", "sample_weight", "pos_weight"])
def test_torch_tensors_that_require_a_gradient_beside_out(torch, place):
    """Where an output may be an input too, each of these is looked at once more, and before."""
    given = {"y_true": np.zeros(5), "logits": np.full(5, 0.5)}
    given[place] = torch.full((5,), 0.5, requires_grad=True)
    for name, out in (("value_and_grad", np.empty(5)), ("grad_hess", (np.empty(5), None))):
        with pytest.raises(TypeError, match=rf"^{place} cannot be read.*; pass \.detach\(\)$"):
            getattr(fastxent, f"binary_cross_entropy_{name}")(**given, out=out)


def test_torch_tensors_that_require_a_gradient_as_out(torch):
    out = torch.zeros(5, requires_grad=True)
    with pytest.raises(TypeError, match=r"^out is a Tensor: pass an ndarray"):
        fastxent.binary_cross_entropy_value_and_grad(np.zeros(5), np.zeros(5), out=out)
    with pytest.raises(TypeError, match=r"^out\[1\] is a Tensor: pass an ndarray"):
        fastxent.binary_cross_entropy_grad_hess(np.zeros(5), np.zeros(5), out=(None, out))


def test_torch_tensors_that_require_a_gradient_elsewhere(torch):
    """Class indices that come as floats, options set once, keys of groups."""
    p, logits = torch.full((5,), 0.5, requires_grad=True), np.zeros((5, 5))
    calls = {
        "y_true": lambda: fastxent.categorical_cross_entropy_grad_hess(p, logits),
        "class_weight": lambda: fastxent.LossAccumulator(
            "categorical_cross_entropy", class_weight=p
        ),
        "groups": lambda: fastxent.grouped("entropy", logits, None, p),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=rf"^{name} cannot be read.*; pass \.detach\(\)$"):
            call()


def test_torch_bfloat16(torch):
    """By its bits: labels and scores, strided ones too."""
    pytest.importorskip("ml_dtypes", reason="ml_dtypes is absent: NumPy has no bfloat16")
    f = loss("binary_cross_entropy")
    y = np.zeros(N, np.int8)
    p = torch.full((N,), 0.25, dtype=torch.bfloat16)
    want = f(y, np.full(N, 0.25, np.float32), eps=0)
    assert_free(lambda y, p: f(y, p, eps=0), y, p, want)
    assert f(torch.zeros_like(p), torch.stack([p, p], 1)[:, 1], eps=0) == want
    with pytest.raises(TypeError, match=r"^y_proba cannot be read.*; pass \.detach\(\)$"):
        f(y, p.requires_grad_())
    with pytest.raises(TypeError, match=r"^y_proba cannot be read.*; pass \.cpu\(\)$"):
        f(y, p.detach().to("meta"))
    f(y, p.detach(), eps=0)


def test_torch_bfloat16_without_ml_dtypes(torch, monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    p = torch.full((5,), 0.5, dtype=torch.bfloat16)
    with pytest.raises(TypeError, match=r"^y_proba cannot be read.*bfloat16.*ml_dtypes: install"):
        loss("binary_cross_entropy")(np.zeros(5), p)


def test_torch_float8(torch):
    p = torch.full((5,), 0.5).to(torch.float8_e4m3fn)
    with pytest.raises(TypeError, match=r"y_proba.*Float8.*pass \.float\(\)"):
        loss("binary_cross_entropy")(np.zeros(5), p)


def test_torch_elsewhere(torch):
    """No GPU here: the meta device has no memory either."""
    p = torch.full((5,), 0.5, device="meta")
    with pytest.raises(TypeError, match=r"y_proba.*pass \.cpu\(\)"):
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
    # As objects or as nan: pandas chooses.
    with pytest.raises((TypeError, ValueError), match=r"y_proba.*(nan|NaN).*nan_policy"):
        f([0, 1], pandas.array([0.25, None], dtype="Float64"))
    with pytest.raises((TypeError, ValueError), match=r"y_true.*(nan|NaN).*nan_policy"):
        f(pandas.array([1, None], dtype="Int64"), [0.25, 0.5])
    with pytest.raises(ValueError, match=r"y_true\[1\] is NaN.*nan_policy"):
        loss("categorical_cross_entropy")(
            pandas.array([1, None], dtype="Int64"), [[0.25, 0.75], [0.5, 0.5]]
        )
    with pytest.raises(TypeError, match=r"where has dtype object.*values are missing: fill them"):
        f([0, 1], [0.5, 0.5], where=pandas.array([True, None], dtype="boolean"))
    made_nan = pandas.array([0.25, None], dtype="Float64").to_numpy("float64", na_value=np.nan)
    assert f([0, 1], made_nan, nan_policy="omit") == f([0], [0.25])


def test_pandas_frames_of_nullable_columns(pandas):
    f, rows = loss("categorical_cross_entropy"), np.array([[0.25, 0.75], [0.5, 0.5]])
    for dtype in ("Float64", "Float32", "double[pyarrow]"):
        if "pyarrow" in dtype:
            pytest.importorskip("pyarrow", reason="the columns are pyarrow's")
        frame = pandas.DataFrame(rows).astype(dtype)
        assert f([1, 0], frame) == f([1, 0], rows)
        assert f(frame, frame) == f(rows, rows)
        frame.iloc[1, 0] = pandas.NA
        with pytest.raises(ValueError, match=r"y_proba\[1, 0\] is NaN"):
            f([1, 0], frame)
        assert f([1, 0], frame, nan_policy="omit") == f([1], rows[:1])
    whole = pandas.DataFrame({"a": [1, 0], "b": [0, 1]}).astype({"a": "Int64", "b": "boolean"})
    assert f(whole, rows) == f([0, 1], rows)
    with pytest.raises(TypeError, match="y_proba has dtype object"):
        f([1, 0], pandas.DataFrame({"a": ["x", "y"], "b": [0.5, 0.5]}))


def test_strings_and_categories(pandas):
    f = loss("binary_cross_entropy")
    labels = ["no", "yes"]
    text = (
        r"y_true has dtype .*fastxent\.log_loss takes strings, and np\.unique\(y_true, return_inv"
    )
    given = [labels, np.array(labels, object), pandas.Series(labels), np.array([b"no", b"yes"])]
    given += [pandas.Series(labels, dtype="category"), pandas.Categorical(labels)]
    for name in ("polars", "pyarrow"):
        if importlib.util.find_spec(name):
            module = importlib.import_module(name)
            given.append(module.Series(labels) if name == "polars" else module.array(labels))
    for y in given:
        with pytest.raises(TypeError, match=text):
            f(y, [0.25, 0.5])
    codes = np.unique(labels, return_inverse=True)[1]
    assert f(codes, [0.25, 0.5]) == pytest.approx(fastxent.log_loss(labels, [0.25, 0.5]))


# ----------------------------------------------------------------------------- polars, pyarrow


def test_polars_columns():
    polars = pytest.importorskip(
        "polars", reason="polars is absent: its columns are not handed over"
    )
    f = loss("binary_cross_entropy")
    y, p = values("binary_cross_entropy")
    frame = polars.DataFrame({"y": y, "p": p})
    assert_free(f, frame["y"], frame["p"], f(y, p))
    with pytest.raises(ValueError, match=r"y_proba\[1\] is NaN.*nan_policy"):
        f([0, 1], polars.Series([0.25, None]))
    assert f([0, 1], polars.Series([0.25, None]), nan_policy="omit") == f([0], [0.25])


def test_pyarrow_arrays():
    pyarrow = pytest.importorskip(
        "pyarrow", reason="pyarrow is absent: its arrays are not handed over"
    )
    f = loss("binary_cross_entropy")
    y, p = values("binary_cross_entropy")
    assert_free(f, pyarrow.array(y), pyarrow.array(p), f(y, p))
    one_chunk = pyarrow.table({"p": p})["p"].chunk(0)
    assert_free(f, y, one_chunk, f(y, p))
    with pytest.raises(ValueError, match=r"y_proba\[1\] is NaN.*nan_policy"):
        f([0, 1], pyarrow.array([0.25, None]))
    with pytest.raises(TypeError, match=r"y_true.*values are missing"):
        f(pyarrow.array([True, None]), [0.25, 0.5])
    assert f([0, 1], pyarrow.array([0.25, None]), nan_policy="omit") == f([0], [0.25])


def test_several_chunks():
    """Right as they are, which costs pyarrow a copy; one after the other they cost none."""
    pyarrow = pytest.importorskip(
        "pyarrow", reason="pyarrow is absent: its arrays are not handed over"
    )
    y, p = values("binary_cross_entropy")
    table = pyarrow.concat_tables([pyarrow.table({"y": y[:700], "p": p[:700]})] * 3)
    assert table["p"].num_chunks == 3
    want = loss("binary_cross_entropy")(np.tile(y[:700], 3), np.tile(p[:700], 3))
    assert loss("binary_cross_entropy")(table["y"], table["p"]) == want
    total = fastxent.LossAccumulator("binary_cross_entropy")
    for batch in table.to_batches():
        total.update(batch["y"], batch["p"])
    assert total.result() == pytest.approx(want, rel=1e-15)


# ---------------------------------------------------------------------------------------- jax


def test_jax_arrays():
    jnp = pytest.importorskip("jax.numpy", reason="jax is absent: its arrays are not handed over")
    f = loss("binary_cross_entropy")
    p = jnp.full(N, 0.25, "float32")
    y = np.zeros(N, np.int8)
    assert_free(f, y, p, f(y, np.full(N, 0.25, np.float32)))
    half = jnp.full(N, 0.25, "bfloat16")
    assert f(y, half) == pytest.approx(f(y, p), rel=1e-12)


def test_jax_tracers():
    """It cannot be traced: jax's error needs a tracer and cannot be raised again."""
    jax = pytest.importorskip("jax", reason="jax is absent: its arrays are not handed over")
    p = jax.numpy.full(3, 0.25, "float32")

    def f(p):
        return fastxent.binary_cross_entropy([0, 1, 1], p)

    for traced in (jax.jit(f), jax.grad(f), jax.vmap(lambda p: f(p[None]))):
        with pytest.raises(TypeError, match=r"y_proba cannot be read(.|\n)*outside of jax\.jit"):
            traced(p)
    p.delete()
    with pytest.raises(TypeError, match=r"y_proba cannot be read.*deleted"):
        f(p)


# ---------------------------------------------------------------------------------------- SciPy


@pytest.mark.parametrize("kind", ["csr_array", "coo_matrix", "dok_array", "csr_matrix"])
def test_sparse_arrays(kind):
    """Their zeros are probabilities too, so there is nothing to gain."""
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy is absent: no sparse arrays")
    rows = getattr(sparse, kind)(np.eye(3))
    f = loss("categorical_cross_entropy")
    for call, name in (
        (lambda: f([0, 1, 2], rows), "y_proba"),
        (lambda: f(rows, np.eye(3)), "y_true"),
        (lambda: f([0, 1, 2], np.eye(3), sample_weight=rows), "sample_weight"),
        (lambda: f([0, 1, 2], np.eye(3), where=rows), "where"),
    ):
        with pytest.raises(TypeError, match=rf"^{name} is a {kind}: pass {name}\.toarray\(\)"):
            call()

"""Peers that compile a loss, or have it in vector instructions: jax, numba, ONNX Runtime and others.

Each is written as its own users would, on one thread. `peers` has the table.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from workloads import Inputs

Call = Callable[[], Any]


# ---- jax -----------------------------------------------------------------------------------


def jax_mean(loss: Callable[[Any, Any, Any], Any], *, grad: bool = False) -> Any:
    """The mean of an expression of jax.numpy, the labels and the scores, compiled."""

    def peer(i: Inputs) -> Call:
        import jax

        jax.config.update("jax_enable_x64", True)

        def mean(scores: Any, y: Any) -> Any:
            return loss(jax.numpy, y, scores).mean()

        y, scores = jax.device_put(i.y), jax.device_put(i.scores)
        run = jax.jit(jax.value_and_grad(mean) if grad else mean)
        return lambda: jax.block_until_ready(run(scores, y))

    return peer


jax_binary = jax_mean(lambda jnp, y, p: -(y * jnp.log(p) + (1 - y) * jnp.log1p(-p)))
jax_picked = jax_mean(lambda jnp, y, p: -jnp.log(jnp.take_along_axis(p, y[:, None], 1)))
jax_gaussian = jax_mean(lambda _, y, mean: 0.5 * (y - mean) ** 2)
jax_entropy = jax_mean(lambda jnp, _, p: -jnp.sum(jnp.where(p > 0, p * jnp.log(p), 0), axis=1))
jax_kl = jax_mean(
    lambda jnp, q, p: jnp.sum(jnp.where(q > 0, q * (jnp.log(q) - jnp.log(p)), 0), axis=1)
)
jax_poisson = jax_mean(lambda jnp, y, z: jnp.exp(z) - y * z)


# ---- numba ---------------------------------------------------------------------------------


def numba_loop(loop: Callable[[Any, Any], float]) -> Any:
    """A loop in Python, compiled with fastmath."""

    def peer(i: Inputs) -> Call:
        import numba

        run, y, scores = numba.njit(fastmath=True)(loop), i.y, i.scores
        return lambda: run(y, scores)

    return peer


def binary_loop(y: Any, p: Any) -> float:
    total = 0.0
    for i in range(len(y)):
        total -= np.log(p[i] if y[i] else 1 - p[i])
    return total / len(y)


def binary_logits_loop(y: Any, z: Any) -> float:
    total = 0.0
    for i in range(len(y)):
        total += max(z[i], 0) - z[i] * y[i] + np.log1p(np.exp(-abs(z[i])))
    return total / len(y)


def categorical_logits_loop(y: Any, z: Any) -> float:
    total = 0.0
    for i in range(len(z)):
        row = z[i]
        largest = row.max()
        sum_exp = row[:1].sum() * 0  # a zero of the row's type
        for k in range(len(row)):
            sum_exp += np.exp(row[k] - largest)
        total += np.log(sum_exp) - (row[y[i]] - largest)
    return total / len(z)


# ---- ONNX Runtime --------------------------------------------------------------------------


def onnx(*nodes: tuple[str, str, str], **constants: Any) -> Any:
    """Operators, each with its inputs and its output, of the labels y and the scores x."""

    def peer(i: Inputs) -> Call:
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        kind = helper.np_dtype_to_tensor_dtype(i.scores.dtype)
        binary = i.scores.ndim == 1
        y = i.y.astype(bool) if binary else i.y
        if any(op == "GatherElements" for op, *_ in nodes):
            y = y[:, None]
        made = [
            helper.make_node(op, takes.split(), gives.split(), **ATTRIBUTES.get(op, {}))
            for op, takes, gives in nodes
        ]
        graph = helper.make_graph(
            made,
            "loss",
            [
                helper.make_tensor_value_info("y", getattr(TensorProto, LABEL[binary]), y.shape),
                helper.make_tensor_value_info("x", kind, i.scores.shape),
            ],
            [helper.make_tensor_value_info("loss", kind, None)],
            [
                numpy_helper.from_array(np.asarray(value, i.scores.dtype), name)
                for name, value in constants.items()
            ],
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # The newest that this ONNX Runtime reads.
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
        ).SerializeToString()
        run = onnxruntime.InferenceSession(model, options).run
        feed = {"y": y, "x": i.scores}
        return lambda: run(None, feed)[0]

    return peer


LABEL = {True: "BOOL", False: "INT64"}
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "LogSoftmax": {"axis": 1},
    "GatherElements": {"axis": 1},
    "ReduceMean": {"keepdims": 0},
}

onnx_binary = onnx(
    ("Sub", "one x", "rest"),
    ("Where", "y x rest", "picked"),
    ("Log", "picked", "log"),
    ("ReduceMean", "log", "mean"),
    ("Neg", "mean", "loss"),
    one=1,
)
onnx_log_softmax = onnx(
    ("LogSoftmax", "x", "log"),
    ("GatherElements", "log y", "picked"),
    ("ReduceMean", "picked", "mean"),
    ("Neg", "mean", "loss"),
)
onnx_loss = onnx(("SoftmaxCrossEntropyLoss", "x y", "loss"))


# ---- polars --------------------------------------------------------------------------------


def polars(expression: Callable[[Any, Any], Any]) -> Any:
    """An expression of the columns of labels and scores."""

    def peer(i: Inputs) -> Call:
        import polars as pl

        frame = pl.DataFrame({"y": i.y, "p": i.scores})
        asked = expression(pl.col("y"), pl.col("p"))
        return lambda: frame.select(asked).item()

    return peer


polars_binary = polars(lambda y, p: -(y * p.log() + (1 - y) * (1 - p).log()).mean())


# ---- SimSIMD and NumKong -------------------------------------------------------------------


def simd_kl(module: str) -> Any:
    """The divergence of each row, by vector instructions."""

    def peer(i: Inputs) -> Call:
        divergence = importlib.import_module(module).kullbackleibler
        q, p = i.y, i.scores
        return lambda: np.mean(np.asarray(divergence(q, p)))

    return peer

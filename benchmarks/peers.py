"""The same workloads by others, as their own users would write them, on one thread.

Each peer gets its input in its own form, made before the clock starts: torch its tensors and the
label dtype it requires, jax its arrays and a compiled function. A peer that is not
installed raises ImportError, and is skipped by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import peers_compiled as compiled
from workloads import Array, Inputs

# Read when the peers are first imported, below.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "NPROC": "1",  # jax's pool
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
os.environ.update(ONE_THREAD)

Call = Callable[[], Any]


def each_row(y: Array) -> Array:
    return np.arange(len(y))


# ---- NumPy ---------------------------------------------------------------------------------


def numpy_binary(i: Inputs) -> Call:
    y, p = i.y, i.scores
    return lambda: -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


def numpy_where(i: Inputs) -> Call:
    y, p = i.y.astype(bool), i.scores
    return lambda: -np.mean(np.log(np.where(y, p, 1 - p)))


def numpy_binary_logits(i: Inputs) -> Call:
    y, z = i.y, i.scores
    return lambda: np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))))


def numpy_categorical(i: Inputs) -> Call:
    y, p = i.y, i.scores
    return lambda: -np.mean(np.log(p[each_row(y), y]))


def numpy_categorical_logits(i: Inputs) -> Call:
    y, z = i.y, i.scores

    def loss() -> Any:
        shifted = z - z.max(axis=1, keepdims=True)
        return np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[each_row(y), y])

    return loss


def numpy_gaussian(i: Inputs) -> Call:
    y, mean = i.y, i.scores
    return lambda: 0.5 * np.mean((y - mean) ** 2)


def numpy_entropy(i: Inputs) -> Call:
    p = i.scores
    return lambda: -np.mean(np.sum(p * np.log(p), axis=1))


def numpy_kl(i: Inputs) -> Call:
    q, p = i.y, i.scores
    return lambda: np.mean(np.sum(q * (np.log(q) - np.log(p)), axis=1))


# ---- SciPy ---------------------------------------------------------------------------------


def scipy_binary(i: Inputs) -> Call:
    from scipy.special import xlog1py, xlogy

    y, p = i.y, i.scores
    return lambda: -np.mean(xlogy(y, p) + xlog1py(1 - y, -p))


def scipy_binary_logits(i: Inputs) -> Call:
    from scipy.special import log_expit

    y, z = i.y, i.scores
    return lambda: -np.mean(y * log_expit(z) + (1 - y) * log_expit(-z))


def scipy_categorical_logits(i: Inputs) -> Call:
    from scipy.special import log_softmax

    y, z = i.y, i.scores
    return lambda: -np.mean(log_softmax(z, axis=1)[each_row(y), y])


def scipy_entropy(i: Inputs) -> Call:
    from scipy.special import entr

    p = i.scores
    return lambda: np.mean(entr(p).sum(axis=1))


def scipy_kl(i: Inputs) -> Call:
    from scipy.special import rel_entr

    q, p = i.y, i.scores
    return lambda: np.mean(rel_entr(q, p).sum(axis=1))


# ---- scikit-learn --------------------------------------------------------------------------


def sklearn_log_loss(i: Inputs) -> Call:
    from sklearn.metrics import log_loss

    y, p = i.y, i.scores
    return lambda: log_loss(y, p)


def private(name: str, method: str, **more: Any) -> Callable[[Inputs], Call]:
    """One of scikit-learn's private losses, which are for logits: its loss, or its gradients."""

    def peer(i: Inputs) -> Call:
        from sklearn._loss import loss

        y = i.y.astype(i.scores.dtype)
        if "n_classes" in more:
            made = getattr(loss, name)(n_classes=i.scores.shape[1])
        else:
            made = getattr(loss, name)()
        run, z = getattr(made, method), i.scores
        return lambda: run(y_true=y, raw_prediction=z)

    return peer


def private_mean(name: str, **more: Any) -> Callable[[Inputs], Call]:
    peer = private(name, "loss", **more)

    def averaged(i: Inputs) -> Call:
        run = peer(i)
        return lambda: np.mean(run())

    return averaged


# ---- torch ---------------------------------------------------------------------------------


def torch(function: str, **options: Any) -> Callable[[Inputs], Call]:
    """A function of torch.nn.functional."""

    def peer(i: Inputs) -> Call:
        import torch
        from torch.nn import functional

        torch.set_num_threads(1)
        run = getattr(functional, function)
        scores = torch.from_numpy(i.scores)
        y = torch.from_numpy(i.y if i.scores.ndim > 1 else i.y.astype(i.scores.dtype))
        return lambda: run(scores, y, **options)

    return peer


def torch_nll(i: Inputs) -> Call:
    import torch
    from torch.nn.functional import nll_loss

    torch.set_num_threads(1)
    p, y = torch.from_numpy(i.scores), torch.from_numpy(i.y)
    return lambda: nll_loss(p.log(), y)


def torch_gaussian(i: Inputs) -> Call:
    import torch
    from torch.nn.functional import gaussian_nll_loss

    torch.set_num_threads(1)
    mean, y = torch.from_numpy(i.scores), torch.from_numpy(i.y)
    return lambda: gaussian_nll_loss(mean, y, 1.0)


def torch_kl(i: Inputs) -> Call:
    import torch
    from torch.nn.functional import kl_div

    torch.set_num_threads(1)
    q, p = torch.from_numpy(i.y), torch.from_numpy(i.scores)
    return lambda: kl_div(p.log(), q, reduction="batchmean")


def torch_grad(function: str) -> Callable[[Inputs], Call]:
    """Forward and backward."""

    def peer(i: Inputs) -> Call:
        import torch
        from torch.nn import functional

        torch.set_num_threads(1)
        run = getattr(functional, function)
        scores = torch.from_numpy(i.scores).requires_grad_()
        y = torch.from_numpy(i.y if i.scores.ndim > 1 else i.y.astype(i.scores.dtype))

        def forward_backward() -> Any:
            scores.grad = None
            value = run(scores, y)
            value.backward()
            return value.detach()

        return forward_backward

    return peer


def torch_focal(i: Inputs, *, grad: bool = False) -> Call:
    """As torchvision.ops.sigmoid_focal_loss does it, with its gamma of 2 and no alpha."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    torch.set_num_threads(1)
    z = torch.from_numpy(i.scores).requires_grad_(grad)
    y = torch.from_numpy(i.y.astype(i.scores.dtype))

    def loss() -> Any:
        p = torch.sigmoid(z)
        entropy = binary_cross_entropy_with_logits(z, y, reduction="none")
        return (entropy * (1 - (p * y + (1 - p) * (1 - y))) ** 2).mean()

    def forward_backward() -> Any:
        z.grad = None
        value = loss()
        value.backward()
        return value.detach()

    return forward_backward if grad else loss


def torch_focal_grad(i: Inputs) -> Call:
    return torch_focal(i, grad=True)


# ---- numexpr, jax --------------------------------------------------------------------------


def numexpr(expression: str) -> Callable[[Inputs], Call]:
    def peer(i: Inputs) -> Call:
        import numexpr as ne

        ne.set_num_threads(1)
        names = {"y": i.y, "p": i.scores}
        return lambda: ne.evaluate(expression, local_dict=names).mean()

    return peer


def optax(function: str, *, grad: bool = False) -> Callable[[Inputs], Call]:
    """One of optax's losses, its mean compiled by jax."""

    def peer(i: Inputs) -> Call:
        import jax
        import optax

        jax.config.update("jax_enable_x64", True)
        loss = getattr(optax, function)

        def mean(scores: Any, y: Any) -> Any:
            return loss(scores, y).mean()

        scores, y = jax.device_put(i.scores), jax.device_put(i.y)
        run = jax.jit(jax.value_and_grad(mean) if grad else mean)
        return lambda: jax.block_until_ready(run(scores, y))

    return peer


# ---- the table -----------------------------------------------------------------------------

_TORCH_CE = torch("cross_entropy")
_CE_LOGITS = {
    "NumPy": numpy_categorical_logits,
    "SciPy log_softmax": scipy_categorical_logits,
    "scikit-learn _loss": private_mean("HalfMultinomialLoss", n_classes=True),
    "torch": _TORCH_CE,
    "optax": optax("softmax_cross_entropy_with_integer_labels"),
    "numba fastmath": compiled.numba_loop(compiled.categorical_logits_loop),
    "ONNX LogSoftmax": compiled.onnx_log_softmax,
    "ONNX cross entropy": compiled.onnx_loss,
}
_CE_GRAD = {
    "scikit-learn _loss": private("HalfMultinomialLoss", "loss_gradient", n_classes=True),
    "torch": torch_grad("cross_entropy"),
    "optax": optax("softmax_cross_entropy_with_integer_labels", grad=True),
}
_LOG_LOSS = {"scikit-learn log_loss": sklearn_log_loss}

#: For each work, who else can do it, and how.
PEERS: dict[str, dict[str, Callable[[Inputs], Call]]] = {
    "BCE": {
        "NumPy": numpy_binary,
        "NumPy where + log": numpy_where,
        "SciPy xlogy": scipy_binary,
        "scikit-learn log_loss": sklearn_log_loss,
        "torch": torch("binary_cross_entropy"),
        "numexpr": numexpr("-(y * log(p) + (1 - y) * log(1 - p))"),
        "jax": compiled.jax_binary,
        "numba fastmath": compiled.numba_loop(compiled.binary_loop),
        "ONNX Runtime": compiled.onnx_binary,
        "polars": compiled.polars_binary,
    },
    "BCE of logits": {
        "NumPy": numpy_binary_logits,
        "SciPy log_expit": scipy_binary_logits,
        "scikit-learn _loss": private_mean("HalfBinomialLoss"),
        "torch": torch("binary_cross_entropy_with_logits"),
        "numexpr": numexpr("where(p > 0, p, 0) - p * y + log1p(exp(-abs(p)))"),
        "optax": optax("sigmoid_binary_cross_entropy"),
        "numba fastmath": compiled.numba_loop(compiled.binary_logits_loop),
    },
    "CE, 10 classes": {
        "NumPy": numpy_categorical,
        "torch": torch_nll,
        "jax": compiled.jax_picked,
    },
    "CE of logits, 10 classes": _CE_LOGITS,
    "CE of logits, 1,000 classes": _CE_LOGITS,
    "CE of logits, 128,256 classes": _CE_LOGITS,
    "Gaussian NLL": {
        "NumPy": numpy_gaussian,
        "torch": torch_gaussian,
        "jax": compiled.jax_gaussian,
    },
    "entropy, 10 classes": {
        "NumPy": numpy_entropy,
        "SciPy entr": scipy_entropy,
        "jax": compiled.jax_entropy,
    },
    "KL divergence, 10 classes": {
        "NumPy": numpy_kl,
        "SciPy rel_entr": scipy_kl,
        "torch": torch_kl,
        "jax": compiled.jax_kl,
        "SimSIMD": compiled.simd_kl("simsimd"),
        "NumKong": compiled.simd_kl("numkong"),
    },
    "log_loss, bool labels": _LOG_LOSS,
    "log_loss, int8 labels": _LOG_LOSS,
    "log_loss, int64 labels": _LOG_LOSS,
    "log_loss, 10 classes": _LOG_LOSS,
    "BCE, value and gradient": {
        "scikit-learn _loss": private("HalfBinomialLoss", "loss_gradient"),
        "torch": torch_grad("binary_cross_entropy_with_logits"),
        "optax": optax("sigmoid_binary_cross_entropy", grad=True),
    },
    "BCE, gradient and Hessian": {
        "scikit-learn _loss": private("HalfBinomialLoss", "gradient_hessian")
    },
    "focal": {"torch": torch_focal, "optax": optax("sigmoid_focal_loss")},
    "focal, value and gradient": {
        "torch": torch_focal_grad,
        "optax": optax("sigmoid_focal_loss", grad=True),
    },
    "CE, value and gradient, 10 classes": _CE_GRAD,
    "CE, value and gradient, 1,000 classes": _CE_GRAD,
    "CE, gradient and Hessian, 10 classes": {
        "scikit-learn _loss": private("HalfMultinomialLoss", "gradient_hessian", n_classes=True)
    },
}

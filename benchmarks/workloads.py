"""What is timed: `WORKLOADS`, each a loss with made-up inputs of any size and dtype."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fastxent

Array = np.ndarray[Any, Any]
READ = ("sample_weight", "where", "var", "groups", "scores_b")  # options that may be arrays


class Inputs(NamedTuple):
    """A call's arguments. `options` that are arrays are read as well."""

    y: Array
    scores: Array
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @property
    def read(self) -> list[Array]:
        """Every array that the call has to read."""
        arrays = [self.y, self.scores] if self.y is not self.scores else [self.y]
        return arrays + [v for k, v in self.options.items() if k in READ and np.ndim(v)]


class Work(NamedTuple):
    """One line of the tables."""

    function: str  # of fastxent
    make: Callable[[int, np.dtype[Any]], Inputs]  # number of scores, their dtype -> inputs
    classes: int = 1
    dtypes: tuple[str, ...] = ("float16", "bfloat16", "float32", "float64")
    least: int = 1  # scores below which there is no such call
    loss: str | None = None  # of a function that takes one

    def inputs(self, size: int, dtype: str) -> Inputs:
        """Inputs with about as many scores."""
        return made(self.make, size, dtype)

    def call(self, inputs: Inputs, **more: Any) -> Callable[[], Any]:
        """The call itself, ready to be timed."""
        function = getattr(fastxent, self.function)
        if self.loss is not None:
            function = functools.partial(function, self.loss)
        y, scores, options = inputs.y, inputs.scores, {**inputs.options, **more}
        if self.function == "entropy":
            return lambda: function(scores, **options)
        return lambda: function(y, scores, **options)

    @property
    def exists(self) -> bool:
        """Whether this fastxent has it."""
        return hasattr(fastxent, self.function)

    def fits(self, size: int) -> bool:
        """Whether there is a whole row of that many scores, and every label."""
        return size >= max(self.classes, self.least)


@functools.lru_cache(maxsize=1)
def made(make: Callable[[int, np.dtype[Any]], Inputs], size: int, dtype: str) -> Inputs:
    """The inputs, kept until others are asked for: making them takes longer than most calls."""
    return make(size, dtype_of(dtype))


def dtype_of(name: str) -> np.dtype[Any]:
    """A dtype by its name, bfloat16 among them."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


# ---- binary --------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def logits(size: int) -> Array:
    """Scores of a fair classifier: its mean loss is some 0.5."""
    z = np.random.default_rng(0).standard_normal(size, dtype=np.float32) * 2
    z.flags.writeable = False
    return z


def binary(labels: str | None = None, *, of_logits: bool = False, **options: Any) -> Any:
    """Make hard labels of one dtype (the scores' where None), or soft ones; other options go along."""

    def make(size: int, dtype: np.dtype[Any]) -> Inputs:
        rng = np.random.default_rng(1)
        z = logits(size)
        p = 1 / (1 + np.exp(-z))
        hard = rng.random(size, dtype=np.float32) < p
        y = hard.astype(labels or dtype)
        if options.get("soft"):
            y = (hard * np.float32(0.8) + 0.1 * rng.random(size, dtype=np.float32)).astype(dtype)
        more: dict[str, Any] = {}
        if options.get("weighted"):
            more["sample_weight"] = rng.random(size, dtype=np.float32).astype(dtype)
        if options.get("each"):
            more["reduction"] = "none"
            more["out"] = np.empty(size, np.float64 if dtype == np.float64 else np.float32)
        if options.get("masked"):
            more["where"] = rng.random(size, dtype=np.float32) < 0.8
        if options.get("groups"):
            more["groups"] = rng.integers(options["groups"], size=size)
        if options.get("compared"):
            more["scores_b"] = p[::-1].astype(dtype)
        scores = (z if of_logits else p).astype(dtype)
        if options.get("holes"):
            scores[rng.integers(size, size=size // 1000)] = np.nan
            more["nan_policy"] = "omit"
        return Inputs(y, scores, more | options.get("given", {}))

    return make


def gaussian(size: int, dtype: np.dtype[Any]) -> Inputs:
    mean = logits(size)
    noise = np.random.default_rng(1).standard_normal(size, dtype=np.float32)
    return Inputs((mean + noise).astype(dtype), mean.astype(dtype))


def gaussian_of_variances(size: int, dtype: np.dtype[Any]) -> Inputs:
    y, mean, _ = gaussian(size, dtype)
    var = np.random.default_rng(2).random(size, dtype=np.float32) + np.float32(0.5)
    return Inputs(y, mean, {"var": var.astype(dtype)})


# ---- categorical ---------------------------------------------------------------------------


def rows(classes: int, *, of_logits: bool = False, weighted: bool = False) -> Any:
    """Make rows of classes, the index of one class for each, and a weight where asked for."""

    def make(size: int, dtype: np.dtype[Any]) -> Inputs:
        n = max(1, size // classes)
        z = logits(n * classes).reshape(n, classes)
        rng = np.random.default_rng(1)
        y = rng.integers(classes, size=n)
        more = {"sample_weight": rng.random(n).astype(dtype)} if weighted else {}
        return Inputs(y, (z if of_logits else softmax(z)).astype(dtype), more)

    return make


def softmax(z: Array) -> Array:
    e = np.exp(z)
    e /= e.sum(-1, keepdims=True)
    return e


def distributions(classes: int) -> Any:
    """Make two distributions for each row."""

    def make(size: int, dtype: np.dtype[Any]) -> Inputs:
        n = max(1, size // classes)
        p = softmax(logits(n * classes).reshape(n, classes)).astype(dtype)
        return Inputs(p[::-1].copy(), p)

    return make


two_distributions = distributions(10)


def with_option(classes: int, option: str, *, of_logits: bool = True) -> Any:
    """Make rows of classes with one option, or other labels, or another layout."""
    make = rows(classes, of_logits=of_logits)

    def changed(size: int, dtype: np.dtype[Any]) -> Inputs:
        y, scores = make(size, dtype)[:2]
        some = np.random.default_rng(2).random(len(y)) < 0.9
        if option == "distributions":
            return Inputs(distributions(classes)(size, dtype).y, scores)
        if option == "Fortran order":
            return Inputs(y, np.asfortranarray(scores))
        options: dict[str, dict[str, Any]] = {
            "smoothing": {"label_smoothing": 0.1},
            "where": {"where": some},
            "ignore_index": {"ignore_index": -100},
        }
        if option == "ignore_index":
            y = np.where(some, y, -100)
        return Inputs(y, scores, options[option])

    return changed


def two_distributions_of_logits(size: int, dtype: np.dtype[Any]) -> Inputs:
    labels, p = two_distributions(size, dtype)[:2]
    return Inputs(labels, np.log(p.astype(np.float32)).astype(dtype))


def one_distribution(size: int, dtype: np.dtype[Any], classes: int = 10) -> Inputs:
    p = distributions(classes)(size, dtype).scores
    return Inputs(p, p)


one_of_thousand = functools.partial(one_distribution, classes=1000)


def categorical_options() -> dict[str, Work]:
    """What an option costs, for 10 and for 1,000 classes of float32 or float64."""
    found = {}
    for classes in (10, 1000):
        end = f", {classes:,} classes"
        for option in ("smoothing", "distributions", "ignore_index", "where", "Fortran order"):
            make = with_option(classes, option)
            found[f"CE of logits{end}, {option}"] = Work(CE_Z, make, classes, REAL)
            if option not in ("where", "Fortran order"):
                name = f"CE, value and gradient{end}, {option}"
                found[name] = Work(CE + GRAD, make, classes, REAL)
        for option in ("smoothing", "distributions"):
            make = with_option(classes, option, of_logits=False)
            found[f"CE{end}, {option}"] = Work(CE, make, classes, REAL)
    found["CE, gradient and Hessian, 1,000 classes"] = Work(
        CE + HESS, rows(1000, of_logits=True), 1000, REAL
    )
    found["entropy, 1,000 classes"] = Work("entropy", one_of_thousand, 1000, REAL)
    found["KL divergence, 1,000 classes"] = Work("kl_divergence", distributions(1000), 1000, REAL)
    return found


# ---- the table -----------------------------------------------------------------------------

BCE, CE = "binary_cross_entropy", "categorical_cross_entropy"
BCE_Z, CE_Z = BCE + "_with_logits", CE + "_with_logits"
GRAD, HESS = "_value_and_grad", "_grad_hess"
BF, CF = "binary_focal_loss", "categorical_focal_loss"
SINGLE, REAL = ("float32",), ("float32", "float64")

WORKLOADS = {
    "BCE": Work(BCE, binary()),
    "BCE, bool labels": Work(BCE, binary("bool")),
    "BCE, int8 labels": Work(BCE, binary("int8"), dtypes=REAL),
    "BCE, int64 labels": Work(BCE, binary("int64"), dtypes=REAL),
    "BCE, soft labels": Work(BCE, binary(soft=True), dtypes=REAL),
    "BCE, weights": Work(BCE, binary(weighted=True), dtypes=REAL),
    "BCE, each": Work(BCE, binary(each=True), dtypes=REAL),
    "BCE, bool labels, where": Work(BCE, binary("bool", masked=True), dtypes=REAL),
    "BCE, bool labels, NaN omitted": Work(BCE, binary("bool", holes=True), dtypes=REAL),
    "BCE, bool labels, label_smoothing": Work(
        BCE, binary("bool", given={"label_smoothing": 0.1}), dtypes=REAL
    ),
    "score of BCE, bool labels": Work("score", binary("bool"), dtypes=REAL, loss=BCE),
    "compare of BCE, bool labels": Work(
        "compare", binary("bool", compared=True), dtypes=REAL, loss=BCE
    ),
    "grouped BCE, bool labels, 200 groups": Work(
        "grouped", binary("bool", groups=200), dtypes=REAL, loss=BCE
    ),
    "BCE of logits": Work(BCE_Z, binary(of_logits=True)),
    "BCE of logits, bool labels": Work(BCE_Z, binary("bool", of_logits=True)),
    "BCE of logits, bool labels, where": Work(
        BCE_Z, binary("bool", of_logits=True, masked=True), dtypes=REAL
    ),
    "BCE of logits, bool labels, label_smoothing": Work(
        BCE_Z, binary("bool", of_logits=True, given={"label_smoothing": 0.1}), dtypes=REAL
    ),
    "BCE of logits, bool labels, pos_weight": Work(
        BCE_Z, binary("bool", of_logits=True, given={"pos_weight": 2.5}), dtypes=REAL
    ),
    "BCE of logits, soft labels": Work(BCE_Z, binary(of_logits=True, soft=True), dtypes=REAL),
    "BCE of logits, each": Work(BCE_Z, binary(of_logits=True, each=True), dtypes=REAL),
    "CE, 10 classes": Work(CE, rows(10), 10),
    "CE of logits, 10 classes": Work(CE_Z, rows(10, of_logits=True), 10),
    "CE of logits, 1,000 classes": Work(CE_Z, rows(1000, of_logits=True), 1000),
    "CE of logits, 128,256 classes": Work(CE_Z, rows(128256, of_logits=True), 128256),
    "CE of logits, 10 classes, weights": Work(
        CE_Z, rows(10, of_logits=True, weighted=True), 10, REAL
    ),
    "CE of logits, 10 classes, distributions": Work(CE_Z, two_distributions_of_logits, 10, REAL),
    "Gaussian NLL": Work("gaussian_nll", gaussian),
    "Gaussian NLL, variances": Work("gaussian_nll", gaussian_of_variances),
    "entropy, 10 classes": Work("entropy", one_distribution, 10),
    "KL divergence, 10 classes": Work("kl_divergence", two_distributions, 10),
    "log_loss, bool labels": Work("log_loss", binary("bool"), dtypes=SINGLE),
    "log_loss, int8 labels": Work("log_loss", binary("int8"), dtypes=SINGLE),
    "log_loss, int64 labels": Work("log_loss", binary("int64"), dtypes=SINGLE),
    "log_loss, 10 classes": Work("log_loss", rows(10), 10, SINGLE, least=1000),
    "BCE, value and gradient": Work(BCE + GRAD, binary(of_logits=True), dtypes=REAL),
    "BCE, gradient and Hessian": Work(BCE + HESS, binary(of_logits=True), dtypes=REAL),
    "BCE, bool labels, gradient and Hessian": Work(
        BCE + HESS, binary("bool", of_logits=True), dtypes=REAL
    ),
    "CE, value and gradient, 10 classes": Work(
        CE + GRAD, rows(10, of_logits=True), 10, dtypes=REAL
    ),
    "CE, value and gradient, 1,000 classes": Work(
        CE + GRAD, rows(1000, of_logits=True), 1000, dtypes=REAL
    ),
    "CE, gradient and Hessian, 10 classes": Work(CE + HESS, rows(10, of_logits=True), 10, REAL),
    "focal": Work(BF, binary(of_logits=True), dtypes=REAL),
    "focal, bool labels": Work(BF, binary("bool", of_logits=True), dtypes=REAL),
    "focal, value and gradient": Work(BF + GRAD, binary(of_logits=True), dtypes=REAL),
    "focal, gradient and Hessian": Work(BF + HESS, binary(of_logits=True), dtypes=REAL),
    "focal, 10 classes": Work(CF, rows(10, of_logits=True), 10, REAL),
    "focal, value and gradient, 10 classes": Work(CF + GRAD, rows(10, of_logits=True), 10, REAL),
    "focal, gradient and Hessian, 10 classes": Work(CF + HESS, rows(10, of_logits=True), 10, REAL),
}
WORKLOADS = categorical_options() | WORKLOADS

"""Cases for Hypothesis: it draws the shape, the options and a seed; NumPy fills the arrays.

So thousands of cases are cheap, and a failure still shrinks to the fewest options that show it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from helpers.layouts import LAYOUTS, Array
from helpers.losses import BINARY, INTEGERS, LOGITS

Options = dict[str, Any]
FLOATS = ("float64", "float32", "float16")


@dataclass
class Case:
    """One call: `getattr(fastxent, loss)(y_true, scores, **options)`."""

    loss: str
    y_true: Array
    scores: Array
    options: Options = field(default_factory=dict)

    @property
    def args(self) -> tuple[Array, ...]:
        return (self.scores,) if self.loss == "entropy" else (self.y_true, self.scores)

    def __repr__(self) -> str:
        def brief(x: Any) -> str:
            if isinstance(x, np.ndarray) and x.size > 12:
                return f"<{x.dtype.str} {x.shape} strides {x.strides}>"
            return f"{x!r}"

        options = "".join(f", {k}={brief(v)}" for k, v in self.options.items())
        return f"{self.loss}({', '.join(map(brief, self.args))}{options})"


@st.composite
def cases(
    draw: st.DrawFn,
    loss: str,
    floats: tuple[str, ...] = FLOATS,
    *,
    wild: bool = False,
    large: bool = False,
) -> Case:
    """Input of any shape, dtype, layout and combination of options.

    `wild`: NaN and limits too; `large`: enough for several chunks.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    make = OTHERS.get(loss, binary_case if loss in BINARY else categorical_case)
    rows = make in (categorical_case, distributions_case, logit_pair_case)
    shape, classes = draw(sizes(rows, large))
    case = make(draw, rng, loss, np.dtype(draw(st.sampled_from(floats))), shape, classes)
    case.options |= draw(reductions())
    if wild:
        case.options["nan_policy"] = draw(st.sampled_from(["raise", "propagate", "omit"]))
        spoil(draw, rng, case)
    case.scores = draw(st.sampled_from(list(LAYOUTS.values())))(case.scores)
    case.y_true = draw(st.sampled_from(list(LAYOUTS.values())))(case.y_true)
    return case


def spoil(draw: st.DrawFn, rng: Any, case: Case) -> None:
    """Put limits among the scores, and NaN among scores and labels."""
    unbounded = case.loss in LOGITS or case.loss in ("gaussian_nll", "poisson_nll")
    limits = [-np.inf, np.inf, 1e30, -1e30, 0.0, -0.0] if unbounded else [0.0, 1.0, -0.0]
    limits = [x for x in limits if np.isinf(x) or abs(x) <= float(np.finfo(case.scores.dtype).max)]
    strew(rng, case.scores, limits, draw(st.sampled_from([0.0, 0.01, 0.3])))
    strew(rng, case.scores, [np.nan], draw(st.sampled_from([0.0, 0.01, 0.3])))
    if case.y_true.dtype.kind == "f":
        if case.y_true.ndim == case.scores.ndim:
            strew(rng, case.y_true, [0.0, 1.0], draw(st.sampled_from([0.0, 0.3])))
        strew(rng, case.y_true, [np.nan], draw(st.sampled_from([0.0, 0.1])))
    if not unbounded and case.loss != "entropy" and draw(st.booleans()):
        case.options["eps"] = 0.0


def strew(rng: Any, a: Array, values: list[float], share: float) -> None:
    spots = rng.random(a.shape) < share
    a[spots] = rng.choice(values, int(spots.sum()))


def reductions() -> st.SearchStrategy[Options]:
    return st.fixed_dictionaries(
        {"reduction": st.sampled_from(["mean", "sum", "none"])},
        optional={"workers": st.sampled_from([1, 2, 7, -1])},
    )


def binary_case(
    draw: st.DrawFn, rng: Any, loss: str, dtype: np.dtype[Any], shape: tuple[int, ...], _: int
) -> Case:
    z = draw(scores_like(rng, shape))
    y = draw(binary_labels(rng, shape))
    options = draw(common_options(rng, shape))
    if loss in LOGITS:
        options |= draw(pos_weights(rng, shape))
        return Case(loss, y, z.astype(dtype), options)
    options |= draw(epsilons())
    return Case(loss, y, (1 / (1 + np.exp(-z))).astype(dtype), options)


def categorical_case(
    draw: st.DrawFn, rng: Any, loss: str, dtype: np.dtype[Any], shape: tuple[int, ...], classes: int
) -> Case:
    axis = draw(st.integers(0, len(shape)))
    z = draw(scores_like(rng, (*shape, classes)))
    y, options = draw(class_labels(rng, shape, classes))
    options |= draw(common_options(rng, shape)) | draw(class_weights(rng, classes))
    if y.ndim > len(shape):
        y = np.ascontiguousarray(np.moveaxis(y, -1, axis))
    if axis != len(shape) or draw(st.booleans()):
        options["axis"] = draw(st.sampled_from([axis, axis - len(shape) - 1]))
    if loss == "categorical_cross_entropy_with_logits":
        options |= draw(logit_options())
    if loss not in LOGITS:
        options |= draw(epsilons())
        z = np.exp(z - z.max(-1, keepdims=True))
        z /= z.sum(-1, keepdims=True)
    return Case(loss, y, np.ascontiguousarray(np.moveaxis(z, -1, axis)).astype(dtype), options)


def gaussian_case(
    draw: st.DrawFn, rng: Any, loss: str, dtype: np.dtype[Any], shape: tuple[int, ...], _: int
) -> Case:
    y, mean = rng.normal(0, draw(st.sampled_from([1.0, 30.0])), (2, *shape))
    y = y.astype(draw(st.sampled_from([*FLOATS, "int8", "int64"])))
    variances = st.builds(
        lambda kind, k: rng.uniform(0.1, 9, shape[k:]).astype(kind),
        st.sampled_from(FLOATS),
        st.integers(0, len(shape)),
    )
    options = draw(common_options(rng, shape))
    options.pop("label_smoothing", None)
    options |= draw(
        st.fixed_dictionaries(
            {},
            optional={"var": st.one_of(variances, st.just(2)), "full": st.booleans()},
        )
    )
    return Case(loss, y, mean.astype(dtype), options)


def poisson_case(
    draw: st.DrawFn, rng: Any, loss: str, dtype: np.dtype[Any], shape: tuple[int, ...], _: int
) -> Case:
    z = rng.normal(0, draw(st.sampled_from([1.0, 3.0])), shape).astype(dtype)
    kind = np.dtype(draw(st.sampled_from([*FLOATS, "int8", "int64", "uint16"])))
    y = np.minimum(rng.poisson(np.exp(np.minimum(z.astype(float), 4))), 100).astype(kind)
    options = draw(common_options(rng, shape))
    options.pop("label_smoothing", None)
    if y.size <= 3000:  # mpmath takes its time
        options |= draw(st.fixed_dictionaries({}, optional={"full": st.booleans()}))
    return Case(loss, y, z, options)


def distributions_case(
    draw: st.DrawFn, rng: Any, loss: str, dtype: np.dtype[Any], shape: tuple[int, ...], classes: int
) -> Case:
    """A distribution per row, or two: of which the first may have another dtype."""
    axis = draw(st.integers(0, len(shape)))
    q, p = (
        np.ascontiguousarray(np.moveaxis(rng.dirichlet(np.full(classes, a), shape), -1, axis))
        for a in (draw(st.sampled_from([1.0, 0.1])), 1.0)
    )
    options = draw(common_options(rng, shape))
    options.pop("label_smoothing", None)
    if axis != len(shape) or draw(st.booleans()):
        options["axis"] = draw(st.sampled_from([axis, axis - len(shape) - 1]))
    if loss == "kl_divergence":
        options |= draw(epsilons())
    q = np.clip(q, 0, 1).astype(draw(st.sampled_from(FLOATS)))
    return Case(loss, q, np.clip(p, 0, 1).astype(dtype), options)


def logit_pair_case(
    draw: st.DrawFn, rng: Any, loss: str, dtype: np.dtype[Any], shape: tuple[int, ...], classes: int
) -> Case:
    """Logits of two models, which may be near each other, of one dtype or two."""
    axis = draw(st.integers(0, len(shape)))
    width, apart = (draw(st.sampled_from([0.1, 1.0, 20.0])) for _ in "wa")
    p = rng.normal(0, width, (*shape[:axis], classes, *shape[axis:]))
    q = p + rng.normal(0, apart, p.shape)
    options = draw(common_options(rng, shape))
    options.pop("label_smoothing", None)
    if axis != len(shape) or draw(st.booleans()):
        options["axis"] = draw(st.sampled_from([axis, axis - len(shape) - 1]))
    return Case(loss, q.astype(draw(st.sampled_from(FLOATS))), p.astype(dtype), options)


OTHERS = {
    "gaussian_nll": gaussian_case,
    "entropy": distributions_case,
    "kl_divergence": distributions_case,
    "poisson_nll": poisson_case,
    "kl_divergence_with_logits": logit_pair_case,
}


#: The shapes of losses, and their classes, that take several chunks.
LARGE = [((70_001,), 1), ((3, 30_011), 1), ((300, 7, 41), 1)]
LARGE_ROWS = [((25_011,), 3), ((3000,), 40), ((7,), 5003), ((30, 50, 7), 10), ((2,), 9001)]


@st.composite
def sizes(draw: st.DrawFn, rows: bool, large: bool) -> tuple[tuple[int, ...], int]:
    """The shape of the losses, and the number of classes."""
    if large:
        return draw(st.sampled_from(LARGE_ROWS if rows else LARGE))
    shape = draw(shapes(4 if rows else 5))
    if rows:
        many = [100, 1000, 5000] if np.prod(shape) < 20 else []
        return shape, draw(st.sampled_from([1, 2, 3, 5, 10, 31, 32, 33, 64, 65, *many]))
    if len(shape) < 3:
        shape = (*shape[:-1], draw(st.sampled_from([shape[-1], 33, 1025])))
    return shape, 1


def shapes(most: int) -> st.SearchStrategy[tuple[int, ...]]:
    """At most some 200 elements, and now and then a block of rows and a tail."""
    small = st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=most).map(tuple)
    return st.one_of(small, st.tuples(st.integers(1, 9), st.integers(1, 9)), st.just((130,)))


def scores_like(rng: Any, shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    return st.sampled_from([1.0, 4.0, 0.01, 30.0, 0.0]).map(lambda s: rng.normal(0, s, shape))


def binary_labels(rng: Any, shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    hard = (rng.random(shape) < 0.4).astype(np.int8)
    soft = rng.random(shape)
    return st.one_of(
        st.sampled_from(["bool", *INTEGERS, *FLOATS]).map(hard.astype),
        st.sampled_from(FLOATS).map(soft.astype),
    )


@st.composite
def class_labels(
    draw: st.DrawFn, rng: Any, shape: tuple[int, ...], classes: int
) -> tuple[Array, Options]:
    """Class indices, some of them perhaps ignored, or distributions with their classes last."""
    if draw(st.booleans()):
        kinds = [d for d in INTEGERS if np.iinfo(d).max >= classes]
        kinds += ["float32", "float64", *(["float16"] if classes < 2048 else [])]
        dtype = np.dtype(draw(st.sampled_from(kinds)))
        y = rng.integers(0, classes, shape).astype(dtype)
        ignored = draw(st.sampled_from([None, 0, classes - 1, classes, -100]))
        if ignored is None:
            return y, {}
        if dtype.kind == "f" or np.iinfo(dtype).min <= ignored <= np.iinfo(dtype).max:
            y[rng.random(shape) < draw(st.sampled_from([0.2, 1.0]))] = ignored
        return y, {"ignore_index": ignored}
    kind = draw(st.sampled_from(["soft", "onehot", "sparse"]))
    if kind == "onehot":
        y = np.eye(classes)[rng.integers(0, classes, shape)]
        return y.astype(draw(st.sampled_from(["bool", *INTEGERS, *FLOATS]))), {}
    y = rng.dirichlet(np.full(classes, 1.0 if kind == "soft" else 0.05), shape)
    return np.clip(np.nan_to_num(y), 0, 1).astype(draw(st.sampled_from(FLOATS))), {}


def common_options(rng: Any, shape: tuple[int, ...]) -> st.SearchStrategy[Options]:
    def weights(k: int, dtype: str, zeros: float) -> Array:
        w = rng.integers(1, 9, shape[:k]) / 2
        return np.where(rng.random(shape[:k]) < zeros, 0, w).astype(dtype)

    weight = st.builds(
        weights,
        st.integers(1, len(shape)),
        st.sampled_from([*FLOATS, *INTEGERS]),
        st.sampled_from([0.0, 0.3]),
    )
    part = st.sampled_from([0.0, 0.6, 1.0]).map(lambda share: rng.random(shape) < share)
    return st.fixed_dictionaries(
        {},
        optional={
            "sample_weight": weight,
            "where": st.one_of(
                part,
                part.map(lambda m: m[:1]),  # broadcast along the first axis
                part.map(lambda m: np.asfortranarray(m)),
            ),
            "label_smoothing": st.sampled_from([0.0, 0.1, 0.5, 1.0]),
            "nan_policy": st.sampled_from(["raise", "propagate", "omit"]),
        },
    )


def pos_weights(rng: Any, shape: tuple[int, ...]) -> st.SearchStrategy[Options]:
    def array(dtype: str, k: int) -> Array:
        weights = rng.uniform(0.2, 5, shape[k:])
        return np.where(rng.random(shape[k:]) < 0.1, 0, weights).astype(dtype)

    arrays = st.builds(array, st.sampled_from(FLOATS[:2]), st.integers(0, len(shape) - 1))
    return st.fixed_dictionaries(
        {}, optional={"pos_weight": st.one_of(st.sampled_from([1.0, 0.25, 7, 3.5, 0.0]), arrays)}
    )


def class_weights(rng: Any, classes: int) -> st.SearchStrategy[Options]:
    w = rng.uniform(0.1, 4, classes)
    some = {c: float(w[c]) for c in range(0, classes, 2)}
    zero = np.where(np.arange(classes) % 3 == 1, 0, w)
    return st.fixed_dictionaries(
        {}, optional={"class_weight": st.sampled_from([w, w.tolist(), some, zero])}
    )


def logit_options() -> st.SearchStrategy[Options]:
    return st.fixed_dictionaries(
        {},
        optional={
            "softcap": st.sampled_from([30.0, 2, 0.5, 1e6]),
            "z_loss": st.sampled_from([0.0, 1e-4, 0.5, 3]),
        },
    )


def rounding_of_cap(case: Case) -> float:
    """How much larger an error may be: a capped logit is rounded, which a small loss shows."""
    return 100.0 if "softcap" in case.options else 1.0


def epsilons() -> st.SearchStrategy[Options]:
    return st.fixed_dictionaries(
        {}, optional={"eps": st.sampled_from([0.0, "auto", 1e-7, 1e-3, 1e-15, float(np.exp(-100))])}
    )

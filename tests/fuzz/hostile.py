"""Hostile calls, which `main` makes on the level that FASTXENT_SIMD names.

Arrays are cut from a raw buffer with random dtypes, byte orders and strides (negative, zero,
overlapping, unaligned), and filled with ordinary numbers, limits, or random bits. Each call must

- return or raise a ValueError or TypeError that names an argument; nothing else, no warning;
- leave every buffer as it was, except its outputs;
- give the bits, or the error, that contiguous native copies of its arrays give, without `out`.

Under the sanitizers (`make sanitize`) it must also touch no byte outside.
"""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from typing import Any

import ml_dtypes
import numpy as np

import fastxent
from fastxent._core.loss import Loss
from fastxent._losses import LOSSES

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
SCORES = ["f2", "f4", "f8", ">f4", ">f8", ">f2", BFLOAT16, "f4", "f8", "i4", "u1", "?"]
INTEGERS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i8", ">i2", ">u4"]
SOFT = ["f2", "f4", "f8", ">f4", BFLOAT16]
WEIGHTS = ["f4", "f8", "i4", ">f8", "u1", "f2"]
REFUSED = ["g", "c16", "O", "S3", "U2", "M8[s]", "V5"]
LIMITS = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 5e-324, 1e308, -1e-300, 0.5]
LARGE = 600_001  # losses, so that two threads have work


def functions() -> dict[str, Loss]:
    """Every function of scores with options, and the loss whose options it takes."""
    known = {loss.name: loss for loss in LOSSES}
    for name in fastxent.__all__:
        for end in ("_value_and_grad", "_grad_hess"):
            if name.endswith(end) and not name.startswith("linear_"):  # those take no scores
                stem = name.removesuffix(end)
                known[name] = known.get(stem + "_with_logits") or known[stem]
    return known


FUNCTIONS = functions()


class Fuzzer:
    """Draws arrays and calls, and remembers every buffer that was handed out."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.buffers: list[tuple[Any, bytes]] = []

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    # ---------------------------------------------------------------------------------- arrays

    def shape(self) -> tuple[int, ...]:
        if self.chance(0.0005):
            return (LARGE,)
        ndim = int(self.rng.integers(1, 5))
        longest = self.pick([1, 3, 9]) if ndim > 1 else self.pick([1, 40, 40, 600, 2600])
        least = 0 if self.chance(0.05) else 1
        return tuple(int(n) for n in self.rng.integers(least, longest + 1, ndim))

    def values(self, dtype: Any, n: int, low: float, high: float) -> Any:
        if self.chance(0.05):
            bits = self.rng.integers(0, 256, n * dtype.itemsize, dtype=np.uint8)
            return (bits & 1).view(bool) if dtype.kind == "b" else bits.view(dtype)
        if dtype.kind in "iub":
            return self.rng.integers(int(low), int(high) + 1, n).astype(dtype)
        out = self.rng.uniform(low, high, n)
        if self.chance(0.15):
            out[self.rng.integers(0, n, max(1, n // 50))] = self.pick(LIMITS)
        with np.errstate(all="ignore"):
            return out.astype(dtype)

    def array(self, dtype: Any, shape: tuple[int, ...], low: float = 0, high: float = 1) -> Any:
        """An array of that shape, with any layout, in its own buffer."""
        dtype = np.dtype(dtype)
        if dtype.str[1:] in REFUSED:
            return np.zeros(shape, dtype)
        size = int(np.prod(shape))
        if self.chance(0.4) or size == 0 or size >= LARGE:
            flat = self.values(dtype, max(size, 1), low, high)[:size]
            out = flat.reshape(shape, order=self.pick("CF"))
        else:
            flat, out = self.cut(dtype, shape, self.rng.integers(-2, 3, len(shape)), low, high)
        if self.chance(0.1) and out.size:  # unaligned
            raw = np.zeros(out.nbytes + 1, np.uint8)
            shifted = np.ndarray(shape, dtype, raw, offset=1)
            shifted[...] = out
            out, flat = shifted, raw
        self.buffers.append((flat, flat.tobytes()))
        return out

    def cut(self, dtype: Any, shape: tuple[int, ...], steps: Any, low: float, high: float) -> Any:
        """A buffer that ends where the array does, and the array."""
        steps = [int(s) for s in steps]
        ends = [(n - 1) * s for n, s in zip(shape, steps, strict=True)]
        flat = self.values(dtype, sum(map(abs, ends)) + 1, low, high)
        start = -sum(end for end in ends if end < 0)
        strides = [s * dtype.itemsize for s in steps]
        return flat, np.lib.stride_tricks.as_strided(flat[start:], shape, strides)

    def output(self, dtype: Any, shape: tuple[int, ...]) -> Any:
        """An output array in its own memory, of any strides without overlap."""
        if self.chance(0.05):
            shape = (*shape, 1)
        if self.chance(0.05):
            dtype = self.pick([">f8", "f2", "f4", "i4"])
        axes = self.rng.permutation(len(shape))
        wide = np.zeros([shape[d] * 2 for d in axes], dtype)
        places = tuple(self.pick([slice(shape[d]), slice(None, None, 2)]) for d in axes)
        out = wide[places].transpose(np.argsort(axes))
        return out[::-1] if self.chance(0.2) else out

    # ----------------------------------------------------------------------------------- calls

    def options(self, name: str, shape: tuple[int, ...], classes: int) -> dict[str, Any]:
        """Some of the options that the function takes; one that is not known here is an error."""
        takes = set(FUNCTIONS[name].options) | (
            {"var"} if FUNCTIONS[name].scale == "var" else set()
        )
        takes -= {"axis", "out"}
        if name.endswith("_grad_hess"):
            takes -= {"reduction"}
        return {
            option: getattr(self, "_" + option)(shape, classes)
            for option in sorted(takes)
            if self.chance(0.25)
        }

    def _reduction(self, *_: Any) -> Any:
        return self.pick(["mean", "sum", "none", "none", "all"])

    def _nan_policy(self, *_: Any) -> Any:
        return self.pick(["raise", "propagate", "omit", "propagate", "omit", "ignore"])

    def _sample_weight(self, shape: tuple[int, ...], _: int) -> Any:
        lead = shape[: self.rng.integers(1, len(shape) + 1)]
        return self.array(self.pick(WEIGHTS), lead, -0.1 if self.chance(0.1) else 0.0, 3.0)

    def _where(self, shape: tuple[int, ...], _: int) -> Any:
        return self.array("?", shape[self.pick([0, 0, 1]) :])

    def _label_smoothing(self, *_: Any) -> Any:
        return self.pick([0.1, 1.0, 0.0, 0.9, -1.0, np.nan])

    def _workers(self, *_: Any) -> Any:
        return self.pick([1, 2, -1, 3, 0])

    def _class_weight(self, _: Any, classes: int) -> Any:
        if self.chance(0.3):
            return {int(self.rng.integers(0, classes + 1)): 2.0}
        return self.array(self.pick(["f8", "f4", "i4", ">f8"]), (classes,), 0.0, 2.0)

    def _ignore_index(self, _: Any, classes: int) -> Any:
        return self.pick([-100, -1, 0, classes - 1, classes, 2**40, -(2**63), 2**63])

    def _pos_weight(self, shape: tuple[int, ...], _: int) -> Any:
        return self.array(self.pick(["f4", "f8", ">f4"]), shape[self.pick([0, -1]) :], 0.0, 3.0)

    def _var(self, shape: tuple[int, ...], _: int) -> Any:
        return self.array(self.pick(["f4", "f8", ">f4"]), shape[self.pick([0, -1]) :], 0.01, 3.0)

    def _full(self, *_: Any) -> Any:
        return self.chance(0.5)

    def _gamma(self, *_: Any) -> Any:
        return self.pick([0.0, 0.5, 1.0, 2.0, 3.0, 60.0, -1.0, np.nan])

    def _alpha(self, _: Any, classes: int) -> Any:
        return self.pick([0.25, 1.0, -0.5, np.nan, self.array("f8", (classes,), 0.0, 1.0)])

    def _softcap(self, *_: Any) -> Any:
        return self.pick([None, 30.0, 0.5, 1e-30, 1e30, 0.0, -1.0, np.inf, np.nan])

    def _z_loss(self, *_: Any) -> Any:
        return self.pick([0.0, 1e-4, 2.0, 1e300, -1.0, np.inf, np.nan])

    def _eps(self, *_: Any) -> Any:
        return self.pick([0, 1e-7, 0.3, 1e-320, 0.5, "auto", np.nan])

    def call(self) -> tuple[str, list[Any], dict[str, Any]]:
        """A function, its arrays and its options."""
        if self.chance(0.08):
            return self.log_loss()
        name = self.pick(list(FUNCTIONS))
        loss = FUNCTIONS[name]
        low, high = (0.0, 1.0) if loss.scores_name in ("y_proba", "p") else (-30.0, 30.0)
        kind = self.pick(REFUSED) if self.chance(0.02) else self.pick(SCORES)
        shape = self.shape()
        full, axis, classes = shape, 0, 2
        if loss.per_row:
            classes = int(self.pick([1, 2, 3, 10, 31, 32, 33, 70, 1030, 2100]))
            shape = tuple(min(n, 2_000 // classes + 1) for n in shape[:3])
            axis = int(self.rng.integers(0, len(shape) + 1))
            full = (*shape[:axis], classes, *shape[axis:])
        scores = self.array(kind, full, low, high)
        options = self.options(name, shape, classes)
        if loss.per_row and (axis != len(shape) or self.chance(0.5)):
            options["axis"] = axis if self.chance(0.5) else axis - len(full)
        args = (
            [scores]
            if loss.y_true_name == "p"
            else [self.truth(loss, shape, full, classes), scores]
        )
        self.add_output(name, shape, scores, options)
        return name, args, options

    def truth(self, loss: Any, shape: tuple[int, ...], full: tuple[int, ...], classes: int) -> Any:
        if loss.scores_name == "mean":
            return self.array(self.pick(SOFT + INTEGERS[1:]), shape, 0.0, 9.0)
        if not loss.per_row:
            shape = self.shape() if self.chance(0.02) else shape
            return self.array(self.pick(INTEGERS + SOFT), shape)
        if loss.y_true_name == "q" or self.chance(0.3):
            return self.array(self.pick([*SOFT, "?", "i8"]), full)
        most = classes if self.chance(0.05) else classes - 1
        return self.array(self.pick(INTEGERS[1:]), shape, 0, min(most, 127))

    def add_output(
        self, name: str, shape: tuple[int, ...], scores: Any, options: dict[str, Any]
    ) -> None:
        """Give it `out` now and then: apart, or the scores themselves."""
        if not self.chance(0.3):
            return
        dtype = "f8" if scores.dtype.kind in "iub" or scores.dtype.itemsize == 8 else "f4"
        derivatives = name.endswith(("_value_and_grad", "_grad_hess"))
        out = self.output(dtype, scores.shape if derivatives else shape)
        if self.chance(0.3):
            out = scores
        if name.endswith("_grad_hess"):
            out = (out, self.output(dtype, scores.shape))
        options["out"] = out
        if not derivatives:
            options["reduction"] = "none"

    def log_loss(self) -> tuple[str, list[Any], dict[str, Any]]:
        """scikit-learn's function, with labels of any kind."""
        n, classes = int(self.rng.integers(1, 40)), self.pick([1, 2, 2, 3, 10])
        shape = (n,) if self.chance(0.3) else (n, classes)
        # scikit-learn makes float64 of a swapped float32, with another epsilon: not the same bits.
        scores = self.array(self.pick([k for k in SCORES if k not in (">f4", ">f2")]), shape)
        labels = self.array(self.pick(INTEGERS[1:]), (n,), 0, max(1, classes - 1))
        if self.chance(0.2):
            labels = labels.astype(self.pick(["U3", "S3", "O", "f4"]))
        options: dict[str, Any] = {}
        if self.chance(0.3):
            options["sample_weight"] = self.array(self.pick(WEIGHTS), (n,), 0.0, 3.0)
        if self.chance(0.3):
            options["labels"] = np.arange(max(2, classes))
        if self.chance(0.3):
            options["normalize"] = False
        return "log_loss", [labels, scores], options


def bits(result: Any) -> bytes:
    parts = result if isinstance(result, tuple) else (result,)
    return b"".join(np.asarray(part).tobytes() for part in parts)


def outcome(name: str, args: list[Any], options: dict[str, Any]) -> bytes | str:
    """The bits of the result, or what was raised."""
    try:
        return bits(getattr(fastxent, name)(*args, **options))
    except (ValueError, TypeError) as error:
        text = str(error)
        if name != "log_loss":  # its message is scikit-learn's
            assert any(argument in text for argument in arguments(name)), text
        return text


def arguments(name: str) -> list[str]:
    shown = inspect.signature(getattr(fastxent, FUNCTIONS[name].name)).parameters
    return [*shown, "labels"]


def plain(value: Any) -> Any:
    """A contiguous native copy."""
    if not isinstance(value, np.ndarray):
        return value
    return np.array(value, value.dtype.newbyteorder("="), order="C")


def outputs(options: dict[str, Any]) -> tuple[Any, ...]:
    outs = options.get("out", ())
    return outs if type(outs) is tuple else (outs,)


def written(buffer: Any, options: dict[str, Any]) -> bool:
    """Whether the call writes there."""
    return any(np.may_share_memory(buffer, out) for out in outputs(options))


def half_output(options: dict[str, Any]) -> dict[str, Any]:
    """A contiguous `out` where that of the call is half precision, to which results are rounded."""
    outs = outputs(options)
    if all(out.dtype.itemsize != 2 for out in outs):
        return {}
    fresh = tuple(np.empty(out.shape, out.dtype.newbyteorder("=")) for out in outs)
    return {"out": fresh if type(options["out"]) is tuple else fresh[0]}


def without_dtypes(found: bytes | str) -> bytes | str:
    """Errors that show a dtype show its byte order too."""
    return re.sub(r"dtype[ (]'?[<>\w]+", "", found) if isinstance(found, str) else found


def fuzz(seed: int, calls: int) -> tuple[int, int]:
    """Make the calls; how many answered, and how many raised."""
    fuzzer = Fuzzer(seed)
    counts = [0, 0]
    for number in range(calls):
        fuzzer.buffers.clear()
        name, args, options = fuzzer.call()
        without_out = {key: plain(value) for key, value in options.items() if key != "out"}
        copies = list(map(plain, args)), without_out
        what = (seed, number, name, args, options)
        found = outcome(name, args, options)
        for buffer, before in fuzzer.buffers:
            assert buffer.tobytes() == before or written(buffer, options), what
        if isinstance(found, str) and found.startswith("out"):
            counts[True] += 1
            continue
        if isinstance(found, bytes):
            without_out.update(half_output(options))
        same = outcome(name, *copies)
        assert without_dtypes(found) == without_dtypes(same), (*what, found, same)
        counts[isinstance(found, str)] += 1
    return counts[0], counts[1]


def main() -> None:
    """Seed and number of calls are the program's arguments."""
    np.set_printoptions(threshold=20)
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", UserWarning)  # log_loss, of rows that do not sum to one
    print(fastxent.simd_level(), *fuzz(*map(int, sys.argv[1:])))

"""Hostile input: no crash, no changed input, no answer that hangs on the layout.

Arrays are cut from a raw buffer with random dtypes, byte orders and strides (negative, zero,
overlapping), filled with ordinary numbers or with random bits. FASTXENT_FUZZ_CALLS says how many
calls; `make sanitize` makes a million of them under the sanitizers.
"""

import os
import warnings

import numpy as np
import pytest

import fastxent

CALLS = int(os.environ.get("FASTXENT_FUZZ_CALLS", "4000"))
SEEDS = 8

SCORES = ["f2", "f4", "f8", ">f4", ">f8", ">f2", "i4", "u1", "?"]
LABELS = [
    "?",
    "i1",
    "i2",
    "i4",
    "i8",
    "u1",
    "u2",
    "u4",
    "u8",
    "f2",
    "f4",
    "f8",
    ">i8",
    ">f4",
    ">i2",
]
WEIGHTS = ["f4", "f8", "i4", ">f8", "u1"]
REFUSED = ["g", "c16", "O", "S3", "U2", "M8[s]", "V5"]
ELEMENTWISE = [fastxent.binary_cross_entropy, fastxent.binary_cross_entropy_with_logits]
ROWS = [fastxent.categorical_cross_entropy, fastxent.categorical_cross_entropy_with_logits]


class Fuzzer:
    """Draws arrays and calls, and remembers every buffer that was handed out."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.buffers = []

    def pick(self, items):
        return items[self.rng.integers(len(items))]

    def chance(self, p):
        return self.rng.random() < p

    def shape(self, ndim=None):
        ndim = self.rng.integers(1, 5) if ndim is None else ndim
        longest = self.pick([1, 3, 9]) if ndim > 1 else self.pick([1, 40, 600, 2600])
        return tuple(
            int(n) for n in self.rng.integers(0 if self.chance(0.05) else 1, longest + 1, ndim)
        )

    def values(self, dtype, n, low, high):
        if self.chance(0.1):
            bits = self.rng.integers(0, 256, n * dtype.itemsize, dtype=np.uint8)
            return (bits & 1).view(bool) if dtype.kind == "b" else bits.view(dtype)
        if dtype.kind in "iub":
            return self.rng.integers(int(low), int(high) + 1, n).astype(dtype)
        out = self.rng.uniform(low, high, n)
        if self.chance(0.15):
            special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 5e-324, 1e308, -1e-300, 0.5]
            out[self.rng.integers(0, n, max(1, n // 50))] = self.pick(special)
        with np.errstate(all="ignore"):
            return out.astype(dtype)

    def array(self, dtype, shape, low=0.0, high=1.0):
        """An array of that shape, anyhow laid out in a buffer of its own."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape))
        if self.chance(0.4) or size == 0:
            flat = self.values(dtype, max(size, 1), low, high)[:size]
            out = flat.reshape(shape, order=self.pick("CF"))
        else:
            steps = self.rng.integers(-2, 3, len(shape))
            reach = sum((n - 1) * abs(int(s)) for n, s in zip(shape, steps, strict=True))
            flat = self.values(dtype, reach + 1, low, high)
            start = sum((n - 1) * -int(s) for n, s in zip(shape, steps, strict=True) if s < 0)
            out = np.lib.stride_tricks.as_strided(
                flat[start:], shape, [int(s) * dtype.itemsize for s in steps], writeable=False
            )
        if self.chance(0.1) and out.size:  # unaligned
            raw = np.zeros(out.nbytes + 1, np.uint8)
            shifted = np.ndarray(shape, dtype, raw, offset=1)
            shifted[...] = out
            out, flat = shifted, raw
        self.buffers.append((flat, flat.tobytes()))
        return out

    def options(self, loss, shape, classes):
        options = {"reduction": self.pick(["mean", "sum", "none"])}
        options["nan_policy"] = self.pick(["raise", "propagate", "omit"])
        if self.chance(0.3):
            lead = shape[: self.rng.integers(1, len(shape) + 1)]
            low = -0.1 if self.chance(0.1) else 0.0
            options["sample_weight"] = self.array(self.pick(WEIGHTS), lead, low, 3.0)
        if self.chance(0.3):
            options["where"] = self.array("?", shape)
        if self.chance(0.2):
            options["label_smoothing"] = self.pick([0.1, 1.0, 0.0, -1.0, np.nan])
        if self.chance(0.2):
            options["workers"] = self.pick([1, 2, -1, 0])
        if loss in ROWS and self.chance(0.3):
            options["class_weight"] = self.array("f8", (classes,), 0.0, 2.0)
        if loss in ROWS and self.chance(0.2):
            options["ignore_index"] = int(self.rng.integers(-2, classes + 1))
        if loss is ELEMENTWISE[1] and self.chance(0.2):
            options["pos_weight"] = self.array("f4", shape[-1:], 0.0, 3.0)
        if loss in (ELEMENTWISE[0], ROWS[0]) and self.chance(0.3):
            options["eps"] = self.pick([0, 1e-7, 0.3, 1e-320, 0.5, "auto"])
        return options

    def call(self):
        """A loss, its arrays and its options."""
        loss = self.pick(ELEMENTWISE + ROWS)
        low, high = (-30.0, 30.0) if "logits" in loss.__name__ else (0.0, 1.0)
        kind = self.pick(REFUSED) if self.chance(0.02) else self.pick(SCORES)
        shape = self.shape()
        if loss in ELEMENTWISE:
            scores = self.scores(kind, shape, low, high)
            labels = self.array(self.pick(LABELS), self.shape() if self.chance(0.05) else shape)
            return loss, labels, scores, self.options(loss, shape, 2)
        classes = int(self.pick([1, 2, 3, 10, 31, 32, 33, 70, 1030]))
        shape = tuple(min(n, 2_000 // classes + 1) for n in shape[:3])
        axis = int(self.rng.integers(0, len(shape) + 1))
        full = (*shape[:axis], classes, *shape[axis:])
        scores = self.scores(kind, full, low, high)
        if self.chance(0.3):
            labels = self.array(self.pick(["f4", "f8", "?", "f2"]), full)
        else:
            most = classes if self.chance(0.05) else classes - 1
            labels = self.array(self.pick(LABELS[1:9]), shape, 0, min(most, 127))
        options = self.options(loss, shape, classes)
        options["axis"] = axis if self.chance(0.5) else axis - len(full)
        return loss, labels, scores, options

    def scores(self, kind, shape, low, high):
        if kind in REFUSED:
            return np.zeros(shape, kind)
        return self.array(kind, shape, low, high)


def outcome(loss, labels, scores, options):
    """The bits of the result, or what was raised."""
    try:
        result = loss(labels, scores, **options)
    except (ValueError, TypeError) as error:
        return str(error)
    return np.asarray(result).tobytes()


def contiguous(value):
    if not isinstance(value, np.ndarray):
        return value
    return np.array(value, value.dtype.newbyteorder("="), order="C")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_crash_no_changed_input_and_no_bits_of_the_layout(seed):
    fuzzer = Fuzzer(seed)
    answered = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(CALLS // SEEDS):
            fuzzer.buffers.clear()
            loss, labels, scores, options = fuzzer.call()
            found = outcome(loss, labels, scores, options)
            for buffer, before in fuzzer.buffers:
                assert buffer.tobytes() == before
            plain = {name: contiguous(value) for name, value in options.items()}
            same = outcome(loss, contiguous(labels), contiguous(scores), plain)
            if isinstance(found, bytes):
                answered += 1
                assert found == same, (loss.__name__, labels, scores, options)
            else:
                assert isinstance(same, str), (found, same)
    assert answered > CALLS // SEEDS // 4

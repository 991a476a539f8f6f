"""Read a file of llama.cpp's ``llama-perplexity --kl-divergence-base``, and compare a model with it.

    python llama_logits.py              # a file made here, of a small model and a rounded one
    python llama_logits.py FILE Q.npy   # FILE, and the other model's logits of the same positions

The format, as of llama.cpp 050fc7f: 8 bytes ``_logits_``, then int32 n_ctx, n_vocab, n_chunk and
n_chunk * n_ctx tokens. Then, for each position of the second half of a chunk but its last, a float32
scale, a float32 minimum and n_vocab codes of 16 bits (one more where that is odd): log p = scale *
code + minimum. What is more than 16 nats below the maximum is cut off there.
"""

import math
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

import fastxent

MAGIC = b"_logits_"
HEADER = 20  # bytes: the magic and three int32


class BaseFile(NamedTuple):
    """What the file holds; nothing of the codes is read before it is asked for."""

    tokens: np.ndarray  # (chunks, context)
    records: np.ndarray  # (chunks, positions, 16-bit words), a memory map
    vocabulary: int

    def labels(self, chunk):
        """The tokens that the positions of a chunk predict."""
        context = self.tokens.shape[1]
        return self.tokens[chunk, context // 2 + 1 : context]

    def log_probabilities(self, chunk):
        """The base model's log-probabilities of one chunk, as float32."""
        words = self.records[chunk]
        scale, minimum = np.ascontiguousarray(words[:, :4]).view("<f4").T[:, :, None]
        return scale * words[:, 4 : 4 + self.vocabulary] + minimum


def read(path):
    """Open a file as a memory map."""
    raw = np.memmap(path, np.uint8, "r")
    if raw[:8].tobytes() != MAGIC:
        raise ValueError(f"{path} does not begin with {MAGIC!r}: it is no file of logits")
    context, vocabulary, chunks = (int(n) for n in raw[8:HEADER].view("<i4"))
    start = HEADER + 4 * chunks * context
    tokens = raw[HEADER:start].view("<i4").reshape(chunks, context)
    positions, words = context - 1 - context // 2, 2 * ((vocabulary + 1) // 2) + 4
    size = 2 * chunks * positions * words
    if raw.size < start + size:
        raise ValueError(f"{path} has {raw.size} bytes, but {start + size} are announced")
    records = raw[start : start + size].view("<u2").reshape(chunks, positions, words)
    return BaseFile(tokens, records, vocabulary)


def write(path, tokens, log_probabilities):
    """Write such a file: for the example and its test."""
    chunks, context = tokens.shape
    vocabulary = log_probabilities.shape[-1]
    with Path(path).open("wb") as file:
        file.write(MAGIC)
        np.array([context, vocabulary, chunks], "<i4").tofile(file)
        tokens.astype("<i4").tofile(file)
        top = log_probabilities.max(-1, keepdims=True)
        kept = np.maximum(log_probabilities, top - 16)
        minimum = kept.min(-1, keepdims=True).astype("<f4")
        scale = ((top - minimum) / 65535).astype("<f4")
        codes = np.rint((kept - minimum) / np.maximum(scale, 1e-30)).clip(0, 65535).astype("<u2")
        if vocabulary % 2:
            codes = np.concatenate([codes, np.zeros_like(codes[..., :1])], -1)
        head = np.concatenate([scale, minimum], -1).view("<u2")
        np.concatenate([head, codes], -1).tofile(file)


def compare(base, logits):
    """What llama.cpp prints of a quantised model: KL divergence, its percentiles, the same top token.

    `logits` gives the other model's logits of a chunk: an array of (chunks, positions, vocabulary),
    or anything that is indexed by chunk.
    """
    divergence, nll, base_nll, same_top = [], [], [], []
    for chunk in range(len(base.tokens)):
        ours, labels = base.log_probabilities(chunk), base.labels(chunk)
        theirs = logits[chunk]
        p, q = (fastxent.logit_statistics(labels, z) for z in (ours, theirs))
        divergence.append(
            fastxent.kl_divergence_with_logits(ours, theirs, reduction="none").astype(float)
        )
        base_nll.append(p.nll.astype(float))
        nll.append(q.nll.astype(float))
        same_top.append(p.argmax == q.argmax)
    return tuple(map(np.concatenate, (divergence, nll, base_nll, same_top)))


def with_error(values):
    """The mean and its standard error."""
    return values.mean(), values.std(ddof=1) / math.sqrt(len(values))


def show(name, value, error=None, unit=""):
    """Print one line."""
    print(f"{name:31}: {value:11.6f}" + ("" if error is None else f" ± {error:.6f}") + unit)


def show_quantiles(name, values, percents, unit=""):
    """Print the maximum, the percentiles, and the minimum."""
    names = {100: "Maximum", 50: "Median", 0: "Minimum"}
    for percent in (100, *percents, 0):
        show(
            f"{names.get(percent, f'{percent}%'):8}{name}",
            np.percentile(values, percent),
            None,
            unit,
        )


def report(divergence, nll, base_nll, same_top):
    """Print the table."""
    errors = np.cov(nll, base_nll) / len(nll)  # of the two means
    ppl, base = np.exp([nll.mean(), base_nll.mean()])
    show("Mean PPL(Q)", ppl, ppl * math.sqrt(errors[0, 0]))
    show("Mean PPL(base)", base, base * math.sqrt(errors[1, 1]))
    show("Cor(ln(PPL(Q)), ln(PPL(base)))", 100 * np.corrcoef(nll, base_nll)[0, 1], None, " %")
    log_ratio, error = with_error(nll - base_nll)
    show("Mean ln(PPL(Q)/PPL(base))", log_ratio, error)
    show("Mean PPL(Q)/PPL(base)", math.exp(log_ratio), math.exp(log_ratio) * error)
    slopes = np.array([ppl, -base])  # of the difference, by the two means
    show("Mean PPL(Q)-PPL(base)", ppl - base, math.sqrt(slopes @ errors @ slopes))
    show("Mean    KLD", *with_error(divergence))
    show_quantiles("KLD", divergence, (99.9, 99, 95, 90, 50, 10, 5, 1, 0.1))
    change = 100 * (np.exp(-nll) - np.exp(-base_nll))
    show("Mean    Δp", *with_error(change), " %")
    show_quantiles("Δp", change, (99.9, 99, 95, 90, 75, 50, 25, 10, 5, 1, 0.1), " %")
    square, error = with_error(change**2)
    rms = math.sqrt(square)
    show("RMS     Δp", rms, error / (2 * rms) if rms else 0.0, " %")
    show("Same top p", *with_error(100.0 * same_top), " %")


def example(folder):
    """A file of a made-up model, and the logits of the same model with rounded weights."""
    rng = np.random.default_rng(0)
    chunks, context, vocabulary, features = 4, 64, 501, 32
    tokens = rng.integers(0, vocabulary, (chunks, context))
    head = rng.normal(size=(features, vocabulary)).astype(np.float32) / 2
    hidden = rng.normal(size=(chunks, context - 1 - context // 2, features)).astype(np.float32)
    logits = hidden @ head
    rows = np.log(np.exp(logits).sum(-1, keepdims=True))
    write(folder / "base.bin", tokens, logits - rows)
    step = np.abs(head).max() / 127
    return folder / "base.bin", hidden @ (np.rint(head / step) * step)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        report(*compare(read(sys.argv[1]), np.load(sys.argv[2], mmap_mode="r")))
    else:
        with tempfile.TemporaryDirectory() as folder:
            path, rounded = example(Path(folder))
            report(*compare(read(path), rounded))

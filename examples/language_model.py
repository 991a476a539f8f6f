"""Train a small language model of bytes on this repository's pages, and score it both ways.

The model reads eight bytes and predicts the next one: embeddings, one hidden layer, and a last layer
whose logits `fastxent.linear_cross_entropy` never stores.
"""

from pathlib import Path

import numpy as np

import fastxent

CONTEXT, EMBEDDED, HIDDEN, STEPS, BATCH = 8, 16, 64, 120, 256
text = b"".join(sorted(p.read_bytes() for p in Path(__file__).parents[1].glob("docs/**/*.rst")))
if not text:  # apart from the repository
    text = Path(__file__).read_bytes() * 20
tokens = np.frombuffer(text, np.uint8)
split = len(tokens) * 9 // 10
rng = np.random.default_rng(0)
weights = {
    "embedding": rng.normal(0, 0.3, (256, EMBEDDED)).astype(np.float32),
    "middle": rng.normal(0, 0.1, (CONTEXT * EMBEDDED, HIDDEN)).astype(np.float32),
    "head": rng.normal(0, 0.1, (256, HIDDEN)).astype(np.float32),
    "bias": np.zeros(256, np.float32),
}
moments = {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in weights.items()}


def windows(positions):
    """The bytes before each position."""
    return tokens[positions[:, None] + np.arange(-CONTEXT, 0)]


def hidden_states(context):
    """The input of the last layer, and that of the hidden one."""
    embedded = weights["embedding"][context].reshape(len(context), -1)
    return np.tanh(embedded @ weights["middle"]), embedded


def gradients(context, labels):
    """The loss and its gradients: the last layer's are fastxent's, the others the chain rule's."""
    hidden, embedded = hidden_states(context)
    loss, (by_hidden, head, bias) = fastxent.linear_cross_entropy_value_and_grad(
        labels, hidden, weights["head"], weights["bias"]
    )
    by_middle = by_hidden * (1 - hidden**2)
    by_embedded = (by_middle @ weights["middle"].T).reshape(*context.shape, EMBEDDED)
    embedding = np.zeros_like(weights["embedding"])
    np.add.at(embedding, context, by_embedded)
    return loss, {
        "embedding": embedding, "middle": embedded.T @ by_middle, "head": head, "bias": bias,
    }  # fmt: skip


def step(number, grads):
    """One step of Adam."""
    for name, grad in grads.items():
        first, second = moments[name]
        first += 0.1 * (grad - first)
        second += 0.01 * (grad**2 - second)
        scale = np.sqrt(second / (1 - 0.99**number)) + 1e-8
        weights[name] -= 0.01 * (first / (1 - 0.9**number)) / scale


for number in range(1, STEPS + 1):
    positions = rng.integers(CONTEXT, split, BATCH)
    loss, grads = gradients(windows(positions), tokens[positions])
    step(number, grads)

held_out = np.arange(split + CONTEXT, min(len(tokens), split + CONTEXT + 5000))
hidden, _ = hidden_states(windows(held_out))
labels = tokens[held_out]

# From hidden states: the logits are never stored.
mean = fastxent.linear_cross_entropy(labels, hidden, weights["head"], weights["bias"])

# From logits: more numbers of each byte, with a standard error.
logits = hidden @ weights["head"].T + weights["bias"]
score = fastxent.score(
    fastxent.categorical_cross_entropy_with_logits, labels, logits, clusters=held_out // 1000
)
found = fastxent.logit_statistics(labels, logits)
print(f"perplexity from hidden states: {np.exp(mean):.4f}")
print(f"perplexity from logits: {score.perplexity:.4f} ± {score.perplexity_standard_error:.4f}")
print(f"bits per byte: {fastxent.bits_per_byte(score.mean * score.count, len(labels)):.4f}")
print(f"greedy accuracy: {np.mean(found.rank == 0):.4f}")
print(f"mean entropy of the predictions: {found.entropy.mean(dtype=float):.4f}")

"""Train with torch's losses and with fastxent's: the same losses, and the time of each.

A classifier of scikit-learn's digits, and a small language model of the characters in which
scikit-learn describes its data sets. Nothing is downloaded.
"""

from __future__ import annotations

import time

import torch
from sklearn import datasets
from torch import nn

import fastxent.torch


def train(model: nn.Module, criterion: nn.Module, batches: list, steps: int) -> tuple[list, float]:
    """The losses, and the seconds spent in the loss and its gradient."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses, seconds = [], 0.0
    for step in range(steps):
        x, y = batches[step % len(batches)]
        optimizer.zero_grad()
        logits = model(x)
        start = time.perf_counter()
        cut = logits.detach().requires_grad_()
        loss = criterion(cut, y)
        loss.backward()
        seconds += time.perf_counter() - start
        logits.backward(cut.grad)
        optimizer.step()
        losses.append(loss.item())
    return losses, seconds


def digits() -> tuple[nn.Module, list]:
    """Images of 8 x 8, all in one batch."""
    data = datasets.load_digits()
    x = torch.tensor(data.data, dtype=torch.float32) / 16
    y = torch.tensor(data.target)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)), [(x, y)]


def characters() -> tuple[nn.Module, list]:
    """The next character from the eight before it."""
    names = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
    text = "".join(getattr(datasets, f"load_{name}")().DESCR for name in names)
    known = {c: i for i, c in enumerate(sorted(set(text)))}
    codes = torch.tensor([known[c] for c in text])
    x, y = codes.unfold(0, 8, 1)[:-1], codes[8:]
    layers = [nn.Embedding(len(known), 16), nn.Flatten(), nn.Linear(128, 64), nn.Tanh()]
    model = nn.Sequential(*layers, nn.Linear(64, len(known)))
    return model, [(x[i : i + 4096], y[i : i + 4096]) for i in range(0, len(x), 4096)]


def main() -> None:
    torch.set_num_threads(1)
    for name, make, steps in (("digits", digits, 60), ("characters", characters, 40)):
        found = {}
        for criterion in (nn.CrossEntropyLoss(), fastxent.torch.CrossEntropyLoss()):
            torch.manual_seed(0)
            model, batches = make()
            found[type(criterion).__module__.split(".")[0]] = train(
                model, criterion, batches, steps
            )
        (theirs, torch_seconds), (ours, seconds) = found["torch"], found["fastxent"]
        apart = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        print(f"{name}: loss {theirs[0]:.5f} -> {theirs[-1]:.5f}, largest difference {apart:.1e}")
        print(f"  loss and gradient: torch {torch_seconds:.4f} s, fastxent {seconds:.4f} s")


if __name__ == "__main__":
    main()

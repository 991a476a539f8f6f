"""fastxent.torch against torch, forward and backward: interleaved times, and the memory of each.

    python benchmarks/bench_torch.py [part of a case's name ...] [--threads N] [--budget SECONDS]
        [--clock cpu] [--memory]

Ratios are medians of pairs: torch's time over fastxent's. ``THP_MEM_ALLOC_ENABLE=1`` in the
environment gives torch huge pages, as NumPy has them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from memory import peak
from timing import CLOCKS, Clock, interleaved

import fastxent.torch as ours

F = torch.nn.functional
warnings.filterwarnings("ignore", "reduction: 'mean' divides")
#: Name, function, shape, dtype, and the ratio that forward and backward are to have.
CASES = [
    ("CE 262,144 x 10", "cross_entropy", (262_144, 10), torch.float32, 12),
    ("CE 16,384 x 1,000", "cross_entropy", (16_384, 1_000), torch.float32, 7),
    ("CE 128 x 128,256", "cross_entropy", (128, 128_256), torch.float32, 6),
    ("CE 64 x 10", "cross_entropy", (64, 10), torch.float32, 1 / 1.3),
    ("BCE of logits 16.8M", "binary_cross_entropy_with_logits", (4096, 4096), torch.float32, 8),
    ("CE 262,144 x 10 bfloat16", "cross_entropy", (262_144, 10), torch.bfloat16, 12),
    ("CE 16,384 x 1,000 bfloat16", "cross_entropy", (16_384, 1_000), torch.bfloat16, 7),
    ("CE 128 x 128,256 bfloat16", "cross_entropy", (128, 128_256), torch.bfloat16, 6),
    ("BCE 16.8M", "binary_cross_entropy", (4096, 4096), torch.float32, None),
    ("Poisson 16.8M", "poisson_nll_loss", (4096, 4096), torch.float32, None),
    ("KL 16,384 x 1,000", "kl_div", (16_384, 1_000), torch.float32, None),
    ("NLL 16,384 x 1,000", "nll_loss", (16_384, 1_000), torch.float32, None),
    ("Gaussian 16.8M", "gaussian_nll_loss", (4096, 4096), torch.float32, None),
]  # fmt: skip
MIB = 2**20


def inputs(name: str, shape: tuple[int, ...], dtype: Any) -> tuple[Any, tuple[Any, ...]]:
    """Scores, and what comes after them."""
    torch.manual_seed(0)
    scores = torch.randn(shape).to(dtype)
    if name == "kl_div":
        return torch.log_softmax(scores, 1), (torch.softmax(torch.randn(shape), 1),)
    if name in ("cross_entropy", "nll_loss"):
        return scores, (torch.randint(0, shape[1], shape[:1]),)
    if name == "poisson_nll_loss":
        return scores, (torch.poisson(torch.ones(shape)),)
    labels = (torch.rand(shape) < 0.5).to(dtype)
    if name == "gaussian_nll_loss":
        return scores, (labels, torch.rand(shape).add_(0.5).to(dtype))
    return (scores if "logits" in name else torch.sigmoid(scores)), (labels,)


def step(function: Any, scores: Any, rest: tuple[Any, ...], **options: Any) -> Callable[[], None]:
    """Forward and backward."""
    leaf = scores.detach().requires_grad_()

    def run() -> None:
        leaf.grad = None
        function(leaf, *rest, **options).backward()

    return run


def times(names: list[str], budget: float, clock: Clock) -> None:
    print(f"{'torch / fastxent':28}{'eval':>8}{'f + b':>8}{'bar':>6}{'ms torch':>10}{'ms':>8}")
    for title, name, shape, dtype, bar in CASES:
        if names and not any(part in title for part in names):
            continue
        scores, rest = inputs(name, shape, dtype)
        mine, theirs = getattr(ours, name), getattr(F, name)
        forward = interleaved(
            lambda: mine(scores, *rest),  # noqa: B023
            lambda: theirs(scores, *rest),  # noqa: B023
            budget,
            clock=clock,
        )
        both = interleaved(
            step(mine, scores, rest), step(theirs, scores, rest), budget, clock=clock
        )
        shown = "" if bar is None else f"{bar:.3g}"
        print(
            f"{title:28}{1 / forward.ratio:8.2f}{1 / both.ratio:8.2f}{shown:>6}"
            f"{1e3 * both.other:10.3f}{1e3 * both.seconds:8.3f}",
            flush=True,
        )


def added(which: str, case: int) -> float:
    """The resident memory that one forward and backward adds, in MiB."""
    _, name, shape, dtype, _ = CASES[case]
    scores, rest = inputs(name, shape, dtype)
    function = getattr(F if which == "torch" else ours, name)
    small = scores[:2].detach().requires_grad_()
    function(small, *(r[:2] for r in rest)).backward()
    options = {"inplace_backward": True} if which == "in place" else {}
    return peak(step(function, scores, rest, **options))


def memory(names: list[str]) -> None:
    print(f"{'MiB beyond the inputs':28}{'torch':>9}{'fastxent':>10}{'in place':>10}{'logits':>9}")
    for case, (title, name, shape, dtype, _) in enumerate(CASES):
        if names and not any(part in title for part in names):
            continue
        found = []
        for which in ("torch", "fastxent", "in place"):
            if which == "in place" and name not in (CASES[0][1], CASES[4][1]):
                continue
            command = [sys.executable, __file__, "--peak", which, str(case)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append(float(done.stdout))
        shown = "".join(f"{n:{w}.1f}" for n, w in zip(found, (9, 10, 10), strict=False))
        size = torch.Size(shape).numel() * dtype.itemsize / MIB
        print(f"{title:28}{shown:29}{size:9.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="cases of which the name contains one of these")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: on a busy machine")
    parser.add_argument("--budget", type=float, default=3.0)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        print(added(options.peak[0], int(options.peak[1])))
    elif options.memory:
        memory(options.names)
    else:
        huge = os.environ.get("THP_MEM_ALLOC_ENABLE", "0")
        print(f"torch {torch.__version__}, {options.threads} threads, THP_MEM_ALLOC_ENABLE={huge}")
        times(options.names, options.budget, CLOCKS[options.clock])


if __name__ == "__main__":
    main()

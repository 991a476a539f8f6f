"""From hidden states to the loss: time and memory of linear_cross_entropy, of torch, and of the product.

    python benchmarks/bench_linear.py [--tokens 2048] [--features 1024] [--words 50257] [--threads 1]
        [--dtype float32] [--only name ...]

Each way runs in a process of its own; its figures are the least CPU time of some calls, and the peak of
its resident memory beyond the inputs, gradients included. `product` is np.matmul of the same shapes
into one buffer, block by block: the lower bound of a float32 loss through NumPy.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[[], Any]
WAYS = {
    "float32": ["product", "fastxent", "fastxent grad", "torch", "torch linear", "torch grad"],
    "bfloat16": ["fastxent", "fastxent.torch", "fastxent.torch grad", "torch", "torch grad"],
}


def status(key: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def product(hidden: Any, weight: Any) -> Call:
    import numpy as np

    buffer = np.empty((256, weight.shape[0]), hidden.dtype)

    def call() -> None:
        for start in range(0, len(hidden), 256):
            part = hidden[start : start + 256]
            np.matmul(part, weight.T, out=buffer[: len(part)])

    return call


def way(name: str, dtype: str, sizes: tuple[int, int, int], threads: int) -> Call:
    """The call to time, with its inputs made."""
    import numpy as np

    rng = np.random.default_rng(0)
    tokens, features, words = sizes
    hidden = rng.standard_normal((tokens, features), np.float32)
    weight = rng.standard_normal((words, features), np.float32)
    weight *= 0.02
    labels = rng.integers(0, words, tokens)
    if name == "product":
        return product(hidden, weight)
    if "torch" not in name:
        import fastxent

        if dtype == "bfloat16":
            import ml_dtypes

            hidden, weight = (a.astype(ml_dtypes.bfloat16) for a in (hidden, weight))
        if name.endswith("grad"):
            return lambda: fastxent.linear_cross_entropy_value_and_grad(labels, hidden, weight)
        return lambda: fastxent.linear_cross_entropy(labels, hidden, weight)
    return by_torch(name, dtype, (hidden, weight, labels), threads)


def by_torch(name: str, dtype: str, arrays: tuple[Any, Any, Any], threads: int) -> Call:
    import torch

    torch.set_num_threads(threads)
    h, w, y = (torch.from_numpy(a) for a in arrays)
    h, w = (a.to(getattr(torch, dtype)) for a in (h, w))
    f = torch.nn.functional

    def of_logits(h: Any, w: Any, y: Any) -> Any:
        return f.cross_entropy(f.linear(h, w), y)

    loss = of_logits
    if name.startswith("fastxent"):
        from fastxent.torch import linear_cross_entropy as loss
    elif "linear" in name:
        loss = f.linear_cross_entropy
    if not name.endswith("grad"):
        return lambda: loss(h, w, y)
    h.requires_grad_(), w.requires_grad_()

    def both() -> Any:
        h.grad = w.grad = None
        loss(h, w, y).backward()

    return both


def measure(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of CPU time, and MiB."""
    from time import process_time

    sizes = arguments.tokens, arguments.features, arguments.words
    call = way(name, arguments.dtype, sizes, arguments.threads)
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak starts anew
    before = status("VmRSS")
    seconds = []
    for _ in range(arguments.calls):
        start = process_time()
        call()
        seconds.append(process_time() - start)
    return {"s": min(seconds), "MiB": (status("VmHWM") - before) / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, default in (("tokens", 2048), ("features", 1024), ("words", 50257)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--dtype", choices=list(WAYS), default="float32")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--in-process", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_process:
        print(json.dumps(measure(arguments.in_process, arguments)))
        return
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(threads, str(arguments.threads))
    for name in arguments.only or WAYS[arguments.dtype]:
        command = [sys.executable, *sys.argv, "--in-process", name]
        out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        found = json.loads(out.stdout)
        print(
            f"{arguments.dtype} {name:20} {found['s']:7.3f} s {found['MiB']:7.0f} MiB", flush=True
        )


if __name__ == "__main__":
    main()

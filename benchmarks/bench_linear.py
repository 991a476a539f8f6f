"""From hidden states to the loss: linear_cross_entropy, torch's two ways, and the product alone.

    python benchmarks/bench_linear.py [--tokens 2048] [--features 1024] [--words 50257] [--threads 1]
        [--dtype float32] [--only name ...] [--budget SECONDS] [--memory]

Times are medians of CPU time, interleaved in one process; a ratio is the median of the other's time
over fastxent's. `--memory` is the peak of the resident memory beyond the inputs, gradients included, each
in a process of its own. `product` is np.matmul of the same shapes into one buffer, block by block:
the lower bound of a float32 loss through NumPy. `torch` is cross_entropy(linear(...)), `torch linear`
its linear_cross_entropy, `torch chunked` the same with LinearCrossEntropyOptions.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
from typing import Any

from memory import peak
from timing import CLOCKS, Call, interleaved

#: What each way of fastxent is compared with.
RIVALS = {
    "float32": {
        "fastxent": ["product", "torch", "torch linear", "torch chunked"],
        "fastxent grad": ["torch grad", "torch linear grad", "torch chunked grad"],
    },
    "bfloat16": {
        "fastxent": ["torch", "torch linear"],
        "fastxent.torch": ["torch", "torch linear"],
        "fastxent.torch grad": ["torch grad"],
    },
    "float16": {"fastxent": ["torch"], "fastxent.torch": ["torch"]},
}


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

        if dtype != "float32":
            import ml_dtypes

            half = np.dtype(getattr(ml_dtypes, dtype, dtype))
            hidden, weight = (a.astype(half) for a in (hidden, weight))
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
    elif "chunked" in name:
        options = torch.nn.LinearCrossEntropyOptions()
        loss = functools.partial(f.linear_cross_entropy, options=options)
    if not name.endswith("grad"):
        return lambda: loss(h, w, y)
    h.requires_grad_(), w.requires_grad_()

    def both() -> Any:
        h.grad = w.grad = None
        loss(h, w, y).backward()

    return both


def times(chosen: dict[str, list[str]], arguments: argparse.Namespace) -> None:
    """Print the ratios."""
    sizes = arguments.tokens, arguments.features, arguments.words
    rest = arguments.dtype, sizes, arguments.threads
    for name, others in chosen.items():
        call = way(name, *rest)
        for other in others:
            pair = interleaved(call, way(other, *rest), arguments.budget, clock=CLOCKS["cpu"])
            print(
                f"{name:20}{pair.seconds:7.3f} s  {other:20}{pair.other:7.3f} s "
                f"{1 / pair.ratio:7.2f} ({pair.rounds} rounds)",
                flush=True,
            )


def memory(chosen: dict[str, list[str]]) -> None:
    """Print the peak of each way, beyond its inputs."""
    for name in dict.fromkeys(n for pair in chosen.items() for n in (pair[0], *pair[1])):
        command = [sys.executable, *sys.argv, "--peak-of", name]
        out = subprocess.run(command, check=True, capture_output=True, text=True)
        print(f"{name:20}{float(out.stdout):7.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, default in (("tokens", 2048), ("features", 1024), ("words", 50257)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=30.0)
    parser.add_argument("--dtype", choices=list(RIVALS), default="float32")
    parser.add_argument("--only", nargs="*", help="ways of fastxent")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak-of", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    pools = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(pools, str(arguments.threads))
    if environment != os.environ:  # the BLAS has read it already
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    rivals = RIVALS[arguments.dtype]
    chosen = {name: rivals[name] for name in arguments.only or rivals}
    if arguments.peak_of:
        sizes = arguments.tokens, arguments.features, arguments.words
        print(peak(way(arguments.peak_of, arguments.dtype, sizes, arguments.threads)))
    elif arguments.memory:
        memory(chosen)
    else:
        times(chosen, arguments)


if __name__ == "__main__":
    main()

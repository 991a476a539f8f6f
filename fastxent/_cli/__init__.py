"""The command line: ``fastxent COMMAND`` or ``python -m fastxent COMMAND``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

# command: the module whose main() runs it, imported only then, and a line of help
COMMANDS = {
    "score": ("fastxent._cli.score", "score predictions in files: Parquet, Arrow, CSV, NPY, NPZ"),
    "demo": (
        "fastxent._cli.demo",
        "score the predictions that ship with fastxent, and time a batch",
    ),
}

SIGPIPE = 141  # what a shell reports of a program that the signal has ended: 128 + 13


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command with the arguments that follow it, and return its exit status."""
    try:
        try:
            return _run(arguments)
        finally:
            print(end="", flush=True)  # here, where a broken pipe can be caught
    except BrokenPipeError:  # whoever read the output has gone, and wants no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SIGPIPE


def _run(arguments: Sequence[str] | None) -> int:
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="fastxent",
        description="Cross-entropy of large batches, as fast as memory can be read.",
        epilog="\n".join(
            ["commands:", *(f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items())]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="see below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="its own arguments")
    parsed = parser.parse_args(arguments)
    module = importlib.import_module(COMMANDS[parsed.command][0])
    return int(module.main(parsed.rest))

"""The command line: ``fastxent COMMAND`` or ``python -m fastxent COMMAND``."""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fastxent._cli import demo, score
from fastxent._cli.errors import printable

SIGPIPE = 141  # the exit status that a shell reports after SIGPIPE: 128 + 13


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    atexit.register(gc.freeze)  # at the end nothing is searched for cycles, which takes 15 ms
    if sys.stderr is None:  # closed
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
    if sys.stdout is None:
        print("fastxent: standard output is closed", file=sys.stderr)
        return 2
    try:
        try:
            options = parser().parse_args(arguments)
            return int(options.run(options))
        finally:
            print(end="", flush=True)  # flush here, where an error can be caught
    except BrokenPipeError:  # the reader of the output has closed the pipe: exit quietly
        _discard_output()
        return SIGPIPE
    except OSError as error:  # a full disk, for one
        _discard_output()
        where = error.filename or "standard output"
        text = printable(f"{where}: {(error.strerror or str(error)).lower()}")
        print(f"fastxent: {text}", file=sys.stderr)
        return 2


def _discard_output() -> None:
    """What is not written yet goes nowhere, so that the interpreter's last flush succeeds."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _ShowVersion(argparse.Action):
    """Print the version and exit; what finds it is imported only then."""

    def __call__(self, *_: object) -> None:
        metadata = importlib.import_module("importlib.metadata")
        try:
            print(f"fastxent {metadata.version('fastxent')}")
        except metadata.PackageNotFoundError:
            print("fastxent, not installed: run from its sources")
        raise SystemExit(0)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands. Each sets `run`, which imports what it needs when it is called."""
    p = argparse.ArgumentParser(
        prog="fastxent",
        description="Cross-entropy of large batches, as fast as memory can be read.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    commands = p.add_subparsers(title="commands", metavar="COMMAND", required=True)
    added = [module.add_parser(commands) for module in (score, demo)]
    p.epilog = "\n".join(command.format_usage() for command in added)
    return p

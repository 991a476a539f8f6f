"""The directive ``commands``: shell commands and their output.

The doctest builder runs the lines that begin with ``$``, in the folder of the page, and compares
their output with the page; ``...`` matches anything. A block that cannot be run there has the
option ``:not-run:`` with the reason.

No code goes untested. A block of Python or shell code that is not run is a warning, and a build
that runs too few tests is an error.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

MINIMUM = 300  # tests in all pages; fewer mean that some are no longer collected
NOT_CODE = {"text", "none", "cython"}


class Commands(SphinxDirective):
    """A block of shell commands with their output."""

    has_content = True
    option_spec: ClassVar = {"not-run": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        text = "\n".join(self.content)
        block = nodes.literal_block(text, text, language="console")
        self.set_source_info(block)
        if "not-run" in self.options:
            block["not-run"] = self.options["not-run"]
        else:
            block["testnodetype"] = "doctest"
            block["groups"] = ["default"]
            block["test"] = doctest_of(text)
        return [block]


def doctest_of(text: str) -> str:
    """The same block as a doctest."""
    lines: list[str] = []
    command = ""
    for line in text.splitlines():
        if line.startswith("$ "):
            command = line[2:]
        elif command.endswith("\\") and line.startswith("> "):
            command = command[:-1] + line[2:]
        else:
            lines.append(line or "<BLANKLINE>")
            continue
        if not command.endswith("\\"):
            lines.append(f">>> shell({command!r})")
    return re.sub(r"(<BLANKLINE>\n)+(?=>>>|$)", "", "\n".join(lines) + "\n")


def shell(command: str) -> None:
    """Run a command in a pseudo-terminal of 80 columns, and print its output."""
    ours, terminal = pty.openpty()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "80",
        "TERM": "dumb",
    }
    done = subprocess.Popen(
        command,
        shell=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.PIPE,
    )
    os.close(terminal)
    printed = b""
    while part := read(ours):
        printed += part
    os.close(ours)
    errors = done.stderr.read()
    done.stderr.close()
    done.wait()
    for text in (printed, errors):
        for line in text.decode().splitlines():
            print(line.rstrip())


def read(terminal: int) -> bytes:
    """Read from the terminal; b"" at its end, which Linux signals with an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def warn_about_untested_blocks(app, doctree):
    if app.env.docname.startswith("api/generated/"):
        return  # formulas
    for block in doctree.findall(nodes.literal_block):
        known = "testnodetype" in block or "not-run" in block
        if not known and block.get("language") not in NOT_CODE:
            logging.getLogger(__name__).warning(
                "this block is not tested: use >>>, the directive commands, or code-block:: text",
                location=block,
            )


def count(app, exception):
    builder = app.builder
    if builder.name == "doctest" and exception is None and builder.total_tries < MINIMUM:
        raise ExtensionError(
            f"only {builder.total_tries} tests in the pages: expected at least {MINIMUM}"
        )


def setup(app):
    app.add_directive("commands", Commands)
    app.connect("doctree-read", warn_about_untested_blocks)
    app.connect("build-finished", count)
    return {"parallel_read_safe": True}

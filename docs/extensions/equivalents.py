"""The directive ``equivalents``: another library's expressions and their equivalents.

The argument is the heading of the first column. The content is pairs of lines, separated by empty
lines. The doctest builder evaluates both expressions of a pair in the namespace of the page, and
fails if they differ by more than the relative tolerance ``:rtol:``.
"""

from __future__ import annotations

import math
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective


class Equivalents(SphinxDirective):
    """A table that translates expressions of another library."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {"rtol": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        pairs = [pair.splitlines() for pair in "\n".join(self.content).strip().split("\n\n")]
        rows = [".. list-table::", "   :header-rows: 1", "   :class: code", ""]
        rows += [f"   * - {self.arguments[0]}", "     - fastxent"]
        for theirs, ours in pairs:
            rows += [f"   * - ``{theirs}``", f"     - ``{ours}``"]
        rtol = self.options.get("rtol", "1e-13")
        code = "".join(f">>> same({theirs}, {ours}, {rtol})\n" for theirs, ours in pairs)
        test = nodes.comment(code, code, testnodetype="doctest", groups=["default"])
        self.set_source_info(test)
        return [*self.parse_text_to_nodes("\n".join(rows)), test]


def same(theirs, ours, rtol: float) -> None:
    """Raise if two numbers differ."""
    if not math.isclose(float(theirs), float(ours), rel_tol=rtol):
        raise AssertionError(f"{float(theirs)!r} is not {float(ours)!r}")


def setup(app):
    app.add_directive("equivalents", Equivalents)
    return {"parallel_read_safe": True}

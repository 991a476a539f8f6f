"""Write fastxent/_losses.pyi: the overloads and whole docstrings of fastxent/_losses.py.

    python tools/write_stubs.py [--check]

Most type checkers and editors read without running: they know neither what `documented` adds nor
that only reduction="none" gives an array. Nothing needs to be built for this. --check writes
nothing, and fails where the stub is not what would be written.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parents[1] / "fastxent"
SOURCE, STUB = PACKAGE / "_losses.py", PACKAGE / "_losses.pyi"
VALUE = 'Literal["mean", "sum"]', "float"
EACH = 'Literal["none"]', "Array"


def stub() -> str:
    """The text of the stub."""
    text = SOURCE.read_text("utf-8")
    tree = ast.parse(text)
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    docs = docstrings(tree)
    lines = [f"# Made of {SOURCE.name} by tools/{Path(__file__).name}: do not edit.", ""]
    lines += [
        "from typing import Literal, SupportsIndex, overload",
        "",
        "from numpy.typing import ArrayLike",
        "",
        "from fastxent._types import Array, ClassWeight, Epsilon, NanPolicy",
        "",
    ]
    for function in functions:
        if not function.name.startswith("_"):
            lines += stubs(text, function, docs[function.name])
    return "\n".join(lines).rstrip() + "\n"


def segment(text: str, node: ast.AST) -> str:
    return ast.get_source_segment(text, node) or ""


def docstrings(tree: ast.Module) -> dict[str, str]:
    """The functions' docstrings as they are at run time."""
    package = ModuleType("fastxent")  # instead of the one that imports what has to be built
    package.__path__ = [str(PACKAGE)]
    sys.modules["fastxent"] = package
    tree.body = [n for n in tree.body if getattr(n, "module", "") != "fastxent._evaluate"]
    names: dict[str, object] = {}
    exec(compile(tree, SOURCE, "exec"), names)
    return {name: value.__doc__ or "" for name, value in names.items() if callable(value)}


def stubs(text: str, function: ast.FunctionDef, doc: str) -> Iterator[str]:
    """Yield one stub, or two where the type of what is returned hangs on `reduction`."""
    returns = segment(text, function.returns)
    body = textwrap.indent(f'"""{doc.strip()}\n"""', "    ").split("\n")
    body = [*(line.rstrip() for line in body), ""]
    if "Value" not in returns:
        yield from signature(text, function, returns, {})
        yield from body
        return
    for kind, value in (VALUE, EACH):
        instead = {"reduction": f"reduction: {kind}" + ' = "mean"' * (value == "float")}
        if returns == "Value" and value == "float":
            instead["out"] = "out: None = None"
        yield "@overload"
        *head, last = signature(text, function, returns.replace("Value", value), instead)
        yield from head
        yield from [last, *body] if value == "float" else [last + " ..."]


def signature(
    text: str, function: ast.FunctionDef, returns: str, instead: dict[str, str]
) -> Iterator[str]:
    yield f"def {function.name}("
    arguments = function.args
    given = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults
    for argument, default in zip(arguments.args, given, strict=True):
        yield f"    {parameter(text, argument, default)},"
    if arguments.kwonlyargs:
        yield "    *,"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield f"    {instead.get(argument.arg) or parameter(text, argument, default)},"
    yield f") -> {returns}:"


def parameter(text: str, argument: ast.arg, default: ast.expr | None) -> str:
    return segment(text, argument) + (f" = {segment(text, default)}" if default else "")


def main() -> int:
    """Write the stub, or say whether it is as it would be written."""
    text = stub()
    if "--check" in sys.argv[1:]:
        same = STUB.exists() and STUB.read_text("utf-8") == text
        if not same:
            print(f"{STUB.name} is not up to date: run tools/{Path(__file__).name}")
        return int(not same)
    STUB.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

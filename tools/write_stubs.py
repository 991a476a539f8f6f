"""Write the stubs of the modules in MODULES: their functions' overloads, and whole docstrings.

    python tools/write_stubs.py [--check]

Most type checkers and editors read without running: they know neither what `documented` adds nor
that only reduction="none" gives an array. Nothing needs to be built for this. --check writes
nothing, and fails where a stub is not what would be written.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parents[1] / "fastxent"
MODULES = ("_losses", "_gradients", "_focal")
PURE = ("_docs", "_options", "_types")  # what can be imported without the native modules
VALUE = 'Literal["mean", "sum"]', "float"
EACH = 'Literal["none"]', "Array"


def stub(source: Path) -> str:
    """The text of a module's stub."""
    text = source.read_text("utf-8")
    tree = ast.parse(text)
    docs = docstrings(tree, source)
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and is_documented(n)]
    lines = [line for f in functions for line in stubs(text, f, docs[f.name])]
    return "\n".join([*header(source, "\n".join(lines)), *lines]).rstrip() + "\n"


def header(source: Path, body: str) -> Iterator[str]:
    """Yield the first lines, with the imports that the body needs."""
    yield f"# Made of {source.name} by tools/{Path(__file__).name}: do not edit."
    for module, names in (
        ("typing", "Literal SupportsIndex overload"),
        ("numpy.typing", "ArrayLike"),
        ("fastxent._types", "Array ClassWeight Epsilon NanPolicy Reduction Value"),
    ):
        code = re.sub(r'"""[^"]*"""', "", body)
        used = [name for name in names.split() if re.search(rf"\b{name}\b", code)]
        yield ""
        yield f"from {module} import {', '.join(used)}"
    yield ""


def is_documented(node: ast.FunctionDef) -> bool:
    return any("documented(" in ast.unparse(decorator) for decorator in node.decorator_list)


def segment(text: str, node: ast.AST) -> str:
    return ast.get_source_segment(text, node) or ""


def docstrings(tree: ast.Module, source: Path) -> dict[str, str]:
    """The functions' docstrings as they are at run time."""
    package = ModuleType("fastxent")  # instead of the one that imports what has to be built
    package.__path__ = [str(PACKAGE)]
    sys.modules["fastxent"] = package
    pure = {"fastxent", *(f"fastxent.{name}" for name in PURE)}
    tree.body = [
        node
        for node in tree.body
        if not isinstance(node, ast.ImportFrom)
        or not str(node.module).startswith("fastxent")
        or node.module in pure
    ]
    names: dict[str, object] = {}
    exec(compile(tree, source, "exec"), names)
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
    """Write the stubs, or say which are not as they would be written."""
    late = 0
    for name in MODULES:
        source = PACKAGE / f"{name}.py"
        text, path = stub(source), source.with_suffix(".pyi")
        if "--check" not in sys.argv[1:]:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            print(f"{path.name} is not up to date: run tools/{Path(__file__).name}")
            late += 1
    return int(late > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Write the stubs of the losses: the overloads of their functions.

    python tools/write_stubs.py [--check]

Type checkers read without running: they do not know that only reduction="none" gives an array.
Nothing needs to be built for this. --check writes nothing, and fails where a stub is out of date.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "fastxent"
MODULES = sorted(
    path.stem
    for path in (PACKAGE / "_losses").glob("*.py")
    if "@documented(" in path.read_text("utf-8")
)
VALUE = 'Literal["mean", "sum"]', "float"
EACH = 'Literal["none"]', "Array"


def stub(source: Path) -> str:
    """The text of a module's stub."""
    text = source.read_text("utf-8")
    tree = ast.parse(text)
    rows = [f"{ast.unparse(n.targets[0])}: Loss" for n in tree.body if isinstance(n, ast.Assign)]
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and is_documented(n)]
    lines = [*rows, "", *(line for f in functions for line in stubs(text, f))]
    return "\n".join([*header(source, "\n".join(lines)), *lines]).rstrip() + "\n"


def header(source: Path, body: str) -> Iterator[str]:
    """Yield the first lines, with the imports that the body needs."""
    yield f"# Made of {source.name} by tools/{Path(__file__).name}: do not edit."
    package = ""
    for module, names in (
        ("typing", "Literal SupportsIndex overload"),
        ("numpy.typing", "ArrayLike"),
        ("fastxent._core.loss", "Loss"),
        ("fastxent._core.types", "Array ClassWeight Epsilon NanPolicy Reduction Value"),
    ):
        used = [name for name in names.split() if re.search(rf"\b{name}\b", body)]
        if module.partition(".")[0] != package:
            yield ""
        package = module.partition(".")[0]
        yield f"from {module} import {', '.join(used)}"
    yield ""


def is_documented(node: ast.FunctionDef) -> bool:
    return any("documented(" in ast.unparse(decorator) for decorator in node.decorator_list)


def segment(text: str, node: ast.AST) -> str:
    return ast.get_source_segment(text, node) or ""


def stubs(text: str, function: ast.FunctionDef) -> Iterator[str]:
    """Yield one stub, or two where `reduction` decides the type of the result."""
    returns = segment(text, function.returns)
    if "Value" not in returns:
        yield from signature(text, function, returns, {})
        return
    for kind, value in (VALUE, EACH):
        instead = {"reduction": f"reduction: {kind}" + ' = "mean"' * (value == "float")}
        if returns == "Value" and value == "float":
            instead["out"] = "out: None = None"
        yield "@overload"
        yield from signature(text, function, returns.replace("Value", value), instead)


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
    yield f") -> {returns}: ..."


def parameter(text: str, argument: ast.arg, default: ast.expr | None) -> str:
    return segment(text, argument) + (f" = {segment(text, default)}" if default else "")


def main() -> int:
    """Write the stubs, or say which are not as they would be written."""
    late = 0
    for name in MODULES:
        source = PACKAGE / "_losses" / f"{name}.py"
        text, path = stub(source), source.with_suffix(".pyi")
        if "--check" not in sys.argv[1:]:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            print(f"{path.name} is not up to date: run tools/{Path(__file__).name}")
            late += 1
    return int(late > 0)


if __name__ == "__main__":
    sys.exit(main())

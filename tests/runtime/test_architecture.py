"""The folders are the architecture: who imports whom, and how long a function may be."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import fastxent

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fastxent"
pytestmark = [
    pytest.mark.numpy_independent,
    pytest.mark.skipif(
        not PACKAGE.exists(), reason="no package beside them: the tests run apart from the sources"
    ),
]

#: Each folder imports only those of earlier lines, and itself.
LAYERS = [
    {"_kernels"},
    {"_core"},
    {"_losses"},
    {"_linear"},
    {"_aggregate", "_log_loss"},
    {"_calibration"},
    {"__init__", "typing", "dask", "files", "plot", "sklearn", "spark", "torch"},
    {"_cli"},
    {"__main__"},
]
PUBLIC_LAYER = 6  # whose modules may import each other
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
#: The same of the kernels' folders and of the files that lie beside them.
NATIVE_LAYERS = [
    {"types"},
    {"job"},
    {"numeric"},
    {"arrays"},
    {"likelihood", "focal", "groups"},
    {"binary", "categorical"},
    {"gradient"},
    {"chunk"},
    {"levels", "engine", "group_sums", "isotonic"},
]
NATIVE_RANK = {name: rank for rank, names in enumerate(NATIVE_LAYERS) for name in names}


# ------------------------------------------------------------------------------------ imports


def modules() -> dict[str, Path]:
    """Every Python module of the package, by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: set[str]) -> Iterator[str]:
    """The package's modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == "fastxent":
                yield name if name in known else name.rpartition(".")[0]


def imports() -> dict[str, set[str]]:
    known = modules()
    native = {
        f"fastxent._kernels.{path.stem}" for path in PACKAGE.glob("_kernels/*.pyx")
    }  # imported as Python modules are
    names = set(known) | native
    return {name: set(imported(path, names)) - {name} for name, path in known.items()}


def room(module: str) -> str:
    """The folder of a module, or its own name where it lies beside the folders."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_imports_are_found():
    graph = imports()
    assert len(graph) > 40 and sum(map(len, graph.values())) > 80
    assert "fastxent._kernels.engine" in graph["fastxent._core.dispatch"]


def test_no_import_circle():
    order = list(TopologicalSorter(imports()).static_order())  # raises CycleError
    assert order.index("fastxent._core.dispatch") < order.index("fastxent")


def test_a_folder_imports_only_those_below():
    graph = imports()
    assert {room(name) for name in graph} <= set(RANK)
    upward = [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if room(other) != room(name) and not may_import(RANK[room(name)], RANK[room(other)])
    ]
    assert not upward


def may_import(rank: int, other: int) -> bool:
    return other < rank or other == rank == PUBLIC_LAYER


def test_only_dispatch_imports_the_kernels():
    above = {
        name
        for name, others in imports().items()
        if room(name) != "_kernels" and any(room(other) == "_kernels" for other in others)
    }
    assert above == {"fastxent._core.dispatch"}
    named = [
        str(path)
        for name, path in modules().items()
        if name != "fastxent._core.dispatch"
        and re.search(r"""["']fastxent\._kernels\.(?!engine["'])""", path.read_text("utf-8"))
    ]
    assert not named  # as a string, for importlib


def test_no_private_module_beside_the_folders():
    private = {path.name for path in PACKAGE.glob("_*.p*")}
    assert private == {"__init__.py", "__main__.py"}


# ----------------------------------------------------------------------------- native imports


def cimports() -> dict[str, set[str]]:
    """The native files, each with those that it cimports or includes."""
    base = PACKAGE / "_kernels"
    graph = {}
    for path in [*base.rglob("*.pxd"), *base.rglob("*.pyx"), *base.rglob("*.pxi")]:
        text = path.read_text("utf-8")
        found = re.findall(r"^\s*from fastxent\._kernels\.([\w.]+) cimport", text, re.MULTILINE)
        graph[".".join(path.relative_to(base).with_suffix("").parts)] = set(found)
    return graph


def test_no_circle_of_native_files():
    graph = cimports()
    assert len(graph) > 25 and sum(map(len, graph.values())) > 80
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("types") < order.index("arrays.load") < order.index("chunk")


def test_a_native_folder_cimports_only_those_below():
    graph = cimports()
    rank = {name: NATIVE_RANK[name.split(".")[0]] for name in graph}
    upward = [
        f"{name} cimports {other}"
        for name, others in graph.items()
        for other in others
        if other.split(".")[0] != name.split(".")[0] and rank[other] >= rank[name]
    ]
    assert not upward


# ---------------------------------------------------------------------------------- functions

LONGEST = 60
MOST_PARAMETERS = 10
MOST_NATIVE_PARAMETERS = 9
PUBLIC_MODULES = {"dask", "files", "plot", "sklearn", "spark", "torch", "typing"}


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every Python function and method, called by its module and its names."""

    def walk(node: ast.AST, name: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            inner = f"{name}.{child.name}" if hasattr(child, "name") else name
            if isinstance(child, ast.FunctionDef):
                yield inner, child
            yield from walk(child, inner)

    for name, path in modules().items():
        yield from walk(ast.parse(path.read_text("utf-8")), name)


def length(function: ast.FunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    body = function.body
    doc = ast.get_docstring(function) is not None
    docstring = body[0].end_lineno - body[0].lineno + 1 if doc else 0
    return function.end_lineno - function.lineno + 1 - docstring


def is_public(name: str) -> bool:
    """Whether users call it: a name of the package, or of a public module."""
    parts = name.split(".")
    if parts[1] in PUBLIC_MODULES:
        return not any(part.startswith("_") for part in parts[2:-1])
    public = {
        f"{found.__module__}.{found.__qualname__}"
        for found in (getattr(fastxent, name) for name in fastxent.__all__)
        if inspect.isfunction(found) or inspect.isclass(found)
    }
    return any(name == found or name.startswith(f"{found}.") for found in public)


def test_no_long_function():
    found = dict(functions())
    assert len(found) > 300
    assert not {n: length(f) for n, f in found.items() if length(f) > LONGEST}


def test_no_function_of_many_parameters():
    many = {}
    for name, function in functions():
        a = function.args
        count = len(a.posonlyargs + a.args + a.kwonlyargs)
        if count > MOST_PARAMETERS and not is_public(name):
            many[name] = count
    assert not many


def native_functions() -> Iterator[tuple[str, list[str]]]:
    """The functions of the native sources, each with its parameters."""
    head = re.compile(r"^ *(?:cdef|cpdef|def) (?:[^=():\n]*[ *])?(\w+)\(", re.MULTILINE)
    for path in sorted((PACKAGE / "_kernels").rglob("*.p[xy][dxi]")):
        text = path.read_text("utf-8")
        for match in head.finditer(text):
            inside, depth = "", 1
            for letter in text[match.end() :]:
                depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(letter, 0)
                if not depth:
                    break
                inside += ";" if letter == "," and depth == 1 else letter
            parameters = [part.strip() for part in inside.split(";") if part.strip()]
            yield f"{path.name}:{match[1]}", [part for part in parameters if part != "*"]


def test_no_native_function_of_many_parameters():
    found = list(native_functions())
    assert len(found) > 200
    assert not {n: len(p) for n, p in found if len(p) > MOST_NATIVE_PARAMETERS}

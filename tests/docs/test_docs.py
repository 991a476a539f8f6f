"""The documentation is true: README's code, the table of options, the docstrings, the stubs."""

from __future__ import annotations

import argparse
import ast
import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import FunctionType
from typing import get_args

import pytest

import fastxent
from fastxent import _losses
from fastxent._cli import score as score_command
from fastxent._core import types
from fastxent._core.dispatch import NAN_POLICIES
from fastxent._core.options import DEFAULTS, OPTIONS
from fastxent._core.validation import REDUCTIONS
from helpers.processes import run_python
from helpers.typing import mypy, stubtest

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).parents[2]
DIFFERENTIABLE = [row for row in _losses.LOSSES if row.scores_name in ("logits", "log_rate")]
PUBLIC = [getattr(fastxent, name) for name in fastxent.__all__]
FUNCTIONS = [f for f in PUBLIC if inspect.isfunction(f)]


def signature(function: object) -> inspect.Signature:
    """The complete signature: `inspect` shows only three arguments of an objective, for LightGBM."""
    shown = vars(function).get("__signature__")
    if shown is None:
        return inspect.signature(function)
    del function.__signature__
    try:
        return inspect.signature(function)
    finally:
        function.__signature__ = shown


def readme() -> str:
    path = ROOT / "README.md"
    if not path.exists():
        pytest.skip("no README.md: the tests run apart from the sources")
    return path.read_text("utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", readme(), re.DOTALL | re.MULTILINE)
    assert found
    return found


# ------------------------------------------------------------------------------------- README


def test_readme_code():
    """Every block runs, in one namespace, and a number after an expression is its value."""
    names: dict[str, object] = {}
    values = [value for block in blocks("python") for value in run(block, names)]
    assert len(values) >= 5


def run(block: str, names: dict[str, object]) -> list[float]:
    """The values shown."""
    lines, promised = block.splitlines(), []
    for node in ast.parse(block).body:
        code = ast.get_source_segment(block, node)
        comment = lines[node.end_lineno - 1][node.end_col_offset :].strip(" #")
        number = re.match(r"-?\d+(\.\d+)?(e-?\d+)?$", comment)
        if number and isinstance(node, ast.Expr):
            promised.append(float(number[0]))
            places = len(number[1] or ".") - 1
            assert round(eval(code, names), places) == promised[-1], code
        else:
            exec(code, names)
    return promised


def test_readme_blocks():
    """Each block is of a kind that is tested: "console" by tests/cli/test_cli.py."""
    kinds = re.findall(r"^```(.+)$", readme(), re.MULTILINE)
    assert set(kinds) == {"bash", "console", "python"}


def test_readme_commands():
    """The targets of make that it names are there."""
    targets = set(re.findall(r"make ([a-z-]+)", readme()))
    assert {"demo", "test", "bench"} <= targets
    makefile = (ROOT / "Makefile").read_text("utf-8")
    known = set(re.findall(r"^([a-z-]+(?: [a-z-]+)*):", makefile, re.MULTILINE))
    assert targets <= {target for line in known for target in line.split()}


def test_readme_paths():
    """The files that it names are there."""
    paths = re.findall(r"\]\(([^):#]+)\)|`(?:python )?((?:\w+/)+\w+\.\w+)`", readme())
    missing = [p for pair in paths for p in pair if p and not (ROOT / p).exists()]
    assert len(paths) > 3 and not missing


def test_readme_names():
    """It names everything public."""
    named = set(re.findall(r"`(?:fastxent\.)?(\w+)[`(]", readme()))
    missing = set(fastxent.__all__) - named - {"__version__"}
    assert not missing


# -------------------------------------------------------------------------------------- pages


def test_reference_names():
    """Everything public has a page in the reference."""
    path = ROOT / "docs" / "api" / "index.rst"
    if not path.exists():
        pytest.skip("no docs: the tests run apart from the sources")
    named = re.findall(r"^   ([\w.]+)$", path.read_text("utf-8"), re.MULTILINE)
    assert set(fastxent.__all__) - {"__version__"} <= set(named)


def test_table_of_losses():
    """Its losses and their arguments are those of the code."""
    head, *rows = tables_of_options()[0]
    assert head == ["..", "loss", "arguments", "loss per element"]
    assert [row[1].strip("`") for row in rows] == [loss.name for loss in _losses.LOSSES]
    for _, name, given, formula in rows:
        required = [p.name for p in parameters_of(getattr(fastxent, name.strip("`"))).values()
                    if p.kind is not inspect.Parameter.KEYWORD_ONLY]  # fmt: skip
        assert given.split(", ") == required and formula


def test_table_of_options():
    """It says which loss takes which option, and the default, as the code does."""
    losses, (head, *rows) = tables_of_options()
    names = {row[0]: row[1].strip("`") for row in losses[1:]}
    assert head == ["option", "default", *names, "meaning"]
    assert [row[0].strip("`") for row in rows] == list(DEFAULTS)
    for option, default, *marks, meaning in rows:
        name = option.strip("`")
        assert ast.literal_eval(default.strip("`")) == DEFAULTS[name] and meaning
        taken = [loss for loss, mark in zip(names.values(), marks, strict=True) if mark]
        assert taken == [loss.name for loss in _losses.LOSSES if name in loss.options], name


def tables_of_options() -> list[list[list[str]]]:
    """The cells of the two reST tables of docs/api/options.rst."""
    path = ROOT / "docs" / "api" / "options.rst"
    if not path.exists():
        pytest.skip("no docs: the tests run apart from the sources")
    table = r"^ *(==+(?:  ==+)+)\n(.*)\n *\1\n((?:.*\n)+?) *\1\n"
    found = re.findall(table, path.read_text("utf-8"), re.MULTILINE)
    assert len(found) == 2
    return [[cells(line, border) for line in [head, *body.splitlines()]]
            for border, head, body in found]  # fmt: skip


def cells(line: str, border: str) -> list[str]:
    """A line cut where the columns of a simple table begin; the last one has no end."""
    line = line.removeprefix("   ")
    begins = [match.start() for match in re.finditer("=+", border)]
    return [line[a:b].strip() for a, b in pairwise([*begins, None])]


def test_version_to_cite():
    path = ROOT / "CITATION.cff"
    if not path.exists():
        pytest.skip("no CITATION.cff: the tests run apart from the sources")
    cited = re.search(r"^version: (.*)$", path.read_text("utf-8"), re.MULTILINE)
    assert cited[1] == fastxent.__version__


def test_long_files_have_a_reason():
    """CONTRIBUTING.md says why."""
    path = ROOT / "CONTRIBUTING.md"
    if not path.exists() or not (ROOT / "fastxent").exists():
        pytest.skip(
            "no CONTRIBUTING.md, or no package beside it: the tests run apart from the sources"
        )
    folders = [
        ROOT / name for name in ("fastxent", "tests", "benchmarks", "docs", "examples", "tools")
    ]
    files = [p for folder in folders for p in folder.rglob("*.*") if "_build" not in p.parts]
    files = [p for p in files if p.suffix in {".py", ".pyx", ".pxd", ".rst"}]
    assert len(files) > 100
    long = [p.name for p in files if len(p.read_text("utf-8").splitlines()) > 420]
    assert not [
        name
        for name in long
        if f"`{name}`" not in path.read_text("utf-8").replace("tests/helpers/", "")
    ]


# --------------------------------------------------------------------------------- docstrings


@pytest.mark.parametrize("module", sorted({f.__module__ for f in PUBLIC if callable(f)}))
def test_examples(module):
    for needed in ("pyarrow", "rich") if module == "fastxent.files" else ():
        pytest.importorskip(needed, reason="the example reads a file")
    result = doctest.testmod(importlib.import_module(module), verbose=False)
    assert result.attempted > 0 and result.failed == 0


def parameters_of(function):
    """Those of the code: the objectives show LightGBM fewer."""
    bare = FunctionType(function.__code__, {}, argdefs=function.__defaults__)
    bare.__kwdefaults__ = function.__kwdefaults__
    return inspect.signature(bare).parameters


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_docstring_has_every_parameter(function):
    doc = inspect.getdoc(function)
    section = re.search(r"^Parameters\n-+\n(.*?)(^\w+\n-+\n|\Z)", doc, re.DOTALL | re.MULTILINE)
    parameters = signature(function).parameters
    if not parameters:
        return
    heads = re.findall(r"^([*\w][*\w, ]*?)(?: : .*)?$", section[1], re.MULTILINE)
    named = [name.strip(" *") for head in heads for name in head.split(",")]
    assert named == list(parameters)
    assert "Examples\n--------" in doc
    assert "{default}" not in doc and max(map(len, doc.splitlines())) <= 100


@pytest.mark.parametrize("loss", _losses.LOSSES, ids=lambda loss: loss.name)
def test_signature_is_the_option_table(loss):
    names = [loss.name, *([gradient_of(loss)] if loss in DIFFERENTIABLE else [])]
    for name in dict.fromkeys(names):
        given, options = arguments(name)
        assert given == list(dict.fromkeys([loss.y_true_name, loss.scores_name]))
        kinds = {
            p.kind for p in parameters_of(getattr(fastxent, name)).values() if p.name in options
        }
        assert kinds == {inspect.Parameter.KEYWORD_ONLY}
        expected = {o: d for o, d in DEFAULTS.items() if o in loss.options}
        if "eps" in expected:
            expected["eps"] = loss.eps
        assert list(options.items()) == list(expected.items())


@pytest.mark.parametrize("loss", DIFFERENTIABLE, ids=lambda loss: loss.name)
def test_signature_of_an_objective(loss):
    """Boosted trees pass three positional arguments; there is nothing to reduce."""
    given, options = arguments(gradient_of(loss, "_grad_hess"))
    assert ("gamma" in loss.options) == (options.pop("hess_floor", None) is not None)
    assert given == [loss.y_true_name, loss.scores_name] and next(iter(options)) == "sample_weight"
    expected = {o: d for o, d in DEFAULTS.items() if o in loss.options}
    expected.pop("softcap", None), expected.pop("z_loss", None)  # their Hessians are others
    assert {**options, "reduction": "mean"} == expected


def gradient_of(loss, end="_value_and_grad"):
    return loss.name.removesuffix("_with_logits") + end


def arguments(name):
    """The names of what has to be given, and the options with their defaults."""
    parameters = parameters_of(getattr(fastxent, name)).values()
    options = {p.name: p.default for p in parameters if p.default is not p.empty}
    options.pop("var", None)  # of a Gaussian: given, but 1.0 where it is not
    return [p.name for p in parameters if p.default is p.empty], options


def test_every_option_is_described():
    assert set(DEFAULTS) <= set(OPTIONS)
    for option, default in DEFAULTS.items():
        kind, text = OPTIONS[option].type, OPTIONS[option].text
        assert "optional" in kind if default is None else "{default}" in kind
        assert text.strip()


def test_types_are_the_options():
    assert get_args(types.Reduction) == REDUCTIONS
    assert get_args(types.NanPolicy) == tuple(NAN_POLICIES)


def test_the_page_of_the_command_has_all_options():
    path = ROOT / "docs" / "guide" / "command_line.rst"
    if not path.exists():
        pytest.skip("no docs: the tests run apart from the sources")
    commands = argparse.ArgumentParser().add_subparsers()
    options = re.findall(r"--[a-z][a-z-]*", score_command.add_parser(commands).format_help())
    page = set(re.findall(r"--[a-z][a-z-]*", path.read_text("utf-8")))
    assert not set(options) - page


# -------------------------------------------------------------------------------------- types


def test_stubs_are_up_to_date():
    tool = ROOT / "tools" / "write_stubs.py"
    if not (ROOT / "fastxent").exists():
        pytest.skip("no sources: the tests run apart from them")
    done = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_marked_as_typed():
    assert Path(fastxent.__file__).with_name("py.typed").exists()


@pytest.mark.numpy_independent
def test_types_of_calls():
    """mypy --strict finds what types_sample.py says, no more and no less."""
    sample = Path(__file__).with_name("types_sample.py")
    mypy("mypy", "--strict", "--config-file=", f"--cache-dir={os.devnull}", sample)


def test_types_are_those_of_the_modules(tmp_path):
    """Of the losses and log_loss, the native module too; tests/peers has the rest."""
    code = (
        "import sys; from fastxent import log_loss; "
        "print(*[m for m in sys.modules if m.startswith('fastxent.')])"
    )
    # A package stands for all its modules.
    packages = {".".join(name.split(".")[:2]) for name in run_python(code).split()}
    assert {"fastxent._log_loss", "fastxent._core", "fastxent._losses"} <= packages
    stubtest(tmp_path, *sorted(packages - {"fastxent._kernels"}), "fastxent._kernels.engine")

"""The pages for developers, their code blocks too, name only files and identifiers that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "develop").glob("*.rst"))
#: The example that a page walks through.
FICTITIOUS = {"fastxent/_losses/poisson.py"}

pytestmark = pytest.mark.skipif(not PAGES, reason="no docs: the tests run apart from the sources")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_paths_exist(page):
    text = page.read_text("utf-8")
    paths = set(re.findall(r"\b(?:fastxent|tests|tools|benchmarks|docs)/[\w./]*\w/?", text))
    files = set(re.findall(r"(?<![\w/])\w+\.(?:py|pyx|pxd|h|rst)\b", text))
    known = {path.name for path in ROOT.glob("[!.b]*/**/*")} | {
        path.name for path in ROOT.glob("*")
    }
    assert page.stem == "index" or len(paths | files) > 2
    assert not files - known
    assert not [path for path in paths - FICTITIOUS if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_identifiers_exist(page):
    sources = [ROOT / "setup.py", *(ROOT / "fastxent").rglob("*.p*"), *ROOT.glob("tests/**/*.py")]
    text = " ".join(p.read_text("utf-8") for p in sources if p.suffix in {".py", ".pxd", ".pyx"})
    words = set(re.findall(r"\w+", text))
    page_text = page.read_text("utf-8")
    named = {name.split(".")[-1] for name in re.findall(r"``([A-Za-z_][\w.]*)``", page_text)}
    blocks = " ".join(re.findall(r"code-block::.*\n\n((?: {3,}.*\n)+)", page_text))
    named |= set(re.findall(r"\b[a-z]+_\w+|[A-Z]{3,}\w*|[A-Z][a-z]+(?=\()", blocks))
    known = words | {"CHANGELOG", "md", "pxd", "py", "pxi", "h"}
    assert not sorted(named - known)


def test_every_folder_is_in_the_architecture():
    page = ROOT / "docs" / "develop" / "architecture.rst"
    folders = {path.parent.name for path in (ROOT / "fastxent").glob("_*/__init__.py")}
    named = set(re.findall(r"``(_\w+)/``", page.read_text("utf-8")))
    assert len(folders) > 5 and named == folders

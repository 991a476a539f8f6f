"""Configuration of Sphinx, for `make docs`. No network needed; every code block is run."""

import doctest
import shutil
import sys
from pathlib import Path

import fastxent

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "fastxent"
author = project_copyright = "fastxent developers"
version = release = fastxent.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "numpydoc",
    "commands",  # this one and those below are in extensions/
    "equivalents",
    "mathml",
    "signatures",
    "tables",
]
exclude_patterns = ["_build", "templates"]
templates_path = ["templates"]
default_role = "autolink"
nitpicky = True
nitpick_ignore = [("py:obj", "inspect.signature")]
toc_object_entries = False

autodoc_typehints = "none"  # the numpydoc sections have the types
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "fastxent"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["fastxent.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "fastxent"},
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
# Top-level pages without a sidebar.
WITHOUT_SIDEBAR = ("index", "tutorial", "theory", "theory_focal", "accuracy", "speed")
html_sidebars = {name: [] for name in WITHOUT_SIDEBAR}

# Each page is run from top to bottom, in its own empty folder.
doctest_default_flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
doctest_global_setup = """
import os, shutil, sys, tempfile
from commands import shell
from equivalents import same
os.environ.update(KERAS_BACKEND="torch", PYSPARK_PYTHON=sys.executable)
os.chdir(folder := tempfile.mkdtemp())
"""
doctest_global_cleanup = """
os.chdir("/")
shutil.rmtree(folder)
"""
if shutil.which("java") is None:
    print("java not found: the Spark examples are NOT run.")

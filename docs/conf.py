"""Sphinx: pages in Markdown (MyST), a reference made from the docstrings."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "src")]

import api_pages  # noqa: E402

from hepsilon._version import __version__  # noqa: E402

project = "hepsilon"
author = "The hepsilon developers"
html_show_copyright = False
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_copybutton",
    "api_pages",
    "mathml",
    "notebooks",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_ext"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

# extras that are not installed where the pages are built do not hide the modules that need them
autodoc_mock_imports = api_pages.missing_extras()
autodoc_typehints = "none"  # the docstrings name the types, with shapes and units
autodoc_inherit_docstrings = False  # what overrides a method is described at its base
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"hepsilon {__version__}"
html_static_path = ["_static"]
html_css_files = ["hepsilon.css"]
html_copy_source = False

"""Examples in docstrings run, and give what they show."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import hepsilon

ROOT = Path(hepsilon.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(("hepsilon", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


@pytest.mark.parametrize(
    "name",
    [
        "add_truth_tag",
        "direct_tag_weight",
        "enumerate_tags",
        "inversion_weight",
        "sample_tags",
        "truth_tag_weight",
    ],
)
def test_weights_have_an_example(name: str) -> None:
    where = import_module("hepsilon.analysis_tools" if name == "add_truth_tag" else "hepsilon")
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(where, name), name)
    assert example.examples

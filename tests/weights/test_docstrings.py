"""Examples in the docstrings of the weights run, and give what they show."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

import hepsilon
from hepsilon.analysis_tools import add_truth_tag
from hepsilon.weights import Condition


@pytest.mark.parametrize(
    "public",
    [
        Condition,
        add_truth_tag,
        hepsilon.direct_tag_weight,
        hepsilon.enumerate_tags,
        hepsilon.inversion_weight,
        hepsilon.sample_tags,
        hepsilon.truth_tag_weight,
    ],
)
def test_the_examples_are_true(public: Any) -> None:
    (examples,) = doctest.DocTestFinder(recurse=False).find(public, public.__name__)
    found = doctest.DocTestRunner().run(examples)
    assert found.attempted > 0
    assert found.failed == 0

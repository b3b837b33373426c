"""Warnings at the line of the caller."""

from __future__ import annotations

import awkward as ak
import pytest

from hepsilon import ScaleFactorWarning, truth_tag_weight
from hepsilon._system.warned import warn_caller


def test_the_line_is_that_of_the_caller() -> None:
    with pytest.warns(UserWarning, match="text") as record:
        warn_caller("text", UserWarning)
    assert [w.filename for w in record] == [__file__]


def test_functions_of_hepsilon_do_not_count() -> None:
    with pytest.warns(ScaleFactorWarning) as record:
        truth_tag_weight(ak.Array([[0.7]]), 1, jets=None, scale_factors=ak.Array([[2.0]]))
    assert [w.filename for w in record] == [__file__]

from __future__ import annotations

import pytest

from hepsilon import ConfigError, at_least, exactly
from hepsilon.weights.condition_text import parse_condition

POINTS = ["L", "M", "T"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", exactly(2, "L")),
        ("0", exactly(0, "L")),
        ("2+", at_least(2, "L")),
        (" 2+@M & 1@T ", at_least(2, "M") & exactly(1, "T")),
    ],
)
def test_text_is_a_condition(text, expected):
    assert parse_condition(text, POINTS) == expected


def test_numbers_stand_for_points_without_names():
    assert parse_condition("2@1", (0, 1)) == exactly(2, 1)
    assert parse_condition("2", (0,)) == exactly(2, 0)


@pytest.mark.parametrize("text", ["", "two", "-1", "2 3", "2&", "1.5", "2@", "__import__('os')"])
def test_other_texts_are_refused(text):
    with pytest.raises(ConfigError, match="expected numbers of tags"):
        parse_condition(text, POINTS)


def test_unknown_working_point_is_refused():
    with pytest.raises(ConfigError, match=r"expected a working point of \['L', 'M', 'T'\]"):
        parse_condition("2@X", POINTS)

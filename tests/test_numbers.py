"""Tables of numbers in the pages are what the results in benchmarks/results say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """What writes the tables."""
    spec = importlib.util.spec_from_file_location("pages", ROOT / "benchmarks" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_agree_with_the_results(pages: ModuleType) -> None:
    old = [page.name for page in pages.PAGES if pages.renewed(page.read_text()) != page.read_text()]
    assert old == [], "run python benchmarks/pages.py"


def test_every_comment_is_a_table_and_every_table_is_shown(pages: ModuleType) -> None:
    comments: list[str] = []
    for page in pages.PAGES:
        text = page.read_text()
        begun = re.findall(r"<!-- numbers: ([\w-]+) -->", text)
        assert begun == [name for name, _ in pages.BLOCK.findall(text)], page.name
        comments += begun
    assert set(comments) == set(pages.TABLES)


def test_a_number_that_was_changed_by_hand_is_found(pages: ModuleType) -> None:
    text = (ROOT / "docs" / "measurements.md").read_text()
    name, table = pages.BLOCK.findall(text)[0]
    number = re.findall(r"\d+\.\d", table)[0]
    changed = text.replace(table, table.replace(number, "99.9", 1), 1)
    assert name == "fidelity-summary"
    assert changed != text
    assert pages.renewed(changed) == text


@pytest.mark.parametrize(
    ("value", "number", "expected"),
    [
        (6559.95, 3, "6,560"),
        (0.9209, 3, "0.921"),
        (11.18, 3, "11.2"),
        (1.0, 3, "1.00"),
        (0.8534, 2, "0.85"),
        (58.18, 2, "58"),
        (299999.0, 3, "300,000"),
    ],
)
def test_digits(pages: ModuleType, value: float, number: int, expected: str) -> None:
    assert pages.digits(value, number) == expected


def test_percent_has_no_negative_zero(pages: ModuleType) -> None:
    assert pages.percent(-0.00001, 2, sign=True) == "0.00 %"
    assert pages.percent(0.0123, 1, sign=True) == "+1.2 %"

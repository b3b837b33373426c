"""The page of errors has every class that is raised, and its words are those of the messages."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hepsilon import errors
from hepsilon.testing import ContractError

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
RAISED = [
    *(thing for _, thing in inspect.getmembers(errors, inspect.isclass)),
    ContractError,
]
FOREIGN = "\n## Messages of other packages\n"
UNSEEN = "\n## What looks wrong without an error\n"


def pieces(node: ast.expr) -> Iterator[str]:
    """Literal parts of a text, without what is put into it."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            for value in values:
                yield from pieces(value)


def texts() -> set[str]:
    """Literal texts of the package."""
    found: set[str] = set()
    for path in (ROOT / "src" / "hepsilon").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                found.update(pieces(node))
    return found


def documented() -> list[str]:
    """Words of messages in the first column of the tables."""
    own = PAGE.partition(FOREIGN)[0]
    own = own.partition(UNSEEN)[0] + own.partition(UNSEEN)[2].partition("\n## ")[2]
    return re.findall(r"^\| `([^`]+)` \|", own, re.MULTILINE)


def test_the_page_has_the_parts_that_are_cut_off() -> None:
    assert FOREIGN in PAGE
    assert UNSEEN in PAGE


@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: raised.__name__)
def test_every_class_is_described(raised: type) -> None:
    assert f"{{py:class}}`{raised.__module__}.{raised.__name__}`" in PAGE
    if raised is not errors.HepsilonError:
        assert re.search(rf"^##+ {raised.__name__}$", PAGE, re.MULTILINE)


def test_messages_are_those_of_the_code() -> None:
    words = documented()
    assert len(words) > 80
    known = texts()
    assert [word for word in words if not any(word in text for text in known)] == []

"""No error of the library has a cause: coffea follows it, and drops chunks for an OSError."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import hepsilon

SOURCES = sorted(Path(hepsilon.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCES[0].parent)))
def test_raised_errors_have_no_cause_that_may_be_an_os_error(path: Path) -> None:
    """``from None``, or a cause that was chosen: with ``skipbadfiles`` events would be lost."""
    raised = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Raise)]
    causes = [n.cause for n in raised if n.cause is not None]
    named = [
        ast.unparse(c) for c in causes if not (isinstance(c, ast.Constant) and c.value is None)
    ]
    assert [name for name in named if name != "cause"] == []


def test_no_error_of_ours_is_an_os_error() -> None:
    kinds = [value for value in vars(hepsilon.errors).values() if isinstance(value, type)]
    assert kinds
    assert not [kind for kind in kinds if issubclass(kind, OSError)]

"""Docstrings describe every parameter and result of what is public, module by module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hepsilon"
MODULES = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.glob("**/*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def parameters(function: Function) -> list[str]:
    """Names of the parameters that a caller gives, with their stars."""
    arguments = function.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    stars = (("*", arguments.vararg), ("**", arguments.kwarg))
    names += [f"{star}{argument.arg}" for star, argument in stars if argument]
    return [name for name in names if name not in {"self", "cls"}]


def is_private(function: Function) -> bool:
    """Whether a function is not for callers elsewhere."""
    return function.name.startswith("_") and function.name != "__call__"


def described(docstring: str, section: str) -> set[str]:
    """Names, or types, of the entries in a numpydoc section."""
    pattern = rf"^{section}\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)"
    found = re.search(pattern, docstring, re.MULTILINE | re.DOTALL)
    entries = re.findall(r"^(\S.*?)(?: : .*)?$", found[1], re.MULTILINE) if found else []
    return {name.strip() for entry in entries for name in entry.split(",")}


def gaps_of_function(function: Function, docstring: str) -> Iterator[str]:
    """Parameters and results of a function that its docstring leaves out."""
    names = parameters(function)
    if len(names) < 2:
        return  # the first line says it all
    yield from sorted(set(names) - described(docstring, "Parameters"))
    gives = function.returns and ast.unparse(function.returns) != "None"
    if gives and not described(docstring, "Returns") | described(docstring, "Yields"):
        yield "what it returns"


def gaps(body: list[ast.stmt], of: ast.ClassDef | None = None) -> Iterator[str]:
    """Whatever the docstrings of public functions, methods and classes leave out."""
    prefix = f"{of.name}." if of else ""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from gaps(node.body, node)
        if not isinstance(node, Function):
            continue
        docstring = ast.get_docstring(node)
        if of and node.name == "__init__":  # the docstring of the class describes it
            docstring = ast.get_docstring(of)
        elif is_private(node) or (docstring is None and of and of.bases):
            continue  # in the second case a base class describes it
        missing = gaps_of_function(node, docstring or "")
        yield from (f"{prefix}{node.name}: {name}" for name in missing)


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_describe_parameters_and_results(module: str) -> None:
    text = (SOURCE / module).read_text(encoding="utf-8")
    assert list(gaps(ast.parse(text).body)) == []


GIVEN = '''
def one(a):
    """Trivial."""

def two(a, b) -> None:
    """One of both.

    Parameters
    ----------
    a : int
        A number.
    """

def three(a, b, *rest, key=1, **options) -> int:
    """All of them.

    Parameters
    ----------
    a, b : int
        Numbers.
    *rest : int
        More numbers.
    key : int
        A number.
    **options
        Others.
    """

class Both:
    """Without its parameters."""

    def __init__(self, a, b) -> None: ...

    def _hidden(self, a, b): ...

    def bare(self, a, b) -> None: ...

class Derived(Both):
    """Described by its base."""

    def bare(self, a, b) -> None: ...
'''


def test_what_is_missing_is_found() -> None:
    assert list(gaps(ast.parse(GIVEN).body)) == [
        "two: b",
        "three: what it returns",
        "Both.__init__: a",
        "Both.__init__: b",
        "Both.bare: a",
        "Both.bare: b",
    ]

"""The pages keep to the code: links, names, paths, commands and the rows of the layers."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import shlex
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

import hepsilon
from hepsilon.arrays.fields import GROUPS
from hepsilon.cli.parser import build_parser
from hepsilon.config import architectures
from hepsilon.data import readers
from hepsilon.efficiencies.kinds import ENTRY_POINTS
from hepsilon.export import registry as exports
from hepsilon.histograms import observables
from hepsilon.report import registry as sections

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "hepsilon"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("**/*.md")),
]
PATH = r"(src|tests|docs|examples|processors|training|benchmarks)/[\w./-]+|[\w/]+/\w+\.py"
GENERATED = "api"  # by docs/_ext/api_pages.py

HOUSE = runpy.run_path(str(ROOT / "docs" / "_ext" / "house.py"))

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(text: str, language: str) -> list[str]:
    """Content of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def code(text: str) -> list[str]:
    """Inline code of a page."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def anchors(page: Path) -> set[str]:
    """Targets of links within a page: its headings in the form that GitHub gives them."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> Iterator[str]:
    """Relative links that lead nowhere."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        path, _, anchor = link.partition("#")
        if "://" in path or path.split("/")[0] == GENERATED:
            continue
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def resolve(name: str) -> Any:
    """The object of a dotted name."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        return reduce(getattr, parts[i:], module)
    raise AttributeError(name)


def imported(source: str) -> Iterator[str]:
    """Dotted names that a piece of code imports from hepsilon."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hepsilon":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def table_of(page: Path, heading: str) -> list[str]:
    """Lines of the first table below a heading, without its head."""
    below = page.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in below.splitlines() if line.startswith("| ")][1:]


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    assert list(dead_links(page)) == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](page.md#one-two) [b](none.md) [c](#three) [d](https://a.b/c)")
    assert list(dead_links(page)) == ["none.md", "#three"]


def lost_paths(page: Path) -> list[str]:
    """Paths in inline code that neither the repository nor the package has."""
    named = [text for text in code(page.read_text()) if re.fullmatch(PATH, text)]
    return [p for p in named if not (ROOT / p).exists() and not (SOURCE / p).exists()]


@each_page
def test_paths_exist(page: Path) -> None:
    assert lost_paths(page) == []


def test_lost_paths_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`weights/bins.py` `src/hepsilon/weights` `weights/none.py` `src/none` `a/b`")
    assert lost_paths(page) == ["weights/none.py", "src/none"]


@each_page
def test_it_names_no_machine(page: Path) -> None:
    found = re.findall(r"/(?:home|root|tmp|work)/\S*|\S*pypi\.org\S*", page.read_text())
    assert found == []


@each_page
def test_names_exist(page: Path) -> None:
    text = page.read_text()
    names = set(re.findall(r"(?<![\w./-])hepsilon(?:\.[A-Za-z_]\w*)+", text))
    for block in blocks(text, "python"):
        names |= set(imported(block))
    groups = {ENTRY_POINTS, *GROUPS}  # of names, and none themselves
    groups |= {
        each.ENTRY_POINTS for each in (architectures, readers, exports, observables, sections)
    }
    for name in sorted(names - groups):
        assert resolve(name) is not None, name


@pytest.mark.parametrize("name", ["hepsilon.no_such_name", "hepsilon.weights.no_such_name"])
def test_names_that_do_not_exist_are_found(name: str) -> None:
    with pytest.raises(AttributeError):
        resolve(name)


def commands() -> list[str]:
    """Lines of the pages that run hepsilon."""
    lines = []
    for page in PAGES:
        for block in blocks(page.read_text(), "sh"):
            lines += re.sub(r"\\\n\s*", "", block).splitlines()
    return [line for line in lines if line.startswith("hepsilon ")]


@pytest.mark.parametrize("command", commands())
def test_commands_are_accepted(command: str) -> None:
    assert build_parser().parse_args(shlex.split(command, comments=True)[1:])


def mentioned(text: str) -> list[str]:
    """Commands inside of sentences, which may leave out what stands elsewhere."""
    found = re.findall(r"`(hepsilon\s[a-z][^`]+)`", prose(text))
    lines = "".join(blocks(text, "console")).splitlines()
    found += [line for line in lines if line.startswith("hepsilon ")]
    return [" ".join(command.split()) for command in found if "{" not in command]  # choices


def unknown(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is wrong with a command but for what it leaves out."""
    try:
        build_parser().parse_args(shlex.split(command, comments=True)[1:])
    except SystemExit as ended:
        said = capsys.readouterr().err.strip().rpartition("\n")[2] if ended.code else ""
        left_out = r"the following arguments are required|expected (one|at least one) argument"
        return "" if re.search(left_out, said) else said
    return ""


@each_page
def test_commands_in_sentences_have_names_that_exist(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {command: unknown(command, capsys) for command in mentioned(page.read_text())}
    assert not any(found.values()), found


def test_commands_that_do_not_exist_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    page = "Ask `hepsilon\ninfo --nonsense FILE`, or `hepsilon inform`."
    found = [unknown(command, capsys) for command in mentioned(page)]
    assert len(found) == 2
    assert "--nonsense" in found[0]
    assert "invalid choice: 'inform'" in found[1]


def test_every_room_is_described() -> None:
    named = {name for line in table_of(ARCHITECTURE, "The house") for name in code(line[:40])}
    rooms = {path.stem for path in SOURCE.iterdir() if path.name != "__init__.py"}
    rooms -= {"_version", "py", "__pycache__", "__init__"}
    assert named == rooms


def test_rows_of_layers_are_those_of_the_contract() -> None:
    (rows,) = blocks(ARCHITECTURE.read_text(), "text")
    assert [row.split(" | ") for row in rows.splitlines()] == HOUSE["layers"]()


def test_constants_are_where_the_architecture_says() -> None:
    found = 0
    for line in table_of(ARCHITECTURE, "Where to add"):
        modules = [path for path in code(line) if path.endswith(".py")]
        source = "\n".join((SOURCE / path).read_text() for path in modules)
        for name in re.findall(r"`([A-Z_]{3,})`", line):
            found += 1
            assert re.search(rf"^{name}\b", source, re.MULTILINE), (name, modules)
    assert found


def test_picture_of_the_house_shows_the_layers() -> None:
    assert HOUSE["PICTURE"].read_text() == HOUSE["picture"](), "run python docs/_ext/house.py"


def test_reference_describes_every_public_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    pages = importlib.import_module("api_pages").Reference().pages()
    text = "\n".join(pages.values())
    for name in set(hepsilon.__all__) - {"__version__"}:
        described = re.findall(rf"^\.\. auto\w+:: hepsilon\.{name}$", text, re.MULTILINE)
        assert len(described) == 1, name

"""What is registered from outside: names, errors of its own code, and entry points of packages."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepsilon import ConfigError, EfficiencyMap, InputError
from hepsilon._system.plugins import Registry, missing, package_of
from hepsilon.closure import closure_report
from hepsilon.data import readers
from hepsilon.data.formats import ColumnTable, open_table, register_reader
from hepsilon.data.sources import find_sources
from hepsilon.export import register_export
from hepsilon.export import registry as exports
from hepsilon.export.formats import export
from hepsilon.histograms import observables, register_observable
from hepsilon.report import Section, Table, register_section
from hepsilon.report import registry as sections
from hepsilon.report.page import page
from tests.helpers.plugins import install

REGISTRIES = (observables._OWN, readers._OWN, exports._OWN, sections._OWN)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    yield
    for registry in REGISTRIES:
        registry.forget()
    for name in ("own_package", "other_package"):
        sys.modules.pop(name, None)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    for registry in REGISTRIES:
        registry.forget()
    return folder


def one(*_: Any) -> Any:
    return None


def two(*_: Any) -> Any:
    return None


def registered(group: str, name: str, function: Any) -> Any:
    """Register a function by the decorator of a group."""
    decorators: dict[str, Any] = {
        observables.ENTRY_POINTS: lambda name: register_observable(name, ("pt",)),
        readers.ENTRY_POINTS: register_reader,
        exports.ENTRY_POINTS: register_export,
        sections.ENTRY_POINTS: register_section,
    }
    return decorators[group](name)(function)


GROUPS = [registry.group for registry in REGISTRIES]
TAKEN = dict(zip(GROUPS, ("pt", "root", "onnx", ""), strict=True))


@pytest.mark.parametrize("group", GROUPS)
def test_a_name_is_that_of_one_function(group: str) -> None:
    assert registered(group, "own", one) is one
    registered(group, "own", one)  # a notebook's cell that runs twice
    with pytest.raises(ConfigError, match=r"'own' of an? .* is that of .*:one already; .*:two "):
        registered(group, "own", two)
    with pytest.raises(ConfigError, match="hepsilon's own"):
        registered(group, TAKEN[group], one)


@pytest.mark.parametrize("registry", REGISTRIES, ids=GROUPS)
def test_entry_points_are_imported_when_their_name_is_met(
    registry: Registry[Any], site: Path
) -> None:
    code = "from tests.test_registries import registered\ndef f(*_): ...\n"
    code += f"registered({registry.group!r}, 'own', f)\n"
    install(site, "own_package", code, f"[{registry.group}]\nown = own_package\n")
    assert registry.names == ["own"]
    assert registry.find("other") is None
    assert "own_package" not in sys.modules
    assert registry.find("own") is not None
    assert registry.place("own") == "own_package:f"
    assert package_of("own_package") == "own_package"


@pytest.mark.parametrize("registry", REGISTRIES, ids=GROUPS)
@pytest.mark.parametrize(
    ("code", "value", "text"),
    [
        ("", "own_package", r"own = own_package of own_package.*registers no .* 'own' \(see hep"),
        ("", "no_package", "cannot be imported: ModuleNotFoundError"),
        ("1 / 0", "own_package", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_entry_points_that_give_nothing(
    registry: Registry[Any], site: Path, code: str, value: str, text: str
) -> None:
    install(site, "own_package", code, f"[{registry.group}]\nown = {value}\n")
    with pytest.raises(ConfigError, match=text):
        registry.find("own")


def test_two_packages_of_one_name(site: Path) -> None:
    for name in ("own_package", "other_package"):
        install(site, name, "", f"[{exports.ENTRY_POINTS}]\nown = {name}\n")
    with pytest.raises(ConfigError, match=r"one entry point 'own' .* of other_package.* of own_p"):
        exports.own_export("own")


def test_what_is_missing_is_said() -> None:
    text = missing("the field 'a'", "a-package", "a.module")
    assert text == (
        "the field 'a' of the package 'a-package' is not registered in this process: install that "
        "package, or import 'a.module' that registers it"
    )
    assert missing("the field 'a'", "", "__main__").endswith("import the module that registers it")


@pytest.mark.parametrize("module", ["hepsilon.closure", "__main__", "", "tests.test_registries"])
def test_modules_without_a_package(module: str) -> None:
    """Some installed package may have a module of the name ``tests``; this one is none of its."""
    assert package_of(module) == ""


def test_modules_of_installed_packages() -> None:
    assert package_of("awkward.operations") == "awkward"
    assert package_of("boost_histogram") == "boost-histogram"


# observables


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"level": "jet"}, "expected the level 'event' or 'object'"),
        ({"edges": (1.0, 1.0)}, "expected increasing edges"),
        ({"edges": (1.0,)}, "expected increasing edges"),
    ],
)
def test_observables_that_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        register_observable("own", ("pt",), **options)


# readers


class Numbers(ColumnTable):
    """A text file with one number a line."""

    def __init__(self, path: str, tree: str) -> None:
        self.closed = False
        self._values = np.array(Path(path).read_text().split(), float)
        super().__init__(path, ["x", "short", "broken"], len(self._values))

    def columns(self, names: Sequence[str], start: int, stop: int) -> Mapping[str, Any]:
        if "broken" in names:
            raise OSError("the disk is gone")
        cut = {"x": slice(start, stop), "short": slice(start, stop - 1)}
        return {name: self._values[cut[name]] for name in names}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "a.nums"
    path.parent.mkdir()
    path.write_text("1 2 3 4")
    return path


def test_own_files_are_found_and_read(numbers: Path) -> None:
    with pytest.raises(InputError, match=r"received the ending '\.nums'.*register_reader"):
        open_table(str(numbers), "Events")
    with pytest.raises(InputError, match="holds no file ending in"):
        find_sources(numbers.parent)
    register_reader("nums")(Numbers)
    assert [source.path for source in find_sources(numbers.parent)] == [str(numbers)]
    assert [source.tree for source in find_sources(f"{numbers}:tree")] == ["tree"]
    with open_table(str(numbers), "Events") as table:
        assert (table.n_entries, table.names) == (4, {"x", "short", "broken"})
        assert ak.to_list(table.read(["x"], 1, 3)) == [{"x": 2.0}, {"x": 3.0}]
        assert next(iter(table.damages(["x", "broken"], 0, 4))).column == "broken"
    assert table.closed  # type: ignore[attr-defined]


def test_errors_of_readers_name_file_and_column(numbers: Path) -> None:
    register_reader("nums")(Numbers)
    with open_table(str(numbers), "Events") as table:
        with pytest.raises(InputError, match=r"a\.nums: the reader Numbers .* 'short', .* gave 1"):
            table.read(["short"], 0, 2)
        with pytest.raises(InputError, match=r"a\.nums is damaged: 'broken', entries 0 to 2: OSE"):
            table.read(["x", "broken"], 0, 2)
    numbers.write_text("one two")
    with pytest.raises(InputError, match=r"a\.nums cannot be read by .*:Numbers: ValueError"):
        open_table(str(numbers), "Events")


def test_what_is_no_table_is_refused(numbers: Path) -> None:
    register_reader("nums")(one)
    with pytest.raises(InputError, match=r"gave NoneType, which lacks \['names', 'n_entries'"):
        open_table(str(numbers), "Events")


@pytest.mark.parametrize("ending", [".h5", "H5", "", "json", "tar.gz"])
def test_endings_that_cannot_be(ending: str) -> None:
    with pytest.raises(ConfigError, match=r"ending of names of files|hepsilon's own"):
        register_reader(ending)
    with pytest.raises(ConfigError, match="at least one ending"):
        register_reader()


# exports


def failing(efficiency: Any, path: Path) -> None:
    path.write_text("half")
    raise RuntimeError("no more paper")


def silent(efficiency: Any, path: Path) -> None: ...


def files(efficiency: Any, path: Path) -> None:
    (path / "a.txt").write_text(efficiency.card.kind)


def test_own_exports(toy_map: EfficiencyMap, tmp_path: Path) -> None:
    path, out = toy_map.save(tmp_path / "map.hepsilon"), tmp_path / "out" / "own.csv"
    register_export("failing")(failing)
    register_export("silent")(silent)
    register_export("files", folder=True)(files)
    with pytest.raises(ConfigError, match=r"export failing \(.*:failing\) failed: Runt.*paper"):
        export(path, "failing", out)
    with pytest.raises(ConfigError, match=r"export silent \(.*:silent\) wrote nothing"):
        export(path, "silent", out)
    assert not out.exists()
    assert export(path, "files", tmp_path / "folder") == tmp_path / "folder"
    assert (tmp_path / "folder" / "a.txt").read_text() == "map"
    with pytest.raises(ConfigError, match=r"'correctionlib', 'failing', 'silent', 'files'\), rec"):
        export(path, "other", out)


# sections


def test_sections_are_on_the_page(tagging_closure: Any, caplog: pytest.LogCaptureFixture) -> None:
    rows = Table(["a", "b"], [["<b>", "1"]])
    register_section("good")(lambda closure: Section("A good one", ["text"], rows))
    html = page(tagging_closure)
    assert '<section id="a-good-one">' in html
    assert "&lt;b&gt;" in html
    register_section("nothing")(one)
    register_section("wrong")(lambda closure: "text")

    @register_section("bad")
    def bad(closure: Any) -> Section:
        raise KeyError("no such number")

    with caplog.at_level(logging.WARNING, "hepsilon"):
        html = page(tagging_closure)
    assert "A good one" in html
    for text in (
        "The section &#39;bad&#39; could not be written: KeyError(&#39;no such number&#39;)",
        "gave str; expected a hepsilon.report.Section, or None",
    ):
        assert text in html
    assert len(caplog.records) == 2


@pytest.fixture(scope="module")
def tagging_closure(toy_file: Path, toy_map: EfficiencyMap) -> Any:
    from hepsilon.closure import run_closure

    task = toy_map.task
    output = run_closure([toy_file], task, {"map": toy_map})
    return closure_report(output, task, {"map": toy_map}, [toy_file])

"""One page of the reference for every room of ``src/hepsilon``, made from its public names.

An object is described once, under the shortest path from which it can be imported: ``hepsilon``
itself, else its room, else its module. References to any longer path lead there as well.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.autodoc.mock import mock
from sphinx.pycode import ModuleAnalyzer

EXTRAS = (
    *("dask", "distributed", "jax", "keras", "onnx", "onnxruntime", "openvino", "particle"),
    *("phasespace", "skhep_testdata", "tensorflow", "torch", "tritonclient"),
)
FOLDER = "api"


def missing_extras() -> list[str]:
    """Optional packages that are not installed here."""
    return [name for name in EXTRAS if find_spec(name) is None]


def rooms() -> list[str]:
    """Names of the packages and modules directly in ``hepsilon``, but for private ones."""
    found = pkgutil.iter_modules(importlib.import_module("hepsilon").__path__)
    return sorted(module.name for module in found if not module.name.startswith("_"))


def modules(room: str) -> list[ModuleType]:
    """The module of a room, followed by all public modules below it."""
    top = importlib.import_module(f"hepsilon.{room}")
    below = pkgutil.walk_packages(getattr(top, "__path__", []), f"hepsilon.{room}.")
    names = sorted(m.name for m in below if "._" not in m.name)
    return [top, *map(importlib.import_module, names)]


def summary(text: str | None) -> str:
    """First paragraph of a docstring, in one line."""
    return " ".join((text or "").split("\n\n")[0].split())


def text_of(thing: Any, module: str, name: str) -> str:
    """Docstring of an object; of plain data the one below its assignment."""
    if described(thing):
        return inspect.getdoc(thing) or ""
    return "\n".join(ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name), []))


def described(thing: Any) -> bool:
    """Whether it has a docstring of its own: a class or a function, compiled ones too."""
    return isinstance(thing, type) or inspect.isroutine(thing) or hasattr(thing, "py_func")


class Entry(NamedTuple):
    """One public object: where it is described, and the path under which it is."""

    thing: Any
    module: str
    path: str
    text: str

    @property
    def row(self) -> tuple[str, str]:
        """Link and summary for a table."""
        kind = (
            "class" if inspect.isclass(self.thing) else "func" if described(self.thing) else "data"
        )
        name = self.path.rpartition(".")[2]
        return f":py:{kind}:`{name} <{self.path}>`", summary(self.text)


class Reference:
    """Pages of all rooms, and the path under which each of their objects is described."""

    def __init__(self) -> None:
        self.top = importlib.import_module("hepsilon")
        self.rooms = {room: modules(room) for room in rooms()}
        self.entries: dict[tuple[str, int], Entry] = {}
        self.paths: dict[str, str] = {}
        for found in self.rooms.values():
            for module, name, thing in self._exported(found):
                self._enter(found, module, name, thing)
        for module, name, thing in self._exported([self.top, *chain(*self.rooms.values())]):
            if (name, id(thing)) in self.entries:
                entry = self.entries[name, id(thing)]
                self.paths |= dict.fromkeys(
                    (f"{module}.{name}", f"{entry.module}.{name}"), entry.path
                )

    def _exported(self, found: list[ModuleType]) -> Iterator[tuple[str, str, Any]]:
        for module in found:
            for name in getattr(module, "__all__", []):
                yield module.__name__, name, getattr(module, name)

    def _enter(self, found: list[ModuleType], module: str, name: str, thing: Any) -> None:
        """Note an object that is at home in this room."""
        homes = [m for m, known, other in self._exported(found) if known == name and other is thing]
        owner = getattr(thing, "__module__", None) if described(thing) else homes[-1]
        if owner in homes and (name, id(thing)) not in self.entries:
            public = getattr(self.top, name, None) is thing and name in self.top.__all__
            path = f"hepsilon.{name}" if public else f"{module}.{name}"
            self.entries[name, id(thing)] = Entry(thing, owner, path, text_of(thing, owner, name))

    def pages(self) -> dict[str, str]:
        """Text of every page by name."""
        texts = {room: "\n".join(self._room(found)) for room, found in self.rooms.items()}
        return texts | {"index": "\n".join(self._index())}

    def _index(self) -> Iterator[str]:
        yield from heading("Reference", "=")
        yield "What can be imported from ``hepsilon`` itself, by the room in which it lives."
        yield ""
        for found in self.rooms.values():
            names = [e for e in self._of(found) if e.path.count(".") == 1]
            if names:
                yield from heading(found[0].__name__, "-")
                yield from table(sorted(names, key=lambda entry: entry.path.lower()))
        yield "``hepsilon.__version__`` is the version of the package."
        yield ""
        yield from heading("Rooms", "-")
        for room, found in self.rooms.items():
            yield f"- :doc:`hepsilon.{room} <{room}>`: {summary(found[0].__doc__)}"
        yield ""
        yield from [".. toctree::", "   :hidden:", ""]
        yield from (f"   hepsilon.{room} <{room}>" for room in self.rooms)

    def _room(self, found: list[ModuleType]) -> Iterator[str]:
        top = found[0]
        yield from heading(top.__name__, "=")
        yield from [f".. module:: {top.__name__}", "", inspect.getdoc(top) or "", ""]
        keys = [(name, id(thing)) for _, name, thing in self._exported([top])]
        exported = [self.entries[key] for key in keys if key in self.entries]
        public = [entry for entry in self._of(found) if entry.path.count(".") == 1]
        if len(found) > 1 and (exported or public):
            yield f"Names to import from ``{top.__name__ if exported else 'hepsilon'}``:"
            yield ""
            by_name = sorted(exported or public, key=lambda e: e.path.rpartition(".")[2].lower())
            yield from table(by_name)
        for module in found:
            entries = [e for e in self._of(found) if e.module == module.__name__]
            if entries and module is not top:
                yield from heading(module.__name__, "-")
                yield f".. module:: {module.__name__}"
                # a function of this name is described under the same path
                yield from ["   :no-index:"] * (module.__name__ in self.paths.values())
                yield from ["", inspect.getdoc(module) or "", ""]
            for entry in entries:
                yield from directive(entry)

    def _of(self, found: list[ModuleType]) -> list[Entry]:
        homes = {module.__name__ for module in found}
        entries = [entry for entry in self.entries.values() if entry.module in homes]
        return sorted(entries, key=lambda e: (e.module, e.path.rpartition(".")[2].lower()))


def heading(text: str, line: str) -> list[str]:
    """Title in reStructuredText."""
    return [text, line * len(text), ""]


def table(entries: list[Entry]) -> Iterator[str]:
    """Two columns: links and summaries."""
    yield from [".. list-table::", "   :widths: auto", "   :class: names", ""]
    for left, right in (entry.row for entry in entries):
        yield from (f"   * - {left}", f"     - {right}")
    yield ""


def directive(entry: Entry) -> Iterator[str]:
    """Description of an object by autodoc."""
    if inspect.isclass(entry.thing):
        kind = "exception" if issubclass(entry.thing, BaseException) else "class"
        yield from [f".. auto{kind}:: {entry.path}", "   :show-inheritance:"]
        if kind == "class":
            yield from ["   :members:", "   :exclude-members: model_config"]
    elif described(entry.thing):
        yield f".. autofunction:: {entry.path}"
    else:
        module, _, name = entry.path.rpartition(".")
        yield from [f".. py:data:: {name}", f"   :module: {module}"]
        value = repr(entry.thing)
        yield from [f"   :value: {value}"] * (len(value) <= 80 and "0x" not in value)
        yield from ["", textwrap.indent(entry.text, "   ")]
    yield ""


def write_pages(app: Sphinx) -> None:
    """Write the pages that changed."""
    with mock(missing_extras()):
        reference = Reference()
    app.env.hepsilon_paths = reference.paths
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    texts = {folder / f"{name}.rst": text for name, text in reference.pages().items()}
    for path in set(folder.glob("*.rst")) - set(texts):
        path.unlink()
    for path, text in texts.items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def resolve_longer_path(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Lead a reference to the path of definition to where the object is described."""
    target = node.get("reftarget", "")
    name, rest = target, ""
    while name and name not in env.hepsilon_paths:
        name, _, last = name.rpartition(".")
        rest = f".{last}{rest}"
    if node.get("refdomain") != "py" or not name or env.hepsilon_paths[name] + rest == target:
        return None
    node = node.copy()
    node["reftarget"] = env.hepsilon_paths[name] + rest
    return env.domains["py"].resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], node["reftarget"], node, content
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("missing-reference", resolve_longer_path)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

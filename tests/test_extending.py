"""The blocks of the page on extensions: each registers what it says, and that can be used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepsilon import EfficiencyMap, load
from hepsilon.arrays import fields
from hepsilon.config import architectures
from hepsilon.data import readers
from hepsilon.data.formats import open_table
from hepsilon.efficiencies import kinds
from hepsilon.efficiencies.card import ArtifactCard
from hepsilon.export import registry as exports
from hepsilon.export.formats import export
from hepsilon.histograms import observables
from hepsilon.report import registry as sections

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
REGISTRIES = (observables._OWN, readers._OWN, exports._OWN, sections._OWN)


def blocks() -> Iterator[str]:
    """All blocks of Python."""
    yield from re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the blocks define; their registrations are forgotten afterwards."""
    with monkeypatch.context() as patch:
        patch.setattr(kinds, "_KINDS", dict(kinds._KINDS))
        patch.setattr(architectures, "_OWN", dict(architectures._OWN))
        patch.setattr(fields, "DERIVED", dict(fields.DERIVED))
        made: dict[str, Any] = {"__name__": "extensions_of_the_page"}
        for block in blocks():
            exec(compile(block, str(PAGE), "exec", dont_inherit=True), made)
        yield made
    for registry in REGISTRIES:
        registry.forget()


def test_all_blocks_register(names: dict[str, Any], tmp_path: Path, toy_map: EfficiencyMap) -> None:
    assert architectures.own_architecture("deep_set") is not None
    assert "recoil" in fields.DERIVED
    central = observables.own_observable("central_ht")
    assert central is not None
    jets = ak.Array([[{"pt": 30.0, "eta": 0.1}, {"pt": 50.0, "eta": 2.0}], []])
    assert central.function(jets).tolist() == [30.0, 0.0]
    np.savez(tmp_path / "a.npz", x=np.arange(5.0))
    with open_table(str(tmp_path / "a.npz"), "Events") as table:
        assert table.read(["x"], 1, 3).x.tolist() == [1.0, 2.0]
    path = toy_map.save(tmp_path / "map.hepsilon")
    export(path, "rates", tmp_path / "rates.txt")
    numbers = [float(line) for line in (tmp_path / "rates.txt").read_text().split()]
    np.testing.assert_array_equal(numbers, toy_map.values().ravel())


def test_the_kind_of_the_page(
    names: dict[str, Any], tmp_path: Path, toy_map: EfficiencyMap
) -> None:
    shared = set(ArtifactCard.model_fields) - {"kind", "arrays", "content"}
    content = {name: getattr(toy_map.card, name) for name in shared}
    card = names["ConstantCard"](**content, arrays=("constant",))
    path = names["Constant"](card, {"value": np.array([0.25])}).save(tmp_path / "c.hepsilon")
    jets = ak.Array([[dict.fromkeys(toy_map.task.features, 30.0)], []])
    found: Any = load(path)
    assert type(found) is names["Constant"]
    assert found(jets, out_of_domain="ignore").tolist() == [[0.25], []]

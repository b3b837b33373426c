"""The registry of kinds: lazy, and open for kinds of a user's own."""

from __future__ import annotations

import doctest
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import hepsilon.efficiencies.base
import hepsilon.efficiencies.kinds
from hepsilon import ArtifactError, Efficiency, EfficiencyMap, load, load_correction
from hepsilon.arrays.types import Array
from hepsilon.efficiencies import kinds
from hepsilon.efficiencies.bin_by_bin import BinByBin
from hepsilon.efficiencies.card import ArtifactCard, versions
from hepsilon.efficiencies.kinds import Options, register_kind
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.ratio import LearnedRatio
from hepsilon.efficiencies.saved import Saved, SavedArrays
from hepsilon.testing import check_efficiency
from tests.helpers import plugins
from tests.helpers.processes import python
from tests.helpers.toys import SPEC, TASK, random_jets


class FlatCard(ArtifactCard):
    kind: Literal["flat"] = "flat"


class Flat(SavedArrays[FlatCard], Efficiency):
    """One number for everything, with its interval as replicas."""

    record, group = FlatCard, "flat"

    def _check(self) -> None:
        if set(self._arrays) != {"value"}:
            raise ArtifactError("expected the value")

    def _predict(self, offsets: Array, nodes: Array, replicas: bool) -> tuple[Array, Array | None]:
        eps = np.full(len(nodes), self._arrays["value"][0])
        return eps, eps[:, None] * np.array([0.9, 1.1]) if replicas else None


@pytest.fixture
def flat() -> Flat:
    card = FlatCard(
        task=TASK,
        features=SPEC,
        n_events=1,
        n_objects=1,
        passed_rate=0.25,
        files=(),
        versions=versions(),
        arrays=("flat",),
    )
    return Flat(card, {"value": np.array([0.25])})


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is forgotten after it."""
    with monkeypatch.context() as patch:
        patch.setattr(kinds, "_KINDS", dict(kinds._KINDS))
        yield


def test_a_kind_of_ones_own_is_saved_and_loaded(flat: Flat, tmp_path: Path) -> None:
    path = flat.save(tmp_path / "flat.hepsilon")
    with pytest.raises(
        ArtifactError, match=r"'network', 'ratio', 'ratio-map'\], received 'flat'.*register_kind"
    ):
        load(path)
    assert register_kind("flat")(Flat) is Flat
    for read in (load, load_correction, Flat.load):
        again: Any = read(path)
        assert isinstance(again, Flat)
        assert again.card == flat.card
        assert again.hash
    check_efficiency(load(path), random_jets([0, 2, 1, 3]))


PACKAGE = """
from tests.efficiencies import test_kinds

class Installed(test_kinds.Flat):
    pass

number = 1
"""


def install(folder: Path, points: str, package: str = "flat_package") -> None:
    """A distribution with entry points, as an installer leaves it."""
    plugins.install(folder, package, PACKAGE, points)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in ("flat_package", "other_package"):
        sys.modules.pop(name, None)


def test_a_kind_of_an_installed_package_is_found(flat: Flat, site: Path, tmp_path: Path) -> None:
    path = flat.save(tmp_path / "flat.hepsilon")
    install(site, "[hepsilon.kinds]\nflat = flat_package:Installed\n")
    assert "flat_package" not in sys.modules
    again: Any = load(path)
    assert type(again).__name__ == "Installed"
    assert again.card == flat.card
    assert kinds.class_of_kind("flat", path) is type(again)


def test_only_entry_points_of_the_group_are_imported(
    flat: Flat, site: Path, tmp_path: Path
) -> None:
    path = flat.save(tmp_path / "flat.hepsilon")
    install(site, "[others]\nflat = flat_package:Installed\n[hepsilon.kinds]\nround = other:R\n")
    for kind in ("flat", "flat_package:Installed", "flat_package", "hepsilon.kinds", ""):
        with pytest.raises(ArtifactError, match="entry point of the group hepsilon"):
            kinds.class_of_kind(kind, path)
    for kind in (None, 1, ["flat"]):
        with pytest.raises(ArtifactError, match="expected a kind of"):
            kinds.class_of_kind(kind, path)
    with pytest.raises(ArtifactError, match="received 'flat'"):
        load(path)
    assert "flat_package" not in sys.modules


def test_kinds_that_are_known_come_before_entry_points(flat: Flat, site: Path) -> None:
    install(site, "[hepsilon.kinds]\nflat = flat_package:Installed\nmap = flat_package:Installed\n")
    register_kind("flat")(Flat)
    assert kinds.class_of_kind("flat", "x") is Flat
    assert kinds.class_of_kind("map", "x") is EfficiencyMap
    assert "flat_package" not in sys.modules


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("flat_package:number", r"of flat_package is 1; expected a class with .* opened"),
        ("flat_package:missing", "flat = flat_package:missing of flat_package cannot be imported"),
        ("no_such_package:Flat", "cannot be imported: ModuleNotFoundError"),
        ("pathlib:Path", r"expected a class with the class method opened"),
    ],
)
def test_entry_points_that_give_no_class(site: Path, value: str, expected: str) -> None:
    install(site, f"[hepsilon.kinds]\nflat = {value}\n")
    with pytest.raises(ArtifactError, match=expected):
        kinds.class_of_kind("flat", "x.hepsilon")


def test_two_packages_for_one_kind(site: Path) -> None:
    for package in ("flat_package", "other_package"):
        install(site, f"[hepsilon.kinds]\nflat = {package}:Installed\n", package)
    with pytest.raises(ArtifactError, match=r"one entry point 'flat'.* of flat_package.* of other"):
        kinds.class_of_kind("flat", "x.hepsilon")


def test_the_arrays_of_ones_own_kind_are_checked(flat: Flat, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="expected the value"):
        Flat(flat.card, {})
    with pytest.raises(ArtifactError, match="kind"):
        EfficiencyMap.load(flat.save(tmp_path / "flat.hepsilon"))


def test_options_arrive_at_the_class(flat: Flat, tmp_path: Path) -> None:
    received = []

    @register_kind("flat")
    class Remembering(Flat):
        @classmethod
        def opened(cls, path: str | Path, options: Options) -> Remembering:
            received.append(options)
            return cls.load(path)

    path = flat.save(tmp_path / "flat.hepsilon")
    load(path, backend="onnxruntime", device="cpu", precision="bfloat16", precision_bound=0.5)
    load_correction(path, device="gpu:1")
    assert received == [Options("onnxruntime", "cpu", "bfloat16", 0.5), Options(device="gpu:1")]


def test_a_kind_has_one_class(flat: Flat) -> None:
    register_kind("flat")(Flat)
    register_kind("flat")(Flat)  # such as a notebook's cell that runs twice
    for kind, other in (("flat", EfficiencyMap), ("map", Flat)):
        with pytest.raises(ArtifactError, match=f"the kind '{kind}' is that of .* already"):
            register_kind(kind)(other)
    assert register_kind("map")(EfficiencyMap) is EfficiencyMap


def test_all_kinds_have_the_same_base() -> None:
    for kind in kinds._KINDS:
        found = kinds.class_of_kind(kind, "x")
        assert issubclass(found, Saved) == (found is not LearnedRatio)  # it is a network's
        assert issubclass(found, Efficiency) == (found is not BinByBin)
    assert kinds.class_of_kind("network", "x") is NetworkEfficiency


def test_a_map_is_loaded_without_the_networks(toy_map: EfficiencyMap, tmp_path: Path) -> None:
    path = toy_map.save(tmp_path / "map.hepsilon")
    found = _modules_after(path)
    assert "map" in found
    assert not found & {"network", "factorised", "bin_by_bin", "precision", "engines"}


def test_a_network_is_loaded_without_the_maps(gnn: NetworkEfficiency) -> None:
    found = _modules_after(Path(gnn.path))
    assert "network" in found
    assert not found & {"map", "factorised", "bin_by_bin", "precision"}


def _modules_after(path: Path) -> set[str]:
    """Modules of the room that a fresh process has imported after loading."""
    code = "import sys, hepsilon; hepsilon.load(sys.argv[1]); print(*sys.modules)"
    room = "hepsilon.efficiencies."
    return {
        n.removeprefix(room).split(".")[0]
        for n in python(code, str(path)).split()
        if n.startswith(room)
    }


@pytest.mark.parametrize("module", [hepsilon.efficiencies.base, hepsilon.efficiencies.kinds])
def test_the_examples_are_true(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0

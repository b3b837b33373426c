from __future__ import annotations

import json
import zipfile

import pytest

from hepsilon import ArtifactError, EfficiencyMap, HepsilonError, load
from hepsilon.efficiencies.network import NetworkEfficiency


@pytest.fixture(scope="module")
def map_path(toy_map, tmp_path_factory):
    return toy_map.save(tmp_path_factory.mktemp("map") / "map.hepsilon")


def test_kind_of_the_file_decides(map_path, gnn):
    assert isinstance(load(map_path), EfficiencyMap)
    assert isinstance(load(gnn.path), NetworkEfficiency)


def test_device_is_passed_on(gnn):
    assert load(gnn.path, device="cpu").device == "cpu"


@pytest.mark.parametrize("content", [None, b"", b"not a zip", b"root" + bytes(100)])
def test_what_is_not_an_artifact_is_refused(tmp_path, content):
    path = tmp_path / "x.hepsilon"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"x\.hepsilon") as caught:
        load(path)
    assert not isinstance(caught.value, OSError)
    assert isinstance(caught.value, HepsilonError)


def test_folder_is_refused(tmp_path):
    with pytest.raises(ArtifactError):
        load(tmp_path)


def with_card(source, target, **changes):
    """Copy of an artifact with another card."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "card.json":
                content = json.dumps(json.loads(content) | changes).encode()
            new.writestr(name, content)
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "forest"}, r"'map', 'network', 'ratio', 'ratio-map'\], received 'forest'"),
        ({"kind": ["map"]}, r"received \['map'\]"),
        ({"format": "other"}, "not a hepsilon file"),
        ({"version": 99}, "version 1, received 99"),
        ({"surprise": 1}, "surprise"),
        ({"n_events": "many"}, "n_events"),
    ],
)
def test_card_that_is_not_understood_is_refused(map_path, tmp_path, changes, message):
    with pytest.raises(ArtifactError, match=message):
        load(with_card(map_path, tmp_path / "x.hepsilon", **changes))


def test_map_is_not_taken_for_a_network(map_path):
    with pytest.raises(ArtifactError, match="is a map, and holds no networks"):
        NetworkEfficiency.load(map_path)
    with pytest.raises(ArtifactError, match="no model or map file"):
        EfficiencyMap.load(map_path.with_name("missing"))

"""Artifacts that strangers can write: documented errors, or an efficiency that keeps its promises.

The hashes in the card are made to fit, as a stranger can: what is tested is behind them.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepsilon import (
    ArtifactError,
    EfficiencyMap,
    HepsilonError,
    InputError,
    fit_ratio_map,
    load,
    load_config,
)
from hepsilon.config import MapConfig
from hepsilon.data.dataset import load_columns
from hepsilon.data.events import EventChunk
from hepsilon.efficiencies.card_text import card_rows
from hepsilon.efficiencies.factorised import FactorisedMap
from hepsilon.efficiencies.loading import load_correction
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.export.onnx import OPSET
from hepsilon.simulation import write_ratio_jets
from tests.helpers.network_toys import write_untrained
from tests.helpers.toys import TASK, random_jets, tagged_jets
from tests.helpers.track_toys import columns_of, draw, random_tracks, task_with

JETS = random_jets([2, 0, 3], seed=1)
TRACKS = random_tracks([2, 2, 2], seed=1)
SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)
AXES = {"axes": {"pt": {"edges": (20.0, 100.0, 600.0)}, "eta": {"edges": (-2.5, 0.0, 2.5)}}}


def content_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, content: Mapping[str, bytes], card: Any) -> Path:
    """A file with any content, and hashes in the card that fit."""
    if isinstance(card, dict):
        rest = {name: each for name, each in content.items() if name != "card.json"}
        card["content"] = {name: hashlib.sha256(each).hexdigest() for name, each in rest.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, each in (dict(content) | {"card.json": json.dumps(card).encode()}).items():
            archive.writestr(name, each)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def known_map(folder: Path) -> dict[str, bytes]:
    ids = np.arange(200, dtype=np.uint64)
    chunk = EventChunk(tagged_jets([2, 3] * 100, seed=2), np.ones(200), ids, ids, ids)
    columns = load_columns([chunk], TASK)
    efficiency = EfficiencyMap.fit(TASK, columns, MapConfig.model_validate(AXES), warn=False)
    return content_of(efficiency.save(folder / "map"))


@pytest.fixture(scope="module")
def known_network(folder: Path) -> dict[str, bytes]:
    efficiency = write_untrained(folder / "network", architecture="mlp", width=4, blocks=1)
    return content_of(Path(efficiency.path))


@pytest.fixture(scope="module")
def known_factorised(folder: Path) -> dict[str, bytes]:
    task = task_with(features=("pt", "eta"), categorical={})
    columns = columns_of(draw([2] * 100, 1), task)
    passed = np.random.default_rng(2).integers(0, 2, 100)
    columns = replace(columns, passed=np.repeat(passed, 2).astype(np.float32))
    axes = {"axes": {"pt": {"edges": (0.2, 0.5, 2.0)}, "eta": {"edges": (-0.9, 0.0, 0.9)}}}
    efficiency = FactorisedMap.fit(task, columns, MapConfig.model_validate(axes), warn=False)
    return content_of(efficiency.save(folder / "factorised"))


@pytest.fixture(scope="module")
def sides(folder: Path) -> dict[str, Path]:
    return {
        side: write_ratio_jets(folder / f"{side}.root", 300, side=side, seed=1)
        for side in ("numerator", "denominator")
    }


@pytest.fixture(scope="module")
def known_ratio(folder: Path, sides: dict[str, Path]) -> dict[str, bytes]:
    config = load_config(Path(__file__).parents[2] / "training" / "ratio.toml")
    return content_of(fit_ratio_map(config, **sides).save(folder / "ratio"))


def used(path: Path, records: Any = JETS, most: float = 1.0) -> None:
    """Load a map and ask it: an error of ours, or efficiencies (ratios) that are some."""
    try:
        efficiency = load(path)
        eps = efficiency(records, out_of_domain="ignore")
    except HepsilonError:
        return
    flat = ak.to_numpy(ak.flatten(eps, axis=None))
    assert ((flat > 0.0) & (flat < most)).all()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
NUMBERS = st.sampled_from([-1, 0, 1, 2, 10**12, 2**70, 1e300, -0.5, [], [0], "pt", "", None])


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ways to everything inside of a card."""
    found = [way]
    if isinstance(value, dict):
        found += [each for key in value for each in places(value[key], (*way, key))]
    if isinstance(value, list):
        found += [each for i in range(len(value)) for each in places(value[i], (*way, i))]
    return found


def changed(card: Any, data: st.DataObject) -> Any:
    """A card in which one or two things are other ones, or are missing, or are there twice."""
    card = copy.deepcopy(card)
    for _ in range(data.draw(st.integers(1, 2))):
        way = data.draw(st.sampled_from(places(card)))
        if not way:
            continue
        parent = card
        for key in way[:-1]:
            parent = parent[key]
        action = data.draw(st.sampled_from(["number", "anything", "remove", "twice"]))
        if action == "remove":
            del parent[way[-1]]
        elif action == "twice" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[way[-1]]))
        else:
            parent[way[-1]] = data.draw(NUMBERS if action == "number" else JSON)
    return card


@SLOW
@given(data=st.data())
def test_changed_bytes(known_map: dict[str, bytes], folder: Path, data: st.DataObject) -> None:
    """Of the file as a whole, in which the hashes do not fit."""
    content = bytearray((folder / "map").read_bytes())
    for _ in range(data.draw(st.integers(1, 10))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    (folder / "bytes").write_bytes(content[:cut])
    used(folder / "bytes")


@SLOW
@given(data=st.data())
def test_changed_cards_of_maps(
    known_map: dict[str, bytes], folder: Path, data: st.DataObject
) -> None:
    card = changed(json.loads(known_map["card.json"]), data)
    used(write(folder / "changed", known_map, card))


@SLOW
@given(data=st.data())
def test_changed_cards_of_factorised_maps(
    known_factorised: dict[str, bytes], folder: Path, data: st.DataObject
) -> None:
    card = changed(json.loads(known_factorised["card.json"]), data)
    used(write(folder / "changed", known_factorised, card), TRACKS)


@SLOW
@given(data=st.data())
def test_changed_cards_of_ratios(
    known_ratio: dict[str, bytes], sides: dict[str, Path], folder: Path, data: st.DataObject
) -> None:
    records = uproot.open(sides["denominator"])["Events"].arrays(entry_stop=20)
    card = changed(json.loads(known_ratio["card.json"]), data)
    used(write(folder / "changed", known_ratio, card), records, most=np.inf)


@SLOW
@given(data=st.data())
def test_changed_arrays(known_map: dict[str, bytes], folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(set(known_map) - {"card.json"})))
    dtype = data.draw(st.sampled_from(["<f8", "<f4", "<f2", ">f8", "<i8", "|b1", "<c16", "<U2"]))
    shape = data.draw(st.sampled_from([(3, 2, 2), (2, 2), (12,), (), (0,), (3, 2, 2, 1)]))
    fill = data.draw(st.sampled_from([0, 1, 0.5, -0.5, 1.5, float("nan"), float("inf")]))
    buffer = io.BytesIO()
    with np.errstate(invalid="ignore"):
        array = np.full(shape, fill).astype(dtype)
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    made = known_map | {name: buffer.getvalue()}
    if data.draw(st.booleans()):
        made = known_map | {name: data.draw(st.binary(max_size=200))}
    used(write(folder / "arrays", made, json.loads(known_map["card.json"])))


@SLOW
@given(data=st.data())
def test_changed_cards_of_networks(
    known_network: dict[str, bytes], folder: Path, data: st.DataObject
) -> None:
    """Loaded and shown; what evaluates networks starts too slowly for many examples."""
    card = changed(json.loads(known_network["card.json"]), data)
    try:
        efficiency = load_correction(write(folder / "changed", known_network, card))
    except HepsilonError:
        return
    card_rows(efficiency.card)


# cards of networks that fit the schema and describe no network


def network_with(folder: Path, known: dict[str, bytes], **update: Any) -> Path:
    card = json.loads(known["card.json"])
    for key, value in update.items():
        part, _, name = key.partition("__")
        if name:
            card[part] = card[part] | {name: value}
        else:
            card[part] = value
    return write(folder / "made", known, card)


EPOCH = {"epoch": 1, "loss": 1.0, "validation_loss": 1.0, "seconds": 1.0}
PARITY = {"runtime": "onnxruntime", "version": "1", "opset": OPSET, "n_objects": 9}
PARITY |= {"graph": "0" * 64, "weights": "0" * 64, "largest_difference": 0.0}


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"architecture__head": [0]}, "architecture.head: expected layers of at least 1"),
        ({"architecture__head": [-4]}, "architecture.head"),
        ({"architecture__head": [4] * 20_000}, "architecture.head: expected at most"),
        ({"architecture__head": [10**9]}, "architecture.head: expected at most"),
        ({"architecture__working_points": 3}, "the level and the working points of the task"),
        ({"architecture__level": "event"}, "the level and the working points of the task"),
        ({"arrays": ["sample"]}, "expected 1 to 10000 networks"),
        ({"members": [{"best_epoch": 1, "history": [EPOCH]}] * 2}, "members: expected 1"),
        ({"members": [{"best_epoch": 0, "history": [EPOCH]}]}, "best_epoch"),
        ({"members": [{"best_epoch": 2, "history": [EPOCH]}]}, "epoch 2 of 1"),
        ({"members": [{"best_epoch": 1, "history": []}]}, "history"),
        ({"features__features": []}, "expected the features"),
    ],
)
def test_cards_that_describe_no_network_are_refused(
    known_network: dict[str, bytes], folder: Path, update: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        load(network_with(folder, known_network, **update))


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"architecture__head": [30_000, 30_000]}, "describes layers of about 900000000 weights"),
        ({"architecture__activation": "unknown"}, "its networks cannot be made"),
        ({"architecture__head": [5]}, "has the shape"),
        ({"architecture__head": [4, 4]}, "weights do not fit the card"),
    ],
)
def test_networks_that_are_not_those_of_the_card_are_refused(
    known_network: dict[str, bytes], folder: Path, update: dict[str, Any], message: str
) -> None:
    """On the first call, before memory is taken for them."""
    efficiency = load(network_with(folder, known_network, **update), backend="tensorflow")
    with pytest.raises(ArtifactError, match=message) as caught:
        efficiency(JETS, out_of_domain="ignore")
    assert caught.value.__cause__ is None


def test_a_graph_that_was_not_compared_with_the_weights_is_refused(
    known_network: dict[str, bytes], folder: Path
) -> None:
    card = json.loads(known_network["card.json"]) | {"blobs": ["model.onnx"], "onnx": PARITY}
    made = known_network | {"model.onnx": b"\x08\x08"}
    with pytest.raises(ArtifactError, match=r"model\.onnx is not the graph that was compared"):
        load(write(folder / "made", made, card))


@pytest.mark.parametrize("error", [OSError(5, "I/O error"), RuntimeError("of a library")])
def test_errors_of_what_evaluates_networks_are_ours(
    known_network: dict[str, bytes],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    """An OSError, or one that is a cause, would make coffea drop the chunk in silence."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    path = network_with(folder, known_network)
    monkeypatch.setattr("hepsilon.efficiencies.network.make_engine", fail)
    efficiency = load(path)
    assert isinstance(efficiency, NetworkEfficiency)
    with pytest.raises(ArtifactError, match="its networks cannot be made") as caught:
        efficiency(JETS, out_of_domain="ignore")
    assert caught.value.__cause__ is None


def test_inputs_are_still_checked(known_map: dict[str, bytes], folder: Path) -> None:
    efficiency = load(write(folder / "same", known_map, json.loads(known_map["card.json"])))
    with pytest.raises(InputError, match="eta"):
        efficiency(ak.without_field(JETS, "eta"))

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from hepsilon import InputError, Task
from hepsilon.config import Cut, InputConfig, Passed
from hepsilon.data.events import EventChunk
from hepsilon.data.parts import check_file
from hepsilon.data.reading import read_chunks
from hepsilon.simulation import write_jets
from hepsilon.simulation.writer import jet_events
from tests.helpers.files import rewritten

N_EVENTS = 40
TASK = Task(
    features=("pt", "eta", "hadronFlavour"),
    categorical={"hadronFlavour": (5, 4, 0)},
    passed=Passed(field="discriminant", above=(0.0,)),
    weight="genWeight",
)
FIELDS = ["pt", "eta", "hadronFlavour", "discriminant"]
NANOAOD, BASE = InputConfig(), InputConfig(schema="base")


@pytest.fixture(scope="module")
def events() -> dict[str, Any]:
    """What the files hold; with events without jets, and weights that tell events apart."""
    branches = jet_events("jets", 0, N_EVENTS, seed=3)
    keep = ak.Array(np.arange(N_EVENTS) % 7 != 3)
    jets = branches["Jet"][ak.broadcast_arrays(keep, branches["Jet"].pt)[0]]
    return branches | {"Jet": jets, "genWeight": np.linspace(-1.0, 1.0, N_EVENTS)}


def flat_branches(events: dict[str, Any]) -> dict[str, Any]:
    jets = events["Jet"]
    return {k: v for k, v in events.items() if k != "Jet"} | {
        f"Jet_{name}": jets[name] for name in ak.fields(jets)
    }


def write(folder: Path, kind: str, events: dict[str, Any]) -> Path:
    """The same events in one of the supported formats."""
    path = folder / ("events.parquet" if kind.endswith("parquet") else "events.root")
    if kind == "TTree":
        with uproot.recreate(path) as file:
            file.mktree("Events", {n: ak.type(v).content for n, v in events.items()})
            file["Events"].extend(events)
    elif kind == "RNTuple":
        with uproot.recreate(path) as file:
            file["Events"] = flat_branches(events)
    elif kind == "nested parquet":
        ak.to_parquet(ak.zip(events, depth_limit=1), path)
    elif kind == "flat parquet":
        ak.to_parquet(ak.zip(flat_branches(events), depth_limit=1), path)
    else:  # nullable columns, as pyarrow and pandas write them
        columns = {n: pa.array(ak.to_list(v)) for n, v in flat_branches(events).items()}
        pq.write_table(pa.table(columns), path)
    return path


FORMATS = ["TTree", "RNTuple", "nested parquet", "flat parquet"]


def together(chunks: Iterable[EventChunk]) -> dict[str, Any]:
    """All chunks as plain lists."""
    parts = list(chunks)
    numbers = ("weights", "run", "luminosity_block", "event")
    columns = {n: np.concatenate([getattr(p, n) for p in parts]).tolist() for n in numbers}
    records = ak.concatenate([p.records for p in parts])
    return columns | {name: records[name].to_list() for name in ak.fields(records)}


# formats


@pytest.mark.parametrize("kind", [*FORMATS, "nullable parquet"])
def test_every_format_gives_the_events_that_were_written(
    tmp_path: Path, events: dict[str, Any], kind: str
) -> None:
    read = together(read_chunks([write(tmp_path, kind, events)], TASK, NANOAOD))
    assert read["event"] == list(range(1, N_EVENTS + 1))
    assert read["luminosity_block"] == [1] * N_EVENTS
    assert len(set(read["run"])) == 1
    assert read["weights"] == pytest.approx(events["genWeight"].tolist())
    for name in FIELDS:
        assert read[name] == events["Jet"][name].to_list()


@pytest.mark.parametrize("kind", [*FORMATS, "nullable parquet"])
def test_chunks_are_ready_for_training(tmp_path: Path, events: dict[str, Any], kind: str) -> None:
    from hepsilon.data.dataset import load_columns

    columns = load_columns(read_chunks([write(tmp_path, kind, events)], TASK, NANOAOD), TASK)
    assert len(columns.nodes) == ak.sum(ak.num(events["Jet"]))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("step", [1, 7, N_EVENTS])
def test_chunks_of_any_size_hold_the_same_events(
    tmp_path: Path, events: dict[str, Any], kind: str, step: int
) -> None:
    path = write(tmp_path, kind, events)
    chunks = list(read_chunks([path], TASK, NANOAOD, step=step))
    assert [len(chunk.event) for chunk in chunks][:-1] == [step] * (len(chunks) - 1)
    assert together(chunks) == together(read_chunks([path], TASK, NANOAOD))


def test_simulated_files_are_read(tmp_path: Path) -> None:
    path = write_jets(tmp_path / "jets.root", 30, seed=5)
    expected = jet_events("jets", 0, 30, seed=5)["Jet"]
    read = together(read_chunks([path], TASK, NANOAOD))
    for name in FIELDS:
        assert read[name] == expected[name].to_list()


REAL = TASK.model_copy(update={"passed": Passed(field="btagDeepFlavB", above=(0.3,))})


def test_real_nanoaod_is_read(nanoaod_path: Path) -> None:
    with uproot.open(nanoaod_path) as file:
        expected = file["Events"].arrays(["event", "Jet_pt", "Jet_btagDeepFlavB"])
    read = together(read_chunks([nanoaod_path], REAL, NANOAOD, step=64))
    assert len(read["event"]) == 200
    assert read["event"] == expected["event"].to_list()
    assert read["pt"] == expected["Jet_pt"].to_list()
    assert read["btagDeepFlavB"] == expected["Jet_btagDeepFlavB"].to_list()


def test_a_real_rntuple_is_read(rntuple_path: Path) -> None:
    read = together(read_chunks([rntuple_path], REAL, NANOAOD))
    assert len(set(read["event"])) == 10
    assert sum(map(len, read["pt"])) == 75
    assert all(pt == sorted(pt, reverse=True) for pt in read["pt"])
    assert {flavour for event in read["hadronFlavour"] for flavour in event} == {0, 4, 5}


def test_files_are_read_one_after_the_other(tmp_path: Path) -> None:
    paths = [write_jets(tmp_path / f"{seed}.root", 5 + seed, seed=seed) for seed in (1, 2)]
    assert [len(c.event) for c in read_chunks(paths, TASK, NANOAOD)] == [6, 7]


def test_only_files_without_events_are_an_input_error(
    tmp_path: Path, events: dict[str, Any]
) -> None:
    path = tmp_path / "empty.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {n: ak.type(v).content for n, v in events.items()})
    with pytest.raises(InputError, match="hold no events"):
        list(read_chunks([path], TASK, NANOAOD))


# what is read


def test_only_the_fields_of_the_task_are_read(tmp_path: Path, events: dict[str, Any]) -> None:
    (chunk,) = read_chunks([write(tmp_path, "TTree", events)], TASK, NANOAOD)
    assert ak.fields(chunk.records) == FIELDS


def test_other_fields_are_read_on_demand(tmp_path: Path, events: dict[str, Any]) -> None:
    path = write(tmp_path, "TTree", events)
    (chunk,) = read_chunks([path], TASK, NANOAOD, fields=["mass", "trueEfficiency"])
    assert ak.fields(chunk.records) == ["mass", "trueEfficiency"]


def test_neighbour_summaries_need_the_angles(tmp_path: Path, events: dict[str, Any]) -> None:
    task = TASK.model_copy(update={"features": ("pt", "proximity"), "categorical": {}})
    assert task.object_fields[:2] == ("pt", "proximity")
    (chunk,) = read_chunks([write(tmp_path, "TTree", events)], task, NANOAOD)
    assert {"pt", "eta", "phi"} <= set(chunk.records.fields)


def test_weights_are_one_where_the_task_names_none(tmp_path: Path, events: dict[str, Any]) -> None:
    task = TASK.model_copy(update={"weight": None})
    read = together(read_chunks([write(tmp_path, "TTree", events)], task, NANOAOD))
    assert read["weights"] == [1.0] * N_EVENTS


@pytest.mark.parametrize("kind", ["TTree", "RNTuple", "flat parquet"])
def test_branches_may_have_any_name(tmp_path: Path, events: dict[str, Any], kind: str) -> None:
    names = {"Jet_pt": "jet_pt_nom", "event": "eventNumber", "genWeight": "mc_weight"}
    renamed = {names.get(n, n): v for n, v in flat_branches(events).items()}
    path = tmp_path / ("events.parquet" if "parquet" in kind else "events.root")
    if kind == "TTree":
        with uproot.recreate(path) as file:
            file.mktree("mini", {n: ak.type(v).content for n, v in renamed.items()})
            file["mini"].extend(renamed)
    elif kind == "RNTuple":
        with uproot.recreate(path) as file:
            file["mini"] = renamed
    else:
        ak.to_parquet(ak.zip(renamed, depth_limit=1), path)
    branches = {"pt": "jet_pt_nom", "event": "eventNumber", "genWeight": "mc_weight"}
    read = together(read_chunks([path], TASK, InputConfig(tree="mini", branches=branches)))
    assert read["pt"] == events["Jet"].pt.to_list()
    assert read["event"] == events["event"].tolist()
    assert read["weights"] == pytest.approx(events["genWeight"].tolist())


# event numbers


@pytest.fixture
def without_numbers(tmp_path: Path, events: dict[str, Any]) -> Path:
    branches = {n: v for n, v in events.items() if n not in ("run", "luminosityBlock", "event")}
    return write(tmp_path, "TTree", branches)


def test_nanoaod_needs_event_numbers(without_numbers: Path) -> None:
    with pytest.raises(InputError, match=r"expected the column 'run'"):
        list(read_chunks([without_numbers], TASK, NANOAOD))


@pytest.mark.parametrize("step", [7, N_EVENTS])
def test_a_flat_file_counts_its_entries(without_numbers: Path, step: int) -> None:
    read = together(read_chunks([without_numbers], TASK, BASE, step=step))
    assert read["event"] == list(range(N_EVENTS))
    assert len(set(read["run"])) == 1


def test_flat_files_of_different_names_are_told_apart(without_numbers: Path) -> None:
    other = rewritten(without_numbers, without_numbers.with_name("other.root"))
    first, second = (c.run[0] for c in read_chunks([without_numbers, other], TASK, BASE))
    assert first != second


def test_missing_run_and_block_are_zero(tmp_path: Path, events: dict[str, Any]) -> None:
    branches = {n: v for n, v in events.items() if n not in ("run", "luminosityBlock")}
    read = together(read_chunks([write(tmp_path, "TTree", branches)], TASK, BASE))
    assert read["event"] == events["event"].tolist()
    assert read["run"] == read["luminosity_block"] == [0] * N_EVENTS


# refusals


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*nothing\.root"):
        list(read_chunks([tmp_path / "nothing.root"], TASK, NANOAOD))


@pytest.mark.parametrize("name", ["text.root", "text.parquet"])
@pytest.mark.parametrize("content", [b"", b"no events here"])
def test_other_files_are_an_input_error(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is not a readable (ROOT|parquet) file"):
        list(read_chunks([path], TASK, NANOAOD))


def test_a_missing_tree_is_an_input_error_that_lists_the_trees(
    tmp_path: Path, events: dict[str, Any]
) -> None:
    path = write(tmp_path, "TTree", events)
    with pytest.raises(InputError, match=r"expected a tree 'mini', the file holds \['Events'\]"):
        list(read_chunks([path], TASK, InputConfig(tree="mini")))


@pytest.mark.parametrize("kind", ["TTree", "RNTuple", "flat parquet"])
def test_a_missing_branch_is_an_input_error(
    tmp_path: Path, events: dict[str, Any], kind: str
) -> None:
    task = TASK.model_copy(update={"passed": Passed(field="btag")})
    with pytest.raises(InputError, match=r"expected the column 'Jet_btag' for the field 'btag'"):
        list(read_chunks([write(tmp_path, kind, events)], task, NANOAOD))


def test_a_missing_weight_is_an_input_error(tmp_path: Path, events: dict[str, Any]) -> None:
    task = TASK.model_copy(update={"weight": "mcWeight"})
    with pytest.raises(InputError, match="expected the column 'mcWeight'"):
        list(read_chunks([write(tmp_path, "TTree", events)], task, NANOAOD))


def test_a_weight_per_object_is_an_input_error(tmp_path: Path, events: dict[str, Any]) -> None:
    task = TASK.model_copy(update={"weight": "Jet_pt"})
    with pytest.raises(InputError, match="Jet_pt"):
        list(read_chunks([write(tmp_path, "TTree", events)], task, NANOAOD))


def test_a_mapped_branch_that_is_missing_is_an_input_error(without_numbers: Path) -> None:
    config = InputConfig(schema="base", branches={"event": "eventNumber"})
    with pytest.raises(InputError, match="'eventNumber'"):
        list(read_chunks([without_numbers], TASK, config))


# checks before a run

FLAT_FORMATS = ["TTree", "RNTuple", "flat parquet"]


@pytest.mark.parametrize("kind", FLAT_FORMATS)
def test_a_complete_file_passes_the_check(
    tmp_path: Path, events: dict[str, Any], kind: str
) -> None:
    task = TASK.model_copy(update={"truth": "trueEfficiency"})
    check_file(write(tmp_path, kind, events), task, NANOAOD)


@pytest.mark.parametrize("kind", FLAT_FORMATS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"passed": Passed(field="discriminat")}, "'Jet_discriminat'.*received.*Jet_discriminant"),
        ({"truth": "truth"}, "'Jet_truth'"),
        ({"weight": "mcWeight"}, "'mcWeight'"),
        ({"selection": (Cut(field="jetId", min=1.0),)}, "'Jet_jetId'"),
    ],
    ids=["response", "truth", "weight", "selection"],
)
def test_the_check_names_what_is_missing(
    tmp_path: Path, events: dict[str, Any], kind: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_file(write(tmp_path, kind, events), TASK.model_copy(update=change), NANOAOD)


def test_nested_columns_pass_the_check(tmp_path: Path, events: dict[str, Any]) -> None:
    check_file(write(tmp_path, "nested parquet", events), TASK, NANOAOD)


def test_copies_of_a_file_are_refused(tmp_path: Path, events: dict[str, Any]) -> None:
    path = write(tmp_path, "TTree", events)
    copy = tmp_path / "copy.root"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="copies of one file"):
        list(read_chunks([path, copy], TASK, NANOAOD))
    with pytest.raises(InputError, match="given twice"):
        list(read_chunks([path, path], TASK, NANOAOD))


def test_the_check_refuses_missing_files_and_trees(tmp_path: Path, events: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="no file"):
        check_file(tmp_path / "nothing.root", TASK, NANOAOD)
    with pytest.raises(InputError, match="expected a tree 'mini'"):
        check_file(write(tmp_path, "TTree", events), TASK, InputConfig(tree="mini"))

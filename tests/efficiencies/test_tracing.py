"""Efficiencies in graphs of dask-awkward, and of NanoEvents of every mode."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import pytest
from coffea.nanoevents import BaseSchema, NanoAODSchema, NanoEventsFactory

from hepsilon import Config, EfficiencyMap
from hepsilon.config import Cut, MapConfig, Passed, Task
from hepsilon.data.dataset import read_columns

TASK = Task(
    features=("pt", "eta", "n_close"),
    passed=Passed(field="btagCSVV2", above=(0.8,)),
    selection=(Cut(field="pt", min=25.0), Cut(field="jetId", min=1.0)),
    event_selection=(Cut(field="MET_pt", min=5.0),),
)
READ = {"Jet_pt", "Jet_eta", "Jet_phi", "Jet_jetId"}
AXES = {"pt": {"edges": [20.0, 60.0, 1e4]}, "n_close": {"edges": [0.0, 1.0, 50.0]}}


def fitted(path: Path) -> EfficiencyMap:
    columns = read_columns([path], Config(task=TASK), progress=False)
    return EfficiencyMap.fit(TASK, columns, MapConfig.model_validate({"axes": AXES}))


@pytest.fixture(scope="module")
def efficiency(nanoaod_path: Path) -> EfficiencyMap:
    return fitted(nanoaod_path)


def events_of(path: Path, schema: Any, mode: str) -> Any:
    with warnings.catch_warnings():  # old files lack what the schema expects
        warnings.simplefilter("ignore", RuntimeWarning)
        files = {str(path): "Events"}
        return NanoEventsFactory.from_root(files, schemaclass=schema, mode=mode).events()


@pytest.mark.parametrize("schema", [NanoAODSchema, BaseSchema], ids=["nanoaod", "base"])
@pytest.mark.parametrize("mode", ["eager", "virtual"])
def test_events_of_coffea_give_equal_numbers(
    efficiency: EfficiencyMap, nanoaod_path: Path, schema: Any, mode: str
) -> None:
    expected = efficiency.evaluate(events_of(nanoaod_path, NanoAODSchema, "eager"))
    found = efficiency.evaluate(events_of(nanoaod_path, schema, mode))
    assert ak.all(found.eps == expected.eps)
    assert ak.all(found.records.pt == expected.records.pt)
    assert ak.sum(ak.num(found.eps)) > 100


def jets_of(path: Path) -> ak.Array:
    jet = events_of(path, NanoAODSchema, "eager").Jet
    fields = ["pt", "eta", "phi", "jetId", "mass", "btagCSVV2"]
    return ak.zip({name: jet[name] for name in fields})


def test_without_data_the_answer_has_its_type(
    efficiency: EfficiencyMap, nanoaod_path: Path
) -> None:
    jets = jets_of(nanoaod_path)
    given = ak.to_backend(jets, "typetracer")
    found = efficiency(given)
    assert ak.backend(found) == "typetracer"
    assert found.type.content == efficiency(jets, out_of_domain="ignore").type.content
    evaluation = efficiency.evaluate(given)
    assert ak.backend(evaluation.replicas) == ak.backend(evaluation.in_domain) == "typetracer"


@pytest.mark.slow
def test_only_what_is_read_is_touched(efficiency: EfficiencyMap, nanoaod_path: Path) -> None:
    """Features, the inputs of those that are computed, and the selection; not the response."""
    form, *_ = ak.to_buffers(jets_of(nanoaod_path))
    given, report = ak.typetracer.typetracer_with_report(form, highlevel=True)
    efficiency(given)
    columns = zip(form.content.fields, form.content.contents, strict=True)
    names = {name for name, column in columns if column.form_key in report.data_touched}
    assert names == {"pt", "eta", "phi", "jetId"}


@pytest.mark.parametrize("schema", [NanoAODSchema, BaseSchema], ids=["nanoaod", "base"])
@pytest.mark.parametrize("whole", [False, True], ids=["jets", "events"])
def test_in_a_graph_of_dask_only_the_needed_columns_are_read(
    efficiency: EfficiencyMap, nanoaod_path: Path, whole: bool, schema: Any
) -> None:
    dak = pytest.importorskip("dask_awkward")
    if schema is BaseSchema and not whole:
        return  # flat events have no collection to be given
    events = events_of(nanoaod_path, schema, "dask")
    local = events_of(nanoaod_path, NanoAODSchema, "eager")

    def of_events(chunk: Any) -> Any:
        return efficiency.evaluate(chunk).eps

    quiet = partial(efficiency, out_of_domain="ignore")
    function, given = (of_events, events) if whole else (quiet, events.Jet)
    found = dak.map_partitions(function, given)
    (columns,) = dak.report_necessary_columns(found).values()
    counter = {"nJet"} if schema is NanoAODSchema else set()  # else lists know their lengths
    assert set(columns) == READ | counter | ({"MET_pt"} if whole else set())
    expected = function(local if whole else local.Jet)
    assert ak.all(found.compute() == expected)

"""Every kind of file in every command: equal numbers.

The table in ``docs/inputs.md`` is the list of these tests.
"""

from __future__ import annotations

import re
import tomllib
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from coffea import nanoevents, processor
from packaging.version import Version

from hepsilon import Config, EfficiencyMap, InputError
from hepsilon.closure import run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.histograms.jets import JET_OBSERVABLES
from hepsilon.histograms.methods import ALL
from hepsilon.processors import TaskSchema, TruthTagging
from hepsilon.processors.apply import apply_efficiency
from hepsilon.processors.executors import user_errors
from hepsilon.training import train
from tests.helpers.formats import KINDS, Kind, sample

ALL_SCHEMAS = ("TaskSchema", "BaseSchema", "PHYSLITESchema")
DOCS = Path(__file__).parents[2] / "docs" / "inputs.md"


@pytest.fixture(scope="module")
def events() -> dict[str, Any]:
    return sample()


def learned(kind: Kind, path: Path, folder: Path) -> dict[str, Any]:
    """A map and a network of a file, trained on what is read from it."""
    settings = kind.config()
    columns = read_columns([path], settings, progress=False)
    network = train(settings, [path], folder / "net.hepsilon").efficiency
    return {"map": EfficiencyMap.fit(settings.task, columns, settings.map), "net": network}


def closed(kind: Kind, path: Path, efficiencies: dict[str, Any]) -> Any:
    settings = kind.config()
    return run_closure(
        [path],
        settings.task,
        efficiencies,
        config=settings.input,
        observables=JET_OBSERVABLES,
        chunksize=150,
    )


@pytest.fixture(scope="module")
def usual(events: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All numbers of the plain TTree in GeV."""
    folder, plain = tmp_path_factory.mktemp("usual"), KINDS["TTree"]
    path = plain.write(folder, events)
    own = learned(plain, path, folder)
    columns = read_columns([path], plain.config(), progress=False)
    return {"columns": columns, "output": closed(plain, path, own), **own}


@pytest.fixture(params=KINDS, scope="module")
def kind(request: Any) -> Kind:
    return KINDS[request.param]


@pytest.fixture(scope="module")
def path(kind: Kind, events: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kind.write(tmp_path_factory.mktemp("kind"), events)


@pytest.fixture(scope="module")
def own(kind: Kind, path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is learned from the file itself."""
    return learned(kind, path, tmp_path_factory.mktemp("own"))


def close(a: Any, b: Any, kind: Kind, rounding: float = 1e-6) -> None:
    """Equal; up to the rounding of momenta where they are computed from other numbers."""
    if kind.exact:
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(a, b, rtol=rounding, atol=rounding)


def test_a_file_has_the_events_that_were_written(events: dict[str, Any], usual: Any) -> None:
    """By hand, so that equal numbers are not equally wrong numbers."""
    columns, jets = usual["columns"], events["Jet"]
    assert (columns.n_events, len(columns.nodes)) == (300, 600)
    assert sorted(columns.nodes[:, 0]) == sorted(ak.to_numpy(ak.flatten(jets.pt)))
    assert np.sum(columns.passed) == ak.sum(jets.score > 0.5)
    assert np.sum(columns.weights) == pytest.approx(np.sum(events["genWeight"]))
    total = usual["output"].observables["pt"][{"method": ALL, "category": ALL}]
    assert total.sum(flow=True).value == pytest.approx(2.0 * np.sum(events["genWeight"]))


def test_columns(kind: Kind, path: Path, usual: dict[str, Any]) -> None:
    columns = read_columns([path], kind.config(), progress=False)
    for name in ("offsets", "passed", "weights", "keys", "nodes"):
        close(getattr(columns, name), getattr(usual["columns"], name), kind)


def test_map(kind: Kind, own: dict[str, Any], usual: dict[str, Any]) -> None:
    close(own["map"].values(), usual["map"].values(), kind)


def test_training(kind: Kind, own: dict[str, Any], usual: dict[str, Any]) -> None:
    """Networks with equal inputs are equal."""
    sample = usual["columns"].offsets, usual["columns"].nodes
    found, expected = (each["net"].of_members(*sample) for each in (own, usual))
    close(found, expected, kind, rounding=1e-4)
    assert own["net"].card.passed_rate == usual["net"].card.passed_rate


def assert_equal(found: Any, expected: Any, kind: Kind) -> None:
    """Equal histograms of all methods; those that need a mass are left out where there is none."""
    assert (found.n_events, found.n_objects) == (expected.n_events, expected.n_objects)
    assert found.out_of_domain == expected.out_of_domain
    missing = set(expected.observables) - set(found.observables)
    assert missing == set(found.left_out) <= {"pair_mass"}
    for name, histogram in found.observables.items():
        for part in ("values", "variances"):
            a, b = (getattr(h, part)(flow=True) for h in (histogram, expected.observables[name]))
            close(a, b, kind, rounding=1e-3)


def test_closure(kind: Kind, path: Path, own: dict[str, Any], usual: dict[str, Any]) -> None:
    assert_equal(closed(kind, path, own), usual["output"], kind)


def test_apply(
    kind: Kind,
    path: Path,
    own: dict[str, Any],
    usual: dict[str, Any],
    events: dict[str, Any],
    tmp_path: Path,
) -> None:
    """The file that is written beside it has the map's answer for every jet."""
    where, friend = kind.config().input, tmp_path / "friend.parquet"
    applied = apply_efficiency(own["map"], [path], friend, config=where, progress=False)
    assert applied.n_objects == applied.n_selected == 600
    (name,) = (n for n in ak.fields(ak.from_parquet(friend)) if n.endswith("_eps"))
    found = ak.flatten(ak.from_parquet(friend)[name], axis=None)
    close(found, ak.flatten(usual["map"](events["Jet"]), axis=None), kind)


IN_COFFEA = [n for n, kind in KINDS.items() if kind.schemas and "parquet" not in n]


@pytest.mark.parametrize("mode", ["eager", "virtual"])
@pytest.mark.parametrize("name", IN_COFFEA)
def test_evaluate_nanoevents(
    name: str, mode: str, events: dict[str, Any], usual: dict[str, Any], tmp_path: Path
) -> None:
    """Under every schema that reads the file, as the configuration in the model says."""
    kind = KINDS[name]
    settings, path = kind.config(), kind.write(tmp_path, events)
    columns = read_columns([path], settings, progress=False)
    own = EfficiencyMap.fit(settings.task, columns, settings.map).described(settings)
    expected = ak.flatten(usual["map"](events["Jet"]), axis=None)
    for schema in kind.schemas:
        with warnings.catch_warnings():  # coffea's, of branches that PHYSLITE has besides
            warnings.simplefilter("ignore")
            given = nanoevents.NanoEventsFactory.from_root(
                {str(path): settings.input.tree},
                schemaclass=TaskSchema if schema == "TaskSchema" else getattr(nanoevents, schema),
                mode=mode,
            ).events()
            found = own.evaluate(given, out_of_domain="raise")
        assert ak.all(ak.num(found.eps) == 2)
        close(ak.flatten(found.eps, axis=None), expected, kind)


def needs_parquet_runner() -> None:
    """Skip where coffea's Runner refuses parquet; hepsilon's own commands read it all the same."""
    if Version(version("coffea")) < Version("2026.4"):
        pytest.skip("coffea's Runner reads parquet from 2026.4 on")


def test_a_processor_in_an_analysis(
    kind: Kind, path: Path, own: dict[str, Any], usual: dict[str, Any]
) -> None:
    """Under coffea's Runner, with every schema that reads the file."""
    if path.suffix == ".parquet":
        needs_parquet_runner()
    settings = kind.config()
    instance = TruthTagging(settings.task, own, config=settings.input, observables=JET_OBSERVABLES)
    for name in kind.schemas:
        schema = TaskSchema if name == "TaskSchema" else getattr(nanoevents, name)
        run = processor.Runner(
            processor.IterativeExecutor(status=False),
            schema=schema,
            chunksize=150,
            format="parquet" if path.suffix == ".parquet" else "root",
        )
        with warnings.catch_warnings():  # coffea's, of branches that PHYSLITE has besides
            warnings.simplefilter("ignore")
            output = run({"sample": [str(path)]}, instance, treename=settings.input.tree)
        assert_equal(output["sample"], usual["output"], kind)


@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].input.get("rows")][:2])
def test_rows_of_objects_are_refused_where_chunks_divide_events(
    name: str, events: dict[str, Any], tmp_path: Path
) -> None:
    kind = KINDS[name]
    path = kind.write(tmp_path, events)
    assert path.suffix == ".parquet"  # coffea reads no CSV files
    needs_parquet_runner()
    settings = kind.config()
    instance = TruthTagging(settings.task, {}, config=settings.input)
    executor = processor.IterativeExecutor(status=False, retries=0)
    for schema in (TaskSchema, nanoevents.BaseSchema):
        run = processor.Runner(executor, schema=schema, format="parquet")
        with pytest.raises(InputError, match="chunks that divide events"), user_errors():
            run({"sample": [str(path)]}, instance, treename="Events")


def test_the_table_of_the_documentation_is_the_list_of_these_tests() -> None:
    text = DOCS.read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    table = {cells[1].strip(): cells[5].strip() for cells in rows if len(cells) == 8}
    table.pop("file", None)
    assert list(table) == list(KINDS)
    for name, kind in KINDS.items():
        schemas = [schema for schema in ALL_SCHEMAS if f"`{schema}`" in table[name]]
        assert schemas == list(kind.schemas), name


def test_examples_of_the_documentation_are_valid() -> None:
    """Every configuration of the page, completed where it shows a part."""
    blocks = re.findall(r"^```toml\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    parts = [tomllib.loads(block) for block in blocks]
    configurations = [part for part in parts if "project" not in part]
    for part in configurations:
        mapped = part.get("input", {}).get("branches", {})
        features = [n for n in mapped if n not in ("event", "genWeight")] or ["pt"]
        task = {"features": features, "passed": {"field": "isTagged"}, "weight": "genWeight"}
        Config.model_validate(part | {"task": task | part.get("task", {})}, strict=False)
    assert len(configurations) >= 6

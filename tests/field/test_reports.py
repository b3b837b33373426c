"""Files of people who reported a problem, each with what is right."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib.schemav2 as s
import numpy as np
import pytest
import uproot

from hepsilon import EfficiencyMap, InputError, ScaleFactorWarning, TagScaleFactors
from hepsilon.closure import closure_report, run_closure
from hepsilon.config import Config
from hepsilon.data.dataset import read_columns
from hepsilon.histograms.methods import ALL, DIRECT
from hepsilon.processors import EfficiencyInversion
from hepsilon.processors.runner import run_processor
from hepsilon.report.page import page
from tests.helpers.field import (
    config,
    damage_basket,
    events,
    jets,
    numbers,
    write_tree,
)

N = 300


def fitted(settings: Config, files: Any) -> EfficiencyMap:
    """A map of files, read as the command reads them."""
    columns = read_columns(files, settings, progress=False)
    return EfficiencyMap.fit(settings.task, columns, settings.map)


def closed(settings: Config, files: Any, **options: Any) -> Any:
    """Output of a closure of no efficiency: what is observed."""
    return run_closure(files, settings.task, {}, config=settings.input, **options)


def pt_of(output: Any, method: str = ALL) -> Any:
    """Histogram of the momenta of all jets, or of those that passed."""
    return output.observables["pt"][{"method": method, "category": ALL}].values(flow=True)


# trees


@pytest.mark.parametrize("name", ["ntuplizer/tree", "ntuplizer/tree;1", "/ntuplizer/tree"])
def test_a_tree_in_a_directory_is_read(tmp_path: Path, name: str) -> None:
    path = write_tree(tmp_path / "dir.root", events(N), "ntuplizer/tree")
    settings = config(input={"tree": name})
    columns = read_columns([path], settings, progress=False)
    assert len(columns.nodes) == ak.sum(ak.num(events(N)["Jet"]))
    assert closed(settings, [path]).n_objects == len(columns.nodes)


@pytest.mark.parametrize("name", ["ntuplizer/tree", "ntuplizer/tree;1"])
def test_a_tree_may_stand_behind_its_file(tmp_path: Path, name: str) -> None:
    path = write_tree(tmp_path / "dir.root", events(N), "ntuplizer/tree")
    assert closed(config(), [f"{path}:{name}"]).n_events == N


def test_a_tree_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "dir.root", events(N), "ntuplizer/tree")
    for work in (fitted, closed):
        with pytest.raises(InputError, match=r"expected a tree 'Events'.*ntuplizer/tree"):
            work(config(), [path])


# weights


def test_a_common_factor_of_all_weights_changes_no_report(tmp_path: Path) -> None:
    """chi2, p-value and the bins that are joined are those of weight one."""
    reports = {}
    for weight in (1.0, 225892.0, 0.001):
        path = write_tree(tmp_path / f"{weight:g}.root", events(3000, 1, weight=weight))
        efficiency = fitted(config(), [path])
        output = run_closure([path], config().task, {"map": efficiency})
        entry = closure_report(output, config().task, {"map": efficiency}, [path])
        found = entry.efficiency["map"].observables
        reports[weight] = {n: (o.chi2, o.p_value, o.ndf) for n, o in found.items()}
    for weight in (225892.0, 0.001):
        for name, (chi2, p_value, ndf) in reports[1.0].items():
            other = reports[weight][name]
            assert other[2] == ndf, name
            assert other[0] == pytest.approx(chi2, rel=1e-6), name
            assert (other[1] or 1.0) == pytest.approx(p_value or 1.0, rel=1e-5), name
    assert all(ndf > 1 for _, _, ndf in (reports[1.0][n] for n in ("pt", "eta")))


def test_a_weight_that_a_schema_regroups_is_read_everywhere(tmp_path: Path) -> None:
    weights = np.linspace(0.5, 1.5, N)
    columns = events(N) | {"Generator_weight": weights}
    path = write_tree(tmp_path / "gen.root", columns)
    settings = config({"weight": "Generator_weight"})
    assert fitted(settings, [path]).card.n_events > 0
    total = np.sum(weights * ak.to_numpy(ak.num(columns["Jet"])))
    assert pt_of(closed(settings, [path])).sum() == pytest.approx(total)


def test_a_flag_of_the_event_is_the_response_of_a_task_of_events(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pt = rng.uniform(20.0, 80.0, 600)
    fired = rng.uniform(size=600) < np.where(pt < 26.0, 0.1, 0.9)
    own = {"pt": pt, "eta": rng.uniform(-2, 2, 600), "phi": rng.uniform(-3, 3, 600)}
    own["mass"] = np.full(600, 0.1)
    one = np.ones(600, int)
    muons = ak.zip({name: ak.unflatten(v, one) for name, v in own.items()})
    columns = {**numbers(600), "genWeight": np.ones(600), "HLT_IsoMu24": fired, "Muon": muons}
    path = write_tree(tmp_path / "trig.root", columns)
    task = {
        "level": "event",
        "objects": 1,
        "collection": "Muon",
        "features": ["pt", "eta"],
        "categorical": {},
        "selection": [],
        "passed": {"field": "HLT_IsoMu24"},
    }
    read = read_columns([path], config(task), progress=False)
    assert np.sum(read.passed) == fired.sum()
    output = closed(config(task), [path])
    assert (output.n_events, output.n_selected) == (600, int(fired.sum()))


# responses


def test_an_integer_that_is_no_response_is_refused_with_its_values(tmp_path: Path) -> None:
    counts, columns = jets(N)
    size = int(counts.sum())
    identity = np.random.default_rng(5).choice([0, 1, 2], size, p=[0.1, 0.1, 0.8]).astype(np.uint8)
    columns["id"] = ak.unflatten(identity, counts)
    own = {**numbers(N), "genWeight": np.ones(N), "Jet": ak.zip(columns)}
    path = write_tree(tmp_path / "id.root", own)
    shown = ", ".join(f"{value}: {np.sum(identity == value)}" for value in (0, 1, 2))
    for work in (fitted, closed):
        with pytest.raises(InputError, match=rf"id: expected a response.*{shown}.*above"):
            work(config({"passed": {"field": "id"}}), [path])
    settings = config({"passed": {"field": "id", "above": [0.5]}})
    assert fitted(settings, [path]).card.passed_rate == pytest.approx(np.mean(identity >= 1))


def test_a_response_of_plus_and_minus_one_is_refused(tmp_path: Path) -> None:
    own = events(N)
    own["Jet"] = ak.with_field(own["Jet"], ak.where(own["Jet"].score > 0.5, 1, -1), "sign")
    path = write_tree(tmp_path / "sign.root", own)
    for work in (fitted, closed):
        with pytest.raises(InputError, match=r"sign: expected a response of 0 or 1.*-1: "):
            work(config({"passed": {"field": "sign"}}), [path])


# files without entries


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A skim that kept nothing, and fewer branches."""
    path = tmp_path / "none.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"run": "uint32"})
    return path


def test_an_empty_file_among_others_is_counted(
    tmp_path: Path, empty: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = write_tree(tmp_path / "good.root", events(N))
    alone, settings = fitted(config(), [good]), config()
    for files in ([empty, good], [good, empty]):
        with caplog.at_level(logging.WARNING, "hepsilon"):
            assert fitted(settings, files).values().tolist() == alone.values().tolist()
            assert closed(settings, files).n_events == N
        assert caplog.text.count("without entries") == 2
        caplog.clear()


def test_empty_files_alone_are_an_error(empty: Path) -> None:
    for work in (fitted, closed):
        with pytest.raises(InputError, match=r"the files hold no events.*none\.root"):
            work(config(), [empty])


# damaged baskets


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    """Five baskets of 2000 events, the third of which is destroyed in one branch."""
    path = tmp_path_factory.mktemp("damaged") / "damaged.root"
    write_tree(path, events(10_000), parts=5)
    start, stop = damage_basket(path, "Jet_pt", 2)
    assert (start, stop) == (4000, 6000)
    return path, start, stop


def test_a_damaged_basket_is_named(damaged: tuple[Path, int, int]) -> None:
    path, start, stop = damaged
    for work in (fitted, closed):
        with pytest.raises(InputError) as caught:
            work(config(), [path])
        assert str(path) in str(caught.value)
        assert f"'Jet_pt', entries {start} to {stop}" in str(caught.value)


def test_a_damaged_basket_is_skipped_on_request(
    damaged: tuple[Path, int, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, start, stop = damaged
    settings, own = config(input={"damaged": "skip"}), events(10_000)
    left = np.r_[0:start, stop:10_000]
    whole = write_tree(tmp_path / "whole.root", {name: v[left] for name, v in own.items()})
    with caplog.at_level(logging.WARNING, "hepsilon"):
        read = fitted(settings, [path])
    assert f"damaged.root: {stop - start} entries were left out" in caplog.text
    assert read.values().tolist() == fitted(config(), [whole]).values().tolist()
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hepsilon"):
        output = closed(settings, [path], chunksize=3000)
    assert "2000 entries were left out" in caplog.text or caplog.text.count("1000 entries") == 2
    assert output.n_events == 8000
    assert pt_of(output).tolist() == pt_of(closed(config(), [whole])).tolist()


@pytest.mark.parametrize("command", ["map", "train", "closure"])
def test_commands_end_with_2_on_a_damaged_basket(
    damaged: tuple[Path, int, int], tmp_path: Path, run: Any, command: str
) -> None:
    path, start, stop = damaged
    toml = tmp_path / "task.toml"
    toml.write_text(TOML)
    good = write_tree(tmp_path / "good.root", events(N))
    assert run("map", toml, good, "--out", tmp_path / "map.hepsilon")[0] == 0
    given = ["--efficiency", f"map={tmp_path / 'map.hepsilon'}"] if command == "closure" else []
    code, _, error = run(command, toml, path, *given, "--out", tmp_path / "out")
    assert code == 2
    assert f"'Jet_pt', entries {start} to {stop}" in " ".join(error.split())
    assert "Traceback" not in error


TOML = """
[task]
features = ["pt", "eta", "hadronFlavour"]
categorical = { hadronFlavour = [5, 4, 0] }
passed = { field = "score", above = [0.5] }
weight = "genWeight"
[model]
architecture = "mlp"
width = 4
blocks = 1
[training]
epochs = 1
[map.axes]
pt = { edges = [20.0, 50.0, 100.0, 1000.0] }
eta = { edges = [-2.5, 0.0, 2.5] }
"""


# momenta and nested columns


def test_components_of_the_momentum_are_enough(tmp_path: Path) -> None:
    own = events(N)
    j = own["Jet"]
    momentum = {"px": j.pt * np.cos(j.phi), "py": j.pt * np.sin(j.phi), "pz": j.pt * np.sinh(j.eta)}
    kept = {name: j[name] for name in ("hadronFlavour", "score")}
    path = write_tree(tmp_path / "p.root", own | {"Jet": ak.zip(momentum | kept)})
    usual = write_tree(tmp_path / "usual.root", own)
    settings = config({"selection": [{"field": "pt", "min": 25.0}]})
    found, expected = (fitted(settings, [each]) for each in (path, usual))
    np.testing.assert_allclose(found.values(), expected.values(), rtol=1e-6)
    for method in (ALL, DIRECT):
        a, b = (pt_of(closed(settings, [each]), method) for each in (path, usual))
        np.testing.assert_allclose(a, b)


def test_a_nested_rntuple_is_read(tmp_path: Path) -> None:
    own, path = events(N), tmp_path / "nested.root"
    with uproot.recreate(path) as file:
        file["Events"] = own
    usual = write_tree(tmp_path / "usual.root", own)
    branches = {name: f"Jet.{name}" for name in ("pt", "eta", "hadronFlavour", "score")}
    for settings in (config(), config(input={"branches": branches})):
        assert fitted(settings, [path]).values().tolist() == (
            fitted(config(), [usual]).values().tolist()
        )
        assert pt_of(closed(settings, [path])).tolist() == pt_of(closed(config(), [usual])).tolist()


# events that occur twice


def dimuon(folder: Path, files: int, *, start: int | None = 0, seed: int = 0) -> list[Path]:
    """Files of two tracks with the efficiency 0.6, whose events count from zero, or go on."""
    paths = []
    for number in range(files):
        rng, n = np.random.default_rng(seed + number), 500
        pt, eta, phi = (rng.uniform(*r, (n, 2)) for r in ((0.2, 2), (-0.9, 0.9), (-3.1, 3.1)))
        own = {
            "px": pt * np.cos(phi),
            "py": pt * np.sin(phi),
            "pz": pt * np.sinh(eta),
            "charge": np.tile([1, -1], (n, 1)),
            "mass": np.full((n, 2), 0.1396),
        }
        tracks = ak.zip({name: ak.from_regular(ak.Array(v)) for name, v in own.items()})
        columns = {
            **numbers(n, number * n if start is None else start),
            "reco": (rng.uniform(size=n) < 0.6).astype(np.int8),
            "trueEfficiency": np.full(n, 0.6),
            "Track": tracks,
        }
        paths.append(write_tree(folder / f"{start}{number}.root", columns))
    return paths


TRACKS: dict[str, Any] = {
    "level": "event",
    "objects": 2,
    "collection": "Track",
    "features": ["px", "py", "pz"],
    "categorical": {},
    "selection": [],
    "passed": {"field": "reco"},
    "weight": None,
    "truth": "trueEfficiency",
}


def total_error(settings: Config, paths: list[Path]) -> tuple[float, Any]:
    """Bootstrap error of the corrected number of all events."""
    instance = EfficiencyInversion(settings.task, {}, replicas=200, config=settings.input)
    output = run_processor(paths, instance, settings.task, settings.input)
    name = instance.reference
    totals = output.replicas[name][{"method": "truth", "x": sum}].values()
    return float(np.std(totals, ddof=1)), output


def test_files_that_all_count_from_zero_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """N selected events of eight files are N/8 keys: the bootstrap error is sqrt(8) too large.

    Events that are told apart by file and entry give sqrt(N) / 0.6, with 5 % from 200 replicas;
    the seed is fixed.
    """
    paths = dimuon(tmp_path, 8)
    with caplog.at_level(logging.WARNING, "hepsilon"):
        wrong, output = total_error(config(TRACKS), paths)
    distinct = [set(np.flatnonzero(uproot.open(p)["Events/reco"].array())) for p in paths]
    repeated = sum(map(len, distinct)) - len(set().union(*distinct))
    assert output.n_repeated == repeated
    assert f"{repeated} of {output.n_selected} events have the run" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hepsilon"):
        right, told_apart = total_error(config(TRACKS, input={"event_key": "entry"}), paths)
    assert told_apart.n_repeated == 0
    assert "luminosity block" not in caplog.text
    expected = np.sqrt(output.n_selected) / 0.6
    assert right == pytest.approx(expected, rel=0.15)
    assert wrong > 1.5 * expected


def test_repeated_events_are_in_the_report(tmp_path: Path) -> None:
    paths, settings = dimuon(tmp_path, 2), config(TRACKS)
    output = closed(settings, paths, replicas=5)
    report = closure_report(output, settings.task, {}, paths)
    assert report.repeated_events is not None
    count = output.n_repeated
    assert report.as_dict()["repeated_events"] == {
        "count": count,
        "share": pytest.approx(count / output.n_selected),
    }
    assert f"{count} of {output.n_selected} events have the run" in page(report)
    without = closed(settings, paths)
    assert "repeated_events" not in closure_report(without, settings.task, {}, paths).as_dict()


def test_a_training_says_that_events_are_repeated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = dimuon(tmp_path, 3)
    with caplog.at_level(logging.WARNING, "hepsilon"):
        read_columns(paths, config(TRACKS), progress=False)
    assert "1000 of 1500 events have the run" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hepsilon"):
        read_columns(paths, config(TRACKS, input={"event_key": "entry"}), progress=False)
        read_columns(dimuon(tmp_path, 3, start=None), config(TRACKS), progress=False)
    assert "luminosity block" not in caplog.text


# scale factors


def write_correction(path: Path, flow: Any) -> None:
    """Factors 0.90 and 0.95 below and above 100 GeV up to 1000, for |eta| < 2.5 and b jets."""
    pt = s.Binning(
        nodetype="binning", input="pt", edges=[20.0, 100.0, 1000.0], content=[0.9, 0.95], flow=flow
    )
    eta = s.Binning(
        nodetype="binning", input="abseta", edges=[0.0, 2.5], content=[pt], flow="error"
    )
    flavour = s.Category(nodetype="category", input="flavor", content=[{"key": 5, "value": eta}])
    inputs = (("systematic", "string"), ("flavor", "int"), ("abseta", "real"), ("pt", "real"))
    nominal = [{"key": "central", "value": flavour}]
    write_corrections(path, "sf", inputs, nominal)


def write_corrections(path: Path, name: str, inputs: Any, content: Any) -> None:
    correction = s.Correction(
        name=name,
        version=1,
        inputs=[{"name": n, "type": kind} for n, kind in inputs],
        output={"name": "w", "type": "real"},
        data=s.Category(nodetype="category", input="systematic", content=content),
    )
    content_of = s.CorrectionSet(schema_version=2, corrections=[correction])
    path.write_text(content_of.model_dump_json(exclude_unset=True))


@pytest.mark.parametrize("policy", ["raise", "clamp"])
@pytest.mark.parametrize(("flow", "expected"), [("clamp", 0.95), (1.0, 1.0)])
def test_beyond_its_bins_the_file_answers_itself(
    tmp_path: Path, policy: Any, flow: Any, expected: float
) -> None:
    write_correction(tmp_path / "flow.json", flow)
    factors = TagScaleFactors.load(tmp_path / "flow.json", "sf", out_of_range=policy)
    jets = ak.Array([[{"pt": 1500.0, "eta": 0.1, "hadronFlavour": 5}]])
    with pytest.warns(ScaleFactorWarning, match="1 in pt.*as the file answers there"):
        found = factors(jets)
    assert found.nominal.to_list() == [[expected]]


def test_what_the_file_refuses_is_refused_or_clamped_on_request(tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    write_correction(path, 1.0)
    far = ak.Array([[{"pt": 50.0, "eta": -2.6, "hadronFlavour": 5}]])
    with pytest.raises(InputError, match=r"expected abseta in \[0, 2\.5\), received 1 of 1"):
        TagScaleFactors.load(path, "sf")(far)
    with pytest.warns(ScaleFactorWarning, match="1 in abseta.*moved inside"):
        clamped = TagScaleFactors.load(path, "sf", out_of_range="clamp")(far)
    assert clamped.nominal.to_list() == [[0.9]]


def test_a_correction_without_flavour_asks_for_none(tmp_path: Path) -> None:
    path, values = tmp_path / "puid.json", (("nom", 0.98), ("up", 0.99), ("down", 0.97))
    content = [
        {
            "key": key,
            "value": s.Binning(
                nodetype="binning", input="pt", edges=[10.0, 50.0], content=[v], flow="error"
            ),
        }
        for key, v in values
    ]
    write_corrections(path, "puid", (("systematic", "string"), ("pt", "real")), content)
    factors = TagScaleFactors.load(path, "puid", nominal="nom")
    found = factors(ak.Array([[{"pt": 20.0, "eta": 0.1}]]))
    assert found.nominal.to_list() == [[0.98]]

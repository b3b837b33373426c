"""Observables of closures: chosen for the sample, by the configuration, or by a correction."""

from __future__ import annotations

import json
import logging
import tomllib
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

import hepsilon
from hepsilon import ConfigError, InputError
from hepsilon.closure import closure_report, run_closure
from hepsilon.closure.observables import choose_observables
from hepsilon.config import Config, InputConfig, Passed, Task, validate
from hepsilon.efficiencies.bin_by_bin import BinByBin
from hepsilon.histograms import Observable, Observable2D
from hepsilon.histograms.jets import JET_CATALOGUE
from hepsilon.histograms.tracks import TRACK_CATALOGUE
from hepsilon.report.axes import binning_toml
from hepsilon.report.writer import write_closure

FORWARD = Task(
    level="event",
    collection="Track",
    objects=2,
    features=("pt", "eta", "phi", "charge"),
    categorical={"charge": (1, -1)},
    passed=Passed(field="reco"),
    unit="MeV",
)
JETS = Task(features=("pt", "eta"), passed=Passed(field="tagged"))
INPUT = InputConfig(schema="base")
OF_MASS = {"M", "Y", "dy", "M_dphi", "M_Pt", "M_pt1"}


def write(path: Path, objects: dict[str, Any], numbers: dict[str, Any], name: str) -> Path:
    """A file with as many objects in every event."""
    jagged = {n: ak.from_regular(ak.Array(column)) for n, column in objects.items()}
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: ak.zip(jagged), **numbers})
    return path


def tracks(path: Path, seed: int = 1, n: int = 3000, **more: Any) -> Path:
    """Pairs of tracks in a forward detector, in MeV."""
    rng = np.random.default_rng(seed)
    columns = {
        "pt": 300.0 + rng.exponential(700.0, (n, 2)),
        "eta": rng.uniform(2.0, 5.0, (n, 2)),
        "phi": rng.uniform(-np.pi, np.pi, (n, 2)),
        "charge": np.tile([1, -1], (n, 1)),
    }
    columns |= {name: make(columns["pt"]) for name, make in more.items()}
    return write(path, columns, {"reco": rng.integers(0, 2, n)}, "Track")


def jets(path: Path, n: int = 3000, seed: int = 2, **columns: Any) -> Path:
    """Jets of high momenta, far forward."""
    rng = np.random.default_rng(seed)
    content = {
        "pt": rng.uniform(20.0, 3000.0, (n, 2)),
        "eta": rng.uniform(-4.7, 4.7, (n, 2)),
        "phi": rng.uniform(-np.pi, np.pi, (n, 2)),
        "tagged": rng.integers(0, 2, (n, 2)),
    }
    return write(path, content | columns, {}, "Jet")


def half(records: ak.Array) -> Any:
    """Efficiency of one half for every event."""
    return np.full(len(records), 0.5)


def section(**observables: dict[str, Any]) -> Any:
    """The section of a configuration."""
    content = {"task": JETS.model_dump(), "observables": observables}
    return validate(Config, content, "file").observables


def edges_of(observable: Any) -> list[tuple[float, float, int]]:
    return [(p.edges[0], p.edges[-1], len(p.edges) - 1) for p in observable.parts]


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="hepsilon")


@pytest.fixture(scope="module")
def forward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tracks(tmp_path_factory.mktemp("forward") / "forward.root")


@pytest.fixture(scope="module")
def energetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jets(tmp_path_factory.mktemp("jets") / "jets.root")


def chosen(files: Any, task: Task, **observables: Any) -> dict[str, Any]:
    found = choose_observables(files, task, INPUT, section(**observables))
    return {o.name: o for o in found.observables}


def test_forward_detector_fills_all_histograms(
    forward: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = run_closure([forward], FORWARD, {"half": half}, config=INPUT)
    kept = {"Pt", "pt", "eta", "qphi", "bending", "eta_phi", "eta1_eta2", "pt1_pt2"}
    assert set(output.observables) == kept
    assert set(output.left_out) == OF_MASS
    for name, histogram in output.observables.items():
        generated = histogram[{"method": "generated"}]
        assert generated.sum().value > 0.98 * generated.sum(flow=True).value
        assert np.count_nonzero(generated.values()) > 0.4 * generated.values().size, name
    lines = [r.message for r in caplog.records if "left out" in r.message]
    assert lines == [
        "observables that are left out: M, Y, dy, M_dphi, M_Pt, M_pt1 (no field 'mass')"
    ]
    report = closure_report(output, FORWARD, {"half": half}, [forward])
    assert report.axes["eta"].edges[0][0] == 2.0
    assert report.axes["eta"].origin == ["sample"]
    assert report.axes["qphi"].origin == ["default"]
    assert max(share for axis in report.axes.values() for share in axis.outside) <= 0.01
    write_closure(tmp_path, output, report)
    page = (tmp_path / "report.html").read_text()
    assert "Observables that were left out: M (no field &#39;mass&#39;)" in page
    assert "[observables.eta]" in page
    content = json.loads((tmp_path / "closure.json").read_text())
    assert content["left_out"]["M"] == "no field 'mass'"


def test_ranges_that_were_proposed_can_be_pinned(forward: Path, tmp_path: Path) -> None:
    output = run_closure([forward], FORWARD, {}, config=INPUT)
    report = closure_report(output, FORWARD, {}, [forward])
    pinned = section(**tomllib.loads(binning_toml(report))["observables"])
    other = tracks(tmp_path / "other.root", seed=5, n=200)
    again = run_closure([other], FORWARD, {}, config=INPUT, observables=pinned)
    for name, histogram in output.observables.items():
        for before, after in zip(histogram.axes[1:], again.observables[name].axes[1:], strict=True):
            np.testing.assert_allclose(after.edges, before.edges, rtol=1e-11, atol=1e-14)


def test_ranges_do_not_depend_on_chunks(forward: Path) -> None:
    one, many = (
        run_closure([forward], FORWARD, {}, config=INPUT, chunksize=size) for size in (10_000, 700)
    )
    assert one.entry_counts == many.entry_counts
    for name, histogram in one.observables.items():
        assert histogram.axes == many.observables[name].axes


def test_numbers_of_the_section_are_in_the_unit_of_the_task(forward: Path) -> None:
    found = chosen(
        [forward],
        FORWARD,
        pt={"bins": 10, "min": 300, "max": 1300},
        bending={"edges": [-0.004, 0.0, 0.004]},
        eta={"bins": 3, "min": 2, "max": 5},
        Pt={},
    )
    assert edges_of(found["pt"]) == [pytest.approx((0.3, 1.3, 10))]
    assert found["bending"].edges == pytest.approx((-4.0, 0.0, 4.0))
    assert edges_of(found["eta"]) == [(2.0, 5.0, 3)]


def test_jets_beyond_the_usual_ranges_are_not_lost(
    energetic: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = run_closure([energetic], JETS, {}, config=INPUT)
    assert "outside" not in caplog.text
    axes = {name: output.observables[name].axes["x"].edges for name in ("pt", "eta")}
    assert (axes["pt"][0], axes["pt"][-1]) == (0.0, 3000.0)
    assert (axes["eta"][0], axes["eta"][-1]) == (-4.7, 4.7)
    assert output.left_out == {"pair_mass": "no field 'mass'"}


def test_entries_outside_of_given_ranges_are_said(
    energetic: Path, caplog: pytest.LogCaptureFixture
) -> None:
    narrow = section(pt={"min": 20.0, "max": 600.0, "bins": 10})
    output = run_closure([energetic], JETS, {}, config=INPUT, observables=narrow)
    with uproot.open(energetic) as file:
        pt = ak.to_numpy(ak.flatten(file["Events"]["Jet_pt"].array()))
    share = np.mean((pt < 20.0) | (pt >= 600.0))
    assert share > 0.5
    report = closure_report(output, JETS, {}, [energetic])
    assert report.axes["pt"].outside == [pytest.approx(share)]
    assert f"pt: {100 * share:.1f} % of 6000 entries are outside of the axis" in caplog.text
    assert "from 20 to 600 GeV" in caplog.text


def test_values_that_are_nan_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mass = np.full((166, 2), 10.0)
    mass[:119, 0] = np.nan
    file = jets(tmp_path / "nan.root", n=166, mass=mass)
    output = run_closure([file], JETS, {}, config=INPUT)
    counts = output.entry_counts["pair_mass"]
    assert (counts.entries, counts.not_a_number) == (47, 119)
    assert "pair_mass: 119 of 166 values are NaN" in caplog.text
    assert closure_report(output, JETS, {}, [file]).axes["pair_mass"].not_a_number == 119


def test_totals_are_those_of_all_objects_whatever_the_first_observable_lacks(
    tmp_path: Path,
) -> None:
    quality = np.ones((166, 2))
    quality[:119, 0] = np.nan
    file = jets(tmp_path / "nan.root", n=166, quality=quality)
    chosen_ones = section(quality={"min": 0.0, "max": 2.0, "bins": 2})
    efficiencies = {"half": lambda records: ak.full_like(records.pt, 0.5)}
    output = run_closure([file], JETS, efficiencies, config=INPUT, observables=chosen_ones)
    overall = closure_report(output, JETS, {}, [file]).efficiency["half"].overall
    assert overall.expected == pytest.approx(0.5 * 2 * 166)
    with uproot.open(file) as opened:
        assert overall.observed == ak.sum(opened["Events"]["Jet_tagged"].array())


def section_of_mass() -> Any:
    content = {"task": FORWARD.model_dump(), "observables": {"M": {}}}
    return validate(Config, content, "file").observables


def test_totals_of_events_are_those_of_all_events(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The invariant mass is NaN where a mass is: also if nothing else is asked for."""
    mass = np.full((3000, 2), 0.14)
    mass[:500, 0] = np.nan
    file = tracks(tmp_path / "t.root", mass=lambda pt: mass[: len(pt)])
    with uproot.open(file) as opened:
        passed = int(ak.sum(opened["Events"]["reco"].array()))
    for observables in ({}, {"observables": section_of_mass()}):
        output = run_closure([file], FORWARD, {"half": half}, config=INPUT, **observables)
        assert output.entry_counts["M"].not_a_number == 500
        overall = closure_report(output, FORWARD, {}, [file]).efficiency["half"].overall
        assert overall.expected == 3000.0
        assert overall.observed == 2.0 * passed
        assert overall.horvitz_thompson_error == pytest.approx((2.0 * passed) ** 0.5)
        assert overall.relative_error == pytest.approx(3000.0**0.5 / 3000.0)


def test_totals_of_a_bin_by_bin_correction_have_events_without_a_bin(tmp_path: Path) -> None:
    """They count with the mean efficiency."""
    mass = np.full((3000, 2), 0.14)
    mass[:500, 0] = np.nan
    file = tracks(tmp_path / "t.root", mass=lambda pt: mass[: len(pt)])
    options = {"config": INPUT, "observables": section_of_mass()}
    output = run_closure([file], FORWARD, {}, **options)
    bins = BinByBin.fit(FORWARD, output.observables, output.n_events)
    found = run_closure([file], FORWARD, {"bins": bins}, **options)
    inside = found.observables["M"][{"method": "bins"}].sum(flow=True)
    known = found.observables["M"][{"method": "selected"}].sum(flow=True)
    n_selected = found.totals["weights"]["selected"].value
    expected = inside.value + (n_selected - known.value) / bins.card.passed_rate
    overall = closure_report(found, FORWARD, {}, [file]).efficiency["bins"].overall
    assert n_selected > known.value
    assert overall.observed == pytest.approx(expected, rel=1e-12)
    assert overall.expected == 3000.0


def test_events_with_too_few_objects_have_no_value_and_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One jet has neither a neighbour nor a partner: its delta R is infinite, its pair NaN."""
    one = {n: c[:, :1] for n, c in (("pt", np.full((50, 1), 30.0)), ("tagged", np.ones((50, 1))))}
    one |= {"eta": np.zeros((50, 1)), "phi": np.zeros((50, 1)), "mass": np.ones((50, 1))}
    file = write(tmp_path / "one.root", one, {}, "Jet")
    output = run_closure([file], JETS, {}, config=INPUT)
    assert "NaN" not in caplog.text
    assert "outside" not in caplog.text
    assert output.entry_counts["pair_mass"].not_a_number == 0
    assert output.entry_counts["delta_r"].outside == (0,)


def test_any_field_is_an_observable_and_two_make_another_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    file = tracks(tmp_path / "t.root", quality=lambda pt: rng.uniform(0.0, 8.0, pt.shape))
    found = chosen(
        [file],
        FORWARD,
        quality={},
        charges={"field": "charge", "label": "sign"},
        eta_quality={"x": "eta", "y": "quality", "bins": [3, 4]},
        eta_phi={"bins": 5},
    )
    assert edges_of(found["quality"]) == [(0.0, 8.0, 30)]
    assert found["charges"].edges == (-1.5, -0.5, 0.5, 1.5)
    assert found["charges"].label == "sign"
    assert edges_of(found["eta_quality"]) == [(2.0, 5.0, 3), (0.0, 8.0, 4)]
    assert [size for *_, size in edges_of(found["eta_phi"])] == [5, 5]
    assert list(found)[-1] == "number"  # none of the others counts events
    output = run_closure([file], FORWARD, {}, config=INPUT, observables=section(quality={}))
    assert output.reference == "number"
    total = output.observables["number"][{"method": "generated"}].sum()
    assert total.value == 3000


@pytest.mark.parametrize(
    "wrong", [{"ptt": {}}, {"a": {"field": "ptt"}}, {"a": {"x": "eta", "y": "eta_phi"}}]
)
def test_unknown_names_are_refused_with_what_exists(forward: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"built-in are \['M', .*the fields \[.*'pt'"):
        chosen([forward], FORWARD, **wrong)


def test_missing_fields_leave_out_observables_of_the_section(forward: Path) -> None:
    found = choose_observables([forward], FORWARD, INPUT, section(M={}, mass={}, pt={}))
    assert [o.name for o in found.observables] == ["pt", "number"]
    assert found.left_out == {"M": "no field 'mass'", "mass": "no field 'mass'"}
    with pytest.raises(InputError, match=r"no observable can be filled: M \(no field 'mass'\)"):
        choose_observables([forward], FORWARD, INPUT, section(M={}))


def test_a_field_that_one_file_lacks_leaves_out_an_observable(
    forward: Path, tmp_path: Path
) -> None:
    other = tracks(tmp_path / "mass.root", seed=4, mass=lambda pt: np.full_like(pt, 139.57))
    output = run_closure([other, forward], FORWARD, {}, config=INPUT)
    assert set(output.left_out) == OF_MASS
    assert output.n_events == 6000
    alone = run_closure([other], FORWARD, {}, config=INPUT)
    assert not alone.left_out
    assert alone.observables["M"].axes["x"].edges[0] >= 0.0


def test_ranges_are_those_of_all_files(forward: Path, tmp_path: Path) -> None:
    """Not of the first one alone: samples in bins of pt are files of their own."""
    high = tracks(tmp_path / "high.root", seed=9, hard=lambda pt: pt)
    low = {"pt": {}}
    alone = chosen([forward], FORWARD, **low)["pt"].edges
    columns = uproot.open(high)["Events"].arrays(["Track_eta", "Track_phi", "Track_charge"])
    content = {n.removeprefix("Track_"): columns[n] for n in columns.fields}
    content["pt"] = 1e5 + 0.0 * columns["Track_eta"]
    harder = write(tmp_path / "harder.root", content, {"reco": np.ones(3000, int)}, "Track")
    assert chosen([forward, harder], FORWARD, **low)["pt"].edges[-1] > 100.0 > alone[-1]


@pytest.mark.parametrize("asked", [{}, {"quality": {}}])
def test_errors_of_the_files_come_first(tmp_path: Path, asked: dict[str, Any]) -> None:
    """Not that there are no values to propose a range from."""
    broken = tmp_path / "broken.root"
    broken.write_bytes(b"not a file of ROOT")
    with pytest.raises(InputError, match=r"broken\.root"):
        chosen([broken], FORWARD, **asked)
    damaged = jets(tmp_path / "damaged.root", pt=np.full((3000, 2), np.nan), quality=PT)
    with pytest.raises(InputError, match="pt: 6000 of 6000 values"):
        chosen([damaged], JETS, **asked)


PT = np.full((3000, 2), 30.0)


def test_one_end_may_be_given(forward: Path) -> None:
    found = chosen([forward], FORWARD, pt={"min": 500.0, "bins": 4})["pt"]
    assert found.edges[0] == 0.5
    assert found.edges[-1] > 3.0
    assert len(found.edges) == 5
    with pytest.raises(ConfigError, match="no value of the sample"):
        chosen([forward], FORWARD, eta={"max": 1.0})


def test_bin_by_bin_corrections_bring_their_edges(forward: Path, tmp_path: Path) -> None:
    narrow = section(pt={"bins": 4, "min": 0.0, "max": 2000.0}, Pt={}, eta={}, eta_phi={"bins": 3})
    filled = run_closure([forward], FORWARD, {}, config=INPUT, observables=narrow)
    bins = BinByBin.fit(FORWARD, filled.observables, filled.n_events)
    other = tracks(tmp_path / "other.root", seed=7, n=500)
    output = run_closure([other], FORWARD, {"bins": bins}, config=INPUT)
    assert {c.origins for n, c in output.entry_counts.items()} == {
        ("correction",),
        ("correction", "correction"),
    }
    assert set(output.left_out) > {"qphi", "bending"}
    assert output.left_out["qphi"] == "not in the bin-by-bin correction 'bins'"
    for name, edges in bins.card.edges.items():
        axes = output.observables[name].axes[1:]
        assert tuple(tuple(axis.edges.tolist()) for axis in axes) == edges
    with pytest.raises(ConfigError, match="was not made for 'pt' with this binning"):
        run_closure(
            [other],
            FORWARD,
            {"bins": bins},
            config=INPUT,
            observables=section(pt={"bins": 5}, Pt={}),
        )


def test_observables_in_python_stay_as_they_are(forward: Path) -> None:
    mine = [o for o in TRACK_CATALOGUE.values() if o.name in ("Pt", "eta_phi")]
    assert isinstance(mine[0], Observable)
    assert isinstance(mine[1], Observable2D)
    output = run_closure([forward], FORWARD, {}, config=INPUT, observables=mine)
    assert output.observables["Pt"].axes["x"].edges[-1] == 2.0
    assert output.entry_counts["Pt"].origins == ("default",)


def half_of_jets(records: ak.Array) -> ak.Array:
    """Efficiency of one half for every jet."""
    return 0.5 * ak.ones_like(records.pt)


def test_two_dimensions_of_jets(energetic: Path, tmp_path: Path) -> None:
    asked = section(eta_phi={"x": "eta", "y": "phi", "bins": [3, 4]}, pt={"bins": 5})
    efficiencies = {"half": half_of_jets}
    output = run_closure([energetic], JETS, efficiencies, config=INPUT, observables=asked)
    report = closure_report(output, JETS, efficiencies, [energetic])
    entry = report.efficiency["half"]
    found = entry.observables["eta_phi"]
    assert found.dimensions == 2
    assert np.shape(found.observed) == (3, 4)
    with uproot.open(energetic) as file:
        tree = file["Events"]
        eta, phi, tagged = (
            ak.to_numpy(ak.flatten(tree[f"Jet_{n}"].array())) for n in ("eta", "phi", "tagged")
        )
    observed = np.histogram2d(eta, phi, (found.edges[0], found.edges[1]), weights=tagged)[0]
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.variance, 0.25 * np.histogram2d(eta, phi, found.edges)[0])
    gain = entry.statistics_gain["eta_phi"]
    assert np.shape(gain.direct) == (3, 4)
    assert gain.total is not None
    assert gain.total.direct == pytest.approx(tagged.sum())
    write_closure(tmp_path, output, report)
    assert (tmp_path / "pulls_eta_phi.png").exists()


TRAINING = Path(__file__).parents[2] / "training"
EXAMPLES = [p for p in sorted(TRAINING.glob("*.toml")) if "# [observables" in p.read_text()]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_commented_examples_are_valid(path: Path) -> None:
    text = path.read_text()
    assert len(EXAMPLES) >= 4
    assert not hepsilon.load_config(path).observables
    start = text.index("# [observables")
    lines = text[start:].splitlines()
    content = tomllib.loads(text[:start] + "\n".join(line.removeprefix("# ") for line in lines))
    config = validate(Config, content, "file")
    catalogue = TRACK_CATALOGUE if config.task.of_events else JET_CATALOGUE
    names = {name for name, o in config.observables.items() if not o.two_dimensional}
    assert names <= set(catalogue)
    assert "eta_phi" in config.observables

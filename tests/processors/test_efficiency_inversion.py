"""The inversion processor, its closure, and what they write, against plain NumPy."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from coffea import processor

from hepsilon import ConfigError, InputError, load
from hepsilon.closure import closure_report, run_closure, run_processor
from hepsilon.closure.model import InversionEntry, InversionObservable, InversionOverall, Share
from hepsilon.config import Cut, Fiducial, Passed, Task
from hepsilon.efficiencies.bin_by_bin import BinByBin
from hepsilon.histograms import Observable, Observable2D, one_method
from hepsilon.histograms.tracks import system_mass, system_pt
from hepsilon.plotting import closure_figures, plot_cross_section
from hepsilon.processors import EfficiencyInversion, TruthTagging
from hepsilon.processors.executors import executor
from hepsilon.report import mean_chi2, summary_rows, write_closure
from hepsilon.simulation.detector_efficiency import DetectorEfficiency
from tests.helpers.network_toys import write_untrained
from tests.helpers.track_toys import (
    PAIRS,
    branches_of,
    draw,
    efficiency_of,
    task_with,
    write_branches,
)


def track_pt(records: ak.Array) -> ak.Array:
    return np.hypot(records.px, records.py)


PT = Observable("pt", track_pt, "object", (0.2, 0.5, 1.0, 1.5, 2.0), "$p_T$ [GeV]")
MASS = Observable("M", system_mass, "event", tuple(np.linspace(0.2, 4.2, 9)), "$M$ [GeV]")
SUM = Observable("Pt", system_pt, "event", (0.0, 1.0, 2.0, 4.0), "$P_T$ [GeV]")
PLANE = Observable2D("M_Pt", MASS, SUM)
OBSERVABLES = (MASS, PT, PLANE)


def nan(records: ak.Array) -> ak.Array:
    return ak.Array(np.full(len(records), np.nan))


def one_too_few(records: ak.Array) -> ak.Array:
    return ak.Array(np.full(len(records) - 1, 0.5))


def half(records: ak.Array) -> ak.Array:
    return ak.Array(np.full(len(records), 0.5))


@pytest.fixture(scope="module")
def sample():
    return draw([2] * 3000, seed=5)


@pytest.fixture(scope="module")
def file(sample, tmp_path_factory) -> Path:
    """Reconstructed tracks are the generated ones, of the selected events."""
    reco = ak.unflatten(ak.flatten(sample.tracks[sample.reco]), np.where(sample.reco, 2, 0))
    path = tmp_path_factory.mktemp("inversion") / "tracks.root"
    return write_branches(path, branches_of(sample) | {"TrackReco": reco})


def invert(file, efficiencies=None, task=PAIRS, observables=OBSERVABLES, **options):
    efficiencies = {"exact": efficiency_of} if efficiencies is None else efficiencies
    return run_closure([file], task, efficiencies, observables=observables, **options)


@pytest.fixture(scope="module")
def output(file):
    return invert(file, {"exact": efficiency_of, "half": half}, replicas=20)


def test_generated_and_selected_are_plain_histograms(sample, output):
    mass = system_mass(sample.tracks)
    for method, chosen in (("generated", np.ones(len(mass), bool)), ("selected", sample.reco)):
        expected = np.histogram(mass[chosen], MASS.edges)[0]
        assert one_method(output["observables"]["M"], method).values().tolist() == expected.tolist()


def test_corrected_events_are_weighted_with_the_inverse(sample, output):
    mass, chosen = system_mass(sample.tracks)[sample.reco], sample.truth[sample.reco]
    found = one_method(output["observables"]["M"], "exact")
    for values, weight in ((found.values(), 1 / chosen), (found.variances(), 1 / chosen**2)):
        expected = np.histogram(mass, MASS.edges, weights=weight)[0]
        np.testing.assert_allclose(values, expected, rtol=1e-12)
    double = one_method(output["observables"]["M_Pt"], "half").values()
    pt = system_pt(sample.tracks)[sample.reco]
    expected = 2.0 * np.histogram2d(mass, pt, [MASS.edges, SUM.edges])[0]
    np.testing.assert_allclose(double, expected)


def test_variances_are_those_of_the_exact_statistic(sample, output):
    mass, eps = system_mass(sample.tracks), sample.truth
    exact = np.histogram(mass, MASS.edges, weights=(1 - eps) / eps)[0]
    found = one_method(output["exact"]["M"], "exact").variances()
    np.testing.assert_allclose(found, exact, rtol=1e-12)
    chosen = sample.reco
    selected = np.histogram(mass[chosen], MASS.edges, weights=((1 - eps) / eps**2)[chosen])[0]
    found = one_method(output["horvitz_thompson"]["M"], "exact").variances()
    np.testing.assert_allclose(found, selected, rtol=1e-12)


def test_tracks_of_one_event_in_one_bin_are_correlated(sample, output):
    pt = ak.to_numpy(track_pt(sample.tracks))
    bins = np.digitize(pt, PT.edges)
    weight = (1 - sample.truth) / sample.truth
    expected = [
        np.sum(np.sum(bins == number, axis=1) ** 2 * weight) for number in range(1, len(PT.edges))
    ]
    found = one_method(output["exact"]["pt"], "exact").variances()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_truth_closes(file, output):
    """Three p-values, false-alarm rate 1e-3 each (with another seed)."""
    report = closure_report(output, PAIRS, {}, [file])
    observables = report["efficiency"]["truth"]["observables"]
    assert min(found["p_value"] for found in observables.values()) > 1e-3

    assert report["efficiency"]["half"]["observables"]["M"]["p_value"] < 1e-9


def test_methods_that_are_the_truth_agree_with_it(output):
    for name in ("observables", "exact", "horvitz_thompson"):
        for histogram in output[name].values():
            truth, exact = (one_method(histogram, m) for m in ("truth", "exact"))
            np.testing.assert_allclose(truth.variances(), exact.variances(), rtol=1e-12)
    assert one_method(output["divergence"], "exact").value < 1e-12
    assert abs(output["bias"]["exact"]) < 1e-9


def test_bias_is_that_without_the_noise_of_the_responses(sample, output):
    expected = np.sum(sample.truth / 0.5 - 1.0)
    assert output["bias"]["half"] == pytest.approx(expected)


def flat_output(output) -> dict:
    """All numbers of an output by name."""
    out = {}
    for key in ("observables", "exact", "horvitz_thompson", "replicas"):
        for name, histogram in output[key].items():
            view = histogram.view(flow=True)
            for part in view.dtype.names or [None]:
                out[key, name, part] = np.asarray(view if part is None else view[part])
    return out


def assert_same(first, second):
    first, second = flat_output(first), flat_output(second)
    assert set(first) == set(second)
    for key, values in first.items():
        np.testing.assert_allclose(values, second[key], rtol=1e-12, err_msg=str(key))


@pytest.mark.parametrize("chunksize", [299, 700])
def test_chunking_does_not_matter(file, output, chunksize):
    efficiencies = {"exact": efficiency_of, "half": half}
    assert_same(output, invert(file, efficiencies, replicas=20, chunksize=chunksize))


def test_replicas_are_poisson_counts_of_the_events(output):
    """Mean and variance over 20 replicas; each sum has 1,900 events: six standard errors."""
    nominal = one_method(output["observables"]["M"], "exact").sum(flow=True)
    sums = one_method(output["replicas"]["M"], "exact").values(flow=True).sum(axis=1)
    assert abs(sums.mean() - nominal.value) < 6 * np.sqrt(nominal.variance / 20)
    assert 0.3 < sums.var(ddof=1) / nominal.variance < 2.5  # chi2 with 19 degrees: 5 sigma


def test_reconstructed_tracks_that_are_the_generated_ones_give_the_same(file):
    output = invert(file, reconstructed="TrackReco")
    for name in ("observables", "horvitz_thompson"):
        for histogram in output[name].values():
            generated, reco = (one_method(histogram, m) for m in ("exact", "exact@reco"))
            np.testing.assert_allclose(generated.variances(), reco.variances(), rtol=1e-12)
    report = closure_report(output, PAIRS, {}, [file])
    entry = report["efficiency"]["exact@reco"]
    assert entry["overall"]["observed"] == report["efficiency"]["exact"]["overall"]["observed"]
    assert entry["overall"]["pull"] is None


def test_floor_is_counted(sample, file):
    output = invert(file, floor=0.5)
    chosen = sample.truth[sample.reco]
    assert output["clipped"]["exact"] == np.count_nonzero(chosen < 0.5)
    assert output["clipped_weight"]["exact"] == pytest.approx(2.0 * np.count_nonzero(chosen < 0.5))
    total = one_method(output["observables"]["M"], "exact").sum(flow=True).value
    assert total == pytest.approx(np.sum(1.0 / np.maximum(chosen, 0.5)))


def test_events_outside_the_fiducial_region_are_left_out_and_counted(sample, file):
    task = task_with(fiducial=Fiducial(cuts=(Cut(field="pt", min=0.5),)).model_dump())
    output = invert(file, task=task)
    inside = ak.to_numpy(ak.all(track_pt(sample.tracks) >= 0.5, axis=1))
    assert output["n_outside"] == np.count_nonzero(~inside)
    generated = one_method(output["observables"]["M"], "generated").sum(flow=True).value
    assert generated == np.count_nonzero(inside)


def test_bins_close_on_their_own_sample(output, file):
    bins = BinByBin.fit(PAIRS, output["observables"], output["n_events"])
    again = invert(file, {"bins": bins})
    assert one_method(again["divergence"], "bins").value > 0.0
    found = again["observables"]["M"]
    generated, corrected = (one_method(found, m).values() for m in ("generated", "bins"))
    filled = one_method(found, "selected").values() > 20
    np.testing.assert_allclose(corrected[filled], generated[filled], rtol=0.05)
    assert filled.any()


@pytest.mark.parametrize("kind", ["last-layer", "members"])
def test_networks_are_applied_and_replicas_give_the_bias_of_the_inverse(
    sample, file, track_mlp, kind
):
    """Draws are those of the mean; of the mean of two members the variance is half of theirs."""
    network = load(track_mlp.path, replicas_from=kind)
    output = invert(file, {"net": network})
    records = sample.tracks[sample.reco]
    eps = np.maximum(ak.to_numpy(track_mlp(records, out_of_domain="ignore")), 1e-3)
    total = one_method(output["observables"]["M"], "net").sum(flow=True).value
    assert total == pytest.approx(np.sum(1.0 / eps), rel=1e-6)
    drawn, number = ak.to_numpy(network.replicas(records)), {"last-layer": 1, "members": 2}[kind]
    expected = np.sum(drawn.var(axis=1, ddof=1) / number / eps**3)
    assert output["jensen"]["net"] == pytest.approx(expected, rel=1e-4)
    moved = eps[:, None] + (drawn - eps[:, None]) / np.sqrt(number)
    sums = output["efficiency_replicas"]["net"]["M"].values(flow=True).sum(axis=1)
    np.testing.assert_allclose(sums, np.sum(1.0 / np.maximum(moved, 1e-3), axis=0), rtol=1e-4)
    assert output["out_of_domain"]["net"] == int(ak.sum(~track_mlp.in_domain(sample.tracks)))


def test_bias_of_the_inverse_is_that_of_one_network_beside_bootstrap_samples(
    sample, file, tmp_path
):
    """Nothing is averaged: the variance is that of a single network."""
    model = {"architecture": "mlp", "width": 4, "members": 3, "resampling": "bootstrap"}
    network = write_untrained(tmp_path / "net.hepsilon", PAIRS, **model)
    output = invert(file, {"net": network})
    records = sample.tracks[sample.reco]
    found = network.evaluate(records, out_of_domain="ignore")
    eps = np.maximum(ak.to_numpy(found.eps), 1e-3)
    replicas = ak.to_numpy(found.replicas)
    assert replicas.shape[1] == 3
    expected = np.sum(replicas.var(axis=1, ddof=1) / eps**3)
    assert output["jensen"]["net"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("efficiencies", "message"),
    [({"x": nan}, "x: 3000 of 3000 values are NaN"), ({"x": one_too_few}, "one number for each")],
)
def test_wrong_efficiencies_are_input_errors(file, efficiencies, message):
    with pytest.raises(InputError, match=message):
        invert(file, efficiencies)


def test_missing_response_is_an_input_error(file):
    with pytest.raises(InputError, match="seen"):
        invert(file, task=task_with(passed=Passed(field="seen").model_dump()))


@pytest.mark.parametrize(
    ("task", "efficiencies", "options", "message"),
    [
        (PAIRS, {"truth": half}, {}, "reserved"),
        (PAIRS, {"a@reco": half}, {}, "reserved"),
        (PAIRS, {}, {"measured": True, "reconstructed": "TrackReco"}, "measured"),
        (Task(features=("pt",), passed=Passed(field="x")), {}, {}, 'level = "event"'),
        (PAIRS, {}, {"observables": (PT, PLANE)}, "for the totals"),
        (PAIRS, {}, {"floor": 0.0}, "floor in"),
        (PAIRS, {}, {"replicas": -1}, "zero or more replicas"),
    ],
)
def test_impossible_processors_are_refused(task, efficiencies, options, message):
    with pytest.raises(ConfigError, match=message):
        EfficiencyInversion(task, efficiencies, **options)


def test_truth_tagging_refuses_tasks_of_events():
    with pytest.raises(ConfigError, match="object"):
        TruthTagging(PAIRS, {})


def recipe():
    """The dimuon analysis of processors/."""
    path = Path(__file__).parents[2] / "processors" / "dimuon_inversion.py"
    spec = importlib.util.spec_from_file_location("dimuon_inversion", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DIMUON = recipe()


def invert_zmumu(path: Path, chosen):
    instance = EfficiencyInversion(
        DIMUON.TASK,
        {"detector": DetectorEfficiency(DIMUON.DETECTOR)},
        observables=DIMUON.OBSERVABLES,
        replicas=10,
        measured=True,
        config=DIMUON.COLUMNS,
    )
    return run_processor(
        [path], instance, DIMUON.TASK, DIMUON.COLUMNS, executor=chosen, chunksize=600
    )


@pytest.mark.slow
def test_dimuons_give_the_same_sums_with_every_executor(zmumu_path):
    iterative = invert_zmumu(zmumu_path, processor.IterativeExecutor(status=False))
    assert iterative["n_events"] == 2304
    assert 0 < iterative["n_outside"] < 500
    corrected = one_method(iterative["observables"]["M"], "detector").sum(flow=True).value
    assert corrected > iterative["n_selected"] > 1500
    for kind in ("futures", "dask"):
        with executor(kind, 2) as chosen:
            other = invert_zmumu(zmumu_path, chosen)
        for key in ("observables", "horvitz_thompson", "replicas"):
            for name, histogram in iterative[key].items():
                np.testing.assert_allclose(
                    other[key][name].values(flow=True), histogram.values(flow=True), rtol=1e-12
                )


def test_measured_events_have_a_report_and_plots(zmumu_path, tmp_path):
    output = invert_zmumu(zmumu_path, None)
    report = closure_report(output, DIMUON.TASK, {}, [zmumu_path])
    overall = report["efficiency"]["detector"]["overall"]
    assert overall["expected"] is None
    assert overall["observed"] > overall["horvitz_thompson_error"] > 0
    write_closure(tmp_path, output, report)
    assert json.loads((tmp_path / "closure.json").read_text()) == report.as_dict()
    assert (tmp_path / "M.png").stat().st_size > 0


def test_report_holds_everything(file, output, tmp_path):
    report = closure_report(output, PAIRS, {"exact": efficiency_of}, [file])
    write_closure(tmp_path, output, report)
    written = json.loads((tmp_path / "closure.json").read_text())
    assert set(written["efficiency"]) == {"truth", "exact", "half"}
    entry = written["efficiency"]["half"]
    assert set(entry["observables"]) == {"M", "pt", "M_Pt"}
    keys = {"edges", "observed", "expected", "variance", "pull", "chi2", "ndf", "p_value"}
    for found in entry["observables"].values():
        assert keys | {"naive_chi2", "naive_ndf"} == set(found)
    assert {"clipped", "out_of_domain", "effective_sample_size", "overall"} <= set(entry)
    page = (tmp_path / "report.html").read_text()
    assert "Horvitz-Thompson" in page
    assert "naive" in page
    assert page.count("data:image/png") == len(closure_figures(output))
    header, rows = summary_rows(report)
    assert header == ["method", "yield", "pull", "1D", "2D", "KL [1e-4]"]
    assert [row[0] for row in rows] == ["truth", "exact", "half"]


def test_naive_chi2_is_too_small_for_the_truth(file, output):
    """The reference code's statistic expects (1 - E) / (1 + E), here about 0.2, instead of one."""
    report = closure_report(output, PAIRS, {}, [file])
    found = report["efficiency"]["truth"]["observables"]["M"]
    assert found["naive_chi2"] / found["naive_ndf"] < 0.7 * found["chi2"] / found["ndf"]


def test_means_are_over_observables_of_each_dimension():
    bins = {key: [1.0] for key in ("observed", "expected", "variance", "pull")}
    numbers = {"p_value": 0.1, "naive_chi2": 0.0, "naive_ndf": 0}
    line = InversionObservable(edges=[0, 1], chi2=2.0, ndf=1, **bins, **numbers)
    plane = line.model_copy(update={"edges": [[0, 1], [0, 1]], "chi2": 3.0, "ndf": 2})
    empty = line.model_copy(update={"ndf": 0})

    def means(**observables):
        share = Share(count=0, share=0.0)
        overall = InversionOverall(
            expected=1.0, observed=1.0, pull=0.0, poisson_error=1.0, horvitz_thompson_error=1.0
        )
        entry = InversionEntry(
            overall=overall,
            observables=observables,
            clipped=share,
            out_of_domain=share,
            effective_sample_size={},
        )
        return mean_chi2(entry)

    assert means(a=line, b=plane, c=empty) == (2.0, 1.5)
    assert means() == (None, None)


def test_cross_section_has_units(output):
    figure = plot_cross_section(output, "M", luminosity=2.0, unit="pb")
    assert "[pb / GeV]" in figure.axes[0].get_ylabel()
    assert "[1 / GeV]" in plot_cross_section(output, "M").axes[0].get_ylabel()


@pytest.mark.parametrize("unit", [1e-4, 225892.0])
@pytest.mark.parametrize("negative", [0.0, 0.1])
def test_unit_of_the_weights_does_not_matter(sample, tmp_path, unit, negative):
    """For the closure of learned and of bin-by-bin efficiencies alike."""
    rng = np.random.default_rng(8)
    weights = rng.gamma(3.0, size=len(sample))
    weights = np.where(rng.uniform(size=len(sample)) < negative, -weights, weights)
    task, entries = PAIRS.model_copy(update={"weight": "genWeight"}), []
    for c in (unit, 1.0):
        path = write_branches(
            tmp_path / f"{c}.root", branches_of(sample) | {"genWeight": c * weights}
        )
        made = invert(path, {}, task)
        bins = BinByBin.fit(task, made.observables, made.n_events)
        efficiencies = {"half": half, "bins": bins}
        output = invert(path, efficiencies, task)
        entries.append(closure_report(output, task, efficiencies, [path]).efficiency)
    for method in ("half", "bins", "truth"):
        found, expected = (entry[method] for entry in entries)
        assert found.overall.pull == pytest.approx(expected.overall.pull, rel=1e-5, abs=1e-9)
        for name, a in expected.observables.items():
            b = found.observables[name]
            assert (b.ndf, b.naive_ndf) == (a.ndf, a.naive_ndf)
            assert a.ndf > 1
            assert b.chi2 == pytest.approx(a.chi2, rel=1e-6, abs=1e-9)
            assert b.p_value == pytest.approx(a.p_value, rel=1e-5)

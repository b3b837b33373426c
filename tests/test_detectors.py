"""Samples of the benchmark of detectors, and its script, on a few events."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon
from hepsilon.data.dataset import read_columns

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = ("forward", "central", "jets-20k", "jets-100k", "photons")


@pytest.fixture
def detectors(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("detectors")


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("detector_samples")


def kinds(setup: Any) -> tuple[str, ...]:
    return ("training", *setup.tests)


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_reproducible_with_probabilities_and_valid_columns(samples: Any, name: str):
    setup = samples.SETUPS[name]
    for kind in kinds(setup):
        sample, again, other = (samples.draw(setup, kind, 200, seed) for seed in (1, 1, 2))
        columns = sample.columns
        assert np.all((sample.true > 0.0) & (sample.true < 1.0))
        for part, value in vars(columns).items():
            assert np.array_equal(value, getattr(again.columns, part))
        assert not np.array_equal(sample.true[:100], other.true[:100])
        assert columns.n_events == 200
        assert columns.offsets[-1] == len(columns.nodes) == len(columns.passed)
        assert len(sample.true) == (200 if setup.task.of_events else len(columns.nodes))
        assert np.all(np.diff(columns.keys.astype(np.float64)) > 0.0)
        # the truth is a function of the features that a network sees
        assert np.allclose(
            setup.efficiency(samples.events_of(setup, columns)), sample.true, rtol=1e-12
        )


@pytest.mark.parametrize("name", NAMES)
def test_responses_have_the_true_rate(samples: Any, name: str):
    setup = samples.SETUPS[name]
    sample = samples.draw(setup, "training", 20_000, 3)
    passed = sample.columns.passed
    if setup.task.of_events:
        assert np.array_equal(passed[::2], passed[1::2])
        passed = passed[::2]
    error = np.sqrt(np.sum(sample.true * (1.0 - sample.true)))
    # 4 standard deviations: 6e-5 of the seeds would fail
    assert abs(passed.sum() - sample.true.sum()) < 4.0 * error


def test_tracks_are_inside_their_region_and_pairs_have_the_mass_that_was_drawn(samples: Any):
    rng = np.random.default_rng(4)
    spectrum = samples.SPECTRA["rho"]
    fixed = samples.Spectrum(lambda _, n: np.full(n, 0.8), spectrum.pt, spectrum.density, True)
    momenta = samples._decay(rng, fixed, 1000, (2.0, 4.0))
    energy = np.sqrt(np.sum(momenta**2, axis=2) + samples.PION**2).sum(axis=1)
    mass = np.sqrt(energy**2 - np.sum(momenta.sum(axis=1) ** 2, axis=1))
    assert np.allclose(mass, 0.8, rtol=1e-6)
    for name, low, high in (("forward", 2.0, 4.5), ("central", -0.9, 0.9)):
        setup = samples.SETUPS[name]
        tracks = samples.tracks_of(setup.generate(rng, "tensor", 500))
        assert np.all((tracks.eta > low) & (tracks.eta < high))
        assert np.all(tracks.pt > 0.2)
        assert np.all(tracks.charge == [1, -1])


def test_forward_detector_tells_charges_apart_and_bends_nothing(samples: Any):
    pt, eta, phi = np.array([0.4, 5.0]), 3.0, 0.8

    def efficiency(charge: int) -> Any:
        """One track in the hole, the other one opposite to it, at two transverse momenta."""
        azimuths = (phi, phi - np.pi)[:: 1 if charge > 0 else -1]
        fields = {"pt": np.repeat(pt, 2), "eta": np.full(4, eta), "phi": np.tile(azimuths, 2)}
        fields["charge"] = np.tile([1, -1], 2)
        return samples.forward_efficiency(samples.Flat(np.full(2, 2), fields))

    ratio = efficiency(1) / efficiency(-1)
    assert np.allclose(ratio, (1 - 0.8) / (1 - 0.4), rtol=1e-3)  # but for the soft edges


def test_pairs_of_objects_and_the_nearest_one(samples: Any):
    first, second = samples.pairs_of(np.array([2, 0, 1, 3]))
    expected = [(0, 1), (1, 0), (3, 4), (3, 5), (4, 3), (4, 5), (5, 3), (5, 4)]
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected
    fields = {"eta": np.array([0.0, 0.3, 1.0]), "phi": np.array([3.1, -3.1, 0.0])}
    events = samples.Flat(np.array([2, 1]), fields)
    distance = np.hypot(0.3, 2.0 * np.pi - 6.2)
    assert np.allclose(samples.nearest(events), [distance, distance, np.inf])


def test_photons_have_isolations_that_were_not_computed_and_a_heavy_tail(samples: Any):
    found = samples.generate_photons(np.random.default_rng(5), "test", 2000).fields["isolation"]
    assert 0.05 < np.mean(found == samples.MISSING) < 0.2
    computed = found[found != samples.MISSING]
    assert computed.min() > 0.0
    assert computed.max() > 20.0 * np.median(computed)


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_has_no_divergence_and_no_bias(detectors: Any, samples: Any, name: str):
    setup = samples.SETUPS[name]
    kind = next(iter(setup.tests))
    sample = samples.draw(setup, kind, 2000, 6)
    counts = np.diff(sample.columns.offsets)

    def scaled(factor: float) -> Any:
        def efficiency(records: Any, out_of_domain: str) -> Any:
            eps = factor * sample.true
            return ak.Array(eps) if setup.task.of_events else ak.unflatten(eps, counts)

        return efficiency

    found = detectors.measure(setup, sample, scaled(1.0))
    assert abs(found["kl"]) < 1e-9
    assert abs(found["total"]) < 1e-12
    assert found["chi2_ndf_1d"] == pytest.approx(1.0, abs=1e-12)
    low = detectors.measure(setup, sample, scaled(0.9))
    assert low["total"] == pytest.approx(1.0 / 0.9 - 1.0 if setup.task.of_events else -0.1)
    assert low["kl"] > 0.0
    assert low["chi2_ndf_1d"] > 1.0
    if low.get("delta_r_sixths"):
        assert set(low["delta_r_sixths"]) == {"b", "c", "light"}
        assert np.allclose(low["delta_r_sixths"]["b"]["bias"], -0.1)


def test_files_hold_what_the_columns_hold(samples: Any, tmp_path: Path):
    for name in ("forward", "photons"):
        setup = samples.SETUPS[name]
        sample = samples.draw(setup, "training", 300, 7)
        path = samples.write_sample(setup, sample, tmp_path / f"{name}.root")
        read = read_columns([path], hepsilon.Config(task=setup.task), progress=False)
        assert read.n_events == 300
        # events are sorted by other keys
        order = [np.lexsort(columns.nodes.T) for columns in (read, sample.columns)]
        assert np.array_equal(read.nodes[order[0]], sample.columns.nodes[order[1]])
        assert np.array_equal(read.passed[order[0]], sample.columns.passed[order[1]])


def test_script_measures_what_is_missing_and_prints_a_table(tmp_path: Path):
    out = tmp_path / "found.json"
    command = [sys.executable, FOLDER / "detectors.py", "--out", out, "--work", tmp_path / "work"]
    command += ["--scale", "0.02", "--samples", "jets-20k", "--models", "map", "product"]

    def run() -> str:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "jets-20k map 1: KL" in run()
    found = json.loads(out.read_text())
    assert set(found) == {"jets-20k map 1"}  # jets are no events: there is no product for them
    assert set(found["jets-20k map 1"]["tests"]) == {"test", "boosted"}
    again = run()
    assert "KL {" not in again
    assert "jets-20k" in again
    assert json.loads(out.read_text()) == found
    command += ["--write", tmp_path / "files"]
    run()
    config = hepsilon.load_config(tmp_path / "files" / "jets-20k.toml")
    assert read_columns([tmp_path / "files" / "jets-20k-training.root"], config).n_events == 400


def test_tables_have_medians_ranges_and_targets(detectors: Any):
    def entry(seed: int, loss: float, kl: float, total: float) -> dict[str, Any]:
        test = {"kl": kl, "total": total, "total_error": 0.001, "chi2_ndf_1d": 1.2}
        tests = {"rho": test, "tensor": test}
        found = {"sample": "central", "model": "gnn", "seed": seed, "train_s": 7.0}
        return {**found, "validation_loss": loss, "tests": tests}

    results = {str(s): entry(s, 0.5 + s / 1000, 4.0 + s, s / 1000) for s in (1, 2, 9)}
    text = detectors.markdown(results, {"1": results["1"]})
    assert (
        "| central | gnn | 3 | 0.5020 (0.5010 to 0.5090) | rho | 6.0 (5.0 to 13.0) | 5.0 |" in text
    )
    assert "| central | rho | 1D | 1.5 | gnn | 1.20 (1.20 to 1.20) | met |" in text
    assert "| central | rho | total [%] | 0.4 | gnn | 0.20 (0.10 to 0.90) | met |" in text
    worse = {name: {**e, "model": "mlp", "validation_loss": 0.1} for name, e in results.items()}
    for found in worse.values():
        found["tests"] = {"rho": {**found["tests"]["rho"], "total": -0.005}}
    both = {**results, **{f"mlp {name}": e for name, e in worse.items()}}
    goal = "| central | rho | total [%] | 0.4 | mlp | 0.50 (0.50 to 0.50) | missed |"
    assert goal in detectors.markdown(both, {})
    # losses are compared on the seeds that both have: here the first one only
    alone = {**results, "mlp 1": {**worse["1"], "validation_loss": 0.5015}}
    assert "| central | rho | total [%] | 0.4 | gnn |" in detectors.markdown(alone, {})

"""The command line on tracks: simulate, convert, both baselines, closure."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot

from hepsilon import load_correction
from hepsilon.cli import parser as cli
from tests.helpers.reference_csv import rows, write
from tests.helpers.track_toys import branches_of, draw, write_branches

CONFIG = """
[task]
level = "event"
collection = "Track"
objects = 2
order_by = "charge"
features = ["px", "py", "pz", "charge"]
categorical = { charge = [1, -1] }
passed = { field = "reco" }
truth = "trueEfficiency"

[task.fiducial]
cuts = [{ field = "pt", min = 0.2 }, { field = "eta", abs_max = 0.9 }]

[map.axes]
pt = { edges = [0.2, 0.4, 1.0, 2.0] }
charge = { edges = [-2.0, 0.0, 2.0] }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sample, and both baselines made from it."""
    folder = tmp_path_factory.mktemp("cli-tracks")
    (folder / "config.toml").write_text(CONFIG)
    sample = draw([2] * 1000, seed=3)
    reco = ak.unflatten(ak.flatten(sample.tracks[sample.reco]), np.where(sample.reco, 2, 0))
    write_branches(folder / "tracks.root", branches_of(sample) | {"TrackReco": reco})
    for name, option in (("factorised", []), ("bins", ["--bin-by-bin"])):
        arguments = ["map", folder / "config.toml", folder / "tracks.root", *option]
        assert cli.main([str(a) for a in (*arguments, "--out", folder / f"{name}.hepsilon")]) == 0
    return folder


@pytest.mark.parametrize("name", ["factorised", "bins"])
def test_info_describes_the_baselines(run, folder, name):
    code, out, _ = run("info", folder / f"{name}.hepsilon")
    assert code == 0
    assert "task level" in out
    assert "bins" in out
    code, out, _ = run("info", "--json", folder / f"{name}.hepsilon")
    kind = load_correction(folder / f"{name}.hepsilon").card.kind
    assert json.loads(out)["kind"] == kind


def test_closure_of_tracks(run, folder, tmp_path):
    code, out, _ = run(
        "closure",
        folder / "config.toml",
        folder / "tracks.root",
        "--efficiency",
        f"map={folder / 'factorised.hepsilon'}",
        "--efficiency",
        f"bins={folder / 'bins.hepsilon'}",
        "--reconstructed",
        "TrackReco",
        "--floor",
        "0.01",
        "--replicas",
        "3",
        "--json",
        "--out",
        tmp_path / "closure",
    )
    assert code == 0
    report = json.loads(out)
    assert set(report["efficiency"]) == {"truth", "map", "bins", "map@reco"}
    assert report == json.loads((tmp_path / "closure" / "closure.json").read_text())
    assert (tmp_path / "closure" / "pulls_eta_phi.png").stat().st_size > 0


def test_simulated_tracks_have_the_asked_spectrum(run, tmp_path):
    options = ["--amplitude", "phasespace", "--mass-range", 1, 1.2, "--rapidity-max", 0.1]
    out = tmp_path / "tracks.root"
    code, _, err = run("simulate", "tracks", *options, "-n", 50, "--seed", 3, "--out", out)
    assert code == 0, err
    with uproot.open(out) as file:
        events = file["Events"].arrays()
    energy = np.sqrt(sum(events[f"Track_{n}"] ** 2 for n in ("px", "py", "pz", "mass")))
    square = ak.sum(energy, axis=1) ** 2
    square = square - sum(ak.sum(events[f"Track_{n}"], axis=1) ** 2 for n in ("px", "py", "pz"))
    assert ak.all((square > 1.0) & (square < 1.44))


def test_csv_files_are_converted(run, tmp_path):
    write(tmp_path / "a.csv", rows(4))
    code, _, err = run("convert", tmp_path / "a.csv", "--out", tmp_path / "a.root")
    assert code == 0
    assert "wrote" in err
    assert (tmp_path / "a.root").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["simulate", "jets", "-n", 5, "--amplitude", "rho"], "--amplitude"),
        (["simulate", "tracks", "-n", 5, "--mass-range", 0.0, 0.1], "above the threshold"),
        (["simulate", "tracks", "-n", 5, "--mass-shape", "resonance"], "name of a particle"),
        (["convert", "missing.csv"], "no file"),
    ],
)
def test_bad_usage_is_explained(run, tmp_path, command, message):
    code, _, err = run(*command, "--out", tmp_path / "out.root")
    assert code == 2
    assert message in err
    assert not list(tmp_path.iterdir())


def test_options_of_events_are_refused_for_objects(run, folder, tmp_path):
    text = CONFIG.replace('level = "event"', "").replace("objects = 2\n", "")
    text = text.replace('order_by = "charge"\n', "").split("[task.fiducial]")[0]
    (tmp_path / "objects.toml").write_text(text)
    arguments = [tmp_path / "objects.toml", folder / "tracks.root"]
    code, _, err = run("map", *arguments, "--bin-by-bin", "--out", tmp_path / "a.hepsilon")
    assert code == 2
    assert "level" in err
    efficiency = ["--efficiency", f"bins={folder / 'bins.hepsilon'}"]
    options = ["--floor", "0.1", "--out", tmp_path / "closure"]
    code, _, err = run("closure", *arguments, *efficiency, *options)
    assert code == 2
    assert "floor" in err

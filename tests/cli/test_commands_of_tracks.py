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
    assert "all objects of an event" in out
    assert "bins" in out
    code, out, _ = run("info", "--json", folder / f"{name}.hepsilon")
    kind = load_correction(folder / f"{name}.hepsilon").card.kind
    assert json.loads(out)["kind"] == kind


BASELINES = pytest.mark.parametrize("option", [[], ["--bin-by-bin"]], ids=["map", "bins"])


def refused(run, folder, option, branches):
    """Standard error of a map command that must end with an error, and write nothing."""
    write_branches(folder / "wrong.root", branches)
    (folder / "config.toml").write_text(CONFIG)
    out = folder / "out.hepsilon"
    code, _, err = run("map", folder / "config.toml", folder / "wrong.root", *option, "--out", out)
    assert code == 2, err
    assert not out.exists()
    return " ".join(err.split())


@BASELINES
@pytest.mark.parametrize("response", [0, 1])
def test_baselines_refuse_a_response_that_never_varies(run, tmp_path, option, response):
    branches = branches_of(draw([2] * 50, seed=3))
    err = refused(run, tmp_path, option, branches | {"reco": np.full(50, response, np.int8)})
    assert "has reco; expected some that pass and some that do not" in err


@BASELINES
def test_baselines_refuse_another_number_of_objects(run, tmp_path, option):
    branches = branches_of(draw([2] * 49 + [3], seed=3))
    err = refused(run, tmp_path, option, branches)
    assert "expected 2 Track objects in every event, but 1 of 50 events have another number" in err


@BASELINES
def test_baselines_refuse_weights_that_cancel(run, tmp_path, option, monkeypatch):
    monkeypatch.setitem(globals(), "CONFIG", CONFIG.replace("[task]", '[task]\nweight = "w"', 1))
    branches = branches_of(draw([2] * 50, seed=3)) | {"w": np.full(50, -1.0)}
    err = refused(run, tmp_path, option, branches)
    assert "expected a positive sum of weights of 50 events, received -50" in err


@BASELINES
def test_baselines_refuse_damaged_numbers(run, tmp_path, option):
    branches = branches_of(draw([2] * 50, seed=3))
    name = next(n for n in branches if n.endswith("px") or n == "Track")
    damaged = branches[name]
    tracks = damaged["px"] if damaged.fields else damaged
    flat = np.array(ak.flatten(tracks))
    flat[7] = np.nan
    wrong = ak.unflatten(flat, ak.num(tracks))
    branches[name] = ak.with_field(damaged, wrong, "px") if damaged.fields else wrong
    err = refused(run, tmp_path, option, branches)
    assert "NaN" in err or "outside the fiducial region" in err


def test_map_says_what_the_sample_is_worth(run, folder, tmp_path):
    for option in ([], ["--bin-by-bin"]):
        arguments = ["map", folder / "config.toml", folder / "tracks.root", *option]
        code, _, err = run(*arguments, "--out", tmp_path / "a.hepsilon")
        assert code == 0
        assert "1,000" in err
        assert err.index("effective") < err.index("wrote")
        code, out, err = run(*arguments, "--json", "--out", tmp_path / "a.hepsilon")
        assert "effective" not in err
        (everything,) = json.loads(out)["sample"]["categories"]
        assert (everything["n"], everything["n_effective"]) == (1000, 1000.0)


@pytest.mark.slow
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


def test_an_efficiency_chooses_simulated_tracks(run, folder, tmp_path):
    chosen = ["--chosen-by", folder / "factorised.hepsilon", "-n", 20]
    code, _, err = run("simulate", "tracks", *chosen, "--out", tmp_path / "tracks.root")
    assert code == 0, err
    with uproot.open(tmp_path / "tracks.root") as file:
        assert file["Events"].num_entries == 20


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
        (["simulate", "tracks", "-n", 5, "--chosen-by", "a.hepsilon"], "no model or map file"),
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

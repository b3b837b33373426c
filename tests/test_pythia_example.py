"""The example with jets of Pythia: its sample trains and closes, and its generator goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

import hepsilon
from hepsilon.cli.parser import main
from tests.helpers.track_toys import write_branches

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "examples" / "pythia_b_tagging"
TTBAR, ZJETS = (FOLDER / "sample" / f"{name}.root" for name in ("ttbar", "zjets"))
COLUMNS = ("pt", "eta", "phi", "mass", "btagJP", "hadronFlavour", "nConstituents")


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, FOLDER / script, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )


def run(script: str, *arguments: str | Path) -> str:
    process = start(script, *arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


# --------------------------------------------------------------------------- the sample


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pythia") / "map.hepsilon"
    assert main(["map", str(FOLDER / "btag.toml"), str(TTBAR), "--out", str(path)]) == 0
    return path


def closed(efficiency: Path, sample: Path, out: Path, point: str) -> dict[str, Any]:
    arguments = [str(efficiency), str(sample), "--out", str(out), "--working-point", point]
    assert main(["closure", *arguments]) == 0
    closure = json.loads((out / "closure.json").read_text())
    return closure["efficiency"][efficiency.stem]


def test_map_of_ttbar_closes_on_zjets(trained: Path, tmp_path: Path) -> None:
    for point in ("L", "M"):
        found = closed(trained, ZJETS, tmp_path / point, point)
        assert abs(found["overall"]["pull"]) < 4.0


def test_without_the_flavour_nothing_closes(tmp_path: Path) -> None:
    text = (FOLDER / "btag.toml").read_text()
    config, path = tmp_path / "plain.toml", tmp_path / "plain.hepsilon"
    text = text.replace('"nConstituents", "hadronFlavour"]', '"nConstituents"]')
    config.write_text(text.replace("categorical = {", "# categorical = {"))
    assert main(["map", str(config), str(TTBAR), "--out", str(path)]) == 0
    found = closed(path, ZJETS, tmp_path / "out", "M")
    assert found["overall"]["expected"] > 3.0 * found["overall"]["observed"]


def test_sample_is_what_the_readme_says() -> None:
    for path, n_events in ((TTBAR, 4000), (ZJETS, 2000)):
        events = uproot.open(path)["Events"].arrays()
        assert len(events) == n_events == len(np.unique(ak.to_numpy(events.event)))
        assert ak.all(events.Jet_pt >= 15.0)  # rounded
        assert ak.all(abs(events.Jet_eta) <= 2.5)
        assert set(ak.flatten(events.Jet_hadronFlavour)) == {0, 4, 5}
        assert ak.all(events.genWeight == 1.0)
    assert TTBAR.stat().st_size + ZJETS.stat().st_size < 1_000_000


def test_working_points_have_the_rates_that_they_say() -> None:
    task = hepsilon.load_config(FOLDER / "btag.toml").task
    events = uproot.open(TTBAR)["Events"].arrays()
    light = events.Jet_btagJP[(events.Jet_hadronFlavour == 0) & (events.Jet_pt >= 20.0)]
    n = ak.count(light)
    for cut, rate in zip(task.passed.above or (), (0.1, 0.01, 0.001), strict=True):
        # four standard deviations: three cuts of one sample, false alarm below 2e-4
        assert abs(ak.sum(light > cut) - n * rate) < 4.0 * np.sqrt(n * rate)


def test_working_points_are_printed_as_the_configuration_has_them() -> None:
    line = run("working_points.py", TTBAR)
    above = json.loads(line.partition("above = ")[2].partition(", names")[0])
    assert above == pytest.approx(
        hepsilon.load_config(FOLDER / "btag.toml").task.passed.above, rel=0.25
    )


def test_comparison_goes_on_where_it_was(tmp_path: Path) -> None:
    out, work = tmp_path / "found.json", tmp_path / "trained"
    options = ["--tests", ZJETS, "--models", "map", "--out", out, "--work", work]
    printed = run("compare.py", TTBAR, *options)
    (found,) = json.loads(out.read_text())
    chi2 = found["tests"]["zjets.root"]["L"]["chi2"]
    assert len(chi2) == 9
    assert f"| map | {np.mean([x / n for x, n in chi2.values() if n]):.2f} |" in printed
    before = out.stat().st_mtime_ns
    tables = printed[printed.index("zjets.root, working point") :]
    assert run("compare.py", TTBAR, *options).endswith(tables)
    assert out.stat().st_mtime_ns == before


def test_one_sample_is_made_like_another(tmp_path: Path) -> None:
    for name, path in (("data", TTBAR), ("simulation", ZJETS)):
        (tmp_path / name).mkdir()
        events = uproot.open(path)["Events"].arrays(entry_stop=600)
        jets = {n.removeprefix("Jet_"): events[n] for n in events.fields if n.startswith("Jet_")}
        others = {n: events[n] for n in ("run", "luminosityBlock", "event", "genWeight")}
        for number in range(2):
            part = slice(300 * number, 300 * (number + 1))
            columns = {n: ak.to_packed(x[part]) for n, x in others.items()}
            columns["Jet"] = ak.zip({n: ak.to_packed(x[part]) for n, x in jets.items()})
            write_branches(tmp_path / name / f"{number}.root", columns)
    out = tmp_path / "found.json"
    options = ["--model", tmp_path / "ratio.hepsilon", "--out", out, "--epochs", "5"]
    printed = run("reweight.py", tmp_path / "data", tmp_path / "simulation", *options)
    closure = json.loads(out.read_text())["closure"]
    assert closure["auc_after"] < closure["auc_before"]
    assert set(closure["observables"]) >= {"pt", "eta", "mass", "nConstituents"}
    assert f"| AUC | {closure['auc_before']:.3f} | {closure['auc_after']:.3f} |" in printed


# ------------------------------------------------------------------------- the generator


@pytest.fixture(scope="module")
def detector() -> Any:
    """The module of the example; without its packages the test is skipped, and says so."""
    for package in ("pythia8mc", "fastjet"):
        pytest.importorskip(package, reason=f'{package} is not there: pip install ".[pythia]"')
    sys.path.insert(0, str(FOLDER))
    try:
        import detector as module
    finally:
        sys.path.remove(str(FOLDER))
    return module


def generated(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.root"))}


def arrays(folder: Path) -> ak.Array:
    return uproot.concatenate([f"{path}:Events" for path in sorted(folder.glob("*.root"))])


def test_generator_goes_on(detector: Any, tmp_path: Path) -> None:
    options = ["zjets", "--events-per-file", "3", "--out", tmp_path / "z"]
    run("generate.py", *options, "-n", "6")
    first = arrays(tmp_path / "z")
    assert len(first) == 6
    assert {name.removeprefix("Jet_") for name in first.fields} >= set(COLUMNS)
    lost, kept = sorted((tmp_path / "z").glob("*.root"))
    lost.unlink()
    before = kept.stat().st_mtime_ns
    run("generate.py", *options, "-n", "8")  # the lost file, and one more
    assert kept.stat().st_mtime_ns == before
    again = arrays(tmp_path / "z")
    assert len(again) == 9
    assert ak.almost_equal(again[:6], first)
    assert ak.to_list(again.event) == list(range(1, 10))
    refused = start("generate.py", *options, "--seed", "2")
    assert "choose another --out" in refused.communicate()[1]
    assert refused.returncode == 1


def test_tunes_are_other_samples(detector: Any, tmp_path: Path) -> None:
    options = ["dijets", "--events-per-file", "3", "-n", "3"]
    run("generate.py", *options, "--out", tmp_path / "monash")
    run("generate.py", *options, "--tune", "4C", "--out", tmp_path / "4C")
    monash, other = (arrays(tmp_path / name) for name in ("monash", "4C"))
    assert not ak.array_equal(ak.num(monash.Jet_pt), ak.num(other.Jet_pt)) or not ak.array_equal(
        monash.Jet_pt, other.Jet_pt
    )
    refused = start("generate.py", *options, "--out", tmp_path / "4C")
    assert "choose another --out" in refused.communicate()[1]


def test_interrupted_generator_leaves_complete_files(detector: Any, tmp_path: Path) -> None:
    options = ["zjets", "--events-per-file", "2", "-n", "2000", "--out", tmp_path / "z"]
    process = start("generate.py", *options)
    while not list((tmp_path / "z").glob("*.root")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert "goes on with what is missing" in process.communicate()[1]
    assert process.returncode == 1
    assert len(arrays(tmp_path / "z")) == 2 * len(generated(tmp_path / "z"))


def test_merging_is_that_of_all_pairs(detector: Any) -> None:
    rng = np.random.default_rng(3)
    n = 300
    event = np.sort(rng.integers(0, 3, n))
    pt, eta, phi = rng.exponential(5.0, n), rng.normal(0, 0.1, n), rng.normal(np.pi, 0.1, n)
    phi = (phi + np.pi) % (2.0 * np.pi) - np.pi  # half of them on either side of the jump
    lost, disturbed = detector.merge(event, pt, eta, phi)
    d_phi = (phi[:, None] - phi + np.pi) % (2.0 * np.pi) - np.pi
    close = np.hypot(eta[:, None] - eta, d_phi) < detector.MERGING
    close &= event[:, None] == event
    np.testing.assert_array_equal(lost, np.any(close & (pt > pt[:, None]), axis=1))
    np.testing.assert_array_equal(disturbed, np.any(close & (pt < pt[:, None]), axis=1))
    assert 0 < lost.sum() < n


def test_last_hadron_of_a_chain_gives_the_flavour(detector: Any) -> None:
    # b quark, B*0, B0, D-, and a diquark with a b quark in another event
    momentum = {"px": 10.0, "py": 0.0, "pz": 0.0, "e": 11.0}
    chain = [(5, 0), (513, 0), (511, 1), (-411, 2)]
    events = ak.Array(
        [
            [{"id": code, "mother1": mother, "p": momentum} for code, mother in chain],
            [{"id": 5203, "mother1": 0, "p": momentum}],
        ]
    )
    events["p"] = ak.with_name(events.p, "Momentum4D")
    for flavour, expected in ((5, [[511], []]), (4, [[-411], []])):
        found = detector.last(events, detector.of_flavour(events, flavour))
        assert ak.to_list(found.id) == expected


def test_hadrons_and_taus_make_the_flavour_and_no_jets_of_them(detector: Any) -> None:
    def particle(px: float, py: float) -> dict[str, float]:
        return {"px": px, "py": py, "pz": 1.0, "e": float(np.hypot(px, py)) + 1.0}

    directions = {"b": (50.0, 0.0), "c": (0.0, 50.0), "tau": (-50.0, 0.0), "light": (0.0, -50.0)}
    visible = ak.Array([[{"p": particle(*p)} for p in directions.values()]])
    ghosts = [ak.Array([[{"p": particle(*directions[name])}]]) for name in ("b", "c", "tau")]
    jets = detector.cluster(visible, *ghosts)[0]
    found = dict(zip(np.round(jets.phi, 1), jets.hadronFlavour, strict=True))
    assert found == {0.0: 5, 1.6: 4, -1.6: 0}
    assert ak.to_list(jets.nConstituents) == [1, 1, 1]
    np.testing.assert_allclose(jets.pt, 50.0)


def test_taus_of_w_are_told_from_those_of_hadrons(detector: Any) -> None:
    particles = ak.Array([[{"id": 15, "status": -23}, {"id": -15, "status": -91}]])
    assert ak.to_list(detector.is_prompt_tau(particles)) == [[True, False]]


def test_probability_of_a_jet_is_that_of_its_tracks(detector: Any) -> None:
    # along x; one track crosses the axis in front of the vertex, one behind, one is far away
    jets = ak.zip({"pt": [[50.0]], "eta": [[0.0]], "phi": [[0.0]], "mass": [[5.0]]})
    tracks = ak.zip(
        {
            "pt": [[5.0, 5.0, 5.0]],
            "eta": [[0.0, 0.0, 0.0]],
            "phi": [[0.1, 0.1, 1.0]],
            "d0": [[-0.06, 0.06, -0.06]],
            "error": [[0.02, 0.02, 0.02]],
        }
    )
    jets, tracks = ak.with_name(jets, "Momentum4D"), ak.with_name(tracks, "Momentum3D")
    found = detector.jet_probability(jets, tracks)
    core, tail = 0.0026997960632601866, 1.0 / 1.3**2  # both at three standard deviations
    expected = -np.log10((1.0 - detector.TAIL) * core + detector.TAIL * tail)
    assert found[0, 0] == pytest.approx(expected, rel=1e-9)
    none = detector.jet_probability(jets, tracks[:, :0])
    assert found[0, 0] > none[0, 0] == 0.0

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from scipy import stats

from hepsilon import truth_tag_weight
from hepsilon.simulation import (
    ALICE_LIKE,
    AMPLITUDES,
    Amplitude,
    Detector,
    FiducialRegion,
    JetColumns,
    Tracks,
    training_jets,
    true_efficiency,
    write_jets,
    write_tracks,
    writer,
)
from hepsilon.simulation.amplitudes import masses
from hepsilon.simulation.writer import (
    GENERATORS,
    TAG_CUT,
    WORKING_POINTS,
    jet_events,
    track_events,
    track_records,
    write_trees,
)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

KINDS = pytest.mark.parametrize("kind", GENERATORS)
PER_EVENT = ["run", "luminosityBlock", "event", "genWeight"]


def content(path: Path) -> dict[str, Any]:
    with uproot.open(path) as file:
        events = file["Events"].arrays()
    return {name: events[name].to_list() for name in ak.fields(events)}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CHUNK_EVENTS", 20)


# branches


@KINDS
def test_branches_are_those_of_nanoaod(tmp_path: Path, kind: str) -> None:
    with uproot.open(write_jets(tmp_path / "jets.root", 10, kind=kind)) as file:
        types = file["Events"].typenames()
        assert isinstance(file["Events"], uproot.TTree)
    assert types["nJet"].endswith("int32_t")
    assert types["Jet_hadronFlavour"] == "uint8_t[]"
    assert types["event"] == "uint64_t"
    assert types["run"] == types["luminosityBlock"] == "uint32_t"
    assert {"Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_discriminant"} <= set(types)


@KINDS
def test_nanoaod_schema_reads_the_file(
    tmp_path: Path, kind: str, open_nanoaod: Callable[[Path], ak.Array]
) -> None:
    events = open_nanoaod(write_jets(tmp_path / "jets.root", 25, kind=kind, seed=6))
    expected = jet_events(kind, 0, 25, seed=6)
    assert events.event.to_list() == expected["event"].tolist()
    for name in ak.fields(expected["Jet"]):
        assert events.Jet[name].to_list() == expected["Jet"][name].to_list()
    pair = events.Jet[:, 0] + events.Jet[:, 1]
    assert ak.all(pair.mass > 0.0)


@KINDS
def test_the_file_holds_the_simulated_branches(tmp_path: Path, kind: str) -> None:
    read = content(write_jets(tmp_path / "jets.root", 30, kind=kind, seed=2))
    expected = jet_events(kind, 0, 30, seed=2)
    assert read["nJet"] == ak.num(expected["Jet"]).to_list()
    for name in PER_EVENT:
        assert read[name] == expected[name].tolist()
    for name in ak.fields(expected["Jet"]):
        assert read[f"Jet_{name}"] == expected["Jet"][name].to_list()


# seeds and chunks


@KINDS
def test_the_same_seed_gives_the_same_branches(tmp_path: Path, kind: str) -> None:
    first, second = (write_jets(tmp_path / n, 30, kind=kind, seed=8) for n in ("a.root", "b.root"))
    assert content(first) == content(second)


def test_seeds_kinds_and_chunks_give_different_jets() -> None:
    samples = [
        jet_events(kind, chunk, 30, seed)["Jet"].pt
        for kind in GENERATORS
        for chunk in (0, 1)
        for seed in (1, 2)
    ]
    pt = ak.to_numpy(ak.flatten(ak.concatenate(samples)))
    assert np.unique(pt).size == pt.size


def test_a_chunk_does_not_depend_on_what_was_made_before() -> None:
    alone = jet_events("jets", 3, 20, seed=1)
    for chunk in range(3):
        jet_events("jets", chunk, 20, seed=1)
    again = jet_events("jets", 3, 20, seed=1)
    assert again["Jet"].to_list() == alone["Jet"].to_list()
    assert again["event"].tolist() == alone["event"].tolist()


@pytest.mark.usefixtures("small_chunks")
def test_chunks_are_written_one_after_the_other(tmp_path: Path) -> None:
    read = content(write_jets(tmp_path / "jets.root", 50, seed=2))
    chunks = [jet_events("jets", chunk, size, seed=2) for chunk, size in enumerate((20, 20, 10))]
    assert read["Jet_pt"] == ak.concatenate([c["Jet"].pt for c in chunks]).to_list()
    assert read["event"] == list(range(1, 51))
    assert read["luminosityBlock"] == [1] * 20 + [2] * 20 + [3] * 10


@pytest.mark.usefixtures("small_chunks")
def test_progress_counts_all_events(tmp_path: Path) -> None:
    done: list[int] = []
    write_jets(tmp_path / "jets.root", 50, progress=done.append)
    assert done == [20, 20, 10]


# tags


def test_the_stored_true_efficiency_is_that_of_the_stored_jets() -> None:
    jets = jet_events("jets", 0, 100, seed=9)["Jet"]
    names = ("pt", "eta", "phi", "mass", "hadronFlavour")
    columns = JetColumns(
        ak.to_numpy(ak.num(jets)), *(ak.to_numpy(ak.flatten(jets[name])) for name in names)
    )
    np.testing.assert_allclose(
        ak.flatten(jets.trueEfficiency), true_efficiency(columns), rtol=1e-12
    )


@KINDS
def test_jets_are_tagged_with_their_true_efficiency(kind: str) -> None:
    # Chi-squared test in 40 equally filled bins of the true efficiency, false-alarm rate 1e-6.
    jets = ak.flatten(jet_events(kind, 0, 50_000, seed=10)["Jet"])
    efficiency, tagged = ak.to_numpy(jets.trueEfficiency), ak.to_numpy(jets.discriminant > TAG_CUT)
    order = np.argsort(efficiency)
    chi2 = 0.0
    for part in np.array_split(order, 40):
        variance = np.sum(efficiency[part] * (1.0 - efficiency[part]))
        chi2 += (tagged[part].sum() - efficiency[part].sum()) ** 2 / variance
    assert stats.chi2.sf(chi2, 40) > 1e-6


@KINDS
def test_a_tagger_above_one_is_the_tag(kind: str) -> None:
    jets = ak.flatten(jet_events(kind, 0, 50_000, seed=11)["Jet"])
    tagged = ak.to_numpy(jets.discriminant > TAG_CUT)
    assert WORKING_POINTS["Medium"] == 1.0
    assert 0 < tagged.sum() < tagged.size
    np.testing.assert_array_equal(ak.to_numpy(jets.tagger > 1.0), tagged)
    assert np.isfinite(ak.to_numpy(jets.tagger)).all()


def test_true_efficiencies_of_the_working_points_are_powers() -> None:
    jets = ak.flatten(jet_events("jets", 0, 1000, seed=9)["Jet"])
    assert WORKING_POINTS == {"Loose": 0.5, "Medium": 1.0, "Tight": 2.0}
    truth = ak.to_numpy(jets.trueEfficiency)
    np.testing.assert_allclose(jets.trueEfficiencyLoose, np.sqrt(truth), rtol=1e-12)
    np.testing.assert_array_equal(jets.trueEfficiencyMedium, truth)
    np.testing.assert_allclose(jets.trueEfficiencyTight, truth * truth, rtol=1e-12)


@KINDS
@pytest.mark.parametrize("name", WORKING_POINTS)
def test_jets_pass_each_working_point_with_its_true_efficiency(kind: str, name: str) -> None:
    # Chi-squared test in 40 equally filled bins of the true efficiency, false-alarm rate 1e-6.
    jets = ak.flatten(jet_events(kind, 0, 50_000, seed=12)["Jet"])
    efficiency = ak.to_numpy(jets[f"trueEfficiency{name}"])
    tagged = ak.to_numpy(jets.tagger > WORKING_POINTS[name])
    # light jets hardly ever pass the tightest one: bins with fewer than 5 expected are joined
    cumulative = np.cumsum(efficiency[order := np.argsort(efficiency)])
    first = int(np.searchsorted(cumulative, 5.0)) + 1
    parts = [order[:first], *np.array_split(order[first:], 40)]
    chi2 = 0.0
    for part in parts:
        variance = np.sum(efficiency[part] * (1.0 - efficiency[part]))
        chi2 += (tagged[part].sum() - efficiency[part].sum()) ** 2 / variance
    assert stats.chi2.sf(chi2, len(parts)) > 1e-6


def test_tags_of_the_jets_of_an_event_are_independent() -> None:
    # Correlation of (tag - efficiency) of the leading two jets; Gaussian, false-alarm rate 1e-6.
    jets = jet_events("jets", 0, 10_000, seed=10)["Jet"][:, :2]
    residual = ak.to_numpy((jets.discriminant > TAG_CUT) - jets.trueEfficiency)
    variance = ak.to_numpy(jets.trueEfficiency * (1.0 - jets.trueEfficiency))
    pull = residual.prod(axis=1).sum() / np.sqrt(variance.prod(axis=1).sum())
    assert abs(pull) < stats.norm.isf(0.5e-6)


# failures


def failing_at(chunk: int) -> Callable[[np.random.Generator, int], JetColumns]:
    calls = iter(range(chunk))

    def generate(rng: np.random.Generator, n_events: int) -> JetColumns:
        if next(calls, None) is None:
            raise MemoryError
        return training_jets(rng, n_events)

    return generate


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("chunk", [0, 2])
def test_no_file_remains_when_the_simulation_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setitem(GENERATORS, "jets", failing_at(chunk))
    with pytest.raises(MemoryError):
        write_jets(tmp_path / "jets.root", 100)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_chunks")
def test_an_interruption_keeps_the_old_file(tmp_path: Path) -> None:
    path = write_jets(tmp_path / "jets.root", 10)
    before = path.read_bytes()

    def interrupt(n_events: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_jets(path, 100, seed=2, progress=interrupt)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("n_events", "kind", "message"),
    [
        (10, "tracks", "expected a kind out of .*'jets', 'jets-alternative'.*received 'tracks'"),
        (0, "jets", "expected at least one event, received 0"),
        (-1, "jets", "expected at least one event, received -1"),
    ],
)
def test_bad_arguments_are_refused_before_a_file_is_made(
    tmp_path: Path, n_events: int, kind: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_jets(tmp_path / "jets.root", n_events, kind=kind)
    assert list(tmp_path.iterdir()) == []


# tracks


RHO, PHASE_SPACE = AMPLITUDES["rho"], AMPLITUDES["phasespace"]
N_TRACK_EVENTS = 8000


@pytest.fixture(scope="module")
def tracks() -> dict[str, Any]:
    """Branches of simulated pairs of pions."""
    return track_events(0, N_TRACK_EVENTS, 5, PHASE_SPACE)


def drawn_tracks(
    rng: np.random.Generator,
    n_events: int,
    amplitude: Amplitude,
    final_state: str = "pipi",
    fiducial: FiducialRegion | None = None,
) -> Tracks:
    """Tracks without physics, at no cost."""
    shape = (n_events, 4 if final_state == "4pi" else 2)
    px, py, pz = rng.normal(0.0, 0.6, (3, *shape))
    return Tracks(px, py, pz, np.broadcast_to(1 - 2 * (np.arange(shape[1]) % 2), shape))


@pytest.fixture
def cheap_tracks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "generate_tracks", drawn_tracks)


def flat_tracks(records: ak.Array, n: int = 2) -> Tracks:
    """The tracks of records with ``n`` of them in every event."""
    columns = (ak.to_numpy(ak.flatten(records[name])) for name in ("px", "py", "pz", "charge"))
    return Tracks(*(column.reshape(-1, n) for column in columns))


def test_tracks_become_jagged_records() -> None:
    px = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    records = track_records(Tracks(px, 2 * px, 3 * px, np.array([[1, -1]] * 3)), 0.14)
    assert ak.fields(records) == ["px", "py", "pz", "mass", "charge"]
    assert records.px.to_list() == px.tolist()
    assert records.pz.to_list() == (3 * px).tolist()
    assert records.mass.to_list() == [[0.14] * 2] * 3
    assert records.charge.to_list() == [[1, -1]] * 3
    assert str(records.charge.type) == "3 * var * int32"


def test_events_that_do_not_exist_have_no_tracks() -> None:
    px = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    tracks = Tracks(px, px, px, np.ones((3, 2)))
    records = track_records(tracks, np.array([0.14, 0.49]), [True, False, True])
    assert records.px.to_list() == [[0.1, 0.2], [], [0.5, 0.6]]
    assert records.mass.to_list() == [[0.14, 0.49], [], [0.14, 0.49]]
    nothing = track_records(tracks, 0.14, np.zeros(3, bool))
    assert nothing.to_list() == [[], [], []]
    assert nothing.type == track_records(tracks, 0.14).type


def test_the_stored_efficiency_is_that_of_the_stored_tracks(tracks: dict[str, Any]) -> None:
    expected = ALICE_LIKE.efficiency(flat_tracks(tracks["Track"]))
    np.testing.assert_allclose(tracks["trueEfficiency"], expected, rtol=1e-12)
    assert ((expected > 0.0) & (expected < 1.0)).all()


def test_events_are_selected_with_their_true_efficiency(tracks: dict[str, Any]) -> None:
    # Exact tail probabilities of the number of selected events in 20 equally filled bins of the
    # true efficiency: false-alarm rate at most 1e-6.
    for part in np.array_split(np.argsort(tracks["trueEfficiency"]), 20):
        selected = int(tracks["reco"][part].sum())
        eps = ak.Array([tracks["trueEfficiency"][part]])
        (at_least,) = truth_tag_weight(eps, selected, at_least=True, jets=None)
        (more,) = truth_tag_weight(eps, selected + 1, at_least=True, jets=None)
        assert min(at_least, 1.0 - more) > 0.5e-6 / 20


def test_only_selected_events_have_reconstructed_tracks(tracks: dict[str, Any]) -> None:
    selected = tracks["reco"]
    assert 0 < selected.sum() < N_TRACK_EVENTS
    np.testing.assert_array_equal(ak.num(tracks["Track"]), 2)
    np.testing.assert_array_equal(ak.num(tracks["TrackReco"]), np.where(selected, 2, 0))


def test_reconstructed_tracks_are_those_of_their_events(tracks: dict[str, Any]) -> None:
    generated = flat_tracks(tracks["Track"][tracks["reco"]])
    reconstructed = flat_tracks(tracks["TrackReco"][tracks["reco"]])
    np.testing.assert_array_equal(reconstructed.charge, generated.charge)
    # the resolution is 1.4% at 2 GeV, and 0.002 rad: six standard deviations
    np.testing.assert_allclose(reconstructed.pt, generated.pt, rtol=0.09)
    np.testing.assert_allclose(reconstructed.eta, generated.eta, atol=0.012)
    assert (reconstructed.pt != generated.pt).all()
    mass = ak.flatten(tracks["TrackReco"].mass)
    np.testing.assert_array_equal(mass, np.full(len(mass), masses("pipi")[0]))


def test_simulated_tracks_are_inside_the_fiducial_region(tracks: dict[str, Any]) -> None:
    generated = flat_tracks(tracks["Track"])
    assert FiducialRegion().contains(generated).all()
    assert not generated.charge.sum(axis=1).any()


def test_the_same_arguments_give_the_same_tracks(tracks: dict[str, Any]) -> None:
    again = track_events(0, N_TRACK_EVENTS, 5, PHASE_SPACE)
    assert list(again) == list(tracks)
    for name, branch in again.items():
        assert ak.array_equal(branch, tracks[name])


def test_nanoaod_schema_reads_the_tracks(
    tmp_path: Path, open_nanoaod: Callable[[Path], ak.Array]
) -> None:
    path = write_tracks(tmp_path / "tracks.root", 40, amplitude="rho", seed=6)
    with uproot.open(path) as file:
        types = file["Events"].typenames()
    assert types["nTrack"].endswith("int32_t")
    assert types["nTrackReco"].endswith("int32_t")
    assert types["Track_px"] == types["TrackReco_px"] == "double[]"
    assert types["Track_charge"] == "int32_t[]"
    assert types["reco"] == "bool"
    assert types["trueEfficiency"] == "double"
    assert types["event"] == "uint64_t"
    events, expected = open_nanoaod(path), track_events(0, 40, 6, RHO)
    for name in ("reco", "trueEfficiency", *PER_EVENT):
        assert events[name].to_list() == expected[name].tolist()
    for collection in ("Track", "TrackReco"):
        for name in ("px", "py", "pz", "mass", "charge"):
            assert events[collection][name].to_list() == expected[collection][name].to_list()


@pytest.mark.usefixtures("cheap_tracks")
def test_a_perfect_detector_selects_all_and_a_dead_one_nothing() -> None:
    fields = {"trigger_floor": 1.0, "merging": 0.0, "sectors": (), "pt_half": 1e-9}
    perfect = Detector(plateau=1.0, eta_half=1e3, **fields)
    assert track_events(0, 50, 1, RHO, detector=perfect)["reco"].all()
    dead = track_events(0, 50, 1, RHO, detector=Detector(plateau=0.0))
    assert not dead["reco"].any()
    assert not dead["trueEfficiency"].any()
    assert dead["TrackReco"].to_list() == [[]] * 50


@pytest.mark.usefixtures("cheap_tracks", "small_chunks")
def test_chunks_without_selected_events_are_written(tmp_path: Path) -> None:
    branches = partial(track_events, seed=1, amplitude=RHO, detector=Detector(plateau=0.0))
    read = content(write_trees(tmp_path / "tracks.root", 50, branches))
    assert read["nTrackReco"] == [0] * 50
    assert read["TrackReco_px"] == [[]] * 50
    assert read["nTrack"] == [2] * 50


@pytest.mark.usefixtures("cheap_tracks")
def test_the_same_seed_gives_the_same_file_of_tracks(tmp_path: Path) -> None:
    first, second = (write_tracks(tmp_path / n, 30, seed=8) for n in ("a.root", "b.root"))
    assert content(first) == content(second)


@pytest.mark.usefixtures("cheap_tracks")
def test_every_sample_of_tracks_has_numbers_and_tracks_of_its_own() -> None:
    samples = [
        track_events(chunk, 30, seed, AMPLITUDES[amplitude], final_state)
        for amplitude in AMPLITUDES
        for final_state in ("pipi", "KK", "4pi")
        for chunk in (0, 1)
        for seed in (1, 2)
    ]
    columns = [[s[name] for s in samples] for name in ("run", "luminosityBlock", "event")]
    numbers = np.stack([np.concatenate(column).astype(np.int64) for column in columns])
    assert np.unique(numbers, axis=1).shape[1] == 30 * len(samples)
    assert len({s["run"][0] for s in samples}) == len(samples) // 2  # chunks share the run
    px = ak.to_numpy(ak.flatten(ak.concatenate([s["Track"].px for s in samples])))
    assert np.unique(px).size == px.size


@pytest.mark.usefixtures("cheap_tracks")
def test_an_efficiency_chooses_more_events_where_it_is_small() -> None:
    """Tracks of positive px are accepted hardly ever: almost all events have one of them."""

    def small_on_one_side(tracks: ak.Array) -> ak.Array:
        return ak.where(ak.any(tracks.px > 0.0, axis=1), 1e-6, 1.0 - 1e-6)

    plain = track_events(0, 40, 1, RHO)
    chosen = track_events(0, 40, 1, RHO, chosen_by=small_on_one_side)
    assert len(chosen["Track"]) == 40
    shares = [np.mean(ak.any(s["Track"].px > 0.0, axis=1)) for s in (plain, chosen)]
    assert shares[0] < shares[1] == 1.0
    assert plain["run"][0] != chosen["run"][0]


@pytest.mark.usefixtures("cheap_tracks")
def test_own_amplitudes_have_run_numbers_of_their_own() -> None:
    own = Amplitude("logarithmic", (0.0, 1.0), "root", 1.0, 0.5)
    known = {track_events(0, 1, 1, a)["run"].item() for a in AMPLITUDES.values()}
    assert track_events(0, 1, 1, own)["run"].item() not in known


@pytest.mark.usefixtures("cheap_tracks")
def test_run_numbers_of_the_largest_seed_fit() -> None:
    runs = [track_events(0, 1, s, RHO, "4pi")["run"].item() for s in (1, 2**24 - 1)]
    assert runs[1] - runs[0] == 100 * (2**24 - 2)


@pytest.mark.usefixtures("cheap_tracks", "small_chunks")
def test_chunks_of_tracks_are_written_one_after_the_other(tmp_path: Path) -> None:
    done: list[int] = []
    path = write_tracks(
        tmp_path / "tracks.root",
        50,
        amplitude="tensor",
        final_state="4pi",
        seed=2,
        progress=done.append,
    )
    read = content(path)
    chunks = [
        track_events(chunk, size, 2, AMPLITUDES["tensor"], "4pi")
        for chunk, size in enumerate((20, 20, 10))
    ]
    for name in ("Track", "TrackReco"):
        expected = ak.concatenate([c[name].px for c in chunks]).to_list()
        assert read[f"{name}_px"] == expected
    assert read["nTrack"] == [4] * 50
    assert read["event"] == list(range(1, 51))
    assert read["luminosityBlock"] == [1] * 20 + [2] * 20 + [3] * 10
    assert done == [20, 20, 10]


def test_amplitude_final_state_and_region_reach_the_generator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def remember(rng: np.random.Generator, n_events: int, *options: Any) -> Tracks:
        asked.append(options)
        return drawn_tracks(rng, n_events, *options)

    monkeypatch.setattr(writer, "generate_tracks", remember)
    own, region = Amplitude("logarithmic", (0.0, 1.0), "root", 1.0, 0.5), FiducialRegion(0.1, 2.0)
    write_tracks(tmp_path / "a.root", 5, amplitude="rho", final_state="KK")
    write_tracks(tmp_path / "b.root", 5, amplitude=own)
    track_events(0, 5, 1, RHO, fiducial=region)
    assert asked == [(RHO, "KK", None), (own, "pipi", None), (RHO, "pipi", region)]


@pytest.mark.usefixtures("cheap_tracks", "small_chunks")
def test_an_interruption_keeps_the_old_file_of_tracks(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "tracks.root", 10)
    before = path.read_bytes()

    def interrupt(n_events: int) -> None:
        assert path.read_bytes() == before  # nothing of the new file is there yet
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tracks(path, 100, seed=2, progress=interrupt)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("cheap_tracks", "small_chunks")
def test_a_file_of_tracks_appears_when_it_is_complete(tmp_path: Path) -> None:
    path, seen = tmp_path / "new" / "tracks.root", []
    write_tracks(path, 50, progress=lambda n: seen.append(path.exists()))
    assert seen == [False, False, False]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"amplitude": "omega"}, r"expected an amplitude of \['phasespace'.*received 'omega'"),
        ({"final_state": "mumu"}, r"expected a final state of \['pipi'.*received 'mumu'"),
        ({"n_events": 0}, "expected at least one event, received 0"),
        ({"seed": 0}, r"expected a seed between 1 and 2\^24 - 1, received 0"),
        ({"seed": 1.5}, r"expected a whole number as seed, between 1 and 2\^24 - 1, received 1.5"),
        ({"seed": True}, "expected a whole number as seed"),
        ({"n_events": 1.5}, "expected at least one event, received 1.5"),
        ({"seed": 2**24}, r"expected a seed between 1 and 2\^24 - 1, received 16777216"),
    ],
)
def test_bad_arguments_of_tracks_are_refused_before_a_file_is_made(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"n_events": 10} | options
    with pytest.raises(ValueError, match=message):
        write_tracks(tmp_path / "new" / "tracks.root", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_branches_of_an_unknown_final_state_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a final state of \['pipi'.*received 'mumu'"):
        track_events(0, 10, 1, RHO, "mumu")

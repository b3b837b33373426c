from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from scipy import stats

from hepsilon.simulation import JetColumns, training_jets, true_efficiency, write_jets, writer
from hepsilon.simulation.writer import GENERATORS, TAG_CUT, jet_events

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

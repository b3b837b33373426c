"""Simulated events written chunk by chunk as NanoAOD-like TTrees, each chunk with its own seed."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import awkward as ak
import numpy as np
import uproot

from hepsilon._system.files import atomic_path
from hepsilon.arrays.allocation import allocate
from hepsilon.arrays.checks import check_seed
from hepsilon.arrays.types import Array
from hepsilon.simulation.amplitudes import (
    AMPLITUDES,
    FINAL_STATES,
    Amplitude,
    FiducialRegion,
    check_final_state,
    generate_tracks,
    masses,
)
from hepsilon.simulation.detector import ALICE_LIKE, Detector, Tracks
from hepsilon.simulation.jets import JetColumns, alternative_jets, training_jets, true_efficiency

__all__ = [
    "CANDIDATES",
    "CHUNK_EVENTS",
    "GENERATORS",
    "TAG_CUT",
    "WORKING_POINTS",
    "event_numbers",
    "jet_events",
    "track_events",
    "track_records",
    "write_jets",
    "write_tracks",
    "write_trees",
]

Generator: TypeAlias = Callable[[np.random.Generator, int], JetColumns]
Branches: TypeAlias = dict[str, Array | ak.Array]
"""Branches of a file by name, flat or jagged."""
GENERATORS: dict[str, Generator] = {"jets": training_jets, "jets-alternative": alternative_jets}
CHUNK_EVENTS = 100_000
CANDIDATES = 4
"""Generated events for each one that goes into the simulation, where an efficiency chooses."""
TAG_CUT = 0.0
"""A jet is tagged where its branch ``Jet_discriminant`` is above this."""
WORKING_POINTS = {"Loose": 0.5, "Medium": 1.0, "Tight": 2.0}
"""Cuts on ``Jet_tagger`` by working point; ``Jet_trueEfficiencyLoose`` belongs to the first."""


def jet_events(kind: str, chunk: int, n_events: int, seed: int) -> Branches:
    """Branches of one chunk of jets, a pure function of the arguments.

    ``Jet_discriminant`` is ``efficiency - score`` with a uniform score, so the cut at
    :data:`TAG_CUT` tags a jet with exactly its true efficiency (``Jet_trueEfficiency``).
    ``Jet_tagger``, ``ln(score) / ln(efficiency)``, has several working points: the cut a of
    :data:`WORKING_POINTS` tags a jet with exactly the probability ``efficiency^a``, and the cut at
    1 tags the jets that :data:`TAG_CUT` tags.

    Parameters
    ----------
    kind : {"jets", "jets-alternative"}
        Sample, a key of :data:`GENERATORS`.
    chunk : int
        Number of the chunk.
    n_events : int
        Number of events in the chunk.
    seed : int
        Seed of the sample.

    Returns
    -------
    dict of str to ndarray or ak.Array, length n_events
        Branches by name; ``Jet`` holds jagged records, pt and mass in GeV, phi in rad.
    """
    kind_number = sorted(GENERATORS).index(kind)
    rng = np.random.default_rng([seed, kind_number, chunk])
    jets = GENERATORS[kind](rng, n_events)
    efficiency = true_efficiency(jets)
    score = rng.uniform(size=efficiency.size)
    columns = {
        "pt": jets.pt,
        "eta": jets.eta,
        "phi": jets.phi,
        "mass": jets.mass,
        "hadronFlavour": jets.flavour.astype(np.uint8),
        "discriminant": efficiency - score,
        "trueEfficiency": efficiency,
        "tagger": np.log(np.maximum(score, 1e-300)) / np.log(efficiency),
        **{f"trueEfficiency{name}": efficiency**cut for name, cut in WORKING_POINTS.items()},
    }
    records = ak.zip({name: ak.unflatten(column, jets.counts) for name, column in columns.items()})
    return {
        # every (kind, seed) has a run of its own, so event numbers stay unique over files
        **event_numbers(2 * seed - 1 + kind_number, chunk, n_events),
        "Jet": records,
    }


def event_numbers(run: int, chunk: int, n_events: int) -> Branches:
    """Branches run, luminosityBlock, event and genWeight of a chunk.

    Parameters
    ----------
    run : int
        Number of the run.
    chunk : int
        Number of the chunk; event numbers of the chunks of a run differ.
    n_events : int
        Number of events in the chunk.

    Returns
    -------
    dict of str to ndarray, shape (n_events,)
        Branches by name.
    """
    return {
        "run": np.full(n_events, run, np.uint32),
        "luminosityBlock": np.full(n_events, chunk + 1, np.uint32),
        "event": np.arange(n_events, dtype=np.uint64) + chunk * CHUNK_EVENTS + 1,
        "genWeight": np.ones(n_events, np.float32),
    }


def track_records(tracks: Tracks, mass: Any, exists: Any = None) -> ak.Array:
    """Tracks as jagged records.

    Parameters
    ----------
    tracks : Tracks
        Tracks of events.
    mass : float or ndarray, GeV
        Mass of the tracks, broadcast to (n_events, n_tracks).
    exists : ndarray of bool, shape (n_events,), optional
        False for the events that get no tracks; by default all have them.

    Returns
    -------
    ak.Array of records, shape (n_events, tracks)
        Records with px, py, pz, mass and charge.
    """
    shape = tracks.px.shape
    columns = {
        "px": tracks.px,
        "py": tracks.py,
        "pz": tracks.pz,
        "mass": np.broadcast_to(mass, shape),
        "charge": tracks.charge.astype(np.int32),
    }
    exists = np.ones(shape[0], bool) if exists is None else np.asarray(exists, bool)
    counts = np.where(exists, shape[1], 0)
    flat = {name: np.ascontiguousarray(c)[exists].ravel() for name, c in columns.items()}
    return ak.zip({name: ak.unflatten(column, counts) for name, column in flat.items()})


def track_events(
    chunk: int,
    n_events: int,
    seed: int,
    amplitude: Amplitude,
    final_state: str = "pipi",
    detector: Detector = ALICE_LIKE,
    fiducial: FiducialRegion | None = None,
    chosen_by: Callable[[ak.Array], Array] | None = None,
) -> Branches:
    """Branches of one chunk of tracks, a pure function of the arguments.

    ``Track`` holds the generated tracks, and ``TrackReco`` the reconstructed ones of the events
    that were selected (``reco``, drawn with the probability ``trueEfficiency``).

    Parameters
    ----------
    chunk : int
        Number of the chunk.
    n_events : int
        Number of events in the chunk, all of them in the fiducial region.
    seed : int
        Seed of the sample.
    amplitude : Amplitude
        Spectra and angular distribution.
    final_state : str, default "pipi"
        Name in :data:`hepsilon.simulation.FINAL_STATES`.
    detector : Detector, default ALICE_LIKE
        Detector that selects and smears the tracks.
    fiducial : FiducialRegion, optional
        Region of the tracks.
    chosen_by : callable, optional
        Efficiency of events of generated tracks. With it the events are chosen out of
        :data:`CANDIDATES` times as many, more of them where it is small
        (:func:`hepsilon.arrays.allocation.allocate`); by default they follow the spectra.

    Returns
    -------
    dict of str to ndarray or ak.Array, length n_events
        Branches by name; momenta and masses in GeV.

    Raises
    ------
    ValueError
        If the final state is unknown, or the spectra (almost) never reach the region.
    ConfigError
        If the packages particle and phasespace are not installed.
    """
    check_final_state(final_state)
    # numbers of their own: both kinds of events are trained on together
    kind = _kind_number(amplitude, final_state) + (50 if chosen_by is not None else 0)
    rng = np.random.default_rng([seed, kind, chunk, len(GENERATORS)])
    mass = masses(final_state)[0]
    if chosen_by is None:
        tracks = generate_tracks(rng, n_events, amplitude, final_state, fiducial)
    else:
        tracks = generate_tracks(rng, CANDIDATES * n_events, amplitude, final_state, fiducial)
        eps = ak.to_numpy(chosen_by(track_records(tracks, mass)))
        tracks = tracks.take(allocate(eps, n_events, rng))
    efficiency = detector.efficiency(tracks)
    reco = rng.uniform(size=n_events) < efficiency
    return {
        **event_numbers((100 * seed + kind) % 2**32, chunk, n_events),
        "reco": reco,
        "trueEfficiency": efficiency,
        "Track": track_records(tracks, mass),
        "TrackReco": track_records(detector.smear(rng, tracks), mass, reco),
    }


def _kind_number(amplitude: Amplitude, final_state: str) -> int:
    """Number that tells samples of one seed apart: below 100, or a checksum for new amplitudes."""
    known = [*AMPLITUDES.values()]
    if amplitude in known:
        return known.index(amplitude) + 10 * [*FINAL_STATES].index(final_state)
    angular = getattr(amplitude.angular, "__name__", "")
    return zlib.crc32(repr((replace(amplitude, angular=None), angular, final_state)).encode())


def write_jets(
    path: str | Path,
    n_events: int,
    *,
    kind: str = "jets",
    seed: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Simulate jets into a ROOT file (TTree ``Events``) that NanoAODSchema reads.

    Parameters
    ----------
    path : path-like
        File to write; it appears only when complete.
    n_events : int
        Number of events, one or more.
    kind : {"jets", "jets-alternative"}, default "jets"
        Sample: multijet events to train on, or decays of a boosted scalar.
    seed : int, default 1
        Number from 1 to 2^24 - 1. Equal seeds give equal branches, others also other run numbers.
    progress : callable, optional
        Function that is called with the number of events after each chunk.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If the kind is unknown, the seed is out of range or the number of events is below one.
    """
    if kind not in GENERATORS:
        raise ValueError(f"expected a kind out of {sorted(GENERATORS)}, received {kind!r}")
    _check_size(seed, n_events)

    def branches(chunk: int, size: int) -> Branches:
        return jet_events(kind, chunk, size, seed)

    return write_trees(path, n_events, branches, progress)


def write_tracks(
    path: str | Path,
    n_events: int,
    *,
    amplitude: str | Amplitude = "phasespace",
    final_state: str = "pipi",
    seed: int = 1,
    chosen_by: Callable[[ak.Array], Array] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Simulate centrally produced systems of tracks into a ROOT file (TTree ``Events``).

    Parameters
    ----------
    path : path-like
        File to write; it appears only when complete.
    n_events : int
        Number of events with all tracks in the fiducial region, one or more.
    amplitude : str or Amplitude, default "phasespace"
        Name in :data:`hepsilon.simulation.AMPLITUDES`, or a new amplitude.
    final_state : {"pipi", "KK", "4pi"}, default "pipi"
        Mesons of the decay (:data:`hepsilon.simulation.FINAL_STATES`).
    seed : int, default 1
        Number from 1 to 2^24 - 1. Equal seeds give equal branches, others also other run numbers.
    chosen_by : callable, optional
        Efficiency of events, such as an :class:`hepsilon.Efficiency`: more events are simulated
        where it is small (see :func:`track_events`). By default the events follow the spectra.
    progress : callable, optional
        Function that is called with the number of events after each chunk.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If the amplitude or final state is unknown, the seed is out of range or the number of
        events is below one.
    ConfigError
        If the packages particle and phasespace are not installed.
    """
    if isinstance(amplitude, str):
        if amplitude not in AMPLITUDES:
            raise ValueError(f"expected an amplitude of {list(AMPLITUDES)}, received {amplitude!r}")
        amplitude = AMPLITUDES[amplitude]
    check_final_state(final_state)
    _check_size(seed, n_events)
    branches = partial(
        track_events,
        seed=seed,
        amplitude=amplitude,
        final_state=final_state,
        chosen_by=chosen_by,
    )
    return write_trees(path, n_events, branches, progress)


def _check_size(seed: int, n_events: int) -> None:
    check_seed(seed, 1, 24)
    if n_events < 1 or n_events != int(n_events):
        raise ValueError(f"expected at least one event, received {n_events}")


def write_trees(
    path: str | Path,
    n_events: int,
    branches_of: Callable[[int, int], Branches],
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write chunks of branches as one TTree ``Events``.

    Parameters
    ----------
    path : path-like
        File to write; it appears only when complete.
    n_events : int
        Number of events.
    branches_of : callable
        Function that makes the branches of a chunk from its number and its number of events.
    progress : callable, optional
        Function that is called with the number of events after each chunk.

    Returns
    -------
    pathlib.Path
        The file.
    """
    with atomic_path(path) as temporary, uproot.recreate(temporary) as file:
        tree = None
        for chunk, start in enumerate(range(0, n_events, CHUNK_EVENTS)):
            size = min(CHUNK_EVENTS, n_events - start)
            branches = branches_of(chunk, size)
            if tree is None:
                types = {name: ak.type(value).content for name, value in branches.items()}
                tree = file.mktree("Events", types)
            tree.extend(branches)
            if progress is not None:
                progress(size)
    return Path(path)

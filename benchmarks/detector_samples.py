"""Toy detectors that the defaults of hepsilon were not tuned for, with their true efficiency.

Pure functions of a ``numpy.random.Generator``. A sample is a set of training columns, so that no
file is needed; :func:`write_sample` writes it as a ROOT file for ``hepsilon train``.

- ``forward``: two tracks in 2 < eta < 4.5 without a magnetic field. A hole in
  azimuth is deeper for positive tracks, pairs merge in one azimuthal sector only, and the trigger
  asks for the harder track.
- ``central``: a barrel with a field, dead sectors, merging and a topology trigger; the formula is
  that of the tracks that hepsilon simulates, but every number is another one.
- ``jets``: another turn-on, another shape in eta, and losses next to other jets at two distances.
- ``photons``: their efficiency depends on pile-up and on an isolation with a heavy tail, which is
  -1 where it was not computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from scipy.special import expit

from hepsilon.arrays.types import Array
from hepsilon.config.task import Passed, Task
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.simulation.detector import Detector, Sector, Tracks
from hepsilon.simulation.jets import alternative_jets, training_jets

__all__ = ["SETUPS", "Flat", "Sample", "Setup", "draw", "records_of", "write_sample"]

Rng = np.random.Generator
CARTESIAN, POLAR = ("px", "py", "pz"), ("pt", "eta", "phi")


@dataclass(frozen=True)
class Flat:
    """Objects of events: number of objects of each event, and flat columns."""

    counts: Array
    fields: dict[str, Array]


@dataclass(frozen=True)
class Sample:
    """Columns of a training, and the true efficiency of every event or object."""

    columns: TrainingColumns
    true: Array


@dataclass(frozen=True)
class Setup:
    """A toy detector: its task, the sizes of its samples, how they are drawn, and its efficiency.

    ``generate`` and ``efficiency`` do not know the responses, which :func:`draw` throws.
    """

    task: Task
    n_training: int
    tests: dict[str, int]
    generate: Callable[[Rng, str, int], Flat]
    efficiency: Callable[[Flat], Array]


def _rounded(fields: dict[str, Array]) -> dict[str, Array]:
    """Round to what the columns hold, so that truth and features are of equal numbers."""
    return {name: x.astype(np.float32).astype(np.float64) for name, x in fields.items()}


# ------------------------------------------------------------------------------ pairs of tracks

PION = 0.13957


def pair_task(momentum: tuple[str, ...]) -> Task:
    """Task of the efficiency of events with a positive and a negative track."""
    return Task(
        level="event",
        collection="Track",
        objects=2,
        order_by="charge",
        features=(*momentum, "charge"),
        categorical={"charge": (1, -1)},
        passed=Passed(field="reco"),
        weight="genWeight",
        truth="trueEfficiency",
    )


def _breit_wigner(rng: Rng, n: int, mean: float, width: float, low: float, high: float) -> Array:
    first, last = np.arctan((np.array([low, high]) - mean) / (0.5 * width))
    return mean + 0.5 * width * np.tan(rng.uniform(first, last, n))


def _cosines(rng: Rng, n: int, density: Callable[[Array], Array]) -> Array:
    """Cosines of the decay angle, by rejection; the density is at most one."""
    out = rng.uniform(-1.0, 1.0, n)
    todo = np.flatnonzero(rng.uniform(size=n) > density(out))
    while todo.size:
        out[todo] = rng.uniform(-1.0, 1.0, todo.size)
        todo = todo[rng.uniform(size=todo.size) > density(out[todo])]
    return out


@dataclass(frozen=True)
class Spectrum:
    """Mass, transverse momentum and decay angle of a system that decays to two pions."""

    mass: Callable[[Rng, int], Array]
    pt: Callable[[Rng, int], Array]
    density: Callable[[Array], Array]
    along_flight: bool


SPECTRA: dict[str, Spectrum] = {
    "training": Spectrum(
        lambda rng, n: 0.285 * (3.0 / 0.285) ** rng.uniform(size=n),
        lambda rng, n: 2.5 * rng.uniform(size=n) ** 2,
        np.ones_like,
        along_flight=True,
    ),
    "rho": Spectrum(
        lambda rng, n: _breit_wigner(rng, n, 0.775, 0.149, 0.29, 1.6),
        lambda rng, n: 0.4 * np.sqrt(rng.exponential(size=n)),
        lambda cosine: 1.0 - cosine**2,
        along_flight=True,
    ),
    "tensor": Spectrum(
        lambda rng, n: _breit_wigner(rng, n, 1.275, 0.187, 0.29, 2.4),
        lambda rng, n: 0.7 * np.sqrt(rng.exponential(size=n)),
        lambda cosine: (1.5 * cosine**2 - 0.5) ** 2,
        along_flight=False,
    ),
}


def _decay(rng: Rng, spectrum: Spectrum, n: int, rapidity: tuple[float, float]) -> Array:
    """Momenta of the positive and the negative pion, shape (n, 2, 3)."""
    mass, pt = spectrum.mass(rng, n), spectrum.pt(rng, n)
    azimuth, y = rng.uniform(-np.pi, np.pi, n), rng.uniform(*rapidity, n)
    transverse = np.hypot(mass, pt)
    energy = transverse * np.cosh(y)
    system = np.stack([pt * np.cos(azimuth), pt * np.sin(azimuth), transverse * np.sinh(y)], axis=1)
    cosine, turn = _cosines(rng, n, spectrum.density), rng.uniform(-np.pi, np.pi, n)
    axis = np.broadcast_to([0.0, 0.0, 1.0], system.shape)
    if spectrum.along_flight:
        axis = system / np.linalg.norm(system, axis=1, keepdims=True)
    first = np.cross(axis, [1.0, 0.0, 0.0])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(axis, first)
    sine = np.sqrt(1.0 - cosine**2)
    parts = ((cosine, axis), (sine * np.cos(turn), first), (sine * np.sin(turn), second))
    momentum = np.sqrt(0.25 * mass**2 - PION**2)
    rest = momentum[:, None] * sum(c[:, None] * a for c, a in parts)
    shift = np.sum(system * rest, axis=1) / (mass * (energy + mass))
    boosts = [sign * (rest + shift[:, None] * system) + 0.5 * system for sign in (1.0, -1.0)]
    return np.stack(boosts, axis=1)


@dataclass(frozen=True)
class Pairs:
    """Pairs of pions whose tracks are both inside a region."""

    rapidity: tuple[float, float]
    eta: tuple[float, float]
    pt_min: float
    features: tuple[str, ...]

    def __call__(self, rng: Rng, kind: str, n_events: int) -> Flat:
        """Events of a spectrum, the positive track first."""
        kept: list[Array] = []
        while sum(map(len, kept)) < n_events:
            p = _decay(rng, SPECTRA[kind], 100_000, self.rapidity)
            tracks = Tracks(*np.moveaxis(p, 2, 0), np.ones(p.shape[:2]))
            inside = (tracks.pt > self.pt_min) & (tracks.eta > self.eta[0])
            inside &= tracks.eta < self.eta[1]
            columns = [getattr(tracks, name) for name in self.features]
            kept.append(np.stack(columns, axis=2)[inside.all(axis=1)])
        flat = np.concatenate(kept)[:n_events].reshape(-1, len(self.features))
        fields = _rounded(dict(zip(self.features, flat.T, strict=True)))
        fields["charge"] = np.tile([1, -1], n_events)
        return Flat(np.full(n_events, 2), fields)


def tracks_of(events: Flat) -> Tracks:
    """Momenta and charges as arrays (n_events, 2)."""
    fields = {name: x.reshape(-1, 2) for name, x in events.fields.items()}
    if "pt" in fields:
        pt, phi = fields["pt"], fields["phi"]
        fields |= {"px": pt * np.cos(phi), "py": pt * np.sin(phi)}
        fields["pz"] = pt * np.sinh(fields["eta"])
    return Tracks(*(fields[name] for name in ("px", "py", "pz", "charge")))


def _wrapped(angle: Array) -> Array:
    return (angle + np.pi) % (2.0 * np.pi) - np.pi


def _window(angle: Array, centre: float, width: float, edge: float) -> Array:
    """One inside a window of azimuth, zero outside, with soft edges."""
    return expit((0.5 * width - np.abs(_wrapped(angle - centre))) / edge)


def forward_efficiency(events: Flat) -> Array:
    """Efficiency of events of the forward detector."""
    tracks = tracks_of(events)
    pt, eta, phi = tracks.pt, tracks.eta, tracks.phi
    single = 0.95 * expit(np.log(pt / 0.22) / 0.22)
    single *= expit((eta - 2.03) / 0.06) * expit((4.45 - eta) / 0.08)
    hole = _window(phi, 0.8, 0.9, 0.05)
    single *= 1.0 - np.array([0.8, 0.4]) * hole  # deeper for positive tracks, and no bending
    d_eta, d_phi = eta[:, 0] - eta[:, 1], _wrapped(phi[:, 0] - phi[:, 1])
    middle = phi[:, 0] - 0.5 * d_phi
    close = np.exp(-0.5 * ((d_eta / 0.25) ** 2 + (d_phi / 0.35) ** 2))
    merged = 0.85 * close * _window(middle, 2.2, 1.4, 0.08)
    trigger = 0.15 + 0.85 * expit((pt.max(axis=1) - 0.55) / 0.08)
    return np.asarray(single.prod(axis=1) * (1.0 - merged) * trigger)


CENTRAL = Detector(
    plateau=0.92,
    pt_half=0.19,
    pt_width=0.30,
    eta_half=0.82,
    eta_width=0.07,
    bending=0.11,
    sectors=(
        Sector(-2.8, 0.45, 0.20),
        Sector(-0.9, 0.30, 0.10),
        Sector(1.1, 0.60, 0.25),
        Sector(2.5, 0.20, 0.15),
    ),
    sector_edge=0.04,
    merging=0.8,
    merging_eta=0.14,
    merging_phi=0.15,
    trigger_floor=0.12,
    opening=1.15,
    opening_width=0.18,
    sum_pt_half=0.75,
    sum_pt_width=0.07,
)


def central_efficiency(events: Flat) -> Array:
    """Efficiency of events of the central detector."""
    return CENTRAL.efficiency(tracks_of(events))


# ------------------------------------------------------------------------------------- jets

JETS = Task(
    features=("pt", "eta", "phi", "hadronFlavour"),
    categorical={"hadronFlavour": (5, 4, 0)},
    passed=Passed(field="tagged"),
    weight="genWeight",
    truth="trueEfficiency",
)
NEIGHBOUR_LOSS = {5: (0.50, 0.18), 4: (0.38, 0.12), 0: (0.25, 0.08)}
"""Loss next to a jet of this flavour: at short range, and at long range."""
SHORT, LONG = 0.25, 1.0


def generate_jets(rng: Rng, kind: str, n_events: int) -> Flat:
    """Multijet events with up to seven jets, or boosted scalars that decay to two jets."""
    if kind == "boosted":
        jets = alternative_jets(rng, n_events, mass=125.0, width=12.0, pt_scale=250.0)
    else:
        jets = training_jets(rng, n_events, max_jets=7)
    fields = {"pt": jets.pt, "eta": jets.eta, "phi": jets.phi}
    return Flat(jets.counts, {**_rounded(fields), "hadronFlavour": jets.flavour})


def pairs_of(counts: Array) -> tuple[Array, Array]:
    """Rows of all ordered pairs of different objects of the same event."""
    offsets = np.concatenate([[0], np.cumsum(counts)])
    partners = np.repeat(counts, counts)
    first = np.repeat(np.arange(offsets[-1]), partners)
    start = np.concatenate([[0], np.cumsum(partners)])[:-1]
    second = np.repeat(np.repeat(offsets[:-1], counts), partners)
    second = second + np.arange(len(first)) - np.repeat(start, partners)
    different = first != second
    return first[different], second[different]


def distances(events: Flat, first: Array, second: Array) -> Array:
    """Delta R of pairs."""
    eta, phi = events.fields["eta"], events.fields["phi"]
    return np.hypot(eta[first] - eta[second], _wrapped(phi[first] - phi[second]))


def nearest(events: Flat) -> Array:
    """Delta R to the nearest object of the event; infinite for an object that is alone."""
    first, second = pairs_of(events.counts)
    out = np.full(int(events.counts.sum()), np.inf)
    np.minimum.at(out, first, distances(events, first, second))
    return out


def jet_efficiency(events: Flat) -> Array:
    """Efficiency of every jet."""
    pt, eta, flavour = (events.fields[name] for name in ("pt", "eta", "hadronFlavour"))
    edge = np.abs(eta) / 2.4
    rise = expit(np.log(pt / 42.0) / 0.35)
    single = np.select(
        [flavour == 5, flavour == 4],
        [
            0.82 * rise / (1.0 + (pt / 700.0) ** 2) * (1.0 - 0.45 * edge**4),
            0.22 * expit(np.log(pt / 60.0) / 0.5) * (1.0 - 0.3 * edge**2),
        ],
        (0.006 + 0.030 * (pt / 600.0) ** 1.5) * (1.0 + 0.8 * edge**3),
    )
    first, second = pairs_of(events.counts)
    delta_r = distances(events, first, second)
    short, long = np.empty((2, len(second)))
    for code, losses in NEIGHBOUR_LOSS.items():
        short[flavour[second] == code], long[flavour[second] == code] = losses
    factors = (1.0 - short * np.exp(-delta_r / SHORT)) * (
        1.0 - long * np.exp(-0.5 * (delta_r / LONG) ** 2)
    )
    logs = np.bincount(first, weights=np.log(factors), minlength=len(pt))
    return np.asarray(single * np.exp(logs))


# ------------------------------------------------------------------------------------ photons

PHOTONS = Task(
    collection="Photon",
    features=("pt", "eta", "phi", "isolation", "npvs", "converted"),
    categorical={"converted": (1, 0)},
    passed=Passed(field="selected"),
    weight="genWeight",
    truth="trueEfficiency",
)
MISSING = -1.0
"""Isolation that was not computed."""


def generate_photons(rng: Rng, kind: str, n_events: int) -> Flat:
    """Up to three photons; ``busy`` events have harder photons and more pile-up."""
    busy = kind == "busy"
    counts = rng.choice([1, 2, 3], n_events, p=(0.5, 0.4, 0.1))
    n = int(counts.sum())
    pileup = rng.poisson(np.clip(rng.normal(48.0 if busy else 32.0, 9.0, n_events), 5.0, 80.0))
    npvs = np.repeat(np.clip(pileup, 1, 90), counts).astype(np.float64)
    pt = 15.0 + rng.exponential(45.0 if busy else 25.0, n)
    isolation = np.exp(rng.normal(np.log(0.6 + 0.03 * npvs), 1.3))
    isolation[rng.uniform(size=n) < 0.12] = MISSING
    eta, phi = rng.uniform(-2.5, 2.5, n), rng.uniform(-np.pi, np.pi, n)
    fields = {"pt": pt, "eta": eta, "phi": phi, "isolation": isolation, "npvs": npvs}
    fields = _rounded(fields)
    converted = (rng.uniform(size=n) < 0.15 + 0.12 * np.abs(fields["eta"])).astype(np.int64)
    return Flat(counts, {**fields, "converted": converted})


def photon_efficiency(events: Flat) -> Array:
    """Efficiency of every photon."""
    pt, eta, phi, isolation, npvs, converted = (events.fields[name] for name in PHOTONS.features)
    crack = np.exp(-0.5 * ((np.abs(eta) - 1.5) / 0.07) ** 2)
    out = 0.95 * expit((pt - 24.0) / 3.5) * (1.0 - 0.7 * crack)
    out *= 1.0 - 0.25 * converted * expit((np.abs(eta) - 1.2) / 0.3)
    out *= 1.0 - 0.5 * _window(phi, 1.4, 0.5, 0.04) * (eta > 0.0)
    computed = isolation != MISSING
    cut = np.log(2.0 + 0.05 * npvs)
    tight = expit((cut - np.log(np.where(computed, isolation, 1.0))) / 0.25)
    out *= np.where(computed, 0.03 + 0.97 * tight, 0.55)
    return np.asarray(out * (1.0 - 0.004 * npvs))


# ------------------------------------------------------------------------------------ samples

FORWARD_PAIRS = Pairs(rapidity=(1.6, 4.9), eta=(2.0, 4.5), pt_min=0.2, features=POLAR)
CENTRAL_PAIRS = Pairs(rapidity=(-1.2, 1.2), eta=(-0.9, 0.9), pt_min=0.2, features=CARTESIAN)
PAIR_TESTS = {"rho": 500_000, "tensor": 500_000}
JET_TESTS = {"test": 100_000, "boosted": 100_000}
SETUPS: dict[str, Setup] = {
    "forward": Setup(pair_task(POLAR), 500_000, PAIR_TESTS, FORWARD_PAIRS, forward_efficiency),
    "jets-20k": Setup(JETS, 20_000, JET_TESTS, generate_jets, jet_efficiency),
    "central": Setup(pair_task(CARTESIAN), 300_000, PAIR_TESTS, CENTRAL_PAIRS, central_efficiency),
    "photons": Setup(
        PHOTONS, 100_000, {"test": 100_000, "busy": 100_000}, generate_photons, photon_efficiency
    ),
    "jets-100k": Setup(JETS, 100_000, JET_TESTS, generate_jets, jet_efficiency),
}


def draw(setup: Setup, kind: str, n_events: int, seed: int) -> Sample:
    """Draw a sample and throw its responses: a pure function of the arguments."""
    rng = np.random.default_rng([seed, *kind.encode()])
    events = setup.generate(rng, kind, n_events)
    true = setup.efficiency(events)
    response = (rng.uniform(size=true.size) < true).astype(np.float32)
    if setup.task.of_events:
        response = np.repeat(response, events.counts)
    offsets = np.concatenate([[0], np.cumsum(events.counts)]).astype(np.int64)
    nodes = np.stack([events.fields[n] for n in setup.task.features], axis=1).astype(np.float32)
    # events are drawn independently: any order of the keys is as good, and this one is sorted
    keys = np.sort(rng.integers(0, 2**64, n_events, dtype=np.uint64))
    return Sample(TrainingColumns(offsets, nodes, response, np.ones(n_events), keys), true)


def events_of(setup: Setup, columns: TrainingColumns) -> Flat:
    """Objects of events of a sample."""
    fields = dict(zip(setup.task.features, columns.nodes.T.astype(np.float64), strict=True))
    for name in setup.task.categorical:
        fields[name] = fields[name].astype(np.int64)
    return Flat(np.diff(columns.offsets), fields)


def records_of(setup: Setup, columns: TrainingColumns) -> ak.Array:
    """Objects of a sample as jagged records."""
    events = events_of(setup, columns)
    return ak.zip({name: ak.unflatten(x, events.counts) for name, x in events.fields.items()})


def write_sample(setup: Setup, sample: Sample, path: Path) -> Path:
    """Write a sample as a tree that ``hepsilon train`` and ``hepsilon closure`` read."""
    task, columns = setup.task, sample.columns
    records, counts = records_of(setup, columns), np.diff(columns.offsets)
    passed = columns.passed.astype(bool)
    n_events = columns.n_events
    branches: dict[str, Any] = {
        "run": np.ones(n_events, np.uint32),
        "luminosityBlock": np.ones(n_events, np.uint32),
        "event": np.arange(1, n_events + 1, dtype=np.uint64),
        "genWeight": columns.weights.astype(np.float32),
    }
    if task.of_events:
        branches |= {task.passed.field: passed[columns.offsets[:-1]], "trueEfficiency": sample.true}
    else:
        records[task.passed.field] = ak.unflatten(passed, counts)
        records["trueEfficiency"] = ak.unflatten(sample.true, counts)
    with uproot.recreate(path) as file:
        file["Events"] = {**branches, task.collection: records}
    return path

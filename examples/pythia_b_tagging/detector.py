"""Jets and their b tag from the particles of Pythia: simple rules in place of a detector.

All functions take the particles of some hundred events at once, as records with the fields that
Pythia gives them (``id``, ``status``, ``mother1``, ``p``, ``vProd``), events x particles. Lengths
are in mm, momenta in GeV.
"""

from __future__ import annotations

import awkward as ak
import fastjet
import numpy as np
import vector
from scipy.spatial import cKDTree
from scipy.special import erfc, gammaincc

vector.register_awkward()

RADIUS = 0.4
"""Of jets (anti-kt), and of the cone around them that takes tracks."""
JET_PT, JET_ETA = 15.0, 2.5
"""Jets that are kept."""
HADRON_PT = 5.0
"""Smallest pt of a hadron that gives its flavour to a jet, and of a tau that makes it no jet."""
TRACK_PT, TRACK_ETA = 1.0, 2.5
"""Charged particles that may leave a track ..."""
FIRST_LAYER = 30.0
"""... if they are born inside the first layer of the detector ..."""
TRACK_EFFICIENCY = 0.95
"""... which a share of them does."""
MERGING = 0.02
"""Delta R below which the hits of two tracks merge: the softer one is lost ..."""
WORSE = 4.0
"""... and the harder one is measured worse by this factor, which the tagger does not know."""
TAIL = 0.02
"""Share of the tracks that the tagger expects to be measured worse than their error says."""

NEUTRINOS = (12, 14, 16)
LEPTONS = (11, 13)
CHARGED = (11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334)
"""PDG codes of what may leave a track."""
GHOST = 1e-18
"""Scale of the momenta of hadrons that are clustered to be found in jets, not to change them."""


def make_jets(particles: ak.Array, rng: np.random.Generator) -> ak.Array:
    """Jets of all events with their columns, the hardest first."""
    visible = particles[is_visible(particles)]
    hadrons = [last(particles, of_flavour(particles, flavour)) for flavour in (5, 4)]
    jets = cluster(visible, *hadrons, last(particles, is_prompt_tau(particles)))
    jets = jets[ak.argsort(jets.pt, ascending=False)]
    jets["btagJP"] = jet_probability(jets, measure_tracks(visible, rng))
    return jets


# ------------------------------------------------------------------------------- particles


def one_of(codes: ak.Array, wanted: tuple[int, ...]) -> ak.Array:
    """Whether PDG codes are among the wanted ones, up to their sign."""
    found = np.isin(abs(ak.to_numpy(ak.flatten(codes))), wanted)
    return ak.unflatten(found, ak.num(codes))


def is_visible(particles: ak.Array) -> ak.Array:
    """Final particles without neutrinos and without the leptons of W and Z, which are no jets."""
    final = (particles.status > 0) & ~one_of(particles.id, NEUTRINOS)
    from_hadrons = particles.status > 80  # in Pythia's numbers
    return final & (from_hadrons | ~one_of(particles.id, LEPTONS))


def of_flavour(particles: ak.Array, flavour: int) -> ak.Array:
    """Whether particles are hadrons with a quark of this flavour."""
    codes = abs(particles.id)
    hadron = (codes > 100) & (codes // 10 % 10 > 0)  # diquarks have a zero there
    return hadron & ((codes // 100 % 10 == flavour) | (codes // 1000 % 10 == flavour))


def is_prompt_tau(particles: ak.Array) -> ak.Array:
    """Whether particles are taus of W and Z, in Pythia's numbers."""
    return (abs(particles.id) == 15) & (abs(particles.status) < 80)


def last(particles: ak.Array, chosen: ak.Array) -> ak.Array:
    """Chosen particles of enough pt, none of whose daughters is chosen, too."""
    numbers = ak.num(particles)
    flat = ak.to_numpy(ak.flatten(chosen))
    mothers = ak.to_numpy(ak.flatten(particles.mother1 + np.cumsum(numbers) - numbers))
    final = np.array(flat)
    final[mothers[flat]] = False
    return particles[ak.unflatten(final, numbers) & (particles.p.pt > HADRON_PT)]


# ------------------------------------------------------------------------------------ jets


def momenta(particles: ak.Array, scale: float = 1.0) -> ak.Array:
    """Four-momenta as fastjet wants them."""
    names = {"px": "px", "py": "py", "pz": "pz", "E": "e"}
    fields = {name: scale * particles.p[field] for name, field in names.items()}
    return ak.zip(fields, with_name="Momentum4D")


def cluster(visible: ak.Array, *ghosts: ak.Array) -> ak.Array:
    """Anti-kt jets; ``ghosts`` are b hadrons and c hadrons, which give a flavour, and taus."""
    inputs = [momenta(visible), *(momenta(each, GHOST) for each in ghosts)]
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
    found = fastjet.ClusterSequence(ak.concatenate(inputs, axis=1), definition)
    p4 = ak.with_name(found.inclusive_jets(min_pt=JET_PT), "Momentum4D")
    index = found.constituent_index(min_pt=JET_PT)
    first = ak.num(visible)
    contains = []
    for each in ghosts:
        contains.append(ak.any((index >= first) & (index < first + ak.num(each)), axis=2))
        first = first + ak.num(each)
    has_b, has_c, has_tau = contains
    columns = {
        "pt": p4.pt,
        "eta": p4.eta,
        "phi": p4.phi,
        "mass": np.sqrt(np.maximum(p4.E**2 - p4.p**2, 0.0)),
        "nConstituents": ak.sum(index < ak.num(visible), axis=2),
        "hadronFlavour": ak.where(has_b, 5, ak.where(has_c, 4, 0)),
    }
    jets = ak.zip(columns, with_name="Momentum4D")
    return jets[(abs(jets.eta) < JET_ETA) & ~has_tau]  # those of taus are no jets


# ---------------------------------------------------------------------------------- tracks


def measure_tracks(visible: ak.Array, rng: np.random.Generator) -> ak.Array:
    """Tracks with their transverse impact parameter ``d0`` and its ``error`` as it is known."""
    p, born = visible.p, visible.vProd
    x, y = (ak.fill_none(value, 0.0, axis=1) for value in (born.px, born.py))  # none: at the origin
    inside = (p.pt > TRACK_PT) & (abs(p.eta) < TRACK_ETA) & (np.hypot(x, y) < FIRST_LAYER)
    chosen = inside & one_of(visible.id, CHARGED)
    numbers = ak.sum(chosen, axis=1)
    pt, eta, phi, x, y = (
        ak.to_numpy(ak.flatten(value[chosen])) for value in (p.pt, p.eta, p.phi, x, y)
    )
    lost, disturbed = merge(np.repeat(np.arange(len(numbers)), numbers), pt, eta, phi)
    error = np.hypot(0.02, 0.08 * np.sqrt(np.cosh(eta)) / pt)
    true = y * np.cos(phi) - x * np.sin(phi)
    tracks = {
        "phi": phi,
        "eta": eta,
        "d0": rng.normal(true, np.where(disturbed, WORSE, 1.0) * error),
        "error": error,
    }
    found = ~lost & (rng.random(len(pt)) < TRACK_EFFICIENCY)
    records = ak.zip(tracks | {"pt": pt}, with_name="Momentum3D")
    return ak.unflatten(records, numbers)[ak.unflatten(found, numbers)]


def merge(
    event: np.ndarray, pt: np.ndarray, eta: np.ndarray, phi: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tracks that are lost, and those that are disturbed, by a close one of their event."""
    apart = 100.0 * event  # tracks of different events are never close
    points = np.stack([apart + eta, phi % (2.0 * np.pi)], axis=1)
    pairs = cKDTree(points, boxsize=[0.0, 2.0 * np.pi]).query_pairs(MERGING, output_type="ndarray")
    softer_first = np.where((pt[pairs[:, 0]] < pt[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1])
    lost, disturbed = np.zeros(len(pt), bool), np.zeros(len(pt), bool)
    lost[softer_first[:, 0]] = True
    disturbed[softer_first[:, 1]] = True
    return lost, disturbed


# --------------------------------------------------------------------------------- tagging


def jet_probability(jets: ak.Array, tracks: ak.Array) -> ak.Array:
    """-log10 of the probability that all tracks of a jet come from the primary vertex.

    Of the tracks in the cone those count whose impact parameter is positive: the track crosses the
    axis of the jet in front of the vertex. With the product P of their n probabilities the jet's is
    P * sum over j < n of (-log P)^j / j! (ALEPH, Phys. Lett. B 313 (1993) 535).
    """
    jet, track = ak.unzip(ak.cartesian([jets, tracks], nested=True))
    positive = track.d0 * np.sin(jet.phi - track.phi) > 0.0
    used = track[(jet.deltaR(track) < RADIUS) & positive]
    significance = abs(used.d0) / used.error
    core, tail = erfc(significance / np.sqrt(2.0)), 1.0 / (1.0 + significance / 10.0) ** 2
    n = ak.num(used, axis=2)
    logarithm = -ak.sum(np.log((1.0 - TAIL) * core + TAIL * tail), axis=2)
    probability = ak.where(n > 0, gammaincc(np.maximum(n, 1), logarithm), 1.0)
    return np.log10(1.0 / probability)

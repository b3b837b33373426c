"""Two samples of toy jets whose density ratio is known, jet by jet.

The positions of the jets have the same density in both samples. Given these, each jet draws its
flavour, its pt and its ``shape`` on its own, so that the ratio of the densities of one jet in (pt,
eta, flavour, shape, distance to the nearest jet) is a product of known factors
(:func:`log_density`), and that of a whole event is the product of its jets. Both samples have a
tag, too, whose efficiencies differ by another known ratio. Background in the numerator comes with
sWeights (Pivk and Le Diberder, Nucl. Instrum. Meth. A 555 (2005) 356).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from hepsilon.arrays.checks import check_seed
from hepsilon.arrays.geometry import delta_r_to_nearest
from hepsilon.arrays.types import Array
from hepsilon.simulation.efficiency import environment_product, jet_efficiency
from hepsilon.simulation.writer import Branches, event_numbers, write_trees

__all__ = [
    "OVERLAPS",
    "SIDES",
    "RatioColumns",
    "log_density",
    "ratio_events",
    "ratio_jets",
    "sweights",
    "tag_efficiency",
    "write_ratio_jets",
]

ETA_MAX = 2.4
WIDTH_PHI = 0.6
JET_MASS = 2.0
CONTROL_MASS, CONTROL_WIDTH, CONTROL_MAX = 5.0, 0.5, 10.0
FIRST_RUN = 2**28
"""Of numbers that no other simulated sample has."""


@dataclass(frozen=True)
class Population:
    """Density of jets of one kind.

    Attributes
    ----------
    fractions : dict of int to float
        Share of each flavour.
    pt_scale : float, GeV
        Scale of the exponential pt.
    shift : dict of int to float
        Shift of the mean of ``shape`` for a jet that is alone; twice as much beside another jet.
    width : float
        Standard deviation of ``shape``.
    """

    fractions: dict[int, float]
    pt_scale: float
    shift: dict[int, float]
    width: float


POPULATIONS = {
    "denominator": Population({5: 0.2, 4: 0.3, 0: 0.5}, 60.0, {5: 0.0, 4: 0.0, 0: 0.0}, 1.0),
    "numerator": Population({5: 0.3, 4: 0.3, 0: 0.4}, 75.0, {5: 0.5, 4: 0.3, 0: -0.2}, 0.9),
    "background": Population({5: 0.1, 4: 0.2, 0: 0.7}, 40.0, {5: -1.0, 4: -1.0, 0: -1.0}, 1.0),
}
SIDES = ("numerator", "denominator")
OVERLAPS: dict[str, dict[str, tuple[float, float]]] = {
    "good": {"numerator": (20.0, 400.0), "denominator": (20.0, 400.0)},
    "partial": {"numerator": (20.0, 400.0), "denominator": (20.0, 120.0)},
    "none": {"numerator": (120.0, 400.0), "denominator": (20.0, 100.0)},
}
"""Range of pt [GeV] of both samples, by overlap."""


@dataclass(frozen=True)
class RatioColumns:
    """Jets of many events as flat columns, ordered by falling pt within each event.

    Attributes
    ----------
    counts : ndarray of int64, shape (n_events,)
        Number of jets of each event.
    pt : ndarray of float64, shape (n_jets,), GeV
        Transverse momentum.
    eta : ndarray of float64, shape (n_jets,)
        Pseudorapidity.
    phi : ndarray of float64, shape (n_jets,), rad
        Azimuth.
    flavour : ndarray of int64, shape (n_jets,)
        Hadron flavour: 5, 4 or 0.
    shape : ndarray of float64, shape (n_jets,)
        A feature such as a substructure variable.
    nearest : ndarray of float64, shape (n_jets,)
        Distance to the nearest jet; infinity for a jet that is alone.
    background : ndarray of bool, shape (n_jets,)
        Jets that are background.
    """

    counts: Array
    pt: Array
    eta: Array
    phi: Array
    flavour: Array
    shape: Array
    nearest: Array
    background: Array

    @property
    def offsets(self) -> Array:
        """Position of the first jet of each event, int64 of shape (n_events + 1,)."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)


def _mean_shape(kind: str, pt: Array, eta: Array, flavour: Array, nearest: Array) -> Array:
    """Mean of ``shape`` in a population."""
    shift = np.select(
        [flavour == f for f in (5, 4)],
        [POPULATIONS[kind].shift[f] for f in (5, 4)],
        POPULATIONS[kind].shift[0],
    )
    beside = np.exp(-0.5 * (nearest / 0.5) ** 2)
    forward = 0.0 if kind == "denominator" else -0.05 * eta**2
    mean: Array = 0.4 * np.log(pt / 50.0) + shift * (1.0 + beside) + forward
    return mean


def log_density(kind: str, pt_range: tuple[float, float], jets: RatioColumns) -> Array:
    """Logarithm of the density of jets, given their position.

    Parameters
    ----------
    kind : {"numerator", "denominator", "background"}
        Population.
    pt_range : tuple of float, GeV
        Range of pt.
    jets : RatioColumns
        Jets of events.

    Returns
    -------
    ndarray of float64, shape (n_jets,)
        Logarithm of the density in flavour, pt and shape; minus infinity outside of the range.
    """
    population = POPULATIONS[kind]
    share = np.select(
        [jets.flavour == f for f in population.fractions], [*population.fractions.values()]
    )
    low, high = np.exp(-np.array(pt_range) / population.pt_scale)
    pt = -jets.pt / population.pt_scale - np.log(population.pt_scale * (low - high))
    inside = (jets.pt >= pt_range[0]) & (jets.pt <= pt_range[1])
    mean = _mean_shape(kind, jets.pt, jets.eta, jets.flavour, jets.nearest)
    shape = norm.logpdf(jets.shape, mean, population.width)
    return np.where(inside, np.log(share) + pt + shape, -np.inf)


def ratio_jets(
    rng: np.random.Generator,
    n_events: int,
    side: str,
    *,
    overlap: str = "good",
    background: float = 0.0,
) -> RatioColumns:
    """Draw jets of one of the samples.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random numbers.
    n_events : int
        Number of events, of one to five jets.
    side : {"numerator", "denominator"}
        Sample.
    overlap : {"good", "partial", "none"}, default "good"
        How much of the numerator the denominator covers: see :data:`OVERLAPS`.
    background : float, default 0.0
        Share of the jets of the numerator that are background, below 1.

    Returns
    -------
    RatioColumns
        Jets within ``|eta|`` of 2.4.
    """
    counts = rng.integers(1, 6, n_events)
    total = int(counts.sum())
    event = np.repeat(np.arange(n_events), counts)
    eta = rng.uniform(-ETA_MAX, ETA_MAX, total)
    phi = rng.uniform(-np.pi, np.pi, n_events)[event] + rng.normal(0.0, WIDTH_PHI, total)
    phi = (phi + np.pi) % (2.0 * np.pi) - np.pi
    positions = ak.zip(
        {name: ak.unflatten(x, counts) for name, x in {"eta": eta, "phi": phi}.items()}
    )
    nearest = ak.to_numpy(ak.flatten(delta_r_to_nearest(positions)))
    is_background = (rng.uniform(size=total) < background) & (side == "numerator")
    pt, flavour, shape = np.empty(total), np.empty(total, np.int64), np.empty(total)
    for kind, of_kind in ((side, ~is_background), ("background", is_background)):
        population, n = POPULATIONS[kind], int(of_kind.sum())
        low, high = np.exp(-np.array(OVERLAPS[overlap][side]) / population.pt_scale)
        pt[of_kind] = -population.pt_scale * np.log(rng.uniform(high, low, n))
        flavour[of_kind] = rng.choice(
            list(population.fractions), n, p=list(population.fractions.values())
        )
        own = (column[of_kind] for column in (pt, eta, flavour, nearest))
        mean = _mean_shape(kind, *own)  # of its own jets alone: those of others are not drawn yet
        shape[of_kind] = rng.normal(mean, population.width)
    order = np.lexsort((-pt, event))
    columns = (pt, eta, phi, flavour, shape, nearest, is_background)
    return RatioColumns(counts, *(column[order] for column in columns))


def tag_efficiency(jets: RatioColumns, side: str) -> Array:
    """Efficiency of a tag in one of the samples, of jets of either.

    Parameters
    ----------
    jets : RatioColumns
        Jets of events.
    side : {"numerator", "denominator"}
        Sample whose efficiency it is: the numerator is the data.

    Returns
    -------
    ndarray of float64, shape (n_jets,)
        The efficiency of :func:`hepsilon.simulation.true_efficiency` with odds that grow with the
        shape, and in the numerator change with flavour, pt and the distance to the nearest jet.
    """
    eps = jet_efficiency(jets.pt, jets.eta, jets.flavour)
    eps = eps * environment_product(jets.offsets, jets.eta, jets.phi, jets.flavour)
    odds = logit(eps) + 0.3 * jets.shape
    if side == "numerator":
        odds += np.select([jets.flavour == 5, jets.flavour == 4], [-0.2, 0.1], 0.3)
        odds += 0.15 * np.log(jets.pt / 50.0) - 0.3 * np.exp(-0.5 * (jets.nearest / 0.5) ** 2)
    return np.asarray(expit(odds))


def sweights(mass: Array, iterations: int = 50) -> Array:
    """Weights that give the signal of a peak above a flat background.

    Parameters
    ----------
    mass : ndarray, shape (n,)
        Control mass: a known Gaussian peak above a uniform background.
    iterations : int, default 50
        Of the fit of the share of the signal.

    Returns
    -------
    ndarray of float64, shape (n,)
        Weights of both signs, whose sum is the number of signal jets that is fitted.
    """
    density = np.stack(
        [norm.pdf(mass, CONTROL_MASS, CONTROL_WIDTH), np.full(mass.shape, 1.0 / CONTROL_MAX)]
    )
    share = np.array([0.5, 0.5])
    for _ in range(iterations):
        share = (share[:, None] * density / (share @ density)).mean(axis=1)
    yields = share * len(mass)
    together = yields @ density
    covariance = np.linalg.inv((density / together**2) @ density.T)
    return np.asarray(covariance[0] @ density / together)


def ratio_events(
    side: str, chunk: int, n_events: int, seed: int, overlap: str = "good", background: float = 0.0
) -> Branches:
    """Branches of one chunk of one of the samples, a pure function of the arguments.

    Parameters
    ----------
    side : {"numerator", "denominator"}
        Sample.
    chunk : int
        Number of the chunk.
    n_events : int
        Number of events in the chunk.
    seed : int
        Seed of the sample.
    overlap : {"good", "partial", "none"}, default "good"
        How much of the numerator the denominator covers.
    background : float, default 0.0
        Share of background among the jets of the numerator.

    Returns
    -------
    dict of str to ndarray or ak.Array, length n_events
        Branches by name; ``Jet`` holds jagged records, pt and mass in GeV, phi in rad.
    """
    key = [seed, SIDES.index(side), list(OVERLAPS).index(overlap), chunk, FIRST_RUN]
    rng = np.random.default_rng(key)
    jets = ratio_jets(rng, n_events, side, overlap=overlap, background=background)
    total = len(jets.pt)
    ranges = OVERLAPS[overlap]
    with np.errstate(invalid="ignore"):  # background where neither sample has jets
        log_ratio = log_density("numerator", ranges["numerator"], jets)
        log_ratio = log_ratio - log_density("denominator", ranges["denominator"], jets)
    eps = {name: tag_efficiency(jets, name) for name in SIDES}
    own = eps[side] * np.where(jets.background, 0.5, 1.0)
    peak = rng.normal(CONTROL_MASS, CONTROL_WIDTH, total)
    control = np.where(jets.background, rng.uniform(0.0, CONTROL_MAX, total), peak)
    with_weights = side == "numerator" and background > 0.0
    columns = {
        "pt": jets.pt,
        "eta": jets.eta,
        "phi": jets.phi,
        "mass": np.full(total, JET_MASS),
        "hadronFlavour": jets.flavour.astype(np.uint8),
        "shape": jets.shape,
        "discriminant": own - rng.uniform(size=total),
        "trueEfficiency": own,
        "trueRatio": np.exp(log_ratio),
        "trueEfficiencyRatio": eps["numerator"] / eps["denominator"],
        "isNumerator": np.full(total, side == "numerator"),
        "isBackground": jets.background,
        "controlMass": control,
        "sWeight": sweights(control) if with_weights else np.ones(total),
    }
    records = ak.zip({name: ak.unflatten(x, jets.counts) for name, x in columns.items()})
    return {
        **event_numbers(FIRST_RUN + 2 * seed + SIDES.index(side), chunk, n_events),
        "isNumerator": np.full(n_events, side == "numerator"),
        "trueEventRatio": np.exp(np.add.reduceat(log_ratio, jets.offsets[:-1])),
        "Jet": records,
    }


def write_ratio_jets(
    path: str | Path,
    n_events: int,
    *,
    side: str,
    overlap: str = "good",
    background: float = 0.0,
    seed: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Simulate one of two samples of known density ratio into a ROOT file (TTree ``Events``).

    ``Jet_trueRatio`` is the ratio of the densities of signal jets, ``trueEventRatio`` that of whole
    events, and ``Jet_trueEfficiencyRatio`` that of the efficiencies of the tag
    ``Jet_discriminant > 0`` in the numerator and in the denominator. ``Jet_sWeight`` subtracts the
    background.

    Parameters
    ----------
    path : path-like
        File to write; it appears only when complete.
    n_events : int
        Number of events, one or more.
    side : {"numerator", "denominator"}
        Sample.
    overlap : {"good", "partial", "none"}, default "good"
        How much of the numerator the denominator covers: all, three quarters or nothing. The ratio
        is 0 where only the denominator has jets, and infinite where only the numerator has.
    background : float, default 0.0
        Share of the jets of the numerator that are background, from 0 up to below 1.
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
        If the side or the overlap is unknown, the share of background, the seed or the number of
        events is out of range.
    """
    for name, value, known in (("side", side, SIDES), ("overlap", overlap, tuple(OVERLAPS))):
        if value not in known:
            raise ValueError(f"expected {name} out of {known}, received {value!r}")
    if not 0.0 <= background < 1.0:
        raise ValueError(f"expected a share of background in [0, 1), received {background}")
    if background and side != "numerator":
        raise ValueError(
            "expected background in the numerator only, received it for the denominator"
        )
    check_seed(seed, 1, 24)
    if n_events < 1 or n_events != int(n_events):
        raise ValueError(f"expected at least one event, received {n_events}")

    def branches(chunk: int, size: int) -> Branches:
        return ratio_events(side, chunk, size, seed, overlap, background)

    return write_trees(path, n_events, branches, progress)

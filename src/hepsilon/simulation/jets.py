"""Toy jet events, as flat columns that are drawn from a ``numpy.random.Generator``.

They follow Appendix A of Di Bello et al., "Efficiency Parameterization with Neural Networks".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import vector
from scipy.special import ndtr, ndtri

from hepsilon.arrays.kernels import delta_phi
from hepsilon.arrays.types import Array
from hepsilon.simulation.efficiency import FLAVOURS, environment_product, jet_efficiency

__all__ = ["JetColumns", "alternative_jets", "training_jets", "true_efficiency"]

ETA_MAX = 2.4
PT_RANGE = (20.0, 600.0)
JET_MASS = 2.0


@dataclass(frozen=True)
class JetColumns:
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
    mass : ndarray of float64, shape (n_jets,), GeV
        Mass.
    flavour : ndarray of int64, shape (n_jets,)
        Hadron flavour: 5, 4 or 0.
    """

    counts: Array
    pt: Array
    eta: Array
    phi: Array
    mass: Array
    flavour: Array

    @property
    def offsets(self) -> Array:
        """Position of the first jet of each event, int64 of shape (n_events + 1,)."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)


def true_efficiency(jets: JetColumns) -> Array:
    """True efficiency of every jet, Eq. 2 of the paper (:mod:`hepsilon.simulation.efficiency`).

    Parameters
    ----------
    jets : JetColumns
        Jets of events.

    Returns
    -------
    ndarray of float64, shape (n_jets,)
        Efficiency of every jet.
    """
    single = jet_efficiency(jets.pt, jets.eta, jets.flavour)
    return single * environment_product(jets.offsets, jets.eta, jets.phi, jets.flavour)


def _truncated_normal(
    rng: np.random.Generator, mean: float, width: float, low: float, high: float, size: int
) -> Array:
    """Gaussian numbers within [low, high], by inversion of the cumulative distribution."""
    first, last = ndtr((np.array([low, high]) - mean) / width)
    inverse: Array = mean + width * ndtri(rng.uniform(first, last, size=size))
    return np.clip(inverse, low, high)  # round-off at the edges only


def _around_leading(
    rng: np.random.Generator, eta_leading: Array, delta_r_max: float
) -> tuple[Array, Array]:
    """Differences (d_eta, d_phi) to the leading jet, with delta R from a density ~ sqrt(delta R).

    The angle in the eta-phi plane is uniform; where the jet would leave the acceptance only the
    angle is drawn again, so the delta R spectrum stays exact.
    """
    delta_r = delta_r_max * rng.uniform(size=eta_leading.size) ** (2.0 / 3.0)
    angle = np.zeros_like(delta_r)
    todo = np.arange(delta_r.size)
    while todo.size:
        angle[todo] = rng.uniform(0.0, 2.0 * np.pi, size=todo.size)
        eta = eta_leading[todo] + delta_r[todo] * np.cos(angle[todo])
        todo = todo[np.abs(eta) > ETA_MAX]
    return delta_r * np.cos(angle), delta_r * np.sin(angle)


def training_jets(rng: np.random.Generator, n_events: int, *, max_jets: int = 6) -> JetColumns:
    """Multijet events of the training sample.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random numbers.
    n_events : int
        Number of events.
    max_jets : int, default 6
        Largest multiplicity: it follows exp(-n / 4) between 2 and this number. The paper gives no
        upper end; 6 gives the 3.5 jets per event of its public code.

    Returns
    -------
    JetColumns
        Jets with a pt between 20 and 600 GeV and ``|eta|`` below 2.4.
    """
    multiplicities = np.arange(2, max_jets + 1)
    probabilities = np.exp(-multiplicities / 4.0)
    counts = rng.choice(multiplicities, n_events, p=probabilities / probabilities.sum())
    total = int(counts.sum())
    event = np.repeat(np.arange(n_events), counts)
    pt = _truncated_normal(rng, 20.0, 200.0, *PT_RANGE, size=total)
    pt = pt[np.lexsort((-pt, event))]
    leading = np.concatenate([[0], np.cumsum(counts)])[:-1].astype(np.int64)
    eta_leading = _truncated_normal(rng, 0.0, 0.5, -ETA_MAX, ETA_MAX, size=n_events)
    phi_leading = rng.uniform(-np.pi, np.pi, size=n_events)
    d_eta, d_phi = _around_leading(rng, eta_leading[event], delta_r_max=np.pi)
    d_eta[leading] = d_phi[leading] = 0.0
    return JetColumns(
        counts=counts,
        pt=pt,
        eta=eta_leading[event] + d_eta,
        phi=delta_phi(phi_leading[event], -d_phi),
        mass=np.full(total, JET_MASS),
        flavour=rng.choice(list(FLAVOURS), total),
    )


def _four_vectors(columns: dict[str, Array]) -> Any:
    return vector.array(columns)


def _decay_scalars(
    rng: np.random.Generator, n: int, mass: float, width: float, pt_scale: float
) -> tuple[Any, Any]:
    """Two-body decays, isotropic in the rest frame, of scalars with exponential pt."""
    scalar_mass = _truncated_normal(rng, mass, width, 4.0 * JET_MASS, 2.0 * mass, size=n)
    scalar = _four_vectors(
        {
            "pt": rng.exponential(pt_scale, n),
            "eta": rng.normal(0.0, 1.0, n),
            "phi": rng.uniform(-np.pi, np.pi, n),
            "mass": scalar_mass,
        }
    )
    momentum = np.sqrt(0.25 * scalar_mass**2 - JET_MASS**2)
    cos_theta, azimuth = rng.uniform(-1.0, 1.0, n), rng.uniform(-np.pi, np.pi, n)
    sin_theta = np.sqrt(1.0 - cos_theta**2)
    x, y = momentum * sin_theta * np.cos(azimuth), momentum * sin_theta * np.sin(azimuth)
    z, energy = momentum * cos_theta, 0.5 * scalar_mass
    return tuple(
        _four_vectors({"px": s * x, "py": s * y, "pz": s * z, "E": energy}).boost_p4(scalar)
        for s in (1.0, -1.0)
    )


def alternative_jets(
    rng: np.random.Generator,
    n_events: int,
    *,
    mass: float = 90.0,
    width: float = 10.0,
    pt_scale: float = 150.0,
) -> JetColumns:
    """Events of the alternative sample: a boosted scalar decays into two jets of one flavour.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random numbers.
    n_events : int
        Number of events with both jets inside the acceptance of the training sample.
    mass : float, GeV, default 90.0
        Mean of the Gaussian mass of the scalar.
    width : float, GeV, default 10.0
        Width of the Gaussian mass of the scalar.
    pt_scale : float, GeV, default 150.0
        Mean of the exponential pt of the scalar.

    Returns
    -------
    JetColumns
        Two jets in every event.
    """
    kept: list[list[Array]] = []
    n_kept = 0
    while n_kept < n_events:
        jets = _decay_scalars(rng, max(2 * (n_events - n_kept), 1000), mass, width, pt_scale)
        pt, eta, phi = (np.stack([getattr(j, name) for j in jets]) for name in ("pt", "eta", "phi"))
        accepted = ((pt > PT_RANGE[0]) & (pt < PT_RANGE[1]) & (np.abs(eta) < ETA_MAX)).all(axis=0)
        kept.append([column[:, accepted] for column in (pt, eta, phi)])
        n_kept += int(accepted.sum())
    pt, eta, phi = (np.concatenate(c, axis=1)[:, :n_events].T for c in zip(*kept, strict=True))
    order = np.argsort(-pt, axis=1)
    pt, eta, phi = (np.take_along_axis(column, order, axis=1).ravel() for column in (pt, eta, phi))
    return JetColumns(
        counts=np.full(n_events, 2),
        pt=pt,
        eta=eta,
        phi=phi,
        mass=np.full(2 * n_events, JET_MASS),
        flavour=np.repeat(rng.choice(list(FLAVOURS), n_events), 2),
    )

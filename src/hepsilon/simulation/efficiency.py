r"""True tagging efficiency of the toy jets.

It is Eq. 2 of Di Bello et al., "Efficiency Parameterization with Neural Networks":

.. math:: \epsilon_i = \epsilon_{f_i}(p_T, \eta) \prod_{j \ne i} \hat\epsilon(\Delta R_{ij}, f_j)

The paper draws both factors in its Fig. 3 but publishes no numbers. Here
:math:`\epsilon_f` is a two-dimensional Gaussian in (pt, eta), and the environment factor is
:math:`1 - a_{f_j} \exp(-\Delta R^2 / 2 r_{f_j}^2)`: a close-by jet lowers the efficiency, most
strongly if it is a light jet. The constants of both are :data:`FLAVOURS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np

from hepsilon.arrays.types import Array, Offsets

__all__ = [
    "FLAVOURS",
    "FlavourShape",
    "environment_factor",
    "environment_product",
    "jet_efficiency",
]


@dataclass(frozen=True)
class FlavourShape:
    """Efficiency shape of jets of one flavour, and their effect on other jets.

    Attributes
    ----------
    peak : float
        Efficiency at the maximum of the Gaussian.
    pt_mean : float, GeV
        Position of the maximum in pt.
    pt_width : float, GeV
        Width of the Gaussian in pt.
    eta_width : float
        Width of the Gaussian in eta, with the maximum at 0.
    dip : float
        Relative loss of efficiency of another jet at delta R = 0 to this one.
    radius : float
        Gaussian width of that loss in delta R.
    """

    peak: float
    pt_mean: float
    pt_width: float
    eta_width: float
    dip: float
    radius: float


FLAVOURS: dict[int, FlavourShape] = {
    5: FlavourShape(0.78, pt_mean=150.0, pt_width=350.0, eta_width=2.2, dip=0.20, radius=0.6),
    4: FlavourShape(0.20, pt_mean=180.0, pt_width=300.0, eta_width=2.0, dip=0.30, radius=0.7),
    0: FlavourShape(0.015, pt_mean=400.0, pt_width=350.0, eta_width=3.0, dip=0.40, radius=0.8),
}
"""Shapes by hadron flavour: b (5), c (4) and light (0)."""


def _constants(flavour: Array, name: str) -> Array:
    """Look up one constant of :data:`FLAVOURS` for every jet."""
    unknown = ~np.isin(flavour, list(FLAVOURS))
    if unknown.any():
        raise ValueError(f"expected flavours {sorted(FLAVOURS)}, received {set(flavour[unknown])}")
    out = np.empty(flavour.shape, np.float64)
    for code, shape in FLAVOURS.items():
        out[flavour == code] = getattr(shape, name)
    return out


def jet_efficiency(pt: Array, eta: Array, flavour: Array) -> Array:
    """Efficiency of an isolated jet: the first factor of Eq. 2 (paper Fig. 3, top).

    Parameters
    ----------
    pt : ndarray, shape (n,), GeV
        Transverse momentum.
    eta : ndarray, shape (n,)
        Pseudorapidity.
    flavour : ndarray of int, shape (n,)
        Hadron flavour: 5, 4 or 0.

    Returns
    -------
    ndarray of float64, shape (n,)
        Efficiency of every jet.

    Raises
    ------
    ValueError
        If a flavour is not in :data:`FLAVOURS`.
    """
    pull_pt = (pt - _constants(flavour, "pt_mean")) / _constants(flavour, "pt_width")
    pull_eta = eta / _constants(flavour, "eta_width")
    result: Array = _constants(flavour, "peak") * np.exp(-0.5 * (pull_pt**2 + pull_eta**2))
    return result


def environment_factor(delta_r: Array, other_flavour: Array) -> Array:
    """Factor on the efficiency by one other jet: the second factor of Eq. 2 (Fig. 3, bottom).

    Parameters
    ----------
    delta_r : ndarray, shape (n,)
        Distance to the other jet in the eta-phi plane.
    other_flavour : ndarray of int, shape (n,)
        Hadron flavour of the other jet: 5, 4 or 0.

    Returns
    -------
    ndarray of float64, shape (n,)
        Factor, at most 1.

    Raises
    ------
    ValueError
        If a flavour is not in :data:`FLAVOURS`.
    """
    dip, radius = _constants(other_flavour, "dip"), _constants(other_flavour, "radius")
    result: Array = 1.0 - dip * np.exp(-0.5 * (delta_r / radius) ** 2)
    return result


def environment_product(offsets: Offsets, eta: Array, phi: Array, flavour: Array) -> Array:
    """Product of the factors by all other jets of the event, for every jet.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Position of the first jet of each event.
    eta, phi : ndarray, shape (n_jets,)
        Pseudorapidity, and azimuth in rad.
    flavour : ndarray of int, shape (n_jets,)
        Hadron flavour: 5, 4 or 0.

    Returns
    -------
    ndarray of float64, shape (n_jets,)
        Product for every jet; 1 for a jet that is alone.

    Raises
    ------
    ValueError
        If a flavour is not in :data:`FLAVOURS`.
    """
    dip, radius = _constants(flavour, "dip"), _constants(flavour, "radius")
    return _environment_product(offsets, eta, phi, dip, radius)


@nb.njit(cache=True, nogil=True)
def _environment_product(
    offsets: Offsets, eta: Array, phi: Array, dip: Array, radius: Array
) -> Array:
    out = np.ones(eta.size, np.float64)
    for event in range(offsets.size - 1):
        for i in range(offsets[event], offsets[event + 1]):
            for j in range(offsets[event], offsets[event + 1]):
                if i != j:
                    d_phi = abs(phi[i] - phi[j]) % (2.0 * np.pi)
                    d_phi = min(d_phi, 2.0 * np.pi - d_phi)
                    square = (eta[i] - eta[j]) ** 2 + d_phi**2
                    out[i] *= 1.0 - dip[j] * np.exp(-0.5 * square / radius[j] ** 2)
    return out

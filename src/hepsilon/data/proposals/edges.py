"""Bin edges of maps, from quantiles of a sample."""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.data.proposals.record import Proposal
from hepsilon.data.survey import Sample

__all__ = ["describe_edges", "rounded", "transverse_momenta"]

PHI = 3.14159266
JET_PT, TRACKER = 20.0, 2.5
"""Usual thresholds of jets: pt [GeV] and |eta|."""


def _field(proposal: Proposal, sample: Sample, name: str) -> Array | None:
    own = proposal.found.fields.get(name)
    return None if own is None else sample.values(proposal.found.columns[own])


def transverse_momenta(proposal: Proposal, sample: Sample) -> Array | None:
    """Transverse momentum of all objects, from the file or its components.

    Parameters
    ----------
    proposal : Proposal
        Proposal with the collection.
    sample : Sample
        Some entries of the file.

    Returns
    -------
    ndarray of float, shape (n_objects,), or None
        In the unit of the file; None where the file has none.
    """
    pt = _field(proposal, sample, "pt")
    if pt is None:
        px, py = (_field(proposal, sample, name) for name in ("px", "py"))
        pt = None if px is None or py is None else np.hypot(px, py)
    return None if pt is None else pt[np.isfinite(pt)]


def _eta(proposal: Proposal, sample: Sample) -> Array | None:
    eta = _field(proposal, sample, "eta")
    if eta is None:
        px, py, pz = (_field(proposal, sample, name) for name in ("px", "py", "pz"))
        if px is None or py is None or pz is None:
            return None
        pt = np.hypot(px, py)
        eta = np.arcsinh(np.divide(pz, pt, out=np.zeros_like(pz), where=pt > 0))
    return eta[np.isfinite(eta)]


def describe_edges(proposal: Proposal, sample: Sample) -> None:
    """Bin edges of maps from quantiles of the sample, and the selection of jets.

    Parameters
    ----------
    proposal : Proposal
        Proposal that is filled in.
    sample : Sample
        Some entries of the file.
    """
    pt, eta, unit = transverse_momenta(proposal, sample), _eta(proposal, sample), proposal.in_unit
    largest = np.max(np.abs(eta), initial=0.0) if eta is not None else 0.0
    if pt is not None and eta is not None and proposal.of_jets and not proposal.of_events:
        whole = len(pt) == len(eta)
        central = (pt >= JET_PT * unit) & (np.abs(eta) <= TRACKER) if whole else np.zeros(0, bool)
        if central.mean() > 0.2:
            proposal.central = True
            pt, eta, largest = pt[central], eta[central], min(largest, TRACKER)
    if pt is not None and len(pt):
        edges = _quantiles(pt, 8)
        low = JET_PT * unit if proposal.central else rounded(float(pt.min()), down=True)
        proposal.edges["pt"] = _increasing([low, *edges, rounded(1.5 * float(pt.max()))])
    if eta is not None and len(eta):
        low, high = float(np.floor(10 * eta.min()) / 10), float(np.ceil(10 * eta.max()) / 10)
        if proposal.central:
            low, high = -TRACKER, TRACKER
        proposal.edges["eta"] = _increasing([low, *_quantiles(eta, 6), high])
    if proposal.of_events:
        proposal.edges["phi"] = np.linspace(-PHI, PHI, 9).round(8).tolist()


def _quantiles(values: Array, bins: int) -> list[float]:
    bins = int(min(bins, max(1, len(values) // 50)))
    inner = np.quantile(values, np.linspace(0.0, 1.0, bins + 1)[1:-1])
    return [rounded(float(value)) for value in inner]


def rounded(value: float, digits: int = 2, *, down: bool = False) -> float:
    """A number with few digits.

    Parameters
    ----------
    value : float
        The number.
    digits : int, default 2
        Digits that count.
    down : bool, default False
        Round towards minus infinity.

    Returns
    -------
    float
        The rounded number.
    """
    if value == 0.0:
        return 0.0
    power = digits - 1 - int(np.floor(np.log10(abs(value))))
    scale = 10.0**power
    number = np.floor(value * scale) if down else np.round(value * scale)
    return float(np.round(number / scale, max(power, 0)))


def _increasing(edges: list[float]) -> list[float]:
    """Edges in order, each once."""
    low, high = edges[0], edges[-1]
    inner = sorted({edge for edge in edges[1:-1] if low < edge < high})
    return [low, *inner, high if high > low else low + 1.0]

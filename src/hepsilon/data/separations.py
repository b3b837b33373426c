"""Distances between the objects of an event, as a network resolves them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hepsilon.arrays.kernels import delta_r_to_nearest
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.records import Record

__all__ = ["Separations"]

MAX_EVENTS = 1 << 17
"""Number of events from which the distances are taken, enough for their quantiles."""
QUANTILES = 0.01, 0.1, 0.5


class Separations(Record):
    """Range of delta R to the nearest partner, in which close-by objects are told apart.

    A network sees ``exp(-(delta R - low) / scale)`` for each of the scales besides delta R itself.

    Attributes
    ----------
    low : float
        Smallest distance that occurs (quantile of 1 %).
    scales : tuple of float
        Falling lengths, from the tenth of the objects that are closest to the median.
    """

    low: float = 0.0
    scales: tuple[float, ...] = (0.1, 0.3, 1.0)

    @classmethod
    def of(cls, names: Sequence[str], offsets: Offsets, nodes: Nodes) -> Separations | None:
        """Choose the lengths by the quantiles of a sample.

        The first length is the distance from the quantile of 1 % to that of 10 %, the last one that
        from 1 % to the median, and the other one their geometric mean.

        Parameters
        ----------
        names : sequence of str
            Features, in the order of the columns.
        offsets : ndarray of int64, shape (n_events + 1,)
            Position of the first object of each event.
        nodes : ndarray of float32, shape (n_objects, n_features)
            The features.

        Returns
        -------
        Separations or None
            None if the features give no angles, or no event has two objects.
        """
        offsets = offsets[: MAX_EVENTS + 1]
        angles = _angles(list(names), nodes[: offsets[-1]])
        if angles is None:
            return None
        nearest = delta_r_to_nearest(offsets, *angles)
        nearest = nearest[np.isfinite(nearest)]
        if not len(nearest):
            return None
        low, tenth, median = np.quantile(nearest, QUANTILES)
        first, last = max(tenth - low, 1e-3), max(median - low, 1e-3)
        scales = float(first), float(np.sqrt(first * last)), float(last)
        return cls(low=float(low), scales=scales)


def _angles(names: list[str], nodes: Nodes) -> tuple[Array, Array] | None:
    """Pseudorapidity and azimuth of all objects, as they are or from the momenta."""
    column = {name: nodes[:, i].astype(np.float64) for i, name in enumerate(names)}
    if column.keys() >= {"eta", "phi"}:
        return column["eta"], column["phi"]
    if column.keys() >= {"px", "py", "pz"}:
        pt = np.hypot(column["px"], column["py"])
        eta = np.arcsinh(column["pz"] / np.maximum(pt, 1e-6))
        return eta, np.arctan2(column["py"], column["px"])
    return None

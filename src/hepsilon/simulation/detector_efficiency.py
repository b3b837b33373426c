"""True efficiency of the toy detector, callable like every efficiency of events."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import flat
from hepsilon.arrays.fields import field
from hepsilon.errors import InputError
from hepsilon.simulation.detector import Detector, Tracks

__all__ = ["DetectorEfficiency"]


class DetectorEfficiency:
    """True efficiency of events with a fixed number of tracks in a parametrised detector.

    Parameters
    ----------
    detector : Detector
        Detector whose efficiency is taken.
    objects : int, default 2
        Number of tracks in every event.
    """

    def __init__(self, detector: Detector, objects: int = 2) -> None:
        self.detector, self.objects = detector, objects

    def __repr__(self) -> str:
        return f"DetectorEfficiency({self.detector!r}, {self.objects})"

    def __call__(self, records: ak.Array, /) -> ak.Array:
        """Efficiency of every event.

        Parameters
        ----------
        records : ak.Array of records, shape (n_events, tracks)
            Tracks with the fields px, py and pz [GeV] and charge [e].

        Returns
        -------
        ak.Array of float64, shape (n_events,)
            Efficiency of every event.

        Raises
        ------
        InputError
            If an event has another number of tracks, or a field is missing.
        """
        counts = ak.to_numpy(ak.num(records, axis=1))
        wrong = int(np.count_nonzero(counts != self.objects))
        if wrong:
            raise InputError(
                f"expected {self.objects} tracks in every event, but {wrong} of {len(counts)} "
                "events have another number"
            )
        px, py, pz, charge = (
            flat(field(records, name), name=name).reshape(len(counts), self.objects)
            for name in ("px", "py", "pz", "charge")
        )
        return ak.Array(self.detector.efficiency(Tracks(px, py, pz, charge)))

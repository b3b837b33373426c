"""The toy detector's true efficiency as an efficiency of events."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import flat
from hepsilon.arrays.fields import field
from hepsilon.errors import InputError
from hepsilon.simulation.detector import Detector, Tracks

__all__ = ["DetectorEfficiency"]


class DetectorEfficiency:
    """A parametrised detector as efficiency of events with a fixed number of tracks.

    Parameters
    ----------
    detector : Detector
        Constants of :class:`hepsilon.simulation.Detector`.
    objects : int, default 2
        Number of tracks in every event.
    """

    def __init__(self, detector: Detector, objects: int = 2) -> None:
        self.detector, self.objects = detector, objects

    def __repr__(self) -> str:
        return f"DetectorEfficiency({self.detector!r}, {self.objects})"

    def __call__(self, records: ak.Array, /) -> ak.Array:
        """Efficiency of every event, float64.

        Raises
        ------
        InputError
            For events with another number of tracks, or missing fields.
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

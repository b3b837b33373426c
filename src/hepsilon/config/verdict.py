"""Thresholds of the verdict of a closure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictFloat

from hepsilon.config.records import Record

__all__ = ["VerdictConfig"]

Tolerance = Annotated[StrictFloat, Field(gt=0, lt=1)]


class VerdictConfig(Record):
    """Thresholds of the verdict, ``[verdict]`` in a file.

    Attributes
    ----------
    p_value : float
        A difference is clear below this chance: three standard deviations, on two sides.
    total : float
        Tolerated relative difference of the total.
    bin : float
        Tolerated relative difference in a bin.
    out_of_domain : float
        Tolerated share of objects or events outside the domain of the efficiency.
    clipped : float
        Tolerated share of the weight of events whose efficiency was below the floor.
    shared : float
        Tolerated share of events that are in the training as well, in other files.
    two_sample : float
        Boosted trees know more than the efficiency at or below this chance, where they were asked.
    """

    p_value: Tolerance = 0.0027
    total: Tolerance = 0.02
    bin: Tolerance = 0.05
    out_of_domain: Tolerance = 0.01
    clipped: Tolerance = 0.01
    shared: Tolerance = 0.01
    two_sample: Tolerance = 0.01

"""Records of the calibration of an efficiency in ``closure.json``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hepsilon.closure.record import ClosureRecord

__all__ = ["Calibration", "CalibrationError", "Reliability"]

Count = Annotated[int, Field(ge=0)]


class Reliability(ClosureRecord):
    """Predicted against observed share, in bins of the predicted one.

    Attributes
    ----------
    predicted, observed : list of float
        Mean efficiency, and share that passed, in every bin; from the smallest efficiency.
    error : list of float
        Error of the observed share if the efficiency is true.
    share : list of float
        Share of the weight in every bin.
    """

    predicted: list[float]
    observed: list[float]
    error: list[float]
    share: list[float]


class CalibrationError(ClosureRecord):
    """Expected calibration error: mean over the entries of ``|observed - predicted share|``.

    Attributes
    ----------
    raw : float
        Sum over bins of the absolute differences, over the sum of weights.
    noise : float
        Expectation of ``raw`` for the true efficiency, whose differences are chance.
    value : float
        ``raw - noise``: not above zero, within its error, for an efficiency without fault; too
        small by at most ``noise`` where differences are large.
    error : float
        Standard deviation of ``raw`` by the statistical error of the sample.
    p_value : float or None
        Chance of a larger chi2 of the same bins, by the sample alone; None without bins.
    n_bins : int
        Number of bins.
    """

    raw: float
    noise: float
    value: float
    error: float
    p_value: float | None
    n_bins: Count


class Calibration(ClosureRecord):
    """Calibration of one method; without what is too small to be judged.

    Attributes
    ----------
    reliability : dict of str to Reliability
        By category; ``"all"`` for everything.
    errors : dict of str to CalibrationError
        In bins of the predicted efficiency (``"efficiency"``, or ``"efficiency|CATEGORY"``) and of
        each observable of objects (``"pt"``, ``"pt|CATEGORY"``); of inversion in those of each
        observable in one dimension, relative to what was generated.
    """

    reliability: dict[str, Reliability]
    errors: dict[str, CalibrationError]

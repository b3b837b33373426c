"""Cards of what an efficiency expects of events that its training did not see."""

from __future__ import annotations

from typing import Literal

from hepsilon.config.records import Record

__all__ = ["BiasCard", "HeldOutBins", "HeldOutCard"]


class HeldOutBins(Record):
    """Passed against expected entries in the bins of one input, for one working point.

    Attributes
    ----------
    name : str
        Input, or ``"all"`` for the total of each category.
    working_point : str
        Name of the working point; empty where there is one.
    bins : tuple of str
        Names of the bins, such as ``"pt 40 to 60"``.
    categories : tuple of str
        Category of each bin, such as ``"hadronFlavour 5"``; empty where there is one.
    n_effective : tuple of float
        Entries of equal weight that those of each bin are worth.
    observed, expected : tuple of float
        Weighted sums of what passed, and of the efficiencies.
    variance : tuple of float
        Binomial variance of their difference, ``sum w^2 eps (1 - eps)``.
    efficiency_variance : tuple of float or None
        Variance of the expected sums by the covariance of the last layer; None where that is not
        known.
    chi2 : float
        Sum of squared differences in units of their variances, of the bins with enough entries.
    ndf : int
        Number of these bins.
    p_value : float
        Chance of a larger sum; the differences depend on each other.
    """

    name: str
    working_point: str = ""
    bins: tuple[str, ...]
    categories: tuple[str, ...]
    n_effective: tuple[float, ...]
    observed: tuple[float, ...]
    expected: tuple[float, ...]
    variance: tuple[float, ...]
    efficiency_variance: tuple[float, ...] | None = None
    chi2: float
    ndf: int
    p_value: float


class HeldOutCard(Record):
    """Closure of a training on events that it did not see.

    Attributes
    ----------
    events : {"validation", "out of fold"}
        Which events these are: those of the validation, which have chosen the epoch, or all, each
        by the network that was not trained on it.
    n_events : int
        Number of these events.
    inputs : tuple of HeldOutBins
        The totals, then all inputs, of every working point.
    """

    events: Literal["validation", "out of fold"]
    n_events: int
    inputs: tuple[HeldOutBins, ...]


class BiasCard(Record):
    """Bias of the efficiency by region, as far as events show or exclude it.

    Attributes
    ----------
    spread : dict of str to float
        Standard deviation of the shifts of the logits by input, as a mean over its regions; those
        of ``"all"`` are shifts of whole categories.
    total_error : float
        Relative standard deviation of the number of objects (events) that are expected to pass the
        loosest working point, by the shifts.
    n_events : int
        Number of events that the shifts were looked for in.
    partners : bool
        Whether the inputs look at the other objects of an event.
    regions, directions : int
        Numbers of regions, and of directions in which their shifts vary.
    """

    spread: dict[str, float]
    total_error: float
    n_events: int
    partners: bool
    regions: int
    directions: int

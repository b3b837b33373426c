"""Cards of what an efficiency expects of events that its training did not see."""

from __future__ import annotations

import math
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

    def cells(self, number: int) -> list[str]:
        """Row of one bin for people.

        Parameters
        ----------
        number : int
            Number of the bin.

        Returns
        -------
        list of str
            Bin, category, observed, expected, passed over expected with the statistical error, and
            the error of the efficiency in units of the expected number.
        """
        expected, own = self.expected[number], self.efficiency_variance
        known = expected > 0.0
        error = f"{math.sqrt(self.variance[number]) / expected:.3f}" if known else "-"
        ratio = f"{self.observed[number] / expected:.3f} +- {error}" if known else "-"
        efficiency = f"{math.sqrt(own[number]) / expected:.3f}" if known and own else "-"
        return [
            self.bins[number],
            self.categories[number],
            f"{self.observed[number]:.5g}",
            f"{expected:.5g}",
            ratio,
            efficiency,
        ]


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

    @property
    def totals(self) -> tuple[HeldOutBins, ...]:
        """Totals by category, of each working point."""
        return tuple(each for each in self.inputs if each.name == "all")

    @property
    def least_probable(self) -> HeldOutBins:
        """Input and working point with the smallest p-value."""
        return min(self.inputs, key=lambda each: each.p_value)

    @property
    def p_value(self) -> float:
        """Smallest p-value, times the number of inputs and working points (Bonferroni)."""
        return min(1.0, len(self.inputs) * self.least_probable.p_value)

    def __str__(self) -> str:
        """The input that deviates most, in one line."""
        worst = self.least_probable
        where = " of ".join(filter(None, (worst.name, worst.working_point)))
        return (
            f"{self.n_events:,} {self.events} events: p = {self.p_value:.2g} after "
            f"{len(self.inputs)} tests, the least probable is {where} "
            f"(chi2 / bins = {worst.chi2:.1f} / {worst.ndf})"
        )


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
    variance_of_ratio : float
        Mean variance of the logarithm of a ratio by the shifts, over the reweighted denominator;
        zero of efficiencies.
    """

    spread: dict[str, float]
    total_error: float
    n_events: int
    partners: bool
    regions: int
    directions: int
    variance_of_ratio: float = 0.0

    def __str__(self) -> str:
        """Error of the total, and the inputs with the largest shifts."""
        if not self.directions:
            return f"no entries of {self.n_events:,} events to see a bias with"
        largest = sorted(self.spread.items(), key=lambda each: -each[1])[:3]
        text = ", ".join(f"{name} {value:.2g}" for name, value in largest)
        return (
            f"{100 * self.total_error:.3g} % of the total; shifts of the logit by region, largest "
            f"in {text}; from {self.n_events:,} events"
        )

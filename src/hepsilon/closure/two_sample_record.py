"""Records of the two-sample test in ``closure.json``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hepsilon.closure.record import ClosureRecord

__all__ = ["AreaTest", "Region", "TwoSample"]

Count = Annotated[int, Field(ge=0)]


class AreaTest(ClosureRecord):
    """Area under the curve that was found, among those of samples with drawn responses.

    Attributes
    ----------
    mean, spread : float
        Mean and standard deviation of the areas of these samples.
    p_value : float
        Share of the samples whose area is at least as large, the sample itself counted.
    n_draws : int
        Number of these samples.
    """

    mean: float
    spread: float
    p_value: float
    n_draws: Count


class Region(ClosureRecord):
    """What passed against what is expected, in a region that was chosen by the test.

    Attributes
    ----------
    text : str
        The region.
    share : float
        Share of the weight.
    ratio : float or None
        Passed over expected; None where nothing is expected.
    error : float or None
        Error of the ratio if the efficiency is true.
    pull : float
        Difference in units of its error.
    """

    text: str
    share: float
    ratio: float | None
    error: float | None
    pull: float


class TwoSample(ClosureRecord):
    """Test of boosted trees, which look for whatever an efficiency does not know.

    Attributes
    ----------
    n_entries, n_events : int
        Numbers of objects (or events) and of events.
    auc : float
        Area under the curve that tells what passed from everything weighted with the efficiency, on
        the fold that the trees were not fitted to; one half for no difference.
    by_sample : AreaTest
        Null distribution with responses drawn from the efficiency: it is exact.
    with_own_error : AreaTest
        The same with responses drawn from replicas of the efficiency; left out where it has none.
    response_auc, response_auc_with_trees : float
        Area under the curve of the response, by the efficiency, and with what the trees add to it.
    loss_gain, loss_gain_error : float
        By how much the trees lower the cross-entropy per entry on events that they were not fitted
        to, and its error.
    features : dict of str to float
        Share of the inputs in the gain of the splits, from the largest.
    regions : list of Region
        Where the trees see most and least, and the bins of the features above that deviate most;
        chosen among many, so that their pulls alone prove nothing.
    """

    n_entries: Count
    n_events: Count
    auc: float
    by_sample: AreaTest
    with_own_error: AreaTest | None = None
    response_auc: float
    response_auc_with_trees: float
    loss_gain: float
    loss_gain_error: float
    features: dict[str, float]
    regions: list[Region]

    @property
    def p_value(self) -> float:
        """Chance, with the efficiency's own error where it is known."""
        return (self.with_own_error or self.by_sample).p_value

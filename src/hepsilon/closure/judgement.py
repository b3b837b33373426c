"""Records of the verdict in ``closure.json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from hepsilon.closure.record import ClosureRecord
from hepsilon.config.verdict import VerdictConfig

__all__ = ["MethodVerdict", "Role", "Status", "Verdict", "WorstBin"]

Count = Annotated[int, Field(ge=0)]
Status = Literal["pass", "warn", "fail"]
Role = Literal["efficiency", "baseline", "alternative", "reconstructed", "reference"]
"""Network or function, binned baseline, from another simulation, momenta as reconstructed, or the
simulated truth."""


def _all_thresholds(thresholds: VerdictConfig) -> dict[str, Any]:
    return thresholds.model_dump(mode="json")


class WorstBin(ClosureRecord):
    """Bin with the largest pull, of all that hold enough entries; or the sum over all bins.

    Attributes
    ----------
    observable : str
        ``OBSERVABLE`` or ``OBSERVABLE|CATEGORY``.
    edges : list of list of float
        Lower and upper edge on each axis.
    pull : float
        Difference in units of its error.
    relative_difference : float
        (observed - expected) / expected.
    p_value : float
        Chance of such a pull, or a larger one, in any of the bins.
    n_bins : int
        Number of these bins, of all observables and categories.
    """

    observable: str
    edges: list[list[float]]
    pull: float
    relative_difference: float
    p_value: float
    n_bins: Count


class MethodVerdict(ClosureRecord):
    """Verdict on one method.

    Attributes
    ----------
    status : {"pass", "warn", "fail"}
        The verdict.
    role : {"efficiency", "baseline", "alternative", "reconstructed", "reference"}
        Network or function; binned baseline; learned from another simulation; momenta as
        reconstructed; the simulated truth.
    reasons : list of str
        One sentence for each finding; of a pass, one that says what was seen.
    p_value : float or None
        Chance of differences as clear as these, all observables, total and bins combined; None
        where nothing can be compared.
    relative_difference : float or None
        observed / expected - 1 of the total.
    smallest_visible_bias : float or None
        Relative bias of the total that is two standard deviations.
    worst_bin : WorstBin or None
        Bin with the largest pull; None where no bin holds enough entries.
    clipped, out_of_domain : float
        Shares, as in :class:`Entry`.
    """

    status: Status
    role: Role
    reasons: list[str]
    p_value: float | None
    relative_difference: float | None
    smallest_visible_bias: float | None
    worst_bin: WorstBin | None
    clipped: float
    out_of_domain: float


class Verdict(ClosureRecord):
    """Verdict on a sample; p-values contain the error of the efficiency where it is known.

    Attributes
    ----------
    status : {"pass", "warn", "fail"}
        Worst one of the efficiencies; of the baselines where nothing else was compared.
    reasons : list of str
        Reasons of the efficiencies that have this status, each with its name.
    thresholds : VerdictConfig
        Thresholds that were applied.
    methods : dict of str to MethodVerdict
        Verdict on every method, by its label.
    """

    status: Status
    reasons: list[str]
    thresholds: Annotated[VerdictConfig, PlainSerializer(_all_thresholds)]
    methods: dict[str, MethodVerdict]

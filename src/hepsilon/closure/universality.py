"""Closures of several samples side by side: whether efficiencies hold wherever they are used.

An efficiency that depends on all that matters gives the same answer for every process; one that
averages over something fits only samples in which that is distributed as in its training.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from hepsilon.closure.dependence import Ratio
from hepsilon.closure.judgement import Status
from hepsilon.closure.model import Closure, Entry
from hepsilon.closure.record import ClosureRecord
from hepsilon.closure.verdict import SEVERITY
from hepsilon.errors import InputError
from hepsilon.histograms.methods import ALL

__all__ = ["Agreement", "MethodAgreement", "Universality", "universality"]


class Agreement(ClosureRecord):
    """Agreement in one observable.

    Attributes
    ----------
    chi2 : float
        chi2 by the exact statistic.
    ndf : int
        Number of bins in it.
    p_value : float or None
        Chance of a larger chi2; None without bins.
    """

    chi2: float
    ndf: int
    p_value: float | None


class MethodAgreement(ClosureRecord):
    """Agreement of one method on one sample.

    Attributes
    ----------
    status : {"pass", "warn", "fail"} or None
        Verdict; None where none was asked for.
    p_value : float or None
        Chance of differences as clear as these, of all that was looked at.
    relative_difference, pull : float or None
        observed / expected - 1 of the total, and that difference in units of its error.
    observables : dict of str to Agreement
        Agreement by observable, all categories together.
    dependence : dict of str to Ratio
        Totals by efficiencies from other simulations, relative to this one, by their name.
    """

    status: Status | None
    p_value: float | None
    relative_difference: float | None
    pull: float | None
    observables: dict[str, Agreement]
    dependence: dict[str, Ratio] = Field(default_factory=dict)


class Universality(ClosureRecord):
    """Content of ``universality.json``: agreement by sample and method.

    Attributes
    ----------
    status : {"pass", "warn", "fail"} or None
        Worst verdict of all samples.
    samples : dict of str to dict of str to MethodAgreement
        Agreement by sample and method.
    """

    status: Status | None
    samples: dict[str, dict[str, MethodAgreement]]

    @property
    def observables(self) -> list[str]:
        """Names of all observables."""
        methods = [m for entries in self.samples.values() for m in entries.values()]
        return list(dict.fromkeys(name for method in methods for name in method.observables))

    @property
    def alternatives(self) -> list[str]:
        """Names of the efficiencies from other simulations."""
        methods = [m for entries in self.samples.values() for m in entries.values()]
        return list(dict.fromkeys(name for method in methods for name in method.dependence))


def universality(closures: Mapping[str, Closure]) -> Universality:
    """Put closures of several samples side by side.

    Parameters
    ----------
    closures : mapping of str to TaggingClosure or InversionClosure
        Closures by the name of the sample.

    Returns
    -------
    Universality
        Content of ``universality.json``.

    Raises
    ------
    InputError
        Without closures.
    """
    if not closures:
        raise InputError("expected closures of samples, received none")
    verdicts = [closure.verdict.status for closure in closures.values() if closure.verdict]
    return Universality(
        status=max(verdicts, key=SEVERITY.index) if verdicts else None,
        samples={
            sample: {m: _agreement(closure, m, entry) for m, entry in closure.efficiency.items()}
            for sample, closure in closures.items()
        },
    )


def _agreement(closure: Closure, method: str, entry: Entry) -> MethodAgreement:
    """Agreement of one method on one sample."""
    judged = closure.verdict.methods.get(method) if closure.verdict else None
    overall = entry.overall
    difference = overall.observed / overall.expected - 1.0 if overall.expected else None
    return MethodAgreement(
        status=judged.status if judged else None,
        p_value=judged.p_value if judged else None,
        relative_difference=difference,
        pull=overall.pull,
        observables={
            name: Agreement(chi2=o.chi2, ndf=o.ndf, p_value=o.p_value)
            for name, o in entry.observables.items()
            if "|" not in name
        },
        dependence={name: d.totals[ALL] for name, d in (entry.dependence or {}).items()},
    )

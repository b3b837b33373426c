"""Verdict on an efficiency by the held-out events of its own training.

A first answer where there is no second sample. Clear is a difference whose p-value, times the
number of all that is looked at (Bonferroni), is below the threshold; large one that exceeds what is
tolerated. The p-values contain the statistical error of the held-out events, not that of the
efficiency itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from hepsilon.closure.judgement import Status
from hepsilon.closure.verdict import VISIBLE
from hepsilon.config.verdict import VerdictConfig
from hepsilon.efficiencies.held_out_cards import HeldOutBins, HeldOutCard

__all__ = ["HeldOutVerdict", "judge_held_out"]


@dataclass(frozen=True)
class HeldOutVerdict:
    """Verdict with its reasons.

    Attributes
    ----------
    status : {"pass", "warn", "fail"}
        The verdict.
    reasons : list of str
        Totals first, then what deviates most.
    """

    status: Status
    reasons: list[str]


@dataclass(frozen=True)
class _Difference:
    """One difference that is looked at, with its chance and how large it is."""

    text: str
    p_value: float
    size: float
    tolerance: float


def judge_held_out(
    held_out: HeldOutCard, thresholds: VerdictConfig | None = None
) -> HeldOutVerdict:
    """Judge what passed against what was expected on held-out events.

    Parameters
    ----------
    held_out : HeldOutCard
        Closure of a training on events that it did not see.
    thresholds : VerdictConfig, optional
        Thresholds of ``[verdict]``; by default those of a closure.

    Returns
    -------
    HeldOutVerdict
        Fails where a difference is clear and large, warns where one is clear, or where the events
        are too few to see the bias of the total that is tolerated.
    """
    limits = thresholds or VerdictConfig()
    totals = [_total(each, limits.total) for each in held_out.totals]
    inputs = [_input(each, limits.bin) for each in held_out.inputs]
    every = [*(difference for difference, _ in totals), *inputs]
    clear = [each for each in every if len(every) * each.p_value < limits.p_value]
    visible = max(seen for _, seen in totals)
    reasons = [difference.text for difference, _ in totals]
    reasons += [each.text for each in clear if each.text not in reasons]
    if not clear:
        least = held_out.least_probable
        reasons.append(
            f"none of {len(every)} differences is clear; the least probable is in {_name(least)} "
            f"(p = {min(1.0, len(every) * least.p_value):.2g} after as many tests)"
        )
    blind = visible > limits.total
    if blind:
        reasons.append(
            f"{held_out.n_events:,} events could not have seen less than {100 * visible:.2g} % "
            "in the total"
        )
    if any(each.size > each.tolerance for each in clear):
        return HeldOutVerdict("fail", reasons)
    return HeldOutVerdict("warn" if clear or blind else "pass", reasons)


def _name(each: HeldOutBins) -> str:
    """Input and working point, for people."""
    name = "the totals by category" if each.name == "all" else each.name
    return " of ".join(filter(None, (name, each.working_point)))


def _total(each: HeldOutBins, tolerance: float) -> tuple[_Difference, float]:
    """Difference of the total of one working point, and the smallest one that could be seen."""
    observed, expected = sum(each.observed), sum(each.expected)
    error = sum(each.variance) ** 0.5
    of = f" of {each.working_point}" if each.working_point else ""
    if not (expected > 0.0 and error > 0.0):
        return _Difference(f"total{of}: nothing is expected", 1.0, 0.0, tolerance), np.inf
    relative, pull = observed / expected - 1.0, (observed - expected) / error
    side = "more" if relative > 0.0 else "less"
    text = (
        f"total{of}: passed {100 * abs(relative):.3g} % {side} than expected "
        f"({pull:+.1f} standard deviations)"
    )
    chance = float(2.0 * norm.sf(abs(pull)))
    return _Difference(text, chance, abs(relative), tolerance), VISIBLE * error / expected


def _input(each: HeldOutBins, tolerance: float) -> _Difference:
    """Differences in the bins of one input; their size is without the noise of the events."""
    observed, expected, variance = (
        np.asarray(x) for x in (each.observed, each.expected, each.variance)
    )
    squares = float(np.sum((observed - expected) ** 2 - variance))
    scale = float(np.sum(expected**2))
    size = float(np.sqrt(max(squares, 0.0) / scale)) if scale > 0.0 else 0.0
    text = (
        f"{_name(each)}: chi2 / bins = {each.chi2:.1f} / {each.ndf} (p = {each.p_value:.2g}), "
        f"{100 * size:.2g} % on average"
    )
    return _Difference(text, each.p_value, size, tolerance)

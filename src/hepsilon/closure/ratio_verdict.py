"""Verdict of a closure of a ratio: pass, warn or fail, with reasons."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from hepsilon.closure.judgement import Status
from hepsilon.closure.ratio_record import RatioClosure, RatioVerdict
from hepsilon.closure.verdict import SEVERITY, VISIBLE, adjusted
from hepsilon.config.verdict import VerdictConfig

__all__ = ["SIDES", "judge_ratio"]

SIDES = ("numerator", "denominator")
MOST_OUTSIDE = 0.1
"""Share of the weight outside of the overlap above which the samples are no ones of this ratio."""
FEWEST_LEFT, FEW_LEFT = 0.01, 0.05
"""Shares of the effective entries that are left by reweighting: for a failure, and a warning."""
FEWEST_EFFECTIVE = 20.0
CLEAR = 5.0
"""Standard deviations by which an area is above one half, beside one percent, for a warning."""
TINY = 1e-12


def judge_ratio(closure: RatioClosure) -> RatioVerdict:
    """Verdict of a closure of a ratio.

    Parameters
    ----------
    closure : RatioClosure
        Everything but the verdict; its thresholds are those that decide.

    Returns
    -------
    RatioVerdict
        ``"fail"`` where a difference is clear and large, the samples are not those of the ratio, or
        nothing is left of the denominator.
    """
    limits = closure.verdict.thresholds
    found: list[tuple[Status, str]] = []
    if closure.trained_on:
        found.append(("fail", f"files of the training: {', '.join(closure.trained_on)}"))
    for side in SIDES:
        share = closure[side].outside_share
        if share > limits.out_of_domain:
            text = (
                f"{share:.1%} of the weight of the {side} is outside of the region that both "
                "samples of the training covered, where the ratio is unknown"
            )
            found.append(("fail" if share > MOST_OUTSIDE else "warn", text))
    left = closure.n_effective / max(closure.denominator.n_effective, TINY)
    if left < FEW_LEFT or closure.n_effective < FEWEST_EFFECTIVE:
        worst = left < FEWEST_LEFT or closure.n_effective < FEWEST_EFFECTIVE
        text = (
            f"after reweighting the denominator is worth {closure.n_effective:,.1f} entries of "
            f"{closure.denominator.n_effective:,.1f}: the samples overlap little"
        )
        found.append(("fail" if worst else "warn", text))
    if closure.clipped_share > limits.clipped:
        found.append(("warn", f"{closure.clipped_share:.1%} of the new weight was clipped"))
    found += _differences(closure, limits)
    found += _areas(closure, limits)
    found.sort(key=lambda item: -SEVERITY.index(item[0]))
    status: Status = found[0][0] if found else "pass"
    reasons = [text for _, text in found]
    if not reasons:
        agree = "the reweighted denominator agrees with the numerator in all features"
        mean = f"{closure.mean:.4f} +- {_error_of_mean(closure):.4f}"
        reasons = [f"{agree}; the mean of the ratio is {mean}"]
    return RatioVerdict(status=status, reasons=reasons, thresholds=limits)


def _differences(closure: RatioClosure, limits: VerdictConfig) -> list[tuple[Status, str]]:
    """Normalisation and features that differ clearly, largely, or both; what is not seen."""
    error, away = _error_of_mean(closure), abs(closure.mean - 1.0)
    texts = [f"normalisation: the mean of the ratio is {closure.mean:.4f} +- {error:.4f}"]
    chances = [float(2.0 * norm.sf(away / error)) if error > 0.0 else float(away == 0.0)]
    sizes, tolerated = [away], [limits.total]
    for name, each in closure.observables.items():
        if each.feature and each.after.p_value is not None:
            texts.append(
                f"{name}: chi2/ndf = {each.after.chi2:.1f}/{each.after.ndf} after reweighting, "
                f"mean bias {each.after.bias:.1%}"
            )
            chances.append(each.after.p_value)
            sizes.append(each.after.bias)
            tolerated.append(limits.bin)
    found: list[tuple[Status, str]] = []
    for text, chance, size, limit in zip(texts, adjusted(chances), sizes, tolerated, strict=True):
        if chance < limits.p_value:
            found.append(("fail" if size > limit else "warn", text))
    if VISIBLE * error > limits.total:
        blind = f"could not have seen less than {VISIBLE * error:.2g} in the mean of the ratio"
        found.append(("warn", f"the samples {blind}"))
    return found


def _error_of_mean(closure: RatioClosure) -> float:
    """Error of the mean of the ratio, by the sample and by the ratio itself."""
    return float(np.hypot(closure.mean_error, closure.mean_model_error or 0.0))


def _areas(closure: RatioClosure, limits: VerdictConfig) -> list[tuple[Status, str]]:
    """What trees still see."""
    test = closure.two_sample
    if test is not None:
        chance = (test.with_own_error or test.by_sample).p_value
        if chance <= limits.two_sample:
            return [("warn", f"trees see more than the ratio knows (p = {chance:.2g})")]
        return []
    if closure.auc_after is None or closure.auc_error is None:
        return []
    above = closure.auc_after - 0.5
    if above > max(0.01, CLEAR * closure.auc_error):
        return [("warn", f"trees tell the samples apart after reweighting (AUC {0.5 + above:.3f})")]
    return []

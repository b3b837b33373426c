"""The verdict of a closure: pass, warn or fail, with reasons, from the numbers of closure.json.

A difference fails an efficiency if it is clear and large. Clear: its p-value, adjusted for all that
was looked at (total, observables, worst bin), is below the threshold. Large: its relative size
exceeds what is tolerated. Only one of both is a warning, and so is a sample that could not have
seen the tolerated bias. Files of the training fail. P-values contain the efficiency's own error
where it is known; how large a difference is, and how many entries a bin holds, is asked of the
sample alone.

The p-values are combined after Simes (Biometrika 73 (1986) 751): the smallest of ``m p_(i) / i``
over the m sorted ones. That holds for independent ones and for those that depend positively
(Sarkar, Ann. Stat. 26 (1998) 494), as do the chi2 of observables made of the same objects; those of
Fisher and Stouffer do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import false_discovery_control, norm

from hepsilon.arrays.types import Array
from hepsilon.closure.judgement import MethodVerdict, Role, Status, Verdict, WorstBin
from hepsilon.closure.model import Closure, Entry, InversionClosure, ObservableClosure
from hepsilon.closure.statistic import ROUNDED
from hepsilon.closure.two_sample_record import TwoSample
from hepsilon.config.verdict import VerdictConfig
from hepsilon.histograms.methods import TRUTH
from hepsilon.processors.outputs import RECONSTRUCTED

__all__ = ["MIN_ENTRIES", "SEVERITY", "adjusted", "judge", "judge_method"]

MIN_ENTRIES = 100.0
"""Effective number ``expected^2 / variance`` from which the pull of a single bin is judged, and the
chi2 of an observable if its joined bins have as many on average. With fewer, pulls are far from a
Gaussian where only large ones count; the sum over the bins is judged all the same."""
VISIBLE = 2.0
"""Number of standard deviations at which a bias of the total can be seen."""
EQUAL = 1e-6
"""Sums that agree to this relative difference are equal."""
SEVERITY: Final[tuple[Status, ...]] = ("pass", "warn", "fail")
"""From the best to the worst."""

WITHOUT = "without the efficiency's own error"
Finding = tuple[Status, str]


@dataclass(frozen=True)
class Evidence:
    """One difference that was looked at.

    Attributes
    ----------
    text : str
        Where and how large it is.
    p_value : float
        Its chance.
    size : float
        Relative difference, without sign.
    tolerance : float
        Relative difference that is tolerated there.
    """

    text: str
    p_value: float
    size: float
    tolerance: float


@dataclass(frozen=True)
class Bins:
    """Bins of a method that hold enough entries, and sums over all bins (at no place)."""

    place: list[tuple[str, tuple[int, ...]]]
    pull: Array
    relative: Array


def adjusted(p_values: Sequence[float]) -> Array:
    """P-values adjusted for their number; the smallest is the combined one after Simes.

    Parameters
    ----------
    p_values : sequence of float
        Chances of the single differences, which may depend positively.

    Returns
    -------
    ndarray of float64, shape (n,)
        Not below the given ones.
    """
    result: Array = false_discovery_control(np.asarray(p_values, np.float64), method="bh")
    return result


def _words(closure: Closure) -> tuple[str, str]:
    """Names of the two sides that are compared."""
    inverted = isinstance(closure, InversionClosure)
    return ("corrected", "generated") if inverted else ("observed", "predicted")


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _differs(words: tuple[str, str], relative: float) -> str:
    side = "more" if relative > 0 else "less"
    return f"{words[0]} {_percent(abs(relative))} {side} than {words[1]}"


def _total(
    entry: Entry, words: tuple[str, str], thresholds: VerdictConfig
) -> tuple[Evidence | None, float | None, float | None]:
    """Evidence of the total, its relative difference and the smallest bias visible in it."""
    overall = entry.overall
    if not overall.expected or overall.pull is None:
        return None, None, None
    relative = (overall.observed - overall.expected) / abs(overall.expected)
    error = overall.relative_error or (relative / overall.pull if overall.pull else None)
    alone = "" if overall.sample_pull is None else f", {overall.sample_pull:+.1f} {WITHOUT}"
    text = f"total: {_differs(words, relative)} ({overall.pull:+.1f} standard deviations{alone})"
    chance = float(2 * norm.sf(abs(overall.pull)))
    evidence = Evidence(text, chance, abs(relative), thresholds.total)
    return evidence, relative, error and VISIBLE * error


def _arrays(observable: ObservableClosure) -> tuple[Array, Array, Array, Array]:
    """Observed, expected, and variances of all bins: by the sample, and by the efficiency."""
    parts = observable.observed, observable.expected, observable.variance
    observed, expected, variance = (np.asarray(part, np.float64) for part in parts)
    known = observable.efficiency_variance
    own = np.zeros_like(variance) if known is None else np.asarray(known, np.float64)
    return observed, expected, np.maximum(variance - own, 0.0), own


def _spread(name: str, observable: ObservableClosure, tolerance: float) -> Evidence | None:
    """Evidence of the chi2; its size is the mean bias over the bins, without their noise."""
    if observable.p_value is None or not observable.ndf:
        return None
    _, expected, variance, _ = _arrays(observable)
    seen = variance > 0
    information = float(np.sum(expected[seen] ** 2 / variance[seen]))
    if information < ROUNDED * MIN_ENTRIES * observable.ndf:
        return None
    by_sample = observable.chi2 if observable.sample_chi2 is None else observable.sample_chi2
    size = (max(0.0, by_sample - observable.ndf) / information) ** 0.5
    alone = (
        "" if observable.sample_chi2 is None else f" ({by_sample / observable.ndf:.3g} {WITHOUT})"
    )
    text = (
        f"{name}: chi2/ndf = {observable.chi2 / observable.ndf:.3g}{alone} of {observable.ndf} "
        f"bins, typically {_percent(size)} off"
    )
    return Evidence(text, observable.p_value, size, tolerance)


def _bins(entry: Entry) -> Bins:
    """Bins of all observables that hold enough entries for a judgement of their own."""
    place: list[tuple[str, tuple[int, ...]]] = []
    pulls, differences = [np.empty(0)], [np.empty(0)]
    for name, observable in entry.observables.items():
        arrays = _arrays(observable)
        at = [*np.ndindex(arrays[0].shape), ()]
        observed, expected, variance, own = (np.append(a.ravel(), a.sum()) for a in arrays)
        own[-1] = observable.efficiency_variance_of_sum or 0.0  # bins move together
        enough = (variance > 0) & (expected**2 >= ROUNDED * MIN_ENTRIES * variance)
        difference = (observed - expected)[enough]
        place += [(name, at[i]) for i in np.flatnonzero(enough)]
        pulls.append(difference / np.sqrt((variance + own)[enough]))
        differences.append(difference / np.abs(expected[enough]))
    return Bins(place, np.concatenate(pulls), np.concatenate(differences))


def _edges(observable: ObservableClosure, at: tuple[int, ...]) -> list[list[float]]:
    axes: Any = [observable.edges] if observable.dimensions == 1 else observable.edges
    if not at:
        return [[axis[0], axis[-1]] for axis in axes]
    return [[axis[i], axis[i + 1]] for axis, i in zip(axes, at, strict=True)]


def _bin(entry: Entry, bins: Bins, number: int) -> WorstBin:
    """One of the bins, with the chance of its pull in any of them."""
    name, at = bins.place[number]
    pull, count = float(bins.pull[number]), len(bins.place)
    return WorstBin(
        observable=name,
        edges=_edges(entry.observables[name], at),
        pull=pull,
        relative_difference=float(bins.relative[number]),
        p_value=float(min(1.0, count * 2 * norm.sf(abs(pull)))),
        n_bins=count,
    )


def _first_largest(values: Array) -> int:
    """Number of the largest value; of those that only rounding tells apart the first."""
    return int(np.argmax(values >= ROUNDED * values.max()))


def _worst(
    entry: Entry, words: tuple[str, str], thresholds: VerdictConfig
) -> tuple[Evidence | None, WorstBin | None]:
    """The bin with the largest pull, and the evidence of the largest clear difference in a bin."""
    bins = _bins(entry)
    if not bins.place:
        return None, None
    largest = _first_largest(np.abs(bins.pull))
    worst = _bin(entry, bins, largest)
    clear = len(bins.place) * 2 * norm.sf(np.abs(bins.pull)) < thresholds.p_value
    if clear.any():
        largest = _first_largest(np.where(clear, np.abs(bins.relative), -1.0))
    shown = _bin(entry, bins, largest)
    ranges = " and ".join(f"{low:.4g} to {high:.4g}" for low, high in shown.edges)
    where = f"bin {ranges}" if bins.place[largest][1] else f"all bins ({ranges})"
    text = (
        f"{shown.observable}, {where}: {_differs(words, shown.relative_difference)} "
        f"({shown.pull:+.1f} standard deviations, the largest clear one of {shown.n_bins} bins)"
    )
    size = abs(shown.relative_difference)
    return Evidence(text, worst.p_value, size, thresholds.bin), worst


def _impossible(
    entry: Entry, words: tuple[str, str], thresholds: VerdictConfig
) -> Iterator[Evidence]:
    """Differences where the efficiency leaves none to chance: it is zero or one there."""
    found: dict[str, float] = {}
    for name, observable in entry.observables.items():
        observed, expected, variance, own = _arrays(observable)
        scale = np.maximum(np.abs(observed), np.abs(expected))
        difference = np.abs(observed - expected)
        wrong = (variance + own == 0) & (difference > EQUAL * scale)
        if wrong.any():
            found[name] = float(difference[wrong].sum() / scale.sum())
    if found:
        name = max(found, key=lambda each: found[each])
        text = (
            f"{name}: {words[0]} and {words[1]} differ, by {_percent(found[name])} of the total, "
            "in bins where the efficiency is exactly zero or one"
        )
        yield Evidence(text, 0.0, found[name], thresholds.bin)


def _judged(evidence: Sequence[Evidence], chances: Array, limit: float) -> Iterator[Finding]:
    """Fail for what is clear and large, warn for what is clear."""
    for one, chance in zip(evidence, chances, strict=True):
        tolerated = f"the tolerated {_percent(one.tolerance)}"
        if chance < limit and one.size > one.tolerance:
            yield "fail", f"{one.text}, more than {tolerated}"
        elif chance < limit:
            yield "warn", f"{one.text}: clear, but not more than {tolerated}"


def _shortened(findings: Sequence[Finding]) -> list[Finding]:
    """The first of each status, and how many more there are."""
    short = []
    for status in reversed(SEVERITY):
        texts = [text for found, text in findings if found == status]
        if texts:
            more = len(texts) - 1
            others = f"; so {'does' if more == 1 else 'do'} {more} more of the observables"
            short.append((status, texts[0] + others * (more > 0)))
    return short


def _remarks(
    closure: Closure, name: str, entry: Entry, thresholds: VerdictConfig
) -> Iterator[Finding]:
    """Findings on the question that was asked, whatever the numbers are."""
    seen = closure.trained_on.get(name)
    if seen:
        text = f"trained on {len(seen)} of these files ({', '.join(seen)})"
        yield "fail", f"{text}: nothing is learned about other events"
    elif share := closure.shared_with_training.get(name):
        text = f"about {_percent(share)} of these events were in its training, in other files"
        yield "fail" if share > thresholds.shared else "warn", text
    for text in closure.differences.get(name, ()):
        yield "warn", f"learned for {text}"
    outside, clipped = entry.out_of_domain.share, entry.clipped.share
    moved = abs(entry.out_of_domain.weight or 0.0)
    for share, most, what in (
        (outside, thresholds.out_of_domain, "are outside the domain of the efficiency"),
        (moved, thresholds.out_of_domain, "of the weight are from outside of its domain"),
        (clipped, thresholds.clipped, "of the weight are from efficiencies below the floor"),
    ):
        if share > most:
            yield "warn", f"{_percent(share)} {what}, more than the tolerated {_percent(most)}"
    trees = entry.two_sample
    if trees is not None and trees.p_value <= thresholds.two_sample:
        yield "warn", _known_by_trees(trees)


def _known_by_trees(trees: TwoSample) -> str:
    """Sentence about trees that tell what passed from what is expected."""
    first = ", ".join(list(trees.features)[:2])
    return (
        f"boosted trees tell what passed from what is expected (area {trees.auc:.4f}, "
        f"p = {trees.p_value:.2g}), mostly by {first}"
    )


def _precision(
    total: Evidence | None, clear: bool, visible: float | None, thresholds: VerdictConfig
) -> Iterator[Finding]:
    """Findings on how well a sample of this size knows the total."""
    if total is None or visible is None:
        yield "warn", "the total could not be compared: its error is not known"
        return
    if visible > thresholds.total:
        yield "warn", f"the sample could not have seen less than {_percent(visible)} in the total"
    elif total.size > total.tolerance and not clear:
        tolerated = _percent(total.tolerance)
        yield "warn", f"{total.text}: above the tolerated {tolerated}, but not clear"


def _role(closure: Closure, label: str, name: str) -> Role:
    if name == TRUTH:
        return "reference"
    if label != name:
        return "reconstructed"
    if name in closure.alternatives:
        return "alternative"
    return "baseline" if name in closure.baselines else "efficiency"


def judge_method(closure: Closure, label: str, thresholds: VerdictConfig) -> MethodVerdict:
    """Judge one method.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.
    label : str
        Label of the method.
    thresholds : VerdictConfig
        Thresholds.

    Returns
    -------
    MethodVerdict
        Status, reasons and the numbers they are from.
    """
    entry, words = closure.efficiency[label], _words(closure)
    name = label.removesuffix(RECONSTRUCTED)
    role = _role(closure, label, name)
    total, relative, visible = _total(entry, words, thresholds)
    at_bin, worst = _worst(entry, words, thresholds)
    spreads = [_spread(name, o, thresholds.bin) for name, o in entry.observables.items()]
    whole = [one for one in (total, at_bin) if one is not None]
    if label == name:  # migrations of reconstructed momenta may fill any bin
        whole += _impossible(entry, words, thresholds)
    shapes = sorted((one for one in spreads if one is not None), key=lambda one: one.p_value)
    evidence = [*whole, *shapes]
    chances = adjusted([one.p_value for one in evidence]) if evidence else np.empty(0)
    limit, n = thresholds.p_value, len(whole)
    p_value = float(chances.min()) if evidence else None

    findings = list(_remarks(closure, name, entry, thresholds))
    findings += _judged(whole, chances[:n], limit)
    findings += _shortened(list(_judged(shapes, chances[n:], limit)))
    if evidence:
        clear = total is not None and bool(chances[0] < limit)
        findings += _precision(total, clear, visible, thresholds)
    else:
        findings.append(("warn", "nothing could be compared: no truth is known of these events"))
    findings.sort(key=lambda finding: -SEVERITY.index(finding[0]))
    if role == "reconstructed" and findings:
        findings.append(("pass", "migrations between bins are not in the errors"))
    status: Status = findings[0][0] if findings else "pass"
    if not findings and total is not None and visible is not None:
        text = f"{total.text}; a bias of {_percent(visible)} would have been seen"
        findings.append(("pass", text))
    return MethodVerdict(
        status=status,
        role=role,
        reasons=[text for _, text in findings],
        p_value=p_value,
        relative_difference=relative,
        smallest_visible_bias=visible,
        worst_bin=worst,
        clipped=entry.clipped.share,
        out_of_domain=entry.out_of_domain.share,
    )


def judge(closure: Closure, thresholds: VerdictConfig | None = None) -> Verdict:
    """Judge a sample, from the numbers that ``closure.json`` holds.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``; a verdict in it is not looked at.
    thresholds : VerdictConfig, optional
        Thresholds.

    Returns
    -------
    Verdict
        Verdict on the sample and on every method. Efficiencies decide; baselines do where nothing
        else was compared; methods with reconstructed momenta, efficiencies from other simulations
        and the simulated truth are only told.
    """
    thresholds = thresholds or VerdictConfig()
    methods = {name: judge_method(closure, name, thresholds) for name in closure.efficiency}
    deciding: dict[str, MethodVerdict] = {}
    for role in ("efficiency", "baseline", "reference"):
        deciding = deciding or {n: m for n, m in methods.items() if m.role == role}
    status: Status = max((m.status for m in deciding.values()), key=SEVERITY.index, default="warn")
    reasons = [f"{n}: {r}" for n, m in deciding.items() if m.status == status for r in m.reasons]
    return Verdict(status=status, reasons=reasons, thresholds=thresholds, methods=methods)

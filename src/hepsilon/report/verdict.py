"""The verdict of a closure as sentences, for terminal and page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hepsilon.closure.judgement import Role, Status, Verdict
from hepsilon.closure.model import Closure
from hepsilon.config.verdict import VerdictConfig

__all__ = ["Sentence", "sample_text", "thresholds_text", "verdict_items", "verdict_sentences"]

MANY_FILES = 3
ROLES: dict[Role, str] = {
    "efficiency": "",
    "baseline": " (baseline)",
    "alternative": " (another simulation)",
    "reconstructed": " (reconstructed momenta)",
    "reference": " (reference)",
}


def sample_text(closure: Closure) -> str:
    """Name of the sample: its files, or their number."""
    files = closure.files
    return ", ".join(files) if len(files) <= MANY_FILES else f"{files[0]} and {len(files) - 1} more"


def _subject(closure: Closure, verdict: Verdict, method: str) -> str:
    on = f" on {sample_text(closure)}" if closure.files else ""
    return f"{method}{ROLES[verdict.methods[method].role]}{on}"


@dataclass(frozen=True)
class Sentence:
    """Verdict on one method: a word, its subject, and the reasons.

    Attributes
    ----------
    status : {"pass", "warn", "fail"}
        The verdict.
    subject : str
        Method and sample.
    reasons : list of str
        Reasons; the first one belongs into the sentence.
    """

    status: Status
    subject: str
    reasons: list[str]


def verdict_items(closure: Closure) -> list[Sentence]:
    """Verdicts on all methods; none without a verdict.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.

    Returns
    -------
    list of Sentence
        One for each method.
    """
    verdict = closure.verdict
    return [
        Sentence(judged.status, _subject(closure, verdict, method), judged.reasons)
        for method, judged in (verdict.methods if verdict else {}).items()
        if verdict is not None
    ]


def verdict_sentences(closure: Closure) -> Iterator[tuple[Status, str]]:
    """One sentence for each method.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Closure with its verdict.

    Yields
    ------
    status : {"pass", "warn", "fail"}
        The verdict.
    sentence : str
        Method, sample and all reasons.
    """
    for item in verdict_items(closure):
        yield item.status, f"{item.subject}: {'; '.join(item.reasons)}"


def thresholds_text(thresholds: VerdictConfig) -> str:
    """Sentences on the thresholds that decide a verdict."""
    t = thresholds
    return (
        f"A difference is clear with a p-value below {t.p_value:g}, adjusted for all that is "
        f"looked at, and large above {100 * t.total:g} % in the total or {100 * t.bin:g} % in a "
        "bin: clear and large fails, one of both warns. The p-values contain the statistical "
        "error of the sample and, where it is known, that of the efficiency. Tolerated outside of "
        "the domain: "
        f"{100 * t.out_of_domain:g} %, below the floor: {100 * t.clipped:g} % of the weight. A "
        f"two-sample test warns with a p-value of {t.two_sample:g} or less."
    )

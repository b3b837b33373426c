"""The verdict of a closure as sentences, for terminal and page."""

from __future__ import annotations

import html
from collections.abc import Iterator

from hepsilon.closure.judgement import Role, Status, Verdict
from hepsilon.closure.model import Closure

__all__ = ["verdict_section", "verdict_sentences"]

MANY_FILES = 3
ROLES: dict[Role, str] = {
    "efficiency": "",
    "baseline": " (baseline)",
    "reconstructed": " (reconstructed momenta)",
    "reference": " (reference)",
}


def _sample(closure: Closure) -> str:
    """Name of the sample: its files, or their number."""
    files = closure.files
    return ", ".join(files) if len(files) <= MANY_FILES else f"{files[0]} and {len(files) - 1} more"


def _subject(closure: Closure, verdict: Verdict, method: str) -> str:
    on = f" on {_sample(closure)}" if closure.files else ""
    return f"{method}{ROLES[verdict.methods[method].role]}{on}"


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
    verdict = closure.verdict
    for method, judged in (verdict.methods if verdict else {}).items():
        assert verdict is not None
        yield judged.status, f"{_subject(closure, verdict, method)}: {'; '.join(judged.reasons)}"


def _item(closure: Closure, verdict: Verdict, method: str) -> str:
    """One method: the verdict in colour and as a word, one sentence, and the other reasons."""
    judged = verdict.methods[method]
    first, *others = map(html.escape, judged.reasons)
    more = "".join(f"<li>{reason}</li>" for reason in others)
    return (
        f'<li><strong class="{judged.status}">{judged.status}</strong> '
        f"<b>{html.escape(_subject(closure, verdict, method))}</b>: {first}."
        + (f"<ul>{more}</ul>" if more else "")
        + "</li>"
    )


def verdict_section(closure: Closure) -> str:
    """HTML of the verdict; empty without one.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.

    Returns
    -------
    str
        HTML that begins the page.
    """
    verdict = closure.verdict
    if verdict is None:
        return ""
    items = "".join(_item(closure, verdict, method) for method in verdict.methods)
    t = verdict.thresholds
    return (
        f'<section class="verdict"><p>Verdict: <strong class="{verdict.status}">{verdict.status}'
        f"</strong></p><ul>{items}</ul>"
        f'<p class="note">A difference is clear with a p-value below {t.p_value:g}, adjusted for '
        f"all that is looked at, and large above {100 * t.total:g} % in the total or "
        f"{100 * t.bin:g} % in a bin: clear and large fails, one of both warns. The p-values "
        "contain the statistical error of this sample alone, not that of the efficiency. Tolerated "
        f"outside of the domain: {100 * t.out_of_domain:g} %, below the floor: "
        f"{100 * t.clipped:g} % of the weight.</p></section>"
    )

"""Numbers as text."""

from __future__ import annotations

from hepsilon.closure.model import Entry, ObservableClosure
from hepsilon.histograms.methods import ALL

__all__ = [
    "chi2_text",
    "divergence_text",
    "number_text",
    "outside_text",
    "percent_text",
    "ratio_text",
    "signed_text",
]


def number_text(value: float | None, digits: int = 1) -> str:
    """Number with thousands separators; ``-`` where it is not known.

    Sums of weights may be of any size: small ones have four significant digits.

    Parameters
    ----------
    value : float or None
        Number.
    digits : int, default 1
        Digits after the point.

    Returns
    -------
    str
        Text.
    """
    if value is None:
        return "-"
    small = digits and 0.0 < abs(value) < 100.0
    return f"{value:.4g}" if small else f"{value:,.{digits}f}"


def percent_text(value: float | None) -> str:
    """Signed percentage of a share; ``-`` where it is not known."""
    return "-" if value is None else f"{100 * value:+.2f}%"


def signed_text(value: float | None) -> str:
    """Number with its sign, such as a pull; ``-`` where it is not known."""
    return "-" if value is None else f"{value:+.1f}"


def ratio_text(chi2: float, ndf: int) -> str:
    """chi2 / ndf; ``-`` without bins.

    Parameters
    ----------
    chi2 : float
        Value of the statistic.
    ndf : int
        Degrees of freedom.

    Returns
    -------
    str
        Text with two digits after the point.
    """
    return f"{chi2 / ndf:.2f}" if ndf else "-"


def chi2_text(observable: ObservableClosure) -> str:
    """chi2 / ndf of one observable; in brackets without the efficiency's own error."""
    text = ratio_text(observable.chi2, observable.ndf)
    if observable.sample_chi2 is None or not observable.ndf:
        return text
    return f"{text} ({ratio_text(observable.sample_chi2, observable.ndf)})"


def divergence_text(entry: Entry) -> str:
    """Mean divergence from the truth of all objects or events, in units of 1e-4 nats."""
    distance = (entry.truth or {}).get(ALL)
    if distance is None or distance.divergence is None:
        return "-"
    return f"{1e4 * distance.divergence:.2f}"


def outside_text(entry: Entry) -> str:
    """Number and share of objects or events outside the domain."""
    outside = entry.out_of_domain
    weight = "" if outside.weight is None else f", {outside.weight:.2%} of the weight"
    return f"{outside.count} ({outside.share:.2%}{weight})"

"""Datacards for Combine, beside the ROOT file with their shapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hepsilon._system.files import atomic_folder, write_text
from hepsilon.errors import InputError
from hepsilon.fits.checks import check_likelihood, signals_of
from hepsilon.fits.root_file import OBSERVED, write_root
from hepsilon.fits.template import Template, Templates

__all__ = ["datacard", "shapes_file", "write_combine"]

FEW_EVENTS = 10
"""Effective number of events below which Combine gives each process its own Poisson parameter."""


def datacard(found: Templates, shapes: str, *, signal: str | Sequence[str] | None = None) -> str:
    """Text of a datacard.

    Parameters
    ----------
    found : Templates
        Templates with what was observed.
    shapes : str
        Name of the ROOT file with the histograms, relative to the datacard.
    signal : str or sequence of str, optional
        Processes that are signal; by default the first one.

    Returns
    -------
    str
        The datacard.

    Raises
    ------
    InputError
        If no likelihood can be made of the templates, or one name is a variation of the shape and
        an error of the normalisation.
    """
    check_likelihood(found)
    signals = signals_of(found, signal)
    others = [name for name in found.processes if name not in signals]
    number = {name: i - len(signals) + 1 for i, name in enumerate([*signals, *others])}
    columns = [
        (channel, process, template)
        for channel, each in found.channels.items()
        for process, template in sorted(each.processes.items(), key=lambda p: number[p[0]])
    ]
    shape = list(dict.fromkeys(name for *_, t in columns for name in t.variations))
    norm = list(dict.fromkeys(name for *_, t in columns for name in t.norms))
    both = sorted(set(shape) & set(norm))
    if both:
        raise InputError(
            f"{both}: in a datacard an error has one line, and moves the shape of all its "
            "processes or the normalisation of all of them; give the normalisation as a variation "
            "of the histogram, or another name"
        )
    lines = [
        "# templates from hepsilon, for Combine",
        f"imax {len(found.channels)}",
        f"jmax {len(number) - 1}",
        f"kmax {len(shape) + len(norm)}",
        "---",
        f"shapes * * {shapes} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC",
        f"shapes {OBSERVED} * {shapes} $CHANNEL/{OBSERVED}",
        "---",
        _row("bin", found.channels),
        _row("observation", ("-1" for _ in found.channels)),
        "---",
        _row("bin", (channel for channel, *_ in columns)),
        _row("process", (process for _, process, _ in columns)),
        _row("process", (str(number[process]) for _, process, _ in columns)),
        _row("rate", ("-1" for _ in columns)),
        "---",
        *(
            _row(f"{n} shape", ("1" if n in t.variations else "-" for *_, t in columns))
            for n in shape
        ),
        *(_row(f"{n} lnN", (_factors(n, t) for *_, t in columns)) for n in norm),
        *(f"{channel} autoMCStats {FEW_EVENTS}" for channel in found.channels),
    ]
    return "\n".join(lines) + "\n"


def _row(head: str, cells: Iterable[str]) -> str:
    return " ".join([head, *cells])


def _factors(name: str, template: Template) -> str:
    """Factors of a normalisation as Combine has them: down before up."""
    if name not in template.norms:
        return "-"
    high, low = template.norms[name]
    return f"{low:.6g}/{high:.6g}"


def shapes_file(path: str | Path) -> Path:
    """ROOT file beside a datacard.

    Parameters
    ----------
    path : str or Path
        The datacard.

    Returns
    -------
    Path
        Its name with the ending ``.root``.
    """
    return Path(path).with_suffix(".root")


def write_combine(
    found: Templates, path: str | Path, *, signal: str | Sequence[str] | None = None
) -> None:
    """Write a datacard, and the ROOT file with its shapes beside it.

    Parameters
    ----------
    found : Templates
        Templates with what was observed.
    path : str or Path
        The datacard, ending in ``.txt``.
    signal : str or sequence of str, optional
        Processes that are signal; by default the first one.

    Raises
    ------
    InputError
        If no likelihood can be made of the templates, or two histograms would have one name.
    """
    shapes = shapes_file(path)
    text = datacard(found, shapes.name, signal=signal)
    with atomic_folder(shapes.parent) as folder:  # neither is of use with another one of the other
        write_root(found, folder / shapes.name, unrolled=True)
        write_text(folder / Path(path).name, text)

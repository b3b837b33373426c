"""Formats that templates are written in, by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from hepsilon._system.files import write_text
from hepsilon._system.outputs import check_folder, check_outputs
from hepsilon.errors import ConfigError
from hepsilon.fits.combine import shapes_file, write_combine
from hepsilon.fits.hepdata import write_hepdata
from hepsilon.fits.histfactory import workspace
from hepsilon.fits.root_file import write_root
from hepsilon.fits.template import Templates

__all__ = ["FORMATS", "LIKELIHOODS", "check_out", "write_templates"]

Signal = str | Sequence[str] | None
LIKELIHOODS = ("pyhf", "combine")
"""Formats with a likelihood, whose channels must not share events."""


def _root(found: Templates, out: Path, signal: Signal) -> None:
    write_root(found, out)


def _pyhf(found: Templates, out: Path, signal: Signal) -> None:
    text = json.dumps(workspace(found, signal=signal), indent=1, allow_nan=False)
    write_text(out, text + "\n")


def _hepdata(found: Templates, out: Path, signal: Signal) -> None:
    write_hepdata(found, out)


def _combine(found: Templates, out: Path, signal: Signal) -> None:
    write_combine(found, out, signal=signal)


FORMATS: dict[str, Callable[[Templates, Path, Signal], None]] = {
    "root": _root,
    "pyhf": _pyhf,
    "combine": _combine,
    "hepdata": _hepdata,
}
"""Writer of each format."""


def check_out(format_: str, out: str | Path) -> None:
    """Refuse an unknown format, and what cannot be written, before any work.

    Parameters
    ----------
    format_ : {"root", "pyhf", "combine", "hepdata"}
        The format.
    out : str or Path
        File, or folder for HEPData.

    Raises
    ------
    ConfigError
        With the reason.
    """
    if format_ not in FORMATS:
        raise ConfigError(f"expected a format of {', '.join(FORMATS)}, received {format_!r}")
    if format_ == "hepdata":
        check_folder(out)
    elif format_ == "combine":
        check_outputs({out: "datacard", shapes_file(out): "root"})
    else:
        check_outputs({out: {"pyhf": "workspace"}.get(format_, format_)})


def write_templates(
    found: Templates,
    format_: str,
    out: str | Path,
    *,
    signal: Signal = None,
) -> None:
    """Write templates in a format.

    Parameters
    ----------
    found : Templates
        Templates.
    format_ : {"root", "pyhf", "combine", "hepdata"}
        A ROOT file; a workspace of HistFactory as JSON; a datacard (``.txt``) with its ROOT file;
        or the folder of a submission to HEPData.
    out : str or Path
        File or folder to write.
    signal : str or sequence of str, optional
        Of pyhf and Combine, the processes whose strength is free; by default the first one.

    Raises
    ------
    ConfigError
        For an unknown format, or an output that cannot be written.
    InputError
        If no likelihood can be made of the templates, where the format has one.
    """
    check_out(format_, out)
    FORMATS[format_](found, Path(out), signal)

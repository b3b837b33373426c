"""Cross sections from counts: density, units and bin widths."""

from __future__ import annotations

import re
from typing import Any

import hist
import numpy as np

from hepsilon.errors import InputError

__all__ = ["differential", "unit_of"]


def unit_of(label: str) -> str | None:
    """Unit in the brackets of an axis label such as ``M [GeV]``; None without brackets."""
    match = re.search(r"\[(.+)\]", label)
    return match[1] if match else None


def differential(
    histogram: hist.Hist[Any],
    luminosity: float | None = None,
    unit: str = "nb",
    *,
    variances: hist.Hist[Any] | None = None,
) -> hist.Hist[Any]:
    """Bin-width normalised distribution, or with a luminosity the differential cross section.

    Parameters
    ----------
    histogram : hist.Hist
        Corrected events of one method, in one or two dimensions, with Weight storage.
    luminosity : float, 1 / unit, optional
        Integrated luminosity.
    unit : str, default "nb"
        Unit of the cross section.
    variances : hist.Hist, optional
        Histogram whose variances are taken instead, such as the Horvitz-Thompson ones.

    Returns
    -------
    hist.Hist
        Values and variances divided by the widths, and by the luminosity if there is one. The
        ``label`` names the quantity and its unit. Flow bins have no width and are zero.

    Raises
    ------
    InputError
        For a luminosity that is not positive.
    """
    if luminosity is not None and not luminosity > 0.0:
        raise InputError(f"expected a positive luminosity, received {luminosity}")
    scale = 1.0 / (luminosity or 1.0)
    for width in np.ix_(*(axis.widths for axis in histogram.axes)):
        scale = scale / width
    out = hist.Hist(*histogram.axes, storage=hist.storage.Weight())
    view: Any = out.view()
    view["value"] = np.asarray(histogram.values()) * scale
    view["variance"] = np.asarray((variances or histogram).variances()) * scale**2
    names = [re.sub(r"\s*\[.*\]", "", axis.label).strip("$") for axis in histogram.axes]
    units = [u for u in (unit_of(axis.label) for axis in histogram.axes) if u]
    power = "" if len(names) == 1 else f"^{len(names)}"
    quantity = r"\sigma" if luminosity is not None else "N"
    below = r"\, ".join(f"d{name}" for name in names)
    top = unit if luminosity is not None else "1"
    dimension = " / ".join([top, *units]) if units or luminosity is not None else ""
    out.label = f"$d{power}{quantity} / {below}$" + (f" [{dimension}]" if dimension else "")
    return out

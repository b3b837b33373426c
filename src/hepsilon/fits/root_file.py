"""Templates as histograms in a ROOT file, named as Combine and others expect them.

``CHANNEL/PROCESS``, ``CHANNEL/PROCESS_VARIATIONUp`` and ``Down``, ``CHANNEL/data_obs``, and the
covariance by the efficiency's own error as ``CHANNEL/PROCESS_covariance``, bins along both axes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hist
import numpy as np

from hepsilon._system.files import atomic_path
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.fits.template import Axis, Channel, Templates

__all__ = ["OBSERVED", "histograms_of", "write_root"]

OBSERVED = "data_obs"
"""Name of what was observed."""
COVARIANCE = "covariance"


def _axes(axes: tuple[Axis, ...], *, unrolled: bool) -> list[Any]:
    """Axes of hist; one of bin numbers where several are unrolled."""
    if unrolled and len(axes) > 1:
        size = int(np.prod([len(axis.edges) - 1 for axis in axes]))
        return [hist.axis.Regular(size, 0, size, name="bin", label="bin")]
    return [
        hist.axis.Variable(axis.edges, name=name, label=axis.label)
        for axis, name in zip(axes, "xyzuvw", strict=False)
    ]


def _filled(axes: list[Any], values: Array, variances: Array) -> hist.Hist[Any]:
    histogram = hist.Hist(*axes, storage=hist.storage.Weight())
    shape = tuple(axis.size for axis in axes)
    view: Any = histogram.view()
    view["value"], view["variance"] = values.reshape(shape), variances.reshape(shape)
    return histogram


def _of_channel(channel: Channel, *, unrolled: bool) -> list[tuple[str, hist.Hist[Any]]]:
    """Histograms of one channel, by name; names may occur twice."""
    axes = _axes(channel.axes, unrolled=unrolled)
    found = []
    if channel.observed is not None:
        variances = channel.observed_variances
        variances = channel.observed if variances is None else variances
        found.append((OBSERVED, _filled(axes, channel.observed, np.abs(variances))))
    for process, template in channel.processes.items():
        found.append((process, _filled(axes, template.values, template.variances)))
        for name, pair in template.variations.items():
            for side, values in zip(("Up", "Down"), pair, strict=True):
                key = f"{process}_{name}{side}"
                found.append((key, _filled(axes, values, template.variances)))
        if template.covariance is not None:
            size = len(template.values)
            single = len(axes) == 1
            edges = axes[0].edges if single else np.arange(size + 1.0)
            both = [hist.axis.Variable(edges, name=name) for name in ("x", "y")]
            zeros = np.zeros_like(template.covariance)
            found.append((f"{process}_{COVARIANCE}", _filled(both, template.covariance, zeros)))
    return found


def histograms_of(found: Templates, *, unrolled: bool = False) -> dict[str, hist.Hist[Any]]:
    """All histograms by their path in a file.

    Parameters
    ----------
    found : Templates
        Templates of the fit.
    unrolled : bool, default False
        Whether bins of several axes stand along one axis of bin numbers, as Combine needs them.

    Returns
    -------
    dict of str to hist.Hist
        Histograms with sums of squared weights.

    Raises
    ------
    InputError
        If two of them would have one name.
    """
    histograms: dict[str, hist.Hist[Any]] = {}
    for name, channel in found.channels.items():
        for key, histogram in _of_channel(channel, unrolled=unrolled):
            if f"{name}/{key}" in histograms:
                raise InputError(
                    f"{name}: two histograms would have the name {key!r}; name the process or the "
                    "variation otherwise"
                )
            histograms[f"{name}/{key}"] = histogram
    return histograms


def write_root(found: Templates, path: str | Path, *, unrolled: bool = False) -> None:
    """Write templates into a ROOT file.

    Parameters
    ----------
    found : Templates
        Templates of the fit.
    path : str or Path
        File to write; it appears only when it is complete.
    unrolled : bool, default False
        Whether bins of several axes stand along one axis.

    Raises
    ------
    InputError
        If two histograms would have one name.
    """
    import uproot

    histograms = histograms_of(found, unrolled=unrolled)
    with atomic_path(path) as temporary, uproot.recreate(temporary) as file:
        for name, histogram in histograms.items():
            file[name] = histogram

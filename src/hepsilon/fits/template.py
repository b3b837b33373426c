"""Templates of a fit: bins of processes in channels, with all that moves them.

A process has its bins with statistical variances, systematic variations up and down, and, where an
efficiency made it, its bins in all replicas of that efficiency. Processes of one efficiency vary
together, in all channels: their joint covariance becomes few variations (see
:func:`hepsilon.uncertainty.replica_variations`), which mean the same in each of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import hist
import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.uncertainty.bins import (
    AT_MOST,
    REPLICA,
    SHARE,
    joined_replicas,
    replica_values,
    replica_variations,
)
from hepsilon.uncertainty.replicas import replica_covariance

__all__ = ["PREFIX", "Axis", "Channel", "Process", "Template", "Templates", "templates"]

PREFIX = "eff"
"""Start of the names of variations by an efficiency, as in ``coffea.analysis_tools.Weights``."""
SYSTEMATIC = "systematic"
"""Name of the axis of variations in the histogram of a process."""
NOMINAL, UP, DOWN = "nominal", "Up", "Down"
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Axis:
    """One axis of a channel.

    Attributes
    ----------
    edges : tuple of float
        Edges of the bins.
    label : str
        Text of the axis, with its unit.
    """

    edges: tuple[float, ...]
    label: str = ""


@dataclass(frozen=True)
class Process:
    """Histograms of one process in one channel.

    Attributes
    ----------
    histogram : hist.Hist
        Weighted bins with their variances. It may have an axis ``"systematic"`` of strings:
        ``"nominal"``, ``"jesUp"``, ``"jesDown"``, ... as coffea names variations.
    replicas : hist.Hist or None
        Bins for every replica of the efficiency, with an axis ``"replica"``.
    efficiency : str
        Name of the efficiency: processes of one name vary together. With several of them, it is in
        the names of the variations.
    norms : dict of str to tuple of float
        Factors up and down of systematic errors of the normalisation, by name: ``{"lumi": (1.016,
        0.984)}``.
    """

    histogram: hist.Hist[Any]
    replicas: hist.Hist[Any] | None = None
    efficiency: str = ""
    norms: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Template:
    """Bins of one process in one channel, those of two axes flattened in C order.

    Attributes
    ----------
    values, variances : ndarray of float64, shape (n_bins,)
        Expected sums, and their statistical variances.
    variations : dict of str to tuple of ndarray of float64, shape (n_bins,)
        Sums with a systematic error up and down by one standard deviation.
    norms : dict of str to tuple of float
        Factors of all bins up and down.
    covariance : ndarray of float64, shape (n_bins, n_bins), or None
        Covariance by the efficiency's own error; None where that is not known.
    """

    values: Array
    variances: Array
    variations: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    norms: dict[str, tuple[float, float]] = field(default_factory=dict)
    covariance: Array | None = None


@dataclass(frozen=True)
class Channel:
    """Bins in which processes are added up and compared with what was observed.

    Attributes
    ----------
    axes : tuple of Axis
        One axis, or several.
    processes : dict of str to Template
        Templates by the name of the process.
    observed : ndarray of float64, shape (n_bins,), or None
        Observed sums; None where they are not known.
    observed_variances : ndarray of float64, shape (n_bins,), or None
        Variances of the observed sums, where these are weighted.
    outside : float
        Share of the expected sum beyond the edges, which is in no template.
    """

    axes: tuple[Axis, ...]
    processes: dict[str, Template]
    observed: Array | None = None
    observed_variances: Array | None = None
    outside: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of bins of each axis."""
        return tuple(len(axis.edges) - 1 for axis in self.axes)

    @property
    def expected(self) -> Array:
        """Sum of all processes in every bin."""
        return np.asarray(sum(template.values for template in self.processes.values()))


@dataclass(frozen=True)
class Templates:
    """All channels of a fit.

    Attributes
    ----------
    channels : dict of str to Channel
        Channels by name.
    shares : dict of str to float
        Share of the variance of its efficiency that each variation of an efficiency holds.
    """

    channels: dict[str, Channel]
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of all processes, in the order in which they come first."""
        names = (name for channel in self.channels.values() for name in channel.processes)
        return tuple(dict.fromkeys(names))

    def with_observed(self, observed: Mapping[str, hist.Hist[Any]]) -> Templates:
        """Add what was observed.

        Parameters
        ----------
        observed : mapping of str to hist.Hist
            Histograms by channel, in the same bins; of other channels nothing changes.

        Returns
        -------
        Templates
            Templates with it.

        Raises
        ------
        InputError
            For a channel that there is not, other bins, or contents that are not finite.
        """
        unknown = sorted(set(observed) - set(self.channels))
        if unknown:
            raise InputError(f"observed: {unknown} are not among the channels {[*self.channels]}")
        channels = dict(self.channels)
        for name, histogram in observed.items():
            where = f"{name}, observed"
            _check_axes(histogram, channels[name].axes, where)
            values, variances = _contents(histogram, where, counts=True)
            channels[name] = replace(channels[name], observed=values, observed_variances=variances)
        return replace(self, channels=channels)

    def with_expected(self) -> Templates:
        """Take the sum of all processes for observed, as for the sensitivity of a fit."""
        channels = {
            name: replace(channel, observed=channel.expected, observed_variances=None)
            for name, channel in self.channels.items()
        }
        return replace(self, channels=channels)


def templates(
    channels: Mapping[str, Mapping[str, Process]],
    observed: Mapping[str, hist.Hist[Any]] | None = None,
    *,
    share: float = SHARE,
    at_most: int = AT_MOST,
) -> Templates:
    """Make the templates of a fit from histograms.

    Parameters
    ----------
    channels : mapping of str to mapping of str to Process
        Processes by name, by channel. Channels must not share events.
    observed : mapping of str to hist.Hist, optional
        What was observed, by channel, in the same bins.
    share : float, default 0.95
        Share of the variance of each efficiency that few variations are to hold; in units of the
        statistical errors of the bins.
    at_most : int, default 20
        Largest number of variations of each efficiency, besides one for the rest.

    Returns
    -------
    Templates
        The templates, without flow.

    Raises
    ------
    InputError
        If bins, replicas or variations do not go together, contents are not finite, variances are
        not known, or names cannot stand in files (letters, digits and ``_.-``, no dot first).

    Examples
    --------
    >>> import hist
    >>> from hepsilon.fits import Process, templates
    >>> filled = hist.new.Reg(2, 0, 1, name="x").Weight().fill([0.1, 0.2, 0.7])
    >>> replicas = hist.new.Int(0, 2, name="replica").Reg(2, 0, 1, name="x").Double()
    >>> replicas.view(flow=True)[1:-1, 1:-1] = [[1.9, 0.9], [2.1, 1.1]]
    >>> fit = templates({"signal_region": {"ttbar": Process(filled, replicas)}})
    >>> list(fit.channels["signal_region"].processes["ttbar"].variations)
    ['eff_0']
    """
    if not channels or not all(channels.values()):
        raise InputError("expected one channel or more, each with one process or more")
    built = {name: _channel(name, given) for name, given in channels.items()}
    found = Templates(built).with_observed(observed or {})
    efficiencies = _efficiencies(channels)
    for efficiency, members in efficiencies.items():
        parts = [PREFIX] if len(efficiencies) == 1 else [PREFIX, efficiency]
        found = _with_efficiency(found, members, "_".join(filter(None, parts)), share, at_most)
    return found


def _check_name(name: str, what: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError(
            f"{what} {name!r}: expected a name of letters, digits and _.-, no dot first"
        )


def _channel(name: str, given: Mapping[str, Process]) -> Channel:
    """Channel without the variations of efficiencies."""
    _check_name(name, "channel")
    made, first = {}, next(iter(given.values()))
    axes = _axes(_nominal(first.histogram, name))
    inside, everything = 0.0, 0.0
    for process, each in given.items():
        _check_name(process, "process")
        where = f"{name}, {process}"
        nominal = _nominal(each.histogram, where)
        _check_axes(nominal, axes, where)
        values, variances = _contents(nominal, where)
        inside += float(values.sum())
        everything += float(np.sum(nominal.values(flow=True)))
        variations = _variations(each.histogram, where)
        made[process] = Template(values, variances, variations, _norms(each.norms, where))
    outside = 1.0 - inside / everything if everything else 0.0
    return Channel(axes, made, outside=outside)


def _axes(histogram: Any) -> tuple[Axis, ...]:
    """Axes of the bins; categories have their numbers for edges."""
    return tuple(
        Axis(tuple(float(edge) for edge in np.asarray(axis.edges)), str(axis.label or axis.name))
        for axis in histogram.axes
    )


def _check_axes(histogram: Any, axes: tuple[Axis, ...], where: str) -> None:
    own = [axis.edges for axis in _axes(histogram)]
    if own != [axis.edges for axis in axes]:
        raise InputError(
            f"{where}: expected the bins of the first process, {_text(axes)}, received "
            f"{_text(_axes(histogram))}; give all histograms equal edges"
        )


def _text(axes: tuple[Axis, ...]) -> str:
    edges = [axis.edges for axis in axes]
    return " x ".join(f"{len(e) - 1} from {e[0]:g} to {e[-1]:g}" for e in edges)


def _nominal(histogram: Any, where: str) -> Any:
    """Histogram without the axis of variations."""
    names = [axis.name for axis in histogram.axes]
    if REPLICA in names:
        raise InputError(f"{where}: replicas belong in Process(replicas=...), beside the nominal")
    if SYSTEMATIC not in names:
        return histogram
    if NOMINAL not in list(histogram.axes[SYSTEMATIC]):
        raise InputError(
            f"{where}: the axis {SYSTEMATIC!r} has no {NOMINAL!r}, but "
            f"{list(histogram.axes[SYSTEMATIC])}"
        )
    return histogram[{SYSTEMATIC: NOMINAL}]


def _contents(histogram: Any, where: str, *, counts: bool = False) -> tuple[Array, Array]:
    """Flat values and variances, finite."""
    values, variances = histogram.values(), histogram.variances()
    if variances is None and counts:
        variances = values
    if variances is None:
        raise InputError(
            f"{where}: the variances of the bins are not known; fill a histogram of weighted "
            "storage (hist.storage.Weight)"
        )
    columns = [np.asarray(each, np.float64).ravel() for each in (values, variances)]
    for column, what in zip(columns, ("contents", "variances"), strict=True):
        wrong = int(np.count_nonzero(~np.isfinite(column)))
        if wrong:
            raise InputError(f"{where}: {wrong} of {len(column)} {what} are NaN or infinite")
    return columns[0], columns[1]


def _variations(histogram: Any, where: str) -> dict[str, tuple[Array, Array]]:
    """Pairs of the axis of variations."""
    if SYSTEMATIC not in [axis.name for axis in histogram.axes]:
        return {}
    names = [name for name in histogram.axes[SYSTEMATIC] if name != NOMINAL]
    bases = [name.removesuffix(UP).removesuffix(DOWN) for name in names]
    found = {}
    for base in dict.fromkeys(bases):
        _check_name(base, f"{where}: variation")
        lacking = [side for side in (UP, DOWN) if base + side not in names]
        if lacking:
            raise InputError(
                f"{where}: the variation {base!r} has no {' and no '.join(lacking)} on the axis "
                f"{SYSTEMATIC!r}, which has {names}"
            )
        sides = (histogram[{SYSTEMATIC: base + side}] for side in (UP, DOWN))
        up, down = (_contents(side, f"{where}, {base}", counts=True)[0] for side in sides)
        found[base] = up, down
    return found


def _norms(norms: Mapping[str, tuple[float, float]], where: str) -> dict[str, tuple[float, float]]:
    """Factors of the normalisation, positive."""
    found = {}
    for name, pair in norms.items():
        _check_name(name, f"{where}: normalisation")
        factors = np.asarray(pair, np.float64)
        if factors.shape != (2,) or not np.all(factors > 0.0) or not np.isfinite(factors).all():
            raise InputError(
                f"{where}: normalisation {name!r}: expected two positive factors, up and down, "
                f"received {pair!r}"
            )
        found[name] = float(factors[0]), float(factors[1])
    return found


Member = tuple[str, str, Array]
"""Channel, process, and the bins in all replicas."""


def _efficiencies(channels: Mapping[str, Mapping[str, Process]]) -> dict[str, list[Member]]:
    """Replicas of all processes, by the name of the efficiency."""
    found: dict[str, list[Member]] = {}
    for channel, processes in channels.items():
        for process, each in processes.items():
            if each.replicas is None:
                continue
            where, nominal = f"{channel}, {process}", _nominal(each.histogram, process)
            try:
                values = replica_values(each.replicas)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
            if values.shape[1:] != nominal.values().shape:
                raise InputError(
                    f"{where}: expected replicas of {nominal.values().shape} bins, received "
                    f"{values.shape[1:]}"
                )
            if each.efficiency:
                _check_name(each.efficiency, "efficiency")
            found.setdefault(each.efficiency, []).append((channel, process, values))
    return found


def _with_efficiency(
    found: Templates, members: list[Member], name: str, share: float, at_most: int
) -> Templates:
    """Add the variations of one efficiency to all processes that it made."""
    columns = joined_replicas([values for *_, values in members])
    variances = [found.channels[c].processes[p].variances for c, p, _ in members]
    errors = np.sqrt(np.maximum(np.concatenate(variances), 0.0))
    few = replica_variations(columns, errors, share=share, at_most=at_most)
    channels, start = dict(found.channels), 0
    for channel, process, values in members:
        bins = slice(start, start := start + values[0].size)
        template = channels[channel].processes[process]
        own = {
            f"{name}_{key}": (template.values + shift[bins], template.values - shift[bins])
            for key, shift in few.shifts.items()
        }
        taken = sorted(set(own) & set(template.variations))
        if taken:
            raise InputError(f"{channel}, {process}: {taken} are names of the efficiency's own")
        template = replace(
            template,
            variations=template.variations | own,
            covariance=replica_covariance(values),
        )
        processes = channels[channel].processes | {process: template}
        channels[channel] = replace(channels[channel], processes=processes)
    shares = {f"{name}_{key}": value for key, value in few.shares.items()}
    return Templates(channels, found.shares | shares)

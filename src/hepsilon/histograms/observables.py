"""Observables, and histograms that hold all methods side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import awkward as ak
import hist
import numpy as np

from hepsilon._system.plugins import Registry, package_of, place_of
from hepsilon.arrays.fields import available, field
from hepsilon.arrays.levels import Level, OfLevel
from hepsilon.errors import ConfigError

__all__ = [
    "GEV",
    "INVERSE_GEV",
    "AnyObservable",
    "Observable",
    "Observable2D",
    "n_objects",
    "of_field",
    "own_observable",
    "own_observables",
    "package_of_observable",
    "register_observable",
    "regular",
    "split_available",
]

Origin = Literal["given", "default", "correction", "sample"]
GEV, INVERSE_GEV = "GeV", "1/GeV"


@dataclass(frozen=True)
class Observable(OfLevel):
    """A quantity to fill.

    Attributes
    ----------
    name : str
        Key in the output.
    function : callable
        Module-level function of the records (so that it pickles), giving one number per object
        (jagged) or per event.
    level : {"object", "event"}
        ``"object"`` or ``"event"``.
    edges : tuple of float
        Bin edges.
    label : str
        Axis label, with the unit.
    fields : tuple of str or None
        Fields of the records that the function reads; None if that is not known. Momenta count as
        read under either notation, ``px, py, pz`` or ``pt, eta, phi``.
    objects : int
        Number of objects that an event needs to have a value; in smaller events NaN and infinity
        are no damage.
    unit : {"", "GeV", "1/GeV", "rad"}
        Unit of the values and edges.
    limits : tuple of (float or None, float or None)
        Smallest and largest value that there can be, if both are known: the range of the axis.
    origin : {"given", "default", "correction", "sample"}
        Where the edges come from: the user, this package, a bin-by-bin correction, or the sample.
    """

    name: str
    function: Callable[[ak.Array], Any]
    level: Level
    edges: tuple[float, ...]
    label: str
    fields: tuple[str, ...] | None = None
    objects: int = 0
    unit: str = ""
    limits: tuple[float | None, float | None] = (None, None)
    origin: Origin = "given"

    @property
    def axis(self) -> hist.axis.Variable:
        """The hist axis, named ``x``."""
        return hist.axis.Variable(self.edges, name="x", label=self.label)

    @property
    def axes(self) -> list[hist.axis.Variable]:
        """All axes: one."""
        return [self.axis]

    @property
    def parts(self) -> tuple[Observable, ...]:
        """The observables on the axes: this one."""
        return (self,)

    @property
    def functions(self) -> list[Callable[[ak.Array], Any]]:
        """The functions, one for each axis."""
        return [self.function]

    def binned(self, edges: Iterable[float], origin: Origin) -> Observable:
        """Give this observable other bins.

        Parameters
        ----------
        edges : iterable of float
            Bin edges in the observable's unit.
        origin : {"given", "default", "correction", "sample"}
            Where they come from.

        Returns
        -------
        Observable
            The observable with these bins.
        """
        return replace(self, edges=tuple(float(edge) for edge in edges), origin=origin)

    def factor(self, in_gev: float) -> float:
        """Factor that numbers of the user's unit are multiplied with.

        Parameters
        ----------
        in_gev : float
            User's unit of momenta in GeV, such as 0.001.

        Returns
        -------
        float
            ``in_gev`` for momenta and masses, its inverse for curvatures, one for all else.
        """
        return {GEV: in_gev, INVERSE_GEV: 1.0 / in_gev}.get(self.unit, 1.0)


@dataclass(frozen=True)
class Observable2D:
    """Two quantities to fill against each other, both of objects or both of events."""

    name: str
    x: Observable
    y: Observable

    def __post_init__(self) -> None:
        if self.x.level != self.y.level:
            raise ConfigError(f"{self.name}: one axis is of objects, the other one of events")

    @property
    def level(self) -> Level:
        """``"object"`` or ``"event"``."""
        return self.x.level

    @property
    def of_events(self) -> bool:
        """Whether there is one pair of numbers for each event."""
        return self.x.of_events

    @property
    def axes(self) -> list[hist.axis.Variable]:
        """The hist axes, named ``x`` and ``y``."""
        y = hist.axis.Variable(self.y.edges, name="y", label=self.y.label)
        return [self.x.axis, y]

    @property
    def parts(self) -> tuple[Observable, ...]:
        """The observables on the axes."""
        return (self.x, self.y)

    @property
    def functions(self) -> list[Callable[[ak.Array], Any]]:
        """The functions, one for each axis."""
        return [self.x.function, self.y.function]

    @property
    def fields(self) -> tuple[str, ...] | None:
        """Fields that both functions read; None if that is not known."""
        if self.x.fields is None or self.y.fields is None:
            return None
        return tuple(dict.fromkeys((*self.x.fields, *self.y.fields)))

    @property
    def objects(self) -> int:
        """Number of objects that an event needs to have both values."""
        return max(self.x.objects, self.y.objects)


AnyObservable = Observable | Observable2D
"""An observable in one or two dimensions."""
ENTRY_POINTS = "hepsilon.observables"
"""Group of entry points by which installed packages name the modules of their observables."""
_OWN: Registry[Observable] = Registry(
    ENTRY_POINTS, "an observable", "hepsilon.histograms.register_observable"
)


def _is_built_in(name: str) -> bool:
    from hepsilon.histograms.jets import JET_CATALOGUE
    from hepsilon.histograms.tracks import TRACK_CATALOGUE

    return name in JET_CATALOGUE or name in TRACK_CATALOGUE


def register_observable(
    name: str,
    fields: tuple[str, ...],
    *,
    label: str = "",
    level: Level = "event",
    edges: Iterable[float] | None = None,
    bins: int = 30,
    objects: int = 1,
    unit: str = "",
) -> Callable[[Callable[[ak.Array], Any]], Callable[[ak.Array], Any]]:
    """Make a function of the records an observable of closures, by a decorator.

    It is named under ``[observables]`` then, like those of hepsilon. An artifact stores its name
    and package, never the function. A package that is installed names the module as an entry
    point, and is imported where the name is met first::

        [project.entry-points."hepsilon.observables"]
        ht = "my_package.observables"

    Parameters
    ----------
    name : str
        Name of the observable.
    fields : tuple of str
        Fields of the objects that the function reads.
    label : str, default ""
        Label of the axis; by default name and unit.
    level : {"event", "object"}, default "event"
        Whether the function gives one number for each event, or one for each object (jagged).
    edges : iterable of float, optional
        Usual bin edges; by default equal bins in a range that the sample proposes.
    bins : int, default 30
        Number of bins where the range comes from the sample.
    objects : int, default 1
        Number of objects that an event needs to have a value: in smaller ones it may be NaN.
    unit : {"", "GeV", "1/GeV", "rad"}
        Unit of the values and edges; momenta of the records are in GeV.

    Returns
    -------
    callable
        Decorator that registers a function and gives it back.

    Raises
    ------
    ConfigError
        If the name is taken, or the level is unknown.

    Examples
    --------
    >>> import awkward as ak
    >>> from hepsilon.histograms import register_observable
    >>> @register_observable("scalar_sum", ("pt",), label="$H_T$ [GeV]", unit="GeV")
    ... def scalar_sum(jets):
    ...     return ak.sum(jets["pt"], axis=1)
    """
    if level not in ("event", "object"):
        raise ConfigError(f"observable {name!r}: expected the level 'event' or 'object'")
    usual = regular(bins, 0.0, 1.0) if edges is None else tuple(float(edge) for edge in edges)
    if len(usual) < 2 or any(a >= b for a, b in pairwise(usual)):
        raise ConfigError(f"observable {name!r}: expected increasing edges, received {usual}")
    origin: Origin = "sample" if edges is None else "default"
    text = label or name + (f" [{unit}]" if unit else "")

    def register(function: Callable[[ak.Array], Any]) -> Callable[[ak.Array], Any]:
        made = Observable(
            name, function, level, usual, text, tuple(fields), objects, unit, origin=origin
        )
        _OWN.add(name, made, place_of(function), _is_built_in)
        return function

    return register


def own_observable(name: str) -> Observable | None:
    """Find the observable that is registered under a name.

    Parameters
    ----------
    name : str
        Name of the observable.

    Returns
    -------
    Observable or None
        None if nothing is registered under the name.

    Raises
    ------
    ConfigError
        If a package that names it cannot be imported, or two packages have it.
    """
    return _OWN.find(name)


def own_observables() -> list[str]:
    """List the names that are registered, or that installed packages have."""
    return _OWN.names


def package_of_observable(name: str) -> str:
    """Name the package of a registered observable; empty for all others.

    Parameters
    ----------
    name : str
        Name of the observable.

    Returns
    -------
    str
        Name of the package as an installer knows it.
    """
    found = _OWN.find(name)
    return "" if found is None else package_of(str(found.function.__module__))


def regular(bins: int, low: float, high: float) -> tuple[float, ...]:
    """Edges of equal bins.

    Parameters
    ----------
    bins : int
        Number of bins.
    low, high : float
        First and last edge.

    Returns
    -------
    tuple of float, length bins + 1
        Edges.
    """
    return tuple(np.linspace(low, high, bins + 1).tolist())


def n_objects(records: ak.Array) -> Any:
    """Count the objects of each event.

    Parameters
    ----------
    records : ak.Array of records, jagged
        The objects.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        Their numbers.
    """
    return ak.to_numpy(ak.num(records, axis=1)).astype(np.float64)


def of_field(name: str, label: str = "", *, unit: str = "", bins: int = 30) -> Observable:
    """Make any numeric field of the objects an observable.

    Parameters
    ----------
    name : str
        The field.
    label : str, default ""
        Label of the axis; by default name and unit.
    unit : {"", "GeV", "1/GeV", "rad"}
        Unit of the field.
    bins : int, default 30
        Number of bins; their range is still to be chosen (:meth:`Observable.binned`).

    Returns
    -------
    Observable
        Observable of objects.
    """
    label = label or name + (f" [{unit}]" if unit else "")
    limits = (-np.pi, np.pi) if unit == "rad" else (None, None)
    edges = regular(bins, *(limits if unit == "rad" else (0.0, 1.0)))
    return Observable(
        name, partial(field, name=name), "object", edges, label, (name,), 1, unit, limits, "sample"
    )


def split_available(
    observables: Sequence[AnyObservable], *records: Iterable[str]
) -> tuple[tuple[AnyObservable, ...], dict[str, str]]:
    """Tell the observables that can be computed from those that lack a field.

    Parameters
    ----------
    observables : sequence of Observable or Observable2D
        The observables.
    *records : iterable of str
        Fields of the records, of several kinds of records if all need to have them.

    Returns
    -------
    kept : tuple of Observable or Observable2D
        Those that have all their fields.
    left_out : dict of str to str
        For each of the others what it lacks.
    """
    names = [frozenset(fields) for fields in records]
    kept, left_out = [], {}
    for observable in observables:
        wanted = observable.fields or ()
        missing = [f for f in wanted if not all(available(n, f) for n in names)]
        if missing:
            left_out[observable.name] = f"no field {', '.join(map(repr, missing))}"
        else:
            kept.append(observable)
    return tuple(kept), left_out

"""Observables, and histograms that hold all methods side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import awkward as ak
import boost_histogram as bh
import hist
import numpy as np
import numpy.typing as npt

from hepsilon import geometry
from hepsilon.columns import flat
from hepsilon.errors import ConfigError, InputError

__all__ = [
    "JET_OBSERVABLES",
    "Observable",
    "Observable2D",
    "category_names",
    "differential",
    "fill_rows",
    "object_categories",
    "one_method",
    "pair_categories",
    "pair_names",
    "regular",
    "replica_axis",
    "unit_of",
]

Array = npt.NDArray[Any]

FLAVOUR_NAMES = {5: "b", 4: "c", 0: "light"}
ALL = "all"
"""Method without any efficiency, and category of everything."""
DIRECT = "direct"
"""Method of the tag decision itself."""
TRUTH = "truth"
"""Method of the simulated true efficiency."""
GENERATED = "generated"
"""Method of all generated events, what the corrected ones should give back."""
SELECTED = "selected"
"""Method of the selected events, not corrected."""
TAG_COUNTS = "tag_counts"
"""Key of the histograms of all conditions on the tags of an event."""
OTHER = "other"
"""Category of objects whose category the task does not name."""


@dataclass(frozen=True)
class Observable:
    """A quantity to fill.

    Attributes
    ----------
    name : key in the output.
    function : module-level function of the records (so that it pickles), giving one number per
        object (jagged) or per event.
    level : ``"object"`` or ``"event"``.
    edges : bin edges.
    label : axis label, with the unit.
    """

    name: str
    function: Callable[[ak.Array], Any]
    level: Literal["object", "event"]
    edges: tuple[float, ...]
    label: str

    @property
    def axis(self) -> hist.axis.Variable:
        """The hist axis, named ``x``."""
        return hist.axis.Variable(self.edges, name="x", label=self.label)

    @property
    def axes(self) -> list[hist.axis.Variable]:
        """All axes: one."""
        return [self.axis]

    @property
    def functions(self) -> list[Callable[[ak.Array], Any]]:
        """The functions, one for each axis."""
        return [self.function]


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
    def level(self) -> Literal["object", "event"]:
        """``"object"`` or ``"event"``."""
        return self.x.level

    @property
    def axes(self) -> list[hist.axis.Variable]:
        """The hist axes, named ``x`` and ``y``."""
        y = hist.axis.Variable(self.y.edges, name="y", label=self.y.label)
        return [self.x.axis, y]

    @property
    def functions(self) -> list[Callable[[ak.Array], Any]]:
        """The functions, one for each axis."""
        return [self.x.function, self.y.function]


def transverse_momentum(records: ak.Array) -> ak.Array:
    """``pt`` [GeV]."""
    return records["pt"]


def pseudorapidity(records: ak.Array) -> ak.Array:
    """``eta``."""
    return records["eta"]


def regular(bins: int, low: float, high: float) -> tuple[float, ...]:
    """Edges of equal bins."""
    return tuple(np.linspace(low, high, bins + 1).tolist())


PAIR_MASS_EDGES = (
    *regular(3, 0.0, 60.0)[:-1],
    *regular(12, 60.0, 120.0)[:-1],  # fine where a Z or H candidate would be
    *regular(4, 120.0, 200.0)[:-1],
    *regular(15, 200.0, 800.0),
)

JET_OBSERVABLES: tuple[Observable, ...] = (
    Observable("pt", transverse_momentum, "object", regular(29, 20.0, 600.0), r"$p_T$ [GeV]"),
    Observable("eta", pseudorapidity, "object", regular(25, -2.5, 2.5), r"$\eta$"),
    Observable(
        "delta_r",
        geometry.delta_r_to_nearest,
        "object",
        regular(32, 0.0, 3.2),
        r"$\Delta R$ to the nearest jet",
    ),
    Observable(
        "pair_mass",
        geometry.leading_pair_mass,
        "event",
        PAIR_MASS_EDGES,
        "mass of the leading pair [GeV]",
    ),
    Observable(
        "pair_delta_r",
        geometry.leading_pair_delta_r,
        "event",
        regular(32, 0.0, 3.2),
        r"$\Delta R$ of the leading pair",
    ),
)
"""Observables of the paper: single jets, and the leading pair."""


def category_names(values: Sequence[int]) -> list[str]:
    """Names of the categories of objects: b, c, light for hadron flavours, else the numbers."""
    known = set(values) <= set(FLAVOUR_NAMES)
    return [FLAVOUR_NAMES[v] if known else str(v) for v in values]


def pair_names(values: Sequence[int]) -> list[str]:
    """Names of the unordered pairs of categories, such as ``b-light``."""
    names = category_names(values)
    return [f"{a}-{b}" for i, a in enumerate(names) for b in names[i:]]


def _positions(codes: Array, values: Sequence[int]) -> Array:
    """Position of each code in ``values``; -1 for an unknown one."""
    matches = codes[:, None] == np.asarray(values, np.int64)[None, :]
    return np.where(matches.any(axis=1), matches.argmax(axis=1), -1)


def object_categories(codes: ak.Array, values: Sequence[int]) -> Array:
    """Position of each object's category in :func:`category_names`, -1 if unknown (flat)."""
    return _positions(flat(codes, np.int64, name="category"), values)


def pair_categories(codes: ak.Array, values: Sequence[int]) -> Array:
    """Position of the leading pair's category in :func:`pair_names`, one per event.

    -1 for an event with fewer than two objects or with an unknown category.
    """
    out = np.full(len(codes), -1)
    events = np.flatnonzero(ak.to_numpy(ak.num(codes, axis=1)) >= 2)
    leading = flat(codes[events][:, :2], np.int64, name="category")
    pairs = np.sort(_positions(leading, values).reshape(-1, 2), axis=1)
    first, second = pairs[:, 0], pairs[:, 1]
    n = len(values)
    number = first * n - first * (first - 1) // 2 + (second - first)
    out[events] = np.where(first >= 0, number, -1)
    return out


def replica_axis(replicas: int) -> hist.axis.Integer:
    """The hist axis of replicas: of the bootstrap, or of an efficiency."""
    return hist.axis.Integer(0, replicas, name="replica", flow=False)


def one_method(histogram: hist.Hist[Any], method: str) -> Any:
    """The histogram of one method."""
    return histogram[{"method": method}]


def unit_of(label: str) -> str | None:
    """Unit in the brackets of an axis label such as ``M [GeV]``; None without brackets."""
    found = re.search(r"\[(.+)\]", label)
    return found[1] if found else None


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
    histogram : corrected events of one method, in one or two dimensions, with Weight storage.
    luminosity : integrated luminosity [1 / unit].
    unit : of the cross section.
    variances : histogram whose variances are taken instead, such as the Horvitz-Thompson ones.

    Returns
    -------
    Hist : values and variances divided by the widths (and the luminosity); its ``label`` says
        what it is, with the unit. Flow bins have no width and are zero.

    Raises
    ------
    InputError : for a luminosity that is not positive.
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


def fill_rows(
    histogram: hist.Hist[Any], method: str, rows: Array, *values: Array, **options: Any
) -> None:
    """Fill all categories of one method, still empty, from the numbers of its rows.

    Many times faster than by names, which are compared one entry after the other.

    Parameters
    ----------
    histogram : with the axes ``method``, ``category`` and others.
    method : its name.
    rows : number of the category of each entry.
    values : of each entry on the other axes.
    options : such as ``sample``.
    """
    names, categories, *others = histogram.axes
    plain = bh.Histogram(
        bh.axis.Integer(0, len(categories), underflow=False),
        *others,
        storage=histogram.storage_type(),
    )
    plain.fill(rows, *values, **options)
    view: Any = histogram.view(flow=True)
    view[names.index(method)] = plain.view(flow=True)

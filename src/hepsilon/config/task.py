"""The task: what an efficiency is an efficiency of."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, StrictFloat, StrictInt, model_validator

from hepsilon.arrays.levels import Level, OfLevel
from hepsilon.config.ratio import FROM_NUMERATOR, RatioConfig
from hepsilon.config.records import Record

__all__ = ["Cut", "Fiducial", "Passed", "Task"]

BOUNDS = ("min", "max", "abs_max", "equals")


class Cut(Record):
    """Requirement on one field of an object, or on one number or flag of an event.

    Attributes
    ----------
    field : str
        Name of the field.
    min, max, abs_max : float or None
        Bounds, inclusive: ``min <= x``, ``x <= max``, ``|x| <= abs_max``.
    equals : bool or int or None
        Value that is asked for: ``true`` or ``false`` of a flag, or a whole number.
    """

    field: str
    min: StrictFloat | None = None
    max: StrictFloat | None = None
    abs_max: StrictFloat | None = None
    equals: StrictBool | StrictInt | None = None

    @model_validator(mode="after")
    def _has_bound(self) -> Self:
        if all(getattr(self, bound) is None for bound in BOUNDS):
            raise ValueError(f"expected at least one of {', '.join(BOUNDS)}")
        return self

    def __str__(self) -> str:
        """The requirement as it is written on paper, such as ``20 <= pt <= 50``."""
        low = "" if self.min is None else f"{self.min:g} <= "
        high = "" if self.max is None else f" <= {self.max:g}"
        parts = [] if not low and not high else [f"{low}{self.field}{high}"]
        if low and not high:
            parts = [f"{self.field} >= {self.min:g}"]
        if self.abs_max is not None:
            parts.append(f"|{self.field}| <= {self.abs_max:g}")
        if self.equals is not None:
            parts.append(f"{self.field} == {self.equals}")
        return " and ".join(parts)


class Passed(Record):
    """Response of an object or event: a boolean field, or a field above cuts.

    Attributes
    ----------
    field : str
        Name of the boolean, or of the discriminant.
    above : tuple of float or None
        Cuts on the discriminant, increasing: one for each working point, from the loosest to the
        tightest.
    names : tuple of str or None
        Names of the working points, such as ``["L", "M", "T"]``.
    """

    field: str
    above: Annotated[tuple[StrictFloat, ...], Field(min_length=1)] | None = None
    names: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(a >= b for a, b in pairwise(self.above or ())):
            raise ValueError(f"expected increasing cuts, received {self.above}")
        names = self.names
        if names is not None and not len(set(names)) == len(names) == len(self.above or (0,)):
            raise ValueError(f"expected a distinct name for each working point, received {names}")
        return self

    @property
    def working_points(self) -> tuple[int | str, ...]:
        """Names of the working points, or their numbers where they have none."""
        return self.names or tuple(range(len(self.above or (0,))))

    def __str__(self) -> str:
        """The response as it is written on paper, such as ``score > 0.5 (L), score > 0.9 (T)``."""
        cuts = [f"{self.field} > {cut:g}" for cut in self.above or ()] or [self.field]
        names = [f" ({name})" for name in self.names] if self.names else [""] * len(cuts)
        return ", ".join(map("".join, zip(cuts, names, strict=True)))


class Fiducial(Record):
    """Region in which every object of an event must be, in the training and in the measurement.

    Attributes
    ----------
    cuts : tuple of Cut
        Requirements on every object.
    outside : {"raise", "drop"}
        An event outside the region is an error with the count, or is dropped (counted).
    """

    cuts: Annotated[tuple[Cut, ...], Field(min_length=1)]
    outside: Literal["raise", "drop"] = "raise"


def _named_nan(value: Any) -> Any:
    """NaN as a word, which is equal to itself."""
    return NAN if isinstance(value, float) and math.isnan(value) else value


MOMENTUM = {"pt", "eta", "phi", "px", "py", "pz"}
NAN: Literal["nan"] = "nan"
Sentinel = Annotated[StrictFloat | Literal["nan"], BeforeValidator(_named_nan)]
"""A number that stands for a missing one; NaN by its name."""


class Task(Record, OfLevel):
    """Definition of an efficiency: its objects, their features, and the response.

    Attributes
    ----------
    level : {"object", "event"}
        ``"object"``, one efficiency per object of the collection, or ``"event"``, one for all
        objects of the event together: then ``passed``, ``truth`` and ``weight`` are numbers of the
        event.
    collection : str
        Name of the collection, such as ``"Jet"``.
    objects : int or None
        Number of objects in every event (event level); None for any number.
    order_by : str or None
        Field by which the objects of an event are ordered, descending (event level).
    fiducial : Fiducial or None
        Region of the measurement (event level).
    features : tuple of str
        Fields the efficiency depends on, numeric and categorical, in order. Besides the fields of
        the collection: the neighbour summaries of :data:`hepsilon.arrays.fields.DERIVED`, and
        numbers of the event, such as ``"PV_npvs"``, which all its objects share; the number that an
        object of another collection has is one, too: ``"Muon_pt[0]"`` (see
        :mod:`hepsilon.data.elements`).
    categorical : dict of str to tuple of int
        Known values of each categorical feature.
    missing : dict of str to tuple of float
        Values of a numeric feature that stand for "not computed", such as -1 or ``"nan"``: networks
        take them as a category of their own, never as numbers.
    selection : tuple of Cut
        Objects that fail one of these cuts do not exist for the task.
    event_selection : tuple of Cut
        Events that fail one of these cuts, on numbers and flags of the event, do not exist for the
        task: ``{ field = "HLT_IsoMu24", equals = true }``.
    unit : {"GeV", "MeV"}
        Unit of momenta, energies and masses in the records, and of all numbers of the
        configuration. Networks and everything that is shown are in GeV.
    passed : Passed
        The response.
    weight : str or None
        Event weight in the training (a branch), may be negative.
    object_weight : str or None
        Field with a weight of each object, which multiplies that of its event and may be negative:
        sWeights, or a subtraction of sidebands. Every object then stands for itself.
    ratio : RatioConfig or None
        Two samples, whose ratio is learned instead of an efficiency; of densities ``passed`` is
        left out.
    truth : str or tuple of str or None
        Field with the true efficiency, where a simulation knows it (closure only); of several
        working points one field for each.
    """

    level: Level = "object"
    collection: str = "Jet"
    objects: Annotated[StrictInt, Field(ge=1)] | None = None
    order_by: str | None = None
    fiducial: Fiducial | None = None
    features: Annotated[tuple[str, ...], Field(min_length=1)]
    categorical: dict[str, tuple[StrictInt, ...]] = {}
    missing: dict[str, Annotated[tuple[Sentinel, ...], Field(min_length=1)]] = {}
    selection: tuple[Cut, ...] = ()
    event_selection: tuple[Cut, ...] = ()
    unit: Literal["GeV", "MeV"] = "GeV"
    passed: Passed
    weight: str | None = None
    object_weight: str | None = None
    ratio: RatioConfig | None = None
    truth: str | Annotated[tuple[str, ...], Field(min_length=2)] | None = None

    @property
    def object_fields(self) -> tuple[str, ...]:
        """Fields of the collection that a training reads, each once."""
        cuts = [*self.selection, *(self.fiducial.cuts if self.fiducial else ())]
        names = [*self.features, *(cut.field for cut in cuts)]
        names += [] if self.of_events else [self.passed.field]
        names += [self.order_by] if self.order_by else []
        names += [self.object_weight] if self.object_weight else []
        return tuple(dict.fromkeys(names))

    @property
    def event_fields(self) -> tuple[str, ...]:
        """Numbers of the event that a training reads, each once, without its event numbers."""
        names = [cut.field for cut in self.event_selection]
        names += [self.weight] if self.weight else []
        names += [self.passed.field] if self.of_events else []
        return tuple(dict.fromkeys(names))

    @property
    def of_densities(self) -> bool:
        """Whether it is a ratio of two densities: then "passed" is "of the numerator"."""
        return self.ratio is not None and self.ratio.kind == "density"

    @property
    def alone(self) -> bool:
        """Whether every object is an entry of its own, with a weight of its own.

        An object in a density is one, however many there are in its event; and the weight of an
        object is no weight of its partners.
        """
        return not self.of_events and (self.object_weight is not None or self.of_densities)

    @property
    def without_side(self) -> Task:
        """The task of whoever asks for a ratio: the sample of an entry is no feature of it."""
        side = None if self.ratio is None else self.ratio.side
        if side not in self.features:
            return self
        features = tuple(name for name in self.features if name != side)
        categorical = {n: values for n, values in self.categorical.items() if n != side}
        return self.model_copy(update={"features": features, "categorical": categorical})

    @property
    def may_be_nan(self) -> frozenset[str]:
        """Features for which NaN stands for a missing value, and that no cut reads."""
        cuts = (*self.selection, *(self.fiducial.cuts if self.fiducial else ()))
        unknown = {name for name, values in self.missing.items() if NAN in values}
        return frozenset(unknown - {cut.field for cut in cuts})

    @property
    def truth_fields(self) -> tuple[str, ...]:
        """Fields with the true efficiency, one for each working point; none without truth."""
        return (self.truth,) if isinstance(self.truth, str) else self.truth or ()

    @model_validator(mode="before")
    @classmethod
    def _side_is_response(cls, data: Any) -> Any:
        """What passes in a ratio of densities is what comes from the numerator."""
        ratio = data.get("ratio") if isinstance(data, dict) else None
        if ratio is None or "passed" in data:
            return data
        kind, side = "density", FROM_NUMERATOR
        if isinstance(ratio, RatioConfig):
            kind, side = ratio.kind, ratio.side
        elif isinstance(ratio, dict):
            kind, side = ratio.get("kind", kind), ratio.get("field") or side
        return {**data, "passed": {"field": side}} if kind == "density" else data

    @model_validator(mode="after")
    def _is_ratio(self) -> Self:
        """Refuse what a ratio, or a weight of objects, cannot have."""
        if self.object_weight is not None and self.of_events:
            raise ValueError('object_weight is for level = "object"; weight is that of the event')
        ratio = self.ratio
        if ratio is None:
            return self
        if ratio.kind == "density" and self.passed != Passed(field=ratio.side):
            raise ValueError(
                'passed is for a ratio with kind = "efficiency"; a ratio of densities has none'
            )
        if ratio.kind == "efficiency" and self.passed.field == ratio.side:
            raise ValueError(
                f"passed: {ratio.side!r} tells the two samples apart, and is no response"
            )
        if ratio.kind == "density" and ratio.side in self.features:
            raise ValueError(f"features: {ratio.side!r} tells the two samples apart already")
        unknown = [name for name in ratio.given if name not in self.features]
        if unknown or (ratio.given and not set(self.features) - set(ratio.given)):
            raise ValueError(
                f"ratio.given: expected some of the features {self.features}, and not all of them, "
                f"received {ratio.given}"
            )
        if self.truth is not None:
            raise ValueError("truth is for efficiencies; the true ratio is no field")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.features)) != len(self.features):
            raise ValueError(f"features are named twice: {self.features}")
        for name, values in self.categorical.items():
            if name not in self.features:
                raise ValueError(f"categorical feature {name!r} is not among {self.features}")
            if not values or len(set(values)) != len(values):
                raise ValueError(f"expected distinct categories of {name!r}, received {values}")
        wrong = [n for n in self.missing if n not in self.features or n in self.categorical]
        if wrong:
            raise ValueError(f"missing: {wrong} are not among the numeric features")
        momenta = [n for n in self.missing if n in MOMENTUM]
        if momenta:
            raise ValueError(f"missing: {momenta} place an object, and cannot be missing; select")
        points = self.passed.working_points
        if len(points) > 1 and self.of_events:
            raise ValueError('several working points are for level = "object" only')
        if self.truth is not None and len(self.truth_fields) != len(points):
            raise ValueError(f"expected truth fields for {len(points)} working points")
        if not self.of_events:
            given = [n for n in ("objects", "order_by", "fiducial") if getattr(self, n) is not None]
            if given:
                raise ValueError(f'{given} are for level = "event" only')
        return self

"""Observables of closures and their bins: names of what exists, and numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, StrictFloat, StrictInt, model_validator

from hepsilon.config.records import Record

__all__ = ["ObservableConfig"]

Bins = Annotated[StrictInt, Field(ge=1, le=100_000)]


class ObservableConfig(Record):
    """One observable, ``[observables.NAME]`` in a file; what is not given is chosen.

    All numbers are in the unit of the task. Without ``field``, ``x`` and ``y`` the name says what
    is filled: a built-in observable of the use case, or a numeric field of the objects.

    Attributes
    ----------
    field : str or None
        Built-in observable or field of the objects that is filled, where the name is another one.
    x, y : str or None
        Names of two observables that are filled against each other, of this section, built-in, or
        fields of the objects.
    bins : int, tuple of (int, int) or None
        Number of bins; of two dimensions one number for both, or one for each.
    min, max : float or None
        Range; an end that is not given is proposed from the sample.
    edges : tuple of float or None
        Bin edges, in place of ``bins``, ``min`` and ``max``.
    label : str or None
        Label of the axis.
    package : str
        Package that registers it, where it is none of hepsilon's; artifacts note it, so that a
        process without it can be told.
    """

    field: str | None = None
    x: str | None = None
    y: str | None = None
    bins: Bins | tuple[Bins, Bins] | None = None
    min: StrictFloat | None = None
    max: StrictFloat | None = None
    edges: Annotated[tuple[StrictFloat, ...], Field(min_length=2)] | None = None
    label: str | None = None
    package: str = ""

    @property
    def two_dimensional(self) -> bool:
        """Whether two observables are filled against each other."""
        return self.x is not None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.x is None) != (self.y is None):
            raise ValueError("expected both x and y, or neither")
        own = [n for n in ("field", "min", "max", "edges", "label") if getattr(self, n) is not None]
        if self.two_dimensional and own:
            raise ValueError(
                f"{own} are for one dimension; give the observables named by x and y a section"
            )
        if isinstance(self.bins, tuple) and not self.two_dimensional:
            raise ValueError("expected one number of bins in one dimension")
        if self.edges is not None and (self.bins, self.min, self.max) != (None, None, None):
            raise ValueError("expected edges, or bins, min and max, not both")
        if self.edges is not None and any(a >= b for a, b in pairwise(self.edges)):
            raise ValueError(f"expected increasing edges, received {self.edges}")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"expected min < max, received {self.min} and {self.max}")
        return self

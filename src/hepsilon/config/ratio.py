"""The part of a task that asks for a ratio of two samples, instead of an efficiency in one."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictFloat, model_validator

from hepsilon.config.records import Record

__all__ = ["FROM_NUMERATOR", "RatioConfig"]

FROM_NUMERATOR = "from_numerator"
"""Number that says of which sample an object is, where files tell: 1 of the numerator."""

Names = str | Annotated[tuple[str, ...], Field(min_length=1)]


class RatioConfig(Record):
    """Two samples, and which ratio of them is learned.

    Attributes
    ----------
    kind : {"density", "efficiency"}
        ``"density"``: ratio of the densities of the features, each normalised to one.
        ``"efficiency"``: ratio of the efficiencies to pass in the two samples, at equal features.
    numerator, denominator : str or tuple of str or None
        Files of the two samples, patterns or lists of them, relative to the configuration; the
        command line may name them instead.
    field : str or None
        Number of the event that is 1 in the numerator and 0 in the denominator, where the files
        hold both.
    given : tuple of str
        Features whose own densities are left as they are: the ratio is that of the densities of the
        other features at equal values of these. The ratio of their densities is learned first, and
        written beside the other one.
    clip : tuple of (float, float)
        Smallest and largest ratio; what is beyond is counted and becomes as large as that.
    """

    kind: Literal["density", "efficiency"] = "density"
    numerator: Names | None = None
    denominator: Names | None = None
    field: str | None = None
    given: tuple[str, ...] = ()
    clip: tuple[StrictFloat, StrictFloat] = (0.01, 100.0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        low, high = self.clip
        if not 0.0 < low < 1.0 < high:
            raise ValueError(
                f"clip: expected one number between 0 and 1, and one above 1, received {self.clip}"
            )
        if self.given and self.kind != "density":
            raise ValueError("given: a ratio of efficiencies is conditional already")
        if self.field is not None and (self.numerator or self.denominator):
            raise ValueError(
                "expected files of the numerator and the denominator, or a field that tells them "
                "apart in the same files, received both"
            )
        return self

    @property
    def side(self) -> str:
        """Name of the number that is 1 in the numerator and 0 in the denominator."""
        return self.field or FROM_NUMERATOR

"""Notes of what computes a field, by which another process computes it alike."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from hepsilon._system.plugins import missing, package_of
from hepsilon.arrays.fields import derived_field
from hepsilon.config.records import Record

__all__ = ["Derived"]

MOMENTA = ("pt", "eta", "phi", "px", "py", "pz")
"""Fields that are computed by their definition: nothing needs to be noted."""


class Derived(Record):
    """Inputs and parameters of a derived field, without its function.

    Attributes
    ----------
    inputs : tuple of str
        Fields that it reads.
    parameters : mapping of str to float
        Further arguments of the function.
    partners : bool
        Whether it depends on the other objects of the event.
    module : str
        Module that registered it, for people.
    package : str
        Package of that module; empty for hepsilon, and where there is none.
    fields : mapping of str to Derived
        What computes those of the inputs that are computed themselves.
    """

    inputs: tuple[str, ...]
    parameters: Mapping[str, float] = Field(default_factory=dict)
    partners: bool = False
    module: str = ""
    package: str = ""
    fields: Mapping[str, Derived] = Field(default_factory=dict)

    @classmethod
    def of(cls, name: str, above: tuple[str, ...] = ()) -> Derived | None:
        """Derived field of a name in this process; None for a plain field.

        Parameters
        ----------
        name : str
            Name of the field.
        above : tuple of str, optional
            Fields that are computed from this one: they are not looked into again.

        Returns
        -------
        Derived or None
            Inputs and parameters, and those of the inputs that are computed themselves.
        """
        found = None if name in (*MOMENTA, *above) else derived_field(name)
        if found is None:
            return None
        parts = {each: cls.of(each, (*above, name)) for each in found.inputs}
        return cls(
            inputs=found.inputs,
            parameters=dict(found.parameters),
            partners=found.partners,
            module=str(found.function.__module__),
            package=package_of(str(found.function.__module__)),
            fields={each: part for each, part in parts.items() if part is not None},
        )

    def problem(self, name: str) -> str | None:
        """Say how the field cannot be computed here as in the training; None if it can."""
        here = Derived.of(name)
        if here is None:
            what = f"the field {name!r}, computed from {list(self.inputs)}{self._given()},"
            return (
                f"{missing(what, self.package, self.module)} (see "
                "hepsilon.arrays.fields.register_field), or give the records the field"
            )
        parts = ("inputs", "parameters", "partners")
        if any(getattr(self, part) != getattr(here, part) for part in parts):
            return (
                f"the field {name!r} was computed from {list(self.inputs)}{self._given()} in the "
                f"training, but is registered here with {list(here.inputs)}{here._given()}"
            )
        problems = (part.problem(each) for each, part in self.fields.items())
        return next((problem for problem in problems if problem is not None), None)

    def _given(self) -> str:
        return f" with {dict(self.parameters)}" if self.parameters else ""

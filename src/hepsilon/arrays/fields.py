"""A field of the records, or the function that computes it from other fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from functools import cache, partial
from typing import Any

import awkward as ak

from hepsilon._system.plugins import Plugin, plugins
from hepsilon.arrays import geometry
from hepsilon.arrays.columns import shortened
from hepsilon.errors import ConfigError, InputError

__all__ = [
    "DERIVED",
    "DerivedField",
    "available",
    "derived_field",
    "field",
    "inputs_of",
    "partners_of",
    "register_field",
]


@dataclass(frozen=True)
class DerivedField:
    """A field that is computed where the records do not have it.

    Attributes
    ----------
    function : callable
        Gives one number per object (jagged) from the records, and the parameters by name.
    inputs : tuple of str
        Fields that it reads.
    parameters : dict of str to float
        Arguments of the function; they are stored with every efficiency that depends on the field.
    partners : bool
        Whether it depends on the other objects of the event.
    """

    function: Callable[..., ak.Array]
    inputs: tuple[str, ...]
    parameters: Mapping[str, float] = attribute(default_factory=dict)
    partners: bool = False

    def __call__(self, records: ak.Array) -> ak.Array:
        """Compute the field.

        Parameters
        ----------
        records : ak.Array of records, jagged
            Objects with the fields ``inputs``.

        Returns
        -------
        ak.Array, jagged
            One number per object.
        """
        return self.function(records, **self.parameters)


def _momentum(name: str, function: Callable[..., ak.Array], *inputs: str) -> DerivedField:
    return DerivedField(partial(function, name=name), inputs)


DERIVED: dict[str, DerivedField] = {
    "proximity": DerivedField(geometry.proximity, ("eta", "phi"), partners=True),
    "n_close": DerivedField(geometry.count_close, ("eta", "phi"), {"radius": 1.0}, partners=True),
    "pt": _momentum("pt", geometry.spherical_momentum, "px", "py"),
    "eta": _momentum("eta", geometry.spherical_momentum, "px", "py", "pz"),
    "phi": _momentum("phi", geometry.spherical_momentum, "px", "py"),
    "mass": DerivedField(geometry.invariant_mass, ("energy", "px", "py", "pz")),
    "px": _momentum("px", geometry.momentum_components, "pt", "phi"),
    "py": _momentum("py", geometry.momentum_components, "pt", "phi"),
    "pz": _momentum("pz", geometry.momentum_components, "pt", "eta"),
}
"""Fields that are computed where the records do not have them, by name."""
_BUILT_IN = frozenset(DERIVED)
GROUPS = ("hepsilon.features", "hepsilon_fields")
"""Groups of the entry points of packages that register fields: the name, and the module."""


@cache
def _plugins() -> dict[str, Plugin]:
    return plugins(*GROUPS)


def derived_field(name: str) -> DerivedField | None:
    """Find what computes a field; a package that registers it by an entry point is imported.

    Parameters
    ----------
    name : str
        Name of the field.

    Returns
    -------
    DerivedField or None
        None if nothing is registered under the name.

    Raises
    ------
    ConfigError
        If the import fails or registers nothing under the name, or two packages have it.
    """
    if name not in _BUILT_IN and name in _plugins():
        plugin = _plugins()[name]
        plugin.load()
        if name not in DERIVED:
            raise ConfigError(
                f"the entry point {plugin} of {GROUPS[0]} was imported, but registers no field "
                f"{name!r} (see hepsilon.arrays.fields.register_field)"
            )
    return DERIVED.get(name)


def register_field(
    name: str, inputs: tuple[str, ...], *, partners: bool = False, **parameters: float
) -> Callable[[Callable[..., ak.Array]], Callable[..., ak.Array]]:
    """Make a function of the records a feature, by a decorator.

    An efficiency that depends on it stores its name, inputs and parameters, not the function:
    whatever process uses the efficiency must import the module that registers the feature, and is
    told so if it does not. A package does so for every process, the commands included, by an entry
    point of the group ``hepsilon.features``, with the name of the field and the module.

    Parameters
    ----------
    name : str
        Name of the field.
    inputs : tuple of str
        Fields that the function reads.
    partners : bool, default False
        Whether it depends on the other objects of the event.
    **parameters : float
        Arguments of the function.

    Returns
    -------
    callable
        Decorator that registers a function and gives it back.

    Raises
    ------
    ConfigError
        If the name belongs to another function, inputs or parameters.

    Examples
    --------
    >>> @register_field("scaled_pt", ("pt",), scale=0.5)
    ... def scaled_pt(records, scale):
    ...     return records["pt"] * scale
    """

    def register(function: Callable[..., ak.Array]) -> Callable[..., ak.Array]:
        derived = DerivedField(function, tuple(inputs), parameters, partners)
        known = DERIVED.get(name)
        if known is not None and _signature(known) != _signature(derived):
            raise ConfigError(f"the name {name!r} of a derived field is taken")
        DERIVED[name] = derived
        return function

    return register


def _signature(derived: DerivedField) -> tuple[Any, ...]:
    function = getattr(derived.function, "func", derived.function)
    place = (function.__module__, function.__qualname__)
    return (*place, derived.inputs, dict(derived.parameters))


def inputs_of(name: str) -> tuple[str, ...]:
    """List the fields that a derived field is computed from; none for any other field."""
    derived = derived_field(name)
    return () if derived is None else derived.inputs


def partners_of(names: Iterable[str]) -> list[str]:
    """List the fields that depend on the other objects of the event.

    Parameters
    ----------
    names : iterable of str
        Names of fields.

    Returns
    -------
    list of str
        Those among them that are registered so.
    """
    found = {name: derived_field(name) for name in names}
    return [name for name, derived in found.items() if derived is not None and derived.partners]


def available(names: frozenset[str], name: str, above: tuple[str, ...] = ()) -> bool:
    """Tell whether a field is there, or can be computed from what is there.

    Parameters
    ----------
    names : frozenset of str
        Fields of the records.
    name : str
        Field that is wanted.
    above : tuple of str, optional
        Fields that are computed from it, and cannot be its inputs.

    Returns
    -------
    bool
        True if :func:`field` gives it.
    """
    if name in names:
        return True
    derived = derived_field(name)
    if derived is None or name in above:
        return False
    return all(available(names, each, (*above, name)) for each in derived.inputs)


def field(records: ak.Array, name: str) -> ak.Array:
    """Take a field of the records, or compute it by what is registered under its name.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects of every event.
    name : str
        Name of the field.

    Returns
    -------
    ak.Array, shape (n_events, objects)
        Value of the field for every object, in the unit of the records.

    Raises
    ------
    InputError
        If the records do not have the field, nor those that it is computed from.
    """
    names = ak.fields(records)
    if name in names:
        return records[name]
    derived = derived_field(name)
    if derived is None or not available(frozenset(names), name):
        computed = "" if derived is None else f" (computed from {list(derived.inputs)})"
        raise InputError(
            f"expected the field {name!r}{computed}, received records with the fields "
            f"{shortened(names, name)}"
        )
    for each in derived.inputs:
        if each not in names:
            records = ak.with_field(records, field(records, each), each)
    return derived(records)

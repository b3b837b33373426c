"""Architectures of a user's own: one registry from the name to the function that builds them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import StrictBool, StrictFloat, StrictInt, StrictStr

from hepsilon._system.plugins import Plugin, plugins
from hepsilon.errors import ConfigError

__all__ = [
    "BUILT_IN",
    "ENTRY_POINTS",
    "OwnArchitecture",
    "Parameter",
    "architecture_problem",
    "own_architecture",
    "register_architecture",
]

BUILT_IN = ("mlp", "product", "gnn")
"""Architectures of hepsilon, from the cheapest to the dearest by the time of a training."""
RESERVED = ("auto", "map", *BUILT_IN)
ENTRY_POINTS = "hepsilon.architectures"
"""Group of entry points by which installed packages name the modules of their architectures."""

Parameter = StrictBool | StrictInt | StrictFloat | StrictStr
"""A size or choice of an architecture: plain data, which the artifact stores."""
Build = Callable[..., Any]


@dataclass(frozen=True)
class OwnArchitecture:
    """A function that builds a network, with what it needs.

    Attributes
    ----------
    name : str
        Name in the configuration.
    build : callable
        Gives logits from :class:`hepsilon.networks.custom.NetworkInputs`, and the parameters by
        name.
    parameters : mapping of str to bool, int, float or str
        Parameters with their defaults.
    partners : bool
        Whether objects see the other objects of their event.
    """

    name: str
    build: Build
    parameters: Mapping[str, bool | int | float | str]
    partners: bool

    @property
    def place(self) -> str:
        """Module and name of the function."""
        return f"{self.build.__module__}:{self.build.__qualname__}"

    def complete(self, given: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
        """All parameters: those that are given, and the defaults of the others.

        Parameters
        ----------
        given : mapping of str to bool, int, float or str
            Parameters from the configuration.

        Returns
        -------
        dict of str to bool, int, float or str
            Value of each parameter.

        Raises
        ------
        ConfigError
            For a parameter that does not exist, or of another type than its default.
        """
        for name, value in given.items():
            if name not in self.parameters:
                raise ConfigError(
                    f"model.parameters.{name}: the architecture {self.name!r} has no such "
                    f"parameter; {_hint(name, list(self.parameters))}"
                )
            expected = type(self.parameters[name])
            whole = expected is float and type(value) is int
            if type(value) is not expected and not whole:
                raise ConfigError(
                    f"model.parameters.{name}: expected a value of the type {expected.__name__}, "
                    f"like {self.parameters[name]!r}, received {value!r}"
                )
        return {
            name: float(given.get(name, value)) if type(value) is float else given.get(name, value)
            for name, value in self.parameters.items()
        }


_OWN: dict[str, OwnArchitecture] = {}


@cache
def _plugins() -> Mapping[str, Plugin]:
    return plugins(ENTRY_POINTS)


def _hint(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {names}"


def register_architecture(
    name: str, *, partners: bool = False, **parameters: bool | int | float | str
) -> Callable[[Build], Build]:
    """Make a function that builds a network an architecture, by a decorator.

    It is named by ``architecture`` under ``[model]`` then, and trained, saved, loaded and exported
    like those of hepsilon. An artifact stores the name and the parameters, never the function:
    whoever builds the network again needs the module that registers it. What needs no Keras, such
    as ONNX Runtime on the graph that the artifact holds, needs no module either. A package that is
    installed names the module as an entry point, and is imported where the name is met first::

        [project.entry-points."hepsilon.architectures"]
        wide = "my_package.networks"

    Parameters
    ----------
    name : str
        Name of the architecture.
    partners : bool, default False
        Whether objects see the other objects of their event. Without it every object is a row of
        its own, or in a task of events all objects of an event, whose number is then fixed.
    **parameters : bool, int, float or str
        Parameters of the function with their defaults, which ``[model.parameters]`` changes.

    Returns
    -------
    callable
        Decorator that registers a function of :class:`hepsilon.networks.custom.NetworkInputs` and
        the parameters, and gives it back.

    Raises
    ------
    ConfigError
        If the name belongs to another function, or to hepsilon.

    Examples
    --------
    >>> from hepsilon.networks import register_architecture
    >>> @register_architecture("wide", width=256)
    ... def wide(inputs, width):
    ...     hidden = inputs.dense(width, "silu")(inputs.encoded)
    ...     return inputs.logit(hidden)
    """

    def register(build: Build) -> Build:
        own = OwnArchitecture(name, build, dict(parameters), partners)
        if not name or name in RESERVED:
            raise ConfigError(f"the name {name!r} of an architecture is one of hepsilon's own")
        known = _OWN.get(name)
        if known is not None and _signature(known) != _signature(own):
            raise ConfigError(
                f"the architecture {name!r} is that of {known.place} already, with "
                f"{dict(known.parameters)}; {own.place} needs another name"
            )
        _OWN[name] = own
        return build

    return register


def _signature(own: OwnArchitecture) -> tuple[Any, ...]:
    return own.place, dict(own.parameters), own.partners


def own_architecture(name: str) -> OwnArchitecture | None:
    """Find what is registered under a name; a package that names it by an entry point is imported.

    Parameters
    ----------
    name : str
        Name of the architecture.

    Returns
    -------
    OwnArchitecture or None
        None if nothing is registered under the name.

    Raises
    ------
    ConfigError
        If the import fails or registers nothing under the name, or two packages have it.
    """
    plugin = _plugins().get(name)
    if plugin is not None and name not in RESERVED:
        plugin.load()  # also where another module has the name: one of them is not what was meant
        if name not in _OWN:
            raise ConfigError(
                f"the entry point {plugin} of {ENTRY_POINTS} was imported, but registers no "
                f"architecture {name!r} (see hepsilon.networks.register_architecture)"
            )
    return _OWN.get(name)


def architecture_problem(name: str) -> str | None:
    """Say why a name stands for no architecture; None if it does.

    Parameters
    ----------
    name : str
        Name of an architecture, of hepsilon or of a user's own.

    Returns
    -------
    str or None
        What is known, and how an architecture of one's own becomes so.
    """
    if name in BUILT_IN or own_architecture(name) is not None:
        return None
    known = ["auto", *BUILT_IN, *_OWN, *_plugins()]
    return (
        f"there is no architecture {name!r}; {_hint(name, list(dict.fromkeys(known)))}; one of "
        "your own is known once its module is imported (see "
        "hepsilon.networks.register_architecture), or named by an installed package as an entry "
        f"point of the group {ENTRY_POINTS}"
    )

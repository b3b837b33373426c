"""The kinds of artifacts that can be loaded: one registry from the kind in a card to its class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from hepsilon._system.plugins import missing, plugins
from hepsilon.errors import ArtifactError

__all__ = [
    "ENTRY_POINTS",
    "PRECISION_BOUND",
    "REPLICAS_FROM",
    "Options",
    "class_of_kind",
    "register_kind",
]

ENTRY_POINTS = "hepsilon.kinds"
"""Group of entry points by which installed packages name the classes of their kinds."""

PRECISION_BOUND = 0.01
"""Largest change of an efficiency at which a lower precision is accepted."""

REPLICAS_FROM = ("auto", "last-layer", "members")
"""What the replicas of networks may be."""

# By name, so that a worker imports only the class that its artifact needs.
_KINDS: dict[str, str | type[Any]] = {
    "bin-by-bin": "hepsilon.efficiencies.bin_by_bin:BinByBin",
    "factorised-map": "hepsilon.efficiencies.factorised:FactorisedMap",
    "map": "hepsilon.efficiencies.map:EfficiencyMap",
    "network": "hepsilon.efficiencies.network:NetworkEfficiency",
    "ratio": "hepsilon.efficiencies.ratio:LearnedRatio",
    "ratio-map": "hepsilon.efficiencies.ratio_map:RatioMap",
}
ClassT = TypeVar("ClassT", bound=type[Any])


@dataclass(frozen=True)
class Options:
    """Options of :func:`hepsilon.load`, which describes them; a kind takes those that it knows.

    Attributes
    ----------
    backend : str
        Name of what evaluates networks.
    device : str or None
        Device of the backend, such as ``"gpu:0"``; None for its choice.
    precision : {"float32", "tf32", "bfloat16"}
        Precision of a network's matrix products.
    precision_bound : float
        Largest change of an efficiency that is accepted from a lower precision.
    replicas_from : {"auto", "last-layer", "members"}
        What the replicas of networks are.
    bias_term : bool
        Whether replicas of networks contain the bias by region.
    """

    backend: str = "auto"
    device: str | None = None
    precision: str = "float32"
    precision_bound: float = PRECISION_BOUND
    replicas_from: str = "auto"
    bias_term: bool = True


def register_kind(kind: str) -> Callable[[ClassT], ClassT]:
    """Class decorator that lets :func:`hepsilon.load` read a kind of artifact of your own.

    The class has to be imported wherever such an artifact is loaded, in workers, too. A package
    that is installed there can name it as an entry point instead, and is imported when such an
    artifact is loaded first::

        [project.entry-points."hepsilon.kinds"]
        flat = "my_package.flat:Flat"

    Parameters
    ----------
    kind : str
        Name that stands as ``kind`` in the cards of these artifacts.

    Returns
    -------
    callable
        Decorator of a class with the class method ``opened(path, options)``; a subclass of
        :class:`hepsilon.efficiencies.saved.SavedArrays` has it.

    Raises
    ------
    ArtifactError
        If another class has the name.

    Examples
    --------
    >>> from typing import Literal
    >>> import numpy as np
    >>> from hepsilon import Efficiency
    >>> from hepsilon.efficiencies.card import ArtifactCard
    >>> from hepsilon.efficiencies.kinds import register_kind
    >>> from hepsilon.efficiencies.saved import SavedArrays
    >>> class FlatCard(ArtifactCard):
    ...     kind: Literal["flat"] = "flat"
    >>> @register_kind("flat")
    ... class Flat(SavedArrays[FlatCard], Efficiency):
    ...     record, group = FlatCard, "flat"
    ...
    ...     def _predict(self, offsets, nodes, replicas):
    ...         return np.full(len(nodes), self._arrays["value"][0]), None
    """

    def register(cls: ClassT) -> ClassT:
        known = _name(_KINDS.get(kind, cls))
        if known != _name(cls):
            raise ArtifactError(f"the kind {kind!r} is that of {known} already")
        _KINDS[kind] = cls
        return cls

    return register


def _name(entry: str | type[Any]) -> str:
    return entry if isinstance(entry, str) else f"{entry.__module__}:{entry.__qualname__}"


def class_of_kind(kind: Any, path: str | Path, package: Any = "") -> Any:
    """The class that reads artifacts of a kind, imported when it is first asked for.

    Parameters
    ----------
    kind : str
        Content of ``kind`` in the card of the artifact.
    path : str or Path
        The artifact, for the error.
    package : str, optional
        Content of ``package`` in the card, for the error.

    Returns
    -------
    type
        Class with the class method ``opened(path, options)``.

    Raises
    ------
    ArtifactError
        For an unknown kind, with those that are known, or an entry point that gives no class.
    """
    entry = _KINDS.get(kind) if isinstance(kind, str) else None
    if entry is None and isinstance(kind, str):
        entry = _installed(kind, path)
    if entry is None and package and isinstance(package, str):
        raise ArtifactError(
            f"{path}: {missing(f'the kind {kind!r}', package)} (see "
            "hepsilon.efficiencies.kinds.register_kind)"
        )
    if entry is None:
        raise ArtifactError(
            f"{path}: expected a kind of {sorted(_KINDS)}, received {kind!r}; a kind of your own "
            "is known once its class is imported (see hepsilon.efficiencies.kinds.register_kind), "
            f"or named by an installed package as an entry point of the group {ENTRY_POINTS}"
        )
    if isinstance(entry, str):
        module, _, name = entry.partition(":")
        entry = getattr(import_module(module), name)
    return entry


def _installed(kind: str, path: str | Path) -> type[Any] | None:
    """The class that an installed package names for a kind; None if none does.

    The card of an artifact only chooses among the names of entry points, so that nothing is
    imported that was not installed as one.
    """
    plugin = plugins(ENTRY_POINTS).get(kind)
    if plugin is None:
        return None
    cls = plugin.load(ArtifactError, f"{path}: ")
    if not isinstance(cls, type) or not callable(getattr(cls, "opened", None)):
        raise ArtifactError(
            f"{path}: the entry point {plugin} is {cls!r}; expected a class with the "
            "class method opened(path, options)"
        )
    return register_kind(kind)(cls)

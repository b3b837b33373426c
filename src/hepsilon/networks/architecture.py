"""Sizes of a network: presets, and the changes that a configuration makes to them."""

from __future__ import annotations

from typing import Any

from hepsilon._system.plugins import package_of
from hepsilon.arrays.levels import Level, OfLevel
from hepsilon.config.architectures import OwnArchitecture, architecture_problem, own_architecture
from hepsilon.config.learning import ModelConfig
from hepsilon.config.records import Record
from hepsilon.config.task import Task
from hepsilon.errors import ConfigError
from hepsilon.networks.custom import Custom

__all__ = ["Architecture", "resolve"]


class Architecture(Record, OfLevel):
    """Every number that defines a network's shape; enough, with the features, to rebuild it.

    Attributes
    ----------
    blocks : tuple of int
        Output widths of the GN blocks; empty for a network without them.
    head : tuple of int
        Widths of the hidden layers after the blocks.
    activation : str
        Activation of the hidden layers.
    pair_features : bool
        Whether the pair MLP sees the differences of the pair.
    periodic_angles : bool
        Whether angles enter as (cos, sin).
    level : {"object", "event"}
        Whether there is one output per object or per event.
    working_points : int
        Number of outputs: for each bin above a working point its logit relative to the bin of what
        passes none.
    objects : int or None
        Number of objects of an event that form one row of the input; None where every object is a
        row of its own.
    product : bool
        Whether the event's efficiency is a product over its objects and pairs; ``head`` are then
        the hidden widths of both factors.
    harmonics : int
        Number of harmonics of azimuth for charged tracks (see
        :class:`hepsilon.networks.track_layers.TrackEncoder`); with none the features enter
        unchanged.
    polar : int
        Number of harmonics of the polar angle for charged tracks.
    bendings : int
        Number of cylinders on which the azimuth of a bent track is taken.
    waves : int
        Number of harmonics of azimuth in a network of the whole event.
    general : tuple of int
        Hidden widths of the network of the whole event that a product adds to its logit, beside
        those that its factors get; empty for the plain product.
    scales : bool
        Whether features with long tails enter on their scale, and pairs by how close they are.
    rates : bool
        Whether a table of the first categorical feature is added to the output: it starts at the
        rates of the categories and does not decay.
    custom : Custom or None
        Architecture of a user's own, whose function builds the network in place of all widths.
    """

    blocks: tuple[int, ...]
    head: tuple[int, ...]
    activation: str
    pair_features: bool
    periodic_angles: bool
    level: Level = "object"
    working_points: int = 1
    objects: int | None = None
    product: bool = False
    harmonics: int = 0
    polar: int = 0
    bendings: int = 0
    waves: int = 0
    general: tuple[int, ...] = ()
    scales: bool = True
    rates: bool = False
    custom: Custom | None = None

    @property
    def has_edges(self) -> bool:
        """Whether objects see the other objects of their event."""
        return bool(self.blocks) or (self.custom is not None and self.custom.partners)


PRESETS: dict[tuple[str, str], Architecture] = {
    ("gnn", "paper"): Architecture(
        blocks=(256,) * 4,
        head=(256, 128, 50),
        activation="relu",
        pair_features=False,
        periodic_angles=False,
        scales=False,
    ),
    ("gnn", "fast"): Architecture(
        blocks=(64,) * 2,
        head=(64, 32),
        activation="silu",
        pair_features=True,
        periodic_angles=True,
    ),
    ("mlp", "paper"): Architecture(
        blocks=(),
        head=(100,) * 5,
        activation="tanh",
        pair_features=False,
        periodic_angles=False,
        scales=False,
    ),
    ("mlp", "fast"): Architecture(
        blocks=(),
        head=(64,) * 3,
        activation="silu",
        pair_features=False,
        periodic_angles=True,
        rates=True,
    ),
    ("product", "fast"): Architecture(
        blocks=(),
        head=(32,) * 2,
        activation="silu",
        pair_features=False,
        periodic_angles=True,
        product=True,
        harmonics=12,
        polar=8,
        bendings=1,
        waves=3,
        general=(64,) * 3,
    ),
}
EVENT_WAVES = 4
"""Harmonics of azimuth in a plain network of all tracks of an event."""
MOMENTA = ({"px", "py", "pz"}, {"pt", "eta", "phi"})
"""Features that give the momentum of a track."""


def resolve(config: ModelConfig, task: Task) -> Architecture:
    """Make the architecture of a configuration: its preset with the given sizes put in.

    Parameters
    ----------
    config : ModelConfig
        Name of the architecture, preset and sizes.
    task : Task
        Features, working points and level.

    Returns
    -------
    Architecture
        Every width of the network.

    Raises
    ------
    ConfigError
        For an architecture or a preset that does not exist, pair features without eta and phi, or a
        network of events whose number of objects the task leaves open.
    """
    preset = PRESETS.get((config.architecture, config.preset))
    if config.architecture == "auto":
        raise ConfigError(
            'a training chooses the architecture "auto", by comparing all that fit; to build a '
            f"network without one, name one of {sorted({name for name, _ in PRESETS})}"
        )
    own = None if preset is not None else own_architecture(config.architecture)
    if own is not None:
        return _custom(own, config, task)
    if problem := architecture_problem(config.architecture):
        raise ConfigError(f"model.architecture: {problem}")
    if config.parameters:
        raise ConfigError(
            f"model.parameters are for architectures of your own; {config.architecture!r} has "
            "width, blocks and pair_features"
        )
    if preset is None:
        raise ConfigError(f"there is no {config.preset!r} preset of {config.architecture!r}")
    update: dict[str, Any] = {"working_points": len(task.passed.working_points)}
    angular = _encodes_tracks(config, task) or {"eta", "phi"} <= set(task.features)
    if config.pair_features and not (angular and preset.blocks):
        raise ConfigError("pair_features need the gnn architecture and the features eta and phi")
    wanted = preset.pair_features if config.pair_features is None else config.pair_features
    update["pair_features"] = wanted and angular
    layers = "blocks" if preset.blocks else "head"
    sizes = getattr(preset, layers)
    width = config.width or sizes[0]
    if config.width or config.blocks:
        update[layers] = (width,) * (config.blocks or len(sizes))
    if preset.blocks and width % 2:
        raise ConfigError(f"model.width: expected an even width of the GN blocks, received {width}")
    return preset.model_copy(update=update | _of_events(config, preset, task))


def _custom(own: OwnArchitecture, config: ModelConfig, task: Task) -> Architecture:
    """An architecture of a user's own, with its parameters."""
    given = [n for n in ("width", "blocks", "pair_features") if getattr(config, n) is not None]
    if given or config.preset != "fast":
        raise ConfigError(
            f"model.{(given or ['preset'])[0]} is for the architectures of hepsilon; "
            f"{own.name!r} has model.parameters: {list(own.parameters)}"
        )
    if task.of_events and not own.partners and task.objects is None:
        raise ConfigError(
            f"{own.name!r} does not look at partners, and needs the number of objects of an event, "
            "task.objects"
        )
    return Architecture(
        blocks=(),
        head=(),
        activation="",
        pair_features=False,
        periodic_angles=True,
        level=task.level,
        working_points=len(task.passed.working_points),
        objects=task.objects if task.of_events and not own.partners else None,
        custom=Custom(
            name=own.name,
            parameters=own.complete(config.parameters),
            partners=own.partners,
            module=str(own.build.__module__),
            package=package_of(str(own.build.__module__)),
        ),
    )


def _of_events(config: ModelConfig, preset: Architecture, task: Task) -> dict[str, Any]:
    """Fields of the architecture that a task of events changes."""
    if not task.of_events:
        if preset.product:
            raise ConfigError('the product architecture is for level = "event" only')
        return {}
    update: dict[str, Any] = {"level": "event", "rates": False}  # categories are those of objects
    if not preset.blocks:
        if task.objects is None:
            raise ConfigError(
                f"{config.architecture!r} needs the number of objects of an event, task.objects; "
                "the gnn takes any number"
            )
        update["objects"] = task.objects
        if not preset.product and _encodes_tracks(config, task):
            update["waves"] = EVENT_WAVES
    elif _encodes_tracks(config, task):
        tracks = PRESETS["product", "fast"]
        update |= {name: getattr(tracks, name) for name in ("harmonics", "polar", "bendings")}
    return update


def _encodes_tracks(config: ModelConfig, task: Task) -> bool:
    """Whether the network knows that the objects are tracks, and computes their angles itself."""
    momentum = any(names <= set(task.features) for names in MOMENTA)
    return task.of_events and config.preset == "fast" and momentum

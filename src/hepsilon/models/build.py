"""From a configuration to a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from hepsilon.config import ModelConfig, Record, Task
from hepsilon.errors import ConfigError
from hepsilon.features import FeatureSpec

if TYPE_CHECKING:
    import keras

__all__ = ["Architecture", "build_model", "resolve"]


class Architecture(Record):
    """Every number that defines a network's shape; enough, with the features, to rebuild it.

    Attributes
    ----------
    blocks : output widths of the GN blocks; empty without any.
    head : widths of the hidden layers after the blocks.
    activation : of the hidden layers.
    pair_features : the pair MLP sees the differences of the pair.
    periodic_angles : angles enter as (cos, sin).
    level : one output per object or per event.
    working_points : number of outputs: for each bin above a working point its logit relative to
        the bin of what passes none.
    objects : number of objects of an event that form one row of the input; None where every
        object is a row of its own.
    product : the event's efficiency is a product over its objects and pairs; ``head`` are then
        the hidden widths of both factors.
    harmonics, polar, bendings : of azimuth and polar angle, for charged tracks (see
        :class:`hepsilon.models.tracks.TrackEncoder`); no harmonics: features as they are.
    """

    blocks: tuple[int, ...]
    head: tuple[int, ...]
    activation: str
    pair_features: bool
    periodic_angles: bool
    level: Literal["object", "event"] = "object"
    working_points: int = 1
    objects: int | None = None
    product: bool = False
    harmonics: int = 0
    polar: int = 0
    bendings: int = 0


PRESETS: dict[tuple[str, str], Architecture] = {
    ("gnn", "paper"): Architecture(
        blocks=(256,) * 4,
        head=(256, 128, 50),
        activation="relu",
        pair_features=False,
        periodic_angles=False,
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
    ),
    ("mlp", "fast"): Architecture(
        blocks=(),
        head=(64,) * 3,
        activation="silu",
        pair_features=False,
        periodic_angles=True,
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
    ),
}
MOMENTA = ({"px", "py", "pz"}, {"pt", "eta", "phi"})
"""Features that give the momentum of a track."""


def resolve(config: ModelConfig, task: Task) -> Architecture:
    """The architecture of a configuration: its preset with the given sizes put in.

    Raises
    ------
    ConfigError : for a preset that does not exist, pair features without eta and phi, or a
        network of events whose number of objects the task leaves open.
    """
    preset = PRESETS.get((config.architecture, config.preset))
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


def _of_events(config: ModelConfig, preset: Architecture, task: Task) -> dict[str, Any]:
    """What a task of events changes."""
    if task.level == "object":
        if preset.product:
            raise ConfigError('the product architecture is for level = "event" only')
        return {}
    update: dict[str, Any] = {"level": "event"}
    if not preset.blocks:
        if task.objects is None:
            raise ConfigError(
                f"{config.architecture!r} needs the number of objects of an event, task.objects; "
                "the gnn takes any number"
            )
        update["objects"] = task.objects
    elif _encodes_tracks(config, task):
        tracks = PRESETS["product", "fast"]
        update |= {name: getattr(tracks, name) for name in ("harmonics", "polar", "bendings")}
    return update


def _encodes_tracks(config: ModelConfig, task: Task) -> bool:
    """The network knows that the objects are tracks, and computes their angles itself."""
    momentum = any(names <= set(task.features) for names in MOMENTA)
    return task.level == "event" and config.preset == "fast" and momentum


def build_model(
    architecture: Architecture,
    spec: FeatureSpec,
    seed: int | None,
    *,
    neighbours: bool = False,
    precision: str = "float32",
    name: str = "efficiency",
) -> keras.Model:
    """Build the network with initial weights from ``seed`` (imports Keras).

    Parameters
    ----------
    architecture : widths and options.
    spec : features of an object with the constants of the training sample.
    seed : of the initial weights; None where weights are loaded anyway.
    neighbours : take pairs as rows of partners (see :class:`hepsilon.graphs.Neighbours`): the
        inputs are then x and senders, without GN blocks x alone.
    precision : of the matrix products, ``"float32"`` or ``"bfloat16"``; weights and all else
        are float32.
    name : of the model.
    """
    import keras

    from hepsilon.models import layers

    init = layers.Initializers(seed, precision)
    columns = len(spec.features) * (architecture.objects or 1)
    x = keras.Input((columns,), name="x")
    receivers = None if neighbours else keras.Input((), dtype="int32", name="receivers")
    senders = keras.Input((None,) if neighbours else (), dtype="int32", name="senders")
    if architecture.product:
        logit = _product(architecture, spec, init, x)
    elif architecture.blocks:
        logit = _graph(architecture, spec, init, x, receivers, senders)
    else:
        repeated = spec.repeated(architecture.objects or 1)
        encoder = layers.FeatureEncoder(repeated, architecture.periodic_angles, name="features")
        logit = _head(architecture, init, encoder(x))
    inputs = {"x": x, "receivers": receivers, "senders": senders}
    if neighbours:
        inputs = {"x": x, "senders": senders} if architecture.blocks else {"x": x}
    return keras.Model(inputs, logit, name=name)


def _head(architecture: Architecture, init: Any, hidden: Any) -> Any:
    for i, width in enumerate(architecture.head):
        hidden = init.dense(width, architecture.activation, f"head_{i}")(hidden)
    return init.dense(architecture.working_points, None, "logit")(hidden)


def _product(architecture: Architecture, spec: FeatureSpec, init: Any, x: Any) -> Any:
    """Tracks of a row, each encoded alike, and the product over them and their pairs."""
    import keras

    from hepsilon.models import tracks

    rows = keras.layers.Reshape((architecture.objects, len(spec.features)), name="objects")(x)
    options = architecture.harmonics, architecture.polar, architecture.bendings
    encoder = tracks.TrackEncoder(spec, *options, charge_input=False, name="features")
    product = tracks.ProductEfficiency(
        architecture.head, architecture.activation, init, name="product"
    )
    return product(encoder(rows))


def _graph(
    architecture: Architecture, spec: FeatureSpec, init: Any, x: Any, receivers: Any, senders: Any
) -> Any:
    """GN blocks on the flat edge list; of a task of events, the product over its nodes."""
    import keras

    from hepsilon.models import layers, tracks

    if architecture.harmonics:
        options = architecture.harmonics, architecture.polar, architecture.bendings
        plain, waves, angles = tracks.TrackEncoder(spec, *options, name="features")(x)
        encoded = keras.layers.Concatenate(name="encoded")([plain, waves])
        names: tuple[str, ...] = ("eta", "phi")
    else:
        encoded = layers.FeatureEncoder(spec, architecture.periodic_angles, name="features")(x)
        angles, names = x, spec.names
    pair = None
    if architecture.pair_features:
        columns = names.index("eta"), names.index("phi")
        pair = layers.PairFeatures(*columns, name="pairs")((angles, receivers, senders))
    hidden = encoded
    for i, width in enumerate(architecture.blocks):
        block = layers.GNBlock(width, architecture.activation, init, name=f"block_{i}")
        skip = [encoded, block([hidden, receivers, senders, pair])]
        hidden = keras.layers.Concatenate(name=f"skip_{i}")(skip)
    logit = _head(architecture, init, hidden)
    if architecture.level == "object":
        return logit
    return tracks.EventProduct(name="event")((logit, receivers, senders))

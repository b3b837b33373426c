"""From a configuration to a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepsilon.config import ModelConfig, Record
from hepsilon.errors import ConfigError
from hepsilon.features import FeatureSpec

if TYPE_CHECKING:
    import keras

__all__ = ["Architecture", "build_model", "resolve"]


class Architecture(Record):
    """Every number that defines a network's shape; enough, with the features, to rebuild it.

    Attributes
    ----------
    blocks : output widths of the GN blocks; empty for the per-object MLP.
    head : widths of the hidden layers after the blocks.
    activation : of the hidden layers.
    pair_features : the pair MLP sees the differences of the pair.
    periodic_angles : angles enter as (cos, sin).
    """

    blocks: tuple[int, ...]
    head: tuple[int, ...]
    activation: str
    pair_features: bool
    periodic_angles: bool


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
}


def resolve(config: ModelConfig, features: tuple[str, ...]) -> Architecture:
    """The architecture of a configuration: its preset with the given sizes put in.

    Raises
    ------
    ConfigError : where pair features are asked for without eta and phi.
    """
    preset = PRESETS[config.architecture, config.preset]
    update: dict[str, Any] = {}
    angular = {"eta", "phi"} <= set(features)
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
    return preset.model_copy(update=update)


def build_model(architecture: Architecture, spec: FeatureSpec, seed: int | None) -> keras.Model:
    """Build the network with initial weights from ``seed`` (imports Keras).

    Parameters
    ----------
    architecture : widths and options.
    spec : features with the constants of the training sample.
    seed : of the initial weights; None where weights are loaded anyway.
    """
    import keras

    from hepsilon.models import layers

    init = layers.Initializers(seed)
    x = keras.Input((len(spec.features),), name="x")
    receivers = keras.Input((), dtype="int32", name="receivers")
    senders = keras.Input((), dtype="int32", name="senders")
    encoded = layers.FeatureEncoder(spec, architecture.periodic_angles, name="features")(x)
    pair = None
    if architecture.pair_features:
        columns = spec.names.index("eta"), spec.names.index("phi")
        pair = layers.PairFeatures(*columns, name="pairs")((x, receivers, senders))
    hidden = encoded
    for i, width in enumerate(architecture.blocks):
        block = layers.GNBlock(width, architecture.activation, init, name=f"block_{i}")
        skip = [encoded, block([hidden, receivers, senders, pair])]
        hidden = keras.layers.Concatenate(name=f"skip_{i}")(skip)
    for i, width in enumerate(architecture.head):
        hidden = init.dense(width, architecture.activation, f"head_{i}")(hidden)
    logit = init.dense(1, None, "logit")(hidden)
    inputs = {"x": x, "receivers": receivers, "senders": senders}
    return keras.Model(inputs, logit, name="efficiency")

"""Construction of a Keras model from an architecture and the features of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepsilon.data.features import FeatureSpec
from hepsilon.networks.architecture import Architecture

if TYPE_CHECKING:
    import keras

__all__ = ["build_model"]


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
    architecture : Architecture
        Widths and options.
    spec : FeatureSpec
        Features of an object with the constants of the training sample.
    seed : int or None
        Seed of the initial weights; None where weights are loaded anyway.
    neighbours : bool, default False
        Whether pairs are given as rows of partners (see
        :class:`hepsilon.networks.graphs.Neighbours`): the inputs are then x and senders, without GN
        blocks x alone.
    precision : {"float32", "bfloat16"}, default "float32"
        Precision of the matrix products; weights and all else are float32.
    name : str, default "efficiency"
        Name of the model.

    Returns
    -------
    keras.Model
        Function of ``{"x", "receivers", "senders"}`` that gives logits, one row per node.
    """
    import keras

    from hepsilon.networks import layers

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

    from hepsilon.networks import track_layers as tracks

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
    """GN blocks on the flat edge list; for a task of events, the product over their nodes."""
    import keras

    from hepsilon.networks import layers
    from hepsilon.networks import track_layers as tracks

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

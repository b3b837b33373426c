"""Construction of a Keras model from an architecture and the features of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepsilon.data.features import FeatureSpec
from hepsilon.networks.architecture import Architecture
from hepsilon.networks.custom import NetworkInputs, check_weights, custom_logits

if TYPE_CHECKING:
    import keras

__all__ = ["build_model", "weight_names"]


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

    Raises
    ------
    ConfigError
        If it is an architecture of a user's own that is not registered in this process, or whose
        function does not give a network.
    """
    import keras

    from hepsilon.networks import layers
    from hepsilon.networks.feature_layers import FeatureEncoder, Rates

    if not architecture.scales:
        spec = spec.unscaled()
    init = layers.Initializers(seed, precision)
    columns = len(spec.features) * (architecture.objects or 1)
    x = keras.Input((columns,), name="x")
    receivers = None if neighbours else keras.Input((), dtype="int32", name="receivers")
    senders = keras.Input((None,) if neighbours else (), dtype="int32", name="senders")
    if architecture.custom is not None:
        logit = _custom(architecture, spec, init, (x, receivers, senders), seed)
    elif architecture.product:
        logit = _product(architecture, spec, init, x)
    elif architecture.blocks:
        logit = _graph(architecture, spec, init, x, receivers, senders)
    elif architecture.waves:
        tracks = _in_order(architecture, spec, x)
        logit = _head(architecture, init, _event(architecture, spec, tracks))
    else:
        repeated = spec.repeated(architecture.objects or 1)
        encoder = FeatureEncoder(repeated, architecture.periodic_angles, name="features")
        logit = _head(architecture, init, encoder(x))
    if architecture.rates and spec.category is not None:
        rates, _ = Rates(spec, architecture.working_points, name="rates")(x)
        logit = keras.layers.Add(name="sum")([logit, rates])
    inputs = {"x": x, "receivers": receivers, "senders": senders}
    if neighbours:
        inputs = {"x": x, "senders": senders} if architecture.has_edges else {"x": x}
    model = keras.Model(inputs, logit, name=name)
    if architecture.custom is not None:
        check_weights(architecture.custom, model)
    return model


def weight_names(model: keras.Model, architecture: Architecture) -> list[str]:
    """Names that the weights of a network have in an artifact.

    Layers of a user's own may have names that Keras numbers anew in every process: their weights
    are named by their place.

    Parameters
    ----------
    model : keras.Model
        The network.
    architecture : Architecture
        Its architecture.

    Returns
    -------
    list of str
        One name for each weight, in Keras' order.
    """
    if architecture.custom is None:
        return [variable.path.replace("/", ".") for variable in model.weights]
    return [f"{i:03d}.{v.name.replace('/', '.')}" for i, v in enumerate(model.weights)]


def _custom(
    architecture: Architecture,
    spec: FeatureSpec,
    init: Any,
    tensors: tuple[Any, Any, Any],
    seed: int | None,
) -> Any:
    """Logits of an architecture of a user's own; for a task of events, the product over nodes."""
    from hepsilon.networks.track_layers import EventProduct

    assert architecture.custom is not None
    x, receivers, senders = tensors
    points, objects = architecture.working_points, architecture.objects
    edges = {"receivers": receivers, "senders": senders}
    if not architecture.has_edges:
        edges = dict.fromkeys(edges)
    inputs = NetworkInputs(x, spec, objects, points, init=init, **edges)
    logit = custom_logits(architecture.custom, inputs, seed)
    if not architecture.of_events or objects is not None:
        return logit
    return EventProduct(name="event")((logit, receivers, senders))


def _head(architecture: Architecture, init: Any, hidden: Any) -> Any:
    for i, width in enumerate(architecture.head):
        hidden = init.dense(width, architecture.activation, f"head_{i}")(hidden)
    return init.dense(architecture.working_points, None, "logit")(hidden)


def _in_order(architecture: Architecture, spec: FeatureSpec, x: Any) -> Any:
    """Raw features of the tracks of a row (events, tracks, features), in an order of their own."""
    import keras

    from hepsilon.networks.event_layers import InOrder

    shape = architecture.objects, len(spec.features)
    return InOrder(spec.names, name="in_order")(keras.layers.Reshape(shape, name="objects")(x))


def _event(architecture: Architecture, spec: FeatureSpec, rows: Any) -> Any:
    """Tracks in order as one row of all that may matter."""
    from hepsilon.networks.event_layers import EventEncoder
    from hepsilon.networks.track_layers import TrackEncoder

    encoder = TrackEncoder(spec, architecture.waves, 0, 0, name="event_tracks")
    return EventEncoder(spec.separations, name="event")(encoder(rows))


def _product(architecture: Architecture, spec: FeatureSpec, init: Any, x: Any) -> Any:
    """Tracks of a row, each encoded alike, and the product over them and their pairs.

    What is no product is added to its logit by a general network of the whole event.
    """
    import keras

    from hepsilon.networks import track_layers as tracks
    from hepsilon.networks.event_layers import Gate

    options = architecture.harmonics, architecture.polar, architecture.bendings
    encoder = tracks.TrackEncoder(spec, *options, charge_input=False, name="features")
    rows = _in_order(architecture, spec, x)
    product = tracks.ProductEfficiency(
        architecture.head, architecture.activation, init, bool(architecture.general), name="product"
    )
    charge = spec.names.index("charge") if "charge" in spec.names else None
    charges = None if charge is None else rows[..., charge : charge + 1]
    logit, _ = product((*encoder(rows), charges))
    if not architecture.general:
        return logit
    gate = Gate(architecture.general, architecture.activation, init, name="general")
    rest, _ = gate(_event(architecture, spec, rows))
    return keras.layers.Add(name="sum")([logit, rest])


def _graph(
    architecture: Architecture, spec: FeatureSpec, init: Any, x: Any, receivers: Any, senders: Any
) -> Any:
    """GN blocks on the flat edge list; for a task of events, the product over their nodes."""
    import keras

    from hepsilon.networks import layers
    from hepsilon.networks import track_layers as tracks
    from hepsilon.networks.feature_layers import FeatureEncoder

    if architecture.harmonics:
        options = architecture.harmonics, architecture.polar, architecture.bendings
        plain, waves, angles = tracks.TrackEncoder(spec, *options, name="features")(x)
        encoded = keras.layers.Concatenate(name="encoded")([plain, waves])
        names: tuple[str, ...] = ("eta", "phi")
    else:
        encoded = FeatureEncoder(spec, architecture.periodic_angles, name="features")(x)
        angles, names = x, spec.names
    pair = None
    if architecture.pair_features:
        columns = names.index("eta"), names.index("phi")
        separations = spec.separations if architecture.scales else None
        pair_features = layers.PairFeatures(*columns, separations, name="pairs")
        pair = pair_features((angles, receivers, senders))
    hidden = encoded
    for i, width in enumerate(architecture.blocks):
        block = layers.GNBlock(width, architecture.activation, init, name=f"block_{i}")
        skip = [encoded, block([hidden, receivers, senders, pair])]
        hidden = keras.layers.Concatenate(name=f"skip_{i}")(skip)
    logit = _head(architecture, init, hidden)
    if not architecture.of_events:
        return logit
    return tracks.EventProduct(name="event")((logit, receivers, senders))

"""Networks as a SavedModel of TensorFlow, for TensorFlow Serving, C++ and coffea's wrapper.

Its signatures take raw features and give efficiencies, the mean over the networks:

``serving_default``
    ``x``, float32 (objects, features), of all events one after the other, and ``counts``, int64
    (events,), the number of objects of each: ``efficiency`` (objects, working points).
``padded``
    ``x``, float32 (events, slots, features), and ``counts`` (events,), the number of filled slots,
    which come first: ``efficiency`` (events, slots, working points), NaN in slots that are empty.

Of a task of events there is one row for each event. A value that is missing is NaN.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hepsilon._system.extras import needs
from hepsilon._system.files import atomic_tree
from hepsilon.data.missing import MISSING
from hepsilon.efficiencies.artifact_edits import sample_of, values_on
from hepsilon.efficiencies.cards import NetworkCard
from hepsilon.efficiencies.engines.choice import read_weights
from hepsilon.efficiencies.engines.keras import keras_backend, start_backend
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ArtifactError, ConfigError
from hepsilon.networks.build import build_model

__all__ = ["write_saved_model"]

PARITY = 1e-5
"""Largest difference of an efficiency at which a model counts as the same efficiency."""


def write_saved_model(efficiency: NetworkEfficiency, out: str | Path) -> Path:
    """Write a network, or the mean of an ensemble, as a SavedModel.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        Network or ensemble.
    out : str or Path
        Folder to write; a SavedModel that is there is replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError
        Without TensorFlow as Keras' backend, for a network that is refined with trees, or for a
        folder with anything else in it.
    ArtifactError
        If it differs from the artifact by more than 1e-5 in an efficiency.
    """
    out = Path(out)
    needs("a SavedModel", "keras", "tensorflow", extra="train")
    if keras_backend() != "tensorflow":
        raise ConfigError(
            f"a SavedModel needs Keras on TensorFlow, and it runs on {keras_backend()!r} here: set "
            "KERAS_BACKEND=tensorflow, or export it as onnx"
        )
    if efficiency.card.refinement is not None and efficiency.card.refinement.kept:
        raise ConfigError(
            f"{efficiency.path} is refined with trees, which a SavedModel does not hold; export it "
            "as onnx"
        )
    if out.is_dir() and any(out.iterdir()) and not (out / "saved_model.pb").is_file():
        raise ConfigError(f"{out} holds other files; name a new folder for the SavedModel")
    start_backend()
    import tensorflow as tf

    module = _module(efficiency)
    with atomic_tree(out) as made:
        signatures = {"serving_default": module.flat, "padded": module.padded}
        tf.saved_model.save(module, str(made), signatures=signatures)
        _check(efficiency, tf.saved_model.load(str(made)))
    return out


def _module(efficiency: NetworkEfficiency) -> Any:
    """Networks and signatures as TensorFlow saves them."""
    import tensorflow as tf

    card = efficiency.card
    model = build_model(card.architecture, card.features, None)
    weights = read_weights(efficiency.path, card, efficiency.hash, model)[: card.averaged]
    features = len(card.features.features)
    rows = tf.TensorSpec((None, features), tf.float32, "x")
    slots = tf.TensorSpec((None, None, features), tf.float32, "x")
    counts = tf.TensorSpec((None,), tf.int64, "counts")

    class Module(tf.Module):  # type: ignore[misc]
        """Networks of one architecture, and their mean."""

        def __init__(self) -> None:
            super().__init__()
            self.members = [[tf.Variable(w, trainable=False) for w in each] for each in weights]

        @tf.function(input_signature=[rows, counts])  # type: ignore[untyped-decorator]
        def flat(self, x: Any, counts: Any) -> Any:
            """Of all objects, one after the other."""
            return {"efficiency": _efficiency(card, model, self.members, x, counts)}

        @tf.function(input_signature=[slots, counts])  # type: ignore[untyped-decorator]
        def padded(self, x: Any, counts: Any) -> Any:
            """Of the filled slots of all events."""
            filled = tf.sequence_mask(counts, tf.shape(x)[1])
            found = _efficiency(card, model, self.members, tf.boolean_mask(x, filled), counts)
            if card.task.of_events:
                return {"efficiency": found}
            shape = tf.concat([tf.shape(filled), tf.shape(found)[1:]], 0)
            empty = tf.fill(shape, tf.constant(np.nan, found.dtype))
            return {"efficiency": tf.tensor_scatter_nd_update(empty, tf.where(filled), found)}

    return Module()


def _efficiency(card: NetworkCard, model: Any, members: Any, x: Any, counts: Any) -> Any:
    """Mean of the efficiencies of all networks, float32 (rows, working points)."""
    import tensorflow as tf

    counts = tf.cast(counts, tf.int32)
    wrong = "the counts must add up to the number of objects"
    with tf.control_dependencies(
        [tf.debugging.assert_equal(tf.reduce_sum(counts), tf.shape(x)[0], wrong)]
    ):
        x = tf.identity(x)
    missing = [bool(feature.missing) for feature in card.features.features]
    x = tf.where(tf.math.is_nan(x) & missing, MISSING, x)
    objects = card.architecture.objects
    rows = x if objects is None else tf.reshape(x, (-1, objects * x.shape[1]))
    inputs = {"x": rows, **_pairs(card, counts)}
    total = 0.0
    for weights in members:
        logits = model.stateless_call(weights, [], inputs, training=False)[0]
        shifted = tf.cast(logits, tf.float64) + np.log(card.training.mu)
        total += _probability(shifted)
    if card.task.of_events and objects is None:  # all objects of an event say the same
        total = tf.gather(total, tf.cumsum(counts, exclusive=True))
    return tf.cast(total / len(members), tf.float32)


def _pairs(card: NetworkCard, counts: Any) -> dict[str, Any]:
    """Receivers and senders of all ordered pairs of the events."""
    import tensorflow as tf

    if not card.architecture.has_edges:
        none = tf.zeros((0,), tf.int32)
        return {"receivers": none, "senders": none}
    first, number = (
        tf.repeat(each, counts) for each in (tf.cumsum(counts, exclusive=True), counts)
    )
    partners = number - 1  # of each object
    receivers = tf.repeat(tf.range(tf.shape(first)[0]), partners)
    before = tf.repeat(tf.cumsum(partners, exclusive=True), partners)
    place = tf.range(tf.shape(receivers)[0]) - before
    senders = tf.gather(first, receivers) + place
    senders += tf.cast(senders >= receivers, tf.int32)
    return {"receivers": receivers, "senders": senders}


def _probability(shifted: Any) -> Any:
    """Efficiencies from logits, as :func:`hepsilon.efficiencies.network.to_probability`."""
    import tensorflow as tf

    if shifted.shape[1] == 1:
        return tf.sigmoid(shifted)
    bins = tf.nn.softmax(tf.pad(shifted, [[0, 0], [1, 0]]))
    return tf.cumsum(bins, axis=1, reverse=True)[:, 1:]


def _check(efficiency: NetworkEfficiency, loaded: Any) -> None:
    """Compare both signatures with the artifact on the events that it keeps."""
    import tensorflow as tf

    sample, card = sample_of(efficiency), efficiency.card
    expected = values_on(efficiency, sample)[..., card.nominal].mean(axis=-1)
    nodes, counts = sample["nodes"], np.diff(sample["offsets"])
    filled = np.arange(counts.max()) < counts[:, None]
    slots = np.zeros((*filled.shape, nodes.shape[1]), np.float32)
    slots[filled] = nodes
    for name, x in (("serving_default", nodes), ("padded", slots)):
        signature = loaded.signatures[name]
        answer = signature(x=tf.constant(x), counts=tf.constant(counts, tf.int64))
        found = answer["efficiency"].numpy()
        if name == "padded" and not card.task.of_events:
            found = found[filled]
        largest = float(np.abs(found.reshape(expected.shape) - expected).max())
        if not largest <= PARITY:
            raise ArtifactError(
                f"the SavedModel of {efficiency.path} differs by {largest:.1g} in an efficiency "
                f"({name}); expected at most {PARITY:.0e}. It was not written"
            )

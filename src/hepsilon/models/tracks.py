"""Layers for charged tracks: inputs that know the geometry, and an efficiency that is a product."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import keras
import numpy as np
from keras import ops

from hepsilon.errors import ConfigError
from hepsilon.features import FeatureSpec
from hepsilon.models.layers import Initializers, run

__all__ = ["EventProduct", "PairFactors", "TrackEncoder", "log_odds"]

TWO_PI = 2.0 * math.pi
CHARGE = "charge"


def log_odds(log_probability: Any) -> Any:
    """Logit of a probability that is given by its logarithm, finite up to probability one."""
    bounded = ops.minimum(log_probability, -1e-6)
    return bounded - ops.log(-ops.expm1(bounded))


class TrackEncoder(keras.layers.Layer):  # type: ignore[misc]
    r"""Raw track features to network inputs and the two angles that pairs are compared in.

    Inputs are the logarithm of pt in units of its scale in the training sample, eta and its
    harmonics in the range of that sample, and harmonics :math:`\cos k\phi_m, \sin k\phi_m` of
    azimuths :math:`\phi_m = \phi - q \kappa_m / p_T`: where a track of charge q crosses a
    cylinder around the beam, to first order. The :math:`\kappa_m` [GeV] are learned. Without a
    feature ``charge`` there is no bending. All other features enter standardised or one-hot.

    Shapes: (..., features) to (..., encoded) and (..., 1 + bendings), which are eta and the
    azimuths.
    """

    def __init__(self, spec: FeatureSpec, harmonics: int, bendings: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec, self.harmonics, self.bendings = spec, harmonics, bendings
        names = set(spec.names)
        if not ({"px", "py", "pz"} <= names or {"pt", "eta", "phi"} <= names):
            raise ConfigError(
                "the network for tracks needs the features px, py, pz or pt, eta, phi; "
                f"received {list(spec.names)}"
            )

    def build(self, input_shape: Any) -> None:
        self.kappa = self.add_weight(shape=(self.bendings,), initializer="zeros", name="kappa")

    def _kinematics(self, x: Any) -> tuple[Any, Any, Any, float]:
        """Pt, eta, phi, and the scale of pt."""
        feature = {f.name: f for f in self.spec.features}
        column = {name: x[..., i] for i, name in enumerate(self.spec.names)}
        if "px" in column:
            px, py, pz = (column[name] for name in ("px", "py", "pz"))
            pt = ops.sqrt(ops.maximum(px * px + py * py, 1e-24))
            scale = math.hypot(feature["px"].std, feature["py"].std)
            return pt, ops.arcsinh(pz / pt), ops.arctan2(py, px), scale
        scale = math.hypot(feature["pt"].mean, feature["pt"].std)
        return ops.maximum(column["pt"], 1e-12), column["eta"], column["phi"], scale

    def _others(self, x: Any) -> list[Any]:
        """Features that are no momentum."""
        columns = []
        for i, feature in enumerate(self.spec.features):
            value = x[..., i : i + 1]
            if feature.kind == "categorical":
                codes = ops.convert_to_tensor(list(map(float, feature.categories)), x.dtype)
                columns.append(ops.cast(ops.equal(value, codes), x.dtype))
            elif feature.name not in ("px", "py", "pz", "pt", "eta", "phi"):
                columns.append((value - feature.mean) / feature.std)
        return columns

    def _harmonics(self, angle: Any) -> list[Any]:
        multiples = ops.expand_dims(angle, -1) * ops.arange(1.0, self.harmonics + 1.0)
        return [ops.cos(multiples), ops.sin(multiples)]

    def call(self, x: Any) -> tuple[Any, Any]:
        pt, eta, phi, scale = self._kinematics(x)
        columns = [ops.expand_dims(ops.log(pt / scale), -1), ops.expand_dims(eta, -1)]
        charge = ops.zeros_like(pt)
        if CHARGE in self.spec.names:
            charge = x[..., self.spec.names.index(CHARGE)]
        azimuths = [phi - self.kappa[m] * charge / pt for m in range(self.bendings)] or [phi]
        for azimuth in azimuths:
            columns += self._harmonics(azimuth)
        encoded = ops.concatenate(columns + self._others(x), axis=-1)
        return encoded, ops.stack([eta, *azimuths], axis=-1)


def pair_differences(first: Any, second: Any) -> Any:
    """What close-by tracks depend on, symmetric in the two: |d_eta|, |d_phi|, cos, delta R."""
    d_eta = ops.abs(first[..., :1] - second[..., :1])
    d_phi = first[..., 1:] - second[..., 1:]
    d_phi = ops.abs(d_phi - TWO_PI * ops.round(d_phi / TWO_PI))
    # the tiny constant keeps the gradient of the root finite
    delta_r = ops.sqrt(d_eta * d_eta + d_phi * d_phi + 1e-12)
    return ops.concatenate([d_eta, d_phi, ops.cos(d_phi), delta_r], axis=-1)


class PairFactors(keras.layers.Layer):  # type: ignore[misc]
    r"""Logit of an event's efficiency as a product over its tracks and their pairs.

    .. math:: E = \prod_i \sigma(a(t_i)) \prod_{i<j} \sigma(b(t_i, t_j))

    with one network a for all tracks and one network b for all pairs, symmetrised in its
    arguments. Detectors lose tracks one by one, and correlate them on top: what factorises is
    learned from all tracks, what does not from the pairs. For two tracks b alone can be any
    function of the event. The result does not depend on the order of the tracks.

    Shapes: encoded (events, tracks, d) and angles (events, tracks, 1 + m) to (events, 1).
    """

    def __init__(
        self, widths: tuple[int, ...], activation: str, init: Initializers, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.single = init.mlp([*widths, 1], activation, "linear", "track")
        self.pair = init.mlp([*widths, 1], activation, "linear", "pair")
        # start near efficiency one, so that no factor begins by hiding the others
        self.offset = 2.0

    def build(self, input_shape: Any) -> None:
        (*_, d), (*_, angles) = input_shape
        sizes = {"single": d, "pair": 2 * d + 1 + 3 * (angles - 1)}
        for name, size in sizes.items():
            for layer in getattr(self, name):
                layer.build((None, size))
                size = layer.units

    def call(self, inputs: tuple[Any, Any]) -> Any:
        encoded, angles = inputs
        n_tracks = encoded.shape[1]
        singles = ops.log_sigmoid(run(self.single, encoded)[..., 0] + self.offset)
        total = ops.sum(singles, axis=1, keepdims=True)
        if n_tracks > 1:
            first, second = np.array(list(combinations(range(n_tracks), 2))).T
            a, b = ops.take(encoded, first, axis=1), ops.take(encoded, second, axis=1)
            difference = pair_differences(
                ops.take(angles, first, axis=1), ops.take(angles, second, axis=1)
            )
            both = [ops.concatenate([*ab, difference], axis=-1) for ab in ((a, b), (b, a))]
            hidden = [run(self.pair[:-1], x) for x in both]
            logits = self.pair[-1](0.5 * (hidden[0] + hidden[1]))[..., 0]
            pairs = ops.log_sigmoid(logits + self.offset)
            total = total + ops.sum(pairs, axis=1, keepdims=True)
        return log_odds(total)


class EventProduct(keras.layers.Layer):  # type: ignore[misc]
    r"""Event-level readout of a graph network: :math:`E = \prod_i \sigma(a_i)` over its nodes.

    The logarithms are summed over each node's edges, which reach all other objects of its event:
    every node carries the logit of its event. For any number of objects.
    """

    def call(self, inputs: tuple[Any, Any, Any]) -> Any:
        logit, receivers, senders = inputs
        own = ops.log_sigmoid(logit)
        partners = ops.segment_sum(
            ops.take(own, senders, axis=0), receivers, num_segments=ops.shape(own)[0]
        )
        return log_odds(own + partners)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """One row per node (given here since the number of segments is known at run time only)."""
        return input_shape[0]

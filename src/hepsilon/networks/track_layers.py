"""Layers for charged tracks: inputs that know the geometry, and an efficiency that is a product."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import keras
import numpy as np
from keras import ops

from hepsilon.data.features import FeatureSpec
from hepsilon.errors import ConfigError
from hepsilon.networks.feature_layers import encoded, periodic
from hepsilon.networks.layers import (
    Initializers,
    at_senders,
    run,
    separation,
    sum_over_partners,
)

__all__ = [
    "EventProduct",
    "ProductEfficiency",
    "TrackEncoder",
    "log_odds",
    "slope",
    "slope_of_event",
]

CHARGE = "charge"
MOMENTA = ({"px", "py", "pz"}, {"pt", "eta", "phi"})


def log_odds(log_probability: Any) -> Any:
    """Logit of a probability that is given by its logarithm, finite up to probability one."""
    bounded = ops.minimum(log_probability, -1e-6)
    # exp(x) - 1 by way of tanh, as exact for small x, and known to every runtime
    t = ops.tanh(0.5 * bounded)
    return bounded - ops.log(-2.0 * t / (1.0 - t))


def slope_of_event(log_probability: Any) -> Any:
    """Derivative of :func:`log_odds`, ``1 / (1 - probability)``, as it is below the bound."""
    t = ops.tanh(0.5 * ops.minimum(log_probability, -1e-6))
    return (1.0 - t) / (-2.0 * t)


class TrackEncoder(keras.layers.Layer):  # type: ignore[misc]
    r"""Encoder of raw track features as network inputs that know the geometry.

    All but azimuth: the logarithm of pt in units of its scale in the training sample, eta,
    harmonics :math:`\cos k\theta, \sin k\theta` of the polar angle, and all other features,
    standardised or one-hot. Azimuth: harmonics of :math:`\phi_m = \phi - q \kappa_m / p_T`, where
    a track of charge q crosses a cylinder around the beam, to first order. The
    :math:`\kappa_m` [GeV] are learned. Without a feature ``charge`` there is no bending; with
    ``charge_input`` the charge is an input besides.

    It maps (..., features) to three tensors: (..., d) without azimuth, (..., 2 m harmonics) of the
    azimuths, and the angles (..., 1 + m): eta and the azimuths.

    Parameters
    ----------
    spec : FeatureSpec
        Features with px, py, pz or pt, eta, phi among them.
    harmonics : int
        Number of harmonics of each azimuth.
    polar : int
        Number of harmonics of the polar angle.
    bendings : int
        Number of cylinders on which the azimuth is taken.
    charge_input : bool, default True
        Whether the charge is an input of its own.
    **kwargs
        Options of a Keras layer, such as ``name``.

    Raises
    ------
    ConfigError
        If the features give no momentum.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        harmonics: int,
        polar: int,
        bendings: int,
        charge_input: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec, self.harmonics, self.polar, self.bendings = spec, harmonics, polar, bendings
        self.charge_input = charge_input
        names = set(spec.names)
        if not any(momentum <= names for momentum in MOMENTA):
            raise ConfigError(
                "the network for tracks needs the features px, py, pz or pt, eta, phi; "
                f"received {list(spec.names)}"
            )
        self.charge = spec.names.index(CHARGE) if CHARGE in names else None

    def build(self, input_shape: Any) -> None:
        if self.charge is not None and self.bendings:
            shape = (self.bendings,)
            self.kappa = self.add_weight(shape=shape, initializer="zeros", name="kappa")

    def _kinematics(self, x: Any) -> tuple[Any, Any, Any, float]:
        """Pt, eta, phi, and the scale of pt."""
        feature = {f.name: f for f in self.spec.features}
        column = {name: x[..., i] for i, name in enumerate(self.spec.names)}
        if column.keys() >= MOMENTA[0]:
            px, py, pz = (column[name] for name in ("px", "py", "pz"))
            pt = ops.sqrt(ops.maximum(px * px + py * py, 1e-12))
            scale = math.hypot(feature["px"].std, feature["py"].std)
            return pt, ops.arcsinh(pz / pt), ops.arctan2(py, px), scale
        scale = math.hypot(feature["pt"].mean, feature["pt"].std)
        return ops.maximum(column["pt"], 1e-6), column["eta"], column["phi"], scale

    def _others(self, x: Any) -> list[Any]:
        """Features that are no momentum."""
        columns = []
        for i, feature in enumerate(self.spec.features):
            momentum = any(feature.name in names for names in MOMENTA)
            bends_only = feature.name == CHARGE and not self.charge_input
            if feature.kind == "angle" and not momentum:
                columns += periodic(x[..., i : i + 1], feature)
            elif feature.kind == "categorical" or not momentum:
                columns += [] if bends_only else [encoded(x[..., i : i + 1], feature)]
        return columns

    def call(self, x: Any) -> tuple[Any, Any, Any]:
        pt, eta, phi, scale = self._kinematics(x)
        theta = ops.arctan2(ops.ones_like(eta), ops.sinh(eta))
        columns = [ops.expand_dims(ops.log(pt / scale), -1), ops.expand_dims(eta, -1)]
        columns += [*harmonics(theta, self.polar), *self._others(x)]
        azimuths = [phi]
        if self.charge is not None and self.bendings:
            bend = x[..., self.charge] / pt
            azimuths = [phi - ops.multiply(self.kappa[m], bend) for m in range(self.bendings)]
        waves = [wave for azimuth in azimuths for wave in harmonics(azimuth, self.harmonics)]
        return (
            ops.concatenate(columns, axis=-1),
            ops.concatenate(waves, axis=-1),
            ops.stack([eta, *azimuths], axis=-1),
        )


def harmonics(angle: Any, number: int) -> list[Any]:
    """``cos k x`` and ``sin k x`` for k from one to ``number``, each (..., number).

    Parameters
    ----------
    angle : tensor, shape (...)
        Angle [rad].
    number : int
        Number of harmonics.

    Returns
    -------
    list of two tensors, shape (..., number)
        Cosines and sines; an empty list for none.
    """
    if number == 0:  # not every runtime knows columns of no width
        return []
    multiples = ops.expand_dims(angle, -1) * ops.arange(1.0, number + 1.0)
    return [ops.cos(multiples), ops.sin(multiples)]


def pair_differences(first: Any, second: Any) -> Any:
    """Differences that close-by tracks depend on: |d_eta|, |d_phi|, cos, delta R; symmetric.

    Parameters
    ----------
    first, second : tensor, shape (..., 1 + m)
        Eta and m azimuths [rad] of the two tracks of each pair.

    Returns
    -------
    tensor, shape (..., 1 + 3 m)
        Differences; the last m are delta R.
    """
    d_eta, d_phi, delta_r = separation(
        first[..., :1] - second[..., :1], first[..., 1:] - second[..., 1:]
    )
    return ops.concatenate([ops.abs(d_eta), ops.abs(d_phi), ops.cos(d_phi), delta_r], axis=-1)


class ProductEfficiency(keras.layers.Layer):  # type: ignore[misc]
    r"""Logit of an event's efficiency as a product over its tracks and their pairs.

    .. math:: E = \prod_i \sigma(a(t_i)) \prod_{i<j} \sigma(b(t_i, t_j))

    with one network a for all tracks and one network b for all pairs, symmetrised in its
    arguments: the result does not depend on the order of the tracks. Detectors lose tracks one by
    one and correlate them on top; what factorises is learned from all tracks alike. Pairs see all
    but the azimuth of their tracks, the differences of their angles and the logarithm of the sum
    of their pt; the charge acts through the bending. This is what most detectors do, and is learned
    first. What they do besides is added to the logits of both factors by networks that see more,
    times factors that start at zero: the track's charge and its azimuth by charge, and of pairs the
    charges and where in azimuth they are. As inputs from the start these let trainings end in a
    local minimum.

    It maps the outputs of :class:`TrackEncoder` and the charges (or None), each
    (events, tracks, ...), to two tensors: the logits (events, 1), and their derivatives by the
    weights of the last layers (events, n).

    Parameters
    ----------
    widths : tuple of int
        Hidden widths of both networks.
    activation : str
        Activation of the hidden layers.
    init : Initializers
        Maker of their layers.
    more : bool, default True
        Whether the factors get the networks that see more.
    **kwargs
        Options of a Keras layer, such as ``name``.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        activation: str,
        init: Initializers,
        more: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.more = more
        self.networks = {
            name: init.mlp([*widths, 1], activation, "linear", name)
            for name in ("track", "pair", "more_track", "more_pair")
        }

    def build(self, input_shape: Any) -> None:
        (_, tracks, plain), (*_, waves), (*_, angles), charge = input_shape
        charged = 0 if charge is None else 1
        pair = 2 * plain + 2 + 3 * (angles - 1)
        first = {
            "track": plain + waves,
            "pair": pair if tracks > 1 else None,  # no weights that nothing would train
            "more_track": plain + 2 * waves + 1 if charged else None,
            "more_pair": pair + 2 * (waves + charged) if tracks > 1 else None,
        }
        self.factors = {}
        for name, width in first.items():
            if width is None or (name.startswith("more") and not self.more):
                continue
            inputs = [width, *(layer.units for layer in self.networks[name])]
            for layer, size in zip(self.networks[name], inputs, strict=False):
                layer.build((None, size))
            if name.startswith("more"):
                self.factors[name] = self.add_weight(
                    shape=(1,), initializer="zeros", name=f"{name}_factor"
                )

    def call(self, inputs: tuple[Any, Any, Any, Any]) -> Any:
        plain, waves, _, charge = inputs
        known = ops.concatenate([plain, waves], axis=-1)
        singles, hidden = self._ends("track", run(self.networks["track"][:-1], known))
        if charge is not None and self.more:
            more = ops.concatenate([known, charge * waves, charge], axis=-1)
            added, columns = self._ends("more_track", run(self.networks["more_track"][:-1], more))
            singles, hidden = singles + added, ops.concatenate([hidden, columns], axis=-1)
        total = ops.sum(log_factor(singles), axis=1)
        features = ops.sum(slope(singles) * hidden, axis=1)
        if plain.shape[1] > 1:
            pairs, hidden = self._pairs(inputs)
            total = total + ops.sum(log_factor(pairs), axis=1)
            of_pairs = ops.sum(slope(pairs) * hidden, axis=1)
            features = ops.concatenate([features, of_pairs], axis=-1)
        return log_odds(total), slope_of_event(total) * features

    def _ends(self, name: str, hidden: Any) -> tuple[Any, Any]:
        """Output of a network from the input of its last layer, and its derivatives by that."""
        output, columns = self.networks[name][-1](hidden), [hidden, ops.ones_like(hidden[..., :1])]
        features = ops.concatenate(columns, axis=-1)
        if name not in self.factors:
            return output, features
        return tuple(ops.multiply(self.factors[name], each) for each in (output, features))

    def _pairs(self, inputs: tuple[Any, Any, Any, Any]) -> tuple[Any, Any]:
        """Logits of all pairs (events, pairs, 1), and their derivatives by the last layers."""
        plain, waves, angles, charge = inputs
        index = np.array(list(combinations(range(plain.shape[1]), 2))).T
        a, b = (ops.take(plain, i, axis=1) for i in index)
        differences = pair_differences(*(ops.take(angles, i, axis=1) for i in index))
        sum_pt = ops.log(ops.exp(a[..., :1]) + ops.exp(b[..., :1]))
        common = [differences, sum_pt]
        plainly = self._symmetric("pair", [a], [b], common)
        if not self.more:
            return plainly
        places = waves if charge is None else ops.concatenate([waves, charge], axis=-1)
        c, d = (ops.take(places, i, axis=1) for i in index)
        more = self._symmetric("more_pair", [a, c], [b, d], common)
        return plainly[0] + more[0], ops.concatenate([plainly[1], more[1]], axis=-1)

    def _symmetric(
        self, name: str, first: list[Any], second: list[Any], common: list[Any]
    ) -> tuple[Any, Any]:
        """Output of a network for pairs, whose tracks may be given in either order."""
        layers = self.networks[name]
        orders = (first, second), (second, first)
        hidden = [run(layers[:-1], ops.concatenate([*a, *b, *common], axis=-1)) for a, b in orders]
        return self._ends(name, 0.5 * (hidden[0] + hidden[1]))


def log_factor(logit: Any) -> Any:
    """Logarithm of one factor; it starts near one, so that no factor begins by hiding others."""
    return ops.log_sigmoid(logit + 2.0)


def slope(logit: Any) -> Any:
    """Derivative of :func:`log_factor`."""
    return ops.sigmoid(-(logit + 2.0))


class EventProduct(keras.layers.Layer):  # type: ignore[misc]
    r"""Event-level readout of a graph network: :math:`E = \prod_i \sigma(a_i)` over its nodes.

    The logarithms are summed over each node's edges, which reach all other objects of its event:
    every node carries the logit of its event, for any number of objects.
    """

    def call(self, inputs: tuple[Any, Any, Any]) -> Any:
        logit, receivers, senders = inputs
        edges = receivers, senders
        own = log_factor(logit)
        return log_odds(own + sum_over_partners(at_senders(own, edges), edges, own))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """One row per node (given here since the number of segments is known at run time only)."""
        return input_shape[0]

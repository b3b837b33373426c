"""The networks once more: plain NumPy in float64, event by event, pair by pair.

Written from Appendix B and C of Di Bello et al., "Efficiency Parameterization with Neural
Networks", not from :mod:`hepsilon.networks`. Weights are named as in an artifact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.networks.architecture import Architecture

Weights = dict[str, Any]

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0.0),
    "silu": lambda x: x / (1.0 + np.exp(-x)),
    "tanh": np.tanh,
    "": lambda x: x,
}


def weights_of(model: Any) -> Weights:
    """Weights of a Keras model, float64, named as in an artifact."""
    return {v.path.replace("/", "."): np.array(v.numpy(), np.float64) for v in model.weights}


def randomise(model: Any, seed: int) -> None:
    """Random kernels and, unlike after a build, random biases; large ones in the head."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        gain = 3.0 if variable.path.startswith(("head", "logit")) else 1.3
        rows = variable.shape[0] if len(variable.shape) == 2 else 10
        variable.assign(rng.normal(0.0, gain / np.sqrt(rows), variable.shape))


class Counting:
    """A network that counts how often TensorFlow traces it."""

    def __init__(self, model: Any) -> None:
        self.model, self.traces = model, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def stateless_call(self, *arguments: Any, **options: Any) -> Any:
        self.traces += 1
        return self.model.stateless_call(*arguments, **options)


def dense(x: Any, w: Weights, name: str, activation: str) -> Any:
    return ACTIVATIONS[activation](x @ w[f"{name}.kernel"] + w[f"{name}.bias"])


def mlp(x: Any, w: Weights, names: list[str], activation: str, last: str) -> Any:
    for name in names[:-1]:
        x = dense(x, w, name, activation)
    return dense(x, w, names[-1], last)


def standardised(value: float, feature: Feature) -> float:
    scale = feature.scale
    if scale is None:
        return (value - feature.mean) / feature.std
    function = np.log if scale.kind == "log" else np.arcsinh
    return float((function(value / scale.unit) - scale.mean) / scale.std)


def encode(jet: Any, spec: FeatureSpec, periodic: bool) -> Any:
    out: list[float] = []
    for value, feature in zip(jet, spec.features, strict=True):
        if feature.kind == "categorical":
            out += [float(value == category) for category in feature.categories]
        elif feature.kind == "angle" and periodic:
            out += [np.cos(value), np.sin(value)]
        else:
            missing = feature.missing and value < -1e29
            out.append(0.0 if missing else standardised(value, feature))
            out += [float(missing)] if feature.missing else []
    return np.array(out)


def pair_features(receiver: Any, sender: Any, spec: FeatureSpec) -> list[float]:
    eta, phi = spec.names.index("eta"), spec.names.index("phi")
    d_eta, d_phi = receiver[eta] - sender[eta], receiver[phi] - sender[phi]
    d_phi = (d_phi + np.pi) % (2.0 * np.pi) - np.pi
    delta_r = np.hypot(d_eta, d_phi)
    found = spec.separations
    if found is None:
        return [d_eta, d_phi, delta_r]
    return [d_eta, d_phi, delta_r, *(np.exp(-(delta_r - found.low) / s) for s in found.scales)]


def gn_block(
    hidden: Any, jets: Any, w: Weights, name: str, architecture: Architecture, spec: FeatureSpec
) -> Any:
    """One GN block on one event: ``(n, d_in) -> (n, d_out)``."""
    activation = architecture.activation
    out = []
    for i in range(len(hidden)):
        total = np.zeros(w[f"{name}.pair_1.bias"].shape)
        for j in range(len(hidden)):
            if i != j:
                extra = pair_features(jets[i], jets[j], spec) if architecture.pair_features else []
                pair = np.concatenate([hidden[i], hidden[j], extra])
                layers = [f"{name}.pair_first", f"{name}.pair_0", f"{name}.pair_1"]
                total += mlp(pair, w, layers, activation, "tanh")
        summed = mlp(total, w, [f"{name}.summed_0", f"{name}.summed_1"], activation, "tanh")
        single = mlp(hidden[i], w, [f"{name}.object_0", f"{name}.object_1"], activation, "tanh")
        both = np.concatenate([summed, single])
        out.append(both / np.sqrt(np.sum(both**2)))
    return np.array(out)


def reference_logits(w: Weights, architecture: Architecture, spec: FeatureSpec, jets: Any) -> Any:
    """Logits of the jets (``n, n_features``, raw) of one event."""
    jets = np.asarray(jets, np.float64)
    outputs = architecture.working_points
    if not len(jets):
        return np.zeros((0, outputs) if outputs > 1 else 0)
    encoded = np.array([encode(jet, spec, architecture.periodic_angles) for jet in jets])
    hidden = encoded
    for i in range(len(architecture.blocks)):
        block = gn_block(hidden, jets, w, f"block_{i}", architecture, spec)
        hidden = np.concatenate([encoded, block], axis=1)
    heads = [f"head_{i}" for i in range(len(architecture.head))]
    logits = mlp(hidden, w, [*heads, "logit"], architecture.activation, "")
    return logits if outputs > 1 else logits[:, 0]

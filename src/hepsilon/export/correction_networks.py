"""Networks of single objects as corrections of correctionlib: its node for small networks (LWTNN).

Categories choose a branch, in which their part of the first layer is a constant. Features on a
scale, angles and missing values are rewritten before they enter the network; what needs two numbers
(the cosine and sine of an angle) has one more argument, whose value does not matter, as room for
the second one. The networks of an ensemble stand side by side in block-diagonal layers, and their
mean is the last layer; of several working points each network is a correction of its own, and a
compound correction is their mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import correctionlib
import numpy as np
from correctionlib import schemav2 as cs

from hepsilon._version import __version__
from hepsilon.arrays.types import Array
from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.data.missing import MISSING
from hepsilon.efficiencies.artifact import read_arrays
from hepsilon.efficiencies.artifact_edits import sample_of, values_on
from hepsilon.efficiencies.cards import NetworkCard
from hepsilon.efficiencies.correction import FEATURES, MARK, POINT, SPARE
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.ratio import LearnedRatio
from hepsilon.errors import ArtifactError, ConfigError

__all__ = ["network_correction", "ratio_correction"]

RATIO_MARK, RATIO_FEATURES = "hepsilon ratio: ", "hepsilon ratio features: "
"""Begin the lines of a ratio, which is not to be read as an efficiency."""
PARITY = 1e-5
"""Largest difference of an efficiency at which a correction counts as the same efficiency."""
RATIO_PARITY = 1e-4
"""Largest relative difference of a ratio, whose network computes in float32."""
TINY = 1e-12
ACTIVATIONS: dict[str, Any] = {
    "linear": "linear",
    "relu": "rectified",
    "sigmoid": "sigmoid",
    "silu": {"function": "swish", "alpha": 1.0},  # without alpha it is NaN
    "tanh": "tanh",
}
INSTEAD = (
    "write its numbers beside the events with 'hepsilon apply', or export it as onnx, with named "
    "inputs and probabilities for C++"
)


def network_correction(efficiency: NetworkEfficiency, name: str = "efficiency") -> cs.CorrectionSet:
    """Make the correction of a network, or of an ensemble.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        Network that looks at one object at a time.
    name : str, default "efficiency"
        Name of the correction.

    Returns
    -------
    correctionlib.schemav2.CorrectionSet
        The correction, with the largest difference to the artifact in its description.

    Raises
    ------
    ConfigError
        If the network has no form in correctionlib, or its release is too old.
    ArtifactError
        If the values differ from those of the artifact by more than 1e-5.
    """
    return _network_correction(efficiency, name, _Answer())


def ratio_correction(ratio: LearnedRatio, name: str = "ratio") -> cs.CorrectionSet:
    """Make the correction of a ratio of densities: clipped odds of its network.

    Parameters
    ----------
    ratio : LearnedRatio
        Ratio of densities of single objects.
    name : str, default "ratio"
        Name of the correction.

    Returns
    -------
    correctionlib.schemav2.CorrectionSet
        The correction, which is no efficiency for those who read it.

    Raises
    ------
    ConfigError
        For a ratio of efficiencies, or a network that has no form in correctionlib.
    ArtifactError
        If the values differ from those of the artifact by more than 1e-4 of them.
    """
    if ratio.ratio.kind != "density":
        raise ConfigError(
            f"{ratio.path} is a ratio of two efficiencies of one network, and a correction gives "
            "one answer of it; write its numbers beside the events with 'hepsilon apply'"
        )
    low, high = ratio.ratio.clip
    odds = f"{_number(ratio.found.constant)}*x/max(1-x,{_number(TINY)})"
    formula = f"min(max({odds},{_number(low)}),{_number(high)})"

    def of_probability(eps: Array) -> Array:
        found = ratio.found.constant * eps / np.maximum(1.0 - eps, TINY)
        return np.asarray(np.clip(found, low, high))

    return _network_correction(ratio.network, name, _Answer(formula, "ratio", of_probability))


@dataclass(frozen=True)
class _Answer:
    """What becomes of the probability that a network of one working point gives."""

    formula: str = "x"
    name: str = "efficiency"
    function: Callable[[Array], Array] | None = None


def _network_correction(
    efficiency: NetworkEfficiency, name: str, answer: _Answer
) -> cs.CorrectionSet:
    _check_form(efficiency)
    card = efficiency.card
    columns = _Columns(card.features, card.architecture.periodic_angles, answer)
    arrays = read_arrays(efficiency.path, card, efficiency.hash)
    networks = [_Dense.of(arrays[n], card, columns) for n in card.networks[: card.averaged]]
    points = card.architecture.working_points
    if points == 1:
        corrections = [_correction(name, card, columns, [[_mean(networks)]])]
        compound = None
    else:
        names = [f"{name}_{i}" for i in range(len(networks))] if len(networks) > 1 else [name]
        share = 1.0 / len(networks)
        corrections = [
            _correction(n, card, columns, [[each.at_point(j, share)] for j in range(points)])
            for n, each in zip(names, networks, strict=True)
        ]
        compound = [_compound(name, corrections)] if len(networks) > 1 else None
    content = {"schema_version": 2, "corrections": corrections, "compound_corrections": compound}
    if compound is None:
        del content["compound_corrections"]
    largest, objects = _parity(efficiency, content, name, columns)
    content["description"] = _description(card, largest, objects)
    return cs.CorrectionSet.model_validate(content)


def _check_form(efficiency: NetworkEfficiency) -> None:
    """Refuse networks that have no form in correctionlib, with a way out."""
    card, path = efficiency.card, efficiency.path
    architecture = card.architecture
    reason = None
    if architecture.custom is not None:
        reason = f"its architecture {architecture.custom.name!r} is one of your own"
    elif architecture.of_events:
        reason = "it is an efficiency of events, and a correction takes one object at a time"
    elif architecture.has_edges:
        reason = (
            "it is a graph network, whose answer for an object depends on the other objects of its "
            "event, and a correction takes one object at a time"
        )
    elif card.refinement is not None and card.refinement.kept:
        reason = "it is refined with trees, which correctionlib has no node for"
    elif architecture.activation not in ACTIVATIONS:
        reason = f"correctionlib's networks have no activation {architecture.activation!r}"
    if reason is not None:
        raise ConfigError(f"{path} has no form in correctionlib: {reason}; {INSTEAD}")
    if not hasattr(cs, "LWTNN"):
        raise ConfigError(
            f"networks need correctionlib 2.9 or later, this is {correctionlib.__version__}: "
            "pip install --upgrade 'correctionlib>=2.9'"
        )


def _number(value: float) -> str:
    return f"({float(value)!r})".replace("e+", "e")  # the parser knows no such sign


class _Columns:
    """Inputs of the networks: how they come from the features, and where their weights are."""

    def __init__(self, spec: FeatureSpec, periodic: bool, answer: _Answer) -> None:
        self.spec, self.periodic, self.answer = spec, periodic, answer
        self.categories = [f for f in spec.features if f.kind == "categorical"]
        self.rules: list[tuple[str, str, str]] = []
        """Input that is rewritten, formula, and feature that the formula is of; in their order."""
        self.inputs: list[dict[str, Any]] = []
        self.rows: list[int] = []
        """Rows of the first kernel of the inputs."""
        self.one_hot: dict[str, int] = {}
        """First row of each category."""
        self.width = 0
        for feature in spec.features:
            self._add(feature)

    @property
    def spare(self) -> list[str]:
        """Arguments whose values do not matter."""
        return [name for name, _, feature in self.rules if name != feature]

    def _add(self, feature: Feature) -> None:
        name, absent = feature.name, f"(x<={_number(0.5 * float(MISSING))})"
        missing = bool(feature.missing)
        if feature.kind == "categorical":
            self.one_hot[name] = self.width
            self.width += len(feature.categories)
        elif feature.kind == "angle" and self.periodic:
            spares = [f"{name}{SPARE}"] + [f"{name}{SPARE}2"] * missing
            here = f"(1-{absent})*" * missing
            angle = f"({here}x)" if missing else "x"
            formulas = [f"{here}sin({angle})", absent][: 1 + missing]
            self.rules += [(s, f, name) for s, f in zip(spares, formulas, strict=True)]
            self.rules.append((name, f"{here}cos({angle})", name))
            self._take(name, *spares)
        elif missing:
            spare = f"{name}{SPARE}"
            value = f"({absent}*{_number(feature.mean)}+(1-{absent})*x)"
            self.rules.append((spare, absent, name))
            self.rules.append((name, f"(1-{absent})*{_standardised(feature, value)}", name))
            self._take(name, spare)
        elif feature.scale is not None:
            self.rules.append((name, _standardised(feature, "x"), name))
            self._take(name)
        else:
            self.inputs.append({"name": name, "offset": -feature.mean, "scale": 1.0 / feature.std})
            self.rows.append(self.width)
            self.width += 1

    def _take(self, *names: str) -> None:
        """Inputs as they are, one row of the kernel each."""
        for name in names:
            self.inputs.append({"name": name, "offset": 0.0, "scale": 1.0})
            self.rows.append(self.width)
            self.width += 1

    def chosen(self, keys: Iterable[int]) -> list[int]:
        """Rows of the first kernel that belong to one category of each feature."""
        found = []
        for feature, key in zip(self.categories, keys, strict=True):
            found.append(self.one_hot[feature.name] + feature.categories.index(key))
        return found

    def variables(self, points: list[str]) -> list[dict[str, Any]]:
        """Arguments of the correction."""
        found: list[dict[str, Any]] = []
        if len(points) > 1:
            text = f"one of {', '.join(points)}"
            found.append({"name": POINT, "type": "string", "description": text})
        for f in self.categories:
            text = f"one of {', '.join(map(str, f.categories))}"
            found.append({"name": f.name, "type": "int", "description": text})
        for f in self.spec.features:
            if f.kind != "categorical":
                text = f"in {f.unit}" if f.unit else "no unit"
                text += f"; {float(np.float32(MISSING))!r} where it is missing" * bool(f.missing)
                found.append({"name": f.name, "type": "real", "description": text})
        for name in self.spare:
            text = "any number, such as 0: room for a second number of that feature"
            found.append({"name": name, "type": "real", "description": text})
        return found

    def rewritten(self, node: dict[str, Any]) -> dict[str, Any]:
        """A node behind those that rewrite the features."""
        for name, formula, feature in reversed(self.rules):
            rule = _formula(formula, [feature])
            node = {"nodetype": "transform", "input": name, "rule": rule, "content": node}
        return node


def _standardised(feature: Feature, value: str) -> str:
    """Formula of :func:`hepsilon.networks.feature_layers.standardised`."""
    scale = feature.scale
    if scale is None:
        return f"(({value}-{_number(feature.mean)})/{_number(feature.std)})"
    unit = _number(scale.unit)
    if scale.kind == "log":
        inner = f"log(max({value},{_number(0.1 * (feature.low or 0.0))})/{unit})"
    else:
        inner = f"asinh({value}/{unit})"
    return f"(({inner}-{_number(scale.mean)})/{_number(scale.std)})"


def _formula(expression: str, variables: list[str]) -> dict[str, Any]:
    return {
        "nodetype": "formula",
        "expression": expression,
        "parser": "TFormula",
        "variables": variables,
    }


Layer = tuple[Array, Array, Any]
"""Kernel, bias and activation."""


class _Dense:
    """Layers of one or several networks side by side, whose first bias depends on the category."""

    def __init__(self, layers: list[Layer], rates: list[Array] | None, columns: _Columns) -> None:
        self.layers, self.rates, self.columns = layers, rates, columns

    @classmethod
    def of(cls, arrays: dict[str, Array], card: NetworkCard, columns: _Columns) -> _Dense:
        """Layers of one network, with the table of rates where it has one."""
        architecture, layers = card.architecture, []
        names = [f"head_{i}" for i in range(len(architecture.head))] + ["logit"]
        activation = ACTIVATIONS[architecture.activation]
        for name in names:
            kernel, bias = (arrays[f"{name}.{part}"].astype(float) for part in ("kernel", "bias"))
            layers.append((kernel, bias, activation if name != "logit" else "linear"))
        kernel, bias, _ = layers[-1]
        layers[-1] = kernel, bias + np.log(card.training.mu), "linear"
        table = arrays.get("rates.table")
        return cls(layers, None if table is None else [table.astype(float)], columns)

    def at_point(self, point: int, share: float) -> _Dense:
        """Layers that end in the efficiency of one of several working points, times a share."""
        kernel, bias, _ = self.layers[-1]
        points = kernel.shape[1]
        # the softmax of the bins, with that of what passes none, which has the logit zero
        bins = np.pad(kernel, ((0, 0), (1, 0))), np.pad(bias, (1, 0)), "softmax"
        chosen = (np.arange(points + 1) > point).astype(float)[:, None]
        rates = None if self.rates is None else [np.pad(t, ((0, 0), (1, 0))) for t in self.rates]
        layers = [*self.layers[:-1], bins, (share * chosen, np.zeros(1), "linear")]
        return _Dense(layers, rates, self.columns)

    def node(self, rows: list[int]) -> dict[str, Any]:
        """Node for one category of each feature, by their rows in the first kernel."""
        layers = list(self.layers)
        kernel, bias, activation = layers[0]
        layers[0] = kernel[self.columns.rows], bias + kernel[rows].sum(axis=0), activation
        if self.rates is not None:
            first = self.columns.categories[0].name
            row = rows[0] - self.columns.one_hot[first]
            kernel, bias, activation = layers[-2]
            layers[-2] = kernel, bias + np.concatenate([t[row] for t in self.rates]), activation
        config = {
            "inputs": self.columns.inputs,
            "layers": [_layer(*layer) for layer in layers],
            "outputs": ["value"],
        }
        return {
            "nodetype": "lwtnn",
            "opaque": config,
            "finalizer": _formula(self.columns.answer.formula, ["value"]),
        }


def _mean(networks: list[_Dense]) -> _Dense:
    """Networks of one working point in block-diagonal layers, and the mean of what they say."""
    layers: list[Layer] = []
    for depth, parts in enumerate(zip(*(each.layers for each in networks), strict=True)):
        kernels = [kernel for kernel, _, _ in parts]
        kernel = np.concatenate(kernels, axis=1) if not depth else _block_diagonal(kernels)
        layers.append((kernel, np.concatenate([bias for _, bias, _ in parts]), parts[0][2]))
    kernel, bias, _ = layers[-1]
    layers[-1] = kernel, bias, "sigmoid"
    layers.append((np.full((len(networks), 1), 1.0 / len(networks)), np.zeros(1), "linear"))
    tables = [table for each in networks for table in each.rates or []]
    return _Dense(layers, tables or None, networks[0].columns)


def _block_diagonal(kernels: list[Array]) -> Array:
    from scipy.linalg import block_diag

    return np.asarray(block_diag(*kernels))


def _layer(kernel: Array, bias: Array, activation: Any) -> dict[str, Any]:
    return {
        "architecture": "dense",
        "activation": activation,
        "weights": kernel.T.ravel().tolist(),
        "bias": bias.tolist(),
    }


def _correction(
    name: str, card: NetworkCard, columns: _Columns, networks: list[list[_Dense]]
) -> dict[str, Any]:
    """Correction of one network for each working point."""
    points = list(map(str, card.task.passed.working_points))
    data: Any = _tree(columns, networks[0][0])
    if len(points) > 1:
        content = [
            {"key": point, "value": _tree(columns, each)}
            for point, (each,) in zip(points, networks, strict=True)
        ]
        data = {"nodetype": "category", "input": POINT, "content": content}
    return {
        "name": name,
        "description": f"{columns.answer.name} of {card.task.collection} objects by a network",
        "version": 1,
        "inputs": columns.variables(points),
        "output": {"name": columns.answer.name, "type": "real"},
        "data": data,
    }


def _tree(columns: _Columns, network: _Dense) -> Any:
    """Categories, one inside the other, and in each combination the network."""
    nodes = {
        keys: columns.rewritten(network.node(columns.chosen(keys)))
        for keys in product(*(feature.categories for feature in columns.categories))
    }

    def branch(depth: int, keys: tuple[int, ...]) -> Any:
        if depth == len(columns.categories):
            return nodes[keys]
        feature = columns.categories[depth]
        content = [{"key": k, "value": branch(depth + 1, (*keys, k))} for k in feature.categories]
        return {"nodetype": "category", "input": feature.name, "content": content}

    return branch(0, ())


def _compound(name: str, corrections: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum of corrections that have their share each."""
    return {
        "name": name,
        "description": "Mean of the networks of an ensemble",
        "inputs": corrections[0]["inputs"],
        "output": corrections[0]["output"],
        "inputs_update": [],
        "input_op": "*",
        "output_op": "+",
        "stack": [correction["name"] for correction in corrections],
    }


def _parity(
    efficiency: NetworkEfficiency, content: dict[str, Any], name: str, columns: _Columns
) -> tuple[float, int]:
    """Largest difference to the artifact on the events that it keeps, and the number of objects."""
    sample, card = sample_of(efficiency), efficiency.card
    expected = values_on(efficiency, sample)[..., card.nominal].mean(axis=-1)
    evaluators = correctionlib.CorrectionSet.from_string(json.dumps(content))
    several = "compound_corrections" in content
    evaluator = evaluators.compound[name] if several else evaluators[name]
    nodes, points = sample["nodes"], list(map(str, card.task.passed.working_points))
    found = np.stack(
        [evaluator.evaluate(*each) for each in _arguments(columns, nodes, points)], axis=-1
    )
    found, tolerance = found.reshape(expected.shape), PARITY
    if columns.answer.function is not None:  # relative to what is large where it is
        wanted = columns.answer.function(expected)
        found, expected, tolerance = found / wanted, np.ones_like(wanted), RATIO_PARITY
    largest = float(np.abs(found - expected).max())
    if not largest <= tolerance:
        raise ArtifactError(
            f"the correction of {efficiency.path} differs by {largest:.1g} in a value; "
            f"expected at most {tolerance:.0e}. It was not written"
        )
    return largest, len(nodes)


def _arguments(columns: _Columns, nodes: Array, points: list[str]) -> Iterator[list[Any]]:
    """Arguments of the correction for each working point."""
    by_name = {f.name: nodes[:, i] for i, f in enumerate(columns.spec.features)}
    for point in points:
        yield [
            point
            if variable["type"] == "string"
            else by_name[variable["name"]].astype(int if variable["type"] == "int" else float)
            if variable["name"] in by_name
            else 0.0
            for variable in columns.variables(points)
        ]


def _description(card: NetworkCard, largest: float, objects: int) -> str:
    """What the file is, how well it agrees, and what an efficiency is made of again."""
    task = json.dumps(card.task.model_dump(mode="json", exclude_none=True))
    spec = card.features.model_copy(update={"combinations": None, "separations": None})
    ranges = "; ".join(
        f"{f.name} in {list(f.categories) or [f.low, f.high]}" for f in card.features.features
    )
    found = f"largest difference to them {largest:.2g} on {objects} objects"
    mark, features = (MARK, FEATURES) if card.ratio is None else (RATIO_MARK, RATIO_FEATURES)
    lines = [
        f"Written by hepsilon {__version__} with correctionlib {correctionlib.__version__}",
        f"Mean of {card.averaged} networks; {found}",
        f"Trained for {ranges}; values outside are extrapolated",
        f"{mark}{task}",
        f"{features}{json.dumps(spec.model_dump(mode='json', exclude_none=True))}",
    ]
    return "\n".join(lines)

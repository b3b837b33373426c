"""Maps and networks as corrections of correctionlib, in which experiments share such numbers.

Networks: :mod:`hepsilon.export.correction_networks`. The correction of a map takes the variation,
the working point if there are several, the categories and the binned features, in this order;
momenta are in GeV. Outside the bins it answers as the map does, with the nearest bin. The task is
in the description of the file, so that the map comes back with its meaning
(:class:`hepsilon.efficiencies.correction.CorrectionEfficiency`).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import correctionlib.schemav2 as cs
import numpy as np
from scipy.stats import beta

from hepsilon._system.files import atomic_path
from hepsilon._version import __version__
from hepsilon.arrays.types import Array
from hepsilon.data.units import is_angle, is_momentum
from hepsilon.efficiencies.correction import MARK
from hepsilon.efficiencies.map import EfficiencyMap
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.ratio import LearnedRatio
from hepsilon.efficiencies.ratio_map import RatioMap
from hepsilon.efficiencies.reweighting import shifted_ratios
from hepsilon.errors import ConfigError
from hepsilon.export.correction_networks import RATIO_MARK, network_correction, ratio_correction

__all__ = [
    "NAME",
    "VARIATIONS",
    "correction_set",
    "write_correction_file",
]

NAME = "efficiency"
"""Name of the correction in the file."""
VARIATIONS = "nominal", "up", "down"
N_DRAWS = 200
"""Replicas of a binned ratio whose spread is its variation."""
ONE_SIGMA = 0.6826894921370859


def _variations(efficiency: EfficiencyMap) -> dict[str, Array]:
    """Values of all bins, and the ends of the central 68 % of their posteriors, or the values.

    Every sum of shares that follow a Dirichlet distribution follows a Beta distribution.
    """
    value = efficiency.values()
    n_effective = efficiency.n_effective
    one_for_all_points = [1] * (value.ndim - n_effective.ndim)
    concentration = n_effective.reshape(*n_effective.shape, *one_for_all_points) + 1.0
    tail = 0.5 * (1.0 - ONE_SIGMA)
    low, high = (
        beta.ppf(q, concentration * value, concentration * (1.0 - value)) for q in (tail, 1 - tail)
    )
    # few objects make the posterior so skew that its mean is outside of its middle
    return {"nominal": value, "up": np.maximum(high, value), "down": np.minimum(low, value)}


def _inputs(efficiency: EfficiencyMap | RatioMap) -> Iterator[cs.Variable]:
    """Variables of the correction, in their order."""
    ends = "ends of the central 68 % of each bin's posterior"
    if isinstance(efficiency, RatioMap):
        ends = "times or divided by one standard deviation of each bin"
    yield cs.Variable(name="systematic", type="string", description=f"nominal, up or down: {ends}")
    points = efficiency.task.passed.working_points
    if len(points) > 1:
        names = ", ".join(map(str, points))
        yield cs.Variable(name="working_point", type="string", description=f"one of {names}")
    for feature in efficiency.features.features:
        if feature.kind == "categorical":
            text = f"one of {', '.join(map(str, feature.categories))}"
            yield cs.Variable(name=feature.name, type="int", description=text)
    for feature in efficiency.features.features:
        if feature.kind != "categorical":
            text = "in GeV" if is_momentum(feature.name) else "in rad" * is_angle(feature.name)
            yield cs.Variable(name=feature.name, type="real", description=text)


def _tree(
    efficiency: EfficiencyMap | RatioMap, keys: Sequence[tuple[str, Sequence[Any]]], values: Any
) -> Any:
    """Categories, one inside the other, and below them the bins."""
    if keys:
        (name, choices), others = keys[0], keys[1:]
        content = [
            {"key": key, "value": _tree(efficiency, others, part)}
            for key, part in zip(choices, values, strict=True)
        ]
        return {"nodetype": "category", "input": name, "content": content}
    edges = efficiency.card.edges
    return {
        "nodetype": "multibinning",
        "inputs": list(edges),
        "edges": [list(of_feature) for of_feature in edges.values()],
        "content": np.asarray(values, np.float64).ravel().tolist(),
        "flow": "clamp",
    }


def correction_set(efficiency: EfficiencyMap, name: str = NAME) -> cs.CorrectionSet:
    """Make the correction of a map.

    Parameters
    ----------
    efficiency : EfficiencyMap
        The map.
    name : str, default "efficiency"
        Name of the correction.

    Returns
    -------
    correctionlib.schemav2.CorrectionSet
        One correction; its values are those of the map.
    """
    return _binned(efficiency, np.stack(list(_variations(efficiency).values())), name, NAME)


def _binned(
    efficiency: EfficiencyMap | RatioMap, values: Array, name: str, output: str
) -> cs.CorrectionSet:
    """Correction of the values of all bins in all variations."""
    points = efficiency.task.passed.working_points
    keys: list[tuple[str, Sequence[Any]]] = [("systematic", VARIATIONS)]
    if len(points) > 1:
        keys.append(("working_point", [str(point) for point in points]))
        values = np.moveaxis(values, -1, 1)
    categories = [f for f in efficiency.features.features if f.kind == "categorical"]
    keys += [(feature.name, feature.categories) for feature in categories]
    task = json.dumps(efficiency.task.model_dump(mode="json", exclude_none=True))
    content = {
        "name": name,
        "description": f"{output.capitalize()} of {efficiency.task.collection} objects in bins",
        "version": 1,
        "inputs": list(_inputs(efficiency)),
        "output": {"name": output, "type": "real"},
        "data": _tree(efficiency, keys, values),
    }
    mark = MARK if output == NAME else RATIO_MARK  # a ratio is not to be read as an efficiency
    description = f"Written by hepsilon {__version__}\n{mark}{task}"
    return cs.CorrectionSet.model_validate(
        {"schema_version": 2, "description": description, "corrections": [content]}
    )


def ratio_map_correction(ratio: RatioMap, name: str = "ratio") -> cs.CorrectionSet:
    """Make the correction of a binned ratio.

    Parameters
    ----------
    ratio : RatioMap
        Ratio of densities, or of efficiencies.
    name : str, default "ratio"
        Name of the correction.

    Returns
    -------
    correctionlib.schemav2.CorrectionSet
        One correction, with the ratio up and down by the spread of its replicas; it is no
        efficiency for those who read it.
    """
    values = ratio.values()
    up, down = shifted_ratios(values, ratio.draws(N_DRAWS))
    return _binned(ratio, np.stack([values, up, down]), name, "ratio")


def write_correction_file(
    efficiency: EfficiencyMap | NetworkEfficiency | LearnedRatio | RatioMap,
    out: str | Path,
    name: str | None = None,
) -> Path:
    """Write a map, a network of single objects, or a ratio, as a file of correctionlib.

    Parameters
    ----------
    efficiency : EfficiencyMap, NetworkEfficiency, LearnedRatio or RatioMap
        The map, network or ratio.
    out : str or Path
        File to write, ending in ``.json`` or ``.json.gz``.
    name : str, optional
        Name of the correction; by default ``"efficiency"``, or ``"ratio"``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        For another ending, or a network that has no form in correctionlib.
    """
    out = Path(out)
    if not out.name.endswith((".json", ".json.gz")):
        raise ConfigError(f"{out}: expected a file ending in .json or .json.gz")
    if isinstance(efficiency, RatioMap):
        made = ratio_map_correction(efficiency, name or "ratio")
    elif isinstance(efficiency, LearnedRatio):
        made = ratio_correction(efficiency, name or "ratio")
    elif isinstance(efficiency, NetworkEfficiency):
        made = network_correction(efficiency, name or NAME)
    else:
        made = correction_set(efficiency, name or NAME)
    text = made.model_dump_json(exclude_unset=True).encode()
    with atomic_path(out) as temporary:
        zipped = gzip.compress(text, mtime=0) if out.suffix == ".gz" else text
        temporary.write_bytes(zipped)
    return out

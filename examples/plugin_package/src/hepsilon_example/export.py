"""An export: the bins of a map as a table of text."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

from hepsilon import EfficiencyMap
from hepsilon.export import register_export


@register_export("table", kinds=("map",), endings=(".csv",))
def table(efficiency: EfficiencyMap, path: Path) -> None:
    """Write one line for each bin: categories, lower and upper edges, and the efficiency."""
    axes = [
        [(str(value),) for value in feature.categories]
        for feature in efficiency.features.features
        if feature.kind == "categorical"
    ]
    edges = efficiency.card.edges.values()
    axes += [[(f"{a:g}", f"{b:g}") for a, b in pairwise(e)] for e in edges]
    values = efficiency.values().reshape(-1, len(efficiency.working_points))
    lines = [
        ",".join([*(cell for place in bin_ for cell in place), *map(repr, row.tolist())])
        for bin_, row in zip(product(*axes), values, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")

"""Random trees, and artifacts of networks that are refined with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hepsilon.data.features import Multiplicity
from hepsilon.efficiencies.artifact import read_arrays, write_artifact
from hepsilon.efficiencies.artifact_edits import blobs_of
from hepsilon.efficiencies.network import REFINEMENT, NetworkEfficiency
from hepsilon.efficiencies.refinement_cards import RefinementCard
from hepsilon.efficiencies.tree_inputs import input_names, tree_inputs
from hepsilon.efficiencies.trees import KINDS, Trees


def random_trees(seed: int, inputs: np.ndarray, n_outputs: int, n_trees: int = 5) -> Trees:
    """Trees of up to three levels, whose thresholds are values of the inputs."""
    rng, table = np.random.default_rng(seed), {key: [] for key in KINDS}

    def grow(depth: int) -> int:
        number = len(table["feature"])
        leaf = depth == 0 or rng.uniform() < 0.2
        feature = -1 if leaf else int(rng.integers(inputs.shape[1]))
        threshold = 0.0 if leaf else float(rng.choice(inputs[:, feature]))
        value = float(rng.normal(scale=0.3)) if leaf else 0.0
        row = {"feature": feature, "threshold": threshold, "left": -1, "right": -1, "value": value}
        for key, entry in row.items():
            table[key].append(entry)
        if not leaf:
            table["left"][number], table["right"][number] = grow(depth - 1), grow(depth - 1)
        return number

    for tree in range(n_trees):
        table["roots"].append(grow(3))
        table["outputs"].append(tree % n_outputs)
    return Trees(**{key: np.array(table[key], kind) for key, kind in KINDS.items()})


def followed(trees: Trees, inputs: np.ndarray, n_outputs: int) -> np.ndarray:
    """What the trees add, node by node in plain Python."""
    out = np.zeros((len(inputs), n_outputs))
    for i, row in enumerate(inputs):
        for root, output in zip(trees.roots, trees.outputs, strict=True):
            node = root
            while trees.feature[node] >= 0:
                below = row[trees.feature[node]] <= trees.threshold[node]
                node = trees.left[node] if below else trees.right[node]
            out[i, output] += trees.value[node]
    return out


def refined(
    efficiency: NetworkEfficiency,
    out: Path,
    *,
    seed: int = 1,
    kept: bool = True,
    each: bool = False,
    arrays: dict[str, np.ndarray] | None = None,
) -> tuple[NetworkEfficiency, Trees]:
    """The artifact with random trees; ``each``: with trees for each of its networks."""
    card, task = efficiency.card, efficiency.task
    partners = task.of_events or bool(card.architecture.blocks)
    found = read_arrays(efficiency.path, card, efficiency.hash)
    sample = found["sample"]
    inputs = tree_inputs(task, partners, sample["offsets"], sample["nodes"])
    outputs = card.architecture.working_points * (len(card.networks) if each else 1)
    trees = random_trees(seed, inputs, outputs)
    names = input_names(task, partners)
    refinement = RefinementCard(
        kept=kept,
        gain=0.1,
        error=0.01,
        n_events=100,
        n_folds=5,
        rounds=5,
        partners=partners,
        inputs=names,
        outputs=outputs,
        shares={names[0]: 1.0},
    )
    found[REFINEMENT] = trees.arrays if arrays is None else arrays
    features = card.features
    if partners and not task.of_events:
        features = features.model_copy(update={"multiplicity": Multiplicity.of(sample["offsets"])})
    update = {"arrays": tuple(found), "refinement": refinement, "features": features}
    new = card.model_copy(update=update)
    path = write_artifact(out, new, found, blobs_of(efficiency))
    return NetworkEfficiency.load(path, backend=efficiency.backend), trees

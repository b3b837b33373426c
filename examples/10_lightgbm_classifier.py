"""A classifier of LightGBM as an efficiency: a kind of artifact of your own, in one file.

Its trees are stored as plain arrays beside the card, never as a pickle: whoever loads the file runs
no code of it, and needs no LightGBM. The trees of scikit-learn's boosting are such arrays as well
(``tree_.feature``, ``threshold``, ``children_left``, ``children_right`` and ``value``).

The module that registers the kind is imported wherever such a file is loaded: here this file, from
a second process. A package names the class as an entry point instead::

    [project.entry-points."hepsilon.kinds"]
    lightgbm = "my_package.trees:Boosted"
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal, Self

import lightgbm
import numpy as np
from scipy.special import expit

import hepsilon
from hepsilon.closure import closure_report, run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.data.features import fit_features
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.card import ArtifactCard, versions
from hepsilon.efficiencies.kinds import register_kind
from hepsilon.efficiencies.saved import SavedArrays
from hepsilon.efficiencies.trees import Trees
from hepsilon.simulation import toy_task, write_jets
from hepsilon.training.refinement_trees import as_trees

OPTIONS = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.1,
    "min_data_in_leaf": 50,
    "use_missing": False,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


class BoostedCard(ArtifactCard):
    """Card of boosted trees."""

    kind: Literal["lightgbm"] = "lightgbm"


@register_kind("lightgbm")
class Boosted(SavedArrays[BoostedCard], hepsilon.Efficiency):
    """The probability that a classifier gives to each object, from the object's features."""

    record, group = BoostedCard, "trees"

    @classmethod
    def fit(cls, task: hepsilon.Task, columns: TrainingColumns, rounds: int = 100) -> Self:
        """Train a classifier of objects that pass."""
        weights = columns.object_weights
        if task.of_events or len(task.passed.working_points) > 1 or np.any(weights < 0.0):
            raise hepsilon.ConfigError(
                "these trees are for objects, one working point and weights that are not negative"
            )
        data = lightgbm.Dataset(columns.nodes, columns.passed, weight=weights, params=OPTIONS)
        booster = lightgbm.train(OPTIONS, data, rounds)
        trees = as_trees(booster.dump_model()["tree_info"], points=1)
        card = BoostedCard(
            task=task,
            features=fit_features(task, columns.nodes, weights, columns.offsets),
            n_events=columns.n_events,
            n_objects=len(columns.nodes),
            passed_rate=columns.passed_rate,
            files=(),
            versions=versions(("lightgbm",)),
            arrays=("trees",),
        )
        return cls(card, trees.arrays)

    def _check(self) -> None:
        """Refuse arrays that are no trees of these features."""
        n_features = len(self.card.features.features)
        self._trees = Trees.from_arrays(self._arrays, n_features, 1, "trees")

    @property
    def needs_partners(self) -> bool:
        """The other objects of the event do not matter."""
        return False

    def _predict(
        self, offsets: np.ndarray, nodes: np.ndarray, replicas: int
    ) -> tuple[np.ndarray, None]:
        return np.clip(expit(self._trees(nodes, 1)[:, 0]), 1e-9, 1.0 - 1e-9), None


APPLY = """
import sys
from importlib import import_module
import hepsilon
from hepsilon.data.reading import read_chunks

folder, module, model, file = sys.argv[1:]
sys.path.insert(0, folder)
import_module(module)  # registers the kind
efficiency = hepsilon.load(model)
chunk = next(read_chunks(file, efficiency.task, efficiency.card.input))
print("first event in another process:", efficiency(chunk.records)[0].to_list())
"""


def main() -> None:
    """Train on simulated jets, close, and apply elsewhere."""
    n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    folder = Path(tempfile.mkdtemp())
    sample = write_jets(folder / "train.root", n_events, seed=1)
    test = write_jets(folder / "test.root", n_events, seed=2)

    config = hepsilon.Config(task=toy_task())
    columns = read_columns([sample], config, progress=False)
    boosted = Boosted.fit(config.task, columns).described(config)
    path = boosted.save(folder / "boosted.hepsilon")

    output = run_closure([test], config.task, {"boosted": hepsilon.load(path)}, config=config.input)
    closure = closure_report(output, config.task, {"boosted": boosted}, [test])
    total = closure.efficiency["boosted"].overall
    print(f"tags: {total.observed:.0f} observed, {total.expected:.0f} expected")

    place = Path(__file__).resolve()
    arguments = [place.parent, place.stem, path, test]
    subprocess.run([sys.executable, "-c", APPLY, *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()

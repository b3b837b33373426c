"""Task, features, configuration and jets of the tests of everything that is learned."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import awkward as ak
import numpy as np
import uproot

from hepsilon import Config, Task
from hepsilon.config import ModelConfig, Passed, TrainingConfig
from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.data.training_columns import TrainingColumns

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # numbers that do not depend on the machine

TASK = Task(
    features=("pt", "eta", "phi", "hadronFlavour"),
    categorical={"hadronFlavour": (5, 4, 0)},
    passed=Passed(field="discriminant", above=(0.0,)),
    weight="genWeight",
    truth="trueEfficiency",
)

POINTS = Task(
    features=TASK.features,
    categorical=TASK.categorical,
    passed=Passed(field="tagger", above=(0.5, 1.0, 2.0), names=("L", "M", "T")),
    weight="genWeight",
    truth=("trueEfficiencyLoose", "trueEfficiencyMedium", "trueEfficiencyTight"),
)
"""The same jets with three working points."""

SPEC = FeatureSpec(
    features=(
        Feature(name="pt", kind="numeric", mean=150.0, std=100.0, low=20.0, high=600.0),
        Feature(name="eta", kind="numeric", mean=0.0, std=1.0, low=-2.5, high=2.5),
        Feature(name="phi", kind="angle", mean=0.0, std=1.8, low=-3.1, high=3.1),
        Feature(name="hadronFlavour", kind="categorical", categories=(5, 4, 0)),
    )
)


def task_of(*features: str, **fields: object) -> Task:
    """Task of objects with a boolean response ``tag``."""
    categorical = {"hadronFlavour": (5, 4, 0)} if "hadronFlavour" in features else {}
    values = {"categorical": categorical, "passed": Passed(field="tag")} | fields
    return Task(features=features, **values)


def mlp_config(task: Task = TASK, **training: Any) -> Config:
    """The smallest network: seconds to train."""
    defaults = {"epochs": 2, "batch_events": 100, "seed": 3, "learning_rate": 1e-2}
    return Config(
        task=task,
        model=ModelConfig(architecture="mlp", width=4, blocks=1),
        training=TrainingConfig.model_validate(defaults | training),
    )


def random_jets(counts: list[int], seed: int = 0) -> ak.Array:
    """Jets inside the domain of everything that is learned here."""
    rng, size = np.random.default_rng(seed), sum(counts)
    columns = {
        "pt": rng.uniform(30.0, 300.0, size),
        "eta": rng.uniform(-1.5, 1.5, size),
        "phi": rng.uniform(-np.pi, np.pi, size),
        "mass": np.full(size, 2.0),
        "hadronFlavour": rng.choice(np.array([5, 4, 0], np.int32), size),
    }
    return ak.zip({name: ak.unflatten(column, counts) for name, column in columns.items()})


def offsets_of(counts: list[int]) -> np.ndarray[Any, Any]:
    """Offsets of events with so many objects."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def random_nodes(counts: list[int], seed: int = 0) -> tuple[Any, Any]:
    """Offsets and raw features of :data:`SPEC`."""
    return SPEC.matrix(random_jets(counts, seed))


def rows(jagged: ak.Array) -> Any:
    """Flat values of all objects, with their further axes."""
    return ak.to_numpy(ak.flatten(jagged, axis=1))


def with_any_number(columns: TrainingColumns) -> TrainingColumns:
    """The sample and, of the same objects, events with any number of them from 1 to 15."""
    counts = np.repeat(np.arange(1, 16), 6)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    more = columns.offsets[-1] + offsets[1:]
    objects = np.resize(np.arange(columns.offsets[-1]), offsets[-1])
    keys = np.random.default_rng(1).integers(0, 1 << 63, len(counts)).astype(np.uint64)
    joined = TrainingColumns(
        np.concatenate([columns.offsets, more]),
        np.concatenate([columns.nodes, columns.nodes[objects]]),
        np.concatenate([columns.passed, columns.passed[objects]]),
        np.concatenate([columns.weights, np.ones(len(counts))]),
        np.concatenate([columns.keys, keys]),
    )
    return joined.take(np.argsort(joined.keys))


def read_jets(path: Path) -> ak.Array:
    """All jets of a simulated file, read without coffea."""
    with uproot.open(path) as file:
        events = file["Events"].arrays()
    names = [name for name in events.fields if name.startswith("Jet_")]
    return ak.zip({name.removeprefix("Jet_"): events[name] for name in names})


class InMemory(ak.Array):
    """Events with the metadata that coffea's runner gives."""

    metadata: ClassVar = {"dataset": "sample"}


def events_of(jets: ak.Array, weights=None) -> ak.Array:
    """Events with a Jet collection and generator weights."""
    weights = np.ones(len(jets)) if weights is None else np.asarray(weights)
    events = ak.zip({"Jet": jets, "genWeight": weights}, depth_limit=1, with_name="Sample")
    return ak.Array(events, behavior={("*", "Sample"): InMemory})


def half(records: ak.Array) -> ak.Array:
    """An efficiency that anybody may write."""
    return ak.ones_like(records["pt"]) * 0.5


def tagged_jets(counts, seed=0) -> ak.Array:
    """Random jets with a tag and a true efficiency."""
    jets = random_jets(counts, seed)
    eps = 0.2 + 0.6 * (jets.pt - 30.0) / 270.0
    score = ak.unflatten(np.random.default_rng(seed + 1).uniform(size=sum(counts)), counts)
    return ak.with_field(ak.with_field(jets, eps, "trueEfficiency"), eps - score, "discriminant")

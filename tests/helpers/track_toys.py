"""Small samples of events with charged tracks, a known efficiency, and tasks of events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

from hepsilon import Config, Task
from hepsilon.config import ModelConfig, validate
from hepsilon.data.dataset import load_columns
from hepsilon.data.events import EventChunk
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.simulation.tasks import track_task
from tests.helpers.toys import mlp_config

Array = npt.NDArray[Any]
PION_MASS = 0.13957

PAIRS = track_task()
"""Two tracks, the positive one first."""


def task_with(task: Task = PAIRS, **fields: Any) -> Task:
    """The task with other fields, checked anew."""
    changed: Task = validate(Task, task.model_dump() | fields, "task")
    return changed


TRACKS = task_with(objects=None, order_by=None)
"""Any number of tracks, in any order."""


def random_tracks(
    counts: list[int], seed: int = 0, pt_max: float = 1.0, eta_max: float = 0.6
) -> ak.Array:
    """Tracks of alternating charges in random order, by default inside the domain of every toy."""
    rng, size = np.random.default_rng(seed), sum(counts)
    pt, eta, phi = (
        rng.uniform(*bounds, size)
        for bounds in ((0.25, pt_max), (-eta_max, eta_max), (-np.pi, np.pi))
    )
    charges = [rng.permutation([1, -1] * (n // 2) + [1] * (n % 2)) for n in counts]
    columns = {
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(eta),
        "charge": np.concatenate([*charges, np.zeros(0)]).astype(np.int32),
        "mass": np.full(size, PION_MASS),
    }
    sizes = np.array(counts, np.int64)
    return ak.zip({name: ak.unflatten(column, sizes) for name, column in columns.items()})


def shuffled(tracks: ak.Array, seed: int) -> ak.Array:
    """The same tracks, those of every event in another order."""
    keys = np.random.default_rng(seed).uniform(size=int(ak.sum(ak.num(tracks))))
    return tracks[ak.argsort(ak.unflatten(keys, ak.num(tracks)), axis=1)]


def efficiency_of(tracks: ak.Array) -> Array:
    """Product over the tracks of an event; rises with pt, less for negative tracks."""
    pt = np.hypot(tracks.px, tracks.py)
    single = 0.95 - np.exp(-4.0 * pt) - 0.15 * (tracks.charge < 0)
    return np.asarray(ak.to_numpy(ak.prod(single, axis=1)), np.float64)


@dataclass(frozen=True)
class Sample:
    """Events with their tracks, true efficiency and response."""

    tracks: ak.Array
    truth: Array
    reco: Array
    weights: Array

    def __len__(self) -> int:
        return len(self.truth)


def draw(counts: list[int], seed: int = 1) -> Sample:
    """Events inside the fiducial region, each reconstructed with its efficiency."""
    tracks = random_tracks(counts, seed, pt_max=2.0, eta_max=0.88)
    truth = efficiency_of(tracks)
    reco = np.random.default_rng([seed, 1]).uniform(size=len(counts)) < truth
    return Sample(tracks, truth, reco, np.ones(len(counts)))


def chunk_of(sample: Sample) -> EventChunk:
    """The sample as it would be read from a file."""
    number = np.arange(1, len(sample) + 1, dtype=np.uint64)
    ones = np.ones(len(sample), np.uint64)
    events = ak.zip({"reco": sample.reco})
    return EventChunk(sample.tracks, sample.weights, ones, ones, number, events)


def columns_of(sample: Sample, task: Task = PAIRS) -> TrainingColumns:
    """Training columns of the sample."""
    return load_columns([chunk_of(sample)], task)


def branches_of(sample: Sample) -> dict[str, Any]:
    """What a file holds."""
    size = len(sample)
    return {
        "run": np.ones(size, np.uint32),
        "luminosityBlock": np.ones(size, np.uint32),
        "event": np.arange(1, size + 1, dtype=np.uint64),
        "genWeight": sample.weights.astype(np.float32),
        "reco": sample.reco,
        "trueEfficiency": sample.truth,
        "Track": sample.tracks,
    }


def write_branches(path: Path, branches: dict[str, Any]) -> Path:
    """A TTree of the branches."""
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: ak.type(v).content for name, v in branches.items()})
        file["Events"].extend(branches)
    return path


def write_sample(path: Path, sample: Sample) -> Path:
    """The sample as a TTree."""
    return write_branches(path, branches_of(sample))


def track_config(task: Task = PAIRS, architecture: str = "mlp", **model: Any) -> Config:
    """The smallest network of an architecture: seconds to train."""
    defaults = {"architecture": architecture, "width": 4, "blocks": 1}
    sized = ModelConfig.model_validate(defaults | model)
    return mlp_config(task, epochs=1, batch_events=64).model_copy(update={"model": sized})


def of_task(efficiency: NetworkEfficiency, task: Task = PAIRS) -> NetworkEfficiency:
    """The same network for another task."""
    card = efficiency.card.model_copy(update={"task": task})
    return replace(efficiency, card=card)

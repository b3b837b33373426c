"""Tasks of the simulated samples: their files have all that the tasks ask for."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np

from hepsilon import Task
from hepsilon.arrays.fields import field
from hepsilon.config import InputConfig, validate
from hepsilon.data.reading import read_chunks
from hepsilon.data.selection import inside_fiducial, ordered
from hepsilon.simulation import write_jets, write_tracks
from hepsilon.simulation.tasks import FEATURES, FLAVOURS, toy_task, track_task


def test_simulated_jets_have_all_that_their_task_asks_for(tmp_path: Path) -> None:
    path = write_jets(tmp_path / "jets.root", 40, seed=1)
    task = toy_task()
    (chunk,) = read_chunks([path], task, InputConfig())
    assert len(chunk.records) == 40
    for name in FEATURES:
        assert ak.all(np.isfinite(field(chunk.records, name)))
    flavours = set(ak.flatten(chunk.records.hadronFlavour).to_list())
    assert flavours <= set(FLAVOURS["hadronFlavour"])
    assert task.level == "object"


def test_simulated_tracks_have_all_that_their_task_asks_for(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "tracks.root", 40, seed=1)
    task = track_task()
    (chunk,) = read_chunks([path], task, InputConfig())
    assert ak.all(ak.num(chunk.records) == task.objects)
    assert inside_fiducial(chunk.records, task).all()
    assert ordered(chunk.records, task).charge.to_list() == [[1, -1]] * 40
    assert task.level == "event"


def test_tasks_are_written_and_read_as_any_other() -> None:
    for task in (toy_task(), track_task()):
        assert validate(Task, task.model_dump(), "task") == task

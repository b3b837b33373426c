"""Networks of an ensemble as independent pieces of work for the processes of a cluster.

Each network is a function of the events, the recipe and its number, so that it does not matter
where it is trained. Workers that see the folder of the states write them there after every epoch,
as a training on one machine does; to others the state travels with the work, one epoch at a time.
Either way a lost process costs its network one epoch at most.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from hepsilon._system.files import atomic_path, located, sha256, write_text
from hepsilon.config.learning import Recipe
from hepsilon.data.features import FeatureSpec
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.distributed.artifacts import send_files
from hepsilon.distributed.pools import DaskPool, Pool
from hepsilon.distributed.work import work
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.errors import TrainingError
from hepsilon.networks.architecture import Architecture
from hepsilon.training.ensemble import Ensemble
from hepsilon.training.preparation import Prepared, Sides
from hepsilon.training.resampling import Resampling
from hepsilon.training.state import MARK

__all__ = ["Assignment", "fit_on_workers", "train_network"]

COLUMNS = "columns.npz"
PARTS = ("offsets", "nodes", "passed", "weights", "keys")
_LOCK = RLock()
_SHARED: dict[str, Any] = {}
"""What this process has made for the last assignment: events and compiled code."""


@dataclass(frozen=True)
class Assignment:
    """All that a worker needs to train one of the networks, but for its number and state.

    Attributes
    ----------
    architecture : Architecture
        Complete shape of the networks.
    spec : FeatureSpec
        Features of the objects.
    recipe : Recipe
        Complete configuration of the training.
    resampling : Resampling
        Events that each network sees.
    columns : str
        File with the events.
    columns_hash : str
        SHA-256 of its content.
    training : str
        Fingerprint of the whole training.
    folder : str or None
        Folder of the states, where all workers see it.
    """

    architecture: Architecture
    spec: FeatureSpec
    recipe: Recipe
    resampling: Resampling
    columns: str
    columns_hash: str
    training: str
    folder: str | None = None

    @property
    def key(self) -> str:
        """Text that tells apart what compiled code can be used for."""
        records = self.architecture, self.spec, self.recipe
        parts = [self.training, self.columns_hash, repr(self.resampling), *map(repr, records)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _write_columns(sides: Sides, path: Path) -> str:
    """Write events to train and to validate on into one file; with folds both are the same."""
    groups = {"train": sides[0]} if sides[0] is sides[1] else {"train": sides[0], "test": sides[1]}
    arrays: dict[str, Any] = {
        f"{group}-{name}": np.asarray(getattr(columns, name))
        for group, columns in groups.items()
        for name in PARTS
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
    return sha256(path)


def _read_columns(path: str, expected: str) -> Sides:
    found = located(path, expected)
    if found is None:
        raise TrainingError(f"this worker does not find the events of the training ({path})")
    with np.load(found, allow_pickle=False) as file:
        read = {name: file[name] for name in file.files}
    train = TrainingColumns(*(read[f"train-{name}"] for name in PARTS))
    if "test-keys" not in read:
        return train, train
    return train, TrainingColumns(*(read[f"test-{name}"] for name in PARTS))


def _ensemble(assignment: Assignment) -> Ensemble:
    """Events and compiled code of an assignment, which a process makes once."""
    if assignment.key not in _SHARED:
        start_backend()
        sides = _read_columns(assignment.columns, assignment.columns_hash)
        _SHARED.clear()
        _SHARED[assignment.key] = Ensemble(
            assignment.architecture,
            assignment.spec,
            assignment.recipe,
            sides,
            {},
            assignment.resampling,
        )
    found: Ensemble = _SHARED[assignment.key]
    return found


def train_network(
    assignment: Assignment, given: tuple[int, bytes | None], epochs: int | None = None
) -> tuple[bytes | None, bool]:
    """Train one network, to its end or for some epochs.

    Parameters
    ----------
    assignment : Assignment
        The training.
    given : tuple of int and bytes or None
        Number of the network, and its state; None for a first epoch, or where workers see the
        folder of the states.
    epochs : int, optional
        Number of epochs; None for all that are left.

    Returns
    -------
    state : bytes or None
        State afterwards; None where it lies in the folder.
    done : bool
        Whether no epoch is left.
    """
    number, state = given
    with _LOCK, tempfile.TemporaryDirectory() as own:
        folder = Path(own if assignment.folder is None else assignment.folder)
        path = folder / f"member-{number}.npz"
        if assignment.folder is None:
            write_text(folder / MARK, assignment.training)
            if state is not None:
                path.write_bytes(state)
        ensemble = _ensemble(assignment)
        ensemble.set_members({number: path})
        (member,) = ensemble.members
        left = epochs
        while member.next_epoch is not None and left != 0:
            ensemble.epoch(member.next_epoch, None)
            left = None if left is None else left - 1
        content = path.read_bytes() if assignment.folder is None else None
        return content, member.next_epoch is None


def _sees_folder(folder: str, training: str) -> bool:
    """Whether a worker finds the states of this very training."""
    mark = Path(folder) / MARK
    try:
        return mark.read_text() == training
    except OSError:
        return False


def fit_on_workers(
    pool: Pool,
    prepared: Prepared,
    states: Mapping[int, Path],
    *,
    on_epoch: Callable[[float], None] | None = None,
) -> None:
    """Train networks in the processes of a pool, and leave their final states in files.

    Parameters
    ----------
    pool : Pool
        The processes.
    prepared : Prepared
        The training.
    states : mapping of int to Path
        File of the state of each network, beside which the fingerprint of the training lies.
    on_epoch : callable, optional
        Called with the number of epochs that were done since the last call.

    Raises
    ------
    TrainingError
        If a loss is not finite.
    WorkerError
        If processes are lost again and again.
    """
    folder = next(iter(states.values())).parent.absolute()
    training = (folder / MARK).read_text()
    path = folder / COLUMNS
    digest = _write_columns(prepared.sides, path)
    shared = all(pool.everywhere(_sees_folder, str(folder), training).values())
    if isinstance(pool, DaskPool):
        send_files(pool, {str(path): digest})
    assignment = Assignment(
        prepared.architecture,
        prepared.spec,
        prepared.recipe,
        prepared.resampling,
        str(path),
        digest,
        training,
        str(folder) if shared else None,
    )
    if shared:
        whole = partial(train_network, assignment)
        for _ in work(pool, whole, [(number, None) for number in states]):
            if on_epoch is not None:
                on_epoch(float(prepared.recipe.epochs))
        return
    left = dict(states)
    one = partial(train_network, assignment, epochs=1)
    while left:
        numbers = list(left)
        given = [(n, left[n].read_bytes() if left[n].exists() else None) for n in numbers]
        for place, (state, done) in work(pool, one, given):
            target = left[numbers[place]]
            with atomic_path(target) as temporary:
                temporary.write_bytes(state or b"")
            if done:
                del left[numbers[place]]
            if on_epoch is not None:
                on_epoch(1.0)

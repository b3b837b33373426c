"""Networks as independent pieces of work for the processes of a cluster.

These are the networks of an ensemble, or the candidates of which one is chosen.

Each network is a function of the events, the recipe and its number, so that it does not matter
where it is trained. Workers that see the folder of the states write them there after every epoch,
as a training on one machine does; to others the state travels with the work, one epoch at a time.
Either way a lost process costs its network one epoch at most.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import call
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
from hepsilon.errors import HepsilonError, TrainingError
from hepsilon.networks.architecture import Architecture
from hepsilon.training.ensemble import Ensemble
from hepsilon.training.preparation import Prepared, Sides
from hepsilon.training.resampling import Resampling
from hepsilon.training.state import MARK

__all__ = [
    "Assignment",
    "assignments",
    "fit_candidates",
    "fit_on_workers",
    "train_network",
    "try_network",
]

logger = logging.getLogger("hepsilon")

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
    prefix : str, default "member"
        Beginning of the names of the states; the number of the network follows.
    """

    architecture: Architecture
    spec: FeatureSpec
    recipe: Recipe
    resampling: Resampling
    columns: str
    columns_hash: str
    training: str
    folder: str | None = None
    prefix: str = "member"

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
        path = folder / f"{assignment.prefix}-{number}.npz"
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


def try_network(
    assignment: Assignment, given: tuple[int, bytes | None], epochs: int | None = None
) -> tuple[bytes | None, bool]:
    """Train one network as :func:`train_network`, and leave it where it was if that fails.

    Whoever goes on from its state meets the error again.

    Parameters
    ----------
    assignment : Assignment
        The training.
    given : tuple of int and bytes or None
        Number of the network, and its state.
    epochs : int, optional
        Number of epochs; None for all that are left.

    Returns
    -------
    state : bytes or None
        State afterwards; None where it lies in the folder, or is not known.
    done : bool
        Whether no epoch is left, or none can be trained.
    """
    try:
        return train_network(assignment, given, epochs)
    except HepsilonError as error:
        logger.info("%s: %s", assignment.prefix, error)
        return given[1], True


def fit_on_workers(
    pool: Pool,
    prepared: Prepared,
    states: Mapping[int, Path],
    *,
    on_epoch: Callable[[float], None] | None = None,
) -> None:
    """Train the networks of an ensemble in the processes of a pool.

    Parameters
    ----------
    pool : Pool
        The processes.
    prepared : Prepared
        The training.
    states : mapping of int to Path
        File of the state of each network, in which its final state is left, and beside which the
        fingerprint of the training lies.
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
    assignment = assignments(pool, {"member": prepared}, folder)["member"]
    _fit(pool, [(assignment, n, path) for n, path in states.items()], train_network, on_epoch)


def fit_candidates(
    pool: Pool,
    prepared: Mapping[str, Prepared],
    folder: Path,
    *,
    on_epoch: Callable[[float], None] | None = None,
) -> None:
    """Train the first network of each of several trainings in the processes of a pool.

    One that cannot be trained is left where it was.

    Parameters
    ----------
    pool : Pool
        The processes.
    prepared : mapping of str to Prepared
        The trainings, by the beginning of the names of their states.
    folder : Path
        Folder of the states, with the fingerprint of the whole training.
    on_epoch : callable, optional
        Called with the number of epochs that were done since the last call.

    Raises
    ------
    WorkerError
        If processes are lost again and again.
    """
    given = assignments(pool, prepared, folder.absolute())
    networks = [(each, 0, folder / f"{prefix}-0.npz") for prefix, each in given.items()]
    _fit(pool, networks, try_network, on_epoch)


def assignments(
    pool: Pool, prepared: Mapping[str, Prepared], folder: Path
) -> dict[str, Assignment]:
    """Bring the events of trainings to the workers, once where they are the same.

    Parameters
    ----------
    pool : Pool
        The processes.
    prepared : mapping of str to Prepared
        The trainings, by the beginning of the names of their states.
    folder : Path
        Folder of the states, with the fingerprint of the whole training.

    Returns
    -------
    dict of str to Assignment
        What a worker needs for each of them.
    """
    training = (folder / MARK).read_text()
    shared = all(pool.everywhere(_sees_folder, str(folder), training).values())
    files: dict[int, tuple[str, str]] = {}
    for each in prepared.values():
        if id(each.sides[0]) not in files:
            path = folder / (f"columns-{len(files)}.npz" if files else COLUMNS)
            files[id(each.sides[0])] = str(path), _write_columns(each.sides, path)
    if isinstance(pool, DaskPool):
        send_files(pool, dict(files.values()))
    return {
        prefix: Assignment(
            each.architecture,
            each.spec,
            each.recipe,
            each.resampling,
            *files[id(each.sides[0])],
            training,
            str(folder) if shared else None,
            prefix,
        )
        for prefix, each in prepared.items()
    }


def _fit(
    pool: Pool,
    networks: Sequence[tuple[Assignment, int, Path]],
    function: Callable[..., tuple[bytes | None, bool]],
    on_epoch: Callable[[float], None] | None,
) -> None:
    """Train networks, whose states lie in a shared folder or travel one epoch at a time."""
    told = on_epoch or (lambda _: None)
    if networks[0][0].folder is not None:
        pieces = [partial(function, assignment, (n, None)) for assignment, n, _ in networks]
        for place, _ in work(pool, call, pieces):
            told(float(networks[place][0].recipe.epochs))
        return
    left = list(networks)
    while left:
        pieces = [
            partial(function, each, (n, path.read_bytes() if path.exists() else None), epochs=1)
            for each, n, path in left
        ]
        ended = []
        for place, (state, done) in work(pool, call, pieces):
            if state is not None:
                with atomic_path(left[place][2]) as temporary:
                    temporary.write_bytes(state)
            if done:
                ended.append(place)
            told(1.0)
        left = [each for place, each in enumerate(left) if place not in ended]

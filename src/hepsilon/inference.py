"""Networks as efficiencies: a small picklable handle, one load per process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import awkward as ak
import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from hepsilon.artifact import Card, read_arrays, read_card
from hepsilon.config import ModelConfig, Recipe, Record, Task, validate
from hepsilon.efficiency import Efficiency
from hepsilon.errors import ArtifactError, InputError
from hepsilon.features import FeatureSpec
from hepsilon.files import sha256
from hepsilon.models import Architecture, build_model
from hepsilon.models.engine import Engine, start_backend

__all__ = ["EpochCard", "MemberCard", "NetworkCard", "NetworkEfficiency", "to_probability"]

Array = npt.NDArray[Any]

# Module level, so that a worker loads a model once, however many handles it unpickles.
_ENGINES: dict[tuple[str, str | None], list[Engine]] = {}
_CARDS: dict[tuple[str, str], NetworkCard] = {}
_LOCK = Lock()


class EpochCard(Record):
    """One epoch of the history (see :class:`hepsilon.training.Epoch`)."""

    epoch: int
    loss: float
    validation_loss: float
    seconds: float


class MemberCard(Record):
    """History of one network of the ensemble and the epoch that was kept."""

    best_epoch: int
    history: tuple[EpochCard, ...]


class NetworkCard(Card):
    """Card of a network or an ensemble of them."""

    kind: Literal["network"] = "network"
    model: ModelConfig
    architecture: Architecture
    training: Recipe
    members: tuple[MemberCard, ...]


def to_probability(logits: Array, mu: float) -> Array:
    """Efficiency from a network's logit, float64 in (0, 1).

    Of several working points (``n_objects, working_points``) from the logits of the bins between
    them: the softmax, summed from the tightest one, so that efficiencies fall from one working
    point to the next by construction.

    With objects that did not pass weighted by ``mu`` (paper Eq. 5) the network converges to
    ``eps / (eps + mu (1 - eps))``, whose logit is that of eps minus ``ln mu``.
    """
    if not np.isfinite(logits).all():
        raise InputError(f"{int((~np.isfinite(logits)).sum())} outputs are NaN or infinite")
    shifted = logits + np.log(mu)
    if shifted.ndim == 1:
        eps = expit(shifted)
    else:
        bins = softmax(np.concatenate([np.zeros((len(shifted), 1)), shifted], axis=1), axis=1)
        eps = np.cumsum(bins[:, :0:-1], axis=1)[:, ::-1]
    # beyond +-36 the float64 next to 1 (or to 0) is the answer, not 1 itself
    return np.asarray(np.clip(eps, np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg))


@dataclass(frozen=True)
class NetworkEfficiency(Efficiency):
    """A trained network, or the mean of an ensemble, as an efficiency.

    Pickles as path and content hash. The networks are loaded on the first call, once per
    process; before that neither Keras nor TensorFlow is imported.

    Attributes
    ----------
    path : the model file, absolute.
    hash : SHA-256 of its content; a file that has changed is refused.
    card : what it says of itself.
    device : Keras device such as ``"cpu"`` or ``"gpu:0"``; None for the backend's choice (a GPU
        where there is one).
    """

    path: str
    hash: str
    card: NetworkCard
    device: str | None = None

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> NetworkEfficiency:
        """Read the card of a model file.

        Raises
        ------
        ArtifactError : if it is missing, damaged or of another kind.
        """
        card = validate(NetworkCard, read_card(path), str(path), ArtifactError)
        return cls(str(Path(path).resolve()), sha256(path), card, device)

    def __reduce__(self) -> Any:
        return _restore, (self.path, self.hash, self.device)

    @property
    def task(self) -> Task:
        return self.card.task

    @property
    def features(self) -> FeatureSpec:
        return self.card.features

    def _engines(self) -> list[Engine]:
        key = self.hash, self.device
        with _LOCK:
            if key not in _ENGINES:
                start_backend()
                _ENGINES[key] = _load_engines(self)
            return _ENGINES[key]

    def _members(self, offsets: Array, nodes: Array) -> Array:
        """Efficiencies of every object, or event, from every network (entries, ..., members)."""
        rows = offsets, nodes
        objects = self.card.architecture.objects
        if objects is not None:  # one row for each event
            width = objects * nodes.shape[1]
            rows = np.arange(len(offsets)), nodes.reshape(len(offsets) - 1, width)
        logits = [engine.logits(*rows) for engine in self._engines()]
        if self.task.level == "event" and objects is None:
            logits = [x[offsets[:-1]] for x in logits]  # all nodes of an event say the same
        return np.stack([to_probability(x, self.card.training.mu) for x in logits], axis=-1)

    def _evaluate(self, offsets: Array, nodes: Array) -> Array:
        return np.asarray(self._members(offsets, nodes).mean(axis=-1))

    def _evaluate_all(self, offsets: Array, nodes: Array) -> tuple[Array, Array | None]:
        members = self._members(offsets, nodes)
        return members.mean(axis=-1), members if members.shape[-1] > 1 else None

    def replicas(self, records: ak.Array, /) -> ak.Array:
        """Efficiencies of the single networks, with one more axis, the members."""
        offsets, nodes = self._columns(records)
        return self._like_records(self._members(offsets, nodes), offsets)


def _restore(path: str, expected: str, device: str | None) -> NetworkEfficiency:
    """Unpickle a handle; a process reads the card once, and the file must still be the same."""
    with _LOCK:
        if (path, expected) not in _CARDS:
            loaded = NetworkEfficiency.load(path)
            if loaded.hash != expected:
                raise ArtifactError(f"{path} changed since it was loaded (hash {expected[:12]})")
            _CARDS[path, expected] = loaded.card
        return NetworkEfficiency(path, expected, _CARDS[path, expected], device)


def _load_engines(efficiency: NetworkEfficiency) -> list[Engine]:
    card = efficiency.card
    arrays = read_arrays(efficiency.path, card, efficiency.hash)
    engines = []
    for group in card.arrays:
        model = build_model(card.architecture, card.features, seed=None)
        paths = [variable.path.replace("/", ".") for variable in model.weights]
        if set(paths) != set(arrays[group]):
            unexpected = sorted(set(paths) ^ set(arrays[group]))
            raise ArtifactError(f"{efficiency.path}: weights do not fit the card: {unexpected}")
        try:
            model.set_weights([arrays[group][path] for path in paths])
        except ValueError as error:
            raise ArtifactError(f"{efficiency.path}: {error}") from None
        engines.append(Engine(model, efficiency.device))
    return engines

"""Networks as efficiencies: a small picklable handle, one load per process."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, softmax

from hepsilon._system.files import find_file
from hepsilon.arrays.fields import partners_of
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.records import validate
from hepsilon.efficiencies.artifact import identified_card
from hepsilon.efficiencies.base import Efficiency
from hepsilon.efficiencies.cards import NetworkCard
from hepsilon.efficiencies.engines.choice import Evaluator, check, make_engine
from hepsilon.efficiencies.kinds import Options
from hepsilon.efficiencies.saved import Saved
from hepsilon.errors import ArtifactError, HepsilonError, InputError

__all__ = ["NetworkEfficiency", "to_probability"]

logger = logging.getLogger("hepsilon")

# Module level, so that a worker loads a model once, however many handles it unpickles.
_ENGINES: dict[tuple[str, str, str | None, str], Evaluator] = {}
_CARDS: dict[str, NetworkCard] = {}
_LOCK = RLock()


def to_probability(logits: Array, mu: float) -> Array:
    """Turn a network's logits into efficiencies.

    For several working points the logits are those of the bins between them, relative to that of
    what passes none: their softmax is summed from the tightest one, so that efficiencies fall from
    one working point to the next by construction.

    With objects that did not pass weighted by ``mu`` (paper Eq. 5) the network converges to
    ``eps / (eps + mu (1 - eps))``, whose logit is that of eps minus ``ln mu``.

    Parameters
    ----------
    logits : ndarray, shape (n_entries,) or (n_entries, n_working_points)
        Outputs of one network.
    mu : float
        Weight of the objects that did not pass, in the training.

    Returns
    -------
    ndarray of float64, shape of logits
        Efficiencies in (0, 1).

    Raises
    ------
    InputError
        If outputs are NaN or infinite.
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
class NetworkEfficiency(Saved[NetworkCard], Efficiency):
    """A trained network, or the mean of an ensemble, as an efficiency.

    Of an ensemble with bootstrap samples the efficiency is that of the first network, which was
    trained on all events; the others are its replicas. A bootstrap sample lacks a third of the
    events, and the mean of networks that lack them is no better than one network that has all.

    Pickles as path and content hash; unpickling opens nothing. The card is read when it is asked
    for, the networks on the first call, once per process; before that nothing that evaluates them
    is imported. Where the path does not lead to the file, a Dask worker looks in its local folder,
    into which ``client.upload_file`` puts it.

    Attributes
    ----------
    path : str
        Absolute path of the model file.
    hash : str
        SHA-256 of its content; a file that has changed is refused.
    card : NetworkCard
        Description that the file holds.
    backend : str
        Name of what evaluates the networks (see :func:`hepsilon.load`).
    device : str or None
        Device such as ``"cpu"`` or ``"gpu:0"``; None for a GPU where there is one.
    precision : {"float32", "bfloat16"}
        Precision of the matrix products.
    """

    path: str
    hash: str
    card: NetworkCard = field(repr=False, compare=False)
    backend: str = "auto"
    device: str | None = None
    precision: str = "float32"

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        backend: str = "auto",
        device: str | None = None,
        precision: str = "float32",
    ) -> NetworkEfficiency:
        """Read the card of a model file; the networks are read on the first call.

        Parameters
        ----------
        path : str or Path
            Model file.
        backend : str, default "auto"
            Name of what evaluates the networks (see :func:`hepsilon.load`).
        device : str, optional
            Device such as ``"cpu"`` or ``"gpu:0"``; None for a GPU where there is one.
        precision : {"float32", "bfloat16"}, default "float32"
            Precision of the matrix products. What it changes is not checked here.

        Returns
        -------
        NetworkEfficiency
            Handle of the file.

        Raises
        ------
        ArtifactError
            If it is missing, damaged or of another kind.
        ConfigError
            For a backend or precision that does not exist.
        """
        check(backend, precision)
        data, file_hash = identified_card(path)
        card = validate(NetworkCard, data, str(path), ArtifactError)
        return cls(str(Path(path).resolve()), file_hash, card, backend, device, precision)

    @classmethod
    def opened(cls, path: str | Path, options: Options) -> NetworkEfficiency:
        """Read the card for :func:`hepsilon.load`, and check what a lower precision changes.

        Parameters
        ----------
        path : str or Path
            Artifact of a network.
        options : Options
            Backend, device and precision, and the largest change that is accepted from it.

        Returns
        -------
        NetworkEfficiency
            Efficiency, whose networks are built when it is first called.

        Raises
        ------
        ArtifactError
            If the file is missing, damaged or of another kind, or the precision changes too much.
        ConfigError
            For a backend or precision that does not exist.
        """
        efficiency = cls.load(
            path, backend=options.backend, device=options.device, precision=options.precision
        )
        if options.precision != "float32":
            from hepsilon.efficiencies.precision import check_precision

            check_precision(efficiency, options.precision_bound)
        return efficiency

    def __reduce__(self) -> Any:
        return _restore, (self.path, self.hash, self.backend, self.device, self.precision)

    if not TYPE_CHECKING:  # the card of a handle that was unpickled

        def __getattr__(self, name: str) -> NetworkCard:
            if name != "card":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            object.__setattr__(self, "card", _card_of(self.path, self.hash))
            return self.card

    @property
    def needs_partners(self) -> bool:
        """Whether the network is one of graphs or of events, or a feature looks at neighbours."""
        graphs = bool(self.card.architecture.blocks)
        return self.task.of_events or graphs or bool(partners_of(self.features.names))

    def _engine(self) -> Evaluator:
        key = self.hash, self.backend, self.device, self.precision
        with _LOCK:
            if key not in _ENGINES:
                _ENGINES[key] = self._started()
            return _ENGINES[key]

    def _started(self) -> Evaluator:
        """Engine of the networks; whatever a library does with a bad file is said in our words."""
        try:
            return make_engine(
                find_file(self.path, self.hash),
                self.card,
                self.hash,
                backend=self.backend,
                device=self.device,
                precision=self.precision,
            )
        except HepsilonError:
            raise
        except Exception as error:  # not as its cause: coffea would drop the chunk for an OSError
            logger.debug("%s", self.path, exc_info=True)
            raise ArtifactError(f"{self.path}: its networks cannot be made: {error!r}") from None

    def of_members(self, offsets: Offsets, nodes: Nodes) -> Array:
        """Efficiencies of every object, or event, from every network.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Event i has the objects ``offsets[i]:offsets[i + 1]``.
        nodes : ndarray of float32, shape (n_objects, n_features)
            Raw features.

        Returns
        -------
        ndarray of float64, shape (n_entries, [n_working_points,] n_members)
            For every object, or every event of a task of events.
        """
        rows = offsets, nodes
        architecture = self.card.architecture
        objects, points = architecture.objects, architecture.working_points
        if objects is not None:  # one row for each event
            width = objects * nodes.shape[1]
            rows = np.arange(len(offsets)), nodes.reshape(len(offsets) - 1, width)
        logits = self._engine().logits(*rows)
        if self.task.of_events and objects is None:
            logits = logits[offsets[:-1]]  # all nodes of an event say the same
        networks = np.split(logits, logits.shape[1] // points, axis=1)
        mu = self.card.training.mu
        return np.stack([to_probability(x[:, 0] if points == 1 else x, mu) for x in networks], -1)

    def _predict(
        self, offsets: Offsets, nodes: Nodes, replicas: bool
    ) -> tuple[Array, Array | None]:
        members = self.of_members(offsets, nodes)
        drawn = members[..., self.card.replicas]
        eps = members[..., self.card.nominal].mean(axis=-1)
        return eps, drawn if replicas and drawn.shape[-1] > 1 else None


def _card_of(path: str, expected: str) -> NetworkCard:
    """Card of a file, which a process reads once, and which must still be the same."""
    with _LOCK:
        if expected not in _CARDS:
            loaded = NetworkEfficiency.load(find_file(path, expected))
            if loaded.hash != expected:
                raise ArtifactError(f"{path} changed since it was loaded (hash {expected[:12]})")
            _CARDS[expected] = loaded.card
        return _CARDS[expected]


def _restore(
    path: str, expected: str, backend: str, device: str | None, precision: str
) -> NetworkEfficiency:
    """Unpickle a handle, without its card: the process that unpickles may never use it."""
    handle = object.__new__(NetworkEfficiency)
    given = {"path": path, "hash": expected, "backend": backend, "device": device}
    for name, value in (given | {"precision": precision}).items():
        object.__setattr__(handle, name, value)
    return handle

"""Networks as efficiencies: a small picklable handle, one load per process."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal

import awkward as ak
import numpy as np

from hepsilon._system.files import find_file
from hepsilon._system.forks import guarded_fork
from hepsilon.arrays.fields import partners_of
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.records import validate
from hepsilon.efficiencies.artifact import identified_card, read_arrays, read_blob
from hepsilon.efficiencies.base import Efficiency
from hepsilon.efficiencies.bias import BIAS, BiasTerm, Shifts, region_names, shifted
from hepsilon.efficiencies.cards import NetworkCard
from hepsilon.efficiencies.draws import PROBES
from hepsilon.efficiencies.engines.choice import Evaluator, check, keras_backend, make_engine
from hepsilon.efficiencies.gradients import by_feature, feature_slopes
from hepsilon.efficiencies.kinds import REPLICAS_FROM, Options
from hepsilon.efficiencies.last_layer import LAST_LAYER, LastLayer
from hepsilon.efficiencies.loads import note_load
from hepsilon.efficiencies.logits import by_network, logits_of, probabilities_of, to_probability
from hepsilon.efficiencies.notebook import card_line
from hepsilon.efficiencies.saved import Saved
from hepsilon.efficiencies.tree_inputs import tree_inputs
from hepsilon.efficiencies.trees import Trees
from hepsilon.errors import ArtifactError, ConfigError, HepsilonError

__all__ = ["REFINEMENT", "NetworkEfficiency", "logits_of", "to_probability"]

logger = logging.getLogger("hepsilon")

# Module level, so that a worker loads a model once, however many handles it unpickles.
_ENGINES: dict[tuple[str, str, str | None, str], Evaluator] = {}
_CARDS: dict[str, NetworkCard] = {}
_TREES: dict[str, Trees] = {}
_LAST_LAYERS: dict[str, LastLayer] = {}
_BIASES: dict[str, BiasTerm] = {}
_LOCK = RLock()


def _reset() -> tuple[dict[Any, Any], ...]:
    """Forget in a forked process what was made before: its threads are those of the parent."""
    caches: tuple[dict[Any, Any], ...] = (_ENGINES, _CARDS, _TREES, _LAST_LAYERS, _BIASES)
    before = tuple(dict(cache) for cache in caches)
    for cache in caches:
        cache.clear()
    return before


guarded_fork(_LOCK, _reset)

REFINEMENT = "refinement"
"""Array group with the trees that refine the networks of an artifact."""


@dataclass(frozen=True, repr=False)
class NetworkEfficiency(Saved[NetworkCard], Efficiency):
    """A trained network, or the mean of an ensemble, as an efficiency.

    Of an ensemble with bootstrap samples the efficiency is that of the first network, which was
    trained on all events; the others are its replicas. A bootstrap sample lacks a third of the
    events, and the mean of networks that lack them is no better than one network that has all.

    Replicas are draws of the last layers from their covariance, together with the differences of
    the networks whose mean is the efficiency (see :mod:`hepsilon.efficiencies.last_layer`); of an
    ensemble with bootstrap samples they are its other networks. ``replicas_from`` chooses. The bias
    by region is added to all of them (see :mod:`hepsilon.efficiencies.bias`), unless ``bias_term``
    is False, or ``"members"`` asks for the networks themselves.

    Pickles as path and content hash; unpickling opens nothing. The card is read when it is asked
    for, the networks on the first call, once per process; before that nothing that evaluates them
    is imported. Where the path does not lead to the file, a worker looks for that content elsewhere
    (see :func:`hepsilon.distributed.prepare`).

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
    precision : {"float32", "tf32", "bfloat16"}
        Precision of the matrix products.
    replicas_from : {"auto", "last-layer", "members"}
        What replicas are (see :func:`hepsilon.load`).
    bias_term : bool
        Whether replicas contain the bias by region.
    """

    path: str
    hash: str
    card: NetworkCard = field(repr=False, compare=False)
    backend: str = "auto"
    device: str | None = None
    precision: str = "float32"
    replicas_from: str = "auto"
    bias_term: bool = True

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        backend: str = "auto",
        device: str | None = None,
        precision: str = "float32",
        replicas_from: str = "auto",
        bias_term: bool = True,
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
        precision : {"float32", "tf32", "bfloat16"}, default "float32"
            Precision of the matrix products. What it changes is not checked here.
        replicas_from : {"auto", "last-layer", "members"}, default "auto"
            What replicas are (see :func:`hepsilon.load`).
        bias_term : bool, default True
            Whether replicas contain the bias by region (see :func:`hepsilon.load`).

        Returns
        -------
        NetworkEfficiency
            Handle of the file.

        Raises
        ------
        ArtifactError
            If it is missing, damaged or of another kind.
        ConfigError
            For a backend, precision or kind of replicas that does not exist, or that the artifact
            does not have.
        """
        check(backend, precision)
        data, file_hash = identified_card(path)
        if data.get("kind") not in ("network", "ratio"):
            raise ArtifactError(
                f"{path} is a {data.get('kind')}, and holds no networks; expected a model of "
                "'hepsilon train'"
            )
        card = validate(NetworkCard, data, str(path), ArtifactError)
        _check_replicas(path, card, replicas_from)
        options = backend, device, precision, replicas_from, bias_term
        return cls(str(Path(path).resolve()), file_hash, card, *options)

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
            path,
            backend=options.backend,
            device=options.device,
            precision=options.precision,
            replicas_from=options.replicas_from,
            bias_term=options.bias_term,
        )
        if options.precision != "float32":
            from hepsilon.efficiencies.precision import check_precision

            check_precision(efficiency, options.precision_bound)
        return efficiency

    def __repr__(self) -> str:
        name = Path(self.path).name
        if "card" not in vars(self):  # nothing is opened to say what it is
            return f"<NetworkEfficiency, {name}>"
        return card_line("NetworkEfficiency", self.card, name)

    def __reduce__(self) -> Any:
        options = (
            self.backend,
            self.device,
            self.precision,
            self.replicas_from,
            self.bias_term,
        )
        return _restore, (self.path, self.hash, *options)

    if not TYPE_CHECKING:  # the card of a handle that was unpickled

        def __getattr__(self, name: str) -> NetworkCard:
            if name != "card":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            object.__setattr__(self, "card", _card_of(self.path, self.hash))
            return self.card

    @property
    def needs_partners(self) -> bool:
        """Whether the network is one of graphs or of events, or a feature looks at neighbours."""
        graphs = self.card.architecture.has_edges
        return self.task.of_events or graphs or bool(partners_of(self.features.names))

    def _engine(self) -> Evaluator:
        key = self.hash, self.backend, self.device, self.precision
        with _LOCK:
            if key not in _ENGINES:
                _ENGINES[key] = self._started()
                note_load(self.hash)
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

    def _differentiable(self) -> Evaluator:
        """Engine with gradients: that of Keras, where the choice is left to hepsilon."""
        if self.backend != "auto":
            return self._engine()
        return replace(self, backend=keras_backend())._engine()

    def check_file(self) -> None:
        """Read the whole file, and refuse it if anything in it is not what the card describes.

        Raises
        ------
        ArtifactError
            If it is missing, damaged, or has changed since its card was read.
        """
        path = find_file(self.path, self.hash)
        read_arrays(path, self.card, self.hash)
        for name in self.card.blobs:
            read_blob(path, self.card, name, self.hash)

    def start(self) -> None:
        """Read the networks in this process, and start what evaluates them, before the first call.

        Raises
        ------
        ArtifactError
            If the file is missing, damaged, or has changed since its card was read.
        ConfigError
            If the backend is not installed, or cannot start in this process.
        """
        self._engine()
        if self.card.last_layer is not None:
            self.last_layer()
        if self.card.refinement is not None and self.card.refinement.kept:
            self._trees()

    def _trees(self) -> Trees:
        """Trees of the refinement, which a process reads once."""
        refinement = self.card.refinement
        with _LOCK:
            if self.hash not in _TREES and refinement is not None:
                arrays = read_arrays(find_file(self.path, self.hash), self.card, self.hash)
                sizes = len(refinement.inputs), refinement.outputs
                _TREES[self.hash] = Trees.from_arrays(arrays[REFINEMENT], *sizes, self.path)
            return _TREES[self.hash]

    def _refined(self, logits: Array, offsets: Offsets, nodes: Nodes) -> Array:
        """Logits of all networks with what the trees add, where there are any."""
        refinement = self.card.refinement
        if refinement is None or not refinement.kept:
            return logits
        inputs = tree_inputs(self.task, refinement.partners, offsets, nodes)
        added = self._trees()(inputs, refinement.outputs)
        return np.asarray(logits + np.tile(added, logits.shape[1] // refinement.outputs))

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
        return self._probabilities(self._of_engine(offsets, nodes)[0])

    def value_and_gradient(
        self, records: Any, /, *, out_of_domain: Literal["warn", "raise", "ignore"] = "warn"
    ) -> tuple[Any, dict[str, ak.Array]]:
        """Efficiencies, and their derivatives by the numeric features.

        Trees that refine a network are flat but for their jumps, and add nothing to derivatives.

        Parameters
        ----------
        records : ak.Array, jagged
            Events, or objects, as for a call.
        out_of_domain : {"warn", "raise", "ignore"}, default "warn"
            Policy for objects (events) outside the domain, as for a call.

        Returns
        -------
        eps : ak.Array of float64
            Efficiencies as from a call.
        slopes : dict of str to ak.Array of float64, jagged
            By feature, for every object the derivative [1/GeV for momenta] of its efficiency or, of
            a task of events, of that of its event; several working points on one more axis.

        Raises
        ------
        ConfigError
            For networks whose objects depend on each other, recalibrated ones, and backends other
            than those of Keras.
        """
        if self.recalibration is not None:
            raise ConfigError(
                f"{self.path} is recalibrated, and has no gradients; take those of the artifact "
                "that it was made from"
            )
        if self.needs_partners and not self.task.of_events:
            raise ConfigError(
                "the efficiency of an object depends on the other objects of its event here: "
                "gradients are of events, or of objects that depend on themselves alone"
            )
        eps = self(records, out_of_domain=out_of_domain)
        asked = self._asked(records)
        members = self.of_members(asked.offsets, asked.nodes)
        if members.ndim == 2:
            members = members[:, None]
        engine = self._differentiable()
        columns = feature_slopes(self.card, engine, asked.offsets, asked.nodes, members)
        return eps, by_feature(columns, asked, self.task, self.features)

    @property
    def draws_recalibration(self) -> bool:
        """Whether replicas contain the error of a recalibration; networks as they are do not."""
        return self.replicas_from != "members"

    @property
    def draws_last_layer(self) -> bool:
        """Whether replicas are draws of the last layers, and not the networks themselves."""
        if self.replicas_from == "auto":
            bootstrap = self.card.model.resampling == "bootstrap"
            return self.card.last_layer is not None and not bootstrap
        return self.replicas_from == "last-layer"

    def last_layer(self) -> LastLayer:
        """Covariance of the last layers, which a process reads once.

        Returns
        -------
        LastLayer
            For the networks whose mean is the efficiency.

        Raises
        ------
        ArtifactError
            If the artifact has none, or one of another shape than the card says.
        """
        with _LOCK:
            if self.hash not in _LAST_LAYERS:
                path, card = find_file(self.path, self.hash), self.card
                arrays = read_arrays(path, card, self.hash).get(LAST_LAYER, {})
                layer = LastLayer(arrays.get("factor", np.empty(0)))
                known = card.last_layer
                points = card.architecture.working_points
                expected = known and (card.averaged, points, known.inputs + 1, known.directions)
                if layer.factor.shape != expected:
                    raise ArtifactError(
                        f"{path}: the last layer has the shape {layer.factor.shape}, the card says "
                        f"{expected}"
                    )
                _LAST_LAYERS[self.hash] = layer
            return _LAST_LAYERS[self.hash]

    def bias(self) -> BiasTerm | None:
        """Bias by region, which a process reads once.

        Returns
        -------
        BiasTerm or None
            None where the training has found none, it is switched off, or replicas are to be the
            networks themselves.

        Raises
        ------
        ArtifactError
            If the artifact has one of another shape than the card says.
        """
        known = self.card.bias
        asked = self.bias_term and self.replicas_from != "members"
        if known is None or not known.directions or not asked:
            return None
        with _LOCK:
            if self.hash not in _BIASES:
                path, points = find_file(self.path, self.hash), len(self.working_points)
                arrays = read_arrays(path, self.card, self.hash).get(BIAS, {})
                found = BiasTerm.from_arrays(arrays, known.partners)
                expected = known.regions, points, known.directions
                n_inputs = len(region_names(self.task, known.partners))
                columns = found.regions.columns
                if found.factor.shape != expected or not np.all(
                    (columns >= 0) & (columns < n_inputs)
                ):
                    raise ArtifactError(
                        f"{path}: the bias has the shape {found.factor.shape} of the inputs "
                        f"{columns.tolist()}, the card says {expected}"
                    )
                _BIASES[self.hash] = found
            return _BIASES[self.hash]

    def _shifts(self, offsets: Offsets, nodes: Nodes, replicas: int) -> Shifts | None:
        """Shifts of the logits in all replicas."""
        bias = self.bias()
        if bias is None:
            return None
        return bias.shifts(self.task, self.features, offsets, nodes, replicas)

    def _of_engine(
        self, offsets: Offsets, nodes: Nodes, kernel: Array | None = None
    ) -> tuple[Array, Array | None]:
        """Logits (entries, working points, networks); with a kernel its product with features."""
        rows = offsets, nodes
        architecture = self.card.architecture
        objects, points = architecture.objects, architecture.working_points
        if objects is not None:  # one row for each event
            width = objects * nodes.shape[1]
            rows = np.arange(len(offsets)), nodes.reshape(len(offsets) - 1, width)
        hidden = None
        if kernel is not None:
            found = self._engine().with_features(*rows, self.card.averaged, kernel)
            if found is None:
                raise ArtifactError(f"{self.path}: what its last layers see is not known")
            logits, hidden = found
        else:
            logits = self._engine().logits(*rows)
        if self.task.of_events and objects is None:  # all nodes of an event say the same
            logits = logits[offsets[:-1]]
            hidden = None if hidden is None else hidden[offsets[:-1]]
        logits = self._refined(logits, offsets, nodes)
        return by_network(logits, points), hidden

    def _probabilities(self, logits: Array) -> Array:
        """Efficiencies (entries, [working points,] n) of logits (entries, working points, n)."""
        eps = probabilities_of(logits, self.card.training.mu)
        return eps[:, 0] if logits.shape[1] == 1 else eps

    def _predict(self, offsets: Offsets, nodes: Nodes, replicas: int) -> tuple[Array, Array | None]:
        card = self.card
        if not (replicas and self.draws_last_layer):
            members = self.of_members(offsets, nodes)
            drawn = members[..., card.replicas]
            eps = members[..., card.nominal].mean(axis=-1)
            if not replicas or drawn.shape[-1] < 2:
                return eps, None
            shifts = self._shifts(offsets, nodes, max(drawn.shape[-1], PROBES))
            if shifts is not None:
                drawn = shifted(eps, drawn, shifts.all())
            return eps, drawn
        n_draws = max(replicas, PROBES)
        shifts = self._shifts(offsets, nodes, n_draws)
        changes = self.last_layer().changes(n_draws)
        logits, products = self._of_engine(offsets, nodes, changes.kernel)
        assert products is not None
        own = logits[..., card.nominal]
        eps = self._probabilities(own).mean(axis=-1)
        nominal = own[..., 0] if card.averaged == 1 else logits_of(eps, card.training.mu)
        corrected = nominal + np.log(card.training.mu)
        drawn = changes.replicas(corrected, products, own, shifts)[..., :replicas]
        return eps, drawn if len(self.working_points) > 1 else drawn[:, 0]


def _check_replicas(path: str | Path, card: NetworkCard, replicas_from: str) -> None:
    """Refuse replicas of a kind that does not exist, or that an artifact does not have."""
    if replicas_from not in REPLICAS_FROM:
        raise ConfigError(f"expected replicas_from of {REPLICAS_FROM}, received {replicas_from!r}")
    if replicas_from == "last-layer" and card.last_layer is None:
        raise ConfigError(
            f"{path} has no covariance of its last layers to draw replicas from; train it again "
            'with this release, or use replicas_from="members"'
        )
    if replicas_from == "members" and len(card.networks[card.replicas]) < 2:
        raise ConfigError(
            f"{path} has fewer than two networks that could be replicas; train several ([model] "
            'members = 5), or use replicas_from="last-layer"'
        )


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
    path: str,
    expected: str,
    backend: str,
    device: str | None,
    precision: str,
    replicas_from: str,
    bias_term: bool,
) -> NetworkEfficiency:
    """Unpickle a handle, without its card: the process that unpickles may never use it."""
    handle = object.__new__(NetworkEfficiency)
    given: dict[str, Any] = {"path": path, "hash": expected, "backend": backend, "device": device}
    given |= {"precision": precision, "replicas_from": replicas_from, "bias_term": bias_term}
    for name, value in given.items():
        object.__setattr__(handle, name, value)
    return handle

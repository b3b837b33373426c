"""Training of one network: weighted cross-entropy, averaged weights, best epoch, resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepsilon import graphs
from hepsilon.config import ModelConfig, TrainingConfig
from hepsilon.dataset import Columns
from hepsilon.errors import TrainingError
from hepsilon.features import FeatureSpec
from hepsilon.files import atomic_path
from hepsilon.kernels import event_key, key_uniform
from hepsilon.models import Architecture, build_model
from hepsilon.models.engine import Engine

if TYPE_CHECKING:
    import keras

__all__ = ["Epoch", "Fit", "cross_entropy", "fit_member", "object_loss_weights", "recipe"]

Array = npt.NDArray[Any]

RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("gnn", "fast"): {
        "epochs": 20,
        "patience": 6,
        "batch_events": 512,
        "learning_rate": 4e-3,
        "weight_decay": 1e-2,
        "ema": 0.99,
    },
    ("mlp", "fast"): {
        "epochs": 20,
        "patience": 6,
        "batch_events": 512,
        "learning_rate": 4e-3,
        "weight_decay": 1e-2,
        "ema": 0.99,
    },
    ("gnn", "paper"): {
        "epochs": 40,
        "patience": 40,
        "batch_events": 5000,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "ema": 0.0,
    },
    ("mlp", "paper"): {
        "epochs": 40,
        "patience": 40,
        "batch_events": 5000,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "ema": 0.0,
    },
}
WARM_UP = 0.1
"""Share of the steps in which the learning rate rises linearly."""


def recipe(model: ModelConfig, training: TrainingConfig) -> TrainingConfig:
    """The training configuration with the preset's values where it leaves them open."""
    defaults = RECIPES[model.architecture, model.preset]
    missing = {k: v for k, v in defaults.items() if getattr(training, k) is None}
    return training.model_copy(update=missing)


@dataclass(frozen=True)
class Epoch:
    """One line of the history; losses are means per event (paper Eq. 5)."""

    epoch: int
    loss: float
    validation_loss: float
    seconds: float


@dataclass(frozen=True)
class Fit:
    """The network of the best epoch.

    Attributes
    ----------
    weights : arrays of all variables of the model, in Keras' order.
    history : one entry per epoch.
    best_epoch : the epoch with the smallest validation loss, from 1.
    """

    weights: list[Array]
    history: list[Epoch]
    best_epoch: int


def object_loss_weights(columns: Columns, mu: float) -> Array:
    """Weight of each object in the loss, paper Eq. 5.

    ``w_event / n_objects``, times ``mu`` for an object that did not pass.
    """
    counts = np.diff(columns.offsets)
    per_event = np.repeat(columns.weights / counts, counts)
    return np.where(columns.passed > 0.5, per_event, mu * per_event)


def cross_entropy(logits: Array, columns: Columns, mu: float) -> float:
    """Mean binary cross-entropy per unit of event weight (paper Eq. 5), in float64."""
    terms = np.logaddexp(0.0, logits) - columns.passed * logits
    return float(np.sum(object_loss_weights(columns, mu) * terms) / np.sum(columns.weights))


def bootstrap_weights(columns: Columns, seed: int, member: int) -> Columns:
    """Columns with event weights times Poisson(1), a pure function of event, seed and member."""
    zeros = np.zeros(columns.n_events, np.uint64)
    key = event_key(columns.keys, zeros + np.uint64(seed), zeros + np.uint64(member), 2)
    cumulative = np.cumsum(np.exp(-1.0) / np.cumprod([1.0, *range(1, 20)]))
    counts = np.searchsorted(cumulative, key_uniform(key), side="right")
    return replace(columns, weights=columns.weights * counts)


class _Batches:
    """One epoch of shuffled batches, all of one shape; the order is a function of the seed."""

    def __init__(
        self, columns: Columns, recipe: TrainingConfig, capacity: tuple[int, int], seed: list[int]
    ) -> None:
        self.columns, self.capacity = columns, capacity
        self.size = min(recipe.batch_events or columns.n_events, columns.n_events)
        weights = object_loss_weights(columns, recipe.mu)
        self.weights = (weights / (self.size * np.abs(columns.weights).mean())).astype(np.float32)
        self.order = np.random.default_rng(seed).permutation(columns.n_events)

    def __len__(self) -> int:
        return len(self.order) // self.size

    def __getitem__(self, i: int) -> tuple[dict[str, Array], Array, Array]:
        events = self.order[i * self.size : (i + 1) * self.size]
        graph = self._gather(events)
        real = graph.index >= 0
        target = np.where(real, self.columns.passed[graph.index], np.float32(0.0))
        weight = np.where(real, self.weights[graph.index], np.float32(0.0))
        return graph.inputs, target[:, None], weight[:, None]

    def _gather(self, events: Array) -> graphs.Graph:
        needed = graphs.needed_capacity(self.columns.offsets, events)
        capacity = tuple(map(max, self.capacity, needed))
        return graphs.gather(self.columns.offsets, self.columns.nodes, events, capacity)


def _dataset(batches: _Batches) -> keras.utils.PyDataset:
    """Hand the batches to ``keras.Model.fit``."""
    import keras

    class Dataset(keras.utils.PyDataset):  # type: ignore[misc]
        __len__ = batches.__len__

        def __getitem__(self, i: int) -> Any:
            return batches[i]

    return Dataset()


def _compile(model: keras.Model, recipe: TrainingConfig, steps: int) -> None:
    """AdamW with averaged weights, warm-up and cosine decay over ``steps``."""
    import keras

    peak = recipe.learning_rate
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.04 * peak,
        decay_steps=max(1, round((1.0 - WARM_UP) * steps)),
        warmup_target=peak,
        warmup_steps=max(1, round(WARM_UP * steps)),
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        use_ema=bool(recipe.ema),
        ema_momentum=recipe.ema or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(model.trainable_variables)
    loss = keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")
    model.compile(optimizer=optimizer, loss=loss, jit_compile=True)


@contextmanager
def _averaged(model: keras.Model) -> Iterator[None]:
    """The model with its averaged weights, where it keeps an average."""
    if not model.optimizer.use_ema:
        yield
        return
    raw = model.get_weights()
    model.optimizer.finalize_variable_values(model.trainable_variables)
    yield
    model.set_weights(raw)


class _State:
    """All that a member's training needs to go on: a NumPy file, replaced after every epoch."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def load(self, model: keras.Model) -> Fit | None:
        """Put the saved state into the model and return the fit so far."""
        if self.path is None or not self.path.exists():
            return None
        with np.load(self.path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            groups = {
                name: [file[f"{name}{i}"] for i in range(count)]
                for name, count in meta["counts"].items()
            }
        model.set_weights(groups["model"])
        for variable, value in zip(model.optimizer.variables, groups["optimizer"], strict=True):
            variable.assign(value)
        history = [Epoch(**line) for line in meta["history"]]
        return Fit(groups["best"], history, meta["best_epoch"])

    def save(self, model: keras.Model, fit: Fit) -> None:
        """Write the model, its optimizer and the fit so far."""
        if self.path is None:
            return
        import keras

        optimizer = [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]
        groups = {"model": model.get_weights(), "optimizer": optimizer, "best": fit.weights}
        meta = {
            "counts": {name: len(group) for name, group in groups.items()},
            "history": [asdict(epoch) for epoch in fit.history],
            "best_epoch": fit.best_epoch,
        }
        arrays = {f"{name}{i}": a for name, group in groups.items() for i, a in enumerate(group)}
        with atomic_path(self.path) as temporary:
            np.savez(temporary, meta=np.array(json.dumps(meta)), **arrays)


def _callbacks(on_batch: Callable[[float], None] | None, steps: int) -> list[Any]:
    import keras

    if on_batch is None:
        return []
    report = on_batch

    class Progress(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            report(1.0 / steps)

    return [Progress()]


def _check_loss(loss: float, epoch: int) -> float:
    if not np.isfinite(loss):
        raise TrainingError(
            f"the loss is {loss} in epoch {epoch}; lower training.learning_rate, or check the "
            "weights (negative weights that dominate a region have no finite optimum)"
        )
    return loss


def _better(fit: Fit | None, model: keras.Model, epoch: Epoch) -> Fit:
    """The fit with one more epoch; must run with the averaged weights in the model."""
    if fit is None:
        return Fit(model.get_weights(), [epoch], epoch.epoch)
    history = [*fit.history, epoch]
    if epoch.validation_loss < min(e.validation_loss for e in fit.history):
        return Fit(model.get_weights(), history, epoch.epoch)
    return Fit(fit.weights, history, fit.best_epoch)


def fit_member(
    architecture: Architecture,
    spec: FeatureSpec,
    recipe: TrainingConfig,
    train: Columns,
    validation: Columns,
    *,
    member: int = 0,
    state: Path | None = None,
    on_batch: Callable[[float], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Fit:
    """Train one network.

    Parameters
    ----------
    architecture, spec : what to build.
    recipe : complete training configuration (see :func:`recipe`).
    train, validation : columns of the two sides.
    member : number of the network; together with the seed it fixes all randomness.
    state : file that holds the state after every epoch; where it exists the training goes on.
    on_batch : called after each step with its share of an epoch.
    on_epoch : called after each epoch (also with those that were read from ``state``).

    Raises
    ------
    TrainingError : if the loss becomes NaN or infinite.
    """
    if recipe.epochs is None or recipe.patience is None or recipe.batch_events is None:
        raise TrainingError("expected a complete recipe, see hepsilon.training.recipe")
    seed = [recipe.seed, member]
    initial = int(np.random.default_rng(seed).integers(2**31))
    model = build_model(architecture, spec, initial)
    capacity = graphs.capacity_for(train.offsets, min(recipe.batch_events, train.n_events))
    steps = len(_Batches(train, recipe, capacity, [*seed, 0]))
    _compile(model, recipe, recipe.epochs * steps)
    engine, store = Engine(model), _State(state)
    fit = store.load(model)
    for done in fit.history if fit and on_epoch else []:
        on_epoch(done)  # type: ignore[misc]
    while fit is None or (
        len(fit.history) < recipe.epochs and len(fit.history) - fit.best_epoch < recipe.patience
    ):
        number, start = len(fit.history) + 1 if fit else 1, perf_counter()
        batches = _Batches(train, recipe, capacity, [*seed, number])
        callbacks = _callbacks(on_batch, steps)
        logs = model.fit(_dataset(batches), shuffle=False, verbose=0, callbacks=callbacks)
        loss = _check_loss(float(logs.history["loss"][0]), number)
        with _averaged(model):
            logits = engine.logits(validation.offsets, validation.nodes)
            validated = _check_loss(cross_entropy(logits, validation, recipe.mu), number)
            epoch = Epoch(number, loss, validated, perf_counter() - start)
            fit = _better(fit, model, epoch)
        store.save(model, fit)
        if on_epoch is not None:
            on_epoch(epoch)
    return fit

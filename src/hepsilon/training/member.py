"""Training of one network: AdamW, averaged weights, best epoch on validation, resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from hepsilon import graphs
from hepsilon.config import Recipe
from hepsilon.dataset import Columns
from hepsilon.errors import TrainingError
from hepsilon.features import FeatureSpec
from hepsilon.models import Architecture, build_model
from hepsilon.models.engine import Engine
from hepsilon.training.batches import Batches, keras_dataset
from hepsilon.training.loss import cross_entropy
from hepsilon.training.state import Epoch, Fit, State

if TYPE_CHECKING:
    import keras

__all__ = ["compile_model", "fit_member"]

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises linearly."""


def compile_model(model: keras.Model, recipe: Recipe, steps: int) -> None:
    """AdamW with averaged weights, warm-up and cosine decay over ``steps``.

    The penalties l1 and l2 act on the kernels; they are part of the training loss only.
    """
    import keras

    from hepsilon.models.loss import tag_loss

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
        # a short training must not average over its first steps
        ema_momentum=min(recipe.ema, max(0.0, 1.0 - 10.0 / steps)),
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "kappa"])
    optimizer.build(model.trainable_variables)
    if recipe.l1 or recipe.l2:
        for variable in model.trainable_variables:
            if variable.name == "kernel":
                variable.regularizer = keras.regularizers.L1L2(recipe.l1, recipe.l2)
    loss = tag_loss(model.output.shape[-1])
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
    recipe: Recipe,
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
    recipe : complete training configuration (see :func:`hepsilon.training.recipe`).
    train, validation : columns of the two sides.
    member : number of the network; together with the seed it fixes all randomness.
    state : file that holds the state after every epoch; where it exists the training goes on.
    on_batch : called after each step with its share of an epoch.
    on_epoch : called after each epoch (also with those that were read from ``state``).

    Raises
    ------
    TrainingError : if the loss becomes NaN or infinite.
    """
    seed = [recipe.seed, member]
    initial = int(np.random.default_rng(seed).integers(2**31))
    model = build_model(architecture, spec, initial)
    capacity = graphs.capacity_for(train.offsets, min(recipe.batch_events, train.n_events))
    steps = len(Batches(train, recipe, capacity, [*seed, 0]))
    compile_model(model, recipe, recipe.epochs * steps)
    engine, store = Engine(model), State(state)
    fit = store.load(model)
    for done in fit.history if fit and on_epoch else []:
        on_epoch(done)  # type: ignore[misc]
    while fit is None or (
        len(fit.history) < recipe.epochs and len(fit.history) - fit.best_epoch < recipe.patience
    ):
        number, start = len(fit.history) + 1 if fit else 1, perf_counter()
        batches = Batches(train, recipe, capacity, [*seed, number])
        callbacks = _callbacks(on_batch, steps)
        logs = model.fit(keras_dataset(batches), shuffle=False, verbose=0, callbacks=callbacks)
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

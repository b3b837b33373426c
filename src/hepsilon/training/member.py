"""One network in training: its weights, its optimizer, and the best epoch so far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.config.learning import Recipe
from hepsilon.data.features import FeatureSpec
from hepsilon.networks.architecture import Architecture
from hepsilon.networks.build import build_model
from hepsilon.training.gradients import compile_step
from hepsilon.training.start import Start, start_at
from hepsilon.training.state import Epoch, Fit, State, to_numpy
from hepsilon.training.vectors import Vectors

if TYPE_CHECKING:
    import keras

__all__ = ["Member", "make_optimizer"]

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises linearly."""


def make_optimizer(
    variables: Sequence[keras.Variable], recipe: Recipe, steps: int
) -> keras.optimizers.Optimizer:
    """AdamW with averaged weights, linear warm-up and cosine decay of the learning rate.

    Only variables named "kernel" decay (I. Loshchilov and F. Hutter, "Decoupled Weight Decay
    Regularization", 2019).

    Parameters
    ----------
    variables : sequence of keras.Variable
        Weights that are trained.
    recipe : Recipe
        Complete configuration of the training.
    steps : int
        Number of steps of the whole training, after which the learning rate is zero.

    Returns
    -------
    keras.optimizers.AdamW
        Optimizer that is built for the variables.
    """
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
        # a short training must not average over its first steps
        ema_momentum=min(recipe.ema, max(0.0, 1.0 - 10.0 / steps)),
    )
    optimizer.exclude_from_weight_decay([v for v in variables if v.name != "kernel"])
    optimizer.build(variables)
    return optimizer


class Member:
    """One network of an ensemble in training, with its optimizer and its best epoch so far.

    Parameters
    ----------
    number : int
        Number of the member; together with the seed it fixes all of its randomness.
    architecture : Architecture
        Complete shape of the network.
    spec : FeatureSpec
        Features of the objects and their scaling.
    recipe : Recipe
        Complete configuration of the training.
    steps : int
        Number of optimizer steps of the whole training.
    start : Start
        Rates that the network starts at (see :mod:`hepsilon.training.start`).
    state : Path or None
        File that holds the member's state after every epoch; where it exists, the training goes on
        from it.

    Attributes
    ----------
    number : int
        Number of the member.
    fit : Fit or None
        Best epoch so far, with the history; None before the end of the first epoch.
    step : callable
        Function of the gradients that changes the weights by one step of the optimizer.
    stopped : bool
        Whether someone stopped the training after an epoch.
    """

    def __init__(
        self,
        number: int,
        architecture: Architecture,
        spec: FeatureSpec,
        recipe: Recipe,
        steps: int,
        start: Start,
        state: Path | None,
    ) -> None:
        import keras

        self.number, self._recipe = number, recipe
        seed = int(np.random.default_rng([recipe.seed, number]).integers(2**31))
        model = build_model(architecture, spec, seed)
        start_at(model, start)
        self._vectors = Vectors(model)
        self._variables = [
            keras.Variable(vector, name=name)
            for vector, name in zip(
                self._vectors.join(model.get_weights()), ("kernel", "rest"), strict=True
            )
        ]
        self._optimizer = make_optimizer(self._variables, recipe, steps)
        self.step = compile_step(self._variables, self._optimizer)
        self._state, self.stopped = State(state), False
        self.fit: Fit | None = self._state.load(self._variables, self._optimizer)

    @property
    def next_epoch(self) -> int | None:
        """Number of the epoch to come, from 1; None when the training is over."""
        if self.fit is None:
            return 1
        done, recipe = len(self.fit.history), self._recipe
        over = done >= recipe.epochs or done - self.fit.best_epoch >= recipe.patience
        return None if over or self.stopped else done + 1

    def weights(self) -> list[Any]:
        """Current weights, as the backend's own variables of the two vectors.

        Returns
        -------
        list of two tensors of float32
            Vectors of :class:`hepsilon.training.vectors.Vectors`.
        """
        return [v.value for v in self._variables]

    def averaged(self) -> list[Array]:
        """Weights that are validated and kept: averaged over the last steps, if the recipe says so.

        Returns
        -------
        list of ndarray
            Arrays of all variables of the model, in Keras' order.
        """
        raw = to_numpy(self._variables)
        self._optimizer.finalize_variable_values(self._variables)
        averaged = to_numpy(self._variables)
        for variable, value in zip(self._variables, raw, strict=True):
            variable.assign(value)
        return self._vectors.split(averaged)

    def finish_epoch(self, epoch: Epoch, weights: list[Array]) -> None:
        """Note an epoch, keep its weights if none before was better, and save the state.

        An epoch before was better if its loss is smaller by more than the error of the difference.

        Parameters
        ----------
        epoch : Epoch
            Losses of the epoch.
        weights : list of ndarray
            Weights that were validated (see :meth:`averaged`).
        """
        if self.fit is None:
            self.fit = Fit(weights, [epoch], epoch.epoch)
        else:
            history = [*self.fit.history, epoch]
            smallest = min(e.validation_loss for e in self.fit.history)
            if epoch.validation_loss - smallest <= epoch.error:
                self.fit = Fit(weights, history, epoch.epoch)
            else:
                self.fit = Fit(self.fit.weights, history, self.fit.best_epoch)
        self._state.save(self._variables, self._optimizer, self.fit)

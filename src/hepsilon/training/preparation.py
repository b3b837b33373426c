"""All that the training of one architecture needs, from the configuration and the events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hepsilon.arrays.fields import partners_of
from hepsilon.config.file import Config
from hepsilon.config.learning import Recipe
from hepsilon.data.features import FeatureSpec, Multiplicity
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.engines.keras import Engine
from hepsilon.errors import ConfigError
from hepsilon.networks.architecture import Architecture, resolve
from hepsilon.networks.build import build_model
from hepsilon.training.capacity import explanation
from hepsilon.training.recipes import recipe
from hepsilon.training.resampling import Resampling

__all__ = ["Prepared", "prepare"]

Sides = tuple[TrainingColumns, TrainingColumns]


@dataclass(frozen=True)
class Prepared:
    """A training that could start.

    Attributes
    ----------
    config : Config
        Configuration that names the architecture, with the complete recipe.
    recipe : Recipe
        Complete configuration of the training.
    architecture : Architecture
        Complete shape of the networks.
    spec : FeatureSpec
        Features of the objects and their scaling.
    sides : tuple of two TrainingColumns
        Events to train and to validate on, as the networks take them; with folds both are all.
    resampling : Resampling
        Which of them each network sees.
    capacity : str or None
        What the size of the sample has changed, and why (see :mod:`hepsilon.training.capacity`).
    """

    config: Config
    recipe: Recipe
    architecture: Architecture
    spec: FeatureSpec
    sides: Sides
    resampling: Resampling
    capacity: str | None = None

    @cached_property
    def engine(self) -> Engine:
        """Engine for networks of this architecture, compiled once for all uses."""
        model = build_model(self.architecture, self.spec, seed=None)
        return Engine(model, has_edges=self.architecture.has_edges)


def prepare(
    config: Config, spec: FeatureSpec, sides: Sides, worth: float | None = None
) -> Prepared:
    """Complete a configuration that names its architecture.

    Parameters
    ----------
    config : Config
        Configuration of the training.
    spec : FeatureSpec
        Features of the objects and their scaling.
    sides : tuple of two TrainingColumns
        Events to train and to validate on; with folds both are all events.
    worth : float, optional
        What the sample is worth (see :func:`hepsilon.training.capacity.worth`).

    Returns
    -------
    Prepared
        All that :func:`hepsilon.training.ensemble.fit_members` needs.

    Raises
    ------
    ConfigError
        If the architecture does not fit the task.
    """
    chosen = config.model, config.training, sides[0].n_events
    usual, full = recipe(*chosen), recipe(*chosen, worth)
    architecture = resolve(config.model, config.task)
    _check_fits(config, architecture)
    if not config.task.alone and (
        architecture.has_edges or partners_of(spec.names)
    ):  # the answer depends on the partners
        spec = spec.model_copy(update={"multiplicity": Multiplicity.of(sides[0].offsets)})
    if architecture.objects is not None:
        sides = sides[0].joined(architecture.objects), sides[1].joined(architecture.objects)
    return Prepared(
        config.model_copy(update={"training": full}),
        full,
        architecture,
        spec,
        sides,
        Resampling.of(config.model, full.seed),
        None if worth is None else explanation(worth, usual, full),
    )


def _check_fits(config: Config, architecture: Architecture) -> None:
    """Refuse networks that cannot give what a ratio, or a weight of objects, needs."""
    name, task = config.model.architecture, config.task
    if task.alone and architecture.has_edges:
        why = "object_weight" if task.object_weight else "a ratio of densities of objects"
        raise ConfigError(
            f"{name!r} looks at all objects of an event together, and with {why} every object is "
            'an entry of its own: use architecture = "mlp" (features such as the distance to the '
            "nearest partner are allowed)"
        )
    if task.of_densities and name == "product":
        raise ConfigError(
            f"{name!r} is a product of probabilities, which no ratio is: use another architecture"
        )
    if config.training.loss != "cross_entropy" and architecture.working_points > 1:
        raise ConfigError(
            f'loss = "{config.training.loss}" is for one working point, received '
            f"{architecture.working_points}"
        )

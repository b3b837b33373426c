"""Shuffled training batches of one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepsilon import graphs
from hepsilon.config import Recipe
from hepsilon.dataset import Columns
from hepsilon.training.loss import object_loss_weights

if TYPE_CHECKING:
    import keras

__all__ = ["Batches", "keras_dataset"]

Array = npt.NDArray[Any]


class Batches:
    """One epoch of shuffled batches, all of one shape; the order is a function of the seed."""

    def __init__(
        self, columns: Columns, recipe: Recipe, capacity: tuple[int, int], seed: list[int]
    ) -> None:
        self.columns, self.capacity = columns, capacity
        self.size = min(recipe.batch_events, columns.n_events)
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
        capacity = max(self.capacity[0], needed[0]), max(self.capacity[1], needed[1])
        return graphs.gather(self.columns.offsets, self.columns.nodes, events, capacity)


def keras_dataset(batches: Batches) -> keras.utils.PyDataset:
    """Hand the batches to ``keras.Model.fit``."""
    import keras

    class Dataset(keras.utils.PyDataset):  # type: ignore[misc]
        __len__ = batches.__len__

        def __getitem__(self, i: int) -> Any:
            return batches[i]

    return Dataset()

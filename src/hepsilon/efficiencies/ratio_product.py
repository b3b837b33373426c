"""Whole ratio from a conditional one and the ratio of the features that it is conditional on."""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.file import InputConfig
from hepsilon.config.ratio import RatioConfig
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec
from hepsilon.efficiencies.ratio_base import Ratio
from hepsilon.errors import ConfigError

__all__ = ["ProductRatio"]


class ProductRatio(Ratio):
    """Product of a conditional ratio and the ratio of its given features, with both errors.

    The two were trained one after the other, and their replicas are independent draws: replica k of
    the one goes with the one before it of the other. What the second training has mended of the
    first one makes the error rather too large.

    Parameters
    ----------
    ratio : Ratio
        Ratio of densities that is conditional on some features.
    given : Ratio
        Ratio of the densities of these features.

    Raises
    ------
    ConfigError
        If the second is not the ratio of what the first is conditional on.
    """

    def __init__(self, ratio: Ratio, given: Ratio) -> None:
        if not ratio.ratio.given or set(ratio.ratio.given) != set(given.features.names):
            raise ConfigError(
                f"expected the ratio of {list(ratio.ratio.given) or 'nothing'}, which the other "
                f"one is conditional on, received one of {list(given.features.names)}"
            )
        self.conditional, self.given = ratio, given

    def __repr__(self) -> str:
        return f"<ProductRatio of {self.conditional!r} and {self.given!r}>"

    @property
    def ratio(self) -> RatioConfig:
        """Kind of the ratio, and its clip."""
        return self.conditional.ratio.model_copy(update={"given": ()})

    @property
    def task(self) -> Task:
        """The task: objects or events, and their features."""
        return self.conditional.task.model_copy(update={"ratio": self.ratio})

    @property
    def features(self) -> FeatureSpec:
        """The features with the ranges that both samples covered."""
        return self.conditional.features

    @property
    def input(self) -> InputConfig:
        """Places of the columns in events, as the training noted them."""
        return self.conditional.input

    @property
    def needs_partners(self) -> bool:
        """Whether the answer for an object depends on the other objects of its event."""
        return self.conditional.needs_partners or self.given.needs_partners

    def _of_given(self, nodes: Nodes) -> Nodes:
        names = self.features.names
        return nodes[:, [names.index(name) for name in self.given.features.names]]

    def _covered(self, nodes: Nodes) -> Array:
        return np.asarray(
            self.conditional._covered(nodes) & self.given._covered(self._of_given(nodes))
        )

    def _predict(self, offsets: Offsets, nodes: Nodes, replicas: int) -> tuple[Array, Array | None]:
        clip = self.ratio.clip
        ratio, drawn = self.conditional._predict(offsets, nodes, replicas)
        given, moved = self.given._predict(offsets, self._of_given(nodes), replicas)
        if drawn is None or moved is None:
            return np.clip(ratio * given, *clip), None
        return np.clip(ratio * given, *clip), np.clip(drawn * np.roll(moved, 1, axis=-1), *clip)

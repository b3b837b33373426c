r"""Ratios of two samples as a function of the records, learned as an efficiency is.

A network that tells two samples of equal weight apart gives the probability p that an entry comes
from the numerator; its odds p / (1 - p) are the ratio of the densities, up to a constant that the
training has fixed: the mean of the ratio over the denominator is one. A ratio of two conditional
efficiencies comes from one network, which is asked twice: once as if the entry were of the
numerator, once as if it were of the denominator. Both answers are given by the same replicas, in
which what the two efficiencies share cancels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from scipy.special import logit

from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.file import InputConfig
from hepsilon.config.ratio import RatioConfig
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec
from hepsilon.efficiencies.base import Efficiency
from hepsilon.efficiencies.cards import NetworkCard
from hepsilon.efficiencies.kinds import Options
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.notebook import card_html, card_line
from hepsilon.efficiencies.ratio_base import Ratio, RatioEvaluation, ratio_of
from hepsilon.efficiencies.ratio_card import RatioCard
from hepsilon.efficiencies.ratio_map import with_side
from hepsilon.efficiencies.ratio_product import ProductRatio
from hepsilon.efficiencies.reweighting import clipped_ratio
from hepsilon.errors import ArtifactError, ConfigError

__all__ = [
    "LearnedRatio",
    "RatioEvaluation",
    "SideEfficiency",
    "given_path",
]


def given_path(out: str | Path) -> Path:
    """File of the ratio of the features that another ratio is conditional on.

    Parameters
    ----------
    out : str or Path
        File of the conditional ratio.

    Returns
    -------
    Path
        File beside it.
    """
    path = Path(out)
    return path.with_name(f"{path.stem}.given{path.suffix}")


@dataclass(frozen=True, repr=False)
class LearnedRatio(Ratio):
    """Ratio of two samples that a network has learned.

    Attributes
    ----------
    network : NetworkEfficiency
        Network that tells the samples apart, or that is the efficiency in both of them.
    """

    network: NetworkEfficiency

    @classmethod
    def opened(cls, path: str | Path, options: Options) -> Self:
        """Read an artifact with the options of :func:`hepsilon.load`.

        Parameters
        ----------
        path : str or Path
            Artifact of a ratio.
        options : Options
            Options of its network.

        Returns
        -------
        LearnedRatio
            Ratio, whose network is built when it is first called.

        Raises
        ------
        ArtifactError
            If the file is missing, damaged, or of another kind.
        """
        network = NetworkEfficiency.opened(path, options)
        if network.card.ratio is None:
            raise ArtifactError(f"{path} holds an efficiency, and no ratio of two samples")
        return cls(network)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an artifact of a ratio, with the default options.

        Parameters
        ----------
        path : str or Path
            Artifact of a ratio.

        Returns
        -------
        LearnedRatio
            The ratio.
        """
        return cls.opened(path, Options())

    def __repr__(self) -> str:
        return card_line("LearnedRatio", self.card, Path(self.path).name)

    def _repr_html_(self) -> str:
        """Card as a table, for notebooks."""
        return card_html(repr(self), self.card)

    @property
    def card(self) -> NetworkCard:
        """Description that the artifact holds."""
        return self.network.card

    @property
    def hash(self) -> str:
        """SHA-256 of the file."""
        return self.network.hash

    @property
    def path(self) -> str:
        """Absolute path of the file."""
        return self.network.path

    @property
    def found(self) -> RatioCard:
        """What the training has found: samples, normalisation, overlap."""
        found = self.card.ratio
        assert found is not None
        return found

    @property
    def ratio(self) -> RatioConfig:
        """Kind of the ratio, and its clip."""
        return ratio_of(self.card.task)

    @property
    def task(self) -> Task:
        """The task: objects or events, and their features."""
        return self.card.task.without_side

    @property
    def features(self) -> FeatureSpec:
        """The features with the ranges that both samples covered."""
        spec, side = self.card.features, self.ratio.side
        if side not in spec.names:
            return spec
        known = tuple(feature for feature in spec.features if feature.name != side)
        return spec.model_copy(update={"features": known})

    @property
    def input(self) -> InputConfig:
        """Places of the columns in events, as the training noted them."""
        return self.network.input

    @property
    def needs_partners(self) -> bool:
        """Whether the answer for an object depends on the other objects of its event."""
        return self.network.needs_partners

    def start(self) -> None:
        """Read the network in this process, before the first call."""
        self.network.start()

    def check_file(self) -> None:
        """Read the whole file, and refuse it if anything in it is not what the card describes."""
        self.network.check_file()

    def _predict(self, offsets: Offsets, nodes: Nodes, replicas: int) -> tuple[Array, Array | None]:
        clip = self.ratio.clip
        if self.ratio.kind == "density":
            eps, drawn = self.network._predict(offsets, nodes, replicas)
            ratio = self.of_probability(eps)
            return ratio, None if drawn is None else self.of_probability(drawn, self._of_replicas)
        above, drawn_above = self._of_sample(offsets, nodes, replicas, "numerator")
        below, drawn_below = self._of_sample(offsets, nodes, replicas, "denominator")
        ratio = np.clip(above / below, *clip)
        if drawn_above is None or drawn_below is None:
            return ratio, None
        return ratio, np.clip(drawn_above / drawn_below, *clip)

    @property
    def _of_replicas(self) -> Array:
        """Factors of all replicas, or of each.

        A logarithm that varies by v raises the mean by v / 2; networks have constants of their own.
        """
        network, variance, factors = self.network, 0.0, np.ones(1)
        if network.draws_last_layer:
            variance += self.found.variance
        elif self.found.network_constants:
            constants = np.array(self.found.network_constants[network.card.replicas])
            factors = constants / self.found.constant
        if network.card.bias is not None and network.bias() is not None:
            variance += network.card.bias.variance_of_ratio
        return np.asarray(factors * np.exp(-0.5 * variance))

    def of_probability(self, eps: Array, factor: float | Array = 1.0) -> Array:
        """Ratios of densities from the probabilities of the network.

        Parameters
        ----------
        eps : ndarray of float64
            Probability to come from the numerator.
        factor : float or ndarray of float64, default 1.0
            What the ratios are multiplied with before they are clipped; of each replica.

        Returns
        -------
        ndarray of float64, shape of eps
            Odds times the constant that normalises them, within the clip.
        """
        return clipped_ratio(logit(eps), factor * self.found.constant, self.ratio.clip)

    def _of_sample(
        self, offsets: Offsets, nodes: Nodes, replicas: int, side: str
    ) -> tuple[Array, Array | None]:
        """Efficiencies as if all entries were of one sample, whose feature the network takes."""
        value = float(side == "numerator")
        own = with_side(nodes, self.card.features.names, self.ratio.side, value)
        return self.network._predict(offsets, own, replicas)

    def efficiency(self, side: Literal["numerator", "denominator"]) -> SideEfficiency:
        """Efficiency in one of the two samples, of a ratio of efficiencies.

        Parameters
        ----------
        side : {"numerator", "denominator"}
            Sample.

        Returns
        -------
        SideEfficiency
            Efficiency, whose replicas go with those of the other one and of the ratio.

        Raises
        ------
        ConfigError
            For a ratio of densities, or a sample that there is not.
        """
        if self.ratio.kind != "efficiency" or side not in ("numerator", "denominator"):
            raise ConfigError(
                "expected the numerator or the denominator of a ratio of efficiencies, received "
                f"{side!r} of a ratio with kind = {self.ratio.kind!r}"
            )
        return SideEfficiency(self, side)

    def whole(self) -> ProductRatio:
        """The whole ratio, of one that is conditional: times that of the given features.

        Returns
        -------
        ProductRatio
            Product with the ratio that the training has written beside this one.

        Raises
        ------
        ConfigError
            For a ratio that is not conditional.
        ArtifactError
            If the other file is not there.
        """
        if not self.ratio.given:
            raise ConfigError(f"{self.path} is conditional on nothing, and is the whole ratio")
        return ProductRatio(self, LearnedRatio.load(given_path(self.path)))

    def with_network(self, **options: Any) -> LearnedRatio:
        """The same ratio with other options of its network.

        Parameters
        ----------
        **options : str, bool or None
            ``backend``, ``device``, ``replicas_from`` or ``bias_term``.

        Returns
        -------
        LearnedRatio
            A copy.
        """
        try:
            return LearnedRatio(replace(self.network, **options))
        except TypeError as error:
            raise ConfigError(str(error)) from None


@dataclass(frozen=True, repr=False)
class SideEfficiency(Efficiency):
    """Efficiency in one of the two samples that a ratio was learned from.

    Attributes
    ----------
    learned : LearnedRatio
        Ratio of efficiencies.
    side : {"numerator", "denominator"}
        Sample.
    """

    learned: LearnedRatio
    side: Literal["numerator", "denominator"]

    def __repr__(self) -> str:
        return f"<SideEfficiency in the {self.side} of {self.learned!r}>"

    @property
    def task(self) -> Task:
        """The task of the ratio, as that of an efficiency."""
        return self.learned.task.model_copy(update={"ratio": None})

    @property
    def features(self) -> FeatureSpec:
        """The features with the ranges that both samples covered."""
        return self.learned.features

    @property
    def card(self) -> NetworkCard:
        """Card of the ratio."""
        return self.learned.card

    @property
    def hash(self) -> str:
        """SHA-256 of the file."""
        return self.learned.hash

    @property
    def input(self) -> InputConfig:
        """Places of the columns in events, as the training noted them."""
        return self.learned.input

    @property
    def needs_partners(self) -> bool:
        """Whether the answer for an object depends on the other objects of its event."""
        return self.learned.needs_partners

    def _predict(self, offsets: Offsets, nodes: Nodes, replicas: int) -> tuple[Array, Array | None]:
        return self.learned._of_sample(offsets, nodes, replicas, self.side)

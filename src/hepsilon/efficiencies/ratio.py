r"""Ratios of two samples as a function of the records, learned as an efficiency is.

A network that tells two samples of equal weight apart gives the probability p that an entry comes
from the numerator; its odds p / (1 - p) are the ratio of the densities, up to a constant that the
training has fixed: the mean of the ratio over the denominator is one. A ratio of two conditional
efficiencies comes from one network, which is asked twice: once as if the entry were of the
numerator, once as if it were of the denominator. Both answers are given by the same replicas, in
which what the two efficiencies share cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import awkward as ak
import numpy as np
from scipy.special import logit

from hepsilon._system.warned import warn_caller
from hepsilon.arrays.columns import flat_rows, unflatten
from hepsilon.arrays.lazy import is_lazy, is_traced
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.file import InputConfig
from hepsilon.config.ratio import RatioConfig
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec
from hepsilon.efficiencies.base import N_REPLICAS, Efficiency
from hepsilon.efficiencies.cards import NetworkCard
from hepsilon.efficiencies.kinds import Options
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.notebook import card_html, card_line
from hepsilon.efficiencies.protocol import Evaluation, OutOfDomain
from hepsilon.efficiencies.ratio_card import RatioCard
from hepsilon.efficiencies.reweighting import Reweighting, clipped_ratio, shifted_ratios
from hepsilon.errors import ArtifactError, ConfigError, InputError, RatioWarning
from hepsilon.weights.bins import ScaleFactors

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


def ratio_of(task: Task) -> RatioConfig:
    """The part of a task that asks for a ratio."""
    if task.ratio is None:
        raise ArtifactError("expected a task with [task.ratio], received one of an efficiency")
    return task.ratio


@dataclass(frozen=True)
class RatioEvaluation(Evaluation):
    """Ratios, their replicas and the domain, jagged like the records or one per event.

    Attributes
    ----------
    clipped : ak.Array of bool
        True where the ratio is at one of the bounds of its clip.
    """

    clipped: Any = None

    @property
    def ratio(self) -> Any:
        """Ratio of every object, or event; another name of ``eps``."""
        return self.eps


@dataclass(frozen=True, repr=False)
class LearnedRatio(Efficiency):
    """Ratio of the densities of two samples, or of the efficiencies in them.

    It is called and evaluated like an efficiency, and its values are in (0, inf): the weight that
    makes the features of the denominator look like those of the numerator, or that turns the
    efficiency in the denominator into that in the numerator. Outside of the region that *both*
    samples covered the ratio is not known, and such entries are counted as out of domain.

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
            return self.of_probability(eps), None if drawn is None else self.of_probability(drawn)
        above, drawn_above = self._of_sample(offsets, nodes, replicas, "numerator")
        below, drawn_below = self._of_sample(offsets, nodes, replicas, "denominator")
        ratio = np.clip(above / below, *clip)
        if drawn_above is None or drawn_below is None:
            return ratio, None
        return ratio, np.clip(drawn_above / drawn_below, *clip)

    def of_probability(self, eps: Array) -> Array:
        """Ratios of densities from the probabilities of the network.

        Parameters
        ----------
        eps : ndarray of float64
            Probability to come from the numerator.

        Returns
        -------
        ndarray of float64, shape of eps
            Odds times the constant that normalises them, within the clip.
        """
        return clipped_ratio(logit(eps), self.found.constant, self.ratio.clip)

    def _of_sample(
        self, offsets: Offsets, nodes: Nodes, replicas: int, side: str
    ) -> tuple[Array, Array | None]:
        """Efficiencies as if all entries were of one sample, whose feature the network takes."""
        place = self.card.features.names.index(self.ratio.side)
        value = np.float32(side == "numerator")
        return self.network._predict(offsets, np.insert(nodes, place, value, axis=1), replicas)

    def evaluate(
        self, records: Any, /, *, out_of_domain: OutOfDomain = "warn", replicas: bool | int = True
    ) -> Any:
        """Ratio, replicas and domain in one pass.

        Parameters
        ----------
        records : ak.Array, jagged
            Events, objects such as ``events.Jet``, or a table, as for an efficiency.
        out_of_domain : {"warn", "raise", "ignore"}, default "warn"
            Policy for objects (events) outside of the region that both samples covered. With
            ``"warn"`` ratios that were clipped are told, too, with their number.
        replicas : bool or int, default True
            Number of replicas, as for an efficiency.

        Returns
        -------
        RatioEvaluation
            ``ratio`` (also called ``eps``), ``replicas``, ``in_domain``, ``clipped``, and the
            ``records`` that they are aligned with. Of lazy arrays an Evaluation, whose ``eps`` is
            the ratio.

        Raises
        ------
        InputError, DomainError
            As for an efficiency.
        """
        if callable(out_of_domain):
            raise InputError(
                "out_of_domain: an efficiency cannot stand in for a ratio; expected 'warn', "
                "'raise' or 'ignore'"
            )
        found = super().evaluate(records, out_of_domain=out_of_domain, replicas=replicas)
        low, high = self.ratio.clip
        if is_lazy(found.eps) or is_traced(found.eps):
            return found
        clipped = (found.eps <= low) | (found.eps >= high)
        flags = ak.flatten(clipped, axis=None) if isinstance(clipped, ak.Array) else clipped
        number, size = int(np.count_nonzero(np.asarray(flags))), int(np.size(np.asarray(flags)))
        if number and out_of_domain == "warn":
            warn_caller(
                f"{number} of {size} ratios are beyond the clip [{low:g}, {high:g}] and were set "
                "to it; reweight(...) tells their share of the weight",
                RatioWarning,
            )
        return RatioEvaluation(
            found.eps, found.replicas, found.in_domain, found.records, found.kept, clipped
        )

    def plot(
        self, feature: str, records: Any = None, *, bins: int | Sequence[float] = 30, ax: Any = None
    ) -> Any:
        """Draw the ratio along one feature, with its own error as a band.

        Parameters
        ----------
        feature : str
            Feature on the horizontal axis, such as ``"pt"``.
        records : ak.Array, jagged, optional
            Sample whose mean ratio is drawn in bins; without one an object with the other features
            at their means, as for an efficiency.
        bins : int or sequence of float, default 30
            Bins, where records are given.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            The axes.

        Raises
        ------
        InputError
            For a feature that there is not, or a ratio of events without records.
        """
        axes = super().plot(feature, records, bins=bins, ax=ax)
        axes.set(ylabel="ratio")
        return axes

    def reweight(
        self, records: Any, weights: Any = None, *, out_of_domain: OutOfDomain = "warn"
    ) -> Reweighting:
        """Weights of a sample times the ratio, with what is left of the sample.

        Parameters
        ----------
        records : ak.Array, jagged
            Events, or objects such as ``events.Jet``.
        weights : ak.Array or ndarray of float64, optional
            Weight of every event, or jagged of every object; by default 1.
        out_of_domain : {"warn", "raise", "ignore"}, default "warn"
            Policy for entries outside of the region that both samples covered.

        Returns
        -------
        Reweighting
            New weights, effective numbers before and after, and what was clipped.

        Raises
        ------
        InputError
            For weights of other entries, or several working points.
        """
        found = self.evaluate(records, out_of_domain=out_of_domain, replicas=False)
        if len(self.working_points) > 1:
            raise InputError("reweight: expected a ratio of one working point, received several")
        if not isinstance(found, RatioEvaluation) or not isinstance(found.eps, ak.Array):
            raise InputError("reweight: expected awkward arrays in memory; of others use evaluate")
        given = np.ones(len(found.ratio)) if weights is None else weights
        if len(given) != len(found.ratio):
            raise InputError(
                f"weights: expected one for each of {len(found.ratio)} events, received "
                f"{len(given)}"
            )
        try:
            own, ratio = ak.broadcast_arrays(ak.Array(given), found.ratio)
        except ValueError as error:
            raise InputError(f"weights: not those of the records: {error}") from None

        def flat(values: Any) -> Array:
            return np.asarray(ak.to_numpy(ak.flatten(values, axis=None)))

        return Reweighting.of(
            own * ratio,
            flat(ratio),
            flat(own).astype(np.float64),
            flat(found.clipped),
            flat(found.in_domain),
        )

    def scale_factors(
        self,
        jets: ak.Array,
        *,
        name: str = "ratio",
        replicas: int = N_REPLICAS,
        out_of_domain: OutOfDomain = "warn",
    ) -> ScaleFactors:
        """Ratio of every jet as scale factors, with its own error as a variation.

        A ratio of efficiencies multiplies the efficiency of each working point, as a file of
        b-tagging does; one of densities multiplies the jet.

        Parameters
        ----------
        jets : ak.Array of records, jagged
            Objects with the features of the ratio.
        name : str, default "ratio"
            Name of the variation.
        replicas : int, default 20
            Number of replicas whose spread is the variation; 0 for no variation.
        out_of_domain : {"warn", "raise", "ignore"}, default "warn"
            Policy for jets outside of the region that both samples covered.

        Returns
        -------
        ScaleFactors
            Factors for :func:`hepsilon.truth_tag_weight` and
            :func:`hepsilon.analysis_tools.add_truth_tag`; times those of a correctionlib file with
            ``*``.

        Raises
        ------
        InputError
            For a ratio of events, or jets that were not selected as in the training.
        """
        if self.task.of_events:
            raise InputError("scale factors are of jets, and this is a ratio of whole events")
        found = self.evaluate(jets, out_of_domain=out_of_domain, replicas=replicas)
        kind: Literal["jet", "working_point"] = "working_point"
        if self.ratio.kind == "density":
            kind = "jet"
        if found.replicas is None:
            return ScaleFactors(found.eps, {}, kind)
        offsets, values = flat_rows(found.eps, name="ratio")
        drawn = np.asarray(ak.to_numpy(ak.flatten(found.replicas, axis=1)))
        shifted = shifted_ratios(values, drawn.reshape(*values.shape, drawn.shape[-1]))
        single = found.eps.ndim == 2
        up, down = (unflatten(v[:, 0] if single else v, offsets) for v in shifted)
        return ScaleFactors(found.eps, {name: (up, down)}, kind)

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

"""Base of ratios of two samples: evaluation, reweighting, scale factors.

What gives ratios says what they are of (:attr:`Ratio.ratio`) and computes them; policies, clips,
weights and scale factors come from here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import awkward as ak
import numpy as np

from hepsilon._system.warned import warn_caller
from hepsilon.arrays.columns import flat_rows, unflatten
from hepsilon.arrays.lazy import is_lazy, is_traced
from hepsilon.arrays.types import Array
from hepsilon.config.ratio import RatioConfig
from hepsilon.config.task import Task
from hepsilon.efficiencies.base import N_REPLICAS, Efficiency
from hepsilon.efficiencies.protocol import Evaluation, OutOfDomain
from hepsilon.efficiencies.reweighting import Reweighting, shifted_ratios
from hepsilon.errors import ArtifactError, InputError, RatioWarning
from hepsilon.weights.bins import ScaleFactors

__all__ = ["Ratio", "RatioEvaluation", "ratio_of"]


def ratio_of(task: Task) -> RatioConfig:
    """Part of a task that asks for a ratio.

    Parameters
    ----------
    task : Task
        Task with ``[task.ratio]``.

    Returns
    -------
    RatioConfig
        That section.

    Raises
    ------
    ArtifactError
        If the task is that of an efficiency.
    """
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


class Ratio(Efficiency):
    """Ratio of the densities of two samples, or of the efficiencies in them.

    It is called and evaluated like an efficiency, and its values are in (0, inf): the weight that
    makes the features of the denominator look like those of the numerator, or that turns the
    efficiency in the denominator into that in the numerator. Outside of the region that *both*
    samples covered the ratio is not known, and such entries are counted as out of domain.
    """

    @property
    @abstractmethod
    def ratio(self) -> RatioConfig:
        """Kind of the ratio, and its clip."""

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

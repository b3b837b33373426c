"""Card of a learned ratio: its two samples, its normalisation, and what reweighting leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hepsilon.config.records import Record
from hepsilon.efficiencies.card import SourceFile
from hepsilon.errors import InputError

__all__ = ["RatioCard", "SideCard", "check_two_samples"]

Positive = Annotated[float, Field(gt=0.0)]


class SideCard(Record):
    """One of the two samples of a ratio.

    Attributes
    ----------
    n : int
        Number of its objects, or events of a task of events.
    sum_of_weights : float
        Sum of their weights, as they were read.
    n_effective : float
        Number of entries of equal weight that they are worth.
    negative : tuple of str
        Bins of features in which the weights have a sum that is not positive, within its error.
    """

    n: int
    sum_of_weights: float
    n_effective: float
    negative: tuple[str, ...] = ()


class RatioCard(Record):
    """What was found of a ratio at the end of its training.

    Attributes
    ----------
    numerator, denominator : SideCard
        The two samples.
    constant : float
        Factor of the odds that normalises the ratio: with it the mean of the clipped ratio over all
        entries of the denominator is one; near one, if the training has converged. One for a ratio
        of efficiencies, which has a scale of its own.
    constant_error : float or None
        Its relative statistical error. None for a ratio of efficiencies, as all that follows.
    n_normalised : int
        Number of entries that it was fixed with.
    mean, mean_error : float or None
        Mean of the ratio over held-out entries of the denominator, and its statistical error: one
        within the error.
    events : {"validation", "out of fold", "training"} or None
        Events that this was measured on: no network was trained on them, but for a map.
    n_entries : int
        Number of entries of the denominator among them.
    auc : float or None
        Area under the curve by which the network tells the samples apart: 0.5 for equal samples, 1
        for samples without overlap.
    n_effective_before, n_effective : float or None
        Number of entries of equal weight that these are worth, before and after reweighting.
    n_clipped : int
        Number of these entries whose ratio was clipped.
    clipped_share : float
        Share of the sum of the absolute weights, after reweighting, that they have.
    variance : float
        Mean variance of the logarithm of the ratio in replicas of the last layer, over the
        reweighted denominator: with it replicas are normalised to second order.
    network_constants : tuple of float
        Constants of the networks of an ensemble, each by itself, where they are replicas.
    """

    numerator: SideCard
    denominator: SideCard
    constant: Positive = 1.0
    constant_error: float | None = None
    n_normalised: int = 0
    mean: float | None = None
    mean_error: float | None = None
    events: Literal["validation", "out of fold", "training"] | None = None
    n_entries: int = 0
    auc: float | None = None
    n_effective_before: float | None = None
    n_effective: float | None = None
    n_clipped: int = 0
    clipped_share: float = 0.0
    variance: float = 0.0
    network_constants: tuple[Positive, ...] = ()

    def __str__(self) -> str:
        """One sentence for people."""
        if (
            self.constant_error is None
            or self.mean is None
            or self.n_effective_before is None
            or self.n_effective is None
        ):
            return "ratio of efficiencies, which needs no normalisation"
        share = self.n_effective / max(self.n_effective_before, 1e-300)
        clipped = f"; {self.n_clipped} entries clipped ({self.clipped_share:.2%} of the weight)"
        return (
            f"normalisation: odds times {self.constant:.4f} +- "
            f"{self.constant * self.constant_error:.4f}; the mean over {self.n_entries:,} "
            f"{self.events} entries of the denominator is {self.mean:.4f} +- "
            f"{self.mean_error:.4f}; AUC {self.auc:.3f}; "
            f"after reweighting they are worth {self.n_effective:,.0f} of "
            f"{self.n_effective_before:,.0f} entries ({share:.1%})" + clipped * (self.n_clipped > 0)
        )


def check_two_samples(numerator: Sequence[str | Path], denominator: Sequence[str | Path]) -> None:
    """Refuse a file that is in both samples: there the ratio would be drawn towards one.

    Parameters
    ----------
    numerator, denominator : sequence of path-like
        Files of the samples.

    Raises
    ------
    InputError
        If one is in both, by whatever name.
    """
    own = [(path, SourceFile.of(path)) for path in numerator]
    for path in denominator:
        other = SourceFile.of(path)
        same = next((name for name, file in own if name == path or file.is_same(other)), None)
        if same is not None:
            raise InputError(
                f"{path} of the denominator is a file of the numerator, too ({same}); expected two "
                "different samples"
            )

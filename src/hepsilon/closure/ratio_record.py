"""What ``closure.json`` holds of a ratio: observables before and after, and a verdict."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer

from hepsilon.closure.judgement import Status
from hepsilon.closure.record import ClosureRecord
from hepsilon.closure.two_sample_record import TwoSample
from hepsilon.config.verdict import VerdictConfig

__all__ = ["Agreement", "RatioClosure", "RatioObservable", "RatioVerdict", "SampleSums"]


def _all_thresholds(thresholds: VerdictConfig) -> dict[str, Any]:
    return thresholds.model_dump(mode="json")


class SampleSums(ClosureRecord):
    """Numbers of one sample of a closure.

    Attributes
    ----------
    files : list of str
        Names of its files.
    n : int
        Number of its entries: objects, or events of a task of events.
    sum_of_weights, n_effective : float
        Sum of their weights, and the number of entries of equal weight that they are worth.
    n_outside : int
        Number of entries outside of the region that both samples of the training covered.
    outside_share : float
        Share of the sum of the absolute weights that they have.
    """

    files: list[str]
    n: int
    sum_of_weights: float
    n_effective: float
    n_outside: int
    outside_share: float


class Agreement(ClosureRecord):
    """Agreement of the shape of the denominator with that of the numerator.

    Attributes
    ----------
    chi2 : float
        Squared differences with the inverse of their covariance.
    ndf : int
        Number of independent bins.
    p_value : float or None
        Chance of a larger chi2; None without bins.
    bias : float
        Root mean square of the relative differences, without their noise.
    """

    chi2: float
    ndf: int
    p_value: float | None
    bias: float


class RatioObservable(ClosureRecord):
    """One observable in bins, all as shares of the sum of weights of the sample.

    Attributes
    ----------
    feature : bool
        Whether the ratio depends on it; of others a difference is no fault of the ratio.
    edges : list of float
        Edges of the bins.
    values : list of float or None
        The one value in each bin, of an observable that has few; None of others.
    numerator, denominator, reweighted : list of float
        Share in each bin: of both samples, and of the denominator times the ratio.
    numerator_variance, reweighted_variance : list of float
        Variances by the samples.
    model_variance : list of float or None
        Variance of the reweighted share by the ratio's own error; None where that is not known.
    before, after : Agreement
        Agreement with the numerator before and after reweighting, with the error of the ratio.
    """

    feature: bool
    edges: list[float]
    values: list[float] | None
    numerator: list[float]
    denominator: list[float]
    reweighted: list[float]
    numerator_variance: list[float]
    reweighted_variance: list[float]
    model_variance: list[float] | None
    before: Agreement
    after: Agreement


class RatioVerdict(ClosureRecord):
    """Whether the ratio does what it is for.

    Attributes
    ----------
    status : {"pass", "warn", "fail"}
        The verdict.
    reasons : list of str
        What decided it.
    thresholds : VerdictConfig
        Thresholds that it was decided with.
    """

    status: Status
    reasons: list[str]
    thresholds: Annotated[VerdictConfig, PlainSerializer(_all_thresholds)]


class RatioClosure(ClosureRecord):
    """Closure of a ratio of densities on two samples.

    Attributes
    ----------
    numerator, denominator : SampleSums
        The samples.
    mean, mean_error : float
        Mean of the ratio over the denominator, which is to be one, and its statistical error.
    mean_model_error : float or None
        Error of the mean by the ratio's own error; None where that is not known.
    n_effective : float
        Number of entries of equal weight that the reweighted denominator is worth.
    n_clipped : int
        Number of entries of the denominator whose ratio was clipped.
    clipped_share : float
        Share of the sum of the absolute weights, after reweighting, that they have.
    auc_before, auc_after : float or None
        Area under the curve of boosted trees that tell the numerator from the denominator, and from
        the reweighted one: 0.5 if they cannot. None without LightGBM.
    auc_error : float or None
        Statistical error of such an area of equal samples.
    two_sample : TwoSample or None
        Test of the trees against chance, where it was asked for.
    observables : dict of str to RatioObservable
        Observables by name.
    trained_on : list of str
        Files that the ratio was trained on.
    verdict : RatioVerdict
        Whether the ratio does what it is for.
    files : list of str
        Names of the files of both samples.
    versions : dict of str to str
        Version of each package.
    model_hash : dict of str to str or None
        SHA-256 of the artifact of the ratio.
    """

    numerator: SampleSums
    denominator: SampleSums
    mean: float
    mean_error: float
    mean_model_error: float | None
    n_effective: float
    n_clipped: int
    clipped_share: float
    auc_before: float | None
    auc_after: float | None
    auc_error: float | None
    two_sample: TwoSample | None
    observables: dict[str, RatioObservable]
    trained_on: list[str]
    verdict: RatioVerdict
    files: list[str]
    versions: dict[str, str]
    model_hash: dict[str, str | None]

"""Records of ``closure.json``.

Fields that are not set are left out of the file; numbers that do not exist are ``null``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PlainSerializer
from pydantic.json_schema import models_json_schema

from hepsilon.closure import dependence, judgement, provenance, reliability, two_sample_record
from hepsilon.closure.dependence import Dependence
from hepsilon.closure.judgement import Verdict
from hepsilon.closure.provenance import RunInfo
from hepsilon.closure.record import ClosureRecord
from hepsilon.closure.reliability import Calibration
from hepsilon.closure.two_sample_record import TwoSample
from hepsilon.config.task import Task

__all__ = [
    "AxisClosure",
    "Bins",
    "Closure",
    "Entry",
    "Gain",
    "InversionClosure",
    "InversionEntry",
    "InversionObservable",
    "InversionOverall",
    "ObservableClosure",
    "Overall",
    "Share",
    "TagCount",
    "TaggingClosure",
    "TaggingEntry",
    "TotalGain",
    "TruthDistance",
    "closure_schema",
]

Bins = list[float] | list[list[float]]
"""One number for each bin, nested for two dimensions."""
UncertainBins = list[float | None] | list[list[float | None]]
Count = Annotated[int, Field(ge=0)]


def _plain_task(task: Task) -> dict[str, Any]:
    return task.model_dump(mode="json", exclude_none=True)


class Overall(ClosureRecord):
    """Totals: of all objects, or of inversion of all events, whatever the observables are.

    Attributes
    ----------
    expected : float or None
        Sum that the efficiency predicts (of inversion: generated events; None for data).
    observed : float
        Sum that was observed (of inversion: corrected events).
    pull : float or None
        (observed - expected) in units of its error, that of the efficiency included where it is
        known; None where that is zero.
    relative_error : float or None
        Error of the difference over expected; None without expected sum.
    efficiency_error : float or None
        Part of ``relative_error`` that is the efficiency's own; left out where that is not known.
    sample_pull : float or None
        Pull by the statistical error of the sample alone; left out where it is all that is known.
    """

    expected: float | None
    observed: float
    pull: float | None
    relative_error: float | None = None
    efficiency_error: float | None = None
    sample_pull: float | None = None


class InversionOverall(Overall):
    """Totals of efficiency inversion; the relative numbers are for simulated events.

    Attributes
    ----------
    poisson_error : float
        Error of the sum of weights, from the sum of their squares.
    horvitz_thompson_error : float
        Error of the corrected number, given the generated events.
    relative_difference : float or None
        observed / expected - 1.
    relative_bias : float or None
        Bias of the total over expected, without the noise of the responses; None where the truth
        is not known.
    """

    poisson_error: float
    horvitz_thompson_error: float
    relative_difference: float | None = None
    relative_bias: float | None = None


class ObservableClosure(ClosureRecord):
    """Comparison in the bins of one observable, by the exact statistic and the efficiency's error.

    Attributes
    ----------
    edges : list of float, or two such lists
        Bin edges of each dimension.
    observed, expected, variance : list of float
        Sums in every bin and the variance of their difference, the efficiency's own included where
        it is known; nested for two dimensions.
    pull : list of float or None
        Difference in units of its error; None without variance.
    chi2 : float
        Sum over bins that are joined until each holds enough statistics.
    ndf : int
        Number of these bins.
    p_value : float or None
        Chance of a larger chi2; None without bins.
    efficiency_variance : list of float
        Part of ``variance`` that is the efficiency's own. All that follow are left out where that
        is not known.
    efficiency_variance_of_sum : float
        Variance of the sum of all bins by the efficiency's own error.
    sample_chi2, sample_p_value : float or None
        Numbers by the statistical error of the sample alone.
    covariance : list of list of float
        Covariance of the bins by the efficiency's own error; of one axis with at most 100 bins.
    """

    edges: Bins
    observed: Bins
    expected: Bins
    variance: Bins
    pull: UncertainBins
    chi2: float
    ndf: Count
    p_value: float | None
    efficiency_variance: Bins | None = None
    efficiency_variance_of_sum: float | None = None
    sample_chi2: float | None = None
    sample_p_value: float | None = None
    covariance: list[list[float]] | None = None

    @property
    def dimensions(self) -> int:
        """Number of axes, one or two."""
        return 2 if self.edges and isinstance(self.edges[0], list) else 1


class InversionObservable(ObservableClosure):
    """Comparison in the bins of one observable, with the statistic of the reference code beside.

    Attributes
    ----------
    naive_chi2 : float
        chi2 as if the corrected and the generated events were independent.
    naive_ndf : int
        Number of bins in it.
    """

    naive_chi2: float
    naive_ndf: Count


class Share(ClosureRecord):
    """Number of objects or events, and their share.

    Attributes
    ----------
    count : int
        Number of objects (tagging) or events (inversion).
    share : float
        Share of all of them; of clipped events that of the sum of weights.
    weight : float
        Of what is out of domain the share of the expected tags, or of the corrected events; left
        out where it is not known.
    """

    count: Count
    share: float
    weight: float | None = None


class TruthDistance(ClosureRecord):
    """Distance of an efficiency to the true one.

    Attributes
    ----------
    divergence : float or None
        Mean Kullback-Leibler divergence of the truth from the efficiency [nats]; None where it is
        infinite.
    residual_mean, residual_rms : float or None
        Mean and spread of (E - E_true) / E_true; None without entries.
    """

    divergence: float | None
    residual_mean: float | None
    residual_rms: float | None


class TotalGain(ClosureRecord):
    """Effective numbers of events of all bins together.

    Attributes
    ----------
    direct, truth_tagged, weights_only : float
        Numbers as in :class:`Gain`.
    gain : float or None
        truth_tagged / direct; None without direct tags.
    """

    direct: float
    truth_tagged: float
    weights_only: float
    gain: float | None


class Gain(ClosureRecord):
    """Effective numbers of events in every bin; nested for two dimensions.

    Attributes
    ----------
    direct : list of float
        Effective events of direct tagging.
    truth_tagged : list of float
        Effective events of truth tagging, the uncertainty of the efficiency included.
    weights_only : list of float
        Effective events of truth tagging without that uncertainty.
    total : TotalGain
        Numbers of all bins together; left out where bins share events.
    """

    direct: Bins
    truth_tagged: Bins
    weights_only: Bins
    total: TotalGain | None = None


class TagCount(ClosureRecord):
    """Events in which one condition on the tags holds.

    Attributes
    ----------
    observed, expected, variance : float
        Sums of weights, and the variance of their difference, the efficiency's own included where
        it is known.
    pull : float or None
        Difference in units of its error; None without variance.
    efficiency_variance : float
        Part of ``variance`` that is the efficiency's own; left out where that is not known.
    """

    observed: float
    expected: float
    variance: float
    pull: float | None
    efficiency_variance: float | None = None


class Entry(ClosureRecord):
    """Closure of one method, common to both use cases.

    Attributes
    ----------
    overall : Overall
        Totals.
    observables : mapping of str to ObservableClosure
        Comparisons by observable.
    clipped : Share
        Events whose efficiency was below the floor, with their share of the weight.
    out_of_domain : Share
        Objects or events outside the domain of the efficiency.
    effective_sample_size : dict of str to float
        ``(sum w)^2 / sum w^2`` of every observable's entries.
    truth : dict of str to TruthDistance
        Distance to the truth, of ``all`` and by category; left out where it is not known.
    calibration : Calibration
        Predicted against observed shares; left out of measured events, and of methods with
        reconstructed momenta.
    two_sample : TwoSample
        Search of boosted trees for what the efficiency does not know; left out where that was not
        asked for.
    dependence : dict of str to Dependence
        Differences to the same sums by efficiencies from other simulations, by their name; left out
        without such.
    """

    overall: Overall
    observables: Mapping[str, ObservableClosure]
    clipped: Share
    out_of_domain: Share
    effective_sample_size: dict[str, float]
    truth: dict[str, TruthDistance] | None = None
    calibration: Calibration | None = None
    two_sample: TwoSample | None = None
    dependence: dict[str, Dependence] | None = None


class TaggingEntry(Entry):
    """Closure of one efficiency in truth tagging.

    Attributes
    ----------
    observables : dict of str to ObservableClosure
        Comparisons by ``OBSERVABLE`` and ``OBSERVABLE|CATEGORY``.
    statistics_gain : dict of str to Gain
        Effective numbers of events by ``OBSERVABLE`` and ``OBSERVABLE|CATEGORY``.
    n_replicas : int
        Number of replicas of the efficiency; 0 if it does not know its own uncertainty.
    tag_counts : dict of str to dict of str to TagCount
        Events by category of the leading pair and condition on the tags; left out without
        conditions.
    """

    observables: dict[str, ObservableClosure]
    statistics_gain: dict[str, Gain]
    n_replicas: Count
    tag_counts: dict[str, dict[str, TagCount]] | None = None


class InversionEntry(Entry):
    """Closure of one way to correct selected events.

    Attributes
    ----------
    overall : InversionOverall
        Totals of all events.
    observables : dict of str to InversionObservable
        Comparisons by observable; none of measured events.
    jensen : float
        Upward bias of the corrected total by the error of E, ``sum w Var(E) / E^3``; left out where
        that error is not known. It is not subtracted.
    n_replicas : int
        Number of replicas of the efficiency; 0 if it does not know its own uncertainty.
    """

    overall: InversionOverall
    observables: dict[str, InversionObservable]
    jensen: float | None = None
    n_replicas: Count = 0


class AxisClosure(ClosureRecord):
    """Axes of one observable, with the entries and damaged values that they do not show.

    Attributes
    ----------
    names : list of str
        Observable on each axis.
    edges : list of list of float
        Bin edges of each axis.
    unit : list of str
        Unit of each axis; empty for a plain number.
    origin : list of str
        Where the edges of each axis come from: ``"given"``, ``"default"``, ``"correction"`` (the
        bin-by-bin one), or ``"sample"``, from whose first events they were proposed.
    entries : int
        Number of entries, not weighted, without those that are NaN.
    not_a_number : int
        Number of values that are NaN, and are in no bin.
    outside : list of float
        Share of the entries that is beyond the edges of each axis.
    """

    names: list[str]
    edges: list[list[float]]
    unit: list[str]
    origin: list[str]
    entries: Count
    not_a_number: Count
    outside: list[float]


class Closure(ClosureRecord):
    """Content of ``closure.json`` that both use cases have.

    Attributes
    ----------
    task : Task
        Task of the efficiencies.
    efficiency : mapping of str to Entry
        Closure of every method, by its label.
    n_events, n_objects : int
        Numbers of events and objects processed.
    files : list of str
        Names of the files of the sample.
    versions : dict of str to str
        Versions of the software.
    model_hash : dict of str to str or None
        Hash of every artifact, by name; None for one that was not saved.
    axes : dict of str to AxisClosure
        Axes of every observable, with the entries that they do not show.
    left_out : dict of str to str
        What is missing for each observable that was not filled.
    differences : dict of str to list of str
        By efficiency, how the question that it was trained for differs from the one it was asked;
        only of those that differ.
    trained_on : dict of str to list of str
        By efficiency, the files of this sample that it was trained on, by their identity; only of
        those that were. Such a closure says nothing about other events.
    shared_with_training : dict of str to float
        By efficiency, the estimated share of the events that it was trained on, by their content,
        whatever files they are in; only of those that share some.
    baselines : list of str
        Names of the efficiencies that are binned baselines: maps and bin-by-bin corrections.
    alternatives : list of str
        Names of the efficiencies from other simulations, which the others are compared with.
    verdict : Verdict or None
        Pass, warn or fail, with reasons (see :mod:`hepsilon.closure.verdict`).
    compared : dict of str to str
        By efficiency, the validation losses of the architectures among which its own was chosen;
        only of those whose architecture was ``"auto"``.
    found_in_training : dict of str to list of str
        By efficiency, what its training found behind its networks: residuals, refinement, and
        expected against available events by region; only of those that have such.
    input : dict of str to object
        Places of the columns, the section ``[input]``.
    run : RunInfo or None
        Files with their entries, events that were left out, times and loads; None where another
        program has processed the events.
    """

    task: Annotated[Task, PlainSerializer(_plain_task)]
    efficiency: Mapping[str, Entry]
    n_events: Count
    n_objects: Count
    files: list[str]
    versions: dict[str, str]
    model_hash: dict[str, str | None]
    axes: dict[str, AxisClosure] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)
    differences: dict[str, list[str]] = Field(default_factory=dict)
    trained_on: dict[str, list[str]] = Field(default_factory=dict)
    shared_with_training: dict[str, float] = Field(default_factory=dict)
    baselines: list[str] = Field(default_factory=list)
    alternatives: list[str] = Field(default_factory=list)
    verdict: Verdict | None = None
    compared: dict[str, str] = Field(default_factory=dict)
    found_in_training: dict[str, list[str]] = Field(default_factory=dict)
    input: dict[str, Any] = Field(default_factory=dict)
    run: RunInfo | None = None


class TaggingClosure(Closure):
    """Content of ``closure.json`` of truth tagging.

    Attributes
    ----------
    efficiency : dict of str to TaggingEntry
        Closure of every efficiency, by name.
    direct_effective_sample_size : dict of str to float
        Effective numbers of direct tags in every observable.
    """

    efficiency: dict[str, TaggingEntry]
    direct_effective_sample_size: dict[str, float]


class InversionClosure(Closure):
    """Content of ``closure.json`` of efficiency inversion.

    Attributes
    ----------
    efficiency : dict of str to InversionEntry
        Closure of every way to correct, by the method's label.
    n_selected, n_outside : int
        Numbers of events: selected, and outside the fiducial region.
    repeated_events : Share
        Selected events whose run, luminosity block and event number had occurred before, which the
        bootstrap takes for one; left out without replicas.
    selected_effective_sample_size : dict of str to float
        Effective numbers of selected events in every observable.
    """

    efficiency: dict[str, InversionEntry]
    n_selected: Count
    n_outside: Count
    repeated_events: Share | None = None
    selected_effective_sample_size: dict[str, float]


def closure_schema() -> dict[str, Any]:
    """JSON schema of ``closure.json``: of truth tagging or of efficiency inversion.

    Returns
    -------
    dict
        Schema in the dialect of JSON Schema 2020-12. Parts of closures are described by the first
        line of their documentation.
    """
    models = (TaggingClosure, InversionClosure)
    references, schema = models_json_schema([(model, "validation") for model in models])
    for name, part in schema["$defs"].items():
        text = part.pop("description", "")
        described = judgement.__all__ + reliability.__all__ + two_sample_record.__all__
        described = [*described, *dependence.__all__, *provenance.__all__]
        if name in {*__all__, *described}:
            part["description"] = text.splitlines()[0]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "closure.json",
        "anyOf": [references[model, "validation"] for model in models],
        **schema,
    }

"""Closure: whether what efficiencies predict agrees with what was observed, bin by bin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hepsilon._system.remembered import remembering
from hepsilon.closure.dependence import dependence_of
from hepsilon.closure.model import Closure, InversionClosure, TaggingClosure, closure_schema
from hepsilon.closure.observables import Chosen, choose_observables
from hepsilon.closure.overlap import shared_with_training
from hepsilon.closure.provenance import run_info
from hepsilon.closure.questions import (
    baselines,
    compared,
    differences,
    found_in_training,
    trained_on,
)
from hepsilon.closure.recalibration import recalibrate
from hepsilon.closure.statistic import (
    MIN_INFORMATION,
    MIN_VARIANCE,
    Comparison,
    compare,
    compare_inversion,
)
from hepsilon.closure.two_sample import two_sample_tests
from hepsilon.closure.two_sample_record import TwoSample
from hepsilon.closure.use_cases import use_case
from hepsilon.closure.verdict import judge
from hepsilon.config.file import InputConfig
from hepsilon.config.observables import ObservableConfig
from hepsilon.config.task import Task
from hepsilon.config.verdict import VerdictConfig
from hepsilon.data.parts import split_files
from hepsilon.data.sources import Files, file_names
from hepsilon.histograms.methods import TRUTH
from hepsilon.histograms.observables import AnyObservable
from hepsilon.processors.efficiency_inversion import Correction
from hepsilon.processors.observables import warn_of_left_out
from hepsilon.processors.outputs import RECONSTRUCTED, InversionOutput, Output, TaggingOutput
from hepsilon.processors.runner import run_processor
from hepsilon.processors.wanted import explained

__all__ = [
    "MIN_INFORMATION",
    "MIN_VARIANCE",
    "Closure",
    "Comparison",
    "InversionClosure",
    "TaggingClosure",
    "closure_report",
    "closure_schema",
    "compare",
    "compare_inversion",
    "differences",
    "judge",
    "recalibrate",
    "run_closure",
    "run_processor",
    "shared_with_training",
    "trained_on",
    "two_sample_tests",
]


def run_closure(
    files: Files,
    task: Task,
    efficiencies: Mapping[str, Correction],
    *,
    config: InputConfig | None = None,
    observables: Sequence[AnyObservable] | Mapping[str, ObservableConfig] | None = None,
    executor: Any = None,
    chunksize: int = 100_000,
    max_events: int | None = None,
    checkpoint: str | Path | None = None,
    **options: Any,
) -> TaggingOutput | InversionOutput:
    """Run the processor of a task over files as one dataset, through a coffea executor.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        Files of the sample (see :func:`hepsilon.data.sources.find_sources`).
    task : Task
        Task of the efficiencies: of objects (:class:`~hepsilon.processors.TruthTagging`) or of
        events (:class:`~hepsilon.processors.EfficiencyInversion`).
    efficiencies : mapping of str to SupportsEfficiency or BinByBin
        Efficiencies by name.
    config : InputConfig, optional
        Places of the columns in the files.
    observables : sequence of Observable, or mapping of str to ObservableConfig, optional
        Observables to fill, as they are; or what a configuration says of them by name, the section
        ``[observables]``. By default those of the use case. Bins that are not given are chosen for
        the sample (:func:`hepsilon.closure.observables.choose_observables`).
    executor : coffea executor, optional
        Executor to run with; IterativeExecutor by default.
    chunksize : int, default 100000
        Events per chunk.
    max_events : int, optional
        Number of events after which no more are taken.
    checkpoint : str or Path, optional
        Folder in which the results of chunks are kept (see
        :func:`~hepsilon.processors.runner.run_processor`).
    **options
        Further arguments of the processor.

    Returns
    -------
    TaggingOutput or InversionOutput
        Output of the processor for the dataset.

    Raises
    ------
    ConfigError
        For arguments that the processor refuses.
    InputError
        If there are no files or no events, or for a file that lacks what the task needs.
    """
    config = config or InputConfig(schema="nanoaod")
    make = partial(use_case(task).processor, task, efficiencies, config=config, **options)
    instance = make()  # what the processor refuses, it refuses before any file is opened
    if options.get("reconstructed") is not None:  # a wrong name, before anything is made of it
        split_files(files, task, config, instance.wanted)
    with explained(efficiencies.values()), remembering():
        if observables is None or isinstance(observables, Mapping):
            chosen = choose_observables(
                files,
                task,
                config,
                observables,
                efficiencies,
                reconstructed=options.get("reconstructed"),
            )
        else:
            chosen = Chosen(tuple(observables), {})
        warn_of_left_out(chosen.left_out)
        output: TaggingOutput | InversionOutput = run_processor(
            files,
            make(observables=chosen.observables),
            task,
            config,
            executor=executor,
            chunksize=chunksize,
            max_events=max_events,
            checkpoint=checkpoint,
        )
    return replace(output, left_out={**chosen.left_out, **output.left_out})


def _one_training(this: Any, other: Any) -> bool:
    """Whether two efficiencies are of one file, so that their replicas go together."""
    known = getattr(this, "hash", None)
    return known is not None and known == getattr(other, "hash", None)


def closure_report(
    output: Output,
    task: Task,
    efficiencies: Mapping[str, Correction],
    files: Files,
    thresholds: VerdictConfig | None = None,
    *,
    two_sample: Mapping[str, TwoSample] | None = None,
    against: Sequence[str] = (),
    shared: Mapping[str, float] | None = None,
    seen: Mapping[str, Sequence[str]] | None = None,
    config: InputConfig | None = None,
) -> Closure:
    """Compare what efficiencies predict with what was observed.

    Parameters
    ----------
    output : TaggingOutput or InversionOutput
        Output of :func:`run_closure`.
    task : Task
        Task of the efficiencies.
    efficiencies : mapping of str to SupportsEfficiency or BinByBin
        Efficiencies by name; their hashes are noted.
    files : str, Path, Source or iterable of these
        Files of the sample (see :func:`hepsilon.data.sources.find_sources`).
    thresholds : VerdictConfig, optional
        Thresholds of the verdict, the section ``[verdict]`` of a configuration.
    two_sample : mapping of str to TwoSample, optional
        Results of :func:`two_sample_tests` by method.
    against : sequence of str, optional
        Names of the efficiencies that were learned from other simulations: they do not decide the
        verdict, and the others are compared with them.
    shared : mapping of str to float, optional
        Result of :func:`shared_with_training`.
    seen : mapping of str to sequence of str, optional
        Result of :func:`trained_on`; asked of the files by default.
    config : InputConfig, optional
        Places of the columns, which are noted.

    Returns
    -------
    TaggingClosure or InversionClosure
        Content of ``closure.json``; ``as_dict`` gives it as plain dictionaries.
    """
    paths = file_names(files)
    closure = use_case(task).close(output, task, efficiencies, paths)
    checks: dict[str, Any] = {
        "differences": differences(efficiencies, task),
        "trained_on": trained_on(efficiencies, files) if seen is None else dict(seen),
        "baselines": baselines(efficiencies),
        "compared": compared(efficiencies),
        "found_in_training": found_in_training(efficiencies),
    }
    checks |= {"alternatives": list(against)} if against else {}
    checks |= {"shared_with_training": dict(shared)} if shared else {}
    entries = dict(closure.efficiency)
    for name, found in (two_sample or {}).items():
        if name in entries:
            entries[name] = entries[name].model_copy(update={"two_sample": found})
    for name in entries if against else ():
        if name.removesuffix(RECONSTRUCTED) not in (TRUTH, *against):
            own = efficiencies.get(name.removesuffix(RECONSTRUCTED))
            paired = [other for other in against if _one_training(own, efficiencies.get(other))]
            depends = {"dependence": dependence_of(output, name, against, paired)}
            entries[name] = entries[name].model_copy(update=depends)
    checks["efficiency"] = entries
    run = run_info(output)
    if run is not None:
        checks["run"] = run
    if config is not None:
        checks["input"] = config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    closure = closure.model_copy(update=checks)
    return closure.model_copy(update={"verdict": judge(closure, thresholds)})

"""Closures."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hepsilon._system.outputs import check_folder
from hepsilon._system.remembered import remembering
from hepsilon.cli.inputs import executor_of, is_artifact
from hepsilon.cli.output import facts, judged, plain, say, table
from hepsilon.cli.ratios import is_ratio, questions_of_sides, ratio_closure
from hepsilon.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from hepsilon.closure.merging import Question
    from hepsilon.closure.model import Closure
    from hepsilon.config.file import Config
    from hepsilon.config.task import Task
    from hepsilon.plotting.experiments import Look
    from hepsilon.report.page import Origin

__all__ = ["closure", "merge_closures", "recalibrate"]


def closure(args: argparse.Namespace) -> Any:
    """Compare efficiencies with what was observed: closure.json, report and pictures."""
    from hepsilon.closure.verdict import SEVERITY
    from hepsilon.plotting.experiments import Look
    from hepsilon.report.page import Origin
    from hepsilon.report.samples import universality_rows, write_samples
    from hepsilon.report.verdict import verdict_sentences

    if is_ratio(args):
        questions = questions_of_sides(args)
        if not questions:
            return ratio_closure(args)
        samples = {side: getattr(args, side) for side in questions}
    else:
        samples = _samples(args)
        questions = {}
    look = Look(args.style, args.label, args.energy, args.luminosity)
    for out in (args.out, *(args.out / name for name in samples)):
        check_folder(out)
    origin = Origin(args.command_line)
    of_sides = bool(questions)
    questions = questions or dict.fromkeys(samples, _question(args))
    reports: dict[str, Any] = {}
    found: Any = None
    with executor_of(args) as executor, remembering():
        for name, files in samples.items():
            if name:
                say(f"sample {name}")
            reports[name] = _close(
                *(args, *questions[name], executor, files, args.out / name),
                against=tuple(n for n in questions[name][1] if n != name) if of_sides else None,
                look=look,
                origin=origin,
            )
        if "" not in samples:
            found = write_samples(args.out, reports, origin)
            say(f"wrote {args.out}/index.html and universality.json")
    statuses = [report.verdict.status for report in reports.values() if report.verdict]
    worst = max(statuses, key=SEVERITY.index)
    if args.fail_on and SEVERITY.index(worst) >= SEVERITY.index(args.fail_on):
        args.exit_code = 3
        say(f"verdict: {worst}, and so the exit code is 3 (--fail-on {args.fail_on})")
    if args.json:
        return found.as_dict() if found else reports[""].as_dict()
    sentences = [judged(*pair) for report in reports.values() for pair in verdict_sentences(report)]
    if found:
        rows = universality_rows(found)
        return [*sentences, table("closure chi2/ndf", rows.header, rows.rows)]
    return [*sentences, *_tables(reports[""])]


def _samples(args: argparse.Namespace) -> dict[str, list[str]]:
    """Files by the name of the sample; of a single one without a name."""
    if args.numerator or args.denominator:
        raise ConfigError("--numerator and --denominator are for the artifact of a ratio")
    named = list(args.sample or ())
    if bool(named) == bool(args.files):
        args.usage_error("expected either files or --sample NAME=FILES")
    samples = {name: [files] for name, files in named}
    if len(samples) < len(named):
        raise ConfigError("two samples have the same name")
    return samples or {"": args.files}


def recalibrate(args: argparse.Namespace) -> Any:
    """Fit a monotone map of an efficiency's odds to other events, and write what has it."""
    from hepsilon.closure.recalibration import recalibrate as fit

    efficiency: Any = fit(args.path, args.files, args.out, max_events=args.max_events)
    found = efficiency.card.recalibration
    say(f"wrote {args.out}")
    if args.json:
        return plain(found)
    rows = [
        [
            "all" if each.category is None else f"{found.feature} {each.category}",
            f"{each.slope:.3f} +- {each.slope_error:.3f}",
            *(f"{o:+.3f} +- {e:.3f}" for o, e in zip(each.offset, each.offset_error, strict=True)),
        ]
        for each in found.categories
    ]
    gain = f"{-found.gain:+.5f} +- {found.gain_error:.5f}"
    title = f"loss {gain} on events not fitted to, of {found.n_events:,}"
    return [table(title, ["", "slope", *["offset"] * found.working_points], rows)]


def _close(
    args: argparse.Namespace,
    config: Config,
    efficiencies: dict[str, Any],
    paths: dict[str, Path],
    executor: Any,
    files: list[str],
    out: Path,
    *,
    look: Look,
    origin: Origin,
    against: tuple[str, ...] | None = None,
) -> Closure:
    """Closure of one sample, written into a folder."""
    from hepsilon.closure import closure_report, run_closure, shared_with_training
    from hepsilon.closure.questions import differences, trained_on, warnings_of
    from hepsilon.processors.checkpoints import remove_checkpoint
    from hepsilon.processors.outputs import InversionOutput
    from hepsilon.report.writer import write_closure

    if is_artifact(args.config):
        config = _without_missing_truth(config, files)
    asked = _asked(args, config, efficiencies, paths)
    asked = asked if against is None else replace(asked, against=against)
    seen = trained_on(efficiencies, files)
    for warning in warnings_of(differences(efficiencies, asked.task), seen):
        say(warning)
    tests = _two_sample(args, asked, efficiencies, files)
    kept = out.with_name(out.name + ".partial") if args.checkpoint else None
    output = run_closure(
        files,
        asked.task,
        efficiencies,
        config=asked.input,
        observables=asked.observables,
        executor=executor,
        max_events=args.max_events,
        checkpoint=kept,
        **asked.options,
    )
    report = closure_report(
        output,
        asked.task,
        efficiencies,
        files,
        asked.verdict,
        config=asked.input,
        two_sample=tests,
        against=asked.against,
        seen=seen,
        shared=shared_with_training(
            files, asked.task, efficiencies, asked.input, max_events=args.max_events
        ),
    )
    measured = isinstance(output, InversionOutput) and output.exact is None
    write_closure(
        out,
        output,
        report,
        efficiencies,
        formats=args.format or ["png"],
        look=replace(look, data=measured),
        origin=origin,
        question=asked,
    )
    if kept is not None:
        remove_checkpoint(kept)
    say(f"wrote {out}/closure.json, report.html and pictures")
    return report


def _asked(
    args: argparse.Namespace, config: Config, efficiencies: dict[str, Any], paths: dict[str, Path]
) -> Question:
    """All that decides the result, beside the events."""
    from hepsilon.closure.merging import Question

    return Question(
        config.task,
        config.input,
        config.observables,
        config.verdict,
        _options(args, config.task),
        {name: (str(paths[name].absolute()), each.hash) for name, each in efficiencies.items()},
        tuple(name for name, _ in args.against or ()),
    )


def _two_sample(
    args: argparse.Namespace, asked: Question, efficiencies: dict[str, Any], files: list[str]
) -> dict[str, Any]:
    """Results of the two-sample tests; none where they were not asked for."""
    from hepsilon.closure import two_sample_tests

    if not args.two_sample:
        return {}
    return two_sample_tests(
        files,
        asked.task,
        efficiencies,
        config=asked.input,
        working_point=asked.options.get("working_point", 0),
        max_events=args.max_events,
    )


def _tables(report: Closure) -> list[Any]:
    """Tables of one closure, and of what its run has read and done."""
    from hepsilon.closure.provenance import summary_cells
    from hepsilon.report.calibration import calibration_rows
    from hepsilon.report.dependence import dependence_rows
    from hepsilon.report.tables import summary_rows
    from hepsilon.report.two_sample import two_sample_rows

    optional = {
        "calibration error without noise [%] (p-value)": calibration_rows(report, every=False),
        "two-sample test": two_sample_rows(report),
        "dependence on the simulation": dependence_rows(report, bins=False),
    }
    return [
        table("closure chi2/ndf", *summary_rows(report)),
        *(table(title, t.header, t.rows) for title, t in optional.items() if t is not None),
        *([facts("run", summary_cells(report.run))] if report.run is not None else []),
    ]


def merge_closures(args: argparse.Namespace) -> Any:
    """Write one closure from those of several jobs."""
    from hepsilon.closure import closure_report
    from hepsilon.closure.merging import merge_results
    from hepsilon.report.page import Origin
    from hepsilon.report.verdict import verdict_sentences
    from hepsilon.report.writer import write_closure

    check_folder(args.out)
    merged = merge_results(args.parts, dict(args.efficiency or ()))
    question, output = merged.question, merged.output
    files = [each.path for each in output.run.files.values()] if output.run else []
    report = closure_report(
        output,
        question.task,
        merged.efficiencies,
        files,
        question.verdict,
        config=question.input,
        against=question.against,
        shared=merged.seen.shared,
        seen=merged.seen.trained_on,
    )
    if merged.seen.two_sample:
        say("warning: two-sample tests cannot be added; ask for one with 'hepsilon closure'")
    origin = Origin(args.command_line)
    write_closure(args.out, output, report, merged.efficiencies, origin=origin, question=question)
    say(f"wrote {args.out}/closure.json, report.html and pictures")
    if args.json:
        return report.as_dict()
    sentences = [judged(*pair) for pair in verdict_sentences(report)]
    return [*sentences, *_tables(report)]


def _question(args: argparse.Namespace) -> tuple[Config, dict[str, Any], dict[str, Path]]:
    """Configuration, efficiencies and their files by name; a first argument may be both."""
    from hepsilon.config.file import load_config
    from hepsilon.efficiencies.configuration import config_of_card
    from hepsilon.efficiencies.loading import load_correction

    named = list(args.efficiency or ())
    if is_artifact(args.config):
        named.insert(0, (args.config.stem, args.config))
    elif not named:
        args.usage_error(
            f"expected an efficiency to check: give its file in place of {args.config}, or "
            "--efficiency NAME=PATH"
        )
    named += args.against or ()
    efficiencies: dict[str, Any] = {name: load_correction(path) for name, path in named}
    if len(efficiencies) < len(named):
        twice = sorted({name for name, _ in named if [n for n, _ in named].count(name) > 1})
        raise ConfigError(
            f"two efficiencies have the same name ({', '.join(twice)}): give NAME=PATH"
        )
    ratios = [name for name, each in efficiencies.items() if each.task.ratio is not None]
    if ratios:
        raise ConfigError(
            f"{', '.join(ratios)}: a ratio of two samples is no efficiency; give its file alone, "
            "with --numerator FILES --denominator FILES"
        )
    if is_artifact(args.config):
        card = efficiencies[args.config.stem].card
        return config_of_card(card, learning=False), efficiencies, dict(named)
    config = load_config(args.config)
    if config.task.ratio is not None:
        raise ConfigError(
            f"{args.config} asks for a ratio of two samples: give the file of the ratio instead"
        )
    return config, efficiencies, dict(named)


def _without_missing_truth(config: Config, files: list[str]) -> Config:
    """The configuration, without a true efficiency that only the sample of the training had."""
    from hepsilon.data.parts import check_file
    from hepsilon.data.sources import find_sources

    first, task = find_sources(files)[0], config.task
    if task.truth is None:
        return config
    without = task.model_copy(update={"truth": None})
    try:
        check_file(first, task, config.input)
    except InputError:
        check_file(first, without, config.input)  # what else is missing is an error
        say(f"{first.path} holds no true efficiency ({task.truth}): nothing is compared with it")
        return config.model_copy(update={"task": without})
    return config


def _options(args: argparse.Namespace, task: Task) -> dict[str, Any]:
    """Options of the processor, which depend on the use case."""
    given = {n: getattr(args, n) for n in ("floor", "replicas", "reconstructed")}
    options = {name: value for name, value in given.items() if value is not None}
    if options and not task.of_events:
        raise ConfigError(f'{sorted(options)} are for tasks with level = "event"')
    if args.working_point is not None:
        if task.of_events:
            raise ConfigError('working_point is for tasks with level = "object"')
        points = task.passed.working_points
        numbers = {str(i): i for i in range(len(points))} | {str(p): p for p in points}
        if args.working_point not in numbers:
            raise ConfigError(f"expected a working point of {points}, got {args.working_point!r}")
        options["working_point"] = numbers[args.working_point]
    return options

"""Work of the commands: one library call each.

Each makes one library call, says on standard error what it wrote, and returns what goes to
standard output: tables for people, or plain data.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hepsilon._system.extras import needs
from hepsilon._system.outputs import check_folder, check_outputs
from hepsilon.cli.applying import apply
from hepsilon.cli.cards import (
    findings_tables,
    held_out_tables,
    importance_table,
    info,
    selection_table,
)
from hepsilon.cli.closing import closure, merge_closures, recalibrate
from hepsilon.cli.fitting import histograms
from hepsilon.cli.inputs import check_out, executor_of, training_columns
from hepsilon.cli.output import plain, say, table
from hepsilon.cli.ratios import ratio_map, samples_of
from hepsilon.cli.starting import init
from hepsilon.errors import ConfigError

__all__ = [
    "apply",
    "closure",
    "convert",
    "demo",
    "export",
    "histograms",
    "info",
    "init",
    "make_map",
    "merge",
    "precision",
    "recalibrate",
    "say",
    "simulate",
    "train",
]


def demo(args: argparse.Namespace) -> Any:
    """Simulate, train, compare and apply: the whole path."""
    from hepsilon.demo.jets import run_demo

    check_folder(args.out)
    result = run_demo(args.out, n_events=args.events, seed=args.seed)
    say(f"pictures, reports and histograms are in {args.out} (see */report.html)")
    if args.json:
        return result.summary
    return [table(title, *content) for title, content in result.tables.items()]


TRACK_OPTIONS = ("amplitude", "final_state", "chosen_by")
SPECTRUM = ("mass_shape", "mass_range", "pt_shape", "pt_scale", "rapidity_max")
RATIO_OPTIONS = ("overlap", "background")


def simulate(args: argparse.Namespace) -> None:
    """Write a toy sample with known efficiency as a NanoAOD-like ROOT file."""
    from hepsilon._system.progress import progress_bar
    from hepsilon.simulation.amplitudes import AMPLITUDES
    from hepsilon.simulation.ratios import write_ratio_jets
    from hepsilon.simulation.writer import write_jets, write_tracks

    check_out(args, "root")
    family = args.kind.partition("-")[0]
    kinds = {"tracks": (*TRACK_OPTIONS, *SPECTRUM), "ratio": RATIO_OPTIONS}
    given = {n for names in kinds.values() for n in names if getattr(args, n) is not None}
    for kind, names in kinds.items():
        if kind != family and (foreign := sorted(given.intersection(names))):
            shown = [f"--{name.replace('_', '-')}" for name in foreign]
            of = "simulate tracks" if kind == "tracks" else "simulate ratio-..."
            raise ConfigError(f"{shown} are options of '{of}'")
    options: dict[str, Any] = {"seed": args.seed}
    if family == "jets":
        options["kind"] = args.kind
    elif family == "ratio":
        options["side"] = args.kind.partition("-")[2]
        options |= {name: getattr(args, name) for name in given}
    else:
        needs("simulating tracks", "particle", "phasespace")
        amplitude = AMPLITUDES[args.amplitude or "phasespace"]
        spectrum = {name: getattr(args, name) for name in SPECTRUM if name in given}
        if "mass_range" in spectrum:
            spectrum["mass_range"] = tuple(spectrum["mass_range"])
        options["amplitude"] = dataclasses.replace(amplitude, **spectrum)
        options["final_state"] = args.final_state or "pipi"
        if args.chosen_by is not None:
            options["chosen_by"] = _chooser(args.chosen_by)
    writers: dict[str, Callable[..., Path]] = {
        "jets": write_jets,
        "ratio": write_ratio_jets,
        "tracks": write_tracks,
    }
    write = writers[family]
    try:
        with progress_bar(f"simulating {args.kind}", args.events) as advance:
            write(args.out, args.events, progress=advance, **options)
    except ValueError as error:  # what no choice of the command line forbids
        raise ConfigError(str(error)) from None
    say(f"wrote {args.events} events to {args.out}")


def _chooser(path: Path) -> Callable[[Any], Any]:
    """Efficiency of events that chooses simulated events: also outside its domain, for a choice."""
    from hepsilon.efficiencies.loading import load

    efficiency = load(path)
    if not efficiency.task.of_events:
        raise ConfigError(f"{path}: expected an efficiency of events, received one of objects")
    return partial(efficiency, out_of_domain="ignore")


def convert(args: argparse.Namespace) -> None:
    """Write a CSV file of the DeepEfficiency reference code as a ROOT file of tracks."""
    from hepsilon._system.progress import progress_bar
    from hepsilon.simulation.reference_csv import convert_csv

    needs("converting tracks", "particle")
    check_out(args, "root")
    with progress_bar("converting", None) as advance:
        convert_csv(args.file, args.out, particle=args.particle, progress=advance)
    say(f"wrote {args.out}")


def train(args: argparse.Namespace) -> Any:
    """Train a network; the same command after an interruption goes on where it stopped."""
    from hepsilon.config.file import load_config
    from hepsilon.efficiencies.engines.choice import keras_backend
    from hepsilon.training.jobs import train_part
    from hepsilon.training.parts import MembersOfPart
    from hepsilon.training.reservation import check_free
    from hepsilon.training.run import train as train_network

    needs("training", "keras", keras_backend())  # before the files are read
    config = load_config(args.config)
    history, page = _beside(args.out)
    check_out(args, "artifact", (history, "picture"), (page, "page"))
    part = None if args.part is None else MembersOfPart.parse(args.part)
    check_free(args.out if part is None else part.path(args.out))
    if args.refine:
        training = config.training.model_copy(update={"refine": True})
        config = config.model_copy(update={"training": training})
    on_sample = None if args.json else _say_sample
    _check_samples(args, config)
    if config.task.ratio is not None:
        return _trained(args, _ratio(args, config, part, on_sample), history, page)
    with executor_of(args) as executor:
        columns = training_columns(args, config, executor)
        if part is not None:
            path = train_part(
                config,
                columns,
                args.out,
                part,
                files=args.files,
                hash_files=args.hash_files,
                max_events=args.max_events,
            )
            say(f"wrote {path}; when all are there: hepsilon merge {args.out} {args.out}.part-*")
            return {"path": str(path)} if args.json else None
        result = train_network(
            config,
            columns,
            args.out,
            files=_source_files(args),
            on_sample=on_sample,
            workers=executor,
        )
    return _trained(args, result, history, page)


def _check_samples(args: argparse.Namespace, config: Any) -> None:
    """Refuse two samples for an efficiency, one for a ratio, and none for either."""
    sides = [f"--{name}" for name in ("numerator", "denominator") if getattr(args, name)]
    if config.task.ratio is None:
        if sides:
            raise ConfigError(
                f"{' and '.join(sides)}: {args.config} asks for an efficiency; a ratio of two "
                "samples has the section [task.ratio]"
            )
        if not args.files:
            raise ConfigError("expected FILES, received none")
    elif args.files and (sides or config.task.ratio.field is None):
        raise ConfigError(
            f"{args.config} asks for a ratio of two samples: name them with --numerator FILES and "
            "--denominator FILES, or in [task.ratio]"
        )


def _ratio(args: argparse.Namespace, config: Any, part: Any, on_sample: Any) -> Any:
    """Learn a ratio of two samples."""
    from hepsilon.efficiencies.ratio import given_path
    from hepsilon.training.ratios import train_ratio

    if part is not None:
        raise ConfigError("a ratio of two samples is trained in one job; leave out --part")
    with executor_of(args) as executor:
        result = train_ratio(
            config,
            args.out,
            **samples_of(args, executor),
            on_sample=on_sample,
            workers=executor,
        )
    if config.task.ratio.given:
        say(f"wrote {given_path(args.out)}, the ratio of {', '.join(config.task.ratio.given)}")
    return result


def _beside(out: Path) -> tuple[Path, Path]:
    """Files that a training writes beside its artifact: loss by epoch, and its page."""
    return out.parent / f"{out.stem}.history.png", out.parent / f"{out.stem}.report.html"


def _trained(args: argparse.Namespace, result: Any, history: Path, page: Path) -> Any:
    """Say what a training has found, and write the page of its held-out events."""
    from hepsilon.plotting.models import plot_history
    from hepsilon.plotting.style import save_figure
    from hepsilon.report.held_out import held_out_verdict, write_held_out
    from hepsilon.report.page import Origin

    card = result.efficiency.card
    save_figure(plot_history(card), history)
    written = [args.out, history]
    if card.held_out is not None:
        write_held_out(page, card, args.out.stem, Origin(args.command_line))
        written.append(page)
    if args.json:
        return {"path": str(args.out), "hash": result.efficiency.hash} | plain(card)
    for number, member in enumerate(card.members):
        best = member.history[member.best_epoch - 1]
        say(
            f"member {number + 1}: epoch {best.epoch} of {len(member.history)} kept, "
            f"validation loss {best.validation_loss:.5f}"
            + "; the best epoch is the last: more epochs may help"
            * member.best_is_last
        )
    if card.out_of_fold is not None:
        found = card.out_of_fold
        say(f"out-of-fold loss {found.loss:.5f} +- {found.error:.5f} of {found.n_events:,} events")
    Console(stderr=True).print(importance_table(card.importance))
    for shown in findings_tables(card):
        Console(stderr=True).print(shown)
    if card.ratio is not None:
        say(f"ratio: {card.ratio}")
    if card.residuals is not None:
        say(f"residuals {card.residuals}")
    if card.held_out is not None:
        Console(stderr=True).print(held_out_tables(card.held_out, totals=True)[0])
        say(f"held-out closure: {card.held_out}")
        sentence = held_out_verdict(card.held_out, args.out.stem)
        say(f"{sentence.status}: {sentence.subject}: {'; '.join(sentence.reasons)}")
    if card.bias is not None:
        say(f"bias term: {card.bias}")
    if card.refinement is not None:
        say(f"refinement: {card.refinement}")
    if card.selection is not None:
        Console(stderr=True).print(selection_table(card.selection))
        if card.selection.advice:
            say(f"warning: {card.selection.advice}")
    say(f"wrote {', '.join(map(str, written[:-1]))} and {written[-1]}")
    return None


def _sample_table(sample: Any) -> Table:
    """Numbers and effective numbers of a sample by category, one row each."""
    points = sample.working_points
    passed = ["passed"] if len(points) == 1 else [f"passed {point}" for point in points]
    columns = [name for p in passed for name in (p, "effective")]
    header = ["category", sample.unit, "effective", *columns, "largest weight"]
    rows = []
    for part in sample.categories:
        pairs = zip(part.passed, part.passed_effective, strict=True)
        cells = [cell for n, e in pairs for cell in (f"{n:,}", f"{e:,.1f}")]
        numbers = [f"{part.n:,}", f"{part.n_effective:,.1f}", *cells, f"{part.largest_share:.2%}"]
        rows.append([part.category, *numbers])
    return table("sample (largest weight: share of one event)", header, rows)


def _say_sample(sample: Any) -> None:
    """Print what a sample is worth to standard error, before anything is made from it."""
    Console(stderr=True).print(_sample_table(sample))


def make_map(args: argparse.Namespace) -> Any:
    """Fill the binned baseline: a map, of events a factorised one, bins, or a binned ratio."""
    from hepsilon.config.file import load_config

    config = load_config(args.config)
    check_out(args, "artifact")
    _check_samples(args, config)
    if config.task.ratio is not None:
        return ratio_map(args, config, _say_sample)
    if args.bin_by_bin:
        if not config.task.of_events:
            raise ConfigError('--bin-by-bin needs a task with level = "event"')
        return _bin_by_bin(args, config)
    return (_factorised if config.task.of_events else _map)(args, config)


def _source_files(args: argparse.Namespace) -> tuple[Any, ...]:
    """Files of a sample, as they are noted in the card."""
    from hepsilon.efficiencies.card import SourceFile

    return SourceFile.of_all(args.files, content_hash=args.hash_files)


def _columns(args: argparse.Namespace, config: Any) -> Any:
    """Columns of the files; what they are worth is said first."""
    from hepsilon.data.summary import summarise

    columns = training_columns(args, config)
    if not args.json:
        _say_sample(summarise(columns, config.task))
    return columns


def _map(args: argparse.Namespace, config: Any) -> Any:
    from hepsilon.efficiencies.map import EfficiencyMap
    from hepsilon.plotting.models import plot_map
    from hepsilon.plotting.style import save_figure

    picture = args.out.parent / f"{args.out.stem}.png"
    check_out(args, "artifact", (picture, "picture"))
    columns = _columns(args, config)
    files = _source_files(args)
    efficiency = EfficiencyMap.fit(config.task, columns, config.map, files).described(config)
    efficiency.save(args.out)
    if len(efficiency.card.edges) <= 2:
        save_figure(plot_map(efficiency), picture)
    if args.json:
        return {"path": str(args.out)} | plain(efficiency.card)
    bins, empty = efficiency.n_bins, efficiency.n_empty
    say(f"wrote {args.out}: {bins} bins, {empty} of them without objects")
    if efficiency.card.n_outside:
        say(f"{efficiency.card.n_outside} objects are outside the binning and were not filled")
    if efficiency.card.unphysical:
        say(f"{efficiency.card.unphysical} bins had a ratio outside [0, 1] (negative weights)")
    return None


def _factorised(args: argparse.Namespace, config: Any) -> Any:
    from hepsilon.efficiencies.factorised import FactorisedMap, with_axes

    config = with_axes(config)
    columns = _columns(args, config)
    files = _source_files(args)
    efficiency = FactorisedMap.fit(config.task, columns, config.map, files).described(config)
    efficiency.save(args.out)
    if args.json:
        return {"path": str(args.out)} | plain(efficiency.card)
    card = efficiency.card
    say(f"wrote {args.out}: {efficiency.values().size} bins, {card.iterations} iterations")
    return None


def _bin_by_bin(args: argparse.Namespace, config: Any) -> Any:
    from hepsilon.closure import run_closure
    from hepsilon.data.summary import check_sample
    from hepsilon.efficiencies.bin_by_bin import BinByBin

    # read as the other commands do: response, numbers of objects, damaged numbers, weights
    sample = check_sample(_columns(args, config), config.task)
    with executor_of(args) as executor:
        output = run_closure(
            args.files,
            config.task,
            {},
            config=config.input,
            observables=config.observables,
            executor=executor,
            max_events=args.max_events,
        )
    files = _source_files(args)
    correction = BinByBin.fit(config.task, output.observables, output.n_events, files, sample)
    correction = correction.described(config)
    correction.save(args.out)
    if args.json:
        return {"path": str(args.out)} | plain(correction.card)
    say(f"wrote {args.out}: corrections of {', '.join(correction.card.edges)}")
    return None


def merge(args: argparse.Namespace) -> Any:
    """Merge results of several jobs: closures, or the parts of one training."""
    from hepsilon.training.parts import is_part

    kinds = {is_part(path) for path in args.parts}
    if len(kinds) > 1:
        raise ConfigError("some of these are parts of a training, others are not")
    if kinds != {True}:
        return merge_closures(args)
    from hepsilon.efficiencies.engines.choice import keras_backend
    from hepsilon.training.jobs import merge_training

    needs("merging a training", "keras", keras_backend())
    history, page = _beside(args.out)
    check_outputs({args.out: "artifact", history: "picture", page: "page"}, args.parts)
    return _trained(args, merge_training(args.out, args.parts), history, page)


def export(args: argparse.Namespace) -> None:
    """Write a model for other programs: ONNX, TensorFlow, a Triton server or correctionlib."""
    from hepsilon.export.formats import export as export_networks

    options = {"named": args.named_inputs, "probabilities": args.probabilities}
    export_networks(args.path, args.format, args.out, **options)
    say(f"wrote {args.out}")


def precision(args: argparse.Namespace) -> Any:
    """Measure what a lower precision changes, and note it in the model file."""
    from hepsilon.efficiencies.precision import note_precision

    if args.out is not None:
        check_outputs({args.out: "artifact"})
    card = note_precision(
        args.path, args.precision, backend=args.backend, device=args.device, out=args.out
    )
    out = args.out or args.path
    if args.json:
        return {"path": str(out)} | plain(card)
    say(
        f"{args.precision} changes an efficiency by at most {card.largest_difference:.2g} "
        f"(rms {card.rms_difference:.2g}), the expected number by {card.closure_change:.2g}; "
        f"noted in {out}"
    )
    return None

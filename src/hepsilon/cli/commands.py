"""Work of the commands: one library call each.

Each makes one library call, says on standard error what it wrote, and returns what goes to
standard output: tables for people, or plain data.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from hepsilon._system.extras import needs
from hepsilon.errors import ConfigError

__all__ = [
    "closure",
    "convert",
    "demo",
    "export",
    "info",
    "make_map",
    "precision",
    "say",
    "simulate",
    "train",
]


def say(text: str) -> None:
    """Print a line to standard error."""
    Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)


def _table(title: str, header: list[str], rows: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 0, 0, 1))
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def demo(args: argparse.Namespace) -> Any:
    """Simulate, train, compare and apply: the whole path."""
    from hepsilon.demo.jets import run_demo

    result = run_demo(args.out, n_events=args.events, seed=args.seed)
    say(f"pictures, reports and histograms are in {args.out} (see */report.html)")
    if args.json:
        return result.summary
    return [_table(title, *content) for title, content in result.tables.items()]


TRACK_OPTIONS = ("amplitude", "final_state")
SPECTRUM = ("mass_shape", "mass_range", "pt_shape", "pt_scale", "rapidity_max")


def simulate(args: argparse.Namespace) -> None:
    """Write a toy sample with known efficiency as a NanoAOD-like ROOT file."""
    from hepsilon._system.progress import progress_bar
    from hepsilon.simulation.amplitudes import AMPLITUDES
    from hepsilon.simulation.writer import write_jets, write_tracks

    given = {n for n in (*TRACK_OPTIONS, *SPECTRUM) if getattr(args, n) is not None}
    options: dict[str, Any] = {"seed": args.seed}
    if args.kind != "tracks":
        if given:
            names = [f"--{name.replace('_', '-')}" for name in sorted(given)]
            raise ConfigError(f"{names} are options of 'simulate tracks'")
        options["kind"] = args.kind
    else:
        needs("simulating tracks", "particle", "phasespace")
        amplitude = AMPLITUDES[args.amplitude or "phasespace"]
        spectrum = {name: getattr(args, name) for name in SPECTRUM if name in given}
        if "mass_range" in spectrum:
            spectrum["mass_range"] = tuple(spectrum["mass_range"])
        options["amplitude"] = dataclasses.replace(amplitude, **spectrum)
        options["final_state"] = args.final_state or "pipi"
    write = write_tracks if args.kind == "tracks" else write_jets
    try:
        with progress_bar(f"simulating {args.kind}", args.events) as advance:
            write(args.out, args.events, progress=advance, **options)
    except ValueError as error:  # what no choice of the command line forbids
        raise ConfigError(str(error)) from None
    say(f"wrote {args.events} events to {args.out}")


def convert(args: argparse.Namespace) -> None:
    """Write a CSV file of the DeepEfficiency reference code as a ROOT file of tracks."""
    from hepsilon._system.progress import progress_bar
    from hepsilon.simulation.reference_csv import convert_csv

    needs("converting tracks", "particle")
    with progress_bar("converting", None) as advance:
        convert_csv(args.file, args.out, particle=args.particle, progress=advance)
    say(f"wrote {args.out}")


def train(args: argparse.Namespace) -> Any:
    """Train a network; the same command after an interruption goes on where it stopped."""
    from hepsilon.config.file import load_config
    from hepsilon.plotting.models import plot_history
    from hepsilon.plotting.style import save_figure
    from hepsilon.training.run import train as train_network

    on_sample = None if args.json else _say_sample
    result = train_network(
        load_config(args.config),
        args.files,
        args.out,
        hash_files=args.hash_files,
        on_sample=on_sample,
        max_events=args.max_events,
    )
    card = result.efficiency.card
    history = args.out.with_suffix(".history.png")
    save_figure(plot_history(card), history)
    if args.json:
        return {"path": str(args.out), "hash": result.efficiency.hash} | _plain(card)
    for number, member in enumerate(card.members):
        best = member.history[member.best_epoch - 1]
        say(
            f"member {number + 1}: epoch {best.epoch} of {len(member.history)} kept, "
            f"validation loss {best.validation_loss:.5f}"
            + "; the best epoch is the last: more epochs may help"
            * member.best_is_last
        )
    say(f"wrote {args.out} and {history}")
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
    return _table("sample (largest weight: share of one event)", header, rows)


def _say_sample(sample: Any) -> None:
    """Print what a sample is worth to standard error, before anything is made from it."""
    Console(stderr=True).print(_sample_table(sample))


def make_map(args: argparse.Namespace) -> Any:
    """Fill the binned baseline: a map, of events a factorised one, or bin-by-bin corrections."""
    from hepsilon.config.file import load_config

    config = load_config(args.config)
    if args.bin_by_bin:
        if not config.task.of_events:
            raise ConfigError('--bin-by-bin needs a task with level = "event"')
        return _bin_by_bin(args, config)
    return (_factorised if config.task.of_events else _map)(args, config)


def _source_files(args: argparse.Namespace) -> tuple[Any, ...]:
    """Files of a sample, as they are noted in the card."""
    from hepsilon.efficiencies.artifact import SourceFile

    return SourceFile.of_all(args.files, content_hash=args.hash_files)


def _columns(args: argparse.Namespace, config: Any) -> Any:
    """Columns of the files; what they are worth is said first."""
    from hepsilon.data.dataset import read_columns
    from hepsilon.data.summary import summarise

    columns = read_columns(args.files, config, max_events=args.max_events)
    if not args.json:
        _say_sample(summarise(columns, config.task))
    return columns


def _map(args: argparse.Namespace, config: Any) -> Any:
    from hepsilon.efficiencies.map import EfficiencyMap
    from hepsilon.plotting.models import plot_map
    from hepsilon.plotting.style import save_figure

    columns = _columns(args, config)
    files = _source_files(args)
    efficiency = EfficiencyMap.fit(config.task, columns, config.map, files)
    efficiency.save(args.out)
    if len(efficiency.card.edges) <= 2:
        save_figure(plot_map(efficiency), args.out.with_suffix(".png"))
    if args.json:
        return {"path": str(args.out)} | _plain(efficiency.card)
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
    efficiency = FactorisedMap.fit(config.task, columns, config.map, files)
    efficiency.save(args.out)
    if args.json:
        return {"path": str(args.out)} | _plain(efficiency.card)
    card = efficiency.card
    say(f"wrote {args.out}: {efficiency.values().size} bins, {card.iterations} iterations")
    return None


def _bin_by_bin(args: argparse.Namespace, config: Any) -> Any:
    from hepsilon.closure import run_closure
    from hepsilon.data.summary import check_sample
    from hepsilon.efficiencies.bin_by_bin import BinByBin
    from hepsilon.processors.executors import local_executor

    # read as the other commands do: response, numbers of objects, damaged numbers, weights
    sample = check_sample(_columns(args, config), config.task)
    output = run_closure(
        args.files,
        config.task,
        {},
        config=config.input,
        observables=config.observables,
        executor=local_executor(1),
    )
    files = _source_files(args)
    correction = BinByBin.fit(config.task, output.observables, output.n_events, files, sample)
    correction.save(args.out)
    if args.json:
        return {"path": str(args.out)} | _plain(correction.card)
    say(f"wrote {args.out}: corrections of {', '.join(correction.card.edges)}")
    return None


def closure(args: argparse.Namespace) -> Any:
    """Compare efficiencies with what was observed: closure.json, report and pictures."""
    from hepsilon.closure import closure_report, run_closure
    from hepsilon.closure.questions import differences, trained_on, warnings_of
    from hepsilon.config.file import load_config
    from hepsilon.efficiencies.loading import load_correction
    from hepsilon.processors.executors import local_executor
    from hepsilon.report.tables import summary_rows
    from hepsilon.report.writer import write_closure

    config = load_config(args.config)
    efficiencies = {name: load_correction(path) for name, path in args.efficiency}
    if len(efficiencies) < len(args.efficiency):
        raise ConfigError("two efficiencies have the same name")
    for warning in warnings_of(
        differences(efficiencies, config.task), trained_on(efficiencies, args.files)
    ):
        say(warning)
    given = {n: getattr(args, n) for n in ("floor", "replicas", "reconstructed")}
    options = {name: value for name, value in given.items() if value is not None}
    if options and not config.task.of_events:
        raise ConfigError(f'{sorted(options)} are for tasks with level = "event"')
    if args.working_point is not None:
        if config.task.of_events:
            raise ConfigError('working_point is for tasks with level = "object"')
        points = config.task.passed.working_points
        numbers = {str(i): i for i in range(len(points))} | {str(p): p for p in points}
        if args.working_point not in numbers:
            raise ConfigError(f"expected a working point of {points}, got {args.working_point!r}")
        options["working_point"] = numbers[args.working_point]
    output = run_closure(
        args.files,
        config.task,
        efficiencies,
        config=config.input,
        observables=config.observables,
        executor=local_executor(args.workers),
        max_events=args.max_events,
        **options,
    )
    report = closure_report(output, config.task, efficiencies, args.files)
    write_closure(args.out, output, report)
    say(f"wrote {args.out}/closure.json, report.html and pictures")
    return report.as_dict() if args.json else [_table("closure chi2/ndf", *summary_rows(report))]


def info(args: argparse.Namespace) -> Any:
    """Say what a model or map is an efficiency of, and what it was made from."""
    from hepsilon.efficiencies.loading import load_correction

    efficiency: Any = load_correction(args.path)
    if args.json:
        return _plain(efficiency.card)
    return [_table(str(args.path), ["", "value"], _card_rows(efficiency.card))]


def export(args: argparse.Namespace) -> None:
    """Write the networks of a model as ONNX, on their own or for a Triton server."""
    from hepsilon.export.formats import export as export_networks

    export_networks(args.path, args.format, args.out)
    say(f"wrote {args.out}")


def precision(args: argparse.Namespace) -> Any:
    """Measure what a lower precision changes, and note it in the model file."""
    from hepsilon.efficiencies.precision import note_precision

    card = note_precision(
        args.path, args.precision, backend=args.backend, device=args.device, out=args.out
    )
    out = args.out or args.path
    if args.json:
        return {"path": str(out)} | _plain(card)
    say(
        f"{args.precision} changes an efficiency by at most {card.largest_difference:.2g} "
        f"(rms {card.rms_difference:.2g}), the expected number by {card.closure_change:.2g}; "
        f"noted in {out}"
    )
    return None


def _plain(card: Any) -> dict[str, Any]:
    plain: dict[str, Any] = card.model_dump(mode="json", exclude_none=True)
    return plain


def _feature_text(feature: Any) -> str:
    if feature.kind == "categorical":
        return f"one of {list(feature.categories)}"
    covered = "" if feature.low is None else f"{feature.low:.6g} to {feature.high:.6g}"
    return f"{covered} {feature.unit} ({feature.kind})"


def _numbers_text(numbers: Any) -> str:
    """Numbers of objects in an event that the training covered."""
    never = f", never {', '.join(map(str, numbers.gaps))}" if numbers.gaps else ""
    return f"{numbers.low} to {numbers.high}{never}"


def _file_text(file: Any) -> str:
    """Size and identity of a file, and the hash of its content where that is known."""
    size = "" if file.size is None else f"{file.size:,} bytes"
    digest = "" if file.sha256 is None else f"sha256 {file.sha256[:16]}"
    return ", ".join(text for text in (size, file.identity, digest) if text)


def _bins_text(edges: Any) -> str:
    """Number of bins of one axis, or of several."""
    axes = edges if isinstance(edges[0], tuple) else (edges,)
    return " x ".join(str(len(axis) - 1) for axis in axes)


def _card_rows(card: Any) -> list[list[str]]:
    """Rows for people: one feature, one file, one member a line."""
    special = {"features", "files", "members", "edges", "sample"}
    plain = {k: v for k, v in _plain(card).items() if k not in special}
    rows = [[f"task {name}", str(value)] for name, value in plain.pop("task").items()]
    rows += [[f"feature {f.name}", _feature_text(f)] for f in card.features.features]
    if card.features.multiplicity is not None:
        rows.append(["objects in an event", _numbers_text(card.features.multiplicity)])
    rows += [[f"bins {n}", _bins_text(e)] for n, e in getattr(card, "edges", {}).items()]
    rows += [[k, str(v)] for k, v in plain.items()]
    for part in card.sample.categories if card.sample else ():
        worth = f"{part.n} {card.sample.unit}, worth {part.n_effective:.1f} of equal weight"
        rows.append([f"sample {part.category}", worth])
    for number, member in enumerate(getattr(card, "members", ())):
        best = member.history[member.best_epoch - 1]
        kept = f"epoch {best.epoch} of {len(member.history)}"
        rows.append([f"member {number + 1}", f"{kept}, validation loss {best.validation_loss:.5f}"])
    return rows + [[f"file {f.name}", _file_text(f)] for f in card.files]

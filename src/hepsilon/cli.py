"""The command line.

Each command parses, makes one library call, says on standard error what it wrote, and returns what
goes to standard output.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from hepsilon._version import __version__
from hepsilon.errors import ConfigError, HepsilonError

__all__ = ["main"]

EXAMPLES = {
    "demo": "hepsilon demo --out hepsilon-demo",
    "simulate": """\
        hepsilon simulate jets -n 100000 --seed 1 --out train.root
        hepsilon simulate jets-alternative -n 50000 --seed 2 --out alternative.root
        hepsilon simulate tracks -n 1000000 --seed 1 --out phasespace.root
        hepsilon simulate tracks --amplitude rho -n 100000 --seed 2 --out rho.root
        hepsilon simulate tracks --mass-range 0.5 2 --pt-scale 1.5 -n 1000 --out narrow.root""",
    "convert": "hepsilon convert deepefficiency.csv --out tracks.root",
    "train": "hepsilon train training/gnn.toml train.root --out gnn.hepsilon",
    "map": """\
        hepsilon map training/gnn.toml train.root --out map.hepsilon
        hepsilon map training/tracks.toml phasespace.root --out factorised.hepsilon
        hepsilon map training/tracks.toml phasespace.root --bin-by-bin --out bins.hepsilon""",
    "closure": """\
        hepsilon closure training/gnn.toml test.root \\
            --efficiency map=map.hepsilon --efficiency gnn=gnn.hepsilon --out closure
        hepsilon closure training/tracks.toml rho.root --efficiency net=tracks.hepsilon \\
            --efficiency bins=bins.hepsilon --reconstructed TrackReco --out closure-rho""",
    "info": "hepsilon info gnn.hepsilon",
}


def _say(text: str) -> None:
    Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)


def _table(title: str, header: list[str], rows: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 0, 0, 1))
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _show(result: Any) -> None:
    """Print what a command found: tables for people, plain data as JSON."""
    if isinstance(result, list):
        for table in result:
            Console().print(table)
    elif result is not None:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of one or more, received {text}")
    return number


def demo(args: argparse.Namespace) -> Any:
    """Simulate, train, compare and apply: the whole path."""
    from hepsilon.demo import run_demo

    result = run_demo(args.out, n_events=args.events, seed=args.seed)
    _say(f"pictures, reports and histograms are in {args.out} (see */report.html)")
    if args.json:
        return result.summary
    return [_table(title, *content) for title, content in result.tables.items()]


TRACK_OPTIONS = ("amplitude", "final_state")
SPECTRUM = ("mass_shape", "mass_range", "pt_shape", "pt_scale", "rapidity_max")


def simulate(args: argparse.Namespace) -> None:
    """Write a toy sample with known efficiency as a NanoAOD-like ROOT file."""
    from hepsilon.progress import progress_bar
    from hepsilon.simulation import AMPLITUDES, write_jets, write_tracks

    given = {n for n in (*TRACK_OPTIONS, *SPECTRUM) if getattr(args, n) is not None}
    options: dict[str, Any] = {"seed": args.seed}
    if args.kind != "tracks":
        if given:
            names = [f"--{name.replace('_', '-')}" for name in sorted(given)]
            raise ConfigError(f"{names} are options of 'simulate tracks'")
        options["kind"] = args.kind
    else:
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
    _say(f"wrote {args.events} events to {args.out}")


def convert(args: argparse.Namespace) -> None:
    """Write a CSV file of the DeepEfficiency reference code as a ROOT file of tracks."""
    from hepsilon.conversion import convert_csv
    from hepsilon.progress import progress_bar

    with progress_bar("converting", None) as advance:
        convert_csv(args.file, args.out, particle=args.particle, progress=advance)
    _say(f"wrote {args.out}")


def train(args: argparse.Namespace) -> Any:
    """Train a network; the same command after an interruption goes on where it stopped."""
    from hepsilon.config import load_config
    from hepsilon.plotting import plot_history
    from hepsilon.report import save_figure
    from hepsilon.training import train as train_network

    result = train_network(load_config(args.config), args.files, args.out)
    card = result.efficiency.card
    history = args.out.with_suffix(".history.png")
    save_figure(plot_history(card), history)
    if args.json:
        return {"path": str(args.out), "hash": result.efficiency.hash} | _plain(card)
    for number, member in enumerate(card.members):
        best = member.history[member.best_epoch - 1]
        _say(
            f"member {number + 1}: epoch {best.epoch} of {len(member.history)} kept, "
            f"validation loss {best.validation_loss:.5f}"
        )
    _say(f"wrote {args.out} and {history}")
    return None


def make_map(args: argparse.Namespace) -> Any:
    """Fill the binned baseline: a map, of events a factorised one, or bin-by-bin corrections."""
    from hepsilon.config import load_config

    config = load_config(args.config)
    if args.bin_by_bin:
        return _bin_by_bin(args, config)
    return (_factorised if config.task.level == "event" else _map)(args, config)


def _map(args: argparse.Namespace, config: Any) -> Any:
    from hepsilon.artifact import SourceFile
    from hepsilon.dataset import read_columns
    from hepsilon.maps import EfficiencyMap
    from hepsilon.plotting import plot_map
    from hepsilon.report import save_figure

    columns = read_columns(args.files, config)
    files = tuple(map(SourceFile.of, args.files))
    efficiency = EfficiencyMap.fit(config.task, columns, config.map, files)
    efficiency.save(args.out)
    if len(efficiency.card.edges) <= 2:
        save_figure(plot_map(efficiency), args.out.with_suffix(".png"))
    if args.json:
        return {"path": str(args.out)} | _plain(efficiency.card)
    bins, empty = efficiency.values().size, efficiency.n_empty
    _say(f"wrote {args.out}: {bins} bins, {empty} of them without objects")
    if efficiency.card.n_outside:
        _say(f"{efficiency.card.n_outside} objects are outside the binning and were not filled")
    if efficiency.card.unphysical:
        _say(f"{efficiency.card.unphysical} bins had a ratio outside [0, 1] (negative weights)")
    return None


def _factorised(args: argparse.Namespace, config: Any) -> Any:
    from hepsilon.artifact import SourceFile
    from hepsilon.dataset import read_columns
    from hepsilon.factorised import FactorisedMap, with_axes

    config = with_axes(config)
    columns = read_columns(args.files, config)
    files = tuple(map(SourceFile.of, args.files))
    efficiency = FactorisedMap.fit(config.task, columns, config.map, files)
    efficiency.save(args.out)
    if args.json:
        return {"path": str(args.out)} | _plain(efficiency.card)
    card = efficiency.card
    _say(f"wrote {args.out}: {efficiency.values().size} bins, {card.iterations} iterations")
    return None


def _bin_by_bin(args: argparse.Namespace, config: Any) -> Any:
    from hepsilon.artifact import SourceFile
    from hepsilon.binned import BinByBin
    from hepsilon.closure import run_closure
    from hepsilon.execution import local_executor

    output = run_closure(
        args.files, config.task, {}, config=config.input, executor=local_executor(1)
    )
    files = tuple(map(SourceFile.of, args.files))
    correction = BinByBin.fit(config.task, output["observables"], output["n_events"], files)
    correction.save(args.out)
    if args.json:
        return {"path": str(args.out)} | _plain(correction.card)
    _say(f"wrote {args.out}: corrections of {', '.join(correction.card.edges)}")
    return None


def closure(args: argparse.Namespace) -> Any:
    """Compare efficiencies with what was observed: closure.json, report and pictures."""
    from hepsilon.closure import closure_report, run_closure
    from hepsilon.config import load_config
    from hepsilon.execution import local_executor
    from hepsilon.loading import load_correction
    from hepsilon.report import summary_rows, write_closure

    config = load_config(args.config)
    efficiencies = {name: load_correction(path) for name, path in args.efficiency}
    if len(efficiencies) < len(args.efficiency):
        raise ConfigError("two efficiencies have the same name")
    given = {n: getattr(args, n) for n in ("floor", "replicas", "reconstructed")}
    options = {name: value for name, value in given.items() if value is not None}
    if options and config.task.level == "object":
        raise ConfigError(f'{sorted(options)} are for tasks with level = "event"')
    output = run_closure(
        args.files,
        config.task,
        efficiencies,
        config=config.input,
        executor=local_executor(args.workers),
        **options,
    )
    report = closure_report(output, config.task, efficiencies, args.files)
    write_closure(args.out, output, report)
    _say(f"wrote {args.out}/closure.json, report.html and pictures")
    return report if args.json else [_table("closure chi2/ndf", *summary_rows(report))]


def info(args: argparse.Namespace) -> Any:
    """Say what a model or map is an efficiency of, and what it was made from."""
    from hepsilon.loading import load_correction

    efficiency: Any = load_correction(args.path)
    if args.json:
        return _plain(efficiency.card)
    return [_table(str(args.path), ["", "value"], _card_rows(efficiency.card))]


def _plain(card: Any) -> dict[str, Any]:
    plain: dict[str, Any] = card.model_dump(mode="json", exclude_none=True)
    return plain


def _feature_text(feature: Any) -> str:
    if feature.kind == "categorical":
        return f"one of {list(feature.categories)}"
    covered = "" if feature.low is None else f"{feature.low:.6g} to {feature.high:.6g}"
    return f"{covered} {feature.unit} ({feature.kind})"


def _bins_text(edges: Any) -> str:
    """Number of bins of one axis, or of several."""
    axes = edges if isinstance(edges[0], tuple) else (edges,)
    return " x ".join(str(len(axis) - 1) for axis in axes)


def _card_rows(card: Any) -> list[list[str]]:
    """Rows for people: one feature, one file, one member a line."""
    special = {"features", "files", "members", "edges"}
    plain = {k: v for k, v in _plain(card).items() if k not in special}
    rows = [[f"task {name}", str(value)] for name, value in plain.pop("task").items()]
    rows += [[f"feature {f.name}", _feature_text(f)] for f in card.features.features]
    rows += [[f"bins {n}", _bins_text(e)] for n, e in getattr(card, "edges", {}).items()]
    rows += [[k, str(v)] for k, v in plain.items()]
    for number, member in enumerate(getattr(card, "members", ())):
        best = member.history[member.best_epoch - 1]
        kept = f"epoch {best.epoch} of {len(member.history)}"
        rows.append([f"member {number + 1}", f"{kept}, validation loss {best.validation_loss:.5f}"])
    return rows + [[f"file {f.name}", f"sha256 {f.sha256[:16]}"] for f in card.files]


def _named_path(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise argparse.ArgumentTypeError(f"expected NAME=PATH, received {text!r}")
    return name, Path(path)


def _add_command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], Any]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=function.__doc__,
        description=function.__doc__,
        epilog="example:\n" + textwrap.indent(textwrap.dedent(EXAMPLES[name]), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=function, json=False)
    return parser


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _config_and_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="configuration")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="ROOT or parquet files")


def _track_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tracks", "by default what the amplitude has")
    amplitudes = ["phasespace", "rho", "pomeron", "tensor"]
    group.add_argument("--amplitude", choices=amplitudes, help="of the decay (phasespace)")
    group.add_argument("--final-state", choices=["pipi", "KK", "4pi"], help="mesons (pipi)")
    shapes = ["logarithmic", "resonance", "continuum"]
    group.add_argument("--mass-shape", choices=shapes, help="mass spectrum of the system")
    low_high = {"nargs": 2, "type": float, "metavar": ("MIN", "MAX")}
    group.add_argument("--mass-range", help="of the system [GeV]", **low_high)  # type: ignore[arg-type]
    group.add_argument("--pt-shape", choices=["root", "exponential"], help="pt spectrum")
    group.add_argument("--pt-scale", type=float, help="largest, or typical, pt [GeV]")
    group.add_argument("--rapidity-max", type=float, help="the rapidity is uniform within")


def _inversion_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tasks of events")
    group.add_argument("--floor", type=float, help="cutoff for E -> 0 (0.001)")
    group.add_argument("--replicas", type=_positive, help="bootstrap replicas (none)")
    group.add_argument(
        "--reconstructed", metavar="NAME", help="collection of reconstructed objects (none)"
    )


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="hepsilon",
        description="Learned efficiencies for columnar HEP analysis.",
        epilog="'hepsilon COMMAND --help' shows an example of each command.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = _add_command(commands, "demo", demo)
    command.add_argument("--out", type=Path, default=Path("hepsilon-demo"), help="folder to write")
    command.add_argument(
        "--events", type=_positive, default=60_000, help="training events (%(default)s)"
    )
    command.add_argument("--seed", type=_positive, default=1, help="seed (%(default)s)")
    _json_option(command)

    command = _add_command(commands, "simulate", simulate)
    command.add_argument("kind", choices=["jets", "jets-alternative", "tracks"], help="sample")
    command.add_argument("-n", "--events", type=_positive, required=True, help="number of events")
    command.add_argument("--seed", type=_positive, default=1, help="seed (%(default)s)")
    command.add_argument("--out", type=Path, required=True, help="ROOT file to write")
    _track_options(command)

    command = _add_command(commands, "convert", convert)
    command.add_argument("file", type=Path, metavar="FILE.csv", help="px1_gen, ..., reco")
    command.add_argument("--particle", default="pi+", help="of both tracks (%(default)s)")
    command.add_argument("--out", type=Path, required=True, help="ROOT file to write")

    command = _add_command(commands, "train", train)
    _config_and_files(command)
    command.add_argument("--out", type=Path, required=True, help="model file to write")
    _json_option(command)

    command = _add_command(commands, "map", make_map)
    _config_and_files(command)
    command.add_argument("--out", type=Path, required=True, help="map file to write")
    command.add_argument(
        "--bin-by-bin",
        action="store_true",
        help="accepted / generated in the bins of all observables (tasks of events)",
    )
    _json_option(command)

    command = _add_command(commands, "closure", closure)
    _config_and_files(command)
    command.add_argument(
        "--efficiency",
        type=_named_path,
        action="append",
        required=True,
        metavar="NAME=PATH",
        help="efficiency to check; may be given several times",
    )
    command.add_argument("--out", type=Path, required=True, help="folder to write")
    command.add_argument("--workers", type=_positive, default=1, help="processes (%(default)s)")
    _inversion_options(command)
    _json_option(command)

    command = _add_command(commands, "info", info)
    command.add_argument("path", type=Path, metavar="PATH", help="model or map")
    _json_option(command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0: done, 2: bad usage or input)."""
    args = build_parser().parse_args(argv)
    handler = RichHandler(console=Console(stderr=True), show_path=False, show_time=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    try:
        # progress bars of coffea go to standard output; keep that for results
        with contextlib.redirect_stdout(sys.stderr):
            result = args.function(args)
    except (HepsilonError, OSError) as error:  # OSError: an output that cannot be written
        _say(f"hepsilon: error: {error}")
        return 2
    _show(result)
    return 0

"""Parser and exit code of the command line; :mod:`hepsilon.cli.commands` does the work."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import re
import shlex
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.logging import RichHandler

from hepsilon._system.command import COMMAND
from hepsilon._system.quiet import as_command
from hepsilon._system.workers import end_workers
from hepsilon._version import __version__
from hepsilon.cli import commands
from hepsilon.cli.output import shown
from hepsilon.errors import HepsilonError

__all__ = ["main"]

EXAMPLES = {
    "demo": "hepsilon demo --out hepsilon-demo",
    "simulate": """\
        hepsilon simulate jets -n 100000 --seed 1 --out train.root
        hepsilon simulate jets-alternative -n 50000 --seed 2 --out alternative.root
        hepsilon simulate tracks -n 1000000 --seed 1 --out phasespace.root
        hepsilon simulate tracks --amplitude rho -n 100000 --seed 2 --out rho.root
        hepsilon simulate tracks --chosen-by first.hepsilon -n 200000 --seed 3 --out more.root
        hepsilon simulate tracks --mass-range 0.5 2 --pt-scale 1.5 -n 1000 --out narrow.root""",
    "convert": "hepsilon convert deepefficiency.csv --out tracks.root",
    "init": """\
        hepsilon init nano.root > task.toml
        hepsilon init nano.root --collection Muon --out muons.toml
        hepsilon init nano.root --working-points btagging.json.gz:particleNet --out btag.toml""",
    "train": """\
        hepsilon train training/gnn.toml train.root --out gnn.hepsilon
        hepsilon train ensemble.toml train.root --executor dask --scheduler tcp://HOST:8786 \\
            --out ensemble.hepsilon
        hepsilon train ensemble.toml train.root --part 3/20 --out ensemble.hepsilon""",
    "map": """\
        hepsilon map training/gnn.toml train.root --out map.hepsilon
        hepsilon map training/tracks.toml phasespace.root --out factorised.hepsilon
        hepsilon map training/tracks.toml phasespace.root --bin-by-bin --out bins.hepsilon""",
    "recalibrate": """\
        hepsilon recalibrate gnn.hepsilon data2026.root --out gnn-2026.hepsilon""",
    "closure": """\
        hepsilon closure gnn.hepsilon test.root --out closure
        hepsilon closure training/gnn.toml test.root \\
            --efficiency map=map.hepsilon --efficiency gnn=gnn.hepsilon --out closure
        hepsilon closure gnn.hepsilon --sample ttbar=tt.root --sample 'z=z/*.root' --out closures
        hepsilon closure pythia.hepsilon test.root --against herwig.hepsilon --two-sample --out c
        hepsilon closure training/tracks.toml rho.root --efficiency net=tracks.hepsilon \\
            --efficiency bins=bins.hepsilon --reconstructed TrackReco --out closure-rho""",
    "merge": """\
        hepsilon merge closure job1 job2 job3
        hepsilon merge closure jobs/* --efficiency gnn=elsewhere/gnn.hepsilon
        hepsilon merge gnn.hepsilon gnn.hepsilon.part-*""",
    "apply": """\
        hepsilon apply gnn.hepsilon events.root --out friend.root
        hepsilon apply gnn.hepsilon 'data/*.root' --out friends --replicas updown --tags 2
        hepsilon apply gnn.hepsilon events.parquet --out friend.parquet --tags '2+@M & 1+@T'""",
    "info": """\
        hepsilon info gnn.hepsilon
        hepsilon info gnn.hepsilon --held-out
        hepsilon info closure
        hepsilon info friend.root
        hepsilon info gnn.hepsilon --toml --out gnn.toml""",
    "export": """\
        hepsilon export gnn.hepsilon --format onnx --out gnn.onnx
        hepsilon export gnn.hepsilon --format onnx --named-inputs --probabilities --out alone.onnx
        hepsilon export gnn.hepsilon --format savedmodel --out gnn
        hepsilon export mlp.hepsilon --format correctionlib --out mlp.json.gz
        hepsilon export gnn.hepsilon --format hepsilon --out gnn.hepsilon
        hepsilon export gnn.hepsilon --format triton --out model-repository
        hepsilon export map.hepsilon --format correctionlib --out map.json.gz""",
    "histograms": """\
        hepsilon histograms closure --format root --out templates.root
        hepsilon histograms ttbar=closure-tt zjets=closure-z --efficiency gnn --observable pt \\
            --category b --category light --format pyhf --out workspace.json
        hepsilon histograms closure --observable pair_mass --format combine --out card.txt
        hepsilon histograms closure --format hepdata --out submission""",
    "precision": "hepsilon precision gnn.hepsilon --precision bfloat16 --backend openvino",
}


def _show(result: Any) -> None:
    """Print what a command found: text, tables for people, plain data as JSON."""
    if isinstance(result, str):
        sys.stdout.write(result)
    elif isinstance(result, list):
        for table in result:
            Console().print(table)
    elif result is not None:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")


class _Formatter(logging.Formatter):
    """Messages in which nothing commands the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of one or more, received {text}")
    return number


def _named_path(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise argparse.ArgumentTypeError(f"expected NAME=PATH, received {text!r}")
    return name, Path(path)


def _named_path_or_file(text: str) -> tuple[str, Path]:
    """A path with a name; by default that of the file."""
    return _named_path(text) if "=" in text else (Path(text).stem, Path(text))


def _add_command(
    parsers: Any, name: str, function: Callable[[argparse.Namespace], Any]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parsers.add_parser(
        name,
        help=function.__doc__,
        description=function.__doc__,
        epilog="example:\n" + textwrap.indent(textwrap.dedent(EXAMPLES[name]), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=function, json=False, resumes="", exit_code=0, command_line="")
    return parser


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _hash_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hash-files",
        action="store_true",
        help="note the hash of the content of every file; they are read once more for it",
    )


def _init_command(parsers: Any) -> None:
    command = _add_command(parsers, "init", commands.init)
    _files(command, entries=20_000)
    command.add_argument("--out", type=Path, help="file to write (standard output)")
    command.add_argument("--collection", metavar="NAME", help="of the objects")
    command.add_argument("--level", choices=["object", "event"], help="of the task")
    command.add_argument("--passed", metavar="FIELD", help="the response")
    command.add_argument(
        "--working-points",
        metavar="FILE.json[:NAME]",
        help="cuts on the discriminant, from a file of b-tagging",
    )


def _named_sample(text: str) -> tuple[str, str]:
    name, sign, files = text.partition("=")
    if not (sign and files and re.fullmatch(r"[\w+-][\w.+-]*", name)):
        raise argparse.ArgumentTypeError(
            f"expected NAME=FILES with a name of letters, digits and _.+-, received {text!r}"
        )
    return name, files


def _files(
    parser: argparse.ArgumentParser, entries: int | None = None, *, optional: bool = False
) -> None:
    parser.add_argument(
        "files",
        nargs="*" if optional else "+",
        metavar="FILE",
        help="ROOT, parquet or CSV: a path, a quoted pattern, a folder, a URL, FILE:tree, a list "
        "(.txt), or coffea's fileset (.json)",
    )
    of = "" if entries is None else " (%(default)s)"
    parser.add_argument(
        "--max-events", type=_positive, default=entries, help=f"read no more than so many{of}"
    )


def _config_and_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="configuration")
    _files(parser)
    _executor_options(parser)


def _executor_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("reading")
    kinds = ["iterative", "futures", "dask"]
    group.add_argument("--executor", choices=kinds, help="of coffea (this process)")
    group.add_argument("--workers", type=_positive, help="processes (1, or 2 of an executor)")
    group.add_argument("--scheduler", help="address of a Dask scheduler (a local cluster)")


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
    group.add_argument(
        "--chosen-by",
        type=Path,
        metavar="EFFICIENCY",
        help="simulate more events where this model or map of events is small (none)",
    )


def _inversion_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tasks of events")
    group.add_argument("--floor", type=float, help="cutoff for E -> 0 (0.001)")
    group.add_argument("--replicas", type=_positive, help="bootstrap replicas (none)")
    group.add_argument(
        "--reconstructed", metavar="NAME", help="collection of reconstructed objects (none)"
    )


def _apply_command(parsers: Any) -> None:
    command = _add_command(parsers, "apply", commands.apply)
    command.add_argument("path", type=Path, metavar="EFFICIENCY", help="model or map")
    _files(command)
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        help="file to write (.root, .parquet), or a folder with one file for each input",
    )
    command.add_argument(
        "--replicas",
        default="none",
        metavar="N|all|updown",
        help="add replicas, or the efficiency shifted up and down by their spread (none)",
    )
    command.add_argument(
        "--tags",
        action="append",
        metavar="CONDITION",
        help="add the probability of a number of tags: 2, 2+, '2+@M & 1+@T'; several times",
    )
    command.add_argument("--rntuple", action="store_true", help="RNTuples in ROOT files")
    command.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="whose [input] is that of these files"
    )
    command.add_argument("--backend", default="auto", help="that evaluates networks (%(default)s)")
    command.add_argument("--device", help="such as cpu or gpu:0 (a GPU where there is one)")
    _json_option(command)


def _share(text: str) -> float:
    share = float(text)
    if not 0.0 < share <= 1.0:
        raise argparse.ArgumentTypeError(f"expected a share above 0, up to 1, received {text}")
    return share


def _closure_folder(text: str) -> tuple[str, Path]:
    return _named_path(text) if "=" in text else ("", Path(text))


def _histograms_command(parsers: Any) -> None:
    command = _add_command(parsers, "histograms", commands.histograms)
    command.add_argument(
        "closures",
        type=_closure_folder,
        nargs="+",
        metavar="[NAME=]FOLDER",
        help="what 'hepsilon closure --out' wrote; each is a process, called as the folder",
    )
    command.add_argument(
        "--format",
        choices=["root", "pyhf", "combine", "hepdata"],
        required=True,
        help="ROOT file, workspace for pyhf, datacard with its ROOT file, tables for HEPData",
    )
    command.add_argument("--out", type=Path, required=True, help="file or folder to write")
    command.add_argument("--efficiency", metavar="NAME", help="in the closures (the only one)")
    command.add_argument(
        "--observable", metavar="NAME", action="append", help="to write (all); several times"
    )
    command.add_argument(
        "--category", metavar="NAME", action="append", help="channels (all); several times"
    )
    command.add_argument(
        "--signal", metavar="NAME", help="process with a free strength (the first)"
    )
    command.add_argument(
        "--expected", action="store_true", help="take the sum of the processes for observed"
    )
    command.add_argument(
        "--share",
        type=_share,
        default=0.95,
        help="of the efficiency's variance that few variations hold, the rest is one more "
        "(%(default)s)",
    )
    command.add_argument(
        "--at-most",
        type=_positive,
        default=20,
        help="largest number of these (%(default)s)",
    )
    _json_option(command)


def _commands_of_files(parsers: Any) -> None:
    """Add what reads, rewrites or converts one model or map."""
    command = _add_command(parsers, "info", commands.info)
    command.add_argument(
        "path",
        type=Path,
        metavar="PATH",
        help="model, map, folder of a closure, result.npz, part of a training, or friend file",
    )
    command.add_argument("--toml", action="store_true", help="print the configuration it holds")
    command.add_argument("--out", type=Path, help="file to write that configuration to")
    command.add_argument(
        "--held-out",
        action="store_true",
        help="passed against expected in bins of every input, on events not trained on",
    )
    _json_option(command)

    command = _add_command(parsers, "export", commands.export)
    command.add_argument("path", type=Path, metavar="PATH", help="model or map")
    command.add_argument(
        "--format",
        required=True,
        help="of models onnx (a graph), hepsilon (the model with that graph in it), savedmodel (of "
        "TensorFlow) or triton (the folder of a server); of maps, and of models that look at one "
        "object at a time, correctionlib; or what an installed package adds",
    )
    command.add_argument("--out", type=Path, required=True, help="file or folder to write")
    command.add_argument(
        "--named-inputs",
        action="store_true",
        help="of onnx: features by their names, and counts, the numbers of objects of the events",
    )
    command.add_argument(
        "--probabilities", action="store_true", help="of onnx: efficiencies instead of logits"
    )

    command = _add_command(parsers, "precision", commands.precision)
    command.add_argument("path", type=Path, metavar="PATH", help="model")
    command.add_argument("--precision", default="bfloat16", help="to measure (%(default)s)")
    command.add_argument("--backend", default="auto", help="that computes in it (%(default)s)")
    command.add_argument("--device", help="such as cpu or gpu:0 (a GPU where there is one)")
    command.add_argument("--out", type=Path, help="file to write instead of PATH")
    _json_option(command)


def _recalibrate_command(parsers: Any) -> None:
    command = _add_command(parsers, "recalibrate", commands.recalibrate)
    command.add_argument("path", type=Path, metavar="EFFICIENCY", help="model or map")
    _files(command)
    command.add_argument("--out", type=Path, required=True, help="model or map to write")
    _json_option(command)


def _closure_command(parsers: Any) -> None:
    command = _add_command(parsers, "closure", commands.closure)
    command.add_argument(
        "config",
        type=Path,
        metavar="EFFICIENCY",
        help="model or map, which knows its question; or a configuration (.toml)",
    )
    _files(command, optional=True)
    command.add_argument(
        "--sample",
        type=_named_sample,
        action="append",
        metavar="NAME=FILES",
        help="instead of FILE: a sample with a closure of its own; may be given several times",
    )
    command.add_argument(
        "--efficiency",
        type=_named_path,
        action="append",
        metavar="NAME=PATH",
        help="efficiency to check; may be given several times",
    )
    command.add_argument(
        "--against",
        type=_named_path_or_file,
        action="append",
        metavar="[NAME=]PATH",
        help="efficiency from another simulation (generator, shower), to compare the others with",
    )
    command.set_defaults(usage_error=command.error)
    command.add_argument("--out", type=Path, required=True, help="folder to write")
    _executor_options(command)
    command.add_argument(
        "--working-point",
        metavar="NAME",
        help="of several working points the one that counts tags (the loosest); name or number",
    )
    command.add_argument(
        "--format",
        choices=["png", "pdf", "svg"],
        action="append",
        help="format of the pictures (png); may be given several times",
    )
    look = command.add_argument_group("plots for documents")
    look.add_argument(
        "--style",
        choices=["plain", "cms", "atlas", "lhcb"],
        default="plain",
        help="ticks, fonts and label of an experiment (%(default)s)",
    )
    look.add_argument("--label", default="", help="text behind its name, such as Preliminary")
    look.add_argument("--energy", type=float, metavar="TEV", help="centre-of-mass energy [TeV]")
    look.add_argument("--luminosity", type=float, metavar="FB", help="luminosity [1/fb]")
    command.add_argument(
        "--two-sample",
        action="store_true",
        help="let boosted trees look for what the efficiencies do not know; takes a minute or more",
    )
    command.add_argument(
        "--fail-on",
        choices=["fail", "warn"],
        help="end with the exit code 3 for this verdict, or a worse one (never)",
    )
    command.add_argument(
        "--checkpoint",
        action="store_true",
        help="keep the results of chunks beside OUT (OUT.partial, which all workers must see): the "
        "same command goes on after a kill",
    )
    _inversion_options(command)
    _json_option(command)


def _merge_command(parsers: Any) -> None:
    command = _add_command(parsers, "merge", commands.merge)
    command.add_argument("out", type=Path, metavar="OUT", help="folder or model file to write")
    command.add_argument(
        "parts",
        type=Path,
        nargs="+",
        metavar="PART",
        help="folders of closures of several jobs, or parts of one training (train --part)",
    )
    command.add_argument(
        "--efficiency",
        type=_named_path,
        action="append",
        metavar="NAME=PATH",
        help="where a model of the closures is now",
    )
    _json_option(command)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="hepsilon",
        description="Learned efficiencies for columnar HEP analysis.",
        epilog="'hepsilon COMMAND --help' shows an example of each command.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parsers = parser.add_subparsers(metavar="COMMAND", required=True)

    command = _add_command(parsers, "demo", commands.demo)
    command.add_argument("--out", type=Path, default=Path("hepsilon-demo"), help="folder to write")
    command.add_argument(
        "--events", type=_positive, default=60_000, help="training events (%(default)s)"
    )
    command.add_argument("--seed", type=_positive, default=1, help="seed (%(default)s)")
    _json_option(command)

    command = _add_command(parsers, "simulate", commands.simulate)
    command.add_argument("kind", choices=["jets", "jets-alternative", "tracks"], help="sample")
    command.add_argument("-n", "--events", type=_positive, required=True, help="number of events")
    command.add_argument("--seed", type=_positive, default=1, help="seed (%(default)s)")
    command.add_argument("--out", type=Path, required=True, help="ROOT file to write")
    _track_options(command)

    command = _add_command(parsers, "convert", commands.convert)
    command.add_argument("file", type=Path, metavar="FILE.csv", help="px1_gen, ..., reco")
    command.add_argument("--particle", default="pi+", help="of both tracks (%(default)s)")
    command.add_argument("--out", type=Path, required=True, help="ROOT file to write")

    _init_command(parsers)
    command = _add_command(parsers, "train", commands.train)
    _config_and_files(command)
    command.add_argument("--out", type=Path, required=True, help="model file to write")
    command.add_argument(
        "--refine", action="store_true", help="add boosted trees where they help (training.refine)"
    )
    command.add_argument(
        "--part",
        metavar="I/N",
        help="train only the networks of job I of N; 'hepsilon merge' makes the model of all parts",
    )
    _hash_option(command)
    _json_option(command)

    command.set_defaults(resumes="; the same command goes on after the last complete epoch")

    command = _add_command(parsers, "map", commands.make_map)
    _config_and_files(command)
    command.add_argument("--out", type=Path, required=True, help="map file to write")
    command.add_argument(
        "--bin-by-bin",
        action="store_true",
        help="accepted / generated in the bins of all observables (tasks of events)",
    )
    _hash_option(command)
    _json_option(command)

    _closure_command(parsers)
    _recalibrate_command(parsers)
    _histograms_command(parsers)
    _merge_command(parsers)
    _apply_command(parsers)
    _commands_of_files(parsers)
    return parser


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def _terminate(*_: object) -> None:
    raise _Terminated


@contextlib.contextmanager
def _sigterm_ends() -> Iterator[None]:
    """Clean up after SIGTERM, too: batch systems send it before they kill."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        The exit code: 0 for work that is done, 2 for bad usage or input, 3 for a verdict that
        ``closure --fail-on`` names, 130 after Ctrl-C, 143 after SIGTERM.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if any("\0" in text for text in argv or ()):
        parser.error("a name holds a null byte")
    args.command_line = shlex.join(["hepsilon", *(sys.argv[1:] if argv is None else argv)])
    as_command()
    token = COMMAND.set(args.command_line)
    handler = RichHandler(console=Console(stderr=True), show_path=False, show_time=False)
    handler.setFormatter(_Formatter("%(message)s"))
    logging.basicConfig(handlers=[handler])  # of others, warnings only
    logging.getLogger("hepsilon").setLevel(logging.INFO)
    try:
        # progress bars of coffea go to standard output; keep that for results
        with _sigterm_ends(), contextlib.redirect_stdout(sys.stderr):
            result = args.function(args)
    except KeyboardInterrupt as interrupt:
        ended = isinstance(interrupt, _Terminated)
        end_workers()
        commands.say(f"hepsilon: {'terminated' if ended else 'interrupted'}{args.resumes}")
        return 143 if ended else 130
    except (HepsilonError, OSError) as error:  # OSError: an output that cannot be written
        commands.say(f"hepsilon: error: {error}")
        return 2
    finally:
        COMMAND.reset(token)
    _show(result)
    exit_code: int = args.exit_code
    return exit_code

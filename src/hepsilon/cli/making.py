"""Commands that make samples, configurations, models and maps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hepsilon.cli import commands
from hepsilon.cli.options import (
    add_command,
    config_and_files,
    files_option,
    hash_option,
    json_option,
    positive,
    sides_options,
)

__all__ = ["add_making"]


def add_making(parsers: Any) -> None:
    """Add the commands that make samples, configurations, models and maps.

    Parameters
    ----------
    parsers : argparse._SubParsersAction
        Commands of the parser.
    """
    _sample_commands(parsers)
    _init_command(parsers)
    _train_command(parsers)
    _map_command(parsers)


def _sample_commands(parsers: Any) -> None:
    """Add what writes samples."""
    command = add_command(parsers, "demo", commands.demo)
    command.add_argument("--out", type=Path, default=Path("hepsilon-demo"), help="folder to write")
    command.add_argument(
        "--events", type=positive, default=60_000, help="training events (%(default)s)"
    )
    command.add_argument("--seed", type=positive, default=1, help="seed (%(default)s)")
    json_option(command)

    command = add_command(parsers, "simulate", commands.simulate)
    kinds = ["jets", "jets-alternative", "ratio-numerator", "ratio-denominator", "tracks"]
    command.add_argument("kind", choices=kinds, help="sample")
    command.add_argument("-n", "--events", type=positive, required=True, help="number of events")
    command.add_argument("--seed", type=positive, default=1, help="seed (%(default)s)")
    command.add_argument("--out", type=Path, required=True, help="ROOT file to write")
    group = command.add_argument_group("ratios", "two samples whose density ratio is known")
    overlaps = ["good", "partial", "none"]
    group.add_argument("--overlap", choices=overlaps, help="of both samples in pt (good)")
    group.add_argument("--background", type=float, help="share of it in the numerator (0)")
    _track_options(command)

    command = add_command(parsers, "convert", commands.convert)
    command.add_argument("file", type=Path, metavar="FILE.csv", help="px1_gen, ..., reco")
    command.add_argument("--particle", default="pi+", help="of both tracks (%(default)s)")
    command.add_argument("--out", type=Path, required=True, help="ROOT file to write")


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


def _init_command(parsers: Any) -> None:
    command = add_command(parsers, "init", commands.init)
    files_option(command, entries=20_000)
    command.add_argument("--out", type=Path, help="file to write (standard output)")
    command.add_argument("--collection", metavar="NAME", help="of the objects")
    command.add_argument("--level", choices=["object", "event"], help="of the task")
    command.add_argument("--passed", metavar="FIELD", help="the response")
    command.add_argument(
        "--working-points",
        metavar="FILE.json[:NAME]",
        help="cuts on the discriminant, from a file of b-tagging",
    )


def _train_command(parsers: Any) -> None:
    command = add_command(parsers, "train", commands.train)
    config_and_files(command, optional=True)
    sides_options(command)
    command.add_argument("--out", type=Path, required=True, help="model file to write")
    command.add_argument(
        "--refine", action="store_true", help="add boosted trees where they help (training.refine)"
    )
    command.add_argument(
        "--part",
        metavar="I/N",
        help="train only the networks of job I of N; 'hepsilon merge' makes the model of all parts",
    )
    hash_option(command)
    json_option(command)

    command.set_defaults(resumes="; the same command goes on after the last complete epoch")


def _map_command(parsers: Any) -> None:
    command = add_command(parsers, "map", commands.make_map)
    config_and_files(command, optional=True)
    sides_options(command)
    command.add_argument("--out", type=Path, required=True, help="map file to write")
    command.add_argument(
        "--bin-by-bin",
        action="store_true",
        help="accepted / generated in the bins of all observables (tasks of events)",
    )
    hash_option(command)
    json_option(command)

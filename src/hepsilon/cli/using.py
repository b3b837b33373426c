"""Commands for models and maps that are there: to check, apply, show and convert them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hepsilon.cli import commands
from hepsilon.cli.options import (
    add_command,
    closure_folder,
    executor_options,
    files_option,
    json_option,
    named_path,
    named_path_or_file,
    named_sample,
    positive,
    share,
    sides_options,
)

__all__ = ["add_using"]


def add_using(parsers: Any) -> None:
    """Add the commands for models and maps that are there.

    Parameters
    ----------
    parsers : argparse._SubParsersAction
        Commands of the parser.
    """
    _closure_command(parsers)
    _recalibrate_command(parsers)
    _histograms_command(parsers)
    _merge_command(parsers)
    _apply_command(parsers)
    _commands_of_files(parsers)


def _closure_command(parsers: Any) -> None:
    command = add_command(parsers, "closure", commands.closure)
    command.add_argument(
        "config",
        type=Path,
        metavar="EFFICIENCY",
        help="model, map or ratio, which knows its question; or a configuration (.toml)",
    )
    files_option(command, optional=True)
    _compared_options(command)
    command.set_defaults(usage_error=command.error)
    command.add_argument("--out", type=Path, required=True, help="folder to write")
    sides_options(command)
    executor_options(command)
    command.add_argument(
        "--working-point",
        metavar="NAME",
        help="of several working points the one that counts tags (the loosest); name or number",
    )
    _picture_options(command)
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
    json_option(command)


def _compared_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--sample",
        type=named_sample,
        action="append",
        metavar="NAME=FILES",
        help="instead of FILE: a sample with a closure of its own; may be given several times",
    )
    command.add_argument(
        "--efficiency",
        type=named_path,
        action="append",
        metavar="NAME=PATH",
        help="efficiency to check; may be given several times",
    )
    command.add_argument(
        "--against",
        type=named_path_or_file,
        action="append",
        metavar="[NAME=]PATH",
        help="efficiency from another simulation (generator, shower), to compare the others with",
    )


def _picture_options(command: argparse.ArgumentParser) -> None:
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


def _inversion_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tasks of events")
    group.add_argument("--floor", type=float, help="cutoff for E -> 0 (0.001)")
    group.add_argument("--replicas", type=positive, help="bootstrap replicas (none)")
    group.add_argument(
        "--reconstructed", metavar="NAME", help="collection of reconstructed objects (none)"
    )


def _recalibrate_command(parsers: Any) -> None:
    command = add_command(parsers, "recalibrate", commands.recalibrate)
    command.add_argument("path", type=Path, metavar="EFFICIENCY", help="model or map")
    files_option(command)
    command.add_argument("--out", type=Path, required=True, help="model or map to write")
    json_option(command)


def _histograms_command(parsers: Any) -> None:
    command = add_command(parsers, "histograms", commands.histograms)
    command.add_argument(
        "closures",
        type=closure_folder,
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
        type=share,
        default=0.95,
        help="of the efficiency's variance that few variations hold, the rest is one more "
        "(%(default)s)",
    )
    command.add_argument(
        "--at-most",
        type=positive,
        default=20,
        help="largest number of these (%(default)s)",
    )
    json_option(command)


def _merge_command(parsers: Any) -> None:
    command = add_command(parsers, "merge", commands.merge)
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
        type=named_path,
        action="append",
        metavar="NAME=PATH",
        help="where a model of the closures is now",
    )
    json_option(command)


def _apply_command(parsers: Any) -> None:
    command = add_command(parsers, "apply", commands.apply)
    command.add_argument("path", type=Path, metavar="EFFICIENCY", help="model or map")
    files_option(command)
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
    json_option(command)


def _commands_of_files(parsers: Any) -> None:
    """Add what reads, rewrites or converts one model or map."""
    command = add_command(parsers, "info", commands.info)
    command.add_argument(
        "path",
        type=Path,
        metavar="PATH",
        help="model, map, folder of a closure, result.npz, part of a training, or friend file",
    )
    command.add_argument("--toml", action="store_true", help="print the configuration it holds")
    command.add_argument(
        "--out", type=Path, help="file to write: that configuration, or with --held-out a page"
    )
    command.add_argument(
        "--held-out",
        action="store_true",
        help="passed against expected in bins of every input, on events not trained on",
    )
    json_option(command)

    command = add_command(parsers, "export", commands.export)
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

    command = add_command(parsers, "precision", commands.precision)
    command.add_argument("path", type=Path, metavar="PATH", help="model")
    command.add_argument("--precision", default="bfloat16", help="to measure (%(default)s)")
    command.add_argument("--backend", default="auto", help="that computes in it (%(default)s)")
    command.add_argument("--device", help="such as cpu or gpu:0 (a GPU where there is one)")
    command.add_argument("--out", type=Path, help="file to write instead of PATH")
    json_option(command)

r"""Truth tagging on NanoAOD: a complete coffea analysis to copy and edit.

Applies any number of efficiencies beside direct tagging and writes histograms, closure and plots.
Train a map and a network on your files first (see training/gnn.toml):

    hepsilon map   training/nanoaod.toml files/*.root --out map.hepsilon
    hepsilon train training/nanoaod.toml files/*.root --out gnn.hepsilon
    python processors/nanoaod_truth_tagging.py training/nanoaod.toml files/*.root \
        --efficiency map=map.hepsilon --efficiency gnn=gnn.hepsilon \
        --executor futures --workers 2 --out truth-tagging

The executor is coffea's: iterative (this process), futures (processes on this machine) or dask (a
cluster: --scheduler names its address, without it a local one is started).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import hepsilon
from hepsilon.closure import closure_report, run_closure
from hepsilon.processors import TaggingOutput
from hepsilon.processors.executors import add_executor_options, executor
from hepsilon.report import write_closure


def run(args: argparse.Namespace) -> TaggingOutput:
    """Run the processor over the files and write all results."""
    config = hepsilon.load_config(args.config)
    efficiencies = {
        name: hepsilon.load(path) for name, path in (e.split("=", 1) for e in args.efficiency)
    }
    with executor(args.executor, args.workers, args.scheduler) as chosen:
        output = run_closure(
            args.files,
            config.task,
            efficiencies,
            config=config.input,
            executor=chosen,
            chunksize=args.chunksize,
        )
    report = closure_report(output, config.task, efficiencies, args.files)
    write_closure(args.out, output, report)
    return output


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="configuration (TOML)")
    parser.add_argument("files", nargs="+", type=Path, help="NanoAOD files")
    parser.add_argument("--efficiency", action="append", default=[], metavar="NAME=PATH")
    add_executor_options(parser)
    parser.add_argument("--out", type=Path, default=Path("truth-tagging"))
    return parser.parse_args()


if __name__ == "__main__":
    run(parse_arguments())

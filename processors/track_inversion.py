r"""Efficiency inversion of simulated tracks: a complete coffea analysis to copy and edit.

Corrects selected events with 1/E from any number of efficiencies at once, for all observables, and
compares with what was generated. Make the samples, train, and fill the baselines first:

    hepsilon simulate tracks -n 200000 --seed 1 --out phasespace.root
    hepsilon simulate tracks --amplitude rho -n 100000 --seed 2 --out rho.root
    hepsilon train training/tracks.toml phasespace.root --out tracks.hepsilon
    hepsilon map   training/tracks.toml phasespace.root --out factorised.hepsilon
    hepsilon map   training/tracks.toml phasespace.root --bin-by-bin --out bins.hepsilon
    python processors/track_inversion.py training/tracks.toml rho.root \
        --efficiency network=tracks.hepsilon --efficiency factorised=factorised.hepsilon \
        --efficiency bins=bins.hepsilon --executor futures --replicas 100 --luminosity 50 \
        --out rho-inversion

The executor is coffea's: iterative (this process), futures (processes on this machine) or dask (a
cluster: --scheduler names its address, without it a local one is started).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import hepsilon
from hepsilon.closure import closure_report, run_closure
from hepsilon.plotting import plot_cross_section
from hepsilon.processors import InversionOutput
from hepsilon.processors.executors import add_executor_options, executor
from hepsilon.report import save_figure, write_closure
from hepsilon.uncertainty import covariance


def run(args: argparse.Namespace) -> InversionOutput:
    """Run the processor over the files and write all results."""
    config = hepsilon.load_config(args.config)
    efficiencies = {
        name: hepsilon.load_correction(path)
        for name, path in (e.split("=", 1) for e in args.efficiency)
    }
    with executor(args.executor, args.workers, args.scheduler) as chosen:
        output = run_closure(
            args.files,
            config.task,
            efficiencies,
            config=config.input,
            executor=chosen,
            chunksize=args.chunksize,
            reconstructed=args.reconstructed,
            replicas=args.replicas,
        )
    report = closure_report(output, config.task, efficiencies, args.files)
    write_closure(args.out, output, report)
    section = plot_cross_section(output, "M", args.luminosity)
    save_figure(section, args.out / "cross_section_M.png")
    for name in efficiencies if args.replicas > 1 else ():
        errors = np.sqrt(np.diag(covariance(output.replicas["M"], name)))
        print(f"{name}: bootstrap errors of M from {errors.min():.1f} to {errors.max():.1f} events")
    return output


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="configuration (TOML)")
    parser.add_argument("files", nargs="+", type=Path, help="files of simulate tracks")
    parser.add_argument("--efficiency", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--reconstructed", default="TrackReco", help="collection (%(default)s)")
    parser.add_argument("--replicas", type=int, default=0, help="bootstrap replicas")
    parser.add_argument("--luminosity", type=float, help="integrated, in 1/nb")
    add_executor_options(parser)
    parser.add_argument("--out", type=Path, default=Path("track-inversion"))
    return parser.parse_args()


if __name__ == "__main__":
    run(parse_arguments())

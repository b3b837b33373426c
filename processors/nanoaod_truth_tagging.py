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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coffea import processor

import hepsilon
from hepsilon.closure import closure_report, run_closure
from hepsilon.execution import local_executor
from hepsilon.report import write_closure


@contextmanager
def coffea_executor(kind: str, workers: int, scheduler: str | None) -> Iterator[Any]:
    """Give the chosen coffea executor."""
    if kind != "dask":
        yield local_executor(1 if kind == "iterative" else workers)
        return
    from dask.distributed import Client, LocalCluster

    if scheduler is not None:
        with Client(scheduler) as client:
            yield processor.DaskExecutor(client=client)
        return
    # one thread per worker: TensorFlow and numba are parallel by themselves
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield processor.DaskExecutor(client=client)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the processor over the files and write all results."""
    config = hepsilon.load_config(args.config)
    efficiencies = {
        name: hepsilon.load(path) for name, path in (e.split("=", 1) for e in args.efficiency)
    }
    with coffea_executor(args.executor, args.workers, args.scheduler) as executor:
        output = run_closure(
            args.files,
            config.task,
            efficiencies,
            config=config.input,
            executor=executor,
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
    parser.add_argument("--executor", choices=["iterative", "futures", "dask"], default="futures")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler", help="address of a Dask scheduler")
    parser.add_argument("--chunksize", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=Path("truth-tagging"))
    return parser.parse_args()


if __name__ == "__main__":
    run(parse_arguments())

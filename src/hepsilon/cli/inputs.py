"""Arguments that several commands have: what reads the files, and artifacts among other files."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from hepsilon._system.outputs import check_outputs
from hepsilon.errors import ConfigError

__all__ = ["check_out", "executor_of", "inputs_of", "is_artifact", "training_columns"]

ENDING = ".hepsilon"


def is_artifact(path: Path) -> bool:
    """Tell by the ending or the content whether a file is a model or map, and no configuration.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool
        True for an artifact, and for what is called one: who reads it says what is the matter.
    """
    return path.suffix == ENDING or (path.is_file() and zipfile.is_zipfile(path))


def _kind(args: argparse.Namespace) -> str:
    """Kind of coffea's executor: the one that was asked for, or what the other options need."""
    if args.scheduler is not None and args.executor not in (None, "dask"):
        raise ConfigError(f"--scheduler is for --executor dask, received {args.executor!r}")
    if args.executor is not None:
        return str(args.executor)
    if args.scheduler is not None:
        return "dask"
    return "futures" if (args.workers or 1) > 1 else "iterative"


@contextmanager
def executor_of(args: argparse.Namespace) -> Iterator[Any]:
    """Give the executor that the options ask for.

    Parameters
    ----------
    args : argparse.Namespace
        Options ``executor``, ``workers`` and ``scheduler``.

    Yields
    ------
    coffea executor
        The executor; what was started for it ends behind.
    """
    from hepsilon.processors.executors import executor

    with executor(_kind(args), args.workers or 2, args.scheduler) as chosen:
        yield chosen


def check_out(args: argparse.Namespace, kind: str, *more: tuple[str | Path, str]) -> None:
    """Refuse outputs that are inputs, each other, or other kinds of files, before any work.

    Parameters
    ----------
    args : argparse.Namespace
        Options of the command, of which ``out`` is written, and files and configurations are read.
    kind : str
        Kind of the output (see :mod:`hepsilon._system.outputs`).
    *more : tuple of (path, str)
        Further outputs, with their kinds.
    """
    inputs = inputs_of(args)
    check_outputs({args.out: kind}, inputs)
    check_outputs({args.out: kind} | dict(more), inputs)


def inputs_of(args: argparse.Namespace) -> list[str | Path]:
    """All files that a command reads.

    Parameters
    ----------
    args : argparse.Namespace
        Its options.

    Returns
    -------
    list of str or Path
        Paths and addresses.
    """
    from hepsilon.data.sources import find_sources

    named = [getattr(args, name, None) for name in ("config", "path", "file")]
    inputs: list[str | Path] = [path for path in named if path is not None]
    inputs += [path for _, path in getattr(args, "efficiency", None) or ()]
    for name in ("files", "numerator", "denominator"):
        files = getattr(args, name, None)
        inputs += [source.path for source in find_sources(files)] if files else []
    return inputs


def training_columns(args: argparse.Namespace, config: Any, executor: Any = None) -> Any:
    """Read the training columns: in this process, or by the workers that the options ask for.

    Parameters
    ----------
    args : argparse.Namespace
        Files and options of the command.
    config : Config
        The task, and places of the columns.
    executor : coffea executor, optional
        Executor that was started already.

    Returns
    -------
    TrainingColumns
        Columns of all events with objects.
    """
    folder = args.out.absolute().parent  # has room for what does not fit into memory
    if _kind(args) == "iterative":
        from hepsilon.data.dataset import read_columns

        return read_columns(args.files, config, folder=folder, max_events=args.max_events)
    from hepsilon.processors.distributed_reading import read_columns_with

    given = nullcontext(executor) if executor is not None else executor_of(args)
    with given as chosen:
        return read_columns_with(
            chosen, args.files, config, max_events=args.max_events, folder=folder
        )

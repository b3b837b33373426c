"""Options that several commands have, and what their values are."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hepsilon.cli.examples import EXAMPLES

__all__ = [
    "FilesAnywhere",
    "add_command",
    "closure_folder",
    "config_and_files",
    "executor_options",
    "files_option",
    "hash_option",
    "json_option",
    "named_path",
    "named_path_or_file",
    "named_sample",
    "positive",
    "share",
    "sides_options",
]


class FilesAnywhere(argparse.ArgumentParser):
    """Parser whose files, where it goes without, may stand behind the options as well."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Take files that argparse leaves over: it gives none to a list that may be empty.

        Parameters
        ----------
        args : sequence of str, optional
            Arguments.
        namespace : argparse.Namespace, optional
            Where they are put.

        Returns
        -------
        namespace : argparse.Namespace
            Arguments by name.
        rest : list of str
            Arguments that are not known.
        """
        found, rest = super().parse_known_args(args, namespace)
        files = getattr(found, "files", None)
        if files == [] and rest and not any(text.startswith("-") for text in rest):
            found.files, rest = rest, []
        return found, rest


def positive(text: str) -> int:
    """Read a number of one or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of one or more, received {text}")
    return number


def share(text: str) -> float:
    """Read a share above 0."""
    share = float(text)
    if not 0.0 < share <= 1.0:
        raise argparse.ArgumentTypeError(f"expected a share above 0, up to 1, received {text}")
    return share


def named_path(text: str) -> tuple[str, Path]:
    """Read NAME=PATH."""
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise argparse.ArgumentTypeError(f"expected NAME=PATH, received {text!r}")
    return name, Path(path)


def named_path_or_file(text: str) -> tuple[str, Path]:
    """A path with a name; by default that of the file."""
    return named_path(text) if "=" in text else (Path(text).stem, Path(text))


def closure_folder(text: str) -> tuple[str, Path]:
    """Read the folder of a closure, with or without a name."""
    return named_path(text) if "=" in text else ("", Path(text))


def named_sample(text: str) -> tuple[str, str]:
    """Read NAME=FILES, with a name that a folder may have."""
    name, sign, files = text.partition("=")
    if not (sign and files and re.fullmatch(r"[\w+-][\w.+-]*", name)):
        raise argparse.ArgumentTypeError(
            f"expected NAME=FILES with a name of letters, digits and _.+-, received {text!r}"
        )
    return name, files


def add_command(
    parsers: Any, name: str, function: Callable[[argparse.Namespace], Any]
) -> argparse.ArgumentParser:
    """Add a command, whose help is the docstring of its function, with its example.

    Parameters
    ----------
    parsers : argparse._SubParsersAction
        Commands of the parser.
    name : str
        Its name.
    function : callable
        What it does with the arguments.

    Returns
    -------
    argparse.ArgumentParser
        Parser of this command.
    """
    parser: argparse.ArgumentParser = parsers.add_parser(
        name,
        help=function.__doc__,
        description=function.__doc__,
        epilog="example:\n" + textwrap.indent(textwrap.dedent(EXAMPLES[name]), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=function, json=False, resumes="", exit_code=0, command_line="")
    return parser


def json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def hash_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--hash-files``."""
    parser.add_argument(
        "--hash-files",
        action="store_true",
        help="note the hash of the content of every file; they are read once more for it",
    )


def files_option(
    parser: argparse.ArgumentParser, entries: int | None = None, *, optional: bool = False
) -> None:
    """Add the files, and how many of their events are read.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of a command.
    entries : int, optional
        Number that are read by default; all of them without it.
    optional : bool, default False
        Whether the command also goes without files.
    """
    parser.add_argument(
        "files",
        nargs="*" if optional else "+",
        metavar="FILE",
        help="ROOT, parquet or CSV: a path, a quoted pattern, a folder, a URL, FILE:tree, a list "
        "(.txt), or coffea's fileset (.json)",
    )
    of = "" if entries is None else " (%(default)s)"
    parser.add_argument(
        "--max-events", type=positive, default=entries, help=f"read no more than so many{of}"
    )


def sides_options(parser: argparse.ArgumentParser) -> None:
    """Add the two samples of a ratio.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of a command.
    """
    group = parser.add_argument_group("ratio of two samples", "of a task with [task.ratio]")
    for side in ("numerator", "denominator"):
        group.add_argument(
            f"--{side}", nargs="+", metavar="FILE", help=f"files of the {side} (task.ratio.{side})"
        )


def config_and_files(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add a configuration, files, and who reads them.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of a command.
    optional : bool, default False
        Whether the command also goes without files.
    """
    parser.add_argument("config", type=Path, metavar="CONFIG.toml", help="configuration")
    files_option(parser, optional=optional)
    executor_options(parser)


def executor_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of coffea's executors."""
    group = parser.add_argument_group("reading")
    kinds = ["iterative", "futures", "dask"]
    group.add_argument("--executor", choices=kinds, help="of coffea (this process)")
    group.add_argument("--workers", type=positive, help="processes (1, or 2 of an executor)")
    group.add_argument("--scheduler", help="address of a Dask scheduler (a local cluster)")

"""Parser and exit code of the command line; :mod:`hepsilon.cli.commands` does the work."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.logging import RichHandler

from hepsilon._system.command import COMMAND
from hepsilon._system.quiet import as_command
from hepsilon._system.workers import end_workers
from hepsilon._version import __version__
from hepsilon.cli import commands
from hepsilon.cli.making import add_making
from hepsilon.cli.options import FilesAnywhere
from hepsilon.cli.output import shown
from hepsilon.cli.using import add_using
from hepsilon.errors import HepsilonError

__all__ = ["main"]


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="hepsilon",
        description="Learned efficiencies for columnar HEP analysis.",
        epilog="'hepsilon COMMAND --help' shows an example of each command.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=FilesAnywhere)
    add_making(parsers)
    add_using(parsers)
    return parser


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

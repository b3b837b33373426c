"""The command line as a module of Python."""

import subprocess
import sys

from hepsilon import __version__


def test_python_runs_the_command_line() -> None:
    call = [sys.executable, "-m", "hepsilon", "--version"]
    found = subprocess.run(call, capture_output=True, text=True, check=True)
    assert found.stdout.split()[-1] == __version__

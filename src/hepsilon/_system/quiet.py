"""Commands without the lines that TensorFlow's libraries print while they start."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from hepsilon._system.resources import has_nvidia_gpu

__all__ = ["as_command", "quiet_start"]

COMMAND = "HEPSILON_QUIET_START"
"""Environment variable of our own commands; their worker processes inherit it."""

SOURCES = (
    rb"((port|cpu_feature_guard|cudart_stub|cuda_[a-z_]+|computation_placer|service)\.cc"
    rb"|device_compiler\.h):\d+\]"
)
START_UP = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\) is called|[IW]\d{4} .*\b" + SOURCES
)
"""Lines that tell of oneDNN, of CPU features and of the start of XLA."""

NO_GPU = re.compile(rb"E\d{4} .*\b" + SOURCES + rb"|.*\bcuInit\b")
"""Errors that tell of a GPU that is not there; with a driver they are worth reading."""


def as_command() -> None:
    """Mark this process, and those that it starts, as one of our commands."""
    os.environ.setdefault(COMMAND, "1")


@contextmanager
def quiet_start() -> Iterator[None]:
    """Leave the start-up lines out of standard error, in our commands only.

    The libraries write them from C++ before any of their settings counts, so the file descriptor
    itself is diverted meanwhile. Every other line is written out afterwards, also after an error.
    """
    if os.environ.get(COMMAND, "0") in {"", "0"}:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as diverted:
            os.dup2(diverted.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(kept, 2)
                diverted.seek(0)
                noise = [START_UP] if has_nvidia_gpu() else [START_UP, NO_GPU]
                others = [line for line in diverted if not any(p.match(line) for p in noise)]
                os.write(2, b"".join(others))
    finally:
        os.close(kept)

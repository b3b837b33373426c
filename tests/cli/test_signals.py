"""Ctrl-C and SIGTERM end a command with one line; no worker process is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from hepsilon.simulation import write_jets
from tests.helpers.processes import ROOT

pytestmark = pytest.mark.slow

SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from tests.helpers.slow_process import use
from hepsilon.cli.parser import main
use()
sys.exit(main(sys.argv[1:]))
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_signals_end_the_command_and_its_workers(toy_map, tmp_path: Path, number: int, code: int):
    toy_map.save(tmp_path / "map.hepsilon")
    write_jets(tmp_path / "toy.root", 50, seed=1)
    write_jets(tmp_path / "toz.root", 50, seed=2)
    seen = tmp_path / "seen"
    seen.mkdir()
    files = [str(tmp_path / f"{name}.root") for name in ("toy", "toz")]
    arguments = ["closure", str(tmp_path / "map.hepsilon"), *files, "--out", str(tmp_path / "out")]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments, "--workers", "2"],
        env=os.environ | {"SEEN": str(seen), "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: len(list(seen.iterdir())) == 2 or process.poll() is not None)
    workers = [int(each.name) for each in seen.iterdir()]
    assert len(workers) == 2, process.communicate()[1]
    process.send_signal(number)  # to the command alone, as a batch system does
    err = said_until_the_end(process, number)
    assert process.returncode == code, err
    if code > 0:
        word = "terminated" if number == signal.SIGTERM else "interrupted"
        assert f"hepsilon: {word}" in err
        assert "Traceback" not in err
    wait_for(lambda: not any(map(alive, workers)))
    assert not any(map(alive, workers))
    assert not (tmp_path / "out" / "closure.json").exists()


def said_until_the_end(process, number: int) -> str:
    """Standard error; an interrupt that arrives in a destructor is lost by Python: once more."""
    try:
        return process.communicate(timeout=30)[1]
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        return process.communicate(timeout=60)[1]


def wait_for(condition) -> None:
    """Look again and again; a loaded machine starts processes for minutes."""
    end = monotonic() + 300
    while not condition() and monotonic() < end:
        sleep(0.05)

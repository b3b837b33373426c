"""One training at a time has the state beside an artifact."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hepsilon import TrainingError
from hepsilon.training.reservation import begin, check_free, reserved


class EndedError(Exception):
    pass


def interrupted(out: Path, fingerprint: str = "a") -> None:
    with reserved(out) as folder:
        begin(folder, fingerprint)
        (folder / "member-0.npz").write_text(fingerprint)
        raise EndedError


def state_of(out: Path) -> list[str]:
    folder = out.with_name(out.name + ".partial")
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "model.hepsilon"


def test_the_state_is_gone_once_the_training_has_ended(out: Path) -> None:
    with reserved(out) as folder:
        begin(folder, "a")
        (folder / "member-0.npz").touch()
    assert not list(out.parent.iterdir())


def test_a_state_is_kept_for_the_same_training_only(
    out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(EndedError):
        interrupted(out)
    with pytest.raises(EndedError):
        interrupted(out)
    assert state_of(out) == ["fingerprint", "lock", "member-0.npz"]
    assert not caplog.messages
    with caplog.at_level(logging.WARNING, "hepsilon"), reserved(out) as folder:
        begin(folder, "b")
        assert not (folder / "member-0.npz").exists()
    assert "of another training" in caplog.text


def test_an_error_before_any_state_leaves_nothing(out: Path) -> None:
    def end_early() -> None:
        with reserved(out) as folder:
            begin(folder, "a")
            raise EndedError

    with pytest.raises(EndedError):
        end_early()
    assert not list(out.parent.iterdir())


WAIT = """
import sys; from pathlib import Path
from hepsilon.training.reservation import begin, reserved
with reserved(Path(sys.argv[1])) as folder:
    begin(folder, "a")
    (folder / "member-0.npz").touch()
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_second_training_says_at_once_that_there_is_another(out: Path) -> None:
    check_free(out)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", WAIT, out], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        with pytest.raises(TrainingError, match="another training has its state in"):
            check_free(out)
        with pytest.raises(TrainingError, match="another training"), reserved(out):
            pass
        assert state_of(out) == ["fingerprint", "lock", "member-0.npz"]
        other.kill()
    check_free(out)  # nobody has it any more
    with reserved(out) as folder:
        begin(folder, "a")
        assert (folder / "member-0.npz").exists()


def test_a_kill_in_the_last_clean_up_does_not_block_the_next_training(out: Path) -> None:
    code = WAIT.replace("    sys.stdin.read()", "").replace(
        "with reserved",
        "import os, shutil, signal\n"
        "def rmtree(path): (path / 'lock').unlink(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "shutil.rmtree = rmtree\nwith reserved",
    )
    done = subprocess.run([sys.executable, "-c", code, out], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list(out.parent.iterdir())) == 1
    with reserved(out) as folder:
        begin(folder, "a")
    assert not list(out.parent.iterdir())


def test_a_folder_of_somebody_else_is_left_alone(out: Path) -> None:
    folder = out.with_name(out.name + ".partial")
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")
    with pytest.raises(TrainingError, match="is not the state of a training"), reserved(out):
        pass
    assert (folder / "thesis.tex").read_text() == "precious"

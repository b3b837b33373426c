from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hepsilon._system.files import atomic_folder, atomic_path, sha256


class InterruptedWritingError(Exception):
    pass


def interrupted(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise InterruptedWritingError


def test_the_file_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"


def test_nothing_else_is_left_behind(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "model.zip") as temporary:
        temporary.write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == ["model.zip"]


def test_no_pattern_of_data_files_matches_the_temporary_name(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "events.root") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.exists()
        assert not [*tmp_path.glob("*.root"), *tmp_path.glob("events*")]
        assert temporary.suffix == ".tmp"


def killed(path: Path, work: str) -> None:
    """Let a process write, and die by SIGKILL in the middle."""
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from hepsilon._system.files import atomic_folder, atomic_path\n"
        f"path = Path({str(path)!r})\n{work}"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


HALF = """
with atomic_path(path) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_kill_leaves_is_removed_by_the_next_that_writes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "events.root"
    path.write_text("old")
    killed(path, HALF)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / ".events.root.mine.tmp").write_text("of somebody else")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == [".events.root.mine.tmp", "events.root"]


@pytest.mark.parametrize("name", ["", ".", "folder"])
def test_a_folder_is_no_file_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="is a folder"), atomic_path(Path(name)):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


# folders


def write_all(path: Path, text: str, *names: str) -> None:
    with atomic_folder(path) as folder:
        for name in names:
            (folder / name).write_text(text)


def contents(path: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in path.iterdir()}


def test_a_folder_changes_as_a_whole_and_keeps_what_else_it_holds(tmp_path: Path) -> None:
    write_all(tmp_path, "old", "a", "b")
    (tmp_path / "notes").write_text("mine")
    write_all(tmp_path, "new", "a", "c")
    assert contents(tmp_path) == {"a": "new", "b": "old", "c": "new", "notes": "mine"}


def test_a_folder_whose_writing_fails_does_not_change(tmp_path: Path) -> None:
    write_all(tmp_path, "old", "a", "b")

    def fail() -> None:
        with atomic_folder(tmp_path) as folder:
            (folder / "a").write_text("new")
            raise InterruptedWritingError

    with pytest.raises(InterruptedWritingError):
        fail()
    assert contents(tmp_path) == {"a": "old", "b": "old"}


WRITE = """
with atomic_folder(path) as folder:
    (folder / "a").write_text("new")
    (folder / "b").write_text("new")
    {inside}
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def test_a_kill_while_a_folder_is_written_changes_nothing(tmp_path: Path) -> None:
    write_all(tmp_path, "old", "a", "b")
    killed(tmp_path, WRITE.format(inside=KILL))
    assert contents_of_files(tmp_path) == {"a": "old", "b": "old"}
    write_all(tmp_path, "newer", "a")
    assert contents(tmp_path) == {"a": "newer", "b": "old"}


def test_a_kill_between_the_files_of_a_folder_is_finished_by_the_next_call(tmp_path: Path) -> None:
    write_all(tmp_path, "old", "a", "b", "c")
    second = (
        "original = Path.replace\n"
        "def replace(self, target):\n"
        f"    if self.name == 'b': {KILL}\n"
        "    return original(self, target)\n"
        "Path.replace = replace\n"
    )
    killed(tmp_path, second + WRITE.format(inside="pass"))
    assert contents_of_files(tmp_path) == {"a": "new", "b": "old", "c": "old"}
    write_all(tmp_path, "newer", "c")
    assert contents(tmp_path) == {"a": "new", "b": "new", "c": "newer"}


def contents_of_files(path: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in path.iterdir() if each.is_file()}


def test_missing_folders_are_made(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a" / "b" / "model") as temporary:
        temporary.touch()
    assert (tmp_path / "a" / "b" / "model").is_file()


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InterruptedWritingError):
        interrupted(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_text("old")
    with pytest.raises(InterruptedWritingError):
        interrupted(path)
    assert path.read_text() == "old"


def test_two_writers_do_not_share_a_temporary_name(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with atomic_path(path) as first, atomic_path(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")


def test_sha256_of_more_than_one_block(tmp_path: Path) -> None:
    path = tmp_path / "data"
    content = bytes(range(256)) * 5000
    path.write_bytes(content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()


FOLDER = """
import sys, time
from pathlib import Path
from hepsilon._system.files import atomic_folder
out, own = Path(sys.argv[1]), sys.argv[2]
for number in range(40):
    with atomic_folder(out) as folder:
        for name in "abc":
            (folder / name).write_text(f"{own}{number}")
"""


def test_two_processes_never_leave_a_mixture(tmp_path: Path) -> None:
    """Each folder is that of one process, at whatever moment one looks at it; none fails."""
    out = tmp_path / "out"
    processes = [
        subprocess.Popen([sys.executable, "-c", FOLDER, str(out), own], stderr=subprocess.PIPE)
        for own in ("x", "y")
    ]
    for process in processes:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    assert len({(out / name).read_text() for name in "abc"}) == 1
    assert sorted(each.name for each in out.iterdir()) == ["a", "b", "c"]


def test_a_folder_in_use_is_no_leftover(tmp_path: Path) -> None:
    with atomic_folder(tmp_path) as one:
        (one / "a").write_text("one")
        with atomic_folder(tmp_path) as other:
            (other / "a").write_text("other")
        assert one.is_dir()
    assert (tmp_path / "a").read_text() == "one"

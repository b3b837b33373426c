"""Writers of every kind of file, killed before each of their steps, for tests/_system/test_kills.

A small process (no Keras) imports all of them once. Every kill is one of a fork of it: an audit
hook counts what is opened, renamed and removed, and each fsync, and ends the fork before one of
these by SIGKILL; before an fsync the file is cut in half first, as a disk may leave it.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

STEPS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"}
Write = Callable[[Path, int], Any]


def raw(path: Path) -> Any:
    """Content of a file, or of all files below a folder; of archives that of their members."""
    if path.is_dir():
        every = sorted(
            each for each in path.rglob("*") if each.is_file() and not hidden(each, path)
        )
        return {str(each.relative_to(path)): raw(each) for each in every}
    content = path.read_bytes()
    if not content.startswith(b"PK"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def rows(path: Path) -> Any:
    """Content of a ROOT file, which has other times and identities in every writing."""
    import uproot

    with uproot.open(path) as file:
        found = {name: file[name] for name in file.keys(recursive=True, cycle=False)}
        return {
            name: each.arrays().to_list() if hasattr(each, "arrays") else str(each.to_numpy())
            for name, each in found.items()
            if hasattr(each, "arrays") or hasattr(each, "to_numpy")
        }


def hidden(path: Path, folder: Path) -> bool:
    """Whether a file lies under a name that no pattern of data matches."""
    return any(p.startswith(".") and p.endswith(".tmp") for p in path.relative_to(folder).parts)


@dataclass(frozen=True)
class Writer:
    """What writes a file or folder, in two versions."""

    module: str
    target: str
    write: Write
    read: Callable[[Path], Any] = raw
    mixed: bool = False
    """Whether the files of a folder change one after the other, each of them whole."""
    extra: tuple[str, ...] = ()
    """Other names that may be there afterwards."""


@dataclass
class Outcome:
    """What became of the kills of one writer."""

    name: str
    kills: int = 0
    old: int = 0
    new: int = 0
    faults: list[str] = field(default_factory=list)


class Killer:
    """Counts steps, and ends this process before one of them."""

    def __init__(self, folder: Path, at: int | None) -> None:
        self.folder, self.at, self.count = str(folder), at, 0
        self.fsync = os.fsync
        os.fsync = self.synced
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take a step, if it is one."""
        if event in STEPS and (event != "open" or self.folder in str(arguments[0])):
            self.step()

    def synced(self, descriptor: int) -> None:
        """Half of the file is on the disk when a kill comes."""
        if self.count == self.at:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        self.step()
        self.fsync(descriptor)

    def step(self) -> None:
        """One step more."""
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


def forked(folder: Path, work: Callable[[], Any], at: int | None) -> int:
    """Number of steps of the work in a fork; -1 if it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            killer = Killer(folder, at)
            work()
            os.write(writer, str(killer.count).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        found = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        return -1
    if not found:
        raise RuntimeError("the writer failed in a fork")
    return int(found)


def is_allowed(found: Any, old: Any, new: Any, writer: Writer) -> bool:
    """Whether it is what was there, or what was to be there."""
    if writer.mixed and isinstance(found, dict):
        # a file that is in one version only may be there or not yet
        return all(each in (old.get(name), new.get(name)) for name, each in found.items()) and all(
            name in found for name in old
        )
    return bool(found in (old, new))


def killed_everywhere(name: str, writer: Writer) -> Outcome:
    """Kill a writer before each step, and look at what is there, and at the next run."""
    outcome = Outcome(name)
    with tempfile.TemporaryDirectory() as given:
        root = Path(given)
        versions = []
        for version in (1, 2):
            (root / f"v{version}").mkdir()
            writer.write(root / f"v{version}", version)
            versions.append(writer.read(root / f"v{version}" / writer.target))
        old, new = versions
        assert old != new, name
        at = 0
        while True:
            folder = root / f"kill{at}"
            shutil.copytree(root / "v1", folder)
            names = names_in(folder) | names_in(root / "v2")
            found = forked(folder, lambda folder=folder: writer.write(folder, 2), at)
            if found >= 0:  # there are no more steps
                return outcome
            outcome.kills += 1
            text = look(writer, folder, old, new, outcome)
            strange = {n for n in names_in(folder) - names if not is_leftover(n, writer)}
            if strange:
                text += f" names {sorted(strange)}"
            writer.write(folder, 2)
            if writer.read(folder / writer.target) != new:
                text += " the next run gave another result"
            left = {n for n in names_in(folder) if ".tmp" in n}
            if left:
                text += f" left {sorted(left)}"
            if text:
                outcome.faults.append(f"step {at}:{text}")
            at += 1


def look(writer: Writer, folder: Path, old: Any, new: Any, outcome: Outcome) -> str:
    """What is wrong with the target after a kill."""
    try:
        content = writer.read(folder / writer.target)
    except Exception as error:
        return f" the target cannot be read: {error!r}"
    outcome.old += content == old
    outcome.new += content == new
    return "" if is_allowed(content, old, new, writer) else " the target is neither old nor new"


def names_in(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*")}


def is_leftover(name: str, writer: Writer) -> bool:
    """Whether a name is a temporary one, or that of a state that the next run goes on from."""
    parts = Path(name).parts
    hidden_part = any(part.startswith(".") and part.endswith(".tmp") for part in parts)
    return hidden_part or parts[0] in writer.extra


# what they write


@cache
def toy() -> SimpleNamespace:
    """A map, jets, a closure: made once, in memory or in a folder of the process."""
    from hepsilon import EfficiencyMap
    from hepsilon.closure import closure_report
    from hepsilon.closure.merging import Question
    from hepsilon.config.file import InputConfig
    from hepsilon.config.learning import MapConfig
    from hepsilon.config.verdict import VerdictConfig
    from hepsilon.data.dataset import read_columns
    from hepsilon.histograms import JET_OBSERVABLES
    from hepsilon.processors import TruthTagging
    from hepsilon.simulation import write_jets
    from tests.helpers.toys import TASK, events_of, mlp_config, tagged_jets

    path = write_jets(Path(HOME) / "toy.root", 400, seed=1)
    columns = read_columns([path], mlp_config(), progress=False)
    outputs, maps = [], []
    for edge in (100.0, 150.0):
        axes = {"pt": {"edges": (20.0, edge, 600.0)}}
        maps.append(EfficiencyMap.fit(TASK, columns, MapConfig.model_validate({"axes": axes})))
        given = {"map": maps[-1]}
        processor = TruthTagging(TASK, given, observables=JET_OBSERVABLES[:1])
        outputs.append(processor.process(events_of(tagged_jets([2, 3, 1])))["sample"])
    reports = [
        closure_report(output, TASK, {"map": own}, ["a.root"])
        for output, own in zip(outputs, maps, strict=True)
    ]
    question = Question(TASK, InputConfig(schema="nanoaod"), {}, VerdictConfig(), {}, {})
    return SimpleNamespace(
        path=path, columns=columns, maps=maps, outputs=outputs, reports=reports, question=question
    )


def jets(folder: Path, version: int) -> None:
    from hepsilon.simulation import write_jets

    write_jets(folder / "out.root", 20, seed=version)


def artifact(folder: Path, version: int) -> None:
    toy().maps[version - 1].save(folder / "map.hepsilon")


def friend(ending: str, *, rntuple: bool = False) -> Write:
    def write(folder: Path, version: int) -> None:
        from hepsilon.processors.friend_files import Columns, friend_file

        entries = {"event": np.arange(5), "eps": np.full(5, 0.1 * version)}
        with friend_file(folder / f"friend{ending}", "Events", rntuple=rntuple) as file:
            for _ in range(2):
                file.write(Columns(entries, {}, None, "Jet"))
            file.describe(json.dumps({"version": version}))

    return write


def closure(folder: Path, version: int) -> None:
    from hepsilon.report import writer

    writer._draw = lambda *_: []  # pictures and the page are written as any others, and slowly
    writer.page = lambda *_: f"page {version}"
    given = toy().outputs[version - 1], toy().reports[version - 1]
    writer.write_closure(folder / "closure", *given, question=toy().question)


def samples(folder: Path, version: int) -> None:
    from hepsilon.report import write_samples
    from hepsilon.report.page import Origin

    origin = Origin("command", date=datetime(2026, 1, version, tzinfo=UTC))
    write_samples(folder / "samples", {"one": toy().reports[version - 1]}, origin)


def partial_result(folder: Path, version: int) -> None:
    from hepsilon.processors.checkpoints import Checkpointed, checkpoint_folder
    from hepsilon.processors.run_record import RunRecord

    kept = checkpoint_folder(folder / "kept", f"run {version}")
    part = SimpleNamespace(
        fileuuid="1",
        treename="Events",
        entrystart=0,
        entrystop=version,
        source=SimpleNamespace(dataset="a", weight=1.0),
    )
    Checkpointed(lambda _: {"run": RunRecord(seconds=float(version))}, kept)(part)


def kept_of(path: Path) -> Any:
    """The run that the results are of: none of another run is there."""
    from hepsilon.processors.saved_outputs import read_saved

    mark = (path / "fingerprint").read_text()
    runs = {f"run {read_saved(each)['run'].seconds:.0f}" for each in path.glob("*.part")}
    assert runs <= {mark}, (runs, mark)
    return mark


def correction(ending: str) -> Write:
    def write(folder: Path, version: int) -> None:
        from hepsilon.export.corrections import write_correction_file

        write_correction_file(toy().maps[version - 1], folder / f"map{ending}")

    return write


def graph(folder: Path, version: int) -> None:
    from hepsilon.export import formats

    formats._write(folder / "net.onnx", b"graph " * version)


def own_export(folder: Path, version: int, *, of_folder: bool = False) -> None:
    from hepsilon.export.registry import OwnExport

    def write(_: Any, path: Path) -> None:
        for name in "ab" if of_folder else [""]:
            (path / name).write_text(f"own {version}")

    export = OwnExport("own", write, (), (), of_folder)
    efficiency = toy().maps[0]
    export.write(efficiency, "map.hepsilon", folder / ("own" if of_folder else "own.txt"))


def picture(folder: Path, version: int) -> None:
    from matplotlib.figure import Figure

    from hepsilon.plotting.style import save_figure

    save_figure(Figure(figsize=(0.1 * version, 0.1)), folder / "plot.png")


def carried(folder: Path, version: int) -> None:
    """A worker has the file of one version, and gets that of another one of the name."""
    import hashlib

    from hepsilon._system import files
    from hepsilon.distributed.carried import CarriedFile

    content = f"model {version}".encode()
    files._PLACES.clear()
    file = CarriedFile("gone/m.hepsilon", hashlib.sha256(content).hexdigest(), content)
    file.put(folder)


def models(path: Path) -> Any:
    return {each.read_bytes() for each in path.glob("*.hepsilon")} - {b"model 1"}


def fit(kind: str, target: str) -> Write:
    def write(folder: Path, version: int) -> None:
        from hepsilon.fits import write_templates
        from tests.fits.conftest import (
            BACKGROUND,
            SIGNAL,
            Process,
            replicas_of,
            templates,
            weighted,
        )

        expected = Process(weighted(SIGNAL * version), replicas_of(SIGNAL * version))
        found = templates({"sr": {"s": expected}}, {"sr": weighted(SIGNAL + BACKGROUND)})
        write_templates(found, kind, folder / target)

    return write


def card(path: Path) -> Any:
    """A datacard with its shapes."""
    return path.read_bytes(), rows(path.with_suffix(".root"))


def state(folder: Path, version: int) -> None:
    """Of a member, beside the mark of its training."""
    from hepsilon.training import state as module
    from hepsilon.training.reservation import begin

    module.to_numpy = list  # of variables of Keras, which are arrays here
    kept = folder / "net.hepsilon.partial"
    kept.mkdir(exist_ok=True)
    begin(kept, "training")
    epochs = [module.Epoch(n, 0.1, 0.1, 1.0) for n in range(1, version + 1)]
    values = [np.full(3, float(version))]
    found = module.Fit(values, epochs, version)
    module.State(kept / "member-0.npz").save(values, SimpleNamespace(variables=values), found)


def other_training(folder: Path, version: int) -> None:
    """States of one training, and the begin of another one."""
    from hepsilon.training.reservation import begin

    kept = folder / "net.hepsilon.partial"
    kept.mkdir(exist_ok=True)
    begin(kept, f"training {version}")
    for number in range(2):
        (kept / f"member-{number}.npz").write_text(f"state {version}")


def training_of(path: Path) -> Any:
    """Mark and states: no state of one training beside the mark of another."""
    states = {each.read_text()[-1] for each in path.glob("*.npz")}
    mark = (path / "fingerprint").read_text()[-1]
    assert states <= {mark}, (states, mark)
    return mark


def finished(folder: Path, version: int) -> None:
    """The artifact, and the end of its training."""
    from hepsilon.training.reservation import reserved

    with reserved(folder / "net.hepsilon") as kept:
        (kept / "member-0.npz").touch()
        toy().maps[version - 1].save(folder / "net.hepsilon")


def columns(folder: Path, version: int) -> None:
    from hepsilon.training.on_workers import _write_columns

    first = toy().columns.take(np.arange(10 * version))
    _write_columns((first, first), folder / "columns.npz")


def candidate(folder: Path, version: int) -> None:
    from hepsilon.training.selection_of_models import _Result
    from hepsilon.training.validation import EventLosses

    losses = EventLosses(np.full(3, float(version)), np.ones(3))
    _Result(losses, 1.0, 2).save(folder / "candidate-mlp.npz")


def part(folder: Path, version: int) -> None:
    from hepsilon.training.parts import Part, write_part
    from tests.helpers.toys import mlp_config

    states = {0: b"state" * version}
    own = Part(mlp_config(), (), None, "fingerprint", 1, states)
    write_part(folder / "net.hepsilon.part-1-of-1", own)


def tree(folder: Path, version: int) -> None:
    """A folder with folders, such as a SavedModel."""
    from hepsilon._system.files import atomic_tree

    with atomic_tree(folder / "saved") as made:
        (made / "variables").mkdir()
        for name in ("saved_model.pb", "variables/index", f"only-{version}"):
            (made / name).write_text(f"{name} {version}")


def saved(path: Path) -> Any:
    """Content of the folder, in the moment between two names under the temporary one."""
    return raw(path if path.exists() else path.with_name(f".{path.name}.replaced.tmp"))


def command(*arguments: str, target: str) -> Write:
    """A command that refuses to overwrite: only a second name is written."""

    def write(folder: Path, version: int) -> None:
        from hepsilon.cli.parser import main

        out = folder / target
        if version == 1:
            out.write_text("[task]")
            return
        out.unlink(missing_ok=True)
        given = [str(toy().path) if each == "FILE" else each for each in arguments]
        if "MAP" in given:
            artifact(Path(HOME), 1)
            given[given.index("MAP")] = str(Path(HOME) / "map.hepsilon")
        stderr = sys.stderr
        with Path(os.devnull).open("w") as sys.stderr:  # type: ignore[assignment]
            code = main([*given, "--out", str(out)])
        sys.stderr = stderr
        assert code == 0, given

    return write


def absent(path: Path) -> Any:
    """The text, or nothing: a file that a command does not overwrite is removed by hand."""
    return path.read_text() if path.exists() else "[task]"


WRITERS: dict[str, Writer] = {
    "simulated file": Writer("simulation.writer", "out.root", jets, rows),
    "artifact": Writer("efficiencies.artifact", "map.hepsilon", artifact),
    "friend tree": Writer("processors.friend_files", "friend.root", friend(".root"), rows),
    "friend ntuple": Writer(
        "processors.friend_files",
        "friend.root",
        friend(".root", rntuple=True),
        rows,
    ),
    "friend parquet": Writer("processors.friend_files", "friend.parquet", friend(".parquet")),
    "closure": Writer("report.writer", "closure", closure, mixed=True),
    "samples": Writer("report.samples", "samples", samples, mixed=True),
    "partial result": Writer("processors.checkpoints", "kept", partial_result, kept_of),
    "correctionlib": Writer("export.corrections", "map.json", correction(".json")),
    "correctionlib, packed": Writer("export.corrections", "map.json.gz", correction(".json.gz")),
    "graph": Writer("export.formats", "net.onnx", graph),
    "own export": Writer("export.registry", "own.txt", own_export),
    "own export, folder": Writer(
        "export.registry", "own", lambda f, v: own_export(f, v, of_folder=True), mixed=True
    ),
    "saved model": Writer("export.saved_model", "saved", tree, saved),
    "picture": Writer("plotting.style", "plot.png", picture),
    "carried artifact": Writer("distributed.carried", ".", carried, models),
    "templates": Writer("fits.root_file", "fit.root", fit("root", "fit.root"), rows),
    "pyhf": Writer("fits.formats", "fit.json", fit("pyhf", "fit.json")),
    "combine": Writer("fits.combine", "fit.txt", fit("combine", "fit.txt"), card),
    "hepdata": Writer("fits.hepdata", "hepdata", fit("hepdata", "hepdata"), mixed=True),
    "state of a training": Writer("training.state", "net.hepsilon.partial/member-0.npz", state),
    "another training": Writer(
        "training.reservation", "net.hepsilon.partial", other_training, training_of
    ),
    "end of a training": Writer(
        "training.reservation", "net.hepsilon", finished, extra=("net.hepsilon.partial",)
    ),
    "events for workers": Writer("training.on_workers", "columns.npz", columns),
    "candidate": Writer("training.selection_of_models", "candidate-mlp.npz", candidate),
    "part of a training": Writer("training.parts", "net.hepsilon.part-1-of-1", part),
    "init": Writer(
        "cli.starting", "task.toml", command("init", "FILE", target="task.toml"), absent
    ),
    "info --toml": Writer(
        "cli.cards", "task.toml", command("info", "MAP", "--toml", target="task.toml"), absent
    ),
}
HOME = tempfile.mkdtemp()


def main() -> None:
    """Kill all writers that are named, or all; print what became of them."""
    logging.disable()  # what they say of other trainings and runs
    for name in sys.argv[1:] or list(WRITERS):
        outcome = killed_everywhere(name, WRITERS[name])
        print(json.dumps(vars(outcome)), flush=True)
    shutil.rmtree(HOME)
    assert "keras" not in sys.modules


if __name__ == "__main__":
    main()

"""The example package adds one of each, and every process finds it once it is installed."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from hepsilon.simulation import write_jets
from tests.helpers.processes import python

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parents[1] / "examples" / "plugin_package"
SOURCE = PACKAGE / "src" / "hepsilon_example"


def install(folder: Path) -> None:
    """Leave the package in a folder as an installer does: its modules, and its entry points."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    target = folder / SOURCE.name
    target.mkdir(parents=True)
    for module in SOURCE.glob("*.py"):
        (target / module.name).write_text(module.read_text())
    info = folder / f"{SOURCE.name}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (info / "top_level.txt").write_text(f"{SOURCE.name}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


TASK = """
[task]
features = ["pt", "eta", "phi", "recoil", "hadronFlavour"]
categorical = { hadronFlavour = [5, 4, 0] }
passed = { field = "discriminant", above = [0.0] }
weight = "genWeight"
[model]
architecture = "narrow"
parameters = { width = 4 }
[training]
epochs = 1
[map.axes]
pt = { edges = [20.0, 50.0, 600.0] }
recoil = { edges = [0.0, 0.5, 50.0] }
[observables.central_ht]
[observables.pt]
"""
COMMANDS = """
import json, sys
from hepsilon.cli.parser import main
for command in json.loads(sys.argv[1]):
    code = main(command)
    assert code == 0, (code, command)
"""
FIT = """
import sys
import hepsilon
from hepsilon.data.dataset import read_columns
from hepsilon_example.kind import TurnOn

config, sample, out = sys.argv[1:]
config = hepsilon.load_config(config)
task = config.task.model_copy(update={"features": ("pt",), "categorical": {}})
config = config.model_copy(update={"task": task, "observables": {}})
columns = read_columns([sample], config, progress=False)
TurnOn.fit(task, columns).described(config).save(out)
"""
CONTRACTS = """
import sys
import hepsilon
from hepsilon.data.reading import read_chunks
from hepsilon.testing import check_efficiency

for path in sys.argv[2:]:
    efficiency = hepsilon.load(path)
    chunk = next(read_chunks(sys.argv[1], efficiency.task, efficiency.card.input))
    check_efficiency(efficiency, chunk.records[:50])
    print(type(efficiency).__name__, efficiency.card.package)
"""
TOLD = """
import json, sys
from contextlib import redirect_stderr
from io import StringIO
from hepsilon.cli.parser import main
for command in json.loads(sys.argv[1]):
    said = StringIO()
    with redirect_stderr(said):
        code = main(command)
    print(code, " ".join(said.getvalue().split()))
"""


def to_hdf5(source: Path, target: Path) -> Path:
    """The branches of a NanoAOD as data sets."""
    events = uproot.open(source)["Events"].arrays()
    with h5py.File(target, "w") as file:
        for name in events.fields:
            file[name] = ak.to_numpy(ak.flatten(events[name], axis=None))
    return target


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the package, known to the processes of this module."""
    folder = tmp_path_factory.mktemp("site")
    install(folder)
    return folder


@pytest.fixture(scope="module")
def work(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything was made where the package is installed."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "task.toml").write_text(TASK)
    to_hdf5(write_jets(folder / "jets.root", 600, seed=1), folder / "jets.h5")
    (folder / "jets.root").unlink()
    names = ("task.toml", "jets.h5", "net.hepsilon", "map.hepsilon", "turn.hepsilon")
    task, sample, net, table, turn = (str(folder / name) for name in names)
    python(FIT, task, sample, turn, PYTHONPATH=known(site))
    commands = [
        ["train", task, str(folder), "--out", net],  # finds the file by its ending
        ["map", task, sample, "--out", table],
        ["info", net],
        ["closure", task, sample, "--efficiency", f"net={net}", "--efficiency", f"map={table}"],
        ["closure", turn, sample],
        ["export", table, "--format", "table", "--out", str(folder / "map.csv")],
        ["export", turn, "--format", "turn-on", "--out", str(folder / "turn.json")],
        ["export", net, "--format", "onnx", "--out", str(folder / "net.onnx")],
        ["apply", net, sample, "--out", str(folder / "friend.root")],
    ]
    commands[3] += ["--out", str(folder / "closure"), "--executor", "futures", "--workers", "2"]
    commands[4] += ["--out", str(folder / "turned")]
    python(COMMANDS, json.dumps(commands), PYTHONPATH=known(site))
    return folder


def known(site: Path) -> str:
    """Search path of processes in which the package is installed."""
    root = str(Path(__file__).parents[1])
    return os.pathsep.join([root, str(site), os.environ.get("PYTHONPATH", "")])


def test_closures_hold_the_observable_and_the_section(work: Path) -> None:
    closure = json.loads((work / "closure" / "closure.json").read_text())
    for name in ("net", "map"):
        assert {"central_ht", "pt"} <= set(closure["efficiency"][name]["observables"])
    for folder in ("closure", "turned"):
        page = (work / folder / "report.html").read_text()
        assert "Least likely observables" in page
    turned = json.loads((work / "turned" / "closure.json").read_text())
    assert turned["efficiency"]["turn"]["overall"]["observed"] > 0.0


def test_the_observable_is_what_its_function_says(work: Path) -> None:
    """The sum of the histogram is the number of weighted events, in the range of the sample."""
    closure = json.loads((work / "closure" / "closure.json").read_text())
    found = closure["efficiency"]["map"]["observables"]
    assert len(found["central_ht"]["observed"]) == 30
    edges = found["central_ht"]["edges"]
    low, high = (
        (edges[0], edges[-1]) if isinstance(edges[0], float) else (edges[0][0], edges[0][-1])
    )
    with h5py.File(work / "jets.h5") as file:
        central = np.abs(file["Jet_eta"][:]) < 1.5
        events = np.repeat(np.arange(len(file["nJet"])), file["nJet"][:])
        sums = np.bincount(events, np.where(central, file["Jet_pt"][:], 0.0))
    assert low <= np.quantile(sums, 0.05)
    assert high >= np.quantile(sums, 0.9)


def test_exports_are_written(work: Path) -> None:
    rows = [line.split(",") for line in (work / "map.csv").read_text().splitlines()]
    assert len(rows) == 3 * 2 * 2
    assert {row[0] for row in rows} == {"5", "4", "0"}
    assert all(0.0 < float(row[-1]) < 1.0 for row in rows)
    turned = json.loads((work / "turn.json").read_text())
    assert set(turned) == {"threshold", "width", "plateau"}
    assert 0.0 < turned["plateau"] < 1.0
    assert (work / "net.onnx").stat().st_size > 0
    assert uproot.open(work / "friend.root")["Events"].num_entries == 600


def test_another_process_loads_all(work: Path, site: Path) -> None:
    files = [str(work / f"{name}.hepsilon") for name in ("net", "map", "turn")]
    said = python(CONTRACTS, str(work / "jets.h5"), *files, PYTHONPATH=known(site)).split("\n")
    assert said[:3] == [
        "NetworkEfficiency ",
        "EfficiencyMap ",
        "TurnOn hepsilon-example",
    ]


def test_what_is_not_installed_is_named(work: Path, tmp_path: Path) -> None:
    """Without the package each error says what is missing, and of which package."""
    root_file = str(write_jets(tmp_path / "jets.root", 50, seed=2))
    net, table, turn = (str(work / f"{name}.hepsilon") for name in ("net", "map", "turn"))
    out = str(tmp_path / "out")
    commands = [
        ["info", turn],
        ["closure", net, root_file, "--out", out],
        ["apply", table, root_file, "--out", str(tmp_path / "friend.root")],
        ["closure", table, str(work / "jets.h5"), "--out", out],
        ["export", table, "--format", "table", "--out", str(tmp_path / "map.csv")],
        ["train", str(work / "task.toml"), root_file, "--out", str(tmp_path / "m.hepsilon")],
    ]
    said = python(TOLD, json.dumps(commands)).splitlines()
    assert all(line.startswith("2 ") for line in said), said
    package = "of the package 'hepsilon-example' is not registered in this process"
    assert f"the kind 'turn-on' {package}" in said[0]
    assert f"the observable 'central_ht' {package}" in said[1]
    assert (
        f"the field 'recoil', computed from ['pt', 'phi'] with {{'unit': 100.0}}, {package}"
        in (said[2])
    )
    assert "expected a ROOT, parquet or CSV file" in said[3]
    assert "hepsilon.data.formats.register_reader" in said[3]
    assert "expected a format of" in said[4]
    assert "hepsilon.export.register_export" in said[4]
    assert "there is no architecture 'narrow'" in said[5]


def test_an_own_export_is_asked_for_what_it_can(work: Path, site: Path, tmp_path: Path) -> None:
    net, table = (str(work / f"{name}.hepsilon") for name in ("net", "map"))
    commands = [
        ["export", net, "--format", "table", "--out", str(tmp_path / "net.csv")],
        ["export", table, "--format", "table", "--out", str(tmp_path / "map.txt")],
        ["export", table, "--format", "table", "--out", table],
        ["export", table, "--format", "tables", "--out", str(tmp_path / "map.csv")],
    ]
    said = python(TOLD, json.dumps(commands), PYTHONPATH=known(site)).splitlines()
    assert "is of the kind 'network'; table is for map" in said[0]
    assert "expected a file ending in .csv" in said[1]
    assert "is an input, and is not overwritten" in said[2]
    assert "'table', 'turn-on')" in said[3]
    assert not list(tmp_path.iterdir())

"""Apply what was trained, in an environment that has nothing but ``pip install hepsilon``.

Run by the Python of that environment (``make light``) on a folder with ``gnn.hepsilon`` and
``tracks.hepsilon``, their ``*.toml`` and ``*.root``, and ``expected.json`` with the efficiencies
that TensorFlow gave. Every step raises if it fails.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

HEAVY = (
    *("jax", "keras", "lightgbm", "onnx", "particle", "phasespace", "skhep_testdata", "tensorflow"),
    *("tensorflow_probability", "torch"),
)
"""What no extra has brought."""

KERAS_LAYERS = (
    "event_layers",
    "feature_layers",
    "fusion",
    "last_layer",
    "layers",
    "losses",
    "partners",
    "track_layers",
)
"""Modules of ``hepsilon.networks`` that define Keras' classes: for whoever builds networks."""

TRACER = "hepsilon.export.keras_trace"
"""Writes graphs of Keras' networks: for whoever exports from weights."""
DASK = "hepsilon.distributed.dask_plugin"
"""Module that is a plugin of Dask's workers (extra ``dask``)."""

FIRST_EFFICIENCY = """
import sys
import awkward as ak
import hepsilon
jet = {"pt": 50.0, "eta": 0.1, "phi": 0.2, "hadronFlavour": 5}
assert 0.0 < hepsilon.load(sys.argv[1])(ak.Array([[jet, jet], []]))[0, 0] < 1.0
"""


def command(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command of hepsilon, which must end with this code."""
    call = [Path(sys.executable).with_name("hepsilon"), *map(str, arguments)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    return done


def nothing_heavy(folder: Path) -> None:
    """The environment is light."""
    found = [name for name in HEAVY if find_spec(name) is not None]
    assert not found, f"expected an environment without {found}"


def imports(folder: Path) -> None:
    """Every module but Keras' layers and Dask's plugin can be imported."""
    import hepsilon

    layers = {f"hepsilon.networks.{name}" for name in KERAS_LAYERS} | {TRACER, DASK}
    names = {module.name for module in pkgutil.walk_packages(hepsilon.__path__, "hepsilon.")}
    assert layers < names
    for name in sorted(names - layers):
        importlib.import_module(name)
    for name in hepsilon.__all__:
        getattr(hepsilon, name)


def _events(file: Path) -> Any:
    from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    NanoAODSchema.warn_missing_crossrefs = False
    return NanoEventsFactory.from_root({str(file): "Events"}, mode="virtual").events()


def efficiencies(folder: Path) -> None:
    """Networks of objects and of events give the numbers of the full environment."""
    import awkward as ak
    import numpy as np

    import hepsilon

    expected = json.loads((folder / "expected.json").read_text())
    assert sorted(expected) == ["gnn", "tracks"]
    for name, collection in (("gnn", "Jet"), ("tracks", "Track")):
        records = _events(folder / f"{name}.root")[collection]
        eps = ak.ravel(hepsilon.load(folder / f"{name}.hepsilon")(records))
        assert len(eps) > 300
        np.testing.assert_allclose(eps, expected[name], atol=1e-5, rtol=0)


def truth_tags(folder: Path) -> None:
    """The three lines of the README, on coffea's own events and weights."""
    import awkward as ak
    import numpy as np
    from coffea.analysis_tools import Weights

    import hepsilon
    from hepsilon.analysis_tools import add_truth_tag

    events = _events(folder / "gnn.root")
    weights = Weights(len(events))
    found = hepsilon.load(folder / "gnn.hepsilon").evaluate(events.Jet)
    add_truth_tag(weights, "tags", found.eps, 2, jets=None)
    assert np.all((weights.weight() >= 0.0) & (weights.weight() <= 1.0))
    assert weights.weight().any()
    tagged = hepsilon.sample_tags(found.eps, events, 2, jets=None)
    assert ak.all(ak.sum(tagged, axis=1)[ak.num(tagged) > 1] == 2)


def processors(folder: Path) -> None:
    """TruthTagging through coffea's runner, in two processes."""
    import hepsilon
    from hepsilon.processors import TruthTagging
    from hepsilon.processors.executors import local_executor
    from hepsilon.processors.runner import run_processor

    efficiency: Any = hepsilon.load(folder / "gnn.hepsilon")
    task, config = efficiency.task, hepsilon.load_config(folder / "gnn.toml").input
    instance = TruthTagging(task, {"gnn": efficiency})
    files, executor = [folder / "gnn.root"], local_executor(2)
    output = run_processor(files, instance, task, config, executor=executor, chunksize=200)
    assert output["n_events"] == len(_events(files[0]))


def commands(folder: Path) -> None:
    """Maps, closures, cards and graphs by the command line."""
    for name, expected in (("gnn", "network"), ("tracks", "network")):
        config, file = folder / f"{name}.toml", folder / f"{name}.root"
        network, baseline = folder / f"{name}.hepsilon", folder / f"{name}-map.hepsilon"
        command("map", config, file, "--out", baseline)
        assert json.loads(command("info", network, "--json").stdout)["kind"] == expected
        assert "bins pt" in command("info", baseline).stdout
        out = folder / f"closure-{name}"
        given = ["--efficiency", f"map={baseline}", "--efficiency", f"net={network}"]
        command("closure", config, file, *given, "--workers", 2, "--out", out)
        report = json.loads((out / "closure.json").read_text())
        assert {"map", "net"} <= set(report["efficiency"])
        assert (out / "report.html").stat().st_size > 10_000
        command("export", network, "--format", "onnx", "--out", folder / f"{name}.onnx")
    command("simulate", "jets", "-n", 100, "--out", folder / "simulated.root")


def refusals(folder: Path) -> None:
    """What needs an extra names it in one line, before any work."""
    gnn, config, out = folder / "gnn.hepsilon", folder / "gnn.toml", folder / "refused"
    calls = {
        "train": [("train", config, folder / "gnn.root"), ("export", gnn, "--format", "hepsilon")],
        "simulate": [("simulate", "tracks", "-n", 10), ("convert", folder / "none.csv")],
        "demo": [("demo",)],
    }
    for extra, commands in calls.items():
        for arguments in commands:
            error = command(*arguments, "--out", out, code=2).stderr
            assert error.count("\n") == 1, error
            assert f"pip install 'hepsilon[{extra}]'" in error, error
            assert not out.exists()


def keras_is_named(folder: Path) -> None:
    """A backend that is not installed is refused with its extra, on the first call."""
    import hepsilon

    efficiency = hepsilon.load(folder / "gnn.hepsilon", backend="tensorflow")
    message = ""
    try:
        efficiency(_events(folder / "gnn.root").Jet)
    except hepsilon.ConfigError as error:
        message = str(error)
    assert "pip install 'hepsilon[train]'" in message, message


def timings(folder: Path) -> None:
    """Seconds of what every worker and every user waits for, the best of three."""
    hepsilon = Path(sys.executable).with_name("hepsilon")
    calls = {
        "import hepsilon": [sys.executable, "-c", "import hepsilon"],
        "hepsilon --help": [hepsilon, "--help"],
        "first efficiency": [sys.executable, "-c", FIRST_EFFICIENCY, folder / "gnn.hepsilon"],
    }
    for name, call in calls.items():
        seconds = []
        for _ in range(3):
            start = perf_counter()
            subprocess.run(call, check=True, stdout=subprocess.DEVNULL)
            seconds.append(perf_counter() - start)
        sys.stdout.write(f"{name}: {min(seconds):.2f} s\n")


STEPS: tuple[Callable[[Path], None], ...] = (
    nothing_heavy,
    imports,
    efficiencies,
    truth_tags,
    processors,
    commands,
    refusals,
    keras_is_named,
    timings,
)


def main(folder: Path) -> None:
    """Run all steps on a folder."""
    for step in STEPS:
        step(folder)
        sys.stdout.write(f"{step.__name__}: done\n")
    size = sum(file.lstat().st_size for file in Path(sys.prefix).rglob("*"))
    sys.stdout.write(f"size of the environment: {size / 2**20:.0f} MiB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

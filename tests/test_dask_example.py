"""Truth tagging inside a task graph of dask-awkward; runs where it is installed (make dask)."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import awkward as ak
import numpy as np
import pytest
from coffea.nanoevents import NanoEventsFactory

import hepsilon
from hepsilon.cli.parser import main
from hepsilon.data.dataset import read_columns
from hepsilon.simulation import toy_task, write_jets

dak = pytest.importorskip("dask_awkward", reason="'make dask' has an environment of its own")
FOLDER = Path(__file__).parents[1] / "examples" / "dask_awkward"
READ = {
    *("nJet", "Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_hadronFlavour"),
    *("genWeight", "run", "luminosityBlock", "event"),
}


def module() -> ModuleType:
    path = FOLDER / "two_b_jets.py"
    spec = importlib.util.spec_from_file_location("dask_two_b_jets", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jets(tmp_path_factory.mktemp("dask") / "toy.root", 2_000, seed=5)


@pytest.fixture(scope="module")
def efficiency(sample: Path) -> hepsilon.EfficiencyMap:
    config = hepsilon.Config(task=toy_task())
    return hepsilon.EfficiencyMap.fit(config.task, read_columns([sample], config, progress=False))


@pytest.fixture(scope="module")
def lazy(sample: Path, efficiency: hepsilon.EfficiencyMap) -> dict[str, Any]:
    return dict(module().graph(sample, efficiency, parts=3))


def test_arrays_stay_lazy_and_know_their_types(lazy: dict[str, Any]) -> None:
    assert all(isinstance(each, dak.Array) and each.npartitions == 3 for each in lazy.values())
    assert str(lazy["eps"].type).endswith(" * var * float64")
    assert str(lazy["weight"].type).endswith("* float64")


def test_only_the_needed_columns_are_read(lazy: dict[str, Any]) -> None:
    """Features, selection and momenta of the pair, the weight, and the numbers of the event."""
    assert module().columns(lazy) == READ
    eps = module().columns({"eps": lazy["eps"]})
    assert eps <= READ - {"genWeight", "run", "luminosityBlock", "event", "Jet_mass"}
    assert {"nJet", "Jet_pt", "Jet_hadronFlavour"} <= eps


def test_tracing_touches_no_data(sample: Path, efficiency: hepsilon.EfficiencyMap) -> None:
    """The graph is made and asked for its columns while no basket can be read."""
    import uproot

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("data were read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uproot.behaviors.TBranch.TBranch, "basket", refuse)
        patch.setattr(uproot.behaviors.TBranch.HasBranches, "arrays", refuse)
        made = module().graph(sample, efficiency)
        assert module().columns(made) == READ
        with pytest.raises(AssertionError, match="data were read"):  # that is what would be seen
            made["eps"].compute()


def test_the_graph_gives_what_eager_arrays_give(
    lazy: dict[str, Any], sample: Path, efficiency: hepsilon.EfficiencyMap
) -> None:
    events = NanoEventsFactory.from_root({str(sample): "Events"}, mode="eager").events()
    jets = events.Jet[(events.Jet.pt > 20.0) & (abs(events.Jet.eta) < 2.5)]
    eps = efficiency(jets)
    assert ak.all(lazy["eps"].compute() == eps)
    tagged = hepsilon.sample_tags(eps, events, 2, jets=None)
    chosen = ak.sum(tagged, axis=1) == 2
    weight = hepsilon.truth_tag_weight(eps, 2, jets=None) * events.genWeight
    np.testing.assert_allclose(lazy["weight"].compute(), weight[chosen])
    pairs = jets[tagged][chosen]
    np.testing.assert_allclose(lazy["mass"].compute(), (pairs[:, 0] + pairs[:, 1]).mass)


def test_evaluation_is_lazy_in_all_parts(sample: Path, efficiency: hepsilon.EfficiencyMap) -> None:
    files = {str(sample): "Events"}
    made, local = (NanoEventsFactory.from_root(files, mode=m).events() for m in ("dask", "eager"))
    found, expected = efficiency.evaluate(made.Jet), efficiency.evaluate(local.Jet)
    for name in ("eps", "replicas", "in_domain"):
        part = getattr(found, name)
        assert isinstance(part, dak.Array)
        assert ak.all(part.compute() == getattr(expected, name))
    assert efficiency.evaluate(made.Jet, replicas=False).replicas is None


def test_it_runs_from_the_command_line(
    sample: Path, efficiency: hepsilon.EfficiencyMap, tmp_path: Path
) -> None:
    path = efficiency.save(tmp_path / "map.hepsilon")
    done = subprocess.run(
        [sys.executable, FOLDER / "two_b_jets.py", sample, "--efficiency", path],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert set(first.split()[1:]) == READ
    assert "events with two b jets" in second


def test_the_pinned_versions_are_those_that_run() -> None:
    """Only where the environment is that of the requirements, as in its own CI job."""
    from importlib.metadata import version

    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    here = {name: version(name) for name in pinned}
    if os.environ.get("HEPSILON_DASK_PINNED") != "1":
        pytest.skip(f"another environment than the pinned one: {json.dumps(here)}")
    assert here == pinned


def test_the_lines_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[1]
    page = (root / "docs" / "in_your_analysis.md").read_text()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "training").symlink_to(root / "training")
    shell, *_ = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for line in shell.splitlines():
        assert main(shlex.split(line)[1:]) == 0
    local, lazy, *_ = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert "dask_awkward" in lazy
    names: dict[str, Any] = {}
    for block in (local, lazy):
        exec(compile(block, "in_your_analysis.md", "exec", dont_inherit=True), names)
    assert isinstance(names["weight"], dak.Array)

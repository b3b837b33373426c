"""Every piece of Python on the page about fits runs, in the order of the page."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon
from hepsilon import EfficiencyMap
from hepsilon.closure import run_closure
from hepsilon.config import ObservableConfig
from hepsilon.efficiencies.factorised import FactorisedMap, with_axes
from hepsilon.report import write_closure
from hepsilon.simulation import track_task, write_tracks
from tests.helpers.network_toys import NETWORKS
from tests.helpers.track_toys import random_tracks
from tests.helpers.untrained import Make
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "fits.md"


class Chunk:
    """Events of an analysis of its own."""

    def __init__(self, jets: ak.Array) -> None:
        self.jets = jets[ak.num(jets) >= 2]
        rng = np.random.default_rng(1)
        self.mass = rng.uniform(0.0, 250.0, len(self.jets))
        self.tagged = rng.uniform(size=len(self.jets)) < 0.1


@pytest.fixture
def closure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closure with reconstructed tracks, in the working directory."""
    from hepsilon.closure import closure_report
    from hepsilon.data.dataset import read_columns

    monkeypatch.chdir(tmp_path)
    file = write_tracks(tmp_path / "tracks.root", 600, seed=1)
    config = with_axes(hepsilon.Config(task=track_task()))
    made = {"map": FactorisedMap.fit(config.task, read_columns([file], config), config.map)}
    output = run_closure(
        [file],
        config.task,
        made,
        observables={"M": ObservableConfig(bins=3, min=0.3, max=2.0)},
        reconstructed="TrackReco",
    )
    write_closure("closure", output, closure_report(output, config.task, made, [file]))


@pytest.mark.slow
@pytest.mark.usefixtures("closure")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::hepsilon.OutOfDomainWarning")
def test_code_of_the_page_runs(
    toy_map: EfficiencyMap, toy_jets: ak.Array, untrained: Make, tmp_path: Path
) -> None:
    task, options = NETWORKS["event mlp"]
    tracks = random_tracks([2] * 60)
    network = untrained(task, last_layer=True, **options)
    network = hepsilon.load(network.path, backend="tensorflow")
    columns = [ak.to_numpy(tracks[name]) for name in ("px", "py", "pz", "mass")]
    energy = np.sqrt(sum(column**2 for column in columns))
    known: dict[str, Any] = {
        "hepsilon": hepsilon,
        "efficiency": toy_map,
        "chunks": [Chunk(toy_jets)],
        "event_efficiency": network,
        "tracks": tracks,
        "momenta": np.stack([energy, *columns[:3]], axis=2),
        "charge": ak.to_numpy(tracks.charge),
        "corrected": np.array([100.0, 80.0, 30.0]),
        "covariance_of_data": np.diag([100.0, 80.0, 30.0]),
        "errors": np.array([10.0, 9.0, 5.0]),
    }
    code = blocks(PAGE.read_text(), "python")
    assert len(code) == 6
    for block in code:
        if "cabinetry" in block and find_spec("cabinetry") is None:
            continue
        exec(compile(block, str(PAGE), "exec"), known)
    assert (tmp_path / "workspace.json").is_file()
    assert known["found"].gradient.shape == (60, 2, 4)
    assert known["unfolded"].values.shape == (3,)
    assert known["tag"].variations[-1] == "inverse_eff_rest"

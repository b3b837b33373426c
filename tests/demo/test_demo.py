from __future__ import annotations

import json
import logging

import pytest
import skhep_testdata

from hepsilon import ConfigError, load, plotting
from hepsilon.demo import jets as demo
from hepsilon.export import onnx as export
from hepsilon.plotting import plot_corrected, plot_observable

pytestmark = pytest.mark.slow


def test_file_is_found_in_the_cache(nanoaod_path):
    found = demo.nanoaod_path()
    assert found is not None
    assert found.read_bytes() == nanoaod_path.read_bytes()


@pytest.mark.parametrize("error", [OSError("no route"), ValueError("unknown"), RuntimeError()])
def test_without_network_and_cache_one_line_says_so(monkeypatch, caplog, error):
    def data_path(*_, **__):
        raise error

    monkeypatch.setattr(skhep_testdata, "data_path", data_path)
    with caplog.at_level(logging.INFO, "hepsilon"):
        assert demo.nanoaod_path() is None
    (line,) = caplog.messages
    assert demo.NANOAOD_FILE in line
    assert "\n" not in line


def test_real_part_is_left_out_without_the_file(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "nanoaod_path", lambda: None)
    assert demo._real({}, tmp_path, seed=1) == {}
    assert not list(tmp_path.iterdir())


def one_figure(output):
    plot = plot_observable if "profiles" in output else plot_corrected
    return {"pt": plot(output, "pt")}


def no_graph(efficiency):
    """Other tests make graphs."""
    raise ConfigError("no graph")


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """The slowest fixture of all: the whole demo with few events, and one plot for each sample."""
    out = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plotting, "closure_figures", one_figure)
        patch.setattr(export, "make_graph", no_graph)
        return out, demo.run_demo(out, n_events=2000, seed=2, members=1)


AMPLITUDES = ("phasespace", "rho", "pomeron", "tensor")
TRACK_METHODS = ["truth", "bin-by-bin", "factorised", "network"]
TRACK_METHODS += ["factorised@reco", "network@reco"]
FILES = [
    "index.html",
    "universality.json",
    "summary.json",
    "simulated_efficiency.png",
    *(f"samples/{name}.root" for name in ("training", "test", "alternative")),
    *(f"models/{name}.hepsilon" for name in ("map", "mlp", "gnn")),
    *(
        f"models/{name}.{kind}"
        for name in ("mlp", "gnn")
        for kind in ("history.png", "report.html")
    ),
    "tracks/models/network.report.html",
    *(f"nanoaod/models/{name}.hepsilon" for name in ("map", "gnn")),
    *(
        f"{sample}/{name}"
        for sample in ("test", "alternative", "nanoaod")
        for name in ("closure.json", "report.html", "histograms.json", "pt.png")
    ),
    *(f"tracks/samples/{name}.root" for name in ("training", *AMPLITUDES)),
    *(f"tracks/models/{name}.hepsilon" for name in ("network", "factorised", "bins")),
    *(f"tracks/{name}/{file}" for name in AMPLITUDES for file in ("closure.json", "pt.png")),
]


@pytest.mark.parametrize("name", FILES)
def test_demo_writes(result, name):
    assert (result[0] / name).stat().st_size > 0


def test_the_index_leads_to_the_pages_of_the_trainings(result):
    page = (result[0] / "index.html").read_text()
    for name in ("models/mlp", "models/gnn", "nanoaod/models/gnn", "tracks/models/network"):
        assert f'<a href="{name}.report.html">{name}</a>' in page


def test_demo_leaves_nothing_temporary(result):
    names = [path.name for path in result[0].rglob("*")]
    assert not [name for name in names if name.startswith(".") or name.endswith(".partial")]


def test_table_has_every_method_on_every_sample(result):
    out, demo_result = result
    summary = demo_result.summary
    methods = {name: [row["method"] for row in rows] for name, rows in summary.items()}
    assert methods == {
        "test": ["truth", "map", "mlp", "gnn"],
        "alternative": ["truth", "map", "mlp", "gnn"],
        "nanoaod": ["map", "gnn", "toy_map", "toy_mlp", "toy_gnn"],
        **{f"tracks/{name}": TRACK_METHODS for name in AMPLITUDES},
    }
    assert json.loads((out / "summary.json").read_text()) == summary


def test_reports_are_the_files(result):
    out, demo_result = result
    for name, content in demo_result.reports.items():
        written = json.loads((out / name / "closure.json").read_text())
        assert written == content.as_dict()


def test_truth_closes_on_both_samples(result):
    """Two p-values, false-alarm rate 1e-3 each (with another seed)."""
    for name in ("test", "alternative"):
        truth = result[1].reports[name]["efficiency"]["truth"]
        assert truth["observables"]["pt"]["p_value"] > 1e-3


def test_models_of_the_demo_can_be_loaded(result):
    card = load(result[0] / "models" / "gnn.hepsilon").card
    assert card.n_events == 2000
    assert card.architecture.blocks

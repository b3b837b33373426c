"""Architectures that are registered from outside: built, trained, saved, loaded and exported."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepsilon import ConfigError, load, load_config, train
from hepsilon.config import Config, ModelConfig, TrainingConfig, architectures
from hepsilon.config.architectures import own_architecture
from hepsilon.efficiencies.engines.keras import Engine
from hepsilon.networks import NetworkInputs, build_model, register_architecture, resolve
from hepsilon.networks.build import weight_names
from hepsilon.testing import check_efficiency
from tests.helpers.plugins import install
from tests.helpers.processes import python
from tests.helpers.reference import randomise
from tests.helpers.toys import POINTS, SPEC, TASK, random_jets
from tests.helpers.track_toys import PAIRS, TRACKS


def wide(inputs: NetworkInputs, width: int, depth: int, activation: str) -> Any:
    """Layers of Keras alone, without names."""
    import keras

    hidden = inputs.encoded
    for _ in range(depth):
        hidden = keras.layers.Dense(width, activation=activation)(hidden)
    return inputs.logit(hidden)


def sums(inputs: NetworkInputs, width: int) -> Any:
    """A sum over the partners."""
    import keras

    hidden = inputs.dense(width, "silu")(inputs.encoded)
    messages = inputs.dense(width, "silu")(inputs.pairs(hidden))
    both = keras.layers.Concatenate()([hidden, inputs.sum_over_partners(messages)])
    return inputs.logit(both)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is forgotten after it."""
    with monkeypatch.context() as patch:
        patch.setattr(architectures, "_OWN", {})
        register_architecture("wide", width=6, depth=2, activation="silu")(wide)
        register_architecture("sums", partners=True, width=6)(sums)
        yield


def built(name: str, task: Any = TASK, seed: int | None = 1, **parameters: Any) -> Any:
    config = ModelConfig(architecture=name, parameters=parameters)
    return build_model(resolve(config, task), SPEC, seed)


def test_parameters_are_data_with_defaults() -> None:
    found = resolve(ModelConfig(architecture="wide", parameters={"width": 9}), TASK).custom
    assert found is not None
    assert (found.name, found.partners, found.module) == ("wide", False, __name__)
    assert found.parameters == {"width": 9, "depth": 2, "activation": "silu"}
    shapes = [tuple(w.shape) for w in built("wide", width=9, depth=1).weights]
    assert shapes == [(7, 9), (9,), (9, 1), (1,)]


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ({"parameters": {"widths": 3}}, "has no such parameter; did you mean 'width'"),
        ({"parameters": {"width": 3.0}}, r"type int, like 6, received 3\.0"),
        ({"parameters": {"width": True}}, "type int, like 6, received True"),
        ({"parameters": {"activation": 1}}, "type str, like 'silu', received 1"),
        ({"width": 4}, r"model.width is for the architectures of hepsilon.*\['width', 'depth'"),
        ({"blocks": 4}, "model.blocks is for"),
        ({"preset": "paper"}, "model.preset is for"),
    ],
)
def test_what_does_not_fit_is_refused(model: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        resolve(ModelConfig(architecture="wide", **model), TASK)


def test_a_whole_number_is_a_number() -> None:
    register_architecture("scaled", scale=0.5)(wide)
    found = resolve(ModelConfig(architecture="scaled", parameters={"scale": 2}), TASK).custom
    assert found is not None
    assert found.parameters == {"scale": 2.0}
    assert type(found.parameters["scale"]) is float


def test_parameters_and_candidates_are_for_one_choice_each() -> None:
    with pytest.raises(ConfigError, match=r"parameters are for a named architecture"):
        ModelConfig(parameters={"width": 3})
    with pytest.raises(ConfigError, match="parameters are for architectures of your own; 'gnn'"):
        resolve(ModelConfig(architecture="gnn", parameters={"width": 3}), TASK)
    with pytest.raises(ConfigError, match=r'candidates are for architecture = "auto"'):
        ModelConfig(architecture="gnn", candidates=("gnn",))
    for names in (("gnn", "gnn"), ("map",), ("auto",)):
        with pytest.raises(ConfigError, match="expected distinct names of networks"):
            ModelConfig(candidates=names)


# the registry


def test_a_name_is_that_of_one_function() -> None:
    register_architecture("wide", width=6, depth=2, activation="silu")(wide)  # a cell runs twice
    with pytest.raises(ConfigError, match=r"'wide' is that of .*:wide already.*:sums needs"):
        register_architecture("wide", width=6, depth=2, activation="silu")(sums)
    with pytest.raises(ConfigError, match="already"):
        register_architecture("wide", width=7)(wide)
    for name in ("gnn", "mlp", "product", "map", "auto", ""):
        with pytest.raises(ConfigError, match="is one of hepsilon's own"):
            register_architecture(name)(wide)


def test_an_unknown_name_is_refused_where_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    text = '[task]\nfeatures = ["pt"]\npassed = { field = "tag" }\n[model]\n'
    for line, hint in (
        ('architecture = "wiide"', r"\[model\] architecture: .*'wiide'; did you mean 'wide'"),
        ('architecture = "?"', r"known are \['auto', 'mlp', 'product', 'gnn', 'wide', 'sums'\]"),
        ('candidates = ["gnn", "sumz"]', r"\[model\] candidates: .*'sumz'; did you mean 'sums'"),
    ):
        path.write_text(text + line)
        with pytest.raises(ConfigError, match=hint) as error:
            load_config(path)
        assert "hepsilon.architectures" in str(error.value)
    path.write_text(text + 'architecture = "wide"\nparameters = { width = 3 }')
    assert load_config(path).model.parameters == {"width": 3}


REGISTERING = """
from hepsilon.networks import register_architecture

@register_architecture("deep", width=4)
def deep(inputs, width):
    return inputs.logit(inputs.dense(width, "silu")(inputs.encoded))
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    architectures._plugins.cache_clear()
    yield folder
    monkeypatch.undo()
    architectures._plugins.cache_clear()
    for name in ("deep_package", "other_package"):
        sys.modules.pop(name, None)


def test_an_entry_point_is_imported_when_its_name_is_met(site: Path) -> None:
    install(site, "deep_package", REGISTERING, "[hepsilon.architectures]\ndeep = deep_package\n")
    assert own_architecture("shallow") is None
    assert "deep_package" not in sys.modules
    found = own_architecture("deep")
    assert found is not None
    assert found.place == "deep_package:deep"
    assert len(built("deep").weights) == 4


@pytest.mark.parametrize(
    ("code", "value", "text"),
    [
        ("", "deep_package", "deep = deep_package of deep_package.*registers no architecture"),
        (REGISTERING, "no_package", "cannot be imported: ModuleNotFoundError"),
        ("1 / 0", "deep_package", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_entry_points_that_give_nothing(site: Path, code: str, value: str, text: str) -> None:
    install(site, "deep_package", code, f"[hepsilon.architectures]\ndeep = {value}\n")
    with pytest.raises(ConfigError, match=text):
        own_architecture("deep")


def test_two_packages_of_one_name(site: Path) -> None:
    for name in ("deep_package", "other_package"):
        install(site, name, REGISTERING, f"[hepsilon.architectures]\ndeep = {name}\n")
    with pytest.raises(ConfigError, match=r"one entry point 'deep' .* of deep_.* of other_package"):
        own_architecture("deep")


def test_a_package_and_a_module_of_ones_own_with_one_name(site: Path) -> None:
    install(site, "deep_package", REGISTERING, "[hepsilon.architectures]\ndeep = deep_package\n")
    register_architecture("deep", width=4)(wide)
    with pytest.raises(ConfigError, match=r"'deep' is that of tests.*:wide already"):
        own_architecture("deep")


# the network


def flat(inputs: NetworkInputs) -> Any:
    import keras

    return keras.ops.sum(inputs.logit(inputs.encoded), axis=1)


def normalised(inputs: NetworkInputs) -> Any:
    import keras

    return inputs.logit(keras.layers.BatchNormalization()(inputs.encoded))


def weightless(inputs: NetworkInputs) -> Any:
    return inputs.x[:, :1]


def nothing(inputs: NetworkInputs) -> Any:
    return None


def failing(inputs: NetworkInputs) -> Any:
    return inputs.x.no_such_attribute


def undeclared(inputs: NetworkInputs) -> Any:
    return inputs.logit(inputs.pairs(inputs.encoded))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (flat, r"expected logits of the shape \(rows, 1\), received \(None,\)"),
        (nothing, r"received None; end in inputs.logit"),
        (normalised, "trained by gradients alone, received the others .*moving_mean"),
        (weightless, "expected weights .* received none"),
        (failing, r"'bad' \(.*:failing\) cannot be built with \{\}: AttributeError"),
        (undeclared, "register it with partners=True"),
    ],
)
def test_functions_that_give_no_network(build: Any, text: str) -> None:
    register_architecture("bad")(build)
    with pytest.raises(ConfigError, match=text):
        built("bad")


def test_working_points_are_outputs() -> None:
    assert built("wide", POINTS).output.shape == (None, 3)


def test_initial_weights_are_a_function_of_the_seed() -> None:
    """Those of Keras' own layers, too; the global seeds are left alone."""
    random.seed(5)
    before = random.getstate()
    first, again, other = (built("wide", seed=seed).get_weights() for seed in (1, 1, 2))
    assert random.getstate() == before
    for one, two, three in zip(first[::2], again[::2], other[::2], strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.all(one != three)


def test_names_of_weights_do_not_count_what_was_built_before() -> None:
    architecture = resolve(ModelConfig(architecture="wide"), TASK)
    models = [build_model(architecture, SPEC, None) for _ in range(2)]
    names = [weight_names(model, architecture) for model in models]
    assert names[0] == names[1]
    assert names[0][:2] == ["000.kernel", "001.bias"]


def test_partners_are_summed_in_both_layouts_alike() -> None:
    """One at a time or all in one batch, and as rows of partners, with padding."""
    from hepsilon.networks.graphs import neighbour_batches

    architecture = resolve(ModelConfig(architecture="sums"), TASK)
    model = build_model(architecture, SPEC, 1)
    randomise(model, 3)
    counts = np.array([0, 3, 1, 2, 5])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    nodes = np.random.default_rng(3).normal(size=(11, 4)).astype(np.float32)
    nodes[:, 3] = 5.0
    together = Engine(model, has_edges=True).logits(offsets, nodes)
    for i, n in enumerate(counts):
        rows = slice(offsets[i], offsets[i + 1])
        alone = Engine(model, has_edges=True).logits(np.array([0, n]), nodes[rows])
        np.testing.assert_allclose(alone, together[rows], atol=1e-5)
    other = build_model(architecture, SPEC, None, neighbours=True)
    other.set_weights(model.get_weights())
    for batch in neighbour_batches(offsets, nodes):
        found = other({"x": batch.x, "senders": batch.senders})
        np.testing.assert_allclose(found, together[batch.index], atol=1e-5)
    first = Engine(model, has_edges=True).logits(np.array([0, 3]), nodes[:3])
    changed = nodes[:3] + np.array([[0.0] * 4, [0.0] * 4, [9.0, 0, 0, 0]], np.float32)
    assert np.all(np.abs(Engine(model, has_edges=True).logits(np.array([0, 3]), changed) - first))


def test_tasks_of_events() -> None:
    """Without partners the objects of an event are a row; with them each has a factor."""
    rows = resolve(ModelConfig(architecture="wide"), PAIRS)
    assert (rows.level, rows.objects, rows.has_edges) == ("event", PAIRS.objects, False)
    graph = resolve(ModelConfig(architecture="sums"), TRACKS)
    assert (graph.level, graph.objects, graph.has_edges) == ("event", None, True)
    with pytest.raises(ConfigError, match="'wide' does not look at partners, and needs"):
        resolve(ModelConfig(architecture="wide"), TRACKS)


@pytest.mark.slow
def test_it_is_trained_and_keeps_the_contracts(toy_columns: Any, tmp_path: Path) -> None:
    training = TrainingConfig(epochs=2, batch_events=100, seed=3, learning_rate=1e-2)
    model = ModelConfig(architecture="sums", members=2, resampling="folds")
    config = Config(task=TASK, model=model, training=training)
    result = train(config, toy_columns, tmp_path / "m.hepsilon", progress=False)
    card = result.efficiency.card
    assert card.architecture.custom is not None
    assert card.architecture.custom.name == card.model.architecture == "sums"
    assert card.onnx is not None
    assert result.history[0][-1].validation_loss < result.history[0][0].validation_loss
    jets = random_jets([0, 2, 1, 3, 0, 6])
    for backend in ("tensorflow", "onnxruntime"):
        efficiency = load(tmp_path / "m.hepsilon", backend=backend)
        assert efficiency.needs_partners
        check_efficiency(efficiency, jets)


@pytest.mark.slow
def test_it_may_be_a_candidate(toy_columns: Any, tmp_path: Path) -> None:
    training = TrainingConfig(epochs=2, batch_events=100, seed=3, learning_rate=1e-2)
    model = ModelConfig(candidates=("wide", "product", "mlp"))
    config = Config(task=TASK, model=model, training=training)
    card = train(config, toy_columns, tmp_path / "m.hepsilon", progress=False).efficiency.card
    assert card.selection is not None
    found = {each.name: each for each in card.selection.candidates}
    assert list(found) == ["map", "mlp", "product", "wide"]
    assert all(found[name].loss is not None for name in ("map", "mlp", "wide"))
    assert "event" in str(found["product"].reason)
    assert card.selection.chosen == card.model.architecture
    assert card.model.architecture in ("mlp", "wide")
    assert card.model.candidates is None


# from end to end, in processes that know the architecture by its package alone

PACKAGE = """
from hepsilon.arrays.fields import register_field
from hepsilon.networks import register_architecture

@register_architecture("attention", partners=True, width=4, activation="silu")
def attention(inputs, width, activation):
    import keras
    hidden = keras.layers.Dense(width, activation=activation)(inputs.encoded)
    messages = keras.layers.Dense(width, activation="tanh")(inputs.pairs(hidden))
    hidden = keras.layers.Concatenate()([hidden, inputs.sum_over_partners(messages)])
    return inputs.logit(hidden)

@register_field("inverse_pt", ("pt",), unit=100.0)
def inverse_pt(records, unit):
    return unit / records["pt"]
"""
POINTS_OF_ENTRY = """
[hepsilon.architectures]
attention = own_package
[hepsilon.features]
inverse_pt = own_package
"""
CONFIG = """
[task]
features = ["inverse_pt", "eta", "phi", "hadronFlavour"]
categorical = { hadronFlavour = [5, 4, 0] }
passed = { field = "discriminant", above = [0.0] }
weight = "genWeight"
truth = "trueEfficiency"
[model]
architecture = "attention"
parameters = { width = 5 }
[training]
epochs = 1
[map.axes]
inverse_pt = { edges = [0.0, 1.0, 5.0] }
"""
COMMANDS = """
import json, sys
from hepsilon.cli.parser import main
for command in json.loads(sys.argv[1]):
    assert main(command) == 0, command
"""
ASKED = """
import sys
import awkward as ak
import hepsilon
path, backend = sys.argv[1:]
jets = ak.zip({"pt": [[50.0, 30.0], [80.0]], "eta": [[0.5, 1.0], [-1.0]],
               "phi": [[0.0, 0.3], [2.0]], "hadronFlavour": [[5, 0], [4]]})
if "given" in backend:
    jets["inverse_pt"] = 100.0 / jets.pt
try:
    efficiency = hepsilon.load(path, backend=backend.split()[0])
    print(efficiency(jets, out_of_domain="ignore").to_list())
except hepsilon.HepsilonError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_a_package_from_end_to_end(tmp_path: Path) -> None:
    from hepsilon.simulation import write_jets

    install(tmp_path / "site", "own_package", PACKAGE, POINTS_OF_ENTRY)
    (tmp_path / "task.toml").write_text(CONFIG)
    config, sample = str(tmp_path / "task.toml"), str(write_jets(tmp_path / "t.root", 400, seed=1))
    model, graph = str(tmp_path / "m.hepsilon"), str(tmp_path / "m.onnx")
    compared = ["--efficiency", f"net={model}", "--executor", "iterative"]
    commands = [
        ["train", config, sample, "--out", model],
        ["info", model],
        ["info", model, "--toml"],
        ["closure", config, sample, *compared, "--out", str(tmp_path / "closure")],
        ["export", model, "--format", "onnx", "--out", graph],
    ]
    known = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", known)
        shown = python(COMMANDS, json.dumps(commands))
        expected = json.loads(python(ASKED, model, "tensorflow"))
    assert "attention" in shown
    assert 'architecture = "attention"' in shown
    assert "width = 5" in shown
    assert json.loads((tmp_path / "closure" / "closure.json").read_text())["efficiency"]
    assert Path(graph).stat().st_size > 0

    # without the package the graph still gives the numbers, where the records have the field
    assert json.loads(python(ASKED, model, "onnxruntime given")) == [
        pytest.approx(each, abs=1e-5) for each in expected
    ]
    told = python(ASKED, model, "tensorflow given")
    assert told.startswith("ArtifactError")
    assert model in told
    of = "of the package 'own_package' is not registered in this process: install that package"
    assert f"the architecture 'attention' {of}, or import 'own_package'" in told
    told = python(ASKED, model, "onnxruntime")
    assert told.startswith("InputError")
    assert "the field 'inverse_pt', computed from ['pt']" in told

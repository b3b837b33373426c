"""Networks of single objects as corrections of correctionlib, and back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
import pytest
from correctionlib import schemav2

from hepsilon import ArtifactError, ConfigError
from hepsilon.efficiencies.correction import CorrectionEfficiency
from hepsilon.export import correction_networks, formats
from tests.export.test_onnx_forms import nominal, random_with_dxy, with_missing
from tests.helpers.network_toys import NETWORKS
from tests.helpers.toys import POINTS, random_jets, random_nodes
from tests.helpers.tree_toys import refined

pytestmark = pytest.mark.skipif(
    not hasattr(schemav2, "LWTNN"), reason="this correctionlib has no node for networks"
)
COUNTS = [2, 3, 0, 1, 4] * 20


def written(network: Any, folder: Path) -> Path:
    return formats.export(network.path, "correctionlib", folder / "network.json")


@pytest.mark.parametrize("name", ["mlp", "paper mlp", "points mlp"])
def test_values_are_those_of_the_network(name: str, exported: Any, tmp_path: Path) -> None:
    """By correctionlib alone; categories, angles, scales, rates, mu and members among them."""
    network = exported(name)
    path = written(network, tmp_path)
    offsets, nodes = random_nodes(COUNTS, 4)
    columns = dict(zip(network.features.names, nodes.T.astype(float), strict=True))
    evaluator = correctionlib.CorrectionSet.from_file(str(path))["efficiency"]
    expected = nominal(network, offsets, nodes)
    points = [str(p) for p in network.task.passed.working_points]
    for j, point in enumerate(points):
        arguments = [
            point
            if variable.type == "string"
            else columns.get(variable.name, np.zeros(len(nodes))).astype(
                int if variable.type == "int" else float
            )
            for variable in evaluator.inputs
        ]
        found = evaluator.evaluate(*arguments)
        np.testing.assert_allclose(found, expected[:, j], rtol=0, atol=5e-6)


@pytest.mark.parametrize("members", [1, 3])
def test_files_come_back_as_efficiencies(members: int, untrained: Any, tmp_path: Path) -> None:
    """Of several working points and networks, too, which are a compound correction."""
    network = untrained(POINTS, architecture="mlp", width=8, members=members, mu=1.5)
    path = written(network, tmp_path)
    again = CorrectionEfficiency(path)
    assert again.task == network.task
    assert again.features.names == network.features.names
    jets = random_jets([2, 0, 3, 1])
    np.testing.assert_allclose(
        ak.to_numpy(ak.flatten(again(jets, out_of_domain="ignore"))),
        ak.to_numpy(ak.flatten(network(jets, out_of_domain="ignore"))),
        rtol=0,
        atol=5e-6,
    )
    if members > 1:
        compound = correctionlib.CorrectionSet.from_file(str(path)).compound["efficiency"]
        offsets, nodes = random_nodes(COUNTS, 4)
        columns = dict(zip(network.features.names, nodes.T.astype(float), strict=True))
        flavour = columns["hadronFlavour"].astype(int)
        momenta = [columns[name] for name in ("pt", "eta", "phi")]
        point = str(POINTS.passed.working_points[1])
        found = compound.evaluate(point, flavour, *momenta, np.zeros(len(nodes)))
        expected = nominal(network, offsets, nodes)[:, 1]
        np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


def test_missing_values_are_known(untrained: Any, tmp_path: Path) -> None:
    network = with_missing(untrained)
    offsets, nodes = random_with_dxy(COUNTS, 4)
    found, _ = CorrectionEfficiency(written(network, tmp_path))._predict(offsets, nodes, 0)
    expected = nominal(network, offsets, nodes)[:, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


def test_the_description_says_how_well_it_agrees(exported: Any, tmp_path: Path) -> None:
    text = json.loads(written(exported("mlp"), tmp_path).read_text())["description"]
    assert "Mean of 3 networks; largest difference to them " in text
    assert " on 90 objects" in text
    assert f"correctionlib {correctionlib.__version__}" in text


def test_an_unknown_category_is_an_error(exported: Any, tmp_path: Path) -> None:
    evaluator = correctionlib.CorrectionSet.from_file(str(written(exported("mlp"), tmp_path)))
    with pytest.raises(IndexError):
        evaluator["efficiency"].evaluate(21, 50.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("gnn", "graph network"), ("points", "graph network"), ("product", "efficiency of events")],
)
def test_others_are_refused_with_the_way_out(
    name: str, reason: str, exported: Any, tmp_path: Path
) -> None:
    path = exported(name).path
    with pytest.raises(ConfigError, match=rf"no form in correctionlib.*{reason}") as error:
        formats.export(path, "correctionlib", tmp_path / "x.json")
    assert "'hepsilon apply'" in str(error.value)
    assert "onnx" in str(error.value)
    assert str(error.value).count("\n") == 0
    assert not list(tmp_path.iterdir())


def test_trees_are_refused(untrained: Any, tmp_path: Path) -> None:
    task, options = NETWORKS["mlp"]
    network, _ = refined(untrained(task, **options), tmp_path / "net.hepsilon")
    with pytest.raises(ConfigError, match="refined with trees"):
        written(network, tmp_path)


def test_an_older_correctionlib_is_named(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(schemav2, "LWTNN")
    monkeypatch.setattr(correctionlib, "__version__", "2.7.0")
    with pytest.raises(ConfigError, match=r"correctionlib 2\.9 or later, this is 2\.7\.0: pip"):
        written(exported("mlp"), tmp_path)


def test_a_correction_that_differs_is_not_written(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without alpha, where the activation gives NaN."""
    monkeypatch.setitem(correction_networks.ACTIVATIONS, "silu", "swish")
    with pytest.raises(ArtifactError, match=r"differs by nan .*was not written"):
        written(exported("mlp"), tmp_path)
    assert not list(tmp_path.iterdir())


PROGRAM = """
#include <correction.h>
#include <cstdio>

int main(int, char** arguments) {
  auto efficiency = correction::CorrectionSet::from_file(arguments[1])->at("efficiency");
  int flavour;
  double pt, eta, phi;
  while (std::scanf("%d %lf %lf %lf", &flavour, &pt, &eta, &phi) == 4)
    std::printf("%.17g\\n", efficiency->evaluate({flavour, pt, eta, phi, 0.0}));
}
"""


def test_cpp_gives_the_same_numbers(exported: Any, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    network = exported("mlp")
    path = written(network, tmp_path)
    source, program = tmp_path / "evaluate.cc", tmp_path / "evaluate"
    source.write_text(PROGRAM)
    config = [sys.executable, "-m", "correctionlib.cli", "config"]
    flags = subprocess.run(
        [*config, "--cflags", "--ldflags", "--rpath"], capture_output=True, text=True, check=True
    ).stdout.split()
    subprocess.run(["g++", "-O1", str(source), "-o", str(program), *flags], check=True)
    offsets, nodes = random_nodes(COUNTS, 4)
    columns = dict(zip(network.features.names, nodes.T.astype(float), strict=True))
    given = np.stack([columns[n] for n in ("hadronFlavour", "pt", "eta", "phi")], axis=1)
    text = "\n".join(f"{int(f)} {pt!r} {eta!r} {phi!r}" for f, pt, eta, phi in given.tolist())
    done = subprocess.run([program, path], input=text, capture_output=True, text=True, check=True)
    found = np.array(done.stdout.split(), float)
    expected = nominal(network, offsets, nodes)[:, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)

"""All that hepsilon does with Keras, on the backend that ``KERAS_BACKEND`` names.

    KERAS_BACKEND=torch python -m tests.backends.round FOLDER

Networks of every kind are trained into the folder, then each network that lies there, by whichever
backend, is evaluated: ``BACKEND.npz`` has the efficiencies. Every step raises if it fails, and says
how long it took.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon
from hepsilon.config import Config, ModelConfig
from hepsilon.efficiencies.artifact import read_arrays
from hepsilon.efficiencies.engines.keras import KERAS
from hepsilon.efficiencies.phase_space import at_momenta
from hepsilon.export import formats
from hepsilon.simulation import write_jets
from tests.helpers.ratio_toys import ratio_config, two_jets, write_two
from tests.helpers.toys import POINTS, TASK, mlp_config, random_jets
from tests.helpers.track_toys import TRACKS, draw, random_tracks, track_config, write_sample

BACKEND = os.environ.get("KERAS_BACKEND", "")
COUNTS = [0, 1, 2, 5, 15, 3, 2, 4, 8] * 30
PAIRS = "product", "event"
"""Tasks of events with two tracks."""
FEW = "mlp", "folds", "gnn", "product"
"""What a backend trains that compiles, which takes longer than these trainings; torch does not."""
OTHERS = set(KERAS) - {BACKEND, "jax"}
"""What must not be imported; Keras itself imports JAX where it is installed."""


def sized(config: Config, **model: Any) -> Config:
    """The configuration with another network."""
    sizes = {"architecture": "mlp", "width": 4, "blocks": 1} | model
    return config.model_copy(update={"model": ModelConfig.model_validate(sizes)})


def configurations() -> dict[str, Config]:
    """One small training of every kind."""
    jets = mlp_config(epochs=1)
    return {
        "mlp": jets,
        "folds": sized(jets, members=2, resampling="folds"),
        "gnn": sized(mlp_config(POINTS, epochs=1), architecture="gnn", members=2),
        "paper": sized(jets, architecture="gnn", preset="paper"),
        "product": track_config(architecture="product"),
        "event": track_config(members=2),
        "tracks": track_config(TRACKS, "gnn"),
        "loss": mlp_config(epochs=1, loss="square", l2=1e-3),
    }


def write_samples(folder: Path) -> None:
    """Files that everything is trained on."""
    write_jets(folder / "jets.root", 600, seed=1)
    write_jets(folder / "more.root", 600, seed=2)
    write_sample(folder / "pairs.root", draw([2] * 400))
    counts = np.random.default_rng(2).integers(1, 5, 400).tolist()
    write_sample(folder / "tracks.root", draw(counts, seed=2))
    write_two(folder)


def sample_of(folder: Path, name: str) -> Path:
    """File to train a configuration on."""
    of_tracks = {"product": "pairs", "event": "pairs", "tracks": "tracks"}
    return folder / f"{of_tracks.get(name, 'jets')}.root"


def records_of(name: str) -> ak.Array:
    """What to evaluate a network on."""
    if name == "ratio":
        return two_jets(600, 5, numerator=True).Jet
    if name in PAIRS:
        return random_tracks([2] * 600)
    return random_tracks([1, 2, 3, 4] * 150) if name == "tracks" else random_jets(COUNTS)


def weights_of(path: str | Path) -> dict[str, Any]:
    """All arrays of an artifact."""
    efficiency: Any = hepsilon.load(path)
    return read_arrays(str(path), efficiency.card, efficiency.hash)


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two artifacts have the same arrays, bit for bit."""
    np.testing.assert_equal(one, other)


def trains(folder: Path) -> None:
    """Every kind of network, with its graph, by this backend alone."""
    for name, config in configurations().items():
        if BACKEND != "torch" and name not in FEW:
            continue
        out = folder / f"{BACKEND}-{name}.hepsilon"
        result = hepsilon.train(config, sample_of(folder, name), out, progress=False)
        card = result.efficiency.card
        assert "model.onnx" in card.blobs, name
        assert card.last_layer is not None, name
        assert {name for name in KERAS if name in card.versions} == {BACKEND}, card.versions
        assert not OTHERS & set(sys.modules), "another backend was imported"
        eps = ak.ravel(result.efficiency(records_of(name), out_of_domain="ignore"))
        assert ak.all((eps > 0.0) & (eps < 1.0))
    if BACKEND == "tensorflow":  # the other tests do that
        return
    config = ratio_config(training={"epochs": 2})
    files = [folder / "numerator.parquet"], [folder / "denominator.parquet"]
    hepsilon.train_ratio(config, folder / f"{BACKEND}-ratio.hepsilon", *files, progress=False)


def evaluates(folder: Path) -> None:
    """Every network that is there by Keras, with replicas and gradients."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*-*.hepsilon")):
        name = path.stem.partition("-")[2]
        sys.stdout.write(f"{path.stem}\n")
        sys.stdout.flush()
        efficiency: Any = hepsilon.load(path, backend=BACKEND)
        records = records_of(name)
        if name == "ratio":
            found[path.stem] = ak.to_numpy(ak.flatten(efficiency(records, out_of_domain="ignore")))
            continue
        answer = efficiency.evaluate(records, out_of_domain="ignore")
        found[path.stem] = ak.to_numpy(ak.ravel(answer.eps))
        found[f"{path.stem} replicas"] = ak.to_numpy(ak.ravel(answer.replicas))
        if name in PAIRS:
            momenta = np.stack([ak.to_numpy(records[c]) for c in ("px", "py", "pz")], axis=2)
            charge = ak.to_numpy(records["charge"])
            points = at_momenta(
                efficiency, momenta, gradient=True, out_of_domain="ignore", charge=charge
            )
            found[f"{path.stem} gradient"] = np.ravel(points.gradient)
    np.savez(folder / f"{BACKEND}.npz", **found)


def exports(folder: Path) -> None:
    """Formats that need Keras, and those that need TensorFlow say so."""
    out = folder / f"{BACKEND}-exported"
    made = folder / f"{BACKEND}-gnn.hepsilon"
    out.mkdir()
    formats.export(made, "onnx", out / "gnn.onnx", named=True, probabilities=True)
    formats.export(made, "triton", out / "triton")
    formats.export(made, "hepsilon", out / "gnn.hepsilon")
    formats.export(folder / f"{BACKEND}-mlp.hepsilon", "correctionlib", out / "mlp.json")
    jets = random_jets(COUNTS)
    again = hepsilon.load(out / "gnn.hepsilon", backend="onnxruntime")(jets, out_of_domain="ignore")
    here = hepsilon.load(made, backend=BACKEND)(jets, out_of_domain="ignore")
    np.testing.assert_allclose(ak.ravel(again), ak.ravel(here), rtol=0, atol=1e-6)
    refused("SavedModel needs", formats.export, made, "savedmodel", out / "saved")


def goes_on(folder: Path) -> None:
    """An interrupted training ends with the weights of one that was not."""

    class Interrupt:
        """Stop after the first epoch."""

        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            """End the training as Ctrl-C would."""
            raise KeyboardInterrupt

    config, data = mlp_config(epochs=3), folder / "jets.root"
    hepsilon.train(config, data, folder / f"{BACKEND}-straight.hepsilon", progress=False)
    out = folder / f"{BACKEND}-goes_on.hepsilon"
    try:
        hepsilon.train(config, data, out, progress=False, callbacks=[Interrupt()])
    except KeyboardInterrupt:
        assert not out.exists()
    else:
        raise AssertionError("the training was not interrupted")
    with messages() as said:
        hepsilon.train(config, data, out, progress=False)
    assert "going on after epoch 1 of 3" in said
    same(weights_of(out), weights_of(folder / f"{BACKEND}-straight.hepsilon"))


class messages(logging.Handler):  # noqa: N801
    """Messages of hepsilon's logger inside a ``with`` block."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.said.append(record.getMessage())

    def __enter__(self) -> list[str]:
        logger = logging.getLogger("hepsilon")
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        return self.said

    def __exit__(self, *error: object) -> None:
        logging.getLogger("hepsilon").removeHandler(self)


def in_processes(folder: Path) -> None:
    """Networks that are trained in worker processes are those of this process."""
    from hepsilon.processors.executors import local_executor

    config = sized(mlp_config(epochs=1), members=2, resampling="folds")
    out, data = folder / f"{BACKEND}-processes.hepsilon", folder / "jets.root"
    hepsilon.train(config, data, out, progress=False, workers=local_executor(2))
    same(weights_of(out), weights_of(folder / f"{BACKEND}-folds.hepsilon"))


def chooses(folder: Path) -> None:
    """``architecture = "auto"``, with trees for what it leaves, and a recalibration after it."""
    config = sized(mlp_config(TASK, epochs=1, refine=True), architecture="auto")
    out = folder / f"{BACKEND}-auto.hepsilon"
    efficiency = hepsilon.train(config, folder / "jets.root", out, progress=False).efficiency
    assert efficiency.card.model.architecture in {"mlp", "gnn"}
    assert efficiency.card.refinement is not None
    from hepsilon.closure import recalibrate

    recalibrated = recalibrate(
        out, folder / "more.root", folder / f"{BACKEND}-recalibrated.hepsilon"
    )
    assert recalibrated.card.recalibration is not None
    eps = ak.ravel(recalibrated(random_jets(COUNTS), out_of_domain="ignore"))
    assert ak.all((eps > 0.0) & (eps < 1.0))


def in_bfloat16(folder: Path) -> None:
    """A training in bfloat16, and what loading in it changes."""
    config, data = mlp_config(epochs=1, precision="bfloat16"), folder / "jets.root"
    out = folder / f"{BACKEND}-bfloat16.hepsilon"
    hepsilon.train(config, data, out, progress=False)
    jets = random_jets(COUNTS)
    exact, rounded = (
        ak.ravel(hepsilon.load(out, backend=BACKEND, precision=p)(jets, out_of_domain="ignore"))
        for p in ("float32", "bfloat16")
    )
    change = rounded - exact
    assert 0.0 < np.abs(ak.to_numpy(change)).max() < 0.01


def refused(message: str, call: Callable[..., Any], *arguments: Any) -> None:
    """A call ends with an error that has these words."""
    with pytest.raises(hepsilon.ConfigError, match=message):
        call(*arguments)


def refuses(folder: Path) -> None:
    """Devices and precisions that are not there."""
    made, jets = folder / f"{BACKEND}-mlp.hepsilon", random_jets([2])
    on_gpu = "this computes on the CPU" if BACKEND == "jax" else "computes in float32, not in tf32"
    for options, message in (
        ({"device": "gpu:7"}, "CUDA_VISIBLE_DEVICES"),
        ({"precision": "tf32"}, on_gpu),
    ):
        refused(message, lambda o=options: hepsilon.load(made, backend=BACKEND, **o)(jets))


STEPS: tuple[Callable[[Path], None], ...] = (
    trains,
    evaluates,
    exports,
    goes_on,
    in_processes,
    chooses,
    in_bfloat16,
    refuses,
)


def main(folder: Path, only: list[str]) -> None:
    """Run all steps on a folder, or those that are named."""
    import_is_light = not set(KERAS) & set(sys.modules) and "keras" not in sys.modules
    assert import_is_light, "importing hepsilon starts no backend"

    for step in STEPS:
        if only and step.__name__ not in only:
            continue
        start = perf_counter()
        step(folder)
        sys.stdout.write(f"{step.__name__}: {perf_counter() - start:.1f} s\n")
        sys.stdout.flush()
    import keras

    assert keras.backend.backend() == BACKEND
    assert not OTHERS & set(sys.modules)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

"""Add an architecture and a feature of your own: train, save, and apply in another process.

Both are functions with a name and parameters. The model file stores these, never the functions, so
whoever applies it imports the module that registers them: here this file, from a second process. A
package names that module as an entry point, and need not be imported by hand::

    [project.entry-points."hepsilon.architectures"]
    deep_set = "my_package.networks"

    [project.entry-points."hepsilon.features"]
    pull = "my_package.features"
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import awkward as ak
import numpy as np

import hepsilon
from hepsilon.arrays.fields import register_field
from hepsilon.config import BinAxis, MapConfig, ModelConfig, TrainingConfig
from hepsilon.networks import NetworkInputs, register_architecture
from hepsilon.simulation import toy_task, write_jets


@register_field("recoil", ("pt", "phi"), partners=True, unit=100.0)
def recoil(jets: ak.Array, unit: float) -> ak.Array:
    """Size of the transverse momentum of all other jets of the event, in units of ``unit`` GeV."""
    px, py = jets.pt * np.cos(jets.phi), jets.pt * np.sin(jets.phi)
    others_x, others_y = ak.sum(px, axis=1) - px, ak.sum(py, axis=1) - py
    return np.hypot(others_x, others_y) / unit


@register_architecture("deep_set", partners=True, width=16, activation="silu")
def deep_set(inputs: NetworkInputs, width: int, activation: str) -> object:
    """Each jet, and the sum of one network of it and each of its partners."""
    import keras

    own = inputs.dense(width, activation)(inputs.encoded)
    messages = inputs.dense(width, activation)(inputs.pairs(own))
    both = keras.layers.Concatenate()([own, inputs.sum_over_partners(messages)])
    return inputs.logit(inputs.dense(width, activation)(both))


APPLY = """
import sys
from importlib import import_module
import hepsilon
from hepsilon.data.reading import read_chunks

folder, module, model, file = sys.argv[1:]
sys.path.insert(0, folder)
import_module(module)  # registers both names
efficiency = hepsilon.load(model)
chunk = next(read_chunks(file, efficiency.task, efficiency.card.input))
print("first event in another process:", efficiency(chunk.records)[0].to_list())
"""


def main() -> None:
    """Train on simulated jets, and apply the file elsewhere."""
    n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    folder = Path(tempfile.mkdtemp())
    sample = write_jets(folder / "train.root", n_events, seed=1)

    task = toy_task()
    config = hepsilon.Config(
        task=task.model_copy(update={"features": (*task.features, "recoil")}),
        # in a file: architecture = "deep_set", parameters = { width = 8 } under [model]
        model=ModelConfig(architecture="deep_set", parameters={"width": 8}),
        training=TrainingConfig(epochs=3),
        map=MapConfig(axes={"pt": BinAxis(edges=(20.0, 50.0, 100.0, 600.0))}),
    )
    result = hepsilon.train(config, [sample], folder / "own.hepsilon", progress=False)
    card = result.efficiency.card
    print("stored:", card.architecture.custom)
    for each in card.importance:
        print(f"importance of {each.feature}: {each.rise:.5f} +- {each.error:.5f}")

    place = Path(__file__).resolve()
    arguments = [place.parent, place.stem, folder / "own.hepsilon", sample]
    subprocess.run([sys.executable, "-c", APPLY, *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()

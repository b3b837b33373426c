"""Is a shifted sample noticed, and how often is one that is not? Domains on toy jets.

    python benchmarks/domain.py --out benchmarks/results/domain.json

A network learns from 20,000 events (one epoch: the domain is that of the sample, not of what is
learned). Chunks of 1,000 other events are then asked about with ``out_of_domain="raise"``: as they
are, and moved. Shown are the share of chunks that raise (power; of the chunks as they are, false
alarms), and of the first 20 chunks together the mean share of jets outside.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from rich.console import Console
from rich.table import Table

import hepsilon
from hepsilon import DomainError
from hepsilon.config import ModelConfig, TrainingConfig
from hepsilon.data.dataset import read_columns
from hepsilon.data.reading import read_chunks
from hepsilon.report import write_text
from hepsilon.simulation import toy_task, write_jets

CHUNK, CHUNKS, TRAINING = 1_000, 100, 20_000


def moved(name: str, change: Callable[[Any], Any]) -> Callable[[ak.Array], ak.Array]:
    """Change of one field of all jets."""
    return lambda jets: ak.with_field(jets, change(jets[name]), name)


def central_and_hard(jets: ak.Array) -> ak.Array:
    """Jets above 450 GeV at large eta alone: each is known, both together hardly."""
    hard = jets.pt > 450.0
    return ak.with_field(jets, ak.where(hard, 2.3 * np.sign(jets.eta), jets.eta), "eta")


def doubled(jets: ak.Array) -> ak.Array:
    """Events of twice as many jets."""
    return ak.concatenate([jets[0::2], jets[1::2]], axis=1)


SHIFTS: dict[str, Callable[[ak.Array], ak.Array]] = {
    "as it is": lambda jets: jets,
    "pt + 1 %": moved("pt", lambda x: 1.01 * x),
    "pt + 5 %": moved("pt", lambda x: 1.05 * x),
    "pt + 20 %": moved("pt", lambda x: 1.2 * x),
    "|eta| + 0.05": moved("eta", lambda x: x + 0.05 * np.sign(x)),
    "eta of hard jets at 2.3": central_and_hard,
    "two events in one": doubled,
}


def measured(efficiency: Any, chunks: list[ak.Array]) -> dict[str, dict[str, float]]:
    """Shares of chunks that raise, and of jets outside, by shift."""
    found = {}
    for name, shift in SHIFTS.items():
        raised, outside, jets = 0, 0, 0
        for number, chunk in enumerate(chunks):
            asked = shift(chunk)
            try:
                efficiency(asked, out_of_domain="raise")
            except DomainError:
                raised += 1
            if number < 20:
                inside = ak.flatten(efficiency.in_domain(asked))
                outside, jets = outside + int(ak.sum(~inside)), jets + len(inside)
        found[name] = {"raised": raised / len(chunks), "outside": outside / jets}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/domain.json"))
    parser.add_argument("--chunks", type=int, default=CHUNKS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, training = ModelConfig(architecture="gnn"), TrainingConfig(epochs=1)
        config = hepsilon.Config(task=toy_task(), model=model, training=training)
        write_jets(folder / "train.root", TRAINING, seed=1)
        write_jets(folder / "other.root", CHUNK * args.chunks, seed=2)
        columns = read_columns([folder / "train.root"], config, progress=False)
        trained = hepsilon.train(config, columns, folder / "gnn.hepsilon", progress=False)
        fields = list(config.task.features)
        other = read_chunks([folder / "other.root"], config.task, config.input, fields=fields)
        jets = ak.concatenate([chunk.records for chunk in other])
        chunks = [jets[i : i + CHUNK] for i in range(0, len(jets), CHUNK)]
        results = measured(trained.efficiency, chunks)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(args.out, json.dumps({"chunks": args.chunks, "shifts": results}, indent=1) + "\n")
    table = Table("sample", "chunks that raise", "jets outside")
    for name, entry in results.items():
        table.add_row(name, f"{entry['raised']:.0%}", f"{entry['outside']:.2%}")
    Console().print(table)


if __name__ == "__main__":
    main()

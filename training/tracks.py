"""Train the efficiency of two tracks of tracks.toml, or the paper's network on the same task.

    hepsilon simulate tracks -n 1000000 --seed 1 --out phasespace.root
    python training/tracks.py phasespace.root --out tracks.hepsilon
    python training/tracks.py phasespace.root --paper --out paper.hepsilon

The default is a product of one network for every track and one for every pair (an ensemble of
five, averaged before it is inverted). The paper's network has five hidden layers of 100 tanh units
on the six raw momentum components; it needs no charge, since the positive track comes first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import hepsilon
from hepsilon.config import ModelConfig, TrainingConfig

PAPER = ModelConfig(architecture="mlp", preset="paper")
PENALTY = TrainingConfig(l1=0.0, l2=1e-7)  # regularisation, of which the paper names both


def configuration(paper: bool) -> hepsilon.Config:
    """Configuration of tracks.toml, with the paper's network if asked for."""
    config = hepsilon.load_config(Path(__file__).with_suffix(".toml"))
    if not paper:
        return config
    task = config.task.model_copy(update={"features": ("px", "py", "pz"), "categorical": {}})
    return config.model_copy(update={"task": task, "model": PAPER, "training": PENALTY})


def main() -> None:
    """Train on the given files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, help="ROOT or parquet files")
    parser.add_argument("--out", type=Path, required=True, help="model file to write")
    parser.add_argument("--paper", action="store_true", help="the paper's network")
    parser.add_argument("--epochs", type=int, help="largest number of epochs (the preset's)")
    args = parser.parse_args()
    config = configuration(args.paper)
    if args.epochs is not None:
        training = config.training.model_copy(update={"epochs": args.epochs})
        config = config.model_copy(update={"training": training})
    hepsilon.train(config, args.files, args.out)


if __name__ == "__main__":
    main()

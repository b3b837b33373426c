"""Train the per-jet network of mlp.toml, with a hand-made configuration instead of the file's.

    hepsilon simulate jets -n 100000 --seed 1 --out train.root
    python training/mlp.py train.root --out mlp.hepsilon

Shows how a configuration is built and changed in Python; gnn.py only reads one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import hepsilon


def configuration(width: int) -> hepsilon.Config:
    """Configuration of mlp.toml with another width of the hidden layers."""
    config = hepsilon.load_config(Path(__file__).with_suffix(".toml"))
    model = config.model.model_copy(update={"width": width})
    return config.model_copy(update={"model": model})


def main() -> None:
    """Train on the given files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, help="ROOT or parquet files")
    parser.add_argument("--out", type=Path, required=True, help="model file to write")
    parser.add_argument("--width", type=int, default=64, help="hidden units (%(default)s)")
    args = parser.parse_args()
    hepsilon.train(configuration(args.width), args.files, args.out)


if __name__ == "__main__":
    main()

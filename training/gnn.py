"""Train the graph network of gnn.toml on NanoAOD-like files.

    hepsilon simulate jets -n 100000 --seed 1 --out train.root
    python training/gnn.py train.root --out gnn.hepsilon

does the same as ``hepsilon train training/gnn.toml train.root --out gnn.hepsilon``, as a script
to copy and edit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import hepsilon


def main() -> None:
    """Read the configuration, train, and say what was reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, help="ROOT or parquet files")
    parser.add_argument("--out", type=Path, required=True, help="model file to write")
    parser.add_argument(
        "--config", type=Path, default=Path(__file__).with_suffix(".toml"), help="configuration"
    )
    args = parser.parse_args()

    config = hepsilon.load_config(args.config)
    result = hepsilon.train(config, args.files, args.out)
    for member, (epochs, best) in enumerate(zip(result.history, result.best_epochs, strict=True)):
        loss = epochs[best - 1].validation_loss
        print(f"member {member + 1}: epoch {best} kept, validation loss {loss:.5f}")


if __name__ == "__main__":
    main()

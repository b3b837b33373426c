"""Make jets of one tune look like those of another, by a ratio that is learned from both.

    python generate.py dijets -n 8000 --seed 1 --tune monash --out monash
    python generate.py dijets -n 8000 --seed 3 --tune 4C --out 4C
    python reweight.py 4C monash --out reweight.json

The first folder stands for the data, the second for the simulation. The ratio of their densities is
learned from every other file, and looked at in the files between: chi2/ndf of the features and of
the distances of jets, and the area under the curve of trees that tell the two apart, before and
after the simulation is reweighted. The b tag is no feature: the share of jets that pass it follows
only as far as it depends on what the ratio knows.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

import hepsilon
from hepsilon.closure.ratio import ratio_closure
from hepsilon.config import ModelConfig, Task, TrainingConfig

HERE = Path(__file__).parent
TASK = {
    "features": ["pt", "eta", "mass", "nConstituents"],
    "selection": [{"field": "pt", "min": 20.0}],
    "ratio": {},
}
POINT = 1.036
"""Loose cut of the b tag (btag.toml)."""


def config_of(args: argparse.Namespace) -> hepsilon.Config:
    """Ratio of the densities of jets."""
    epochs = {} if args.epochs is None else {"epochs": args.epochs}
    return hepsilon.Config(
        task=Task.model_validate(TASK),
        model=ModelConfig.model_validate({"architecture": args.architecture}),
        training=TrainingConfig.model_validate({"seed": args.seed, **epochs}),
    )


def halves(folder: Path) -> tuple[list[str], list[str]]:
    """Files to learn from, and files to look at."""
    files = [str(path) for path in sorted(folder.glob("*.root"))]
    if len(files) < 2:
        raise SystemExit(f"{folder}: expected two files of generate.py or more, found {len(files)}")
    return files[::2], files[1::2]


def tagged(files: list[str], ratio: Any = None) -> tuple[float, float]:
    """Share of the jets that pass the b tag, weighted with a ratio, and its error."""
    events = uproot.concatenate([f"{path}:Events" for path in files])
    names = [name for name in events.fields if name.startswith("Jet_")]
    jets = ak.zip({name.removeprefix("Jet_"): events[name] for name in names})
    jets = jets[jets.pt > TASK["selection"][0]["min"]]
    weights = np.ones(ak.count(jets.pt))
    if ratio is not None:
        weights = ak.to_numpy(ak.flatten(ratio.reweight(jets, out_of_domain="ignore").weights))
    passed = ak.to_numpy(ak.flatten(jets.btagJP > POINT))
    share = float(np.average(passed, weights=weights))
    return share, float(np.sqrt(np.sum((weights * (passed - share)) ** 2)) / weights.sum())


def main() -> None:
    """Learn the ratio, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("numerator", type=Path, help='folder of the "data"')
    parser.add_argument("denominator", type=Path, help="folder of the simulation")
    parser.add_argument("--architecture", default="mlp")
    parser.add_argument("--epochs", type=int, help="of the training (those of the recipe)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, default=Path("reweight.hepsilon"))
    parser.add_argument("--out", type=Path, default=Path("reweight.json"))
    args = parser.parse_args()
    (data_training, data), (training, simulation) = map(halves, (args.numerator, args.denominator))
    start = time.process_time()
    if not args.model.exists():
        hepsilon.train_ratio(config_of(args), args.model, data_training, training)
    seconds = time.process_time() - start
    ratio = hepsilon.load(args.model)
    closure = ratio_closure(ratio, data, simulation)
    shares = [tagged(data), tagged(simulation), tagged(simulation, ratio)]
    result = {"cpu_s": seconds, "tagged": shares, "closure": closure.as_dict()}
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"mean of the ratio {closure.mean:.3f} +- {closure.mean_error:.3f}")
    print(f"jets worth {closure.n_effective:.0f} of {closure.denominator.n}")
    print("| | before | after |\n|---|---|---|")
    print(f"| AUC | {closure.auc_before:.3f} | {closure.auc_after:.3f} |")
    for name, each in closure.observables.items():
        ratios = [f"{a.chi2 / a.ndf:.2f}" for a in (each.before, each.after)]
        print(f"| {name} | {' | '.join(ratios)} |")
    (aim, _), *sides = shares
    print(f"| tagged, {aim:.4f} in the data | " + " | ".join(f"{x:.4f}" for x, _ in sides) + " |")
    print(f"{closure.verdict.status}: {'; '.join(closure.verdict.reasons)}")


if __name__ == "__main__":
    main()

"""Make jets of one tune look like those of another, by a ratio that is learned from both.

    python generate.py dijets -n 8000 --seed 1 --tune monash --out monash
    python generate.py dijets -n 8000 --seed 3 --tune 4C --out 4C
    python reweight.py 4C monash --out reweight.json

The first folder stands for the data, the second for the simulation. The ratio of their densities is
learned from every other file, and looked at in the files between: chi2/ndf of observables, and the
area under the curve of trees that tell the two apart, before and after the simulation is
reweighted. The discriminant of the b tag is no feature: the ratio knows it only by the others.
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
from hepsilon.closure.reweighting import compare_samples
from hepsilon.config import ModelConfig, Task, TrainingConfig
from hepsilon.config.ratio import RatioConfig

FEATURES = ("pt", "eta", "mass", "nConstituents")
OBSERVABLES = (*FEATURES, "btagJP")
MIN_PT = 20.0


def config_of(architecture: str, seed: int) -> hepsilon.Config:
    """Ratio of densities of jets."""
    selection = [{"field": "pt", "min": MIN_PT}]
    task = {"features": FEATURES, "selection": selection, "ratio": RatioConfig()}
    return hepsilon.Config(
        task=Task.model_validate(task),
        model=ModelConfig.model_validate({"architecture": architecture}),
        training=TrainingConfig(seed=seed),
    )


def halves(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files to learn from, and files to look at."""
    files = sorted(folder.glob("*.root"))
    if len(files) < 2:
        raise SystemExit(f"{folder}: expected two files of generate.py or more, found {len(files)}")
    return files[::2], files[1::2]


def jets_of(files: list[Path]) -> ak.Array:
    """Jets of the test files."""
    events = uproot.concatenate([f"{path}:Events" for path in files])
    names = [name for name in events.fields if name.startswith("Jet_")]
    jets = ak.zip({name.removeprefix("Jet_"): events[name] for name in names})
    return jets[jets.pt > MIN_PT]


def observables(jets: ak.Array) -> dict[str, Any]:
    """Observables of all jets."""
    return {name: ak.to_numpy(ak.flatten(jets[name])).astype(float) for name in OBSERVABLES}


def main() -> None:
    """Learn the ratio, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("numerator", type=Path, help='folder of the "data"')
    parser.add_argument("denominator", type=Path, help="folder of the simulation")
    parser.add_argument("--architecture", default="mlp")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, default=Path("reweight.hepsilon"))
    parser.add_argument("--out", type=Path, default=Path("reweight.json"))
    args = parser.parse_args()
    (top_training, top_test), (training, test) = map(halves, (args.numerator, args.denominator))
    start = time.process_time()
    ratio = hepsilon.train_ratio(
        config_of(args.architecture, args.seed),
        args.model,
        numerator=[str(path) for path in top_training],
        denominator=[str(path) for path in training],
        progress=False,
    ).efficiency
    seconds = time.process_time() - start
    top, bottom = jets_of(top_test), jets_of(test)
    found = ratio.reweight(bottom)
    sides = observables(top), observables(bottom)
    events = [np.repeat(np.arange(len(jets)), ak.num(jets)) for jets in (top, bottom)]
    weights = ak.to_numpy(ak.flatten(found.weights))
    stages = {
        name: compare_samples(
            *sides,
            denominator_weights=w,
            numerator_events=events[0],
            denominator_events=events[1],
        )
        for name, w in (("before", None), ("after", weights))
    }
    result = {
        "jets": [len(side["pt"]) for side in sides],
        "mean": found.mean,
        "mean_error": found.error,
        "effective_share": found.n_effective / found.n_effective_before,
        "clipped": found.n_clipped,
        "outside": found.n_outside,
        "cpu_s": seconds,
        **{name: {"auc": s.auc, "chi2_ndf": s.chi2_ndf} for name, s in stages.items()},
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"mean of the ratio {found.mean:.3f} +- {found.error:.3f}")
    print(f"effective share of the jets {result['effective_share']:.2f}")
    print("| | before | after |\n|---|---|---|")
    before, after = stages["before"], stages["after"]
    print(f"| AUC | {before.auc:.3f} | {after.auc:.3f} |")
    for name in OBSERVABLES:
        print(f"| {name} | {before.chi2_ndf[name]:.2f} | {after.chi2_ndf[name]:.2f} |")


if __name__ == "__main__":
    main()

"""Ratios of two samples of toy jets, whose true ratio is known, by networks and baselines.

    python benchmarks/ratios.py --seeds 1 2 3
    python benchmarks/ratios.py --samples good --methods binned network --seeds 4 5 6 7
    python benchmarks/ratios.py --markdown

Samples: ``good``, ``partial`` and ``none`` by the overlap of numerator and denominator;
``background`` is the first with a third of background in the numerator, subtracted by sWeights;
``efficiency`` asks for the ratio of the efficiencies of a tag. Methods: ``binned`` is a ratio in
bins of pt, shape and flavour (of efficiencies of pt and flavour), as ``hepsilon map`` makes it;
``boosting`` and ``reweighting`` are those of ratio_baselines.py; ``network`` is one network,
``folds`` three of them on the folds of the trees. Of efficiencies ``constant`` is the ratio of the
shares that pass, and ``separate`` that of two networks, each trained on one sample.

On independent entries of the denominator: the integrated squared error of the logarithm; the
divergence r log(r / r') - r + r', whose mean is the Kullback-Leibler divergence where both are
normalised; the mean of the ratio; the effective share of the entries after reweighting; how often
the truth is within 68 % bands, for single jets and for means in bins of pt and flavour, the median
width of a band, and by how much replicas of the mean differ. Against
independent entries of the numerator: the area under the curve of boosted trees that tell both
apart, before and after reweighting, and chi2/ndf of observables. Where the overlap is partial both
are compared in the region that both cover. A result is written after every training, and is not
measured again.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from pages import coverage_lines, markdown, ratio_lines
from ratio_baselines import FOLDS, binned_ratio, boosted_ratio, reweighted_ratio, trees
from rich.console import Console
from rich.table import Table
from side_by_side import SampleComparison, compare_samples

import hepsilon
from hepsilon.arrays.geometry import delta_r_to_nearest
from hepsilon.arrays.types import Array
from hepsilon.config import ModelConfig, Task, TrainingConfig
from hepsilon.config.ratio import RatioConfig
from hepsilon.config.task import Passed
from hepsilon.data.dataset import read_columns
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.report import write_text
from hepsilon.simulation import write_ratio_jets
from hepsilon.simulation.ratios import OVERLAPS, POPULATIONS, SIDES
from hepsilon.training.ratios import join

SAMPLES = ("good", "partial", "none", "background", "efficiency")
METHODS = (
    *("truth", "constant", "binned", "boosting", "reweighting"),
    *("network", "separate", "folds"),
)
OF_EFFICIENCIES = ("constant", "separate")
NAMES = ("pt", "eta", "hadronFlavour", "shape", "proximity")
FLAVOURS = {"hadronFlavour": (5, 4, 0)}
CATEGORICAL = [NAMES.index("hadronFlavour")]
NEVER = {("efficiency", "reweighting"), ("none", "truth")}
BACKGROUND = 0.33
TEST_SEED = 100_000
PROBES, REPLICAS = 300, 100
OBSERVABLES = ("pt", "eta", "hadronFlavour", "shape", "delta R")
PT_EDGES = (30.0, 45.0, 60.0, 90.0)


@dataclass(frozen=True)
class Toy:
    """Jets of a test sample, flat, with what is known of them."""

    records: ak.Array
    nodes: Array
    event: Array
    truth: Array
    nearest: Array

    def values(self, name: str) -> Array:
        """Values of a feature, or of the distance to the nearest jet."""
        return self.nearest if name == "delta R" else self.nodes[:, NAMES.index(name)]


def overlap_of(sample: str) -> str:
    """Overlap of a sample in pt."""
    return sample if sample in OVERLAPS else "good"


def written(folder: Path, sample: str, side: str, n_events: int, seed: int) -> Path:
    """File of one side of a training sample."""
    background = BACKGROUND if (sample, side) == ("background", "numerator") else 0.0
    return write_ratio_jets(
        folder / f"{side}.root",
        n_events,
        side=side,
        overlap=overlap_of(sample),
        background=background,
        seed=seed,
    )


@cache
def toy_of(sample: str, side: str, n_events: int) -> Toy:
    """Jets of one side, without background, equal for all trainings."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.root"
        overlap = overlap_of(sample)
        write_ratio_jets(path, n_events, side=side, overlap=overlap, seed=TEST_SEED)
        jets = uproot.open(path)["Events"].arrays()
        names = [name.removeprefix("Jet_") for name in jets.fields if name.startswith("Jet_")]
        jets = ak.zip({name: jets[f"Jet_{name}"] for name in names})
    nearest = delta_r_to_nearest(jets)
    flat = {name: ak.to_numpy(ak.flatten(jets[name])).astype(np.float64) for name in jets.fields}
    flat["nearest"] = ak.to_numpy(ak.flatten(nearest))
    flat["proximity"] = np.exp(-flat["nearest"])
    event = np.repeat(np.arange(len(jets)), ak.num(jets))
    truth = flat["trueEfficiencyRatio" if sample == "efficiency" else "trueRatio"]
    nodes = np.stack([flat[name] for name in NAMES], axis=1)
    return Toy(jets, nodes, event, truth, flat["nearest"])


@cache
def both_sides(sample: str, n_events: int) -> tuple[Toy, Toy]:
    """Numerator and denominator; of a partial overlap in the region that both cover."""
    top, bottom = (toy_of(sample, side, n_events) for side in SIDES)
    if sample != "partial":
        return top, bottom
    low, high = (OVERLAPS["partial"][side][1] for side in reversed(SIDES))
    start, middle, end = np.exp(-np.array([20.0, low, high]) / POPULATIONS["numerator"].pt_scale)
    covered = (start - middle) / (start - end)
    kept = top.values("pt") < low
    top = Toy(top.records, top.nodes[kept], top.event[kept], top.truth[kept], top.nearest[kept])
    return top, replace(bottom, truth=bottom.truth / covered)


# --------------------------------------------------------------------------------- methods


def task_of(sample: str) -> Task:
    """Task of a ratio of the toy jets."""
    common: dict[str, Any] = {"features": NAMES, "categorical": FLAVOURS}
    if sample == "efficiency":
        passed = Passed(field="discriminant", above=(0.0,))
        return Task(**common, passed=passed, ratio=RatioConfig(kind="efficiency"))
    weight = {"object_weight": "sWeight"} if sample == "background" else {}
    return Task(**common, **weight, ratio=RatioConfig())


def plain_task(task: Task) -> Task:
    """Task of the probability of the response, for a map."""
    return task.model_copy(update={"ratio": None})


@dataclass(frozen=True)
class Training:
    """Files and columns of both samples; weights have equal sums."""

    task: Task
    files: dict[str, Path]

    def columns(self) -> TrainingColumns:
        """Both samples of a density ratio, as entries of their own."""
        sides = []
        for side in SIDES:
            branches = {self.task.ratio.side: float(side == "numerator")}  # type: ignore[union-attr]
            own = self.config().input.model_copy(update={"branches": branches})
            config = self.config().model_copy(update={"input": own})
            sides.append(read_columns([self.files[side]], config, progress=False))
        totals = [columns.weights.sum() for columns in sides]
        sides[1].weights[:] *= totals[0] / totals[1]
        return join(*sides)

    def passed(self, side: str) -> TrainingColumns:
        """One sample of a ratio of efficiencies."""
        config = hepsilon.Config(task=plain_task(self.task))
        return read_columns([self.files[side]], config, progress=False)

    def config(self, **options: Any) -> hepsilon.Config:
        """Configuration of a training."""
        return hepsilon.Config(task=self.task, **options)


Answer = tuple[Array, Array | None]
"""Ratios of the jets of a toy, and their replicas."""


def flat(values: Any) -> Array:
    """Values of all jets."""
    return np.asarray(ak.to_numpy(ak.flatten(values)), np.float64)


def binned(training: Training, seed: int) -> Callable[[Toy], Answer]:
    """Ratio in bins."""
    columns = training.columns() if training.task.of_densities else training.passed("denominator")
    sides = {side: [path] for side, path in training.files.items()}
    ratio = binned_ratio(training.task, columns, sides)

    def of_bins(toy: Toy) -> Answer:
        found = ratio.evaluate(toy.records, out_of_domain="ignore", replicas=REPLICAS)
        return flat(found.eps), flat(found.replicas)

    return of_bins


def boosting(training: Training, seed: int) -> Callable[[Toy], Answer]:
    """Boosted trees of scikit-learn: odds, or the ratio of two efficiencies."""
    if training.task.of_densities:
        ratio = boosted_ratio(training.columns(), CATEGORICAL, seed)
        return lambda toy: (ratio(toy.nodes), None)
    models = []
    for side in SIDES:
        columns = training.passed(side)
        models.append(trees(CATEGORICAL, seed).fit(columns.nodes, columns.passed > 0.5))

    def divided(toy: Toy) -> Answer:
        a, b = (model.predict_proba(toy.nodes)[:, 1] for model in models)
        return a / b, None

    return divided


def reweighting(training: Training, seed: int) -> Callable[[Toy], Answer]:
    """Boosted reweighting of hep_ml."""
    ratio = reweighted_ratio(training.columns(), CATEGORICAL, seed)
    return lambda toy: (ratio(toy.nodes), None)


def network(training: Training, seed: int, members: int = 1) -> Callable[[Toy], Answer]:
    """Network of the default recipe for single jets."""
    several = {"members": members, "resampling": "folds"} if members > 1 else {}
    config = training.config(
        model=ModelConfig.model_validate({"architecture": "mlp", **several}),
        training=TrainingConfig(seed=seed),
    )
    out = training.files["numerator"].with_name("ratio.hepsilon")
    sides = {side: [path] for side, path in training.files.items()}
    hepsilon.train_ratio(config, out, **sides, progress=False)
    ratio = hepsilon.load(out)

    def learned(toy: Toy) -> Answer:
        found = ratio.evaluate(toy.records, out_of_domain="ignore", replicas=REPLICAS)
        return flat(found.eps), flat(found.replicas)

    return learned


def constant(training: Training, seed: int) -> Callable[[Toy], Answer]:
    """Ratio of the shares that pass in the two samples."""
    top, bottom = (training.passed(side).passed_rate for side in SIDES)
    return lambda toy: (np.full(len(toy.truth), top / bottom), None)


def separate(training: Training, seed: int) -> Callable[[Toy], Answer]:
    """Two networks of the default recipe, each trained on one sample, with independent draws."""
    found = []
    for number, side in enumerate(SIDES):
        config = hepsilon.Config(
            task=plain_task(training.task),
            model=ModelConfig(architecture="mlp"),
            training=TrainingConfig(seed=seed + 1000 * number),
        )
        out = training.files[side].with_suffix(".hepsilon")
        hepsilon.train(config, [training.files[side]], out, progress=False)
        found.append(hepsilon.load(out))

    def divided(toy: Toy) -> Answer:
        (a, da), (b, db) = (
            (flat(x.eps), flat(x.replicas))
            for x in (
                each.evaluate(toy.records, out_of_domain="ignore", replicas=REPLICAS)
                for each in found
            )
        )
        return a / b, da / np.roll(db, 1, axis=1)

    return divided


def folds(training: Training, seed: int) -> Callable[[Toy], Answer]:
    """Networks of the folds."""
    return network(training, seed, FOLDS)


def truth(training: Training, seed: int) -> Callable[[Toy], Answer]:
    """The true ratio."""
    return lambda toy: (toy.truth, None)


FIT: dict[str, Callable[[Training, int], Callable[[Toy], Answer]]] = {
    "truth": truth,
    "constant": constant,
    "binned": binned,
    "boosting": boosting,
    "reweighting": reweighting,
    "network": network,
    "separate": separate,
    "folds": folds,
}

# -------------------------------------------------------------------------------- measures


def compared(top: Toy, bottom: Toy, weights: Array | None) -> SampleComparison:
    """Numerator and weighted denominator, side by side."""
    sides = [{name: toy.values(name) for name in OBSERVABLES} for toy in (top, bottom)]
    return compare_samples(
        *sides,
        denominator_weights=weights,
        numerator_events=top.event,
        denominator_events=bottom.event,
    )


def in_bins(toy: Toy, values: Array) -> Array:
    """Means in bins of pt and flavour, (bins,) or (bins, replicas)."""
    flavour = np.select([toy.values("hadronFlavour") == f for f in (5, 4)], [0, 1], 2)
    group = np.digitize(toy.values("pt"), PT_EDGES) * 3 + flavour
    columns = values.reshape(len(values), -1)
    size = 3 * (len(PT_EDGES) + 1)
    sums = np.stack([np.bincount(group, c, minlength=size) for c in columns.T], axis=1)
    sums = sums / np.bincount(group, minlength=size)[:, None]
    return sums.reshape(size, *values.shape[1:])


def coverage(toy: Toy, found: Array, drawn: Array) -> dict[str, Any]:
    """Share of true ratios within one standard deviation of the replicas."""
    probes = np.random.default_rng(1).choice(len(found), PROBES, replace=False)
    parts = {
        "jets": (found[probes], drawn[probes], toy.truth[probes]),
        "bins": tuple(in_bins(toy, x) for x in (found, drawn, toy.truth)),
    }
    found_in = {
        name: float(np.mean(np.abs(value - true) < replicas.std(axis=1, ddof=1)))
        for name, (value, replicas, true) in parts.items()
    }
    band = np.median(np.std(np.log(drawn[probes]), axis=1, ddof=1))
    return found_in | {"band": float(band), "of_means": float(np.std(drawn.mean(axis=0), ddof=1))}


def errors(truth: Array, found: Array) -> dict[str, Any]:
    """Differences of a ratio to the truth, on the denominator."""
    n = len(found)
    measures = {
        "mean": float(found.mean()),
        "mean_error": float(found.std(ddof=1) / np.sqrt(n)),
        "effective": float(found.sum() ** 2 / np.sum(found**2) / n),
    }
    if np.all(truth > 0.0):
        divergence = truth * np.log(truth / found) - truth + found
        measures["kl"] = float(1e4 * divergence.mean())
        measures["squared"] = float(1e4 * np.mean(np.log(found / truth) ** 2))
    return measures


def measure(sample: str, answer: Callable[[Toy], Answer], n_test: int) -> dict[str, Any]:
    """All measures of a ratio."""
    top, bottom = both_sides(sample, n_test)
    found, drawn = answer(bottom)
    measures: dict[str, Any] = errors(bottom.truth, found)
    if drawn is not None and sample != "none":
        measures["coverage"] = coverage(bottom, found, drawn)
    if sample != "efficiency":
        stages = {"before": None, "after": found}
        sides = {name: compared(top, bottom, w) for name, w in stages.items()}
        measures["auc"] = {name: side.auc for name, side in sides.items()}
        measures["chi2_ndf"] = {name: side.chi2_ndf for name, side in sides.items()}
    return measures


def entry(sample: str, method: str, seed: int, n_events: int, n_test: int) -> dict[str, Any]:
    """Train and measure; a method that refuses says why."""
    found: dict[str, Any] = {"sample": sample, "method": method, "seed": seed, "events": n_events}
    with tempfile.TemporaryDirectory() as name:
        files = {side: written(Path(name), sample, side, n_events, seed) for side in SIDES}
        start = time.process_time()
        try:
            answer = FIT[method](Training(task_of(sample), files), seed)
        except (hepsilon.TrainingError, hepsilon.InputError) as error:
            return found | {"refused": str(error), "cpu_s": time.process_time() - start}
        found["cpu_s"] = time.process_time() - start
        return found | measure(sample, answer, n_test)


# ---------------------------------------------------------------------------------- output


def show(results: dict[str, Any], as_markdown: bool) -> None:
    """Print the tables."""
    tables = {
        "Squared error and KL in 1e-4: median and range over seeds": ratio_lines(results),
        "Share of true ratios within 68 % bands": coverage_lines(results),
    }
    for title, (header, lines) in tables.items():
        if as_markdown:
            print(f"{title}:\n\n{markdown(header, lines)}")
            continue
        table = Table(*header, title=title)
        for line in lines:
            table.add_row(*line)
        Console(width=max(180, Console().width)).print(table)


def main() -> None:
    """Train and measure what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ratios.json"))
    parser.add_argument("--samples", nargs="+", default=list(SAMPLES), choices=SAMPLES)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--events", type=int, default=3000, help="of each side, 3 jets each")
    parser.add_argument("--test-events", type=int, default=6000, help="of each side")
    parser.add_argument("--markdown", action="store_true", help="print what is there, and stop")
    args = parser.parse_args()
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    logging.getLogger("hepsilon").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", hepsilon.RatioWarning)
    plan = [(s, m, seed) for seed in args.seeds for s in args.samples for m in args.methods]
    for sample, method, seed in [] if args.markdown else plan:
        key = f"{sample} {method} {seed}"
        of_others = sample != "efficiency" and method in OF_EFFICIENCIES
        if key in results or (sample, method) in NEVER or of_others:
            continue
        results[key] = entry(sample, method, seed, args.events, args.test_events)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.out, json.dumps(results, indent=1) + "\n")
        shown = results[key].get("refused") or f"KL {results[key].get('kl', np.nan):.1f}"
        print(f"{key}: {shown}, {results[key]['cpu_s']:.0f} s", flush=True)
    show(results, args.markdown)


if __name__ == "__main__":
    main()

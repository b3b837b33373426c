"""Train efficiencies on ttbar, and see how well they close on Z+jets and dijets.

    python compare.py ttbar --tests zjets dijets --seeds 1 2 --out pythia.json

trains every model of ``MODELS`` for every seed, on the folder of that seed where the name of the
training folder has a ``{seed}`` in it, and closes it at each working point. Results are
written after every model: the same command after Ctrl-C goes on where it was, also within a
training. ``--markdown`` prints the tables of what is there, and stops.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from coffea.processor import IterativeExecutor

import hepsilon
from hepsilon.closure import closure_report, run_closure
from hepsilon.data.dataset import read_columns

HERE = Path(__file__).parent
BARE = ("pt", "eta", "phi", "hadronFlavour")
ALL = (*BARE, "mass", "nConstituents")
NEIGHBOURS = ("proximity", "n_close")
FIVE = {"members": 5, "resampling": "folds"}
OBSERVABLES = ("pt", "eta", "delta_r")
FLAVOURS = ("b", "c", "light")


class Model(NamedTuple):
    """Settings of ``[model]``, and the features."""

    features: tuple[str, ...]
    settings: dict[str, Any]


MODELS = {
    "map": Model(("pt", "eta", "hadronFlavour"), {}),
    "mlp": Model(ALL, {"architecture": "mlp"}),
    "mlp, neighbours": Model((*ALL, *NEIGHBOURS), {"architecture": "mlp"}),
    "gnn": Model(ALL, {"architecture": "gnn"}),
    "gnn, pt eta phi": Model(BARE, {"architecture": "gnn"}),
    "auto": Model(ALL, {"architecture": "auto"}),
    "mlp, neighbours, x5": Model((*ALL, *NEIGHBOURS), {"architecture": "mlp", **FIVE}),
    "gnn x5": Model(ALL, {"architecture": "gnn", **FIVE}),
}


def config_of(model: Model, seed: int) -> hepsilon.Config:
    """The configuration of this folder with the features and settings of a model."""
    base = hepsilon.load_config(HERE / "btag.toml")
    changes = {
        "task": base.task.model_copy(update={"features": model.features}),
        "model": type(base.model).model_validate(model.settings),
        "training": base.training.model_copy(update={"seed": seed}),
    }
    return base.model_copy(update=changes)


def train(name: str, seed: int, files: str, work: Path) -> dict[str, Any]:
    """Train a model; ``efficiency`` is the artifact, beside what its card says."""
    config = config_of(MODELS[name], seed)
    out = work / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}.hepsilon"
    if name == "map":
        columns = read_columns(files, config)
        efficiency = hepsilon.EfficiencyMap.fit(config.task, columns, config.map)
        efficiency.save(out)
        return {"efficiency": efficiency}
    if not out.exists():
        hepsilon.train(config, files, out)
    efficiency = hepsilon.load(out)
    card = efficiency.card.model_dump(mode="json")
    found = {key: card[key] for key in ("importance", "selection") if card.get(key)}
    return {"efficiency": efficiency, **found}


def close(efficiency: Any, files: str) -> dict[str, Any]:
    """Closure of an efficiency at each working point: chi2, number of bins, totals and tags."""
    config = hepsilon.load_config(HERE / "btag.toml")
    task = config.task.model_copy(update={"features": efficiency.task.features})
    found = {}
    for number, point in enumerate(efficiency.working_points):
        output = run_closure(
            files,
            task,
            {"it": efficiency},
            config=config.input,
            observables=config.observables,
            working_point=number,
            executor=IterativeExecutor(status=False),
        )
        report = closure_report(output, task, {"it": efficiency}, files)
        entry = report.as_dict()["efficiency"]["it"]
        chi2 = {}
        for name, flavour in product(OBSERVABLES, FLAVOURS):
            observable = entry["observables"][f"{name}|{flavour}"]
            chi2[f"{name} {flavour}"] = [observable["chi2"], observable["ndf"]]
        found[point] = {
            "overall": entry["overall"],
            "out_of_domain": entry["out_of_domain"],
            "tag_counts": entry["tag_counts"]["all"],
            "chi2": chi2,
        }
    return found


# ---------------------------------------------------------------------------------- output


def ratio(found: dict[str, Any], part: str = "") -> list[float]:
    """Mean chi2/ndf of the observables and flavours with ``part`` in their names, if any."""
    chosen = [(chi2, ndf) for name, (chi2, ndf) in found["chi2"].items() if part in name]
    return [mean(chi2 / ndf for chi2, ndf in chosen if ndf)] if any(n for _, n in chosen) else []


def spread(values: list[float], digits: int = 2) -> str:
    """Mean of the seeds, with their range where there are several."""
    if not values:
        return ""
    numbers = [f"{x:.{digits}f}" for x in (mean(values), min(values), max(values))]
    return numbers[0] if len(values) == 1 else f"{numbers[0]} ({numbers[1]} to {numbers[2]})"


def row(name: str, seeds: list[dict[str, Any]]) -> list[str]:
    """Cells of a model: mean chi2/ndf of all, by observable and by flavour, totals and tags."""
    parts = ["", *OBSERVABLES, *(f" {flavour}" for flavour in FLAVOURS)]
    cells = [spread([x for found in seeds for x in ratio(found, part)]) for part in parts]
    totals = [found["overall"] for found in seeds]
    bias = spread([100.0 * (t["expected"] / t["observed"] - 1.0) for t in totals], 1)
    pulls = [[f"{found['tag_counts'][n]['pull']:+.1f}" for found in seeds] for n in TAGS]
    error = f"{100.0 * totals[0]['relative_error']:.1f}"
    return [name, *cells, f"{bias} ± {error}", *(" / ".join(each) for each in pulls)]


TAGS = ("0 tags", "1 tag", "2+ tags")
HEADER = ["model", "all nine", "pt", "eta", "delta R", "b", "c", "light", "total [%]", *TAGS]


def as_markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])


def tables(results: list[dict[str, Any]]) -> str:
    """All tables as Markdown."""
    parts = []
    for test, points in results[0]["tests"].items():
        for point in points:
            of = {name: [r for r in results if r["model"] == name] for name in MODELS}
            found = {name: [r["tests"][test][point] for r in seeds] for name, seeds in of.items()}
            rows = [row(name, seeds) for name, seeds in found.items() if seeds]
            parts.append(f"{test}, working point {point}:\n\n{as_markdown(HEADER, rows)}")
    for found in results:
        if "importance" in found:
            rises = [
                f"{f['feature']} {1e4 * f['rise']:.1f} ± {1e4 * f['error']:.1f}"
                for f in found["importance"]
            ]
            parts.append(f"{found['model']}, seed {found['seed']}: {', '.join(rises)}")
    return "\n\n".join(parts)


def main() -> None:
    """Train and close what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("training", help="folder of the training sample, such as ttbar-{seed}")
    parser.add_argument("--tests", nargs="+", default=["zjets", "dijets"])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--out", type=Path, default=Path("pythia.json"))
    parser.add_argument("--work", type=Path, default=Path("trained"), help="folder of the models")
    parser.add_argument("--markdown", action="store_true", help="print the tables, and stop")
    args = parser.parse_args()
    results = json.loads(args.out.read_text()) if args.out.exists() else []
    if not args.markdown:
        args.work.mkdir(parents=True, exist_ok=True)
        done = {(found["model"], found["seed"]) for found in results}
        for name, seed in ((m, s) for s in args.seeds for m in args.models):
            if (name, seed) in done:
                continue
            found = train(name, seed, args.training.format(seed=seed), args.work)
            efficiency = found.pop("efficiency")
            tests = {Path(test).name: close(efficiency, test) for test in args.tests}
            results.append({"model": name, "seed": seed, **found, "tests": tests})
            incomplete = args.out.with_suffix(".incomplete")
            incomplete.write_text(json.dumps(results, indent=1))
            incomplete.replace(args.out)
    print(tables(results))


if __name__ == "__main__":
    main()

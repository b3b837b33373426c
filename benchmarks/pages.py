"""Write the tables of numbers in the pages, from the results in benchmarks/results.

python benchmarks/pages.py            # writes what has changed
python benchmarks/pages.py --check    # says what would change, and writes nothing

A table stands in a page between two comments, which a reader does not see:

    <!-- numbers: fidelity -->
    <!-- end of numbers -->
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"<!-- numbers: ([\w-]+) -->\n(.*?)<!-- end of numbers -->\n", re.DOTALL)

TABLES: dict[str, Callable[[], str]] = {}
"""Functions that give the Markdown of a table, by the name that pages use."""


def table(function: Callable[[], str]) -> Callable[[], str]:
    """Register a function as a table; its name in pages has dashes."""
    TABLES[function.__name__.replace("_", "-")] = function
    return function


def read(name: str) -> Any:
    """Content of a file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Table in Markdown."""
    lines = [list(head), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def digits(value: float, number: int = 3) -> str:
    """Value rounded to a number of significant digits, with commas between thousands."""
    rounded = float(f"{value:.{number}g}")
    if rounded == int(rounded):
        whole = f"{int(rounded):,}"
        missing = number - len(whole.replace(",", "").lstrip("-"))
        return f"{whole}.{'0' * missing}" if missing > 0 else whole
    places = max(0, number - 1 - _exponent(rounded))
    return f"{rounded:,.{places}f}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".split("e")[1])


def percent(value: float, places: int = 1, *, sign: bool = False) -> str:
    """Share in percent."""
    text = f"{100 * value:{'+' if sign else ''}.{places}f} %"
    return text.replace("-0.00 ", "0.00 ").replace("-0.0 ", "0.0 ")


# Fidelity


@table
def fidelity() -> str:
    """Divergence of all models on both samples, and what the map has over it."""
    results = read("fidelity")
    maps = results["map"]
    rows = []
    for name, model in results.items():
        row = [name]
        for sample in ("test", "alternative"):
            found = model[sample]["all"]
            row += [f"{found:.1f}", f"{maps[sample]['all'] / found:.1f}"]
            if sample == "test":
                row += [f"{model[sample][flavour]:.1f}" for flavour in ("b", "c", "light")]
        rows.append([*row, f"{model['train_s']:,.0f} s"])
    head = ["", "test", "map / this", "b", "c", "light", "alternative", "map / this", "training"]
    return markdown(head, rows)


CHOICES = {
    "pair features": ("no pair features", "gnn"),
    "averaged weights (EMA)": ("no averaged weights", "gnn"),
    "weight decay": ("no weight decay", "gnn"),
    "learning rate 4e-3 instead of 1e-3": ("learning rate 1e-3", "gnn"),
    "300 steps an epoch instead of batches of 5000": ("batch of 5000", "gnn"),
    "batches of 300 instead of 512": ("batch of 512", "gnn"),
    "ensemble of 5 instead of one network": ("gnn", "ensemble of 5"),
}


@table
def fidelity_choices() -> str:
    """Factor by which the divergence grows without a choice."""
    results = read("fidelity")
    rows = [
        [
            choice,
            *(
                f"{results[without][sample]['all'] / results[as_it_is][sample]['all']:.2f}"
                for sample in ("test", "alternative")
            ),
        ]
        for choice, (without, as_it_is) in CHOICES.items()
    ]
    return markdown(["choice", "test", "alternative"], rows)


SUMMARY = {
    "map": "(pt, eta) map per flavour",
    "mlp": "per-jet network",
    "paper network, 8 epochs": "paper's graph network, 8 epochs",
    "gnn": "default graph network",
    "ensemble of 5": "ensemble of five",
}


@table
def fidelity_summary() -> str:
    """Divergence of the models that a reader compares first."""
    results = read("fidelity")
    rows = [
        [text, *(f"{results[name][sample]['all']:.1f}" for sample in ("test", "alternative"))]
        for name, text in SUMMARY.items()
    ]
    return markdown(["", "independent sample", "alternative sample"], rows)


# Efficiency inversion

SAMPLES = {"phasespace": "phase space", "rho": "rho", "pomeron": "pomeron", "tensor": "tensor"}
METHODS = {
    "truth": ("true E", None),
    "bin-by-bin": ("bin by bin", "bin-by-bin"),
    "factorised": ("factorised", "factorised"),
    "product": ("product", "product"),
    "product x 5": ("product, ensemble of 5", "product x 5"),
    "gnn": ("gnn, 6 epochs", "gnn"),
    "paper": ("paper (5 x 100 tanh)", "paper"),
}


def closure_cell(found: dict[str, Any]) -> str:
    """Closure of one method on one sample in a line."""
    overall = found["overall"]
    text = ", ".join(digits(found[f"chi2_ndf_{dimension}"]) for dimension in ("1d", "2d"))
    text += f"; {percent(overall['relative_difference'], 2, sign=True)}"
    if overall["relative_bias"] is not None:
        text += f" ({percent(overall['relative_bias'], 2, sign=True)})"
    if found["divergence"] is not None:
        divergence = 1e4 * found["divergence"]
        text += f"; {divergence:,.{1 if divergence < 100 else 0}f}"
    return text


@table
def inversion() -> str:
    """Closure of all methods on all amplitudes."""
    results = read("inversion")
    rows = []
    for name, (text, training) in METHODS.items():
        cells = [closure_cell(results["closure"][sample]["efficiency"][name]) for sample in SAMPLES]
        seconds = f"{results['training'][training]['seconds']:,.0f} s" if training else ""
        rows.append([text, *cells, seconds])
    return markdown(["", *SAMPLES.values(), "training"], rows)


@table
def inversion_summary() -> str:
    """Total and chi2 of one dimension, of the methods that a reader compares first."""
    closure = read("inversion")["closure"]
    chosen = {
        "bin-by-bin": "bin-by-bin correction",
        "factorised": "factorised map e(t1) e(t2)",
        "paper": "paper's network",
        "product x 5": "default network, ensemble of five",
    }
    rows = []
    for name, text in chosen.items():
        cells = []
        for sample in ("rho", "pomeron", "tensor"):
            found = closure[sample]["efficiency"][name]
            total = percent(found["overall"]["relative_difference"], 1, sign=True)
            cells.append(f"{total}, {digits(found['chi2_ndf_1d'], 3)}")
        rows.append([text, *cells])
    return markdown(["", "rho", "pomeron continuum", "tensor"], rows)


VARIANTS = {
    "no bending of tracks": "no bending of tracks",
    "no harmonics": "no harmonics of the angles",
    "batches of 5000": "batches of 5000 instead of 300 (900 steps an epoch)",
    "learning rate 1e-3": "learning rate 1e-3 instead of 6e-3",
    "weight decay 0.1": "weight decay 0.1 instead of none",
    "no averaged weights": "no averaged weights",
    "64 wide": "64 wide instead of 32",
    "twice the epochs": "twice the epochs",
    "as it is": "as it is",
}


@table
def inversion_variants() -> str:
    """Divergence of shorter trainings without one choice each."""
    found = read("inversion")["variants"]
    rows = [
        [text, *(digits(found[name][sample]) for sample in ("phasespace", "rho"))]
        for name, text in VARIANTS.items()
    ]
    return markdown(["", "phase space", "rho"], rows)


@table
def inversion_added() -> str:
    """Cost of the networks beside the plain product: medians and ranges over the seeds."""
    found = read("inversion-variants")["variants"]
    texts = {
        "plain product": "plain product",
        "as it is": "as it is: with the added networks, weight decay 0.4",
        "weight decay 0.1": "weight decay 0.1",
        "no weight decay": "no weight decay",
    }
    rows = []
    for name, text in texts.items():
        runs = [run for key, run in found.items() if key.partition(", ")[0] == name]
        cells = [_spread([run[sample] for run in runs], 1) for sample in ("phasespace", "rho")]
        rows.append([text, str(len(runs)), *cells])
    return markdown(["", "seeds", "phase space", "rho"], rows)


# Scale


def _pair(values: list[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in values)


@table
def scale() -> str:
    """Throughput and memory of Dask's workers by the number of events."""
    closures = {name: found for name, found in read("scale").items() if "slices" in found}
    runs, cases = list(closures.values()), [name.split(" of ")[0] for name in closures]
    order = sorted(
        zip(cases, runs, strict=True),
        key=lambda x: (x[0] != "tagging", x[1]["events"], x[1]["workers"]),
    )
    rows = []
    for case, found in order:
        tenths = found["slices"]
        rate = [part["events_per_cpu_second"] for part in tenths]
        rows.append(
            [
                case,
                f"{found['events']:,}",
                str(found["workers"]),
                digits(found["seconds"]),
                digits(found["events_per_second"]),
                f"{digits(found['events_per_cpu_second'])} ({digits(rate[0])}, {digits(rate[-1])})",
                f"{tenths[0]['memory_mb']:.0f}, {tenths[-1]['memory_mb']:.0f}",
                _pair(found["memory_peak_mb"]),
                ", ".join(map(str, found["loads"])),
            ]
        )
    head = [
        "",
        "events",
        "workers",
        "seconds",
        "events/s",
        "events per CPU second (first, last tenth)",
    ]
    head += ["memory, first and last tenth [MB]", "peak of each worker [MB]", "loads"]
    return markdown(head, rows)


# Speed


def speed(name: str) -> dict[str, Any]:
    """Numbers of one benchmark of speed, by its name without ``test_``."""
    found = {entry["name"]: entry["extra_info"] for entry in read("speed")["benchmarks"]}
    return found[f"test_{name}"]


@table
def speed_backends() -> str:
    """Rates of the paper's network beside coffea."""
    rows = []
    for backend, note in (("tensorflow", ""), ("onnxruntime", ' ("auto")'), ("openvino", "")):
        found = speed(f"paper_network_beside_coffea[{backend}]")
        rows.append(
            [
                f"{backend}{note}",
                digits(found["events_per_s"]),
                f"{found['times coffea, padded to 6']:.1f}",
                f"{found['times coffea, padded to 15']:.0f}",
                percent(found["share_of_roof"], 0),
            ]
        )
    head = ["backend", "events/s", "times coffea, padded to 6", "padded to 15", "share of the roof"]
    return markdown(head, rows)


@table
def speed_networks() -> str:
    """Rates of the default networks."""
    names = {
        "default_networks[default GNN]": "default GNN",
        "default_networks[default MLP]": "default MLP",
        "networks_of_events[paper MLP]": "two tracks: paper's MLP (6 -> 5 x 100, tanh)",
        "networks_of_events[default MLP]": "two tracks: default MLP",
        "networks_of_events[product]": "two tracks: product",
        "networks_of_events[GNN]": "two tracks: GNN",
    }
    rows = []
    for name, text in names.items():
        found = speed(name)
        times = [digits(found[f"times {other}"], 2) for other in ("tensorflow", "openvino")]
        rows.append([text, digits(found["events_per_s"]), *times])
    return markdown(['network, "auto"', "events/s", "times tensorflow", "times openvino"], rows)


@table
def speed_multiplicity() -> str:
    """Rates by the number of objects in every event."""
    numbers = (2, 4, 6, 8, 10, 12, 15)
    rows = []
    for kind in ("default GNN", "paper GNN"):
        rates = (speed(f"cost_of_multiplicity[{kind}-{n}]")["events_per_s"] for n in numbers)
        rows.append([f"{kind}, events/s", *(digits(rate) for rate in rates)])
    return markdown(["objects in every event", *map(str, numbers)], rows)


@table
def speed_analyses() -> str:
    """Rates of whole analyses with each efficiency."""
    rows = []
    runs = [speed("three_lines"), speed("full_comparison")]
    for name in ("", "true efficiency", "map", "default GNN", "paper GNN"):
        row = [name or "without efficiencies"]
        for run in runs:
            rate = run.get(f"{name} events_per_s".strip())
            row += [digits(rate), digits(run.get(f"times {name}", 1.0), 2)] if rate else ["", ""]
        rows.append(row)
    times = "times slower"
    head = ["", "three lines, events/s", times, "full comparison, events/s", times]
    return markdown(head, rows)


@table
def speed_stages() -> str:
    """Shares of the time of whole analyses."""
    stages = {
        "reading": "reading",
        "columns and features": "columns, features",
        "inference": "inference",
        "observables": "observables",
        "weights": "weights",
        "filling": "filling",
        "coffea": "coffea",
    }
    rows = []
    for way in ("three lines", "full comparison"):
        for efficiency in ("map", "default GNN"):
            found = speed(f"where_the_time_goes[{efficiency}-{way}]")
            shares = (percent(found[stage], 0) if stage in found else "" for stage in stages)
            rows.append([f"{way}, {efficiency}", *shares])
    return markdown(["", *stages.values()], rows)


# Truth tagging


@table
def tagging_speed() -> str:
    """Seconds of the weights of a million events."""
    seconds = read("tagging")["speed"]["seconds"]
    names = {
        "exactly 2": "`truth_tag_weight`, exactly 2",
        "exactly 2: awkward combinations": "awkward: `ak.prod` and `ak.combinations`",
        "exactly 2: explicit enumeration": "NumPy: sum over the 15 explicit assignments",
        "at least 2": "at least 2",
        "exactly 2 with scale factors": "exactly 2, with scale factors",
        "2+ at M and 1+ at T of three": "at least 2 at M and 1 at T, three working points",
        "sample_tags, exactly 2": "`sample_tags`, exactly 2",
        "enumerate_tags, exactly 2": "`enumerate_tags`, exactly 2 (15 million assignments)",
    }
    rows = [
        [text, f"{seconds[name]:.3f}", digits(seconds[name] / seconds["exactly 2"], 2)]
        for name, text in names.items()
    ]
    return markdown(["", "seconds", 'against "exactly 2"'], rows)


@table
def tagging_accuracy() -> str:
    """Relative errors of probabilities for twelve jets against rational arithmetic."""
    found = {
        (entry["eps"], entry["at_least"]): entry
        for entry in read("tagging")["accuracy"]
        if entry["jets"] == 12
    }
    rows = []
    for eps in dict.fromkeys(eps for eps, _ in found):
        row = [f"{eps:.0e}".replace("e-0", "e-") if eps < 0.1 else f"{eps:g}"]
        for kind in ("hepsilon", "one_minus_the_others"):
            errors = (found[eps, n][kind] for n in (1, 2, 3))
            row += [f"{e:.0f}" if e > 1 else f"{e:.0e}".replace("e-0", "e-") for e in errors]
        rows.append(row)
    head = ["eps about", "n = 1", "n = 2", "n = 3", "1 - sum: n = 1", "n = 2", "n = 3"]
    return markdown(head, rows)


@table
def tag_counts() -> str:
    """Expected over observed events with numbers of tags."""
    results = read("tag_counts")
    columns = {
        "map": ("test", "map"),
        "network": ("test", "gnn"),
        "true efficiency": ("test", "truth"),
        "map, alternative": ("alternative", "map"),
        "network, alternative": ("alternative", "gnn"),
    }
    rows = []
    for tags in ("0 tags", "1 tag", "2 tags", "2+ tags", "3+ tags"):
        row = [tags.replace("+", " or more").removesuffix(" tags").removesuffix(" tag")]
        for sample, method in columns.values():
            found = results[sample]["efficiency"][method]["tag_counts"]["all"][tags]
            if not found["observed"]:
                row.append("two jets only")
                continue
            difference = found["expected"] / found["observed"] - 1
            row.append(f"{percent(difference, 2, sign=True)} ({found['pull']:+.1f})")
        rows.append(row)
    return markdown(["tags", *columns], rows)


@table
def tagging_gain() -> str:
    """Effective events of two tags in the leading pair, by flavours."""
    efficiency = read("tag_counts")["test"]["efficiency"]
    rows = []
    for pair in ("all", "b-b", "b-c", "b-light", "c-c", "c-light", "light-light"):
        key = "pair_mass" if pair == "all" else f"pair_mass|{pair}"
        gains = {name: found["statistics_gain"][key] for name, found in efficiency.items()}
        row = [pair, f"{gains['map']['direct']:,.0f}"]
        row += [
            f"{gains[name]['truth_tagged']:,.0f} ({gains[name]['weights_only']:,.0f})"
            for name in ("map", "gnn")
        ]
        rows.append([*row, f"{gains['truth']['truth_tagged']:,.0f}"])
    return markdown(["", "direct tagging", "map", "network", "true efficiency"], rows)


# Uncertainty


@table
def coverage() -> str:
    """Shares of differences to the truth within the 68 and 95 % bands.

    In differences of maps to the mean of all other maps is no bias.
    """
    found, without = read("band_coverage"), "without bias term"
    columns = {"map": ("map", "truth"), "map, its own mean": ("map", "mean")}
    for method in ("network", "folds", "bootstrap"):
        columns[f"{method}, {without}"] = f"{method}, {without}", "truth"
        columns[method] = method, "truth"
    rows = []
    for sample in ("test", "alternative"):
        for quantity in ("efficiencies", "pt bins", "delta R bins", "totals"):
            cells = []
            for method, centre in columns.values():
                bands = found["summary"][f"{method} | {sample} | {quantity}"]
                shares = (percent(bands[band][centre][0], 0) for band in ("68 %", "95 %"))
                cells.append(", ".join(shares))
            rows.append([f"{sample}, {quantity}", *cells])
    numbers = [str(len(found["experiments"][name.split(",")[0]])) for name, _ in columns.values()]
    return markdown(["", *columns], [*rows, ["experiments", *numbers]])


@table
def pythia_errors() -> str:
    """Error of the total of all jets on Z+jets, with draws of logits and as it is."""
    files = [
        {e["seed"]: e["tests"]["zjets"] for e in read(name) if e["model"] == "mlp"}
        for name in ("pythia_veto-logits", "pythia_veto")
    ]
    rows = []
    for seed in files[0]:
        before, now = (found[seed] for found in files)
        cells = []
        for point in before:
            errors = (found[point]["overall"]["efficiency_error"] for found in (before, now))
            cells.append(" → ".join(percent(error) for error in errors))
        light = (
            mean(c / n for name, (c, n) in found["T"]["chi2"].items() if n and "light" in name)
            for found in (before, now)
        )
        rows.append([str(seed), *cells, " → ".join(f"{x:.2f}" for x in light)])
    return markdown(["training", "L", "M", "T", "chi2/ndf of light jets at T"], rows)


RARE_HEADER = ["events", "light jets", "replicas", "rms to the truth", "error", "mean / nominal"]
RARE_HEADER += ["68 % band", "95 % band"]


def rare_lines(results: dict[str, Any]) -> list[list[str]]:
    """Median and largest error over the experiments, and shares within the bands."""
    lines = []
    for size in dict.fromkeys(key.split(" | ")[0] for key in results):
        found = [e for key, e in results.items() if key.split(" | ")[0] == size]
        names = [name for name in found[0] if name not in ("total", "passed")]
        for where, groups in (("total", ["total"]), ("bins of pt", names)):
            for kind in ("logits", "draws"):
                parts = [[entry[name][kind] for name in groups] for entry in found]
                every = [part for each in parts for part in each]
                errors, means = ([p[k] for p in every] for k in ("error", "mean over nominal"))
                off = mean((p["nominal over truth"] - 1.0) ** 2 for p in every) ** 0.5
                shares = [
                    [mean(abs(p["pull"]) < width for p in each) for each in parts]
                    for width in (1.0, 1.96)
                ]
                cells = [f"{percent(median(errors), 0)}, to {percent(max(errors), 0)}"]
                cells += [f"{median(means):.2f}, to {max(means):.2f}", *map(_share, shares)]
                first = [f"{int(size):,} ({len(found)} experiments)", where, kind]
                lines.append([*first, percent(off, 0), *cells])
    return lines


def _share(values: list[float]) -> str:
    """Mean share, and its error by the spread of the experiments."""
    error = f" ± {100 * stdev(values) / len(values) ** 0.5:.0f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.0f}{error} %"


@table
def rare_coverage() -> str:
    """Light jets at the permille level, with Gaussian logits and with draws of the efficiency."""
    return markdown(RARE_HEADER, rare_lines(read("rare_coverage")))


@table
def replicas() -> str:
    """Time with replicas over that without: of what a user calls, and of the networks alone."""
    found = read("replicas")
    names = {
        "gnn": "default graph network",
        "mlp": "default plain network",
        "product": "product of two tracks (`training/tracks.toml`)",
    }
    columns = [(kind, n) for kind in ("evaluate", "networks") for n in (20, 100)]
    rows = [
        [text, *(f"{found[name][kind][f'{n} replicas, cpu ratio']:.2f}" for kind, n in columns)]
        for name, text in names.items()
    ]
    header = ["`evaluate`, 20 replicas", "100 replicas", "networks alone, 20", "100"]
    return markdown(["", *header], rows)


@table
def page_load() -> str:
    """Sizes of pages, and how long they take to load."""
    rows = [
        [
            name,
            f"{found['bytes'] / 1e6:.2f} MB",
            str(found["plots"]),
            f"{found['elements']:,}",
            *(f"{found[f'{what} [ms]'] / 1000:.2f} s" for what in ("readable", "load")),
        ]
        for name, found in read("page_load").items()
    ]
    return markdown(["page", "size", "plots", "elements", "readable after", "loaded after"], rows)


# Ratios

RATIO_COLUMNS: dict[str, tuple[Callable[[Any], float], int]] = {
    "squared error of log": (lambda e: e["squared"], 0),
    "KL": (lambda e: e["kl"], 1),
    "mean": (lambda e: e["mean"], 3),
    "± (each)": (lambda e: e["mean_error"], 3),
    "effective": (lambda e: e["effective"], 2),
    "AUC before": (lambda e: e["auc"]["before"], 3),
    "AUC after": (lambda e: e["auc"]["after"], 3),
    "chi2/ndf before": (lambda e: mean(e["chi2_ndf"]["before"].values()), 1),
    "chi2/ndf after": (lambda e: mean(e["chi2_ndf"]["after"].values()), 2),
    "CPU [s]": (lambda e: e["cpu_s"], 0),
}
RATIO_SAMPLES = ("good", "partial", "none", "background", "efficiency")
RATIO_METHODS = (
    *("truth", "constant", "binned", "boosting", "reweighting"),
    *("network", "separate", "folds"),
)
RATIO_SEEDS = 3
"""Seeds of the table of methods; coverage is of all."""


def _spread(values: list[float], places: int) -> str:
    """Median, and the range where there are several values."""
    found = median(values), min(values), max(values)
    numbers = [f"{x:.{places}f}" if abs(x) < 1e6 else f"{x:.0e}" for x in found]
    return (
        numbers[0] if numbers[1] == numbers[2] else f"{numbers[0]} ({numbers[1]} to {numbers[2]})"
    )


def _ratio_groups(results: dict[str, Any]) -> Iterable[tuple[str, str, list[Any]]]:
    """Sample, method and entries of all seeds, in the order of the table."""
    for sample in RATIO_SAMPLES:
        for method in RATIO_METHODS:
            found = [e for e in results.values() if (e["sample"], e["method"]) == (sample, method)]
            if found:
                yield sample, method, sorted(found, key=lambda e: e["seed"])


def ratio_lines(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and lines of the methods: median and range over the first seeds."""
    lines = []
    for sample, method, entries in _ratio_groups(results):
        first = [e for e in entries if e["seed"] <= RATIO_SEEDS]
        answered = [e for e in first if "refused" not in e]
        cells = []
        for of, places in RATIO_COLUMNS.values():
            known = [e for e in answered if "auc" in e or sample == "efficiency"]
            try:
                cells.append(_spread([of(e) for e in known], places) if known else "")
            except KeyError:  # no such measure of this sample
                cells.append("")
        refused = len(first) - len(answered)
        count = f"{len(first)}, {refused} refused" if refused else str(len(first))
        lines.append([sample, method, count, *cells])
    return ["sample", "method", "seeds", *RATIO_COLUMNS], lines


def coverage_lines(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and lines of the coverage, with its error by the spread of the experiments."""
    lines = []
    for sample, method, entries in _ratio_groups(results):
        known = [e["coverage"] for e in entries if "coverage" in e]
        cells = []
        for kind in ("jets", "bins"):
            shares = [100.0 * e[kind] for e in known]
            error = f" ± {stdev(shares) / len(shares) ** 0.5:.0f}" if len(shares) > 1 else ""
            cells.append(f"{mean(shares):.0f}{error}" if shares else "")
        bands = [100.0 * e["band"] for e in known if "band" in e]
        cells.append(f"{median(bands):.0f}" if bands else "")
        if known:
            lines.append([sample, method, str(len(known)), *cells])
    header = ["sample", "method", "experiments", "single jets [%]", "means in bins [%]"]
    return [*header, "median band [%]"], lines


@table
def ratios() -> str:
    """Ratios of toy jets by method."""
    return markdown(*ratio_lines(read("ratios")))


@table
def ratio_coverage() -> str:
    """Coverage of the bands of ratios."""
    return markdown(*coverage_lines(read("ratios")))


@table
def backends() -> str:
    """Largest differences to ONNX Runtime by the backend that trained and that evaluates."""
    results = read("backends")
    lines = [
        (name, backend, found)
        for name, trained in results.items()
        if name != "versions"
        for backend, found in trained.items()
    ]
    ways = list(dict.fromkeys(way for *_, found in lines for way in found["largest difference"]))
    rows = []
    for name, backend, found in lines:
        numbers = found["largest difference"]
        own = found.get("training")
        at_its_end = f"{own['largest difference']:.1e} ({own['entries']:,})" if own else ""
        cells = [f"{numbers[way]:.1e}" if way in numbers else "" for way in ways]
        rows.append([name, backend, f"{found['entries']:,}", *cells, at_its_end])
    head = ["network", "trained with", "entries", *ways, "backend of the training (entries)"]
    return markdown(head, rows)


@table
def worker_start() -> str:
    """Seconds and sizes of a worker by backend."""
    results = read("worker_start")
    rows = []
    for name, found in results.items():
        if name in {"versions", "rounds", "load"}:
            continue
        seconds = [f"{found[key]:.2f}" for key in ("import", "first", "second", "start")]
        sizes = [f"{found[key]:,.0f}" for key in ("memory", "peak", "packages")]
        rows.append([name, *seconds, *sizes])
    head = ["backend", "import [s]", "load, first call [s]", "second call [s]", "all [s]"]
    return markdown([*head, "memory [MB]", "largest [MB]", "packages [MB]"], rows)


@table
def compiled() -> str:
    """Seconds of trainings and calls with and without XLA."""
    rows = [
        [
            run["network"],
            f"{run['size']:,} {'events in all epochs' if run['what'] == 'training' else 'jets'}",
            *(digits(run[rule][clock], 2) for rule in ("never", "always") for clock in run[rule]),
            digits(run["saved"], 2),
        ]
        for run in read("compiled")["runs"]
    ]
    clocks = [f"{rule} [s{clock}]" for rule in ("plain", "XLA") for clock in ("", " of CPU")]
    return markdown(["network", "size", *clocks, "plain / XLA"], rows)


def renewed(page: str) -> str:
    """Text of a page with its tables made again.

    Raises
    ------
    KeyError
        If the page names a table that there is not.
    """

    def again(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- numbers: {name} -->\n\n{TABLES[name]()}\n<!-- end of numbers -->\n"

    return BLOCK.sub(again, page)


def main() -> int:
    """Renew the pages, or say which ones are old."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page is old")
    check = parser.parse_args().check
    old = []
    for page in PAGES:
        text = page.read_text()
        if (new := renewed(text)) != text:
            old.append(page)
            if not check:
                page.write_text(new)
    for page in old:
        print(f"{page.relative_to(ROOT)}: {'old' if check else 'written'}")
    return int(check and bool(old))


if __name__ == "__main__":
    sys.exit(main())

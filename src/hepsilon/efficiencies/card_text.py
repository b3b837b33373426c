"""Text of the card of an artifact, for terminal and page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["candidate_cells", "card_groups", "card_rows", "region_cells", "region_text"]


def _feature_text(feature: Any) -> str:
    if feature.kind == "categorical":
        return f"one of {list(feature.categories)}"
    covered = "" if feature.low is None else f"{feature.low:.6g} to {feature.high:.6g}"
    return f"{covered} {feature.unit} ({feature.kind})"


def _numbers_text(numbers: Any) -> str:
    """Numbers of objects in an event that the training covered."""
    never = f", never {', '.join(map(str, numbers.gaps))}" if numbers.gaps else ""
    return f"{numbers.low} to {numbers.high}{never}"


def _combinations_text(combinations: Any) -> str:
    """Bins of pairs of features, and how often they mislead."""
    n_bins = max(len(edges) + 1 for edges in combinations.edges)
    return (
        f"{len(combinations.covered)} pairs in up to {n_bins} bins each, at most "
        f"{combinations.false_alarms:.2%} false alarms"
    )


def _file_text(file: Any) -> str:
    """Size and identity of a file, and the hash of its content where that is known."""
    size = "" if file.size is None else f"{file.size:,} bytes"
    digest = "" if file.sha256 is None else f"sha256 {file.sha256[:16]}"
    return ", ".join(text for text in (size, file.identity, digest) if text)


def _bins_text(edges: Any) -> str:
    """Number of bins of one axis, or of several."""
    axes = edges if isinstance(edges[0], tuple) else (edges,)
    return " x ".join(str(len(axis) - 1) for axis in axes)


def candidate_cells(each: Any, selection: Any) -> list[str]:
    """Row of one architecture that ``"auto"`` compared.

    Parameters
    ----------
    each : CandidateCard
        The architecture.
    selection : SelectionCard
        The comparison, as the card of a network has it.

    Returns
    -------
    list of str
        Name, loss, difference to the best one with its error, seconds, parameters, and a note.
    """
    kept = "kept" if each.name == selection.chosen else ""
    if each.loss is None:
        return [each.name, "-", "-", "-", "-", "; ".join(filter(None, (kept, each.reason)))]
    return [
        each.name,
        f"{each.loss:.5f}",
        f"{each.difference:.5f} +- {each.error:.5f}",
        f"{each.seconds:.1f}",
        f"{each.parameters:,}",
        kept,
    ]


def _selection_rows(selection: Any) -> list[list[str]]:
    """Rows of the comparison for people, and what it advises."""
    rows = []
    for each in selection.candidates:
        _, loss, difference, seconds, parameters, note = candidate_cells(each, selection)
        text = f"loss {loss}, {difference} above the best, {parameters} parameters, {seconds} s"
        cells = [] if each.loss is None else [text]
        rows.append([f"candidate {each.name}", "; ".join(filter(None, (*cells, note)))])
    return rows + ([["advice", selection.advice]] if selection.advice else [])


def region_text(each: Any) -> str:
    """Variable of a region and its range.

    Parameters
    ----------
    each : RegionCard
        The region.

    Returns
    -------
    str
        Text.
    """
    return f"{each.variable} {each.low:.3g} to {each.high:.3g}"


def region_cells(each: Any) -> list[str]:
    """Expected against available events of a region, and what is known of it.

    Parameters
    ----------
    each : RegionCard
        The region.

    Returns
    -------
    list of str
        Ratio with its error, events, irreducible error, and events of the training.
    """
    ratio, error = each.expected / each.available, each.error / each.available
    return [
        f"{ratio:.4f} +- {error:.4f}",
        f"{each.n_events:,}",
        f"{each.training_error:.2%}",
        f"{each.n_training:,}",
    ]


def _findings_rows(card: Any) -> list[list[str]]:
    """Rows of what the training found behind the network."""
    rows = []
    if (residuals := getattr(card, "residuals", None)) is not None:
        rows.append(["residuals", str(residuals)])
    if (refinement := getattr(card, "refinement", None)) is not None:
        rows.append(["refinement", str(refinement)])
    if getattr(card, "recalibration", None) is not None:
        rows.append(["recalibration", str(card.recalibration)])
        rows += [["recalibrated on", f"{f.name}, {_file_text(f)}"] for f in card.recalibrated_on]
    return rows + [[region_text(each), str(each)] for each in getattr(card, "regions", ())]


def _ratio_rows(card: Any) -> list[list[str]]:
    """Rows of the two samples of a ratio, and of its normalisation."""
    found = getattr(card, "ratio", None)
    if found is None:
        return []
    rows = [["kind of ratio", card.task.ratio.kind]]
    for name in ("numerator", "denominator"):
        side = getattr(found, name)
        text = f"{side.n:,} entries, worth {side.n_effective:,.0f} of equal weight"
        negative = f"; no positive sum of weights in {', '.join(side.negative)}"
        rows.append([name, text + negative * bool(side.negative)])
    low, high = card.task.ratio.clip
    of = "entries" if found.events == "training" else "held-out entries"
    return [*rows, [of, str(found)], ["clip", f"{low:g} to {high:g}"]]


def _held_out_rows(card: Any) -> list[list[str]]:
    """Rows of the closure on events that the networks were not trained on."""
    found = getattr(card, "held_out", None)
    if found is None:
        return []
    rows = []
    for total in found.totals:
        for number in range(len(total.bins)):
            _, category, observed, expected, ratio, own = total.cells(number)
            name = " ".join(filter(None, ("held-out", total.working_point, category or "total")))
            text = f"passed / expected {ratio} (statistics) +- {own} (last layer), {observed}"
            rows.append([name, f"{text} / {expected}"])
    return [*rows, ["held-out closure", str(found)]]


def card_groups(card: Any) -> dict[str, list[list[str]]]:
    """Rows of a card by what they are about: name and value.

    Parameters
    ----------
    card : Record
        Card of an artifact.

    Returns
    -------
    dict of str to list of list of str
        Rows by the title of their group; groups without rows are left out.
    """
    content = card.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    content["passed_rate"] = f"{card.passed_rate:.3g}"
    groups = {
        "Efficiency": _task_rows(card, content),
        "Ratio": _ratio_rows(card),
        "Domain": _domain_rows(card),
        "Sample": _sample_rows(card),
        "Learning": _named(content, LEARNING) + _learning_rows(card),
        "Accuracy on held-out events": _held_out_rows(card),
        "What it leaves": _findings_rows(card),
        "Origin": _made_rows(card) + [[f"file {f.name}", _file_text(f)] for f in card.files],
    }
    shown = {*SHOWN, *LEARNING}
    groups["Origin"] += [
        [name, _value(v)] for name, v in content.items() if v and name not in shown
    ]
    return {title: rows for title, rows in groups.items() if rows}


def card_rows(card: Any) -> list[list[str]]:
    """Rows for people, of all groups: name and value.

    Parameters
    ----------
    card : Record
        Card of an artifact.

    Returns
    -------
    list of list of str
        Rows of :func:`card_groups`.
    """
    return [row for rows in card_groups(card).values() for row in rows]


def _made_rows(card: Any) -> list[list[str]]:
    """Date and command, of what the command line wrote."""
    made = getattr(card, "made", None)
    return [] if made is None else [["date", made.date], ["command", made.command]]


LEARNING = ("model", "architecture", "training", "capacity", "onnx", "bfloat16")
"""Parts of a card about the networks."""
SHOWN = {"task", "features", "files", "members", "edges", "sample", "selection", "out_of_fold"}
SHOWN |= {"importance", "unused", "residuals", "refinement", "regions", "n_events", "n_objects"}
SHOWN |= {
    "recalibration",
    "recalibrated_on",
    "made",
    "passed_rate",
    "kind",
    "format",
    "version",
    "content",
    "last_layer",
}
SHOWN |= {"held_out", "bias", "ratio"}
"""Parts that have rows of their own, or say nothing to people."""


def _named(content: Mapping[str, Any], names: Iterable[str]) -> list[list[str]]:
    return [[name.replace("_", " "), _value(content[name])] for name in names if name in content]


def _value(value: Any) -> str:
    """Plain data as text: numbers of few digits, tables as ``key = value``."""
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_value(part)}" for key, part in value.items())
    if isinstance(value, list):
        if all(isinstance(part, dict) for part in value):
            return "; ".join(map(_value, value))
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _task_rows(card: Any, content: Mapping[str, Any]) -> list[list[str]]:
    """The question: of whom, by which response, depending on what."""
    whose = "all objects of an event" if card.task.of_events else "each object"
    rows = [["kind", card.kind], ["of", f"{whose}, collection {card.task.collection}"]]
    task = {name: value for name, value in content["task"].items() if name not in TASK}
    rows += [[f"task {name}", _value(value)] for name, value in task.items()]
    return [*rows, ["unit of the files", card.task.unit]]


TASK = ("level", "collection", "unit")


def _domain_rows(card: Any) -> list[list[str]]:
    """What the sample covered."""
    rows = [[f"feature {f.name}", _feature_text(f)] for f in card.features.features]
    if card.features.multiplicity is not None:
        rows.append(["objects in an event", _numbers_text(card.features.multiplicity)])
    if card.features.combinations is not None:
        rows.append(["combinations of features", _combinations_text(card.features.combinations)])
    return rows + [[f"bins {n}", _bins_text(e)] for n, e in getattr(card, "edges", {}).items()]


def _sample_rows(card: Any) -> list[list[str]]:
    """Numbers of the sample, and what each category is worth."""
    numbers = f"{card.n_events:,} events, {card.n_objects:,} objects"
    rows = [["sample", f"{numbers}, {card.passed_rate:.3g} of them passed"]]
    for part in card.sample.categories if card.sample else ():
        points = card.sample.working_points if len(part.passed) > 1 else ("",)
        passed = ", ".join(
            map(_passed_text, points, part.rates or (None,) * len(points), part.passed_effective)
        )
        text = f"{part.n:,} {card.sample.unit}, worth {part.n_effective:,.0f}"
        rows.append([f"sample {part.category}", f"{text} of equal weight; {passed}"])
    return rows


def _passed_text(point: str, rate: float | None, n_effective: float) -> str:
    """Efficiency of a working point, and the effective number that passed it."""
    known = "" if rate is None else f"efficiency {rate:.3g}, "
    return f"{f'{point}: ' if point else ''}{known}passed {n_effective:,.0f}"


def _learning_rows(card: Any) -> list[list[str]]:
    """Trainings, their losses, and what was compared."""
    rows = []
    for number, member in enumerate(getattr(card, "members", ())):
        best = member.history[member.best_epoch - 1]
        kept = f"epoch {best.epoch} of {len(member.history)}"
        rows.append([f"member {number + 1}", f"{kept}, validation loss {best.validation_loss:.5f}"])
    if (found := getattr(card, "out_of_fold", None)) is not None:
        text = f"{found.loss:.5f} +- {found.error:.5f} of {found.n_events:,} events"
        rows.append(["out-of-fold loss", text])
    if (layer := getattr(card, "last_layer", None)) is not None:
        text = f"{100 * layer.total_error:.3g} % of the total, by the covariance of the last layer"
        rows.append(["uncertainty", f"{text} from {layer.n_events:,} events"])
    if (bias := getattr(card, "bias", None)) is not None:
        rows.append(["bias term", str(bias)])
    rows += [[f"importance {i.feature}", str(i)] for i in getattr(card, "importance", ())]
    rows += [[f"not a feature: {u.field}", str(u)] for u in getattr(card, "unused", ())]
    if getattr(card, "selection", None) is not None:
        rows += _selection_rows(card.selection)
    return rows
